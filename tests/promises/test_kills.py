"""SIGKILL at any point of a refresh: the next one makes it good to the row, and readers never see a half.

The source changes before every attempt. MILEPOST_KILLS says how many kills there are (20 where it does not say),
MILEPOST_KILLS_SEED which ones; `pytest -s` prints the figures.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random

import duckdb
import pytest
from changing_firms import ENVIRON, Firms, changing_firms
from compared import differences
from warm_refreshes import CHILD, PATIENCE_SECONDS, Attempt, phases
from watching import Watcher, watched

from pipelines import snapshots, warehouse
from pipelines.settings import Settings, load

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("MILEPOST_KILLS", "20"))
SEED = int(os.environ.get("MILEPOST_KILLS_SEED", "20"))
IN_A_ROW = (4, 10)  # kills before a refresh is left undisturbed, at least and at most
PHASES = {"pull": ("Pulling",), "merge": ("Pulling",), "build": ("Staging", "Building"), "check": ("Checking",),
          "publish": ("Publishing",)}  # fmt: skip


@dataclass(slots=True)
class Run:
    """What has happened so far: kills by the phase that each hit, and the attempts that nobody killed."""

    seconds: dict[str, float] = field(default_factory=dict)  # of a step of each phase, as quick as it was ever seen
    killed: Counter[str] = field(default_factory=Counter)
    undisturbed: int = 0
    compared: int = 0
    children: list[str] = field(default_factory=list)

    def learn(self, attempt: Attempt) -> None:
        for phase, beginnings in PHASES.items():
            steps = [seconds for words, seconds in phases(attempt) if words.startswith(beginnings)]
            self.seconds[phase] = min(self.seconds.get(phase, PATIENCE_SECONDS), sum(steps) / len(steps))
        self.children += [words for words in attempt.said if words.startswith(CHILD)]


def shown(firms: Firms) -> Callable[[duckdb.DuckDBPyConnection, datetime], str | None]:
    """Holds a snapshot against the facts of its instant."""

    def told(con: duckdb.DuckDBPyConnection, as_of: datetime) -> str | None:
        names = frozenset(name for (name,) in con.execute("select client from marts.clients").fetchall())
        ((events,),) = con.execute("select count(*) from received.milestone_events where source = 'relay'").fetchall()
        ((total,),) = con.execute(
            "select total_amount_local::varchar from marts.invoices where source = 'studio'"
        ).fetchall()
        found = names, events, total
        return None if found == firms.facts[as_of] else f"shows {found}, not {firms.facts[as_of]}"

    return told


def loading(data: Path) -> bool:
    """Whether a pull has come as far as loading what it asked for into the warehouse."""
    try:
        return bool(os.listdir(data / ".pull" / "relay" / "load" / "normalized"))
    except FileNotFoundError:
        return False


def hit(attempt: Attempt) -> str:
    """The phase that an attempt had come to."""
    last = next((words for words in reversed(attempt.said) if not words.startswith("Holding")), "Starting")
    if last == "Pulling relay" and loading(attempt.data):
        return "merge"
    found = (phase for phase, beginnings in PHASES.items() if phase != "merge" and last.startswith(beginnings))
    return next(found, "start")


def aim(attempt: Attempt, phase: str, run: Run, dice: Random) -> None:
    """Kills an attempt at a point drawn within a phase."""
    if phase == "merge":
        attempt.until(lambda: loading(attempt.data), looks_every=0.002)
        time.sleep(dice.uniform(0, run.seconds["merge"] / 3))
    else:
        steps = {"pull": 1, "build": 56, "check": 44, "publish": 1}[phase]
        attempt.until_said(PHASES[phase], dice.randint(1, steps))
        time.sleep(dice.uniform(0, run.seconds[phase]))
    attempt.kill()


def kill_one(attempt: Attempt, run: Run, dice: Random) -> None:
    """Kills an attempt within the phase that was hit least; one that was quicker must have come out well."""
    aim(attempt, min(PHASES, key=lambda phase: (run.killed[phase], dice.random())), run, dice)
    if attempt.outcome is None:
        run.killed[hit(attempt)] += 1
        return
    run.undisturbed += 1
    assert attempt.outcome.problems == ()


@pytest.fixture
def twins(quick: Path) -> tuple[Path, Path]:
    return quick / "killed", quick / "undisturbed"


def test_whatever_is_killed_the_next_refresh_is_as_if_nothing_had_been_and_readers_see_whole_snapshots(
    twins: tuple[Path, Path], tmp_path: Path
) -> None:
    killed, passing = twins[0], tmp_path / "passing"
    passing.mkdir()
    environ = {**ENVIRON, "TMPDIR": str(passing)}
    dice, run = Random(SEED), Run()
    with changing_firms(tmp_path) as firms:
        firms.settle(killed)
        begin(firms, twins, run)
        with watched(killed / "snapshots", shown(firms)) as watcher:
            while run.killed.total() < KILLS:
                in_a_row = min(dice.randint(*IN_A_ROW), KILLS - run.killed.total())
                moves_on = dice.random() < 0.5  # else the next finds just what the killed one was at work on
                for place in range(in_a_row):
                    # when a change of terms was first seen is remembered, so both folders are to see it at one instant
                    firms.change(terms=place == in_a_row - 1 and not moves_on)
                    kill_one(Attempt(killed, firms.now, environ), run, dice)
                if moves_on:
                    firms.change(terms=True)
                side_by_side(firms, twins, run)
    tell(run, watcher)
    assert watcher.failures == []
    assert run.children == []  # a refresh is one process: there is no other to be killed
    assert min(run.killed[phase] for phase in PHASES) >= KILLS // 10
    nothing_is_left_behind(load(killed, killed / "milepost.toml", {}))
    assert list(passing.iterdir()) == []


def begin(firms: Firms, twins: tuple[Path, Path], run: Run) -> None:
    """One refresh that nobody disturbs, of which both folders come."""
    attempt = Attempt(twins[0], firms.now, ENVIRON)
    outcome = attempt.wait()
    assert outcome is not None
    assert (outcome.problems, outcome.stale) == ((), ())
    run.learn(attempt)
    run.undisturbed += 1
    shutil.copytree(*twins)


def side_by_side(firms: Firms, twins: tuple[Path, Path], run: Run) -> None:
    """Both folders refreshed undisturbed at one instant must hold the same rows."""
    attempts = [Attempt(data, firms.now, ENVIRON) for data in twins]
    served = []
    for attempt in attempts:
        outcome = attempt.wait()
        assert outcome is not None
        assert (outcome.problems, outcome.stale) == ((), ())
        assert outcome.serving is not None
        assert outcome.serving.as_of == firms.now
        served.append(outcome.serving.path)
        run.learn(attempt)
    run.undisturbed += 1
    run.compared += 1
    assert differences(*served) == []


def tell(run: Run, watcher: Watcher) -> None:
    by_phase = ", ".join(f"{phase} {count}" for phase, count in sorted(run.killed.items()))
    print(
        f"\n{run.killed.total()} kills ({by_phase}), {run.undisturbed} refreshes undisturbed, {run.compared} compared, "
        f"0 differences; {watcher.looks} looks at {len(watcher.seen)} snapshots, {len(watcher.failures)} failures"
    )


def nothing_is_left_behind(settings: Settings) -> None:
    found = {path.name for path in settings.snapshots.iterdir()}
    kept = snapshots.available(settings.snapshots)
    assert found == {"current", *(one.path.name for one in kept), *(one.path.with_suffix(".json").name for one in kept)}
    assert len(kept) <= settings.keep_snapshots
    with warehouse.open_warehouse(settings.warehouse) as con:
        outcomes = {outcome for (outcome,) in con.execute("select outcome from ops.runs").fetchall()}
    assert outcomes == {"interrupted", "ok"}  # none is running still
