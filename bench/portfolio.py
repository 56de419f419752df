"""Case: a refresh of 100,000 simulated gates from files, table by table, then every measure over its snapshot.

The snapshot is opened as the dashboard opens it, and each measure of the catalogue is asked by client: once with
a plan nobody has made yet, then the best of three, and the best of three within a year, as pages mostly ask.
What stays out: judging an answer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from printing import show

from models import catalog, measure
from models.measure import Question
from pipelines import definitions  # noqa: F401 - imported before the clock starts
from pipelines.demo.firms import FIRMS
from pipelines.demo.records import ENTITIES
from pipelines.demo.writing import write
from pipelines.refreshing import Refresh, Step, refresh
from pipelines.settings import load

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
YEAR = timedelta(days=364)
SHOWN = 5
RUNS = 3
QUICK, SLOW = 0.050, 0.300  # seconds
PARTS = {"pull": ("raw/",), "build": ("staging/", "marts/"), "publish": ("snapshot",)}


@dataclass(frozen=True, slots=True)
class Asked:
    """Seconds one measure took: `cold` with a plan to make, `warm` the best of three, `dated` within a year."""

    measure: str
    clients: int
    cold: float
    warm: float
    dated: float


def run(folder: Path, projects: int, seed: int) -> None:
    data = folder / f"portfolio-{projects}"
    if not (data / "milepost.toml").is_file():
        simulated(data, projects, seed)
    (data / "warehouse.duckdb").unlink(missing_ok=True)
    done = refresh(load(data), as_of=AS_OF)
    if not done.ok or done.serving is None:
        sys.exit("\n".join(done.problems))
    show_refresh(done)
    con = duckdb.connect(str(done.serving.path), read_only=True)
    con.execute("set timezone = 'UTC'")
    try:
        show_measures([asked(con, name) for name in measure.catalogue()])
    finally:
        con.close()


def simulated(data: Path, projects: int, seed: int) -> None:
    """The portfolio as contract files of three firms, and settings that read them."""
    write(data / "inbox", seed, projects, AS_OF)
    (data / "rates").mkdir(exist_ok=True)
    (data / "inbox" / "rates.csv").replace(data / "rates" / "rates.csv")
    lines = []
    for firm in FIRMS:
        lines += [f"[sources.{firm}]", "kind = 'files'", f"firm = '{firm}'", f"folder = 'inbox/{firm}'"]
        for entity in ENTITIES:
            lines += [f"[sources.{firm}.tables.{entity}]", f"glob = '{entity}.parquet'"]
    (data / "milepost.toml").write_text("\n".join(lines), "utf-8")


def show_refresh(done: Refresh) -> None:
    rows = {step.name: step.rows or 0 for step in done.steps}
    seconds = {part: sum(of.seconds for of in done.steps if of.name.startswith(PARTS[part])) for part in PARTS}
    seconds["check"] = sum(step.check_seconds for step in done.steps)
    records = sum(count for name, count in rows.items() if name.startswith("raw/"))
    show(
        f"Refresh of {rows['marts/gates']:,} gates ({records:,} records) from files",
        ("part", "s"),
        [(part, f"{seconds[part]:.2f}") for part in ("pull", "build", "check", "publish")],
    )
    models = [step for step in done.steps if step.name.startswith("marts/")]
    show("The slowest models", ("model", "rows", "build, s", "check, s"), map(line, slowest(models)))


def slowest(steps: Sequence[Step]) -> list[Step]:
    return sorted(steps, key=lambda step: step.seconds + step.check_seconds, reverse=True)[:SHOWN]


def line(step: Step) -> tuple[str, ...]:
    """The last model's seconds hold the commit of them all."""
    is_last = step.name == f"marts/{[*catalog.marts()][-1]}"
    name = f"{step.name}, with the commit of all" if is_last else step.name
    return name, f"{step.rows:,}", f"{step.seconds:.2f}", f"{step.check_seconds:.2f}"


def asked(con: duckdb.DuckDBPyConnection, name: str) -> Asked:
    plain = Question(name, by=("client",))
    cold, clients = taken(con, plain)
    warm = min(taken(con, plain)[0] for _ in range(RUNS))
    dated = min(taken(con, replace(plain, since=AS_OF.date() - YEAR, until=AS_OF.date()))[0] for _ in range(RUNS))
    return Asked(name, clients, cold, warm, dated)


def taken(con: duckdb.DuckDBPyConnection, question: Question) -> tuple[float, int]:
    """Seconds, and how many clients there are in the answer. A cursor for each question, as a page takes."""
    began = time.perf_counter()
    cursor = con.cursor()
    answered = measure.answer(cursor, question)
    cursor.close()
    return time.perf_counter() - began, answered["client"].n_unique()


def show_measures(found: Sequence[Asked]) -> None:
    labels = measure.catalogue()
    show(
        f"Every measure by client ({max(one.clients for one in found):,} clients): the slowest of {len(found)}",
        ("measure", "first, ms", "best of three, ms", "within a year, ms"),
        [
            (f"{one.measure} {labels[one.measure].label}", *map(in_ms, (one.cold, one.warm, one.dated)))
            for one in sorted(found, key=lambda one: one.warm, reverse=True)[:SHOWN]
        ],
    )
    columns = {"first call": "cold", "best of three": "warm", "best of three within a year": "dated"}
    show(
        f"All {len(found)} measures",
        ("asked", "under 50 ms", "above 300 ms", "median, ms", "slowest, ms"),
        [summed_up(label, sorted(getattr(one, column) for one in found)) for label, column in columns.items()],
    )


def summed_up(label: str, seconds: Sequence[float]) -> tuple[str, ...]:
    quick, slow = sum(one < QUICK for one in seconds), sum(one > SLOW for one in seconds)
    return label, f"{quick}", f"{slow}", in_ms(seconds[len(seconds) // 2]), in_ms(seconds[-1])


def in_ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f}"
