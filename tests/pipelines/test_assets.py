"""The Dagster side: every table an asset with its words and checks, and a snapshot only of what is fit to be seen."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import duckdb
import pytest
import small_firm

from models import catalog
from models.catalog import Model
from pipelines import assets, checks, inbox, lineage, refreshing, snapshots
from pipelines.definitions import assemble
from pipelines.settings import PROJECT, Settings, load


@pytest.fixture
def firm(tmp_path: Path) -> Settings:
    return small_firm.found(tmp_path / "data")


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, refreshing.Refresh]:
    """A data folder after one good refresh; not to be changed."""
    folder = tmp_path_factory.mktemp("yesterday") / "data"
    return folder, refreshing.refresh(small_firm.found(folder))


@pytest.fixture
def today(yesterday: tuple[Path, refreshing.Refresh], tmp_path: Path) -> Settings:
    """A copy of that folder, to be broken."""
    shutil.copytree(yesterday[0], tmp_path / "data")
    return load(tmp_path / "data", tmp_path / "data" / "milepost.toml", {})


def graph_of(settings: Settings) -> dg.AssetGraph:
    return assemble(settings).resolve_asset_graph()


def asset(graph: dg.AssetGraph, *path: str) -> dg.AssetSpec:
    return graph.get(dg.AssetKey(path)).to_asset_spec()  # type: ignore[no-any-return]


def in_snapshot(settings: Settings, query: str) -> list[tuple[object, ...]]:
    serving = snapshots.newest(settings.snapshots)
    assert serving is not None
    with duckdb.connect(str(serving.path), read_only=True) as con:
        return con.execute(query).fetchall()


# --- what Dagster is told --------------------------------------------------------------------------------


def test_every_source_and_table_is_an_asset_named_as_its_table(firm: Settings) -> None:
    keys = {"/".join(key.path) for key in graph_of(firm).get_all_asset_keys()}
    assert keys == {
        "raw/studio",
        *(f"staging/{name}" for name in catalog.contract().entities),
        *(f"marts/{name}" for name in catalog.marts()),
        "snapshot",
    }


def test_an_asset_is_described_by_the_header_of_its_model(firm: Settings) -> None:
    gates = asset(graph_of(firm), "marts", "gates")
    assert gates.description == catalog.marts()["gates"].about
    schema = gates.metadata["dagster/column_schema"]
    told = {column.name: column.description for column in schema.columns}
    assert told == dict(catalog.marts()["gates"].columns)


def test_the_graph_leads_from_raw_to_the_snapshot(firm: Settings) -> None:
    graph = graph_of(firm)
    raw, staging, snapshot = (
        dg.AssetKey(path) for path in (["raw", "studio"], ["staging", "milestones"], ["snapshot"])
    )
    assert raw in graph.get(staging).parent_keys
    assert graph.get(snapshot).parent_keys == {dg.AssetKey(["marts", name]) for name in catalog.marts()}


def test_fail_lines_block_and_warn_lines_do_not(firm: Settings) -> None:
    specs = {spec.key: spec for spec in checks.specs(catalog.contract(), catalog.marts())}
    for model in catalog.marts().values():
        for lines, blocks in ((model.fail, True), (model.warn, False)):
            for line in lines:
                spec = specs[dg.AssetCheckKey(dg.AssetKey(["marts", model.name]), checks.name(line))]
                assert (spec.blocking, spec.description) == (blocks, line)
    pulled = {dg.AssetCheckKey(dg.AssetKey(["raw", "studio"]), checks.PULLED)}
    assert specs.keys() | pulled == graph_of(firm).asset_check_keys


def test_check_names_tell_signs_apart() -> None:
    names = {checks.name(f"x {sign} 1") for sign in ("<", "<=", ">", ">=", "=", "<>")}
    assert names == {"x_below_1", "x_at_most_1", "x_above_1", "x_at_least_1", "x_is_1", "x_not_1"}


def test_lineage_follows_a_column_through_ctes_unions_and_stars() -> None:
    sql = """
    with dated as (select *, issued_at as at from staging.invoices),
    both as (select source_key, at from dated union all select p.source_key, p.received_at from staging.payments as p)
    select both.source_key as k, max(both.at) as latest, count(*) as n, 'x' as fixed from both group by all"""
    assert lineage.origins(sql) == {
        "k": {("staging.invoices", "source_key"), ("staging.payments", "source_key")},
        "latest": {("staging.invoices", "issued_at"), ("staging.payments", "received_at")},
        "n": set(),
        "fixed": set(),
    }


def test_every_cycle_time_is_traced_to_recorded_columns() -> None:
    told = lineage.columns(catalog.marts()["gates"]).deps_by_column
    assert set(told) == set(catalog.marts()["gates"].columns)
    assert told["gate_name"] == [dg.TableColumnDep(dg.AssetKey(["staging", "milestones"]), "name")]


def test_without_a_source_there_is_still_a_workspace(tmp_path: Path) -> None:
    definitions = assemble(load(tmp_path, None, {}))
    dg.Definitions.validate_loadable(definitions)
    assert not list(definitions.sensors or ())


@pytest.mark.slow
@pytest.mark.parametrize("has_sources", [True, False])
def test_dagster_validates_the_workspace(tmp_path: Path, has_sources: bool) -> None:
    data = tmp_path / "data"
    if has_sources:
        small_firm.found(data)
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", "-w", "workspace.yaml"],
        cwd=PROJECT,
        env={**os.environ, "MILEPOST_DATA": str(data), "DAGSTER_DISABLE_TELEMETRY": "yes"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


# --- schedule and sensor ---------------------------------------------------------------------------------


def test_the_schedule_asks_for_one_refresh_every_morning(firm: Settings) -> None:
    repository = assemble(firm).get_repository_def()
    daily = repository.get_schedule_def("daily")
    assert (daily.cron_schedule, daily.execution_timezone, daily.job_name) == ("0 5 * * *", "UTC", "refresh")
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 6, 30, 5, tzinfo=UTC))
    assert len(daily.evaluate_tick(context).run_requests or ()) == 1


class Inbox:
    """The sensor, looked at again and again with the cursor it left."""

    def __init__(self, settings: Settings) -> None:
        self.repository = assemble(settings).get_repository_def()
        self.cursor: str | None = None

    def look(self) -> int:
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance, cursor=self.cursor, repository_def=self.repository)
            tick = self.repository.get_sensor_def("inbox").evaluate_tick(context)
        self.cursor = tick.cursor
        return len(tick.run_requests or ())


def test_a_file_that_changed_and_lies_still_starts_one_refresh(firm: Settings) -> None:
    sensor = Inbox(firm)
    assert [sensor.look() for _ in range(3)] == [0, 1, 0]
    (firm.inbox / "clients.csv").write_text("source_key,name\nc1,Aster & Co\n")
    first = sensor.look()
    (firm.inbox / "clients.csv").write_text("source_key,name\nc1,Aster & Company\n")  # still being copied
    assert [first, sensor.look(), sensor.look(), sensor.look()] == [0, 0, 1, 0]


def test_an_empty_inbox_starts_nothing(firm: Settings) -> None:
    for file in firm.inbox.iterdir():
        file.unlink()
    sensor = Inbox(firm)
    assert [sensor.look() for _ in range(3)] == [0, 0, 0]


def test_a_file_no_table_reads_is_no_news(firm: Settings) -> None:
    before = inbox.fingerprint(firm)
    (firm.inbox / "notes.txt").write_text("hello")
    assert inbox.fingerprint(firm) == before


# --- a refresh -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_refresh_makes_every_table_and_one_snapshot(yesterday: tuple[Path, refreshing.Refresh]) -> None:
    folder, outcome = yesterday
    assert outcome.problems == ()
    made = {step.name: step.rows for step in outcome.steps}
    assert (made["raw/studio"], made["staging/milestones"], made["marts/gates"], made["marts/rejects"]) == (10, 2, 2, 0)
    assert len(made) == 1 + len(catalog.contract().entities) + len(catalog.marts()) + 1
    settings = load(folder, folder / "milepost.toml", {})
    assert [one.is_current for one in snapshots.available(settings.snapshots)] == [True]
    assert in_snapshot(settings, "select cycle_days from marts.gates order by gate_id") == [(5.0,), (None,)]


@pytest.mark.slow
def test_the_clock_of_a_refresh_is_its_start_unless_told(today: Settings) -> None:
    outcome = refreshing.refresh(today, as_of=datetime(2026, 1, 6, tzinfo=UTC))
    assert outcome.serving is not None
    assert outcome.serving.as_of == datetime(2026, 1, 6, tzinfo=UTC)
    assert outcome.serving.published_at > datetime(2026, 6, 30, tzinfo=UTC)
    assert in_snapshot(today, "select status from marts.gates where sequence = 1") == [("awaiting_decision",)]


@pytest.mark.slow
def test_a_broken_fail_line_keeps_the_snapshot_from_being_made(
    today: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshots.available(today.snapshots)
    break_a_check(monkeypatch)
    outcome = refreshing.refresh(today)
    assert len(outcome.problems) == 1
    assert outcome.problems[0].startswith("marts/gates: sequence < 2: 1 row breaks it, such as gate_id studio:g2")
    assert snapshots.available(today.snapshots) == before
    assert outcome.serving == before[0]


@pytest.mark.slow
def test_the_snapshot_refuses_in_a_later_run_too(today: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshots.available(today.snapshots)
    break_a_check(monkeypatch)
    refreshing.refresh(today)
    assert "marts.gates: sequence < 2 does not hold." in refusal_of_the_snapshot_alone(today)
    assert snapshots.available(today.snapshots) == before


@pytest.mark.slow
def test_the_snapshot_refuses_after_a_refresh_that_broke_off(today: Settings) -> None:
    before = snapshots.available(today.snapshots)
    small_firm.rewrite(today, "milestones", "log", "rumour")
    refreshing.refresh(today)
    assert "not made since the last refresh began" in refusal_of_the_snapshot_alone(today)
    assert snapshots.available(today.snapshots) == before


@pytest.mark.slow
def test_tables_of_two_instants_are_not_published_together(today: Settings) -> None:
    job = assemble(today).resolve_job_def("refresh")
    gates_and_snapshot = [dg.AssetKey(["marts", "gates"]), dg.AssetKey(["snapshot"])]
    ran = job.execute_in_process(asset_selection=gates_and_snapshot, raise_on_error=False)
    made = [event.asset_key for event in ran.get_asset_materialization_events()]
    assert made == [dg.AssetKey(["marts", "gates"])]
    (failure,) = [event.step_failure_data for event in ran.all_events if event.is_step_failure]
    assert "built for" in str(failure.user_failure_data.description)


@pytest.mark.slow
def test_a_value_outside_the_contract_names_file_record_field_and_cure(today: Settings) -> None:
    before = snapshots.newest(today.snapshots)
    small_firm.rewrite(today, "milestones", "g1,p1,Kickoff,1,client", "g1,p1,Kickoff,1,martian")
    outcome = refreshing.refresh(today)
    assert len(outcome.problems) == 1
    for word in ("inbox/milestones.csv", "row 2", "record g1", "approver_side", "'martian' is unknown", "authority"):
        assert word in outcome.problems[0]
    assert outcome.serving == before


@pytest.mark.slow
def test_a_source_that_cannot_be_pulled_stops_the_refresh_in_plain_words(today: Settings) -> None:
    before = snapshots.newest(today.snapshots)
    (today.inbox / "invoices.csv").unlink()
    outcome = refreshing.refresh(today)
    assert len(outcome.problems) == 1
    assert "invoices.csv" in outcome.problems[0]
    assert "Traceback" not in outcome.problems[0]
    assert outcome.serving == before
    assert not [step for step in outcome.steps if step.name.startswith(("staging", "marts", "snapshot"))]


@pytest.mark.slow
def test_only_a_run_that_is_kept_carries_column_lineage(today: Settings, tmp_path: Path) -> None:
    job = assemble(today).resolve_job_def("refresh")
    gates = dg.AssetKey(["marts", "gates"])
    with dg.instance_for_test() as kept, dg.DagsterInstance.ephemeral() as passing:
        found = [
            event.step_materialization_data.materialization.metadata.get("dagster/column_lineage")
            for instance in (kept, passing)
            for event in job.execute_in_process(instance=instance, asset_selection=[gates]).all_events
            if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        ]
    assert found[1] is None
    assert "cycle_days" in found[0].value.deps_by_column  # type: ignore[union-attr]


@pytest.mark.slow
def test_progress_is_told_step_by_step(today: Settings) -> None:
    said: list[str] = []
    refreshing.refresh(today, saying=said.append)
    assert said[0] == "Starting"
    assert "Pulling studio" in said
    assert said[-1] == "Publishing"
    assert not logging.getLogger(refreshing.PROGRESS).handlers


def test_an_instant_nobody_can_read_is_refused() -> None:
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(Exception, match="'yesterday' is no instant"):
        assets.Clock(as_of="yesterday").instant(dg.build_asset_context(instance=instance))


def refusal_of_the_snapshot_alone(settings: Settings) -> str:
    """The words with which the snapshot asset refuses in a run of its own."""
    job = assemble(settings).resolve_job_def("refresh")
    alone = job.execute_in_process(asset_selection=[dg.AssetKey(["snapshot"])], raise_on_error=False)
    assert not alone.success
    (failure,) = [event.step_failure_data for event in alone.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    return str(failure.user_failure_data.description)


def break_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates get a condition that the second of them does not meet."""
    marts = dict(catalog.marts())
    marts["gates"] = replace(marts["gates"], fail=(*marts["gates"].fail, "sequence < 2"))
    broken: Mapping[str, Model] = marts
    monkeypatch.setattr(catalog, "marts", lambda: broken)


def test_the_cursor_is_readable(firm: Settings) -> None:
    sensor = Inbox(firm)
    sensor.look()
    assert json.loads(sensor.cursor or "") == {"seen": inbox.fingerprint(firm), "run": ""}
