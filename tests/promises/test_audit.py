"""What goes wrong between the records and the tables is seen by a check before anybody sees it, and nothing is published."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from landed_portfolio import FIRMS, landed

from models import audit, build, catalog
from models.build import Moment
from models.catalog import Model
from models.faults import Fault
from pipelines import assets, checks, holding, snapshots, standing, warehouse
from pipelines import settings as milepost_settings
from pipelines.demo.simulation import simulate
from pipelines.settings import Settings

pytestmark = pytest.mark.slow

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)

# table made → what goes wrong with it, and the check that says so; all that is built after it is built from it
MODELS: dict[str, tuple[str, str, str, str]] = {
    "a gate twice": ("gates", "insert into marts.gates from marts.gates limit 1", "marts.gates", "gate_id is unique"),
    "an invoice twice": ("invoices", "insert into marts.invoices from marts.invoices limit 1", "marts.invoices", "invoice_id is unique"),
    "a gate without a key": ("gates", "update marts.gates set gate_id = null where gate_id = (select min(gate_id) from marts.gates)", "marts.gates", "gate_id is unique"),
    "money of a bill that is not there": ("payments", "update marts.payments set invoice_id = 'relay:gone' where payment_id = (select min(payment_id) from marts.payments)", "marts.payments", audit.THERE),
    "a line of a gate that is not there": ("gate_billing", "update marts.gate_billing set gate_id = 'relay:gone' where gate_id is not null", "marts.gate_billing", audit.THERE),
    "a negative cycle time": ("gates", "update marts.gates set cycle_days = -1 where cycle_days is not null", "marts.gates", "has_chronology_violation or cycle_days is null or cycle_days >= 0"),
    "spans that do not add up": ("gates", "update marts.gates set wait_days = wait_days + 0.5 where cycle_days is not null", "marts.gates", "abs(work_days + wait_days + idle_days - cycle_days)"),
    "a state left before it was entered": ("gate_states", "update marts.gate_states set left_at = entered_at - interval 1 hour where left_at is not null", "marts.gate_states", "left_at is null or entered_at <= left_at"),
    "a lost gate": ("gates", "delete from marts.gates where gate_id = (select max(gate_id) from marts.gates)", "marts.gates", "every row of staging.milestones is here or in rejects"),
    "a lost event": ("gate_events", "delete from marts.gate_events where event_id = (select max(event_id) from marts.gate_events)", "marts.gate_events", "every row of staging.milestone_events is here or in rejects"),
    "a lost reject": ("rejects", "delete from marts.rejects", "marts.", "is here or in rejects"),
    "a changed total": ("invoices", "update marts.invoices set total_amount_local = total_amount_local + 0.01 where invoice_id = (select min(invoice_id) from marts.invoices)", "marts.invoices", "with its total and retained"),
    "a doubled allocation": ("gate_billing", "update marts.gate_billing set amount_local = amount_local * 2", "marts.gate_billing", "with its amount"),
    "more allocated than the line says": ("gate_billing", "update marts.gate_billing set line_amount_local = 1, line_allocated_amount_local = 2 where invoice_line_id = (select min(invoice_line_id) from marts.gate_billing)", "marts.gate_billing", "abs(line_allocated_amount_local) <= abs(line_amount_local)"),
    "a turned sign": ("payments", "update marts.payments set amount_local = -amount_local where payment_id = (select min(payment_id) from marts.payments)", "marts.payments", "with its amount"),
    "a turned sign that the totals of both turn": ("change_orders", "update marts.change_orders set requested_amount = -requested_amount where requested_amount <> 0", "marts.change_orders", "come to the same here in every currency"),
    "money of another currency": ("invoices", "update marts.invoices set currency = 'XXX' where invoice_id = (select min(invoice_id) from marts.invoices)", "marts.invoices", "come to the same here in every currency"),
    "another rate": ("invoices", "update marts.invoices set total_amount = total_amount * 1.1", "marts.invoices", "come to the same here in every currency"),
    "a decision of tomorrow": ("gates", "update marts.gates set submitted_at = timestamp '2026-07-01' where gate_id = (select min(gate_id) from marts.gates)", "marts.gates", audit.PAST),
    "a payment of next year": ("payments", "update marts.payments set received_at = timestamp '2027-01-01' where payment_id = (select min(payment_id) from marts.payments)", "marts.payments", audit.PAST),
    "a gap in the versions of a plan": ("gate_plans", "update marts.gate_plans set version = version + 1 where gate_id = (select min(gate_id) from marts.gate_plans)", "marts.gate_plans", "b.version = gate_plans.version - 1"),
    "a gap in the states": ("gate_states", "update marts.gate_states set position = position + 1 where gate_id = (select min(gate_id) from marts.gate_states)", "marts.gate_states", "b.position = gate_states.position - 1"),
    "a table without rows": ("invoices", "delete from marts.invoices", "marts.invoices", "every row of staging.invoices is here or in rejects"),
    "a source that no gate is shown of": ("gates", "delete from marts.gates where source = 'relay'", "marts.gates", "every row of staging.milestones is here or in rejects"),
    "entries that do not come to what is open": ("receivable_entries", "update marts.receivable_entries set amount_local = amount_local + 1", "marts.invoice_balances", "entries_amount_local = open_amount_local"),
    "contracts that do not add up": ("contracts", "update marts.contracts set current_amount = current_amount + 1 where current_amount is not null", "marts.contracts", "current_amount = original_amount + added_amount + deducted_amount"),
}  # fmt: skip

# what goes wrong with staged rows, where no table is to blame
STAGED: dict[str, tuple[str, str, str]] = {
    "a row that was admitted twice": ("insert into staging.milestones from staging.milestones where reject_reason is null limit 1", "marts.gates", "gate_id is unique"),
    "a project whose client went": ("delete from staging.clients where client_id = (select min(client_id) from staging.projects)", "marts.", audit.THERE),
    "a gate that is dated tomorrow": ("update staging.milestone_events set occurred_at = timestamp '2026-07-02' where reject_reason is null and type = 'approved'", "marts.", audit.PAST),
    "a reason that no check knows": ("update staging.payments set reject_reason = 'lost' where payment_id = (select min(payment_id) from staging.payments)", "marts.rejects", "reason in ("),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose every table is made and sound, with one snapshot."""
    data = tmp_path_factory.mktemp("audited") / "data"
    with landed(simulate(seed=7, projects=12, as_of=AS_OF), data, AS_OF) as con:
        settings = milepost_settings.load(data)
        refresh(con, settings, ())
        publish(con, settings)
    return data


@contextmanager
def copied(whole: Path, tmp_path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Settings]]:
    shutil.copytree(whole, tmp_path / "data")
    settings = milepost_settings.load(tmp_path / "data")
    with warehouse.open_warehouse(settings.warehouse) as con:
        yield con, settings


def refresh(con: duckdb.DuckDBPyConnection, settings: Settings, anew: Collection[str]) -> None:
    """What the marts' part of a refresh does: builds those tables anew, checks all, and notes down what is broken."""
    at = warehouse.moment(settings, AS_OF)
    planned = {
        name: replace(one, stands=name.removeprefix("marts.") not in anew)
        for name, one in standing.plan(con, settings, at, _tables()).items()
    }
    standing.note(con, {f"staging.{name}": [] for name in catalog.contract().entities}, planned, at)
    for _ in assets._built(con, list(catalog.marts().values()), at, planned, is_kept=False):
        pass


def built_from(name: str) -> set[str]:
    """A mart and all that read it."""
    touched = {name}
    for model in catalog.marts().values():
        touched |= {model.name} if touched & {table.removeprefix("marts.") for table in model.reads} else set()
    return touched


def _tables() -> list[str]:
    return [
        *(f"staging.{name}" for name in catalog.contract().entities),
        *(f"marts.{name}" for name in catalog.marts()),
    ]


def publish(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """What the snapshot's part of a refresh does."""
    as_of = assets._fit_to_publish(con)
    at = warehouse.moment(settings, as_of)
    snapshots.publish(
        con, settings.snapshots, as_of, AS_OF, reporting_currency=settings.reporting_currency, keep=7,
        records_of=warehouse.staged_sources(settings), terms=at,
    )  # fmt: skip


def refusal(con: duckdb.DuckDBPyConnection, settings: Settings, table: str, check: str) -> None:
    """Nothing is published, and that check of that table says why."""
    before = sorted(path.name for path in settings.snapshots.iterdir())
    with pytest.raises(Fault) as caught:
        publish(con, settings)
    said = [(problem.where, problem.what) for problem in caught.value.problems]
    assert any(where.startswith(table) and check in what for where, what in said), said
    assert sorted(path.name for path in settings.snapshots.iterdir()) == before


@pytest.mark.parametrize("what", MODELS)
def test_what_a_model_gets_wrong_is_said_by_a_check_and_not_published(
    whole: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, wrong, table, check = MODELS[what]
    builds = build.build

    def broken(con: duckdb.DuckDBPyConnection, model: Model, moment: Moment) -> None:
        builds(con, model, moment)
        if model.name == made:
            assert con.execute(wrong).fetchall()[0][0] > 0, "rows are changed"

    monkeypatch.setattr(build, "build", broken)
    with copied(whole, tmp_path) as (con, settings):
        refresh(con, settings, built_from(made))
        refusal(con, settings, table, check)


@pytest.mark.parametrize("what", STAGED)
def test_what_is_staged_wrong_is_said_by_a_check_and_not_published(whole: Path, tmp_path: Path, what: str) -> None:
    wrong, table, check = STAGED[what]
    with copied(whole, tmp_path) as (con, settings):
        assert con.execute(wrong).fetchall()[0][0] > 0, "rows are changed"
        refresh(con, settings, catalog.marts())
        refusal(con, settings, table, check)


def test_without_a_fault_the_same_tables_are_published(whole: Path, tmp_path: Path) -> None:
    with copied(whole, tmp_path) as (con, settings):
        refresh(con, settings, catalog.marts())
        before = len(list(settings.snapshots.glob("*.duckdb")))
        publish(con, settings)
        assert len(list(settings.snapshots.glob("*.duckdb"))) == before + 1


# --- a source that has gone ---------------------------------------------------------------------------------


def staged(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    at = warehouse.moment(settings, AS_OF)
    holding.note(con, settings, {}, {name: standing.received(con, name) for name in settings.sources})
    for _ in assets._all_staged(con, settings, at, set(_tables())):
        pass


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("drop schema raw_relay cascade", "records are gone"),
        ("delete from raw_relay.milestones", "milestones are gone"),
        ("update raw_relay.milestone_events set deleted_at = '2026-06-29T00:00:00Z'", "milestone events are gone"),
    ],
)
def test_a_source_whose_records_vanish_is_held_at_its_last_good_ones_and_said_to_be(
    whole: Path, tmp_path: Path, gone: str, words: str
) -> None:
    with copied(whole, tmp_path) as (con, settings):
        for source in FIRMS:
            con.execute(
                "insert into ops.pulls values (?, 'portal', ?, now()::timestamp, 'ok', 1, null, null)", [source, source]
            )
        staged(con, settings)
        before = dict(con.execute("select source, count(*) from staging.milestone_events group by all").fetchall())
        con.execute(gone)
        con.execute("create table if not exists raw_relay._dlt_loads (load_id varchar)") if "drop" not in gone else None
        staged_anew(con, settings)
        after = dict(con.execute("select source, count(*) from staging.milestone_events group by all").fetchall())
        (line,) = holding.stale(con, settings)
    assert after == before
    assert "source relay is not up to date" in line
    assert words in line


def staged_anew(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """As after a pull: no table stands."""
    con.execute("delete from ops.builds")
    at = warehouse.moment(settings, AS_OF)
    for _ in assets._all_staged(con, settings, at, set(_tables())):
        pass


def test_the_only_source_that_has_vanished_stops_the_refresh(whole: Path, tmp_path: Path) -> None:
    with copied(whole, tmp_path) as (con, settings):
        alone = settings.model_copy(update={"sources": {"relay": settings.sources["relay"]}})
        staged_anew(con, alone)
        for entity in catalog.contract().entities:
            con.execute(f"delete from raw_relay.{entity}")
        with pytest.raises(Fault, match=r"source relay: all of its [\d,]+ records are gone"):
            staged_anew(con, alone)


def test_a_source_that_the_settings_take_less_from_has_not_vanished(whole: Path, tmp_path: Path) -> None:
    with copied(whole, tmp_path) as (con, settings):
        less: dict[str, Any] = {
            name: source.model_copy(update={"takes": ("clients", "projects", "milestones")})
            for name, source in settings.sources.items()
        }
        staged_anew(con, settings)
        staged_anew(con, settings.model_copy(update={"sources": less}))
        assert con.execute("select count(*) from staging.milestone_events").fetchall() == [(0,)]


def test_every_finding_of_the_audit_has_a_check_in_dagster(whole: Path, tmp_path: Path) -> None:
    specs = {(spec.asset_key.path[-1], spec.name) for spec in checks.specs(catalog.contract(), catalog.marts())}
    with copied(whole, tmp_path) as (con, _):
        there = audit.made(con)
        findings = [one for model in catalog.marts().values() for one in audit.check(con, model, there)]
    assert len(findings) > 60
    assert {(one.table.removeprefix("marts."), checks.name(one.check)) for one in findings} <= specs
