"""Every measure over a few hand-made rows whose answer a person can work out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pytest
from hand_made_marts import hand_made
from hypothesis import given, settings
from hypothesis import strategies as st

from models.faults import Fault
from models.measure import Question, answer, catalogue, distribution, explain, rows, series, statement

MAY = datetime(2026, 5, 4, 12)  # instants are stored in UTC


def gates(count: int = 1, **columns: Any) -> list[dict[str, Any]]:
    """Approved gates, all alike but for their ids."""
    usual = {
        "gate_label": "Concept",
        "status": "approved",
        "started_at": MAY,
        "approved_at": MAY,
        "approver_side": "client",
    }
    return [{"gate_id": f"g{place}", **usual, **columns} for place in range(count)]


def one(con: duckdb.DuckDBPyConnection, name: str, **question: Any) -> dict[str, Any]:
    """The single row that answers an ungrouped question."""
    return answer(con, Question(name, **question)).row(0, named=True)


# Flow


def test_f1_counts_open_gates_with_the_time_they_have_taken_so_far():
    days = [5, 5, 5, 5, 5, 4]
    done = [gate | {"gate_id": f"d{i}", "cycle_days": d} for i, d in enumerate(days) for gate in gates()]
    open_gates = gates(3, status="in_progress", approved_at=None, age_days=4.5)
    others = [g | {"gate_id": s} for s in ("waived", "cancelled") for g in gates(status=s, approved_at=None)]
    found = one(hand_made(gates=[*done, *open_gates, *others]), "F1")
    assert (found["value"], found["n"], found["open_n"]) == (5, 6, 3)
    assert found["p85"] is None
    assert found["note"] == "n = 6: too few for P85"
    # nine began, one took 4 days, three are open after 4.5: 5 of the 8/9 that are left finish at 5
    assert (found["low"], found["high"]) == (4, 5)


def test_f1_leaves_out_gates_whose_events_contradict_each_other():
    con = hand_made(gates=[*gates(6, cycle_days=3.0), *gates(cycle_days=-40.0, has_chronology_violation=True)])
    assert one(con, "F1")["n"] == 6


def test_f4_leaves_out_first_gates_and_gates_out_of_playbook_order():
    after = {"has_gate_before": True, "previous_approved_at": MAY - timedelta(days=8)}
    con = hand_made(
        gates=[
            *gates(6, phase_days=8.0, **after),
            *gates(1, has_gate_before=False),
            *gates(2, is_out_of_order=True, has_gate_before=True),
            *gates(1, status="waived", approved_at=None, **after),
            *gates(3, status="in_progress", approved_at=None, phase_age_days=2.0, **after),
            *gates(1, status="not_started", approved_at=None, has_gate_before=True),
        ]
    )
    found = one(con, "F4")
    assert (found["value"], found["n"], found["open_n"]) == (8, 6, 3)
    reasons = {reason: n for reason, n, _ in explain(con, Question("F4")).left_out}
    assert reasons == {
        "waived": 1,
        "no gate before it": 1,
        "approved out of playbook order": 2,
        "the gate before it not approved": 1,
    }


def test_f6_is_a_ratio_of_sums_and_no_mean_of_ratios():
    con = hand_made(
        gates=[*gates(cycle_days=10.0, client_wait_days=9.0), *gates(cycle_days=90.0, client_wait_days=1.0)]
    )
    assert one(con, "F6")["value"] == pytest.approx(10)


def test_f8_first_pass_rate_has_a_wilson_interval():
    con = hand_made(gates=[*gates(8, is_first_pass=True), *gates(2, is_first_pass=False, status="changes_requested")])
    found = one(con, "F8")
    assert (found["value"], found["n"]) == (80, 10)
    assert found["low"] == pytest.approx(49.02, abs=0.005)
    assert found["high"] == pytest.approx(94.33, abs=0.005)


@pytest.mark.parametrize("name", ["F5", "F5w", "F6", "F8", "F9", "F9l", "F22", "C9"])
def test_an_answer_about_attempts_says_how_many_rows_come_without_a_log_of_events(name: str):
    attempt = {"attempt": 1, "began_at": MAY, "work_days": 1.0, "wait_days": 1.0, "decision": "approved"}
    histories = ("log", "timestamps", "snapshot", "log")
    told = {"is_first_pass": True, "cycle_days": 2.0, "client_wait_days": 1.0, "rework_count": 0, "attempt_count": 1}
    con = hand_made(
        gates=[
            {
                **gate,
                **told,
                "gate_id": f"g{n}",
                "first_approved_at": MAY,
                "is_reopened": False,
                "history_quality": kept,
            }
            for n, kept in enumerate(histories)
            for gate in gates()
        ],
        gate_attempts=[
            {**attempt, "gate_id": f"g{n}", "submitted_at": MAY, "decided_at": MAY, "history_quality": kept}
            for n, kept in enumerate(histories)
        ],
    )
    assert one(con, name)["note"].endswith("2 without a log of events")
    by_history = answer(con, Question(name, by=("history_quality",))) if name != "C9" else None
    if by_history is not None:
        notes = dict(by_history.select("history_quality", "note").iter_rows())
        assert "without a log" not in (notes["log"] or "")
        assert "1 without a log of events" in notes["timestamps"]


def test_f8_is_dated_by_the_first_decision_and_leaves_out_gates_without_one():
    decided = [
        {"gate_id": "g0", "attempt": 1, "decided_at": MAY},
        {"gate_id": "g0", "attempt": 2, "decided_at": MAY + timedelta(days=60)},
    ]
    con = hand_made(
        gates=[*gates(1, is_first_pass=False), *gates(1, gate_id="open", status="awaiting_decision")],
        gate_attempts=decided,
    )
    found = one(con, "F8", since=date(2026, 5, 1), until=date(2026, 5, 31))
    assert (found["value"], found["n"], found["open_n"]) == (0, 1, 1)
    assert one(con, "F8", since=date(2026, 6, 1))["n"] == 0


def test_f9_is_the_share_of_approved_gates_with_more_than_one_attempt():
    con = hand_made(
        gates=[
            *gates(3, rework_count=0, attempt_count=1),
            *gates(1, rework_count=2, attempt_count=3),
            *gates(5, status="in_progress"),
        ]
    )
    assert one(con, "F9")["value"] == 25
    assert one(con, "F9")["n"] == 4


def test_f10_counts_final_approvals_in_the_period():
    con = hand_made(gates=[*gates(3), *gates(2, approved_at=MAY + timedelta(days=40)), *gates(1, status="waived")])
    assert one(con, "F10")["value"] == 5
    assert one(con, "F10", until=date(2026, 5, 31))["value"] == 3


def test_f12_is_the_age_of_open_gates_alone():
    con = hand_made(gates=[*gates(6, status="awaiting_decision", approved_at=None, age_days=12.0), *gates(9)])
    assert one(con, "F12")["value"] == 12


def test_f20_keeps_a_start_before_the_approval_negative_and_counts_open_hand_offs():
    begun = [
        {"handoff_id": f"h{d}", "approved_at": MAY, "latency_working_days": d, "is_open": False}
        for d in (-2.0, -1, 0, 1, 2, 3)
    ]
    waiting = [{"handoff_id": "h", "approved_at": MAY, "is_open": True, "age_working_days": 9.0}]
    assert one(hand_made(handoffs=begun), "F20")["value"] == 0.5
    found = one(hand_made(handoffs=[*begun, *waiting]), "F20")
    assert (found["value"], found["n"], found["open_n"]) == (1, 6, 1)


def test_f21_counts_required_documents_of_submitted_gates():
    def document(name: str, ready: bool, required: bool = True, submitted: datetime | None = MAY) -> dict[str, Any]:
        return {"document_id": name, "is_ready": ready, "is_required": required, "submitted_at": submitted}

    ready = [document(f"d{i}", True) for i in range(9)]
    con = hand_made(
        gate_documents=[
            *ready,
            document("late", False),
            document("extra", False, False),
            document("soon", False, True, None),
        ]
    )
    assert one(con, "F21")["value"] == 90
    assert one(con, "F21")["n"] == 10


def test_f22_is_reopened_gates_over_gates_ever_approved():
    con = hand_made(
        gates=[
            *gates(3, first_approved_at=MAY, is_reopened=False),
            *gates(1, first_approved_at=MAY, is_reopened=True, status="in_progress", approved_at=None),
            *gates(4, first_approved_at=None, is_reopened=False, status="in_progress", approved_at=None),
        ]
    )
    assert one(con, "F22")["value"] == 25


def test_f22w_is_waived_gates_over_gates_of_the_plan():
    con = hand_made(gates=[*gates(3), *gates(1, status="waived"), *gates(2, status="cancelled")])
    assert one(con, "F22w")["value"] == 25


# Schedule


def test_s1_needs_a_baseline_and_keeps_early_gates_negative():
    baseline = date(2026, 5, 1)
    con = hand_made(
        gates=[
            *(g for d in (-3.0, -1, 0, 2, 4, 20) for g in gates(baseline_on=baseline, schedule_variance_days=d)),
            *gates(2, baseline_on=None),
        ]
    )
    assert one(con, "S1")["value"] == 1
    assert one(con, "S1")["n"] == 6


def test_s2_counts_overdue_gates_as_misses_and_waits_for_days_that_are_not_over():
    still_open = {"status": "in_progress", "approved_at": None}
    con = hand_made(
        gates=[
            *gates(1, due_on=date(2026, 5, 4), is_on_time=True),
            *gates(1, due_on=date(2026, 5, 4), is_on_time=False, **still_open),
            *gates(5, due_on=date(2026, 7, 9), is_on_time=True),
            *gates(7, due_on=date(2026, 6, 30), is_on_time=True),
            *gates(1, due_on=date(2026, 6, 30), is_on_time=None, **still_open),
        ]
    )
    assert one(con, "S2")["value"] == 50
    assert one(con, "S2")["n"] == 2


# Billing and cash


def allocations(count: int = 1, **columns: Any) -> list[dict[str, Any]]:
    usual = {"gate_id": "g0", "kind": "invoice", "is_billed": True, "is_early": False, "issued_at": MAY, "amount": 100}
    return [{"invoice_line_id": f"l{i}", **usual, **columns} for i in range(count)]


def test_b1_keeps_early_bills_negative_and_leaves_out_deposits_voids_and_credit_notes():
    lags = (-4.0, 0, 2, 4, 6, 30)
    con = hand_made(
        gate_billing=[
            *(line for lag in lags for line in allocations(billing_lag_days=lag)),
            *allocations(kind="deposit", billing_lag_days=-80.0),
            *allocations(kind="credit_note", billing_lag_days=50.0),
            *allocations(is_billed=False, billing_lag_days=1.0),
            *allocations(gate_id=None, change_order_id="c1", billing_lag_days=1.0),
            *allocations(billing_lag_days=None, is_early=True),
        ],
        gates=gates(2, bills_amount=500, unbilled_amount=500, unbilled_days=5.0),
    )
    found = one(con, "B1")
    assert (found["value"], found["n"], found["open_n"]) == (4, 6, 2)


def test_b2_lets_unpaid_invoices_run_and_ends_those_written_off():
    def bill(name: str, **columns: Any) -> dict[str, Any]:
        usual = {"is_billed": True, "kind": "invoice", "open_amount": 0, "total_amount_local": 9, "issued_at": MAY}
        return {"invoice_id": name, **usual, **columns}

    paid = [bill(f"i{i}", status="paid", cash_days=20.0) for i in range(6)]
    open_bill = bill("open", status="open", open_amount=70, waiting_days=30.0, cash_days=5.0)
    lost = bill("lost", status="uncollectible", lost_days=90.0)
    con = hand_made(invoices=[*paid, open_bill, lost, bill("void", status="void", is_billed=False)])
    found = one(con, "B2")
    assert (found["value"], found["n"], found["open_n"], found["ended_n"]) == (20, 6, 1, 1)
    assert distribution(con, Question("B2"))["value"].to_list() == [20.0] * 6


def test_b4_weights_days_late_by_amount():
    paid = [(1000, 10.0), (3000, -5.0), (500, 40.0)]
    con = hand_made(
        payments=[{"payment_id": str(a), "amount": a, "late_days": d, "status": "received"} for a, d in paid]
    )
    assert one(con, "B4")["value"] == pytest.approx(3.333, abs=0.0005)


def test_b4_lets_overdue_balances_run_on():
    con = hand_made(
        payments=[{"payment_id": "p", "amount": 100, "late_days": 0.0, "status": "received"}],
        invoices=[
            {"invoice_id": "late", "is_billed": True, "open_amount": 100, "days_past_due": 60.0},
            {"invoice_id": "soon", "is_billed": True, "open_amount": 100, "days_past_due": -3.0},
        ],
    )
    found = one(con, "B4")
    assert (found["value"], found["n"], found["open_n"]) == (30, 2, 1)


def test_failed_and_reversed_payments_are_never_late():
    def payment(name: str, status: str, days: float) -> dict[str, Any]:
        return {"payment_id": name, "invoice_id": "i", "status": status, "amount": 100, "late_days": days}

    con = hand_made(
        payments=[payment("a", "received", 8.0), payment("b", "failed", 80.0), payment("c", "reversed", 90.0)],
    )
    assert one(con, "B4")["value"] == 8


def test_b8_buckets_stand_in_their_order_and_add_up_to_the_balance():
    buckets = {"over 90": "0.01", "not due": "40.00", "1–30": "10.10"}
    bills = [
        {"invoice_id": b, "is_billed": True, "open_amount": Decimal(a), "aging_bucket": b} for b, a in buckets.items()
    ]
    con = hand_made(invoices=[*bills, {"invoice_id": "draft", "status": "draft", "open_amount": 900}])
    by_bucket = answer(con, Question("B8", by=("aging_bucket",)))
    assert by_bucket["aging_bucket"].to_list() == ["not due", "1–30", "over 90"]
    assert by_bucket["value"].sum() == pytest.approx(50.11)
    assert one(con, "B8")["value"] == 50.11


def test_b10_adds_gates_and_change_orders_that_are_approved_and_not_billed():
    con = hand_made(
        gates=[
            *gates(2, bills_amount=600, unbilled_amount=500),
            *gates(1, bills_amount=600, unbilled_amount=0),
            *gates(1, status="in_progress", bills_amount=70, unbilled_amount=70),
        ],
        change_orders=[
            {
                "change_order_id": "c1", "status": "approved", "approved_amount": 250, "unbilled_amount": 250,
                "decided_at": MAY,
            },
            {"change_order_id": "c2", "status": "pending", "unbilled_amount": 9},
        ],
    )  # fmt: skip
    assert one(con, "B10")["value"] == 1250
    assert answer(con, Question("B10", by=("owed_for",))).select("owed_for", "value", "n").rows() == [
        ("gate", 1000, 2),
        ("change order", 250, 1),
    ]


def test_b12_is_the_amount_billed_before_approval():
    con = hand_made(
        gate_billing=[*allocations(2, is_early=True), *allocations(3), *allocations(kind="deposit", is_early=True)]
    )
    assert one(con, "B12")["value"] == 200


# Change and scope


def projects(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"project_id": f"p{i}", "signed_at": MAY, "contract_amount": 100_000, **row} for i, row in enumerate(rows)]


def test_c1_is_change_orders_per_100k_of_contract():
    con = hand_made(projects=projects({"change_order_count": 3}, {"change_order_count": 1, "contract_amount": 300_000}))
    assert one(con, "C1")["value"] == 1


def test_c2_nets_deductions_and_c2g_does_not():
    con = hand_made(
        projects=projects(
            {"approved_change_amount": 4000, "churned_change_amount": 16_000},
            {"approved_change_amount": 0, "churned_change_amount": 0},
            {"approved_change_amount": 5000, "churned_change_amount": 5000, "contract_amount": None},
        )
    )
    assert one(con, "C2")["value"] == 2
    assert one(con, "C2g")["value"] == 8


def test_c3_stacks_later_changes_and_uncovered_work_on_the_contract_at_the_lock():
    locked = {
        "scope_locked_at": MAY,
        "locked_contract_amount": 125_000,
        "late_change_amount": 20_000,
        "extra_work_amount": 5000,
    }
    con = hand_made(projects=projects(locked, {"extra_work_amount": 7000}))
    found = one(con, "C3")
    assert (found["value"], found["n"]) == (20, 1)


def test_c4_counts_pending_change_orders_beside():
    def change(name: str, status: str, days: float | None) -> dict[str, Any]:
        running = {"age_days": 2.5} if status == "pending" else {"decision_days": days, "decided_at": MAY}
        return {"change_order_id": name, "status": status, "submitted_at": MAY, **running}

    con = hand_made(
        change_orders=[
            *(change(f"a{d}", "approved", d) for d in (1.0, 2, 3, 5)),
            *(change(f"r{d}", "rejected", d) for d in (4.0, 9)),
            change("p", "pending", None),
            change("w", "withdrawn", 30.0),
        ]
    )
    found = one(con, "C4")
    assert (found["value"], found["n"], found["open_n"]) == (4, 6, 1)


def test_c5_is_uncovered_work_after_the_lock_and_says_where_no_lock_is_recorded():
    def work(name: str, after: bool | None, covered: bool, amount: Any = 300) -> dict[str, Any]:
        return {
            "work_id": name,
            "is_after_scope_lock": after,
            "was_covered": covered,
            "hours": 2.5,
            "amount": amount,
            "done_at": MAY,
        }

    con = hand_made(
        unplanned_work=[
            work("a", True, False),
            work("unvalued", True, False, None),
            work("covered", True, True),
            work("before", False, False),
            work("no lock", None, False),
        ]
    )
    assert one(con, "C5")["value"] == 300
    assert one(con, "C5h")["value"] == 5
    reasons = {reason: n for reason, n, _ in explain(con, Question("C5")).left_out}
    assert reasons == {
        "no scope lock recorded": 1,
        "done before the lock": 1,
        "covered when it was done": 1,
        "value not known": 1,
    }


def test_c8_puts_change_orders_without_a_reason_first():
    def change(reason: str | None, status: str, amount: int = 100) -> dict[str, Any]:
        return {"change_order_id": f"{reason}{status}", "reason": reason, "status": status, "approved_amount": amount}

    con = hand_made(
        change_orders=[
            change("access", "approved"),
            change(None, "pending"),
            change(None, "approved", -40),
            change("x", "void"),
        ]
    )
    by_reason = answer(con, Question("C8", by=("reason",)))
    assert by_reason.select("reason", "value").rows() == [("no reason", 2), ("access", 1)]
    assert one(con, "C8v")["value"] == 60


# Conventions


def test_p85_of_1_to_10_is_8_65(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.durations.MIN_N_P85", 10)
    monkeypatch.setattr("models.durations.MIN_N_P95", 10)
    con = hand_made(gates=[gate for days in range(1, 11) for gate in gates(cycle_days=float(days))])
    found = one(con, "F1")
    assert (found["value"], found["p85"], found["note"]) == (5.5, pytest.approx(8.65), None)


def test_too_few_rows_show_no_number_and_say_how_many_there_are():
    found = one(hand_made(gates=gates(4, cycle_days=3.0)), "F1")
    assert (found["value"], found["p85"], found["n"], found["note"]) == (None, None, 4, "n = 4: too few")


def test_a_filter_that_matches_nothing_gives_one_empty_row_or_no_group():
    con = hand_made(gates=gates(6, cycle_days=3.0))
    for name in catalogue():
        total = answer(con, Question(name, where={"client": ("Nobody",)}))
        assert set(total.select("value", "n").rows()) == {(None, 0)}  # steps have a row each
        assert answer(con, Question(name, by=("client",), where={"client": ("Nobody",)})).is_empty()


def test_nothing_left_to_bill_is_zero_and_not_unknown():
    con = hand_made(gates=gates(2, bills_amount=9, unbilled_amount=0))
    assert one(con, "B10")["value"] == 0
    assert one(con, "B10", where={"client": ("Nobody",)})["value"] is None


def test_a_filter_value_is_a_value_and_never_sql():
    con = hand_made(gates=gates(6, cycle_days=3.0))
    for text in ("' or 1=1 --", "Acme'; drop table marts.gates; --", "$client_1", "x' union select 1 --"):
        assert one(con, "F1", where={"client": (text, "also")})["n"] == 0
        assert text not in statement(Question("F1", where={"client": (text,)})).sql
    assert one(con, "F1", where={"client": ("Acme", "' or 1=1 --")})["n"] == 6


@pytest.mark.parametrize(
    "wrong",
    [
        Question("F99"),
        Question("F1", by=("gate; drop table x",)),
        Question("F1", where={"1=1": ("a",)}),
        Question("F1", where={"month": ("2026-05-01",)}),
        Question("B10", by=("month",)),
    ],
)
def test_an_unknown_measure_or_dimension_is_refused_with_what_there_is(wrong: Question):
    with pytest.raises(Fault, match=r"There are: F1|It can by: firm"):
        answer(hand_made(), wrong)


def test_a_period_that_ends_before_it_begins_is_refused():
    with pytest.raises(Fault, match="before it begins"):
        statement(Question("F1", since=date(2026, 2, 1), until=date(2026, 1, 1)))


def test_both_days_of_a_period_are_included_and_taken_in_the_project_s_time_zone():
    con = hand_made(
        projects=[{"project_id": "northlight:p1", "timezone": "America/Los_Angeles"}],
        gates=gates(1, approved_at=datetime(2025, 3, 1, 4)),
    )
    february = Question("F10", since=date(2025, 2, 28), until=date(2025, 2, 28))
    assert answer(con, february)["value"].item() == 1
    assert answer(con, Question("F10", by=("month",)))["month"].to_list() == [date(2025, 2, 1)]


def test_the_answer_does_not_depend_on_the_connection_s_own_time_zone():
    con = hand_made(gates=gates(1, approved_at=datetime(2026, 5, 31, 23)))
    con.execute("set TimeZone = 'Asia/Tokyo'")
    assert answer(con, Question("F10", by=("month",)))["month"].to_list() == [date(2026, 5, 1)]


def test_a_period_does_not_apply_to_what_stands_at_the_clock_and_the_answer_says_so():
    con = hand_made(gates=gates(1, bills_amount=500, unbilled_amount=500))
    found = one(con, "B10", since=date(2030, 1, 1))
    assert (found["value"], found["note"]) == (500, "the period does not apply: as it stands")


def test_groups_come_in_order_and_missing_values_have_a_name():
    con = hand_made(gates=[*gates(client="Zeta"), *gates(client="Acme", manager=None), *gates(client="Beta")])
    assert answer(con, Question("F10", by=("client", "manager")))["client"].to_list() == ["Acme", "Beta", "Zeta"]
    assert "no manager" in answer(con, Question("F10", by=("manager",)))["manager"].to_list()
    assert one(con, "F10", where={"manager": ("no manager",)})["n"] == 1


def test_a_group_with_only_open_gates_is_still_listed():
    con = hand_made(
        gates=[
            *gates(6, cycle_days=3.0),
            *gates(2, client="Beta", status="in_progress", approved_at=None, age_days=9.0),
        ]
    )
    by_client = answer(con, Question("F1", by=("client",)))
    assert by_client.select("client", "n", "open_n").rows() == [("Acme", 6, 0), ("Beta", 0, 2)]


def test_series_shows_empty_weeks_as_zero_for_counts_and_unknown_for_durations():
    weeks = [
        *gates(7, cycle_days=3.0),
        *gates(6, cycle_days=5.0, started_at=MAY + timedelta(weeks=2), approved_at=MAY + timedelta(weeks=2)),
    ]
    con = hand_made(gates=weeks, clock=[{"as_of_at": datetime(2026, 5, 20)}])
    counts = series(con, Question("F10"), "week")
    assert counts.select("period", "value", "n").rows() == [
        (date(2026, 5, 4), 7, 7),
        (date(2026, 5, 11), 0, 0),
        (date(2026, 5, 18), 6, 6),
    ]
    assert series(con, Question("F1"), "week")["value"].to_list() == [3, None, 5]


def test_series_fills_every_group_over_the_whole_period_asked_for():
    con = hand_made(gates=[*gates(2), *gates(1, client="Beta", approved_at=MAY + timedelta(days=31))])
    found = series(con, Question("F10", by=("client",), since=date(2026, 4, 15), until=date(2026, 6, 30)))
    assert found["client"].to_list() == ["Acme"] * 3 + ["Beta"] * 3
    assert found["value"].to_list() == [0, 2, 0, 0, 0, 1]
    with pytest.raises(Fault):
        series(con, Question("B10"))


def test_series_shows_a_quiet_end_up_to_the_clock_and_no_future():
    con = hand_made(gates=gates(7), clock=[{"as_of_at": datetime(2026, 5, 25)}])
    for until in (None, date(2026, 12, 31)):
        weeks = series(con, Question("F10", until=until), "week")
        assert weeks["period"].to_list() == [date(2026, 5, day) for day in (4, 11, 18, 25)]
        assert weeks["value"].to_list() == [7, 0, 0, 0]
    assert series(con, Question("F10", by=("month",), until=date(2026, 5, 10)), "month")["n"].to_list() == [7]


def test_distribution_keeps_the_shape_and_the_largest_value():
    con = hand_made(gates=[g | {"gate_id": f"g{d}"} for d in range(1, 101) for g in gates(cycle_days=float(d))])
    found = distribution(con, Question("F1", by=("client",)), limit=10)
    assert found["value"].to_list() == [float(d) for d in range(10, 101, 10)]
    assert found.row(9, named=True) == {
        "id": "g100",
        "label": "Rebrand · Concept",
        "client": "Acme",
        "day": date(2026, 5, 4),
        "value": 100,
        "n": 100,
    }


def test_rows_are_those_counted_and_the_rest_carry_their_reason():
    con = hand_made(gates=[*gates(2, cycle_days=3.0), *gates(1, status="waived", bills_amount=Decimal("9.50"))])
    assert rows(con, Question("F1"))["gate_id"].to_list() == ["g0", "g1"]
    assert rows(con, Question("F1"), left_out=True).select("left_out", "bills_amount").rows() == [("waived", 9.5)]


def test_what_is_counted_and_what_is_left_out_add_up_to_what_matched():
    earlier = gates(1, cycle_days=1.0, started_at=MAY - timedelta(days=99))
    con = hand_made(gates=[*gates(6, cycle_days=3.0), *gates(2, status="waived"), *gates(1), *earlier])
    told = explain(con, Question("F1", since=date(2026, 5, 1)))
    assert (told.matched_rows, told.counted_rows) == (10, 6)
    assert [(reason, n) for reason, n, _ in told.left_out] == [
        ("waived", 2),
        ("start not known", 1),
        ("before the period", 1),
    ]
    assert "started_at from 2026-05-01" in told.period
    assert told.rule
    assert con.sql(told.statement.sql, params=dict(told.statement.parameters)).pl()["n"].item() == 6


@pytest.mark.parametrize("name", catalogue())
def test_no_answer_holds_decimals(name: str):
    con = hand_made(gates=gates(2, bills_amount=500, unbilled_amount=500, cycle_days=3.0))
    question = Question(name, by=("client",))
    for frame in (
        answer(con, question),
        rows(con, question),
        rows(con, question, left_out=True),
        distribution(con, question),
    ):
        assert not [each for each in frame.schema.values() if isinstance(each, pl.Decimal)]


amounts = st.decimals(min_value=-10_000, max_value=10_000, places=2)
orders = st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from(["x", "y"]), amounts)


@settings(max_examples=25, deadline=None)
@given(st.lists(orders, max_size=8))
def test_groups_of_sums_and_counts_add_up_to_the_whole(change_orders: list[tuple[str | None, str, Decimal]]):
    rows_made = [
        {
            "change_order_id": f"{place}",
            "client": client,
            "reason": reason,
            "approved_amount": amount,
            "status": "approved",
        }
        for place, (client, reason, amount) in enumerate(change_orders)
    ]
    with hand_made(change_orders=rows_made) as con:
        for name in ("C8", "C8v"):
            total, groups = one(con, name), answer(con, Question(name, by=("client", "reason")))
            assert groups["value"].sum() == pytest.approx(total["value"] or 0, abs=0.001)
            assert groups["n"].sum() == total["n"] == len(change_orders)
