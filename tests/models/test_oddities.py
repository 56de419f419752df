"""What does not fit is listed with its reason, never dropped and never counted in silence."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from small_worlds import World, events

INVOICE = {
    "source_key": "i1",
    "client": "c1",
    "project": "p1",
    "number": "A-1",
    "status": "open",
    "currency": "USD",
    "issued_at": "2026-03-10T12:00:00Z",
    "due_on": "2026-04-09",
    "total": "400.00",
    "recorded_at": "2026-03-10T12:00:00Z",
}
LINE = {"source_key": "l1", "invoice": "i1", "milestone": "g1", "amount": "400.00"}
ORDER = {
    "source_key": "o1",
    "project": "p1",
    "number": "CO-1",
    "status": "approved",
    "requested_at": "2026-03-01T12:00:00Z",
    "submitted_at": "2026-03-02T12:00:00Z",
    "decided_at": "2026-03-05T12:00:00Z",
    "amount_approved": "50.00",
}
PAYMENT = {
    "source_key": "y1",
    "invoice": "i1",
    "received_at": "2026-03-20T12:00:00Z",
    "amount": "400.00",
    "currency": "USD",
}
HANDOFF = {"source_key": "h1", "milestone": "g1", "to_team": "care", "notified_at": "2026-03-02T12:00:00Z"}
IN_ORDER: dict[str, Any] = {
    "milestone_events": events("g1", ("started", "2026-02-01T12:00:00Z"), ("approved", "2026-03-01T12:00:00Z")),
    "invoices": [INVOICE],
    "invoice_lines": [LINE],
    "payments": [PAYMENT],
    "change_orders": [ORDER],
    "handoffs": [{**HANDOFF, "accepted_at": "2026-03-03T12:00:00Z"}],
}


def listed(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str, str]]:
    return con.execute("select entity, reason, detail, source_key from marts.oddities").fetchall()


def test_records_in_order_are_not_listed(world: World) -> None:
    assert listed(world(**IN_ORDER)) == []


def test_what_falls_on_one_instant_is_in_order(world: World) -> None:
    at = "2026-03-10T12:00:00Z"
    told: dict[str, Any] = {
        "invoices": [{**INVOICE, "status": "void", "voided_at": at}],
        "payments": [{**PAYMENT, "received_at": at}],
        "change_orders": [{**ORDER, "requested_at": at, "submitted_at": at, "decided_at": at}],
        "handoffs": [{**HANDOFF, "notified_at": at, "accepted_at": at}],
    }
    assert [row for row in listed(world(**{**IN_ORDER, **told})) if row[1] == "out of order in time"] == []


@pytest.mark.parametrize(
    ("odd", "entry"),
    [
        (
            {"payments": [{**PAYMENT, "received_at": "2026-03-09T12:00:00Z"}]},
            ("payments", "out of order in time", "paid before the invoice was issued", "y1"),
        ),
        (
            {"change_orders": [{**ORDER, "decided_at": "2026-03-01T18:00:00Z"}]},
            ("change_orders", "out of order in time", "decided before it was submitted", "o1"),
        ),
        (
            {"change_orders": [{**ORDER, "submitted_at": "2026-02-01T18:00:00Z"}]},
            ("change_orders", "out of order in time", "submitted before it was asked for", "o1"),
        ),
        (
            {"invoices": [{**INVOICE, "status": "void", "voided_at": "2026-03-09T12:00:00Z"}]},
            ("invoices", "out of order in time", "voided before it was issued", "i1"),
        ),
        (
            {"handoffs": [{**HANDOFF, "accepted_at": "2026-03-01T18:00:00Z"}]},
            ("handoffs", "out of order in time", "accepted before the next team was told", "h1"),
        ),
        (
            {"milestone_events": events("g1", ("submitted", "2026-02-01T12:00:00Z"), ("approved", "2026-01-20T12:00:00Z"))},
            ("milestones", "out of order in time", "submitted after its decision", "g1"),
        ),
        (
            {"invoice_lines": [{**LINE, "milestone": None}]},
            ("invoice_lines", "matched to nothing", "the invoice line names no gate and no change order", "l1"),
        ),
        (
            {"invoice_lines": [LINE, {**LINE, "source_key": "l2", "amount": "0.01"}]},
            ("invoice_lines", "over-allocated", "the lines of its invoice add up to more than the invoice bills without tax", "l2"),
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_listed_with_its_reason(
    world: World, odd: dict[str, Any], entry: tuple[str, str, str, str]
) -> None:
    assert entry in listed(world(**{**IN_ORDER, **odd}))


def test_a_deposit_that_names_no_gate_is_in_order(world: World) -> None:
    deposit = {"invoices": [{**INVOICE, "kind": "deposit"}], "invoice_lines": [{**LINE, "milestone": None}]}
    assert listed(world(**{**IN_ORDER, **deposit})) == []
