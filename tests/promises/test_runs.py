"""Each refresh leaves a row: when, how long, step by step, what came in, what became of it; also one that was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from small_firm import found, rewrite
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash
from typer.testing import CliRunner

from dashboard import refreshes
from dashboard.access import EVERYTHING, Sight
from models.faults import Fault
from pipelines import refreshing, runs, scheduled, turns, warehouse
from pipelines.cli import app
from pipelines.settings import PROJECT, Settings, load
from pipelines.supervising import Found, Watch

pytestmark = pytest.mark.slow

JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)
QUIET = {"MILEPOST_DATA": "", "MILEPOST_CONFIG": ""}


@pytest.fixture(scope="module")
def good_and_bad(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The small firm after a good refresh and, a day later, one that failed; not to be changed."""
    settings = found(tmp_path_factory.mktemp("good_and_bad") / "data")
    assert refreshing.refresh(settings, as_of=JUNE, now=JUNE).ok
    rewrite(settings, "invoices", "open", "CLIENTNAME")
    assert not refreshing.refresh(settings, as_of=JUNE, now=JUNE + timedelta(days=1)).ok
    return settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(tmp_path / "data", environ={"MILEPOST_CONFIG": ""})


def rows(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with warehouse.open_warehouse(settings.warehouse) as con:
        return con.execute(query).fetchall()


# --- what a row says ----------------------------------------------------------------------------------------


def test_a_good_refresh_says_when_it_ran_what_came_in_and_which_snapshot_it_published(good_and_bad: Settings) -> None:
    run = runs.newest(good_and_bad.data)[1]
    assert (run.started_by, run.outcome, run.error) == ("milepost refresh", "ok", None)
    assert run.started_at == JUNE
    assert run.ended_at is not None
    assert run.ended_at > JUNE
    assert (run.row_count, run.rejected_count) == (10, 0)
    assert run.check_count is not None
    assert run.check_count > 100
    (published,) = (path.stem for path in good_and_bad.snapshots.glob("*.duckdb"))
    assert published == f"milepost-{run.published}"


def test_each_step_has_its_rows_and_seconds_and_they_fit_into_the_whole(good_and_bad: Settings) -> None:
    run = runs.newest(good_and_bad.data)[1]
    names = [step.name for step in run.steps]
    assert names[0] == "raw/studio"
    assert names[-1] == "snapshot"
    assert {"staging/invoices", "marts/gates"} <= set(names)
    assert all(step.seconds >= 0 for step in run.steps)
    assert run.ended_at is not None
    spent = sum(step.seconds + step.check_seconds for step in run.steps)
    assert 0 < spent <= (run.ended_at - run.started_at).total_seconds()
    assert rows(good_and_bad, "select count(*) from ops.run_steps where seconds is null") == [(0,)]


def test_a_failed_refresh_says_why_and_publishes_nothing(good_and_bad: Settings) -> None:
    run = runs.newest(good_and_bad.data)[0]
    assert (run.outcome, run.published, run.rejected_count) == ("failed", None, None)
    assert run.error is not None
    assert "field status: 'CLIENTNAME' is unknown" in run.error
    assert run.steps[0].name == "raw/studio"


def test_the_file_says_what_the_warehouse_says(good_and_bad: Settings) -> None:
    told = [(run.run_id, run.outcome, run.row_count) for run in runs.newest(good_and_bad.data)]
    assert told == rows(good_and_bad, "select run_id, outcome, row_count from ops.runs order by started_at desc")


def test_an_error_of_any_length_is_kept_to_its_beginning(settings: Settings) -> None:
    watch = Watch(settings, "r1", "milepost refresh", JUNE, {})
    watch.begin()
    watch.end(Found(problems=("x" * 100_000,)), 1.0)
    assert runs.newest(settings.data)[0].error == "x" * runs.WRITTEN


# --- kills and two at once ----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from pipelines.settings import Settings
from pipelines.supervising import Watch
from pipelines import turns
settings = Settings(data=Path(sys.argv[1]))
with turns.taken(settings.data, "milepost refresh"):
    Watch(settings, "killed", "milepost refresh", datetime(2026, 6, 30, 12, tzinfo=UTC), {}).begin()
    print("begun", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def under_way(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """A refresh of another process, which is killed when a line is written to it."""
    command = [sys.executable, "-c", KILLED, str(settings.data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == "begun\n"
        yield one
        one.kill()


def test_a_second_refresh_says_that_one_is_at_work_and_leaves_its_row_alone(
    under_way: subprocess.Popen[str], settings: Settings
) -> None:
    with pytest.raises(Fault, match=rf"milepost refresh, process {under_way.pid}, has been at work there since"):
        refreshing.refresh(settings)
    assert [run.outcome for run in runs.newest(settings.data)] == ["running"]


def test_a_killed_refresh_gives_the_turn_back_and_is_closed_as_interrupted(
    under_way: subprocess.Popen[str], settings: Settings
) -> None:
    under_way.communicate("\n")
    assert under_way.returncode == -signal.SIGKILL
    with turns.taken(settings.data, "milepost refresh"):
        watch = Watch(settings, "next", "milepost refresh", JUNE + timedelta(hours=1), {})
        watch.begin()
        watch.end(Found(published="s1"), 2.0)
    told = [(run.run_id, run.outcome, run.error) for run in runs.newest(settings.data)]
    assert told == [("next", "ok", None), ("killed", "interrupted", runs.CUT_SHORT)]
    assert rows(settings, "select count(*) from ops.runs where outcome = 'running'") == [(0,)]


def test_a_refresh_that_is_interrupted_by_hand_is_noted_as_such(settings: Settings) -> None:
    watch = Watch(settings, "r1", "milepost refresh", JUNE, {})
    watch.begin()
    watch.end(Found(was_interrupted=True), 1.0)
    assert runs.newest(settings.data)[0].outcome == "interrupted"


def test_whoever_waits_for_the_turn_gets_it_when_the_other_ends(
    under_way: subprocess.Popen[str], settings: Settings
) -> None:
    said: list[str] = []

    def end_it(words: str) -> None:
        said.append(words)
        if len(said) == 1:
            os.kill(under_way.pid, signal.SIGKILL)

    with turns.taken(settings.data, "the next", 60, end_it):
        assert said[0] == f"Waiting for milepost refresh, process {under_way.pid}"
        assert (settings.data / turns.TURN).read_text("utf-8").startswith("the next, process ")


# --- what Dagster starts ------------------------------------------------------------------------------------


def job_of(settings: Settings, fails: bool) -> dg.JobDefinition:
    """A job of the name and with the resource of the refresh, of two small assets."""

    @dg.asset(key=["raw", "studio"])
    def raw(watch: dg.ResourceParam[object]) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"dagster/row_count": 7, "seconds": 0.25})

    @dg.asset(key=["snapshot"], deps=[dg.AssetKey(["raw", "studio"])])
    def snapshot(watch: dg.ResourceParam[object]) -> dg.MaterializeResult:
        assert runs.newest(settings.data)[0].outcome == "running"
        if fails:
            raise dg.Failure("no room on the disk", allow_retries=False)
        return dg.MaterializeResult(metadata={"id": "s1"})

    job = dg.define_asset_job("refresh", selection=dg.AssetSelection.all(), executor_def=dg.in_process_executor)
    definitions = dg.Definitions(assets=[raw, snapshot], jobs=[job], resources={"watch": scheduled.watch(settings)})
    return definitions.resolve_job_def("refresh")


def test_a_run_of_dagster_leaves_its_row_too_with_who_started_it(settings: Settings) -> None:
    with dg.instance_for_test() as instance:
        for fails, tags in ((False, {"dagster/schedule_name": "daily"}), (True, {"dagster/sensor_name": "inbox"})):
            job_of(settings, fails).execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        partly = [dg.AssetKey(["raw", "studio"])]
        job_of(settings, False).execute_in_process(instance=instance, asset_selection=partly)
    told = [
        (run.started_by, run.outcome, run.published, run.row_count, run.error) for run in runs.newest(settings.data)
    ]
    assert told == [
        ("sensor inbox", "failed", None, 7, "no room on the disk"),
        ("schedule daily", "ok", "s1", 7, None),
    ]


# --- where rows are shown -----------------------------------------------------------------------------------


def test_the_command_line_lists_them_newest_first_with_the_error_below(good_and_bad: Settings) -> None:
    told = CliRunner().invoke(app, ["runs", "--data", str(good_and_bad.data)], env=QUIET)
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0].split()[:4] == ["started_at", "by", "seconds", "outcome"]
    assert lines[1].startswith("2026-07-01T12:00:00Z")
    assert "failed" in lines[1]
    assert "ok" in lines[2]
    assert "field status: 'CLIENTNAME' is unknown" in lines[3]


def test_the_command_line_gives_them_as_json_with_every_step(good_and_bad: Settings) -> None:
    told = CliRunner().invoke(app, ["runs", "--json", "--limit", "1", "--data", str(good_and_bad.data)], env=QUIET)
    (run,) = json.loads(told.output)
    assert (run["outcome"], run["started_at"]) == ("failed", "2026-07-01T12:00:00+00:00")
    assert run["steps"][0]["name"] == "raw/studio"


def test_before_the_first_refresh_the_command_line_says_so(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["runs", "--data", str(tmp_path)], env=QUIET)
    assert told.exit_code == 1
    assert "nothing was refreshed yet" in told.output


def test_a_damaged_file_of_rows_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / runs.FILE).write_text("{", "utf-8")
    with pytest.raises(Fault, match=r"runs\.json: cannot be read .* Delete it"):
        runs.newest(tmp_path)


def health(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The table of refreshes on the page."""
    monkeypatch.setenv("MILEPOST_DATA", str(settings.data))
    monkeypatch.delenv("MILEPOST_CONFIG", raising=False)
    page = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=90)
    page._page_hash = calc_hash("data-health")
    page.run()
    assert not page.exception
    (table,) = (one.value for one in page.dataframe if "started_by" in one.value.columns)
    return table


def test_data_health_shows_the_newest_refreshes(good_and_bad: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    table = health(good_and_bad, monkeypatch)
    assert list(table["outcome"]) == ["failed", "ok"]
    assert "field status: 'CLIENTNAME' is unknown" in table["error"].iloc[0]
    assert table["row_count"].iloc[1] == 10
    assert "snapshot" in table["slowest"].iloc[1] or "raw/studio" in table["slowest"].iloc[1]


def test_whoever_is_shown_some_rows_alone_is_shown_no_error_and_no_counts(good_and_bad: Settings) -> None:
    limited = refreshes.newest(good_and_bad.data, Sight("pm", projects=("studio:p1",)))
    assert set(refreshes.newest(good_and_bad.data, EVERYTHING).columns) - set(limited.columns) == {
        "error",
        "row_count",
        "rejected_count",
    }
    assert "CLIENTNAME" not in str(limited.to_dicts())


def test_a_page_without_a_readable_file_of_refreshes_has_none(tmp_path: Path) -> None:
    for text in (None, "{", "[1]"):
        if text is not None:
            (tmp_path / runs.FILE).write_text(text, "utf-8")
        assert refreshes.newest(tmp_path, EVERYTHING).height == 0
