"""A folder that is refreshed for weeks does not grow beyond the retention set: files, warehouse, memory, run history.

Every refresh here pulls a portal over HTTP and files whose records change each time, stages, builds, publishes and
tidies up, as `milepost refresh` does, but without the orchestrator, which is most of a small refresh's time.
MILEPOST_DAYS says how many days are simulated (24 where it does not say), MILEPOST_A_DAY how many refreshes a day;
with MILEPOST_WHOLE=1 each is a whole one. `pytest -s` prints the figures.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from changing_firms import BEGAN, ENVIRON, Firms
from compared import differences

from pipelines import holding, pulling, refreshing, runs, scheduled, snapshots, standing, tidying, warehouse
from pipelines.demo.portal import running
from pipelines.settings import Settings, load
from pipelines.sources.door import Patience
from pipelines.supervising import Found, Watch

pytestmark = pytest.mark.slow

DAYS = int(os.environ.get("MILEPOST_DAYS", "24"))
A_DAY = int(os.environ.get("MILEPOST_A_DAY", "1"))
IS_WHOLE = os.environ.get("MILEPOST_WHOLE") == "1"
SETTLED = DAYS // 2  # the day from which on nothing may grow
KEPT_RUNS, KEPT_SNAPSHOTS, KEPT_LOADS, KEPT_STATES = 5, 3, 3, 2
HASTY = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=10)
MEGABYTE = 1 << 20


class Daily(Firms):
    """The firms, whose every step is as far apart as the refreshes of a day."""

    @property
    def now(self) -> datetime:
        return BEGAN + self.step * timedelta(days=1) / A_DAY


@dataclass(frozen=True, slots=True)
class Measured:
    """What one day left behind."""

    files: int
    warehouse: int
    snapshots: int
    memory: int
    rows: dict[str, int]


def refresh(settings: Settings, number: int, at: datetime) -> None:
    if IS_WHOLE:
        os.environ.update(ENVIRON)
        assert refreshing.refresh(settings, as_of=at, now=at).problems == ()
        return
    watch = Watch(settings, f"r{number}", "a simulated schedule", at, {})
    watch.begin()
    for name in settings.sources:
        if name != "relay" or _is_its_turn(number):
            pulling.pull(settings, name, at, ENVIRON, HASTY)
    with warehouse.open_warehouse(settings.warehouse) as con:
        moment = warehouse.moment(settings, at)
        warehouse.load_reference(con, settings)
        sources = warehouse.staged_sources(settings, holding.schemas(con, settings, ()))
        warehouse.stage_all(con, sources, moment)
        holding.note(con, settings, {}, {name: standing.received(con, name) for name in settings.sources})
        warehouse.build_all(con, moment)
        published = snapshots.publish(
            con, settings.snapshots, at, at, reporting_currency="USD", keep=settings.keep_snapshots,
            records_of=sources, terms=moment,
        )  # fmt: skip
    watch.end(Found(published=published.id), 5.0)


def _is_its_turn(number: int) -> bool:
    """The portal is asked the first time, the last, and every other between: that is most of what a refresh costs."""
    return number == 0 or (DAYS * A_DAY - 1 - number) % 2 == 0


def measured(settings: Settings, day: int) -> Measured:
    """What lies there; memory and rows are compared between two days alone, and are told of those near them."""
    rows = counted(settings) if day in (SETTLED, SETTLED + 1, DAYS) else {}
    there = [path for path in settings.data.rglob("*") if path.is_file()]
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return Measured(
        len(there),
        settings.warehouse.stat().st_size,
        sum(path.stat().st_size for path in there if path.suffix == ".duckdb" and path != settings.warehouse),
        pages * os.sysconf("SC_PAGE_SIZE"),
        rows,
    )


def counted(settings: Settings) -> dict[str, int]:
    gc.collect()
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        tables = con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where schema_name = 'ops' "
            "or table_name in ('_dlt_loads', '_dlt_pipeline_state', '_dlt_version')"
        ).fetchall()
        return {name: con.execute(f"select count(*) from {name}").fetchall()[0][0] for (name,) in tables}


@pytest.fixture(scope="module")
def weeks(quick: Path) -> Iterator[tuple[Settings, Firms, list[Measured]]]:
    """A data folder after all days, the firms as they are then, and what each day left."""
    folder = quick / "weeks"
    folder.mkdir()
    firms = Daily(folder / "files", projects=3)
    days = []
    with running(firms) as firms.url, pytest.MonkeyPatch.context() as patched:  # type: ignore[arg-type]
        patched.setattr(tidying, "KEPT_LOADS", KEPT_LOADS)
        patched.setattr(tidying, "KEPT_STATES", KEPT_STATES)
        firms.settle(folder / "data", page_size=500)
        settings = load(folder / "data", folder / "data" / "milepost.toml", {})
        settings = settings.model_copy(update={"keep_runs": KEPT_RUNS, "keep_snapshots": KEPT_SNAPSHOTS})
        for number in range(DAYS * A_DAY):
            firms.change()
            refresh(settings, number, firms.now)
            if (number + 1) % A_DAY == 0:
                days.append(measured(settings, len(days) + 1))
        yield settings, firms, days
    for day in sorted({1, SETTLED, DAYS // 2, DAYS}):
        one = days[day - 1]
        print(f"\nday {day}: {one.files} files, warehouse {one.warehouse / MEGABYTE:.1f} MB, "
              f"snapshots {one.snapshots / MEGABYTE:.1f} MB, memory {one.memory / MEGABYTE:.0f} MB", end="")  # fmt: skip


def test_no_file_is_left_over_after_weeks(weeks: tuple[Settings, Firms, list[Measured]]) -> None:
    settings, _, days = weeks
    assert len({day.files for day in days[SETTLED:]}) == 1
    assert len(snapshots.available(settings.snapshots)) == KEPT_SNAPSHOTS
    passing = [path for path in settings.data.rglob("*") if path.suffix in (".tmp", ".wal")]
    assert passing == []


def test_the_warehouse_stops_growing(weeks: tuple[Settings, Firms, list[Measured]]) -> None:
    _, _, days = weeks
    before, after = (max(day.warehouse for day in part) for part in (days[:SETTLED], days[SETTLED:]))
    assert after <= 1.15 * before
    assert max(day.snapshots for day in days[SETTLED:]) <= 1.15 * days[SETTLED].snapshots


def test_memory_stops_growing(weeks: tuple[Settings, Firms, list[Measured]]) -> None:
    _, _, days = weeks
    assert days[-1].memory - days[SETTLED - 1].memory <= 3 * MEGABYTE * (DAYS - SETTLED)


def test_notes_of_runs_pulls_and_loads_are_kept_to_the_newest(weeks: tuple[Settings, Firms, list[Measured]]) -> None:
    settings, _, days = weeks
    rows = days[-1].rows
    assert rows["ops.runs"] == KEPT_RUNS
    assert len(runs.newest(settings.data)) == KEPT_RUNS
    assert rows["ops.pulls"] == KEPT_RUNS * len(settings.sources)
    assert rows["raw_relay._dlt_loads"] <= KEPT_LOADS + KEPT_STATES
    assert rows["raw_relay._dlt_pipeline_state"] <= 2 * KEPT_STATES
    remembered = ("ops.gate_terms_seen", "ops.gate_documents_seen")  # for good
    grown = {name for name in rows if rows[name] > days[SETTLED].rows.get(name, 0) and name not in remembered}
    assert grown == set()


def test_after_weeks_of_tidying_the_numbers_are_those_of_a_fresh_folder(
    weeks: tuple[Settings, Firms, list[Measured]], tmp_path: Path
) -> None:
    settings, firms, _ = weeks
    firms.settle(tmp_path / "data", page_size=500)
    fresh = load(tmp_path / "data", tmp_path / "data" / "milepost.toml", {})
    refresh(fresh, 0, firms.now)
    one, other = snapshots.newest(settings.snapshots), snapshots.newest(fresh.snapshots)
    assert one is not None
    assert other is not None
    told = differences(one.path, other.path)
    # what was remembered of gates over the weeks a fresh folder cannot know
    assert [line for line in told if not line.startswith(("ops.gate_", "marts.gate_terms"))] == []


# --- the orchestrator's own records -------------------------------------------------------------------------


def test_dagster_keeps_the_newest_runs_alone_with_all_that_belongs_to_them(tmp_path: Path, quick: Path) -> None:
    settings = Settings(data=tmp_path / "data", keep_dagster_runs=2)
    home = quick / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", "utf-8")
    job = acted(settings)
    sizes = []
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for _ in range(5):
            assert job.execute_in_process(instance=instance).success
            sizes.append(sum(1 for path in home.rglob("*") if path.is_file()))
        kept = {run.run_id for run in instance.get_runs()}
        assert len(kept) == settings.keep_dagster_runs + 1  # the one that was under way
        assert {path.stem for path in (home / "history" / "runs").glob("*-*.db")} == kept
        assert {path.name for path in (home / "storage").iterdir()} <= kept
        with instance.event_log_storage.index_connection() as con:
            for table in ("asset_check_executions", "event_logs"):
                rows = con.exec_driver_sql(f"select distinct run_id from {table}").fetchall()
                assert {run for (run,) in rows} <= kept, table
    assert len(set(sizes[3:])) == 1
    assert [run.outcome for run in runs.newest(settings.data)] == ["ok"] * 5


def acted(settings: Settings) -> dg.JobDefinition:
    """A job of the name and with the resource of the refresh, whose one asset is no more than its check."""
    key = dg.AssetKey(["snapshot"])

    @dg.asset(key=key, check_specs=[dg.AssetCheckSpec("fits", asset=key)])
    def snapshot(watch: dg.ResourceParam[object]) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"id": "s1"}, check_results=[dg.AssetCheckResult(passed=True)])

    job = dg.define_asset_job("refresh", selection=dg.AssetSelection.all(), executor_def=dg.in_process_executor)
    definitions = dg.Definitions(assets=[snapshot], jobs=[job], resources={"watch": scheduled.watch(settings)})
    return definitions.resolve_job_def("refresh")
