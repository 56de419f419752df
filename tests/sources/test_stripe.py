"""A Stripe account pulled: what changed by its events, what its events no longer tell, money to the last unit."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, Reply, Request, Trouble, serving
from pulled_firm import DAY, HASTE, HOUR, PulledFirm
from stripe_fake import SECRET, Object, Stripe

from models.faults import Fault
from pipelines.sources.stripe import probe

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIELDS = {"project": "project", "milestone": "gate", "change_order": "change", "invoice": "our_number"}

pytestmark = pytest.mark.slow


class Firm(PulledFirm):
    """A firm whose gates lie in files and whose bills are made in Stripe."""

    def __init__(self, data: Path, stripe: Stripe, server: Loopback) -> None:
        self.server = server
        super().__init__(data, stripe, "till", self.block(), SECRET)

    def block(self, **more: Any) -> dict[str, Any]:
        return {"kind": "stripe", "url": self.server.url, "token_env": "SECRET", "fields": FIELDS, "page_size": 3,
                "firm": "Studio", **more}  # fmt: skip

    def with_rates(self, *rates: str) -> None:
        (self.data / "rates").mkdir()
        (self.data / "rates" / "rates.csv").write_text("\n".join(["day,currency,rate", *rates]) + "\n", "utf-8")


@pytest.fixture
def stripe() -> Iterator[Stripe]:
    account = Stripe(MONDAY)
    yield account
    assert account.drifted == []  # whatever it answered is as Stripe answers


@pytest.fixture
def firm(tmp_path: Path, stripe: Stripe) -> Iterator[Firm]:
    with serving(stripe.answer) as server:
        yield Firm(tmp_path, stripe, server)


def gate_line(amount: int, gate: str, **more: Any) -> Object:
    return {"amount": amount, "metadata": {"gate": gate}, **more}


def balances(firm: Firm) -> list[tuple[Any, ...]]:
    query = "select number, kind, status, total_amount_local, open_amount_local from marts.invoices order by number"
    return [(*row[:3], str(row[3]), str(row[4])) for row in firm.told(query)]


# --- what becomes of it ----------------------------------------------------------------------------------


def test_an_approved_gate_is_billed_and_paid_through_metadata(firm: Firm, stripe: Stripe) -> None:
    firm.with_gates()
    aster = stripe.customer("Aster", country="DE")
    bill = stripe.draft(aster, [gate_line(40000, "REB-1")], metadata={"project": "studio:p1"})
    stripe.now += DAY
    stripe.finalize(bill)
    stripe.now += 9 * DAY
    stripe.pay(bill)
    firm.pull()
    found = firm.told(
        "select g.gate_name, g.status, g.cycle_days, g.billing_lag_days, g.unbilled_amount::text, i.status, i.cash_days, "
        "b.link_method, b.link_confidence, i.client from marts.gates g left join marts.gate_billing b using (gate_id) "
        "left join marts.invoices i using (invoice_id) order by 1"
    )
    assert found == [
        ("Concept", "approved", 24.0, 5.0, "0.00", "paid", 9.0, "field", 0.95, "Aster"),
        ("Launch", "in_progress", None, None, "0.00", None, None, None, None, None),
    ]
    labels = firm.told("select project_id, due_on::text, drafted_at::text from staging.invoices")
    assert labels == [("studio:p1", "2026-04-02", "2026-03-02 12:00:00")]


def test_units_are_those_of_each_currency(firm: Firm, stripe: Stripe) -> None:
    firm.with_rates(*(f"2026-03-02,{one},1" for one in ("JPY", "KWD", "UGX", "EUR")))
    client = stripe.customer("Aster")
    for currency, minor in (("usd", 123456), ("jpy", 5000), ("kwd", 5120), ("ugx", 50000), ("eur", -1)):
        stripe.bill(client, minor, currency=currency)
    firm.pull()
    query = "select i.currency, total::text, amount::text from staging.invoices i join staging.invoice_lines using (invoice_id) order by 1"
    assert firm.told(query) == [
        ("EUR", "-0.01", "-0.01"), ("JPY", "5000.00", "5000.00"), ("KWD", "5.12", "5.12"), ("UGX", "500.00", "500.00"),
        ("USD", "1234.56", "1234.56"),
    ]  # fmt: skip


def test_lines_are_told_without_tax_and_discounts_and_add_up(firm: Firm, stripe: Stripe) -> None:
    exclusive = {"amount": 1900, "tax_behavior": "exclusive", "taxable_amount": 10000}
    inclusive = {"amount": 958, "tax_behavior": "inclusive", "taxable_amount": 5042}
    bill = stripe.bill(
        stripe.customer("Aster"),
        {"amount": 12000, "discount_amounts": [{"amount": 2000, "discount": "di_1"}], "taxes": [exclusive]},
        {"amount": 6000, "taxes": [inclusive], "pretax_credit_amounts": []},
        {"amount": 1000, "pretax_credit_amounts": [{"amount": 400, "type": "credit_balance_transaction"}]},
    )
    firm.pull()
    lines = [str(row[0]) for row in firm.told("select amount from staging.invoice_lines order by invoice_line_id")]
    assert lines == ["100.00", "50.42", "6.00"]
    total, tax = firm.told("select total, tax from staging.invoices")[0]
    assert (total, tax) == (Decimal("185.00"), Decimal("28.58"))
    assert total - tax == sum(map(Decimal, lines)) == Decimal(bill["total_excluding_tax"]) / 100


def test_an_invoice_of_many_lines_has_them_all(firm: Firm, stripe: Stripe) -> None:
    stripe.bill(stripe.customer("Aster"), *range(1, 24))
    firm.pull()
    assert firm.told("select count(*), sum(amount)::text from staging.invoice_lines") == [(23, "2.76")]
    assert [one.query["starting_after"] for one in firm.server.asked if one.path.endswith("/lines")]


def test_states_come_with_the_instants_stripe_keeps(firm: Firm, stripe: Stripe) -> None:
    client = stripe.customer("Aster")
    stripe.draft(client, [100])
    bills = [stripe.bill(client, 100) for _ in range(4)]
    bills[3]["effective_at"] = int((MONDAY - 3 * DAY).timestamp())  # dated back on the paper
    stripe.now += DAY
    stripe.pay(bills[0])
    stripe.void(bills[1])
    stripe.give_up(bills[2])
    firm.pull()
    query = "select number, status, issued_at::text, left_at::text from marts.invoices order by number nulls first"
    monday, tuesday = "2026-03-02 12:00:00", "2026-03-03 12:00:00"
    assert firm.told(query) == [
        (None, "draft", None, None),
        ("INV-0001", "paid", monday, None),
        ("INV-0002", "void", monday, tuesday),
        ("INV-0003", "uncollectible", monday, tuesday),
        ("INV-0004", "open", "2026-02-27 12:00:00", None),
    ]
    earlier = firm.told("select status from marts.invoices order by number nulls first", MONDAY + HOUR)
    assert [row[0] for row in earlier] == ["draft", "open", "open", "open", "open"]


def test_credits_refunds_and_balances_settle_to_nothing(firm: Firm, stripe: Stripe) -> None:
    client = stripe.customer("Aster")
    open_bill, refunded, left, balanced, elsewhere = (stripe.draft(client, [10000]) for _ in range(5))
    for bill in (open_bill, refunded, left, elsewhere):
        stripe.finalize(bill)
    stripe.credit(open_bill, open_bill["lines"][0], 2500)  # taken off before it is paid
    stripe.pay(open_bill)
    back = stripe.refund(stripe.pay(refunded), 4000)
    stripe.credit(refunded, refunded["lines"][0], 4000, back)  # given back
    stripe.pay(left)
    stripe.credit(left, left["lines"][0], 3000)  # left to the customer's balance,
    stripe.finalize(balanced, balance=-3000)  # which the next bill uses
    stripe.pay(balanced)
    stripe.pay_elsewhere(elsewhere)
    firm.pull()
    assert balances(firm) == [
        ("INV-0001", "invoice", "paid", "100.00", "0.00"),
        ("INV-0001-CN-01", "credit_note", "open", "-25.00", "0.00"),
        ("INV-0002", "invoice", "paid", "100.00", "0.00"),
        ("INV-0002-CN-01", "credit_note", "open", "-40.00", "0.00"),
        ("INV-0003", "invoice", "paid", "100.00", "0.00"),
        ("INV-0003-CN-01", "credit_note", "open", "-30.00", "0.00"),
        ("INV-0004", "invoice", "paid", "100.00", "0.00"),
        ("INV-0005", "invoice", "paid", "100.00", "0.00"),
    ]
    money = firm.told(
        "select sum(amount)::text from staging.payments where payment_id not similar to '.*:(balance|credited|applied|set_off)'"
    )
    assert money == [("405.00",)]  # 75 + 100 - 40 + 100 + 70 + 100: what truly came in


def test_money_given_back_without_a_credit_is_owed_again(firm: Firm, stripe: Stripe) -> None:
    bill = stripe.bill(stripe.customer("Aster"), 10000)
    payment = stripe.pay(bill)
    stripe.refund(payment, 2500)
    stripe.refund(payment, 1000, status="failed")
    stripe.refund(payment, 500, status="pending")
    firm.pull()
    assert balances(firm) == [("INV-0001", "invoice", "open", "100.00", "25.00")]


def test_a_credit_note_bills_the_gate_of_the_line_it_credits(firm: Firm, stripe: Stripe) -> None:
    firm.with_gates()
    bill = stripe.bill(stripe.customer("Aster"), gate_line(40000, "REB-1"))
    stripe.credit(bill, bill["lines"][0], 1000)
    firm.pull()
    assert firm.told("select gate_label, amount_local::text from marts.gate_billing order by 2") == [
        ("Concept", "-10.00"), ("Concept", "400.00"),
    ]  # fmt: skip


def test_a_quote_that_names_a_project_is_a_change_order_and_its_invoice_bills_it(firm: Firm, stripe: Stripe) -> None:
    firm.with_gates()
    client = stripe.customer("Aster")
    about = {"metadata": {"project": "studio:p1", "gate": "studio:g2"}}
    quotes = [stripe.quote(client, 20000, tax=3800, header="More pages", **about) for _ in range(4)]
    offer = stripe.quote(client, 990000)
    stripe.now += DAY
    for quote in (*quotes[:3], offer):
        stripe.move_quote(quote, "open")
    stripe.now += 2 * DAY
    for quote in (quotes[0], offer):
        stripe.move_quote(quote, "accepted")
    stripe.move_quote(quotes[1], "canceled")
    for quote in (quotes[0], offer):
        parent = {"type": "quote_details", "quote_details": {"quote": quote["id"]}, "subscription_details": None}
        stripe.bill(client, quote["amount_subtotal"], parent=parent)
    firm.pull()
    query = (
        "select title, status, decided_at - submitted_at, amount_requested::text, amount_approved::text, "
        "milestone_id from staging.change_orders order by change_order_id"
    )
    waited = 2 * DAY
    assert firm.told(query) == [
        ("More pages", "approved", waited, "200.00", "200.00", "studio:g2"),
        ("More pages", "withdrawn", waited, "200.00", None, "studio:g2"),
        ("More pages", "pending", None, "200.00", None, "studio:g2"),
        ("More pages", "draft", None, "200.00", None, "studio:g2"),
    ]
    linked = firm.told("select change_order_id, link_method from staging.invoice_lines order by 1 nulls last")
    assert linked == [(f"till:{quotes[0]['id']}", "native"), (None, None)]


# --- how it is asked -------------------------------------------------------------------------------------


def test_after_the_first_pull_only_what_events_name_is_asked_for(firm: Firm, stripe: Stripe) -> None:
    client = stripe.customer("Aster")
    bills = [stripe.bill(client, 100 + number) for number in range(7)]
    assert firm.pull().rows["invoices"] == 7
    stripe.now += HOUR
    firm.server.asked.clear()
    assert not firm.pull().changed
    assert "/v1/events" in firm.server.paths()
    assert not {"/v1/customers", "/v1/invoices"} & {*firm.server.paths()}
    stripe.pay(bills[0])
    stripe.edit(bills[1], metadata={"gate": "REB-9"})  # bears no date of its own
    stripe.edit(client, name="Aster & Co")
    firm.server.asked.clear()
    assert dict(firm.pull().rows) == {"customers": 1, "invoices": 2, "invoice_payments": 1} | dict.fromkeys(
        ("credit_notes", "refunds", "quotes"), 0
    )
    assert firm.stored("select status, metadata from raw_till.invoices where id = 'in_00003'") == [("paid", "{}")]
    assert firm.stored("select name from raw_till.customers") == [("Aster & Co",)]
    assert firm.told("select reference from staging.invoice_lines where reference is not null") == [("REB-9",)]
    stripe.now += HOUR
    stripe.edit(bills[2], metadata={"gate": "REB-8"})  # the newest date it bears itself is older than the cursor
    firm.pull()
    assert firm.stored("select count(*) from raw_till.invoices where metadata like '%REB-8%'") == [(1,)]


def test_a_change_between_two_pulls_of_one_second_is_seen(firm: Firm, stripe: Stripe) -> None:
    """The cursor holds the second of the newest event; another event of that second is written after it was asked."""
    client = stripe.customer("Aster")
    first, second = stripe.bill(client, 100), stripe.bill(client, 200)
    firm.pull()
    stripe.now += HOUR
    stripe.edit(first, metadata={"gate": "A"})
    firm.pull()
    stripe.edit(second, metadata={"gate": "B"})
    stripe.edit(first, metadata={"gate": "C"})
    stripe.now -= timedelta(seconds=30)  # an event that Stripe wrote late
    stripe.edit(client, phone="1")
    late = stripe.bill(client, 300)
    stripe.now += timedelta(seconds=30)
    firm.pull()
    found = firm.stored("select id, json_extract_string(metadata, '$.gate') from raw_till.invoices order by id")
    assert found == [(first["id"], "C"), (second["id"], "B"), (late["id"], None)]


def test_after_a_gap_longer_than_events_are_kept_lists_are_read_whole(firm: Firm, stripe: Stripe) -> None:
    client = stripe.customer("Aster")
    bill, other = stripe.bill(client, 100), stripe.bill(client, 200)
    firm.pull()
    stripe.now += DAY
    stripe.edit(bill, metadata={"gate": "REB-1"})
    stripe.now += 40 * DAY
    firm.pull()
    assert firm.stored("select metadata from raw_till.invoices where id like '%3'") == [('{"gate": "REB-1"}',)]
    stripe.now += DAY
    firm.pull()  # sweeps keys
    stripe.now += HOUR
    stripe.void(other)
    firm.server.asked.clear()
    assert firm.pull().rows["invoices"] == 1
    assert "/v1/invoices" not in firm.server.paths()
    assert "/v1/events" in firm.server.paths()


def test_what_is_deleted_is_told_by_its_event_or_found_by_a_sweep(firm: Firm, stripe: Stripe) -> None:
    client, leaving = stripe.customer("Aster"), stripe.customer("Birch")
    stripe.bill(leaving, 500)
    drafts = [stripe.draft(client, [100]) for _ in range(3)]
    firm.pull()
    stripe.now += HOUR
    stripe.delete(drafts[0])
    stripe.delete(leaving)
    firm.pull()
    query = "select invoice_id, reject_reason from staging.invoices order by 1"
    keys = [f"till:{one['id']}" for one in drafts]
    assert firm.told(query)[1:] == [(keys[0], "deleted"), (keys[1], None), (keys[2], None)]
    assert firm.told("select name, is_active, reject_reason from staging.clients order by 1") == [
        ("Aster", True, None),
        ("Birch", False, None),  # its invoice stays, and so does the client
    ]
    stripe.delete(drafts[1])
    stripe.held["events"].clear()  # as if nobody had told
    stripe.now += DAY
    firm.pull()
    assert [row[1] for row in firm.told(query)] == [None, "deleted", "deleted", None]


def test_a_customer_deleted_before_the_first_pull_still_has_its_invoices(firm: Firm, stripe: Stripe) -> None:
    client = stripe.customer("Aster")
    stripe.bill(client, 100)
    stripe.delete(client)
    stripe.now += 60 * DAY
    firm.pull()
    assert firm.told("select client, total_amount_local::text from marts.invoices") == [("Aster", "1.00")]
    assert firm.told("select name, is_active from staging.clients") == [("Aster", False)]


@pytest.mark.parametrize("made", [0, 1])
def test_an_account_that_moves_while_it_is_read_loses_nothing(firm: Firm, stripe: Stripe, made: int) -> None:
    """While lists are read: the draft that the next page goes on from is deleted, others are edited, paid and made."""
    client = stripe.customer("Aster")
    bills = [stripe.bill(client, 100) for _ in range(6)]
    drafts = [stripe.draft(client, [100]) for _ in range(3)]
    stripe.now += HOUR

    def move(request: Request) -> None:
        if request.path == "/v1/invoices" and request.query.get("starting_after") == drafts[0]["id"]:
            stripe.now += timedelta(minutes=10)  # into the list
            stripe.delete(drafts[0])
            for _ in range(made):
                stripe.bill(client, 777)
            stripe.edit(drafts[2], metadata={"gate": "REB-1"})  # read already
        elif request.path == "/v1/invoices" and request.query.get("starting_after") == bills[3]["id"]:
            stripe.now += timedelta(minutes=10)
            stripe.pay(bills[0])  # on the page to come
            stripe.before = None

    stripe.before = move
    firm.pull()
    assert stripe.before is None
    stripe.now += HOUR
    firm.pull()
    there = {(one["id"], one["status"], len(one["metadata"])) for one in stripe.held["invoices"].values()}
    gate = "case when metadata like '%gate%' then 1 else 0 end"
    found = firm.stored(f"select id, status, {gate} from raw_till.invoices where gone_at is null and deleted is null")
    assert (set(found), len(found)) == (there, len(there))


@pytest.mark.parametrize("skew", [timedelta(minutes=-5), timedelta(minutes=5)])
def test_clocks_that_differ_by_five_minutes_lose_nothing(firm: Firm, stripe: Stripe, skew: timedelta) -> None:
    client = stripe.customer("Aster")
    bill = stripe.bill(client, 100)
    firm.pull(stripe.now + skew)
    for word in ("A", "B"):
        stripe.now += timedelta(minutes=1)
        stripe.edit(bill, metadata={"gate": word})
        firm.pull(stripe.now + skew)
        assert firm.stored("select json_extract_string(metadata, '$.gate') from raw_till.invoices") == [(word,)]


def test_a_pull_that_broke_off_is_taken_up_by_the_next(firm: Firm, stripe: Stripe) -> None:
    client = stripe.customer("Aster")
    for _ in range(5):
        stripe.bill(client, 100)
    firm.pull()
    stripe.now += HOUR
    bills = [stripe.bill(client, 100) for _ in range(5)]
    for bill in bills:
        stripe.pay(bill)

    def break_off(request: Request) -> None:
        if request.path == f"/v1/invoices/{bills[2]['id']}":
            firm.server.troubles.extend(["drop", "drop"])

    stripe.before = break_off
    assert "cannot be reached" in firm.refusal()
    stripe.before = None
    firm.pull()
    assert firm.stored("select count(*), count(*) filter (where status = 'paid') from raw_till.invoices") == [(10, 5)]


def test_two_accounts_stand_side_by_side(firm: Firm, stripe: Stripe) -> None:
    stripe.bill(stripe.customer("Aster"), 100)
    firm.blocks["shop"] = firm.block(firm="Shop", token_env="SHOP")
    firm.pull()
    firm.pull(source="shop", environ={"SHOP": SECRET})
    assert [row[0] for row in firm.told("select invoice_id from staging.invoices order by 1")] == [
        "shop:in_00003",
        "till:in_00003",
    ]


# --- what goes wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "troubles",
    [
        [Reply({"error": {"message": "Too many requests"}}, 429, {"Stripe-Rate-Limited-Reason": "global-rate"})],
        [Reply({"error": {"message": "Sorry"}}, 500)],
        ["cut"],
        ["drop"],
    ],
)
def test_what_passes_is_asked_for_again(firm: Firm, stripe: Stripe, troubles: list[Trouble]) -> None:
    stripe.bill(stripe.customer("Aster"), 100)
    firm.server.troubles.extend(troubles)
    firm.pull()
    assert firm.stored("select count(*) from raw_till.invoices") == [(1,)]


RATE = Reply(
    {"error": {"message": "Too many requests"}},
    429,
    {"Stripe-Rate-Limited-Reason": "endpoint-rate", "Retry-After": "1"},
)


@pytest.mark.parametrize(
    ("troubles", "told"),
    [
        ([RATE, RATE], "asked too often (429, Stripe-Rate-Limited-Reason: endpoint-rate, Retry-After: 1). Pull again later."),
        (["cut", "cut"], "breaks off in the middle of a page"),
        ([Reply("<html>Sign in</html>")] * 2, "answers an HTML page instead of JSON. Check the url"),
        ([Reply({"errors": [{"message": "no such field"}]})], "answers with an error: no such field"),
        ([Reply({"object": "list"})], 'a page without a list "data" (it holds the keys object). The tool has changed'),
        ([Reply({"object": "list", "data": ["x"], "has_more": False})], "something that is no record (place 1 of a page)"),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_said_plainly(firm: Firm, stripe: Stripe, troubles: list[Trouble], told: str) -> None:
    stripe.customer("Aster")
    firm.server.troubles.extend(troubles)
    message = firm.refusal()
    assert message.startswith(f"source till, GET {firm.server.url}/v1/customers: ")
    assert told in message


def test_a_key_that_is_missing_wrong_or_may_not_is_told_apart(firm: Firm, stripe: Stripe) -> None:
    with pytest.raises(Fault, match="the environment variable SECRET is not set"):
        firm.pull(environ={"OTHER": "x"})
    with pytest.raises(Fault, match=r"refuses the token \(401\). Set the token of source till anew"):
        firm.pull(environ={"SECRET": "rk_live_old"})
    stripe.forbidden.add("quotes")
    message = firm.refusal()
    assert "/v1/quotes: refuses the token (403)" in message
    assert "does not have the required permissions for quotes" in message
    with pytest.raises(Fault, match=r"/v1/quotes: refuses the token \(403\)"):
        probe("till", firm.settings, {"SECRET": SECRET}, HASTE)
    stripe.forbidden.clear()
    assert probe("till", firm.settings, {"SECRET": SECRET}, HASTE) is None


def test_a_field_that_stripe_removed_is_named_with_its_record(firm: Firm, stripe: Stripe) -> None:
    stripe.bill(stripe.customer("Aster"), 100)
    stripe.lost["invoices"] = {"status_transitions"}
    message = firm.refusal()
    assert (
        "/v1/invoices: holds the record 'in_00003' without the field status_transitions. The tool has changed"
        in message
    )


def test_a_state_nobody_knows_is_named_with_where_to_add_it(firm: Firm, stripe: Stripe) -> None:
    bill = stripe.bill(stripe.customer("Aster"), 100)
    bill["status"] = "in_dispute"
    firm.pull()
    assert "'in_dispute' is not one of" in stripe.drifted.pop()  # Stripe does not know it either, yet
    stripe.drifted.clear()
    with pytest.raises(Fault) as caught:
        firm.told("select 1")
    message = str(caught.value)
    assert "record in_00003, field status: 'in_dispute' is unknown. Known are: draft, open, paid" in message
    assert "staging/stripe/invoices.sql:" in message
