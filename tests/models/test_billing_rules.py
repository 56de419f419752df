"""From approval to cash: the ledger of receivables, aging, lags and what slips, one test per rule over a few rows."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest
from hand_made_marts import hand_made
from small_bills import APPROVED, invoice, line, payment
from small_worlds import GATE, PROJECT, World, events, one

from models import audit, build, catalog
from models.measure import Question, answer, explain


def moved(con: duckdb.DuckDBPyConnection, column: str = "amount") -> dict[str, str]:
    """What each kind of movement added to receivables."""
    sql = f"select kind, sum({column})::varchar from marts.receivable_entries group by kind having sum({column}) <> 0"
    return dict(con.execute(sql).fetchall())


def standing(con: duckdb.DuckDBPyConnection, day: str = "2999-01-01") -> dict[str, str]:
    """What stood on each account at the end of a day."""
    sql = "select account, sum(amount)::varchar from marts.receivable_entries where occurred_on <= cast(? as date)"
    return dict(con.execute(f"{sql} group by account having sum(amount) <> 0", [day]).fetchall())


def broken(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Blocking checks that do not hold."""
    found = [finding for model in catalog.marts().values() for finding in build.check(con, model)]
    return [f"{f.table}: {f.check}" for f in found if f.severity == "fail" and not f.passed]


def busy(currency: str = "USD") -> dict[str, list[dict[str, Any]]]:
    """A year of everything that moves receivables: parts, credits, a void, a write-off, retainage and its release."""
    paid = {"currency": currency}
    bills = [
        invoice("i1", kind="progress", total="1000.01", retained="100.00", currency=currency),
        invoice("i2", total="333.33", issued_at="2026-02-12T12:00:00Z", currency=currency),
        invoice("i3", kind="credit_note", total="-66.67", issued_at="2026-03-12T12:00:00Z", currency=currency),
        invoice("i4", total="77.77", status="void", voided_at="2026-04-02T12:00:00Z", currency=currency),
        invoice("i5", total="50.05", status="uncollectible", recorded_at="2026-05-01T12:00:00Z", currency=currency),
        invoice("i6", kind="retention_release", total="60.00", issued_at="2026-05-12T12:00:00Z", currency=currency),
    ]
    payments = [
        payment("a", "2026-02-01T12:00:00Z", "300.00", **paid),
        payment("b", "2026-02-20T12:00:00Z", "300.00", **paid),
        payment("c", "2026-03-01T12:00:00Z", "300.01", **paid),
        payment("d", "2026-03-05T12:00:00Z", "340.00", invoice="i2", **paid),
        payment("e", "2026-05-20T12:00:00Z", "20.05", invoice="i5", **paid),
        payment("f", "2026-05-21T12:00:00Z", "10.00", invoice="i6", **paid),
    ]
    return {"invoices": bills, "payments": payments}


JUNE = {"since": date(2026, 6, 1), "until": date(2026, 6, 30)}


def asked(con: duckdb.DuckDBPyConnection, name: str, **question: Any) -> dict[str, Any]:
    """The single row that answers an ungrouped question."""
    return answer(con, Question(name, **question)).row(0, named=True)


def told(con: duckdb.DuckDBPyConnection, name: str, by: str, **question: Any) -> dict[str, float]:
    """The value of each group."""
    return dict(answer(con, Question(name, by=(by,), **question)).select(by, "value").rows())


def entry(key: str, on: date, amount: Any, kind: str = "invoiced", **more: Any) -> dict[str, Any]:
    usual = {"account": "payable", "is_sale": kind in ("invoiced", "credited", "voided"), "currency": "USD"}
    return {"entry_id": key, "occurred_on": on, "kind": kind, "amount": amount, **usual, **more}


def days(row: dict[str, Any]) -> list[str]:
    return [str(row[name])[:10] for name in ("issued_at", "received_at") if row.get(name)]


# Receivables


@pytest.mark.parametrize("currency", ["USD", "EUR"])
def test_receivables_of_any_past_day_are_what_was_built_on_that_day(world: World, currency: str) -> None:
    facts = busy(currency)
    named = sorted({day for row in (*facts["invoices"], *facts["payments"]) for day in days(row)})
    rates = [{"day": day, "currency": "EUR", "rate": f"1.1{place:02}7"} for place, day in enumerate(named)]
    later = world("2026-06-30T12:00:00", rates=rates, **facts)
    assert broken(later) == []
    for day in ("2026-01-12", "2026-02-15", "2026-03-31", "2026-04-15", "2026-05-15", "2026-06-30"):
        then = world(f"{day}T22:00:00", rates=rates, **facts)
        balance = "select coalesce(sum(open_amount), 0), coalesce(sum(open_amount_local), 0) from marts.invoices"
        held = "select coalesce(sum(held_amount), 0), coalesce(sum(held_amount_local), 0) from marts.retained_balances"
        told = (
            "select sum(amount), sum(amount_local) from marts.receivable_entries where occurred_on <= cast(? as date)"
        )
        (payable,), (retained,) = then.execute(balance).fetchall(), then.execute(held).fetchall()
        ((amount, local),) = later.execute(told, [day]).fetchall()
        assert (amount, local) == (payable[0] + retained[0], payable[1] + retained[1]), day


def test_opening_and_movements_make_closing_receivables(world: World) -> None:
    con = world(**busy())
    assert moved(con) == {
        "invoiced": "1461.16",
        "credited": "-66.67",
        "paid": "-1270.06",
        "voided": "-77.77",
        "written_off": "-30.00",
    }
    assert standing(con) == {"payable": "50.00", "unapplied": "-73.34", "retained": "40.00"}


def test_a_voided_invoice_counts_until_the_day_it_was_voided(world: World) -> None:
    con = world(invoices=[invoice(status="void", voided_at="2026-04-02T12:00:00Z")])
    assert standing(con, "2026-04-01") == {"payable": "400.00"}
    assert standing(con, "2026-04-02") == {}


def test_money_received_for_a_voided_invoice_is_unapplied(world: World) -> None:
    voided = invoice(status="void", voided_at="2026-04-02T12:00:00Z")
    con = world(invoices=[voided], payments=[payment("a", "2026-02-01T12:00:00Z", "150.00")])
    assert (str(one(con, "invoices")["open_amount"]), one(con, "invoices")["aging_bucket"]) == ("-150.00", "unapplied")
    assert (standing(con), broken(con)) == ({"unapplied": "-150.00"}, [])


def test_what_comes_in_after_a_write_off_makes_it_smaller(world: World) -> None:
    lost = invoice(status="uncollectible", recorded_at="2026-04-02T12:00:00Z")
    paid = [payment("a", "2026-02-01T12:00:00Z", "150.00"), payment("b", "2026-05-01T12:00:00Z", "50.00")]
    con = world(invoices=[lost], payments=paid)
    assert standing(con, "2026-04-01") == {"payable": "250.00"}
    assert (standing(con, "2026-04-02"), standing(con)) == ({}, {})
    for column in ("amount", "amount_local"):
        assert moved(con, column) == {"invoiced": "400.00", "paid": "-200.00", "written_off": "-200.00"}


def test_what_is_paid_back_of_a_bill_of_nothing_is_open_and_waits_no_number_of_days(world: World) -> None:
    con = world(invoices=[invoice(total="0.00")], payments=[payment("y1", "2026-02-01T12:00:00Z", "-50.00")])
    row = one(con, "invoices")
    assert (row["status"], row["open_amount"]) == ("open", 50)
    assert (row["waiting_days"], row["waiting_working_days"]) == (None, None)  # it was without end


def test_a_payment_before_its_invoice_counts_from_the_issue(world: World) -> None:
    con = world(invoices=[invoice()], payments=[payment("a", "2026-01-05T12:00:00Z", "150.00")])
    assert standing(con, "2026-01-11") == {}
    assert standing(con, "2026-01-12") == {"payable": "250.00"}


def entries(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Every movement: its kind, its account and what it adds."""
    sql = "select kind, account, amount::varchar from marts.receivable_entries order by occurred_at, kind, account"
    return con.execute(sql).fetchall()


def test_what_falls_on_one_instant_is_an_issue_then_a_payment_then_a_void(world: World) -> None:
    noon = "2026-01-12T12:00:00Z"
    con = world(
        invoices=[invoice(status="void", issued_at=noon, voided_at=noon)], payments=[payment("a", noon, "150.00")]
    )
    assert entries(con) == [
        ("invoiced", "payable", "400.00"),
        ("paid", "payable", "-150.00"),
        ("voided", "payable", "-250.00"),
        ("voided", "unapplied", "-150.00"),
    ]


def test_a_movement_has_the_date_of_its_projects_zone(world: World) -> None:
    late = invoice(issued_at="2026-02-01T03:00:00Z")  # the evening of 31 January in New York
    assert one(world(invoices=[late]), "receivable_entries")["occurred_on"] == date(2026, 1, 31)


def test_an_invoice_in_another_currency_settles_to_exactly_nothing(world: World) -> None:
    rates = [{"day": "2026-01-12", "currency": "EUR", "rate": "1.11"}]
    rates += [{"day": f"2026-02-0{n}", "currency": "EUR", "rate": f"1.2{n}"} for n in (1, 2, 3)]
    third = [payment(f"y{n}", f"2026-02-0{n}T12:00:00Z", "33.33", currency="EUR") for n in (1, 2, 3)]
    con = world(rates=rates, invoices=[invoice(currency="EUR", total="99.99")], payments=third)
    rows = con.execute("select amount::varchar from marts.receivable_entries where kind = 'paid' order by occurred_at")
    assert [amount for (amount,) in rows.fetchall()] == ["-37.00", "-36.99", "-37.00"]
    assert (str(one(con, "invoices")["open_amount"]), one(con, "invoices")["status"]) == ("0.00", "paid")
    assert standing(con) == {}


def test_instalments_show_what_is_due_paid_and_open_of_each(world: World) -> None:
    """Worked answer of METRICS section 3: 200 in 30/50/20 % instalments after 40 were paid; each is an invoice."""
    shares = {"i1": "60.00", "i2": "100.00", "i3": "40.00"}
    bills = [invoice(key, total=total) for key, total in shares.items()]
    con = world(invoices=bills, payments=[payment("a", "2026-02-01T12:00:00Z", "40.00")])
    rows = con.execute(
        "select total_amount::double, paid_amount::double, open_amount::double from marts.invoices order by invoice_id"
    ).fetchall()
    assert rows == [(60, 40, 20), (100, 0, 100), (40, 0, 40)]


# Retainage


def test_retainage_is_held_until_a_release_makes_it_payable(world: World) -> None:
    """Worked answer of METRICS section 3, a certificate of payment: 38 500 + 1 280 of contract, 33 800 done, 5 % held."""
    project = {**PROJECT, "contract_amount": "38500.00"}
    order = {"source_key": "o1", "project": "p1", "status": "approved", "decided_at": "2026-01-10T12:00:00Z"}
    first = invoice(kind="progress", total="20263.16", retained="1013.16")
    second = invoice("i2", kind="progress", total="13536.84", retained="676.84", issued_at="2026-03-12T12:00:00Z")
    facts: dict[str, Any] = {
        "projects": [project],
        "change_orders": [{**order, "amount_approved": "1280.00"}],
        "payments": [payment("a", "2026-02-01T12:00:00Z", "19250.00")],
    }
    con = world(invoices=[first, second], **facts)
    held, told = one(con, "retained_balances"), one(con, "projects")
    assert told["contract_amount"] + told["approved_change_amount"] == 39780
    assert (held["held_amount"], standing(con)["payable"]) == (1690, "12860.00")
    release = invoice(
        "i3", kind="retention_release", total="1690.00", issued_at="2026-05-12T12:00:00Z", due_on="2026-06-11"
    )
    con = world(invoices=[first, second, release], **facts)
    assert (one(con, "retained_balances")["held_amount"], standing(con)) == (0, {"payable": "14550.00"})
    assert standing(con, "2026-05-11") == {"payable": "12860.00", "retained": "1690.00"}
    assert moved(con) == {"invoiced": "33800.00", "paid": "-19250.00"}  # a release sells nothing anew
    assert one(con, "invoices", "number = 'I3'")["aging_bucket"] == "1–30"


def test_a_voided_bill_holds_nothing_back_any_more(world: World) -> None:
    bills = [
        invoice(kind="progress", retained="20.00", status="void", voided_at="2026-04-02T12:00:00Z"),
        invoice("i2", kind="progress", retained="30.00", issued_at="2026-05-12T12:00:00Z"),
    ]
    con = world(invoices=bills)
    days = ("2026-04-01", "2026-04-02", "2026-05-12")
    assert [standing(con, day) for day in days] == [
        {"payable": "380.00", "retained": "20.00"},
        {},
        {"payable": "370.00", "retained": "30.00"},
    ]


def test_a_bill_voided_as_it_was_issued_held_something_back_first(world: World) -> None:
    noon = "2026-01-12T12:00:00Z"
    con = world(invoices=[invoice(kind="progress", retained="20.00", status="void", issued_at=noon, voided_at=noon)])
    assert [entry for entry in entries(con) if entry[1] == "retained"] == [
        ("retained", "retained", "20.00"),
        ("voided", "retained", "-20.00"),
    ]


def test_retainage_that_a_credit_note_takes_back_at_another_rate_leaves_nothing_held(world: World) -> None:
    rates = [{"day": "2026-01-12", "currency": "EUR", "rate": "1.10"}]
    rates += [{"day": "2026-05-12", "currency": "EUR", "rate": "1.25"}]
    credit = {"kind": "credit_note", "total": "-400.00", "retained": "-20.00", "issued_at": "2026-05-12T12:00:00Z"}
    bills = [invoice(kind="progress", retained="20.00", currency="EUR"), invoice("i2", currency="EUR", **credit)]
    con = world(rates=rates, invoices=bills)
    assert "retained" not in standing(con)
    assert broken(con) == []


def test_what_is_held_and_released_at_one_instant_is_held_first(world: World) -> None:
    bills = [invoice("i0", kind="retention_release", total="20.00"), invoice(kind="progress", retained="20.00")]
    con = world(invoices=bills)
    assert (moved(con), standing(con)) == ({"invoiced": "400.00"}, {"payable": "400.00"})
    assert [entry for entry in entries(con) if entry[1] == "retained"] == [
        ("released", "retained", "-20.00"),
        ("retained", "retained", "20.00"),
    ]


def test_a_release_of_more_than_is_held_is_a_bill_like_any_other(world: World) -> None:
    bills = [
        invoice(kind="progress", retained="20.00"),
        invoice("i2", kind="retention_release", total="50.00", issued_at="2026-05-12T12:00:00Z"),
    ]
    con = world(invoices=bills)
    assert moved(con) == {"invoiced": "430.00"}
    assert standing(con) == {"payable": "430.00"}
    assert broken(con) == []


def test_a_release_where_nothing_is_held_releases_nothing(world: World) -> None:
    con = world(invoices=[invoice(kind="retention_release", total="50.00")])
    assert entries(con) == [("invoiced", "payable", "50.00")]


def test_what_a_voided_release_released_is_held_again(world: World) -> None:
    release = {"kind": "retention_release", "total": "20.00", "issued_at": "2026-05-12T12:00:00Z"}
    bills = [
        invoice(kind="progress", retained="20.00"),
        invoice("i2", **release, status="void", voided_at="2026-06-02T12:00:00Z"),
    ]
    con = world(invoices=bills)
    assert standing(con, "2026-06-01") == {"payable": "400.00"}
    assert standing(con, "2026-06-02") == {"payable": "380.00", "retained": "20.00"}


def test_of_what_a_voided_bill_held_back_nothing_was_ever_retained(world: World) -> None:
    con = world(invoices=[invoice(kind="progress", retained="20.00", status="void", voided_at="2026-04-02T12:00:00Z")])
    held = one(con, "retained_balances")
    assert (held["retained_amount_local"], held["held_amount_local"]) == (0, 0)


def test_a_release_at_another_days_rate_leaves_nothing_held(world: World) -> None:
    rates = [
        {"day": "2026-01-12", "currency": "EUR", "rate": "1.10"},
        {"day": "2026-05-12", "currency": "EUR", "rate": "1.25"},
    ]
    bills = [
        invoice(kind="progress", retained="20.00", currency="EUR"),
        invoice("i2", kind="retention_release", total="20.00", issued_at="2026-05-12T12:00:00Z", currency="EUR"),
    ]
    con = world(rates=rates, invoices=bills)
    # 22.00 were held, 25.00 become payable
    assert (moved(con), one(con, "retained_balances")["held_amount"]) == ({"invoiced": "440.00", "revalued": "3.00"}, 0)
    assert broken(con) == []


def test_retainage_in_the_reporting_currency_is_what_the_rounded_rest_leaves(world: World) -> None:
    """1.00 at 1.137 is 1.14, payable of it 0.98 is 1.11: 0.03 are held, though 0.02 alone would be 0.02."""
    rates = [{"day": "2026-01-12", "currency": "EUR", "rate": "1.137"}]
    con = world(rates=rates, invoices=[invoice(kind="progress", total="1.00", retained="0.02", currency="EUR")])
    assert str(one(con, "invoices")["retained_amount"]) == "0.03"
    found = audit.check(con, catalog.marts()["invoices"], {"invoices", "clock"})
    assert [one.check for one in found if not one.passed] == []


# From approval to invoice


def test_a_line_that_names_a_change_order_bills_no_gate(world: World) -> None:
    order = {"source_key": "o1", "project": "p1", "status": "approved", "decided_at": "2026-01-10T12:00:00Z"}
    con = world(
        milestone_events=APPROVED,
        change_orders=[{**order, "amount_approved": "400.00"}],
        invoices=[invoice()],
        invoice_lines=[line("l1", change_order="o1")],
    )
    assert (one(con, "gates")["unbilled_amount"], one(con, "change_orders")["unbilled_amount"]) == (400, 0)


def test_a_gate_in_parts_has_a_first_a_weighted_and_a_last_lag(world: World) -> None:
    bills = [
        invoice(total="100.00", issued_at="2026-01-11T12:00:00Z"),
        invoice("i2", total="300.00", issued_at="2026-01-29T12:00:00Z"),
    ]
    lines = [line("l1", amount="100.00"), line("l2", invoice="i2", amount="300.00")]
    gate = one(world(milestone_events=APPROVED, invoices=bills, invoice_lines=lines), "billable_gates")
    assert (gate["first_invoice_days"], gate["billing_lag_days"], gate["full_invoice_days"]) == (2, 15.5, 20)
    half = one(
        world("2026-01-19T12:00:00", milestone_events=APPROVED, invoices=bills[:1], invoice_lines=lines[:1]),
        "billable_gates",
    )
    # 100 after 2 days, and 300 waiting for 10
    assert (half["billing_wait_days"], half["full_invoice_days"], half["unbilled_days"]) == (8, None, 10)


def test_a_gate_billed_again_after_a_credit_is_complete_from_the_second_time(world: World) -> None:
    bills = [
        invoice(),
        invoice("i2", kind="credit_note", total="-400.00", issued_at="2026-01-15T12:00:00Z"),
        invoice("i3", issued_at="2026-01-24T12:00:00Z"),
    ]
    lines = [line("l1"), line("l2", invoice="i2", amount="-400.00"), line("l3", invoice="i3")]
    gate = one(world(milestone_events=APPROVED, invoices=bills, invoice_lines=lines), "billable_gates")
    assert (gate["full_invoice_days"], gate["unbilled_amount"]) == (15, 0)
    # 400 lay there for 3 days, and for 9 more once the bill had been taken back
    assert gate["tied_amount_days"] == 400 * 12


def test_a_line_that_comes_to_nothing_in_the_contracts_currency_lags_behind_nothing(world: World) -> None:
    rates = [{"day": "2026-01-12", "currency": "JPY", "rate": "0.0067"}]
    bills = [invoice(currency="JPY", total="0.50")]
    lines = [line("l1", amount="0.50")]
    con = world(milestone_events=APPROVED, rates=rates, invoices=bills, invoice_lines=lines)
    row = one(con, "billable_gates")
    assert (row["billing_lag_days"], row["unbilled_amount"], row["is_paid_in_full"]) == (None, 400, False)
    assert row["billing_wait_days"] > 0  # the whole amount waits on


def test_money_tied_up_is_amount_times_days_and_early_billing_earns_none_back(world: World) -> None:
    early = invoice(total="100.00", issued_at="2026-01-05T12:00:00Z")
    con = world(
        "2026-01-19T12:00:00", milestone_events=APPROVED, invoices=[early], invoice_lines=[line("l1", amount="100.00")]
    )
    assert one(con, "billable_gates")["tied_amount_days"] == 300 * 10


# From start to cash


HANDED = [
    *events(
        "g1",
        ("started", "2026-01-03T12:00:00Z"),
        ("submitted", "2026-01-05T12:00:00Z"),
        ("changes_requested", "2026-01-06T12:00:00Z"),
        ("submitted", "2026-01-08T12:00:00Z"),
        ("approved", "2026-01-11T12:00:00Z"),
    )
]


def test_gate_to_cash_is_the_firm_the_client_the_bill_and_the_payment(world: World) -> None:
    bills = [
        invoice(total="100.00", issued_at="2026-01-12T12:00:00Z"),
        invoice("i2", total="300.00", issued_at="2026-01-16T12:00:00Z"),
    ]
    lines = [line("l1", amount="100.00"), line("l2", invoice="i2", amount="300.00")]
    payments = [
        payment("a", "2026-01-22T12:00:00Z", "100.00"),
        payment("b", "2026-01-26T12:00:00Z", "150.00", invoice="i2"),
        payment("c", "2026-02-15T12:00:00Z", "150.00", invoice="i2"),
    ]
    facts = {"milestone_events": HANDED, "invoices": bills, "invoice_lines": lines}
    con = world(payments=payments, **facts)
    gate = one(con, "billable_gates")
    parts = [gate[f"{name}_days"] for name in ("firm", "client_wait", "billing_lag", "payment")]
    # the bill: 100 after 1 day and 300 after 5; the money: 100 after 10 days, 300 after 20 on the mean
    assert parts == [4, 4, 4, 17.5]
    assert (gate["cash_cycle_days"], gate["cash_age_days"], broken(con)) == (29.5, None, [])
    unpaid = one(world("2026-02-02T12:00:00", payments=payments[:2], **facts), "billable_gates")
    assert (unpaid["cash_cycle_days"], unpaid["payment_days"], unpaid["cash_age_days"]) == (None, None, 30)


def test_what_the_client_does_not_hold_of_a_gate_counts_as_the_firms(world: World) -> None:
    stops = [
        ("started", "2026-01-03T12:00:00Z", "team"),
        ("submitted", "2026-01-05T12:00:00Z", "team"),
        ("changes_requested", "2026-01-06T12:00:00Z", "authority"),
        ("submitted", "2026-01-07T12:00:00Z", "team"),
        ("approved", "2026-01-09T12:00:00Z", "client"),
        ("reopened", "2026-01-12T12:00:00Z", "client"),
        ("submitted", "2026-01-13T12:00:00Z", "team"),
        ("approved", "2026-01-17T12:00:00Z", "team"),
    ]
    happened = [
        {"source_key": f"e{n}", "milestone": "g1", "type": kind, "occurred_at": at, "actor_side": side, "origin": "log"}
        for n, (kind, at, side) in enumerate(stops)
    ]
    bill = invoice(issued_at="2026-01-18T12:00:00Z")
    con = world(
        milestone_events=happened,
        invoices=[bill],
        invoice_lines=[line("l1")],
        payments=[payment("a", "2026-01-20T12:00:00Z", "400.00")],
    )
    gate = one(con, "billable_gates")
    # work 2 + 1 + 1, an authority's wait 1, idle 3, the team's own wait 4; the client's wait 2
    assert (gate["firm_days"], gate["client_wait_days"], gate["cash_cycle_days"]) == (12, 2, 17)
    assert broken(con) == []


def test_a_gate_one_of_whose_invoices_was_written_off_ends_there(world: World) -> None:
    lost = invoice(status="uncollectible", recorded_at="2026-03-04T12:00:00Z")
    bills = [lost, invoice("i2", total="100.00")]
    lines = [line("l1", amount="300.00"), line("l2", invoice="i2", amount="100.00")]
    gate = one(world(milestone_events=HANDED, invoices=bills, invoice_lines=lines), "billable_gates")
    assert (gate["is_written_off"], gate["cash_ended_days"], gate["cash_cycle_days"]) == (True, 60, None)


def test_a_gate_of_which_nothing_was_billed_is_not_written_off_and_waits_on(world: World) -> None:
    con = world(milestone_events=HANDED)
    assert (one(con, "billable_gates")["is_written_off"], asked(con, "B3")["open_n"]) == (False, 1)


def test_an_invoice_written_off_at_a_time_nobody_knows_is_written_off(world: World) -> None:
    assert (
        one(world(invoices=[invoice(status="uncollectible", recorded_at=None)]), "invoices")["status"]
        == "uncollectible"
    )


# Behind the plan


PLAN = [
    {"source_key": "b1", "milestone": "g1", "due_on": "2026-01-10", "recorded_at": "2025-12-01T12:00:00Z"},
    {"source_key": "b2", "milestone": "g1", "due_on": "2026-09-30", "recorded_at": "2026-01-05T12:00:00Z"},
]
CAUSES = ("late_gate", "uninvoiced", "disputed")


def slipped(con: duckdb.DuckDBPyConnection, what: str = "amount") -> list[float]:
    row = one(con, "billable_gates")
    return [float(row[f"{cause}_{what}"]) for cause in CAUSES]


def test_slipped_billing_is_held_against_the_first_plan_however_it_was_moved(world: World) -> None:
    con = world("2026-01-20T17:00:00", milestone_plans=PLAN)
    assert slipped(con) == [400, 0, 0]
    assert slipped(con, "amount_days") == [4000, 0, 0]


def test_slipped_billing_is_not_late_on_its_own_day(world: World) -> None:
    assert slipped(world("2026-01-10T17:00:00", milestone_plans=PLAN)) == [0, 0, 0]


def test_slipped_billing_is_split_by_the_gate_the_bill_and_the_dispute(world: World) -> None:
    approved = events("g1", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-01-13T12:00:00Z"))
    bills = [
        invoice(total="100.00", issued_at="2026-01-15T12:00:00Z"),
        invoice(
            "i2", total="250.00", issued_at="2026-01-18T12:00:00Z", disputed="true", recorded_at="2026-01-18T12:00:00Z"
        ),
    ]
    lines = [line("l1", amount="100.00"), line("l2", invoice="i2", amount="250.00")]
    con = world(
        "2026-01-30T17:00:00", milestone_plans=PLAN, milestone_events=approved, invoices=bills, invoice_lines=lines
    )
    assert slipped(con) == [0, 50, 250]
    # 400 were 3 days behind when approved; then 100 for 2 days, 250 for 5, 50 for 17; 250 have been disputed for 12
    assert slipped(con, "amount_days") == [400 * 3, 100 * 2 + 250 * 5 + 50 * 17, 250 * 12]


def test_a_disputed_bill_that_was_sent_again_holds_nothing_back(world: World) -> None:
    bills = [
        invoice(disputed="true"),
        invoice("i2", issued_at="2026-01-20T12:00:00Z", recorded_at="2026-01-20T12:00:00Z"),
    ]
    lines = [line("l1"), line("l2", invoice="i2")]
    con = world(
        "2026-01-30T17:00:00", milestone_plans=PLAN, milestone_events=APPROVED, invoices=bills, invoice_lines=lines
    )
    assert slipped(con) == [0, 0, 0]
    assert slipped(con, "amount_days") == [0, 400 * 10, 0]


# What the measures make of it


LATE = {"due_on": date(2026, 6, 10)}
SOON = {"due_on": date(2026, 7, 10)}


def test_b5_b7_and_b7d_share_sales_and_split_receivables() -> None:
    """Worked answer of METRICS section 3: receivables 15 000, current 4000, sales 10 000 in 30 days: 45, 12, 33."""
    con = hand_made(
        receivable_entries=[
            entry("before", date(2026, 5, 2), 6000, **LATE),
            entry("sold", date(2026, 6, 2), 7000, **LATE),
            entry("fresh", date(2026, 6, 20), 3500, **SOON),
            entry("credit", date(2026, 6, 21), -500, "credited", account="unapplied"),
            entry("held", date(2026, 5, 2), 500, "retained", account="retained"),
            entry("paid", date(2026, 6, 9), -1500, "paid", **LATE),
            entry("later", date(2026, 7, 1), 90_000, **SOON),
        ]
    )
    assert [asked(con, name, **JUNE)["value"] for name in ("B5", "B7", "B7d")] == [45, 12, 33]


def test_b6_counts_sales_back_until_they_use_receivables_up() -> None:
    """Worked answer of METRICS section 3: 212k, sales newest first 100/80/70k, blocks of 30 days: 73.71 days."""
    con = hand_made(
        receivable_entries=[
            entry("may", date(2026, 6, 15), 100_000),
            entry("april", date(2026, 5, 15), 80_000),
            entry("march", date(2026, 4, 15), 70_000),
            entry("paid", date(2026, 6, 20), -38_000, "paid"),
        ]
    )
    asking = {"until": date(2026, 6, 30), "settings": {"block_days": 30}}
    assert asked(con, "B6", **asking)["value"] == pytest.approx(73.71, abs=0.005)


def test_b9_is_what_was_collected_of_what_could_have_been() -> None:
    """Worked answer of METRICS section 3: 6200, 10 890/3, 6340, 3590: 55.93 %."""
    con = hand_made(
        receivable_entries=[
            entry("opening", date(2026, 5, 2), 6200, **LATE),
            entry("sold", date(2026, 6, 20), 3590, **SOON),
            entry("sold too", date(2026, 6, 2), 40, **LATE),
            entry("paid", date(2026, 6, 9), -3490, "paid", **LATE),
        ]
    )
    assert asked(con, "B9", **JUNE)["value"] == pytest.approx(55.93, abs=0.005)


def test_b17_rolls_receivables_from_one_day_to_another(world: World) -> None:
    con = world("2026-06-30T12:00:00", **busy())
    spring = {"since": date(2026, 3, 1), "until": date(2026, 5, 31)}
    steps = dict(answer(con, Question("B17", **spring)).select("step", "value").rows())
    assert steps == {
        "Opening": 861.16,
        "Invoiced": 0.0,
        "Credited": -66.67,
        "Voided": -77.77,
        "Paid": -670.06,
        "Written off": -30.0,
        "Retained and released": 0.0,
        "Revalued": 0.0,
        "Closing": 16.66,
    }


def test_b8_shows_retainage_and_credits_apart_and_adds_up_to_b17(world: World) -> None:
    con = world("2026-06-30T12:00:00", **busy())
    buckets = told(con, "B8", "aging_bucket")
    assert buckets == {"over 90": 50.0, "unapplied": -73.34, "retained": 40.0}
    closing = answer(con, Question("B17")).filter(step="Closing")["value"].item()
    assert sum(buckets.values()) == pytest.approx(closing)


def test_b14_is_held_per_project(world: World) -> None:
    con = world("2026-06-30T12:00:00", **busy())
    assert told(con, "B14", "project") == {"Rebrand": 40.0}


def test_b1_gates_wait_on_and_deposits_bill_none(world: World) -> None:
    gates = [{**GATE, "source_key": key, "sequence": n, "bills_pct": 10} for n, key in enumerate(("g1", "g2", "g3"))]
    approved = [row for gate in gates for row in events(str(gate["source_key"]), *BOTH)]
    bills = [invoice(total="60.00"), invoice("i2", kind="deposit", total="100.00")]
    lines = [
        line("l1", amount="60.00"),
        *(line(f"d{n}", invoice="i2", milestone=f"g{n}", amount=paid) for n, paid in DEPOSIT),
    ]
    con = world(milestones=gates, milestone_events=approved, invoices=bills, invoice_lines=lines)
    counted = {name: (row["n"], row["open_n"]) for name in ("B1", "B1g", "B1f", "B1c") for row in [asked(con, name)]}
    assert counted == {"B1": (1, 1), "B1g": (0, 2), "B1f": (1, 1), "B1c": (0, 2)}  # g2 is the deposit's


DEPOSIT = ((2, "100.00"), (3, "40.00"))  # all of one gate, a part of another
BOTH = (("started", "2026-01-03T12:00:00Z"), ("approved", "2026-01-09T12:00:00Z"))


def test_b2_weights_the_payments_of_an_invoice_by_amount(world: World) -> None:
    paid = [payment("a", "2026-01-22T12:00:00Z", "300.00"), payment("b", "2026-03-03T12:00:00Z", "100.00")]
    failed = payment("c", "2026-01-13T12:00:00Z", "400.00", status="failed")
    bill = one(world(invoices=[invoice()], payments=[*paid, failed]), "invoices")
    assert (bill["status"], bill["cash_days"], bill["waiting_days"]) == ("paid", 20, None)
    half = one(world("2026-02-11T12:00:00", invoices=[invoice()], payments=paid), "invoices")
    # 300 after 10 days, 100 waiting for 30
    assert (half["status"], half["cash_days"], half["waiting_days"]) == ("open", 10, 15)


def test_b3_closes_a_gate_once_its_invoices_are_paid_and_b3p_adds_its_parts_up(world: World) -> None:
    facts = {"milestone_events": HANDED, "invoices": [invoice()], "invoice_lines": [line("l1")]}
    con = world("2026-01-23T12:00:00", **facts)
    assert (asked(con, "B3")["n"], asked(con, "B3")["open_n"]) == (0, 1)
    con = world(payments=[payment("a", "2026-01-22T12:00:00Z", "400.00")], **facts)
    steps = dict(answer(con, Question("B3p")).select("step", "value").rows())
    assert steps == {"Firm and authorities": 4, "Client": 4, "Billing": 1, "Payment": 10, "Start to cash": 19}
    assert (asked(con, "B3")["n"], asked(con, "B3")["open_n"]) == (1, 0)


def test_b10_is_told_by_owner_and_age_and_what_is_billed_too_much_offsets_nothing(world: World) -> None:
    gates = [
        {**GATE, "source_key": key, "sequence": n, "bills_pct": 10, "owner_team": team}
        for n, (key, team) in enumerate((("g1", "Design"), ("g2", "Build"), ("g3", "Build")))
    ]
    approved = [
        *events("g1", *BOTH),
        *events("g2", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-02-08T12:00:00Z")),
        *events("g3", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-02-07T12:00:00Z")),
    ]
    client = {"source_key": "c1", "name": "Aster", "timezone": "America/New_York", "owner": "Ute"}
    con = world(
        "2026-03-11T00:00:00",
        clients=[client],
        milestones=gates,
        milestone_events=approved,
        invoices=[invoice(total="900.00")],
        invoice_lines=[line("l1", amount="900.00")],
    )
    assert told(con, "B10", "owner_team") == {"Build": 200}
    assert told(con, "B10", "client_owner") == {"Ute": 200}
    # 30 days and a half, 31 and a half
    assert told(con, "B10", "unbilled_bucket") == {"0–30": 100, "31–60": 100}


def test_what_is_approved_and_not_billed_for_a_whole_number_of_days_stands_in_the_bucket_that_names_it(
    world: World,
) -> None:
    """Before 31 days it is 30 days old, with the 31st it is 31."""
    days = {
        "g1": "2026-01-31T00:00:00Z",
        "g2": "2026-01-30T23:59:59Z",
        "g3": "2026-01-01T00:00:00Z",
        "g4": "2025-12-02T00:00:00Z",
    }
    gates = [{**GATE, "source_key": key, "sequence": n, "bills_pct": 10 * n} for n, key in enumerate(days, 1)]
    approved = [
        row for key, at in days.items() for row in events(key, ("started", "2025-11-03T12:00:00Z"), ("approved", at))
    ]
    con = world("2026-03-03T00:00:00", milestones=gates, milestone_events=approved)
    assert told(con, "B10", "unbilled_bucket") == {"31–60": 300, "61–90": 300, "over 90": 400}
    assert asked(con, "B10")["n"] == 4


def test_b10_says_whose_worth_nobody_knows_and_does_not_call_it_billed(world: World) -> None:
    con = world(milestones=[{**GATE, "bills_pct": None}], milestone_events=APPROVED)
    assert (asked(con, "B10")["value"], asked(con, "B10")["n"]) == (0, 0)
    assert [(reason, n) for reason, n, _ in explain(con, Question("B10")).left_out] == [("worth not known", 1)]
    free = world(milestones=[{**GATE, "bills_pct": 0}], milestone_events=APPROVED)
    assert [(reason, n) for reason, n, _ in explain(free, Question("B10")).left_out] == [("billed in full", 1)]


def test_b11_estimates_what_leaks_and_its_age_may_be_set(world: World) -> None:
    work = [
        {
            "source_key": "free",
            "project": "p1",
            "milestone": "g1",
            "done_at": "2026-02-01T12:00:00Z",
            "amount": "120.00",
        },
        {
            "source_key": "early",
            "project": "p1",
            "milestone": "g1",
            "done_at": "2026-01-04T12:00:00Z",
            "amount": "70.00",
        },
        {"source_key": "hours", "project": "p1", "milestone": "g1", "done_at": "2026-02-01T12:00:00Z", "hours": 3},
    ]
    con = world("2026-03-10T13:00:00", milestone_events=APPROVED, extra_work=work)
    assert (asked(con, "B11")["value"], asked(con, "B11", settings={"older_than_days": 61})["value"]) == (520, 120)
    assert told(con, "B11", "owed_for") == {"gate": 400, "extra work": 120}
    assert "estimate" in explain(con, Question("B11")).measure.definition


def test_b12_tells_early_billing_in_money_days_and_number(world: World) -> None:
    early = invoice(issued_at="2026-01-07T12:00:00Z")
    con = world(milestone_events=APPROVED, invoices=[early], invoice_lines=[line("l1")])
    assert (asked(con, "B12")["value"], asked(con, "B12c")["value"], asked(con, "B12d")["n"]) == (400, 1, 1)
    waiting = world("2026-01-08T12:00:00", milestone_events=APPROVED, invoices=[early], invoice_lines=[line("l1")])
    assert (asked(waiting, "B12d")["n"], asked(waiting, "B12d")["open_n"]) == (0, 1)


def test_b13_and_b13d_are_told_by_cause(world: World) -> None:
    facts = {"milestone_plans": PLAN, "milestone_events": APPROVED}
    con = world("2026-01-30T17:00:00", **facts)
    assert (told(con, "B13", "cause"), asked(con, "B13d")["value"]) == ({"approved, not invoiced": 400}, 400 * 20)
    waived = [*events("g1", ("waived", "2026-01-09T12:00:00Z"))]
    con = world("2026-01-30T17:00:00", milestone_plans=PLAN, milestone_events=waived)
    assert {reason for reason, *_ in explain(con, Question("B13")).left_out} == {"waived or cancelled"}


def test_b16_is_money_times_days_times_the_askers_rate(world: World) -> None:
    late = invoice(issued_at="2026-01-19T12:00:00Z", total="36500.00")
    con = world(
        projects=[{**PROJECT, "contract_amount": "91250.00"}],
        milestone_events=APPROVED,
        invoices=[late],
        invoice_lines=[line("l1", amount="36500.00")],
    )
    assert asked(con, "B16")["value"] == pytest.approx(80)
    assert asked(con, "B16", settings={"annual_pct": 12})["value"] == pytest.approx(120)
