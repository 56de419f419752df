"""What the simulation planted is what the models find, quantity by quantity, to the second and the cent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from landed_portfolio import landed

from models import build, catalog
from pipelines.demo.simulation import Portfolio, simulate

pytestmark = pytest.mark.slow

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def portfolio() -> Portfolio:
    return simulate(seed=7, projects=150, as_of=AS_OF)


@pytest.fixture(scope="module")
def con(portfolio: Portfolio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with landed(portfolio, tmp_path_factory.mktemp("truth") / "data", AS_OF) as opened:
        yield opened


def found(con: duckdb.DuckDBPyConnection, sql: str) -> dict[str, tuple[Any, ...]]:
    """Rows by their source's own key, the first column."""
    return {row[0]: row[1:] for row in con.execute(sql).fetchall()}


def seconds(days: float | None) -> int | None:
    return None if days is None else round(days * 86400)


def amount(value: object) -> str:
    return f"{float(str(value)):.2f}"


def test_every_gates_state_attempts_and_spans(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(
        con,
        """
        select source_key, status, started_at::varchar, approved_at::varchar, cycle_days, work_days, client_wait_days,
            team_wait_days, authority_wait_days, idle_days, rework_days, attempt_count, is_reopened, is_auto_approved
        from marts.gates""",
    )
    settled = [truth for truth in portfolio.truth["gates"] if truth["is_settled"] and truth["milestone"] in rows]
    assert len(settled) > 600
    for truth in settled:
        status, started, approved, cycle, *spans, attempts, reopened, auto = rows[truth["milestone"]]
        planted = [
            truth[f"{name}_seconds"]
            for name in ("work", "client_wait", "team_wait", "authority_wait", "idle", "rework")
        ]
        assert (status, stamp(started), stamp(approved)) == (
            truth["status"],
            truth["started_at"],
            truth["approved_at"],
        ), truth
        assert seconds(cycle) == truth["cycle_seconds"], truth
        assert [seconds(span) for span in spans] == planted, truth
        begun = max(truth["attempts"], 1 if truth["started_at"] else 0)  # the first attempt begins with the start
        assert (attempts, reopened, auto) == (begun, truth["is_reopened"], truth["is_auto_approved"]), truth


def stamp(written: str | None) -> str | None:
    return None if written is None else written.replace(" ", "T") + "Z"


def test_every_gates_money(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(
        con,
        """
        select gates.source_key, gates.bills_amount_local, coalesce(sum(billing.contract_amount_local), 0), any_value(unbilled_amount_local)
        from marts.gates as gates left join marts.gate_billing as billing on gates.gate_id = billing.gate_id and billing.is_counted
        group by gates.gate_id, gates.source_key, gates.bills_amount_local""",
    )
    checked = [truth for truth in portfolio.truth["gates"] if truth["milestone"] in rows]
    for truth in checked:
        planted = (truth["amount"], truth["invoiced"], truth["unbilled"])
        assert tuple(amount(value or 0) for value in rows[truth["milestone"]]) == planted, truth
    assert len(checked) > 700


def test_every_lines_billing_lag(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(con, "select source_key, billing_lag_days from marts.gate_billing where is_billed")
    lines = [truth for truth in portfolio.truth["lines"] if truth["kind"] in ("invoice", "progress")]
    assert {truth["invoice_line"]: truth["lag_seconds"] for truth in lines} == {
        truth["invoice_line"]: seconds(rows[truth["invoice_line"]][0]) for truth in lines
    }


def test_every_change_order(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(
        con,
        """
        select source_key, status, coalesce(is_after_scope_lock, false), decision_days, approved_amount_local
        from marts.change_orders""",
    )
    for truth in portfolio.truth["change_orders"]:
        status, after_lock, decision_days, approved = rows[truth["change_order"]]
        planted = (truth["status"], truth["is_after_scope_lock"], truth["decision_seconds"], truth["approved"])
        assert (status, after_lock, seconds(decision_days), amount(approved or 0)) == planted, truth


def test_every_hand_off(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(con, "select source_key, notify_days, accept_days, latency_days from marts.handoffs")
    for truth in portfolio.truth["handoffs"]:
        planted = [truth[f"{name}_seconds"] for name in ("notify", "accept", "latency")]
        assert [seconds(days) for days in rows[truth["handoff"]]] == planted, truth


def test_every_missing_late_or_expired_document(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(con, "select source_key, is_ready from marts.gate_documents where submitted_at is not null")
    judged = [
        truth for truth in portfolio.truth["documents"] if truth["state"] != "waiting" and truth["document"] in rows
    ]
    assert {truth["document"]: truth["state"] == "ready" for truth in judged} == {
        truth["document"]: rows[truth["document"]][0] for truth in judged
    }
    assert {truth["state"] for truth in judged} == {"ready", "late", "missing", "expired"}


def test_every_projects_scope(portfolio: Portfolio, con: duckdb.DuckDBPyConnection) -> None:
    rows = found(
        con,
        """
        with orders as (
            select project_id,
                sum(approved_amount_local) as approved, sum(abs(approved_amount_local)) as churned,
                sum(case when status = 'pending' then requested_amount_local end) as pending
            from marts.change_orders group by project_id
        ),
        work as (
            select project_id,
                sum(case when is_after_scope_lock then amount_local end) as extra,
                sum(case when is_after_scope_lock and not is_covered then amount_local end) as uncovered,
                sum(case when is_after_scope_lock and not was_covered then amount_local end) as exposed
            from marts.extra_work group by project_id
        )
        select projects.source_key, contract_amount_local, approved, churned, pending, extra, uncovered, exposed
        from marts.projects as projects left join orders using (project_id) left join work using (project_id)""",
    )
    for truth in portfolio.truth["scope"]:
        planted = tuple(
            truth[name]
            for name in (
                "contract",
                "approved_changes",
                "churned_changes",
                "pending_changes",
                "extra_after_lock",
                "uncovered_extra",
                "exposed_extra",
            )
        )
        assert tuple(amount(value or 0) for value in rows[truth["project"]]) == planted, truth


def test_planted_violations_deletions_and_counts_are_listed(
    portfolio: Portfolio, con: duckdb.DuckDBPyConnection
) -> None:
    noted = {
        key
        for (key,) in con.execute(
            "select source_key from marts.gates where chronology_note = 'submitted after its decision'"
        ).fetchall()
    }
    assert noted == {truth["milestone"] for truth in portfolio.truth["violations"] if truth["submitted_at"]}
    deleted = set(
        con.execute("select entity, source_key from marts.rejects where detail = 'deleted in the tool'").fetchall()
    )
    assert deleted == {(truth["entity"], truth["key"]) for truth in portfolio.truth["deletions"]}
    for truth in portfolio.truth["counts"]:
        received = con.execute(
            f"select count(*) from staging.{truth['entity']} where source = ?", [truth["firm"]]
        ).fetchall()
        assert received == [(truth["rows"],)], truth
    findings = [build.reconcile(con, entity) for entity in catalog.contract().entities.values()]
    assert [finding for finding in findings if not finding.passed] == []


def test_a_renamed_client_keeps_its_records_under_the_new_name(
    portfolio: Portfolio, con: duckdb.DuckDBPyConnection
) -> None:
    names = found(con, "select source_key, client from marts.clients")
    assert {truth["client"]: truth["after"] for truth in portfolio.truth["renames"]} == {
        truth["client"]: names[truth["client"]][0] for truth in portfolio.truth["renames"]
    }


def test_the_warehouse_file_is_where_the_settings_say(con: duckdb.DuckDBPyConnection) -> None:
    (path,) = con.execute("select path from duckdb_databases() where database_name = current_database()").fetchall()[0]
    assert Path(path).name == "warehouse.duckdb"
