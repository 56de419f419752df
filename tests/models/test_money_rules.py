"""Invoices, allocations, payments, change orders and extra work: one test per rule, over a few rows."""

from __future__ import annotations

from typing import Any

import pytest
from small_bills import APPROVED, invoice, line, payment
from small_worlds import GATE, PROJECT, World, events, one

from models import build, catalog


def test_billing_lag_is_issue_less_final_approval(world: World) -> None:
    con = world(milestone_events=APPROVED, invoices=[invoice()], invoice_lines=[line("l1")])
    assert one(con, "gate_billing")["billing_lag_days"] == 3.0
    gate = one(con, "gates")
    assert (gate["billing_lag_days"], gate["unbilled_amount"], str(gate["fully_invoiced_at"])) == (
        3.0,
        0,
        "2026-01-12 12:00:00",
    )


def test_an_invoice_counts_from_when_it_was_sent_not_drafted(world: World) -> None:
    con = world(
        milestone_events=APPROVED, invoices=[invoice(sent_at="2026-01-14T12:00:00Z")], invoice_lines=[line("l1")]
    )
    assert one(con, "gate_billing")["billing_lag_days"] == 5.0


def test_an_invoice_before_the_approval_is_early_and_its_lag_negative(world: World) -> None:
    early = invoice(issued_at="2026-01-07T12:00:00Z")
    billed = one(world(milestone_events=APPROVED, invoices=[early], invoice_lines=[line("l1")]), "gate_billing")
    assert (billed["is_early"], billed["billing_lag_days"]) == (True, -2.0)
    unapproved = one(world(invoices=[early], invoice_lines=[line("l1")]), "gate_billing")
    assert (unapproved["is_early"], unapproved["billing_lag_days"]) == (True, None)


def test_what_is_approved_and_not_invoiced_is_the_gates_remainder(world: World) -> None:
    con = world(
        "2026-02-08T12:00:00",
        milestone_events=APPROVED,
        invoices=[invoice(total="150.00")],
        invoice_lines=[line("l1", amount="150.00")],
    )
    gate = one(con, "gates")
    assert (float(gate["bills_amount"]), float(gate["unbilled_amount"]), gate["unbilled_days"]) == (400.0, 250.0, 30.0)


def test_an_open_gate_has_nothing_unbilled(world: World) -> None:
    assert one(world(milestone_events=APPROVED[:2]), "gates")["unbilled_amount"] == 0


@pytest.mark.parametrize(
    "told",
    [
        {"status": "draft", "issued_at": None},
        {"status": "void", "voided_at": "2026-01-20T12:00:00Z"},
        {"status": "void"},
        {"status": "void", "recorded_at": None},
    ],
)
def test_drafts_and_voided_invoices_bill_nothing(world: World, told: dict[str, Any]) -> None:
    con = world(milestone_events=APPROVED, invoices=[invoice(**told)], invoice_lines=[line("l1")])
    assert (one(con, "gates")["unbilled_amount"], one(con, "gate_billing")["is_billed"]) == (400, False)
    assert (one(con, "invoices")["open_amount"], one(con, "invoices")["aging_bucket"]) == (0, None)


def test_a_void_after_the_as_of_date_has_not_happened_yet(world: World) -> None:
    voided = invoice(status="void", voided_at="2026-03-20T12:00:00Z", recorded_at="2026-03-20T12:00:00Z")
    bill = one(world("2026-02-01T00:00:00", invoices=[voided]), "invoices")
    assert (bill["status"], bill["open_amount"]) == ("open", 400)


def test_an_invoice_not_issued_by_the_as_of_date_is_invisible(world: World) -> None:
    con = world("2026-01-10T00:00:00", milestone_events=APPROVED, invoices=[invoice()], invoice_lines=[line("l1")])
    assert con.execute("select entity, reason from marts.rejects order by 1").fetchall() == [
        ("invoice_lines", "after as_of"),
        ("invoices", "after as_of"),
    ]
    assert one(con, "gates")["unbilled_amount"] == 400


def test_a_credit_note_makes_its_part_billable_again(world: World) -> None:
    credit = invoice("i2", kind="credit_note", total="-100.00")
    lines = [line("l1"), line("l2", invoice="i2", amount="-100.00")]
    gate = one(world(milestone_events=APPROVED, invoices=[invoice(), credit], invoice_lines=lines), "gates")
    assert (gate["unbilled_amount"], gate["billing_lag_days"]) == (100, 3.0)


def test_a_deposit_has_no_billing_lag(world: World) -> None:
    con = world(milestone_events=APPROVED, invoices=[invoice(kind="deposit")], invoice_lines=[line("l1")])
    assert one(con, "gate_billing")["billing_lag_days"] is None


def test_one_invoice_may_bill_two_gates_and_two_invoices_one(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2, "bills_pct": 60}]
    invoices = [invoice(total="700.00"), invoice("i2", total="300.00", issued_at="2026-01-19T12:00:00Z")]
    lines = [
        line("l1"),
        line("l2", milestone="g2", amount="300.00"),
        line("l3", invoice="i2", milestone="g2", amount="300.00"),
    ]
    happened = [*APPROVED, *events("g2", ("started", "2026-01-09T12:00:00Z"), ("approved", "2026-01-10T12:00:00Z"))]
    con = world(milestones=gates, milestone_events=happened, invoices=invoices, invoice_lines=lines)
    assert con.execute("select sum(unbilled_amount) from marts.gates").fetchall()[0][0] == 0
    second = one(con, "gates", "source_key = 'g2'")
    # 300 after two days and 300 after nine
    assert (second["billing_lag_days"], str(second["fully_invoiced_at"])) == (5.5, "2026-01-19 12:00:00")


def test_no_more_of_a_line_is_allocated_than_it_is_worth(world: World) -> None:
    second = {**GATE, "source_key": "g2", "name": "Concept", "sequence": 2}
    parts = [
        line("l1", line="1", line_amount="400.00", amount="250.00"),
        line("l2", line="1", line_amount="400.00", amount="150.00", milestone="g2"),
        line("l3", line="2", line_amount="90.00", amount="90.00", milestone="g2"),
    ]
    con = world(milestones=[GATE, second], invoices=[invoice(total="490.00")], invoice_lines=parts)
    assert [finding for finding in build.check(con, catalog.marts()["gate_billing"]) if not finding.passed] == []
    parts[1]["amount"] = "150.01"
    con = world(milestones=[GATE, second], invoices=[invoice(total="490.00")], invoice_lines=parts)
    (broken,) = [finding for finding in build.check(con, catalog.marts()["gate_billing"]) if not finding.passed]
    assert (broken.severity, broken.count) == ("fail", 2)
    assert {row["invoice_line_id"] for row in broken.sample} == {"t:l1", "t:l2"}


def test_a_credit_note_that_is_allocated_whole_is_not_allocated_twice(world: World) -> None:
    credit = invoice(kind="credit_note", total="-110.00", tax="-10.00")
    con = world(invoices=[credit], invoice_lines=[line("l1", amount="-60.00"), line("l2", amount="-40.00")])
    assert con.execute("select distinct is_over_allocated from marts.gate_billing").fetchall() == [(False,)]
    con = world(invoices=[credit], invoice_lines=[line("l1", amount="-60.00"), line("l2", amount="-40.01")])
    assert con.execute("select distinct is_over_allocated from marts.gate_billing").fetchall() == [(True,)]


def test_a_line_worth_less_than_a_cent_of_the_contract_gives_no_lag_to_weight(world: World) -> None:
    rates = [{"day": "2026-01-12", "currency": "JPY", "rate": "0.0040"}]
    bill = invoice(currency="JPY", total="1.00")
    con = world(rates=rates, milestone_events=APPROVED, invoices=[bill], invoice_lines=[line("l1", amount="1.00")])
    gate = one(con, "gates")
    assert (gate["billing_lag_days"], gate["billing_lag_working_days"], gate["unbilled_amount"]) == (None, None, 400)


def test_retainage_is_held_apart_and_its_release_bills_no_gate_twice(world: World) -> None:
    invoices = [
        invoice(kind="progress", retained="20.00", status="paid"),
        invoice("i2", kind="retention_release", total="20.00", issued_at="2026-05-01T12:00:00Z"),
    ]
    lines = [line("l1"), line("l2", invoice="i2", amount="20.00")]
    con = world(
        milestone_events=APPROVED,
        invoices=invoices,
        invoice_lines=lines,
        payments=[payment("a", "2026-02-01T12:00:00Z", "380.00")],
    )
    assert (one(con, "gates")["invoiced_amount"], one(con, "gates")["unbilled_amount"]) == (400, 0)
    rows = con.execute(
        "select status, retained_amount::double, open_amount::double from marts.invoices order by issued_at"
    ).fetchall()
    assert rows == [("paid", 20.0, 0.0), ("open", 0.0, 20.0)]


@pytest.mark.parametrize(
    ("as_of", "bucket", "past_due"),
    [
        ("2026-02-11T12:00:00", "not due", 0),
        ("2026-02-12T12:00:00", "1–30", 1),
        ("2026-03-13T12:00:00", "1–30", 30),
        ("2026-03-14T12:00:00", "31–60", 31),
        ("2026-05-12T12:00:00", "61–90", 90),
        ("2026-05-13T12:00:00", "over 90", 91),
    ],
)
def test_open_balances_age_by_days_past_due(world: World, as_of: str, bucket: str, past_due: int) -> None:
    bill = one(world(as_of, invoices=[invoice()]), "invoices")
    assert (bill["aging_bucket"], bill["days_past_due"]) == (bucket, past_due)


def test_a_partial_payment_leaves_the_cent_showing(world: World) -> None:
    bill = one(
        world(invoices=[invoice(total="100.00")], payments=[payment("a", "2026-02-01T12:00:00Z", "99.99")]), "invoices"
    )
    assert (bill["status"], str(bill["open_amount"])) == ("open", "0.01")


def test_money_in_another_currency_than_the_invoices_is_taken_at_the_rates_of_both_days(world: World) -> None:
    rates = [{"day": "2026-01-12", "currency": "EUR", "rate": "1.25"}]
    rates += [{"day": "2026-02-01", "currency": "EUR", "rate": "1.50"}]
    euros = [payment("a", "2026-02-01T12:00:00Z", "200.00", currency="EUR")]
    con = world(rates=rates, invoices=[invoice()], payments=euros)
    assert (one(con, "payments")["applied_amount_local"], one(con, "invoices")["open_amount_local"]) == (300, 100)
    dollars = [payment("a", "2026-02-01T12:00:00Z", "100.00")]
    con = world(rates=rates, invoices=[invoice(currency="EUR")], payments=dollars)
    assert (one(con, "payments")["applied_amount_local"], one(con, "invoices")["open_amount_local"]) == (80, 320)


def test_failed_and_later_payments_pay_nothing(world: World) -> None:
    payments = [
        payment("a", "2026-02-01T12:00:00Z", "400.00", status="failed"),
        payment("b", "2026-08-01T12:00:00Z", "400.00"),
    ]
    assert one(world(invoices=[invoice()], payments=payments), "invoices")["open_amount"] == 400


def test_a_credit_balance_is_a_bucket_of_its_own(world: World) -> None:
    bill = one(world(invoices=[invoice(kind="credit_note", total="-50.00")]), "invoices")
    assert (bill["aging_bucket"], str(bill["open_amount"]), bill["status"]) == ("unapplied", "-50.00", "open")


def test_payment_days_run_from_issue_and_late_days_from_the_due_date(world: World) -> None:
    paid = one(world(invoices=[invoice()], payments=[payment("a", "2026-02-14T12:00:00Z", "400.00")]), "payments")
    assert (paid["cash_days"], paid["late_days"]) == (33.0, 3)


@pytest.mark.parametrize(
    ("as_of", "disputed"),
    [("2026-02-01T00:00:00", False), ("2026-03-01T00:00:00", True), ("2026-06-01T00:00:00", False)],
)
def test_a_dispute_lasts_from_its_first_day_to_its_last(world: World, as_of: str, disputed: bool) -> None:
    told = {"disputed": False, "disputed_at": "2026-02-10T12:00:00Z", "settled_at": "2026-05-10T12:00:00Z"}
    con = world(as_of, invoices=[invoice(**told, recorded_at="2026-05-10T12:00:00Z")])
    assert one(con, "invoices")["is_disputed"] is disputed


def test_a_dispute_without_dates_counts_from_the_record_that_tells_of_it(world: World) -> None:
    told = [invoice(disputed=True, recorded_at="2026-03-10T12:00:00Z")]
    assert one(world("2026-03-01T00:00:00", invoices=told), "invoices")["is_disputed"] is False
    assert one(world("2026-04-01T00:00:00", invoices=told), "invoices")["is_disputed"] is True


def test_an_invoice_stood_as_a_draft_from_when_it_was_drafted(world: World) -> None:
    told = [invoice(drafted_at="2026-01-05T12:00:00Z")]
    row = one(world("2026-01-08T00:00:00", invoices=told), "invoices")
    assert (row["status"], row["is_billed"], row["due_on"], row["open_amount"]) == ("draft", False, None, 0)
    assert one(world("2026-02-01T00:00:00", invoices=told), "invoices")["status"] == "open"


def test_a_change_orders_state_is_that_of_the_as_of_date(world: World) -> None:
    order = {
        "source_key": "o1",
        "project": "p1",
        "status": "approved",
        "requested_at": "2026-02-01T12:00:00Z",
        "submitted_at": "2026-02-02T12:00:00Z",
        "decided_at": "2026-02-06T12:00:00Z",
        "recorded_at": "2026-02-06T12:00:00Z",
        "amount_requested": "90.00",
        "amount_approved": "80.00",
    }
    pending = one(world("2026-02-04T12:00:00", change_orders=[order]), "change_orders")
    assert (pending["status"], pending["approved_amount"], pending["age_days"], pending["decision_days"]) == (
        "pending",
        None,
        2.0,
        None,
    )
    decided = one(world(change_orders=[order]), "change_orders")
    assert (decided["status"], float(decided["approved_amount"]), decided["decision_days"]) == ("approved", 80.0, 4.0)
    assert (float(decided["unbilled_amount"]), decided["unbilled_days"]) == (80.0, 143.5)


def test_a_change_order_invoiced_by_line_is_billed(world: World) -> None:
    order = {
        "source_key": "o1",
        "project": "p1",
        "status": "approved",
        "decided_at": "2026-01-10T12:00:00Z",
        "amount_approved": "80.00",
    }
    con = world(
        change_orders=[order],
        invoices=[invoice(total="80.00")],
        invoice_lines=[line("l1", milestone=None, change_order="o1", amount="80.00")],
    )
    assert (one(con, "change_orders")["invoiced_amount"], one(con, "change_orders")["unbilled_amount"]) == (80, 0)


def test_work_after_the_lock_is_exposed_until_a_change_order_covers_it(world: World) -> None:
    lock = {**GATE, "locks_scope": "true"}
    order = {
        "source_key": "o1",
        "project": "p1",
        "status": "approved",
        "decided_at": "2026-01-20T12:00:00Z",
        "amount_approved": "80.00",
    }
    work = [
        {"source_key": "before", "project": "p1", "done_at": "2026-01-08T12:00:00Z", "hours": 2, "amount": "50.00"},
        {"source_key": "free", "project": "p1", "done_at": "2026-01-10T12:00:00Z", "hours": 3, "amount": "60.00"},
        {
            "source_key": "caught",
            "project": "p1",
            "done_at": "2026-01-15T12:00:00Z",
            "amount": "70.00",
            "change_order": "o1",
        },
        {
            "source_key": "agreed",
            "project": "p1",
            "done_at": "2026-01-25T12:00:00Z",
            "amount": "80.00",
            "change_order": "o1",
        },
    ]
    con = world(
        "2026-01-30T12:00:00", milestones=[lock], milestone_events=APPROVED, change_orders=[order], extra_work=work
    )
    rows = con.execute(
        "select source_key, is_after_scope_lock, was_covered, is_covered, exposed_days from marts.extra_work order by done_at"
    ).fetchall()
    assert rows == [
        ("before", False, False, False, None),
        ("free", True, False, False, 20.0),
        ("caught", True, False, True, 5.0),
        ("agreed", True, True, True, 0.0),
    ]
    assert float(one(con, "projects")["extra_work_amount"]) == 60.0


def test_no_lock_recorded_says_so_and_calls_nothing_late(world: World) -> None:
    work = [{"source_key": "w", "project": "p1", "done_at": "2026-01-10T12:00:00Z", "amount": "60.00"}]
    row = one(world(extra_work=work), "extra_work")
    assert (row["scope_locked_at"], row["is_after_scope_lock"], row["exposed_days"]) == (None, None, None)


def test_a_projects_steps_from_contract_to_cash(world: World) -> None:
    orders = [
        {
            "source_key": k,
            "project": "p1",
            "status": s,
            "requested_at": "2026-01-15T12:00:00Z",
            "amount_requested": a,
            "amount_approved": a if s == "approved" else None,
            "decided_at": "2026-01-16T12:00:00Z" if s != "pending" else None,
        }
        for k, s, a in [
            ("o1", "approved", "100.00"),
            ("o2", "approved", "-30.00"),
            ("o3", "pending", "55.00"),
            ("o4", "rejected", "9.00"),
        ]
    ]
    con = world(change_orders=orders, invoices=[invoice()], payments=[payment("a", "2026-02-01T12:00:00Z", "150.00")])
    row = one(con, "projects")
    told = {
        name: float(row[name])
        for name in (
            "contract_amount",
            "approved_change_amount",
            "churned_change_amount",
            "pending_change_amount",
            "invoiced_amount",
            "paid_amount",
            "late_change_amount",
            "locked_contract_amount",
        )
    }
    assert told == {
        "contract_amount": 1000.0,
        "approved_change_amount": 70.0,
        "churned_change_amount": 130.0,
        "pending_change_amount": 55.0,
        "invoiced_amount": 400.0,
        "paid_amount": 150.0,
        "late_change_amount": 0.0,  # no lock is recorded
        "locked_contract_amount": 1070.0,
    }
    assert row["change_order_count"] == 4


def test_a_project_whose_status_nobody_tells_is_planned_until_its_kickoff_and_then_active(world: World) -> None:
    assert one(world(), "projects")["status"] == "active"
    assert one(world(projects=[{**PROJECT, "kickoff_at": None}]), "projects")["status"] == "planned"


def test_an_invoice_in_another_currency_counts_in_the_contracts(world: World) -> None:
    rates = [{"day": "2026-01-12", "currency": "EUR", "rate": "1.25"}]
    con = world(
        rates=rates,
        milestone_events=APPROVED,
        invoices=[invoice(currency="EUR", total="320.00")],
        invoice_lines=[line("l1", amount="320.00")],
    )
    assert (one(con, "gates")["unbilled_amount"], str(one(con, "gate_billing")["amount"])) == (0, "400.00")


def test_project_money_has_the_rate_of_its_signature(world: World) -> None:
    rates = [{"day": "2026-01-01", "currency": "EUR", "rate": "1.50"}]
    gate = one(world(rates=rates, projects=[{**PROJECT, "currency": "EUR"}]), "gates")
    assert (str(gate["bills_amount_local"]), str(gate["bills_amount"])) == ("400.00", "600.00")


def test_hundreds_of_millions_are_added_up_to_the_cent(world: World) -> None:
    order = {"source_key": "o1", "project": "p1", "status": "approved", "amount_approved": "325900736.01"}
    con = world(projects=[{**PROJECT, "contract_amount": "4000000000.00"}], change_orders=[order])
    assert str(one(con, "projects")["approved_change_amount"]) == "325900736.01"
    assert str(one(con, "gates")["bills_amount"]) == "1600000000.00"
