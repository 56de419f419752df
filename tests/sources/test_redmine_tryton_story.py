"""One story over three tools: a gate approved in Redmine, a change order in a spreadsheet, both billed and paid in Tryton."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from redmine_server import Redmine
from tryton_server import Tryton, running

from models import measure
from models.measure import Question
from pipelines import refreshing
from pipelines.settings import Settings

pytestmark = pytest.mark.slow

TRYTON_TAKES = ("clients", "invoices", "invoice_lines", "payments")


@pytest.fixture
def books() -> Iterator[Tryton]:
    """A Tryton of the story's own: a source reads all of its bills, and other tests write some in other currencies."""
    with running() as started:
        yield started


def test_a_gate_approved_in_one_tool_billed_in_another_and_changed_in_a_third_is_one_row_from_gate_to_cash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redmine: Redmine, books: Tryton
) -> None:
    today = datetime.now(UTC)
    project = redmine.project("Aster rebrand", client="Aster GmbH", contract_amount="12000", signed_on="2026-01-05")
    gate = redmine.milestone(project, "Concept approval", amount="5000", due=today.date() + timedelta(days=3))
    redmine.milestone(project, "Final assets delivered", amount="7000")
    for status in ("In Progress", "Submitted"):
        redmine.set_status(gate, status)
    redmine.edit(gate, status="Approved", client_approval=True)

    (tmp_path / "inbox").mkdir()
    asked, granted = today - timedelta(days=9), today - timedelta(days=2)
    pl.DataFrame({
        "source_key": ["1"], "project": [f"desk:{project.id}"], "number": ["CO-7"], "title": ["A second round"],
        "reason": ["Client asked for more"], "status": ["approved"], "requested_at": [f"{asked:%Y-%m-%d}"],
        "submitted_at": [f"{asked:%Y-%m-%d}"], "decided_at": [f"{granted:%Y-%m-%d}"], "amount_requested": [900.0],
        "amount_approved": [750.0],
    }).write_excel(tmp_path / "inbox" / "change orders.xlsx")  # fmt: skip

    sent, paid = today.date() + timedelta(days=2), today.date() + timedelta(days=12)
    client = books.party("ASTER GmbH")
    lines = [(f"Concept approval (aster-rebrand-{gate})", "5000.00"), ("A second round, CO-7", "750.00")]
    bill = books.invoice(client, lines, on=sent)
    books.post(bill)
    books.pay(bill, "5750.00", on=paid)

    for name, secret in (redmine.environ | books.environ).items():
        monkeypatch.setenv(name, secret)
    table = {"glob": "change orders.xlsx"}
    settings = Settings.model_validate({
        "data": tmp_path,
        "sources": {
            "desk": redmine.block(projects=[project.identifier], firm="Studio"),
            "books": books.block(takes=TRYTON_TAKES, firm="Studio"),
            "orders": {"kind": "files", "firm": "Studio", "tables": {"change_orders": table}},
        },
    })  # fmt: skip
    done = refreshing.refresh(settings, as_of=today + timedelta(days=20))
    assert (done.problems, done.stale) == ((), ())
    assert done.serving is not None
    with duckdb.connect(str(done.serving.path), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        rows = con.sql(
            "select client, project, gate_label, status, bills_amount, is_paid_in_full, billing_lag_days, payment_days, "
            "abs(firm_days + client_wait_days + billing_lag_days + payment_days - cash_cycle_days) < 1e-9 "
            "from marts.billable_gates where approved_at is not null"
        ).fetchall()
        links = con.sql(
            "select link_method, link_confidence, gate_id, change_order_id, amount_local from marts.gate_billing "
            "where client = 'Aster GmbH' order by amount_local desc"
        ).fetchall()
        orders = con.sql("select number, project, status, invoiced_amount from marts.change_orders").fetchall()
        cash = measure.answer(con, Question("B3", by=("project",), where={"client": ("Aster GmbH",)}))
        changed = measure.answer(con, Question("C2", by=("project",), where={"client": ("Aster GmbH",)}))
    ((client_name, its_project, label, status, amount, is_paid, lag, payment, is_sum),) = rows
    assert (client_name, its_project, label, status) == ("Aster GmbH", "Aster rebrand", "Concept approval", "approved")
    assert (float(amount), is_paid, is_sum) == (5000.0, True, True)
    assert 1 < lag < 3
    assert payment == 10
    assert [(row[0], row[1], row[2], row[3], float(row[4])) for row in links] == [
        ("number", 0.85, f"desk:{gate}", None, 5000.0),
        ("number", 0.85, None, "orders:1", 750.0),
    ]
    assert [(*row[:3], float(row[3])) for row in orders] == [("CO-7", "Aster rebrand", "approved", 750.0)]
    assert cash["n"].to_list() == [1]
    assert cash["note"].to_list() == ["n = 1: too few"]  # it stands in the measure, which says no median of one
    assert changed["value"].to_list() == [pytest.approx(6.25)]
