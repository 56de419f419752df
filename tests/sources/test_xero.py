"""A Xero organisation pulled: bills dated by their history, credits set off, tokens renewed, pages that do not move."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, Reply, Request, Trouble, serving
from pulled_firm import DAY, HASTE, HOUR, PulledFirm
from xero_fake import CLIENT, SECRET, TENANT, Xero, line

from models.faults import Fault
from pipelines.sources.xero import probe

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIELDS = {"project": "Job", "milestone": "Gate", "change_order": "Change"}

pytestmark = pytest.mark.slow


class Firm(PulledFirm):
    """A firm whose gates lie in files and whose books are Xero's."""

    currency = "NZD"

    def __init__(self, data: Path, xero: Xero, server: Loopback) -> None:
        self.server = server
        super().__init__(data, xero, "books", self.block(), SECRET)

    def block(self, **more: Any) -> dict[str, Any]:
        return {"kind": "xero", "url": f"{self.server.url}/api.xro/2.0", "identity_url": f"{self.server.url}/connect/token",
                "client_id": CLIENT, "token_env": "SECRET", "fields": FIELDS, "page_size": 3, "firm": "Studio", **more}  # fmt: skip


@pytest.fixture
def xero() -> Iterator[Xero]:
    books = Xero(MONDAY)
    yield books
    assert books.drifted == []  # whatever it answered is as Xero answers


@pytest.fixture
def firm(tmp_path: Path, xero: Xero) -> Iterator[Firm]:
    with serving(xero.answer) as server:
        yield Firm(tmp_path, xero, server)


# --- what becomes of it ----------------------------------------------------------------------------------


def test_an_approved_gate_is_billed_when_the_bill_was_sent_and_paid_on_the_day(firm: Firm, xero: Xero) -> None:
    firm.with_gates()
    aster = xero.contact("ASTER")
    invoice = xero.draft(aster, [line(400.0, 60.0, Gate="REB-1", Job="Rebrand")], "2026-03-02")
    xero.now += HOUR
    xero.approve(invoice, "2026-04-01")
    xero.now += DAY
    xero.send(invoice)
    xero.now += DAY
    xero.send(invoice)  # a reminder
    xero.pay(invoice, 460.0, "2026-03-20")
    firm.pull()
    found = firm.told(
        "select g.gate_name, g.status, g.cycle_days, round(g.billing_lag_days, 3), i.number, i.status, i.project, i.client, "
        "i.issued_at::text, b.link_method from marts.gates g join marts.gate_billing b using (gate_id) "
        "join marts.invoices i using (invoice_id)", MONDAY + 20 * DAY,
    )  # fmt: skip
    assert found == [
        ("Concept", "approved", 24.0, 5.042, "INV-0001", "paid", "Rebrand", "Aster", "2026-03-03 13:00:00", "field")
    ]
    dates = firm.told(
        "select drafted_at::text, issued_at::text, sent_at::text, due_on::text, tax::text from staging.invoices"
    )
    assert dates == [("2026-03-02 12:00:00", "2026-03-02 13:00:00", "2026-03-03 13:00:00", "2026-04-01", "60.00")]
    assert firm.told("select received_at::text, amount::text from staging.payments") == [
        ("2026-03-20 17:00:00", "460.00")
    ]


def test_every_state_means_what_it_means_and_deleted_ones_stay_listed(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    xero.draft(aster, [line(1.0)], "2026-03-02")
    submitted = xero.draft(aster, [line(2.0)], "2026-03-02")
    bills = [xero.bill(aster, line(float(amount))) for amount in (3, 4, 5)]
    deleted = xero.draft(aster, [line(6.0)], "2026-03-02")
    xero.draft(aster, [line(7.0)], "2026-03-02", Type="ACCPAY")  # a bill to pay is none of ours
    xero.now += DAY
    xero.move(submitted, "SUBMITTED", "Submitted")
    xero.pay(bills[1], 4.0, "2026-03-03")
    xero.move(bills[2], "VOIDED", "Voided")
    xero.move(deleted, "DELETED", "Deleted")
    firm.pull()
    xero.now += DAY
    xero.edit(bills[2], Reference="kept for the record")
    firm.pull()
    query = "select total::text, status, voided_at::text, reject_reason from staging.invoices order by total"
    assert firm.told(query) == [
        ("1.00", "draft", None, None), ("2.00", "draft", None, None), ("3.00", "open", None, None),
        ("4.00", "paid", None, None), ("5.00", "void", "2026-03-03 12:00:00", None), ("6.00", "DELETED", None, "deleted"),
    ]  # fmt: skip


def test_lines_are_told_without_tax_whichever_way_they_are_written(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    xero.bill(aster, line(100.0, 15.0), line(0.1), line(0.2))
    xero.bill(aster, line(115.0, 15.0), kind="Inclusive")
    firm.pull()
    assert firm.told("select amount::text from staging.invoice_lines order by amount") == [
        ("0.10",), ("0.20",), ("100.00",), ("100.00",),
    ]  # fmt: skip
    assert firm.told("select total::text, tax::text from staging.invoices order by 1") == [
        ("115.00", "15.00"),
        ("115.30", "15.00"),
    ]


def test_credits_refunds_and_prepayments_settle_to_nothing(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    credited, prepaid = xero.bill(aster, line(100.0)), xero.bill(aster, line(80.0))
    note = xero.credit(aster, line(40.0), day="2026-03-05")
    xero.now += DAY
    xero.allocate(note, credited, 30.0, "2026-03-06")
    xero.pay(note, 10.0, "2026-03-07")
    xero.pay(credited, 70.0, "2026-03-08")
    xero.prepaid(prepaid, 80.0, "2026-02-20")
    firm.pull()
    query = "select number, kind, status, total_amount_local::text, open_amount_local::text from marts.invoices order by number"
    assert firm.told(query, MONDAY + 30 * DAY) == [
        ("CN-0001", "credit_note", "open", "-40.00", "0.00"),
        ("INV-0001", "invoice", "paid", "100.00", "0.00"),
        ("INV-0002", "invoice", "paid", "80.00", "0.00"),
    ]
    before = firm.told(
        "select open_amount_local::text from marts.invoices order by number", datetime(2026, 3, 6, 18, tzinfo=UTC)
    )
    assert before == [("-10.00",), ("70.00",), ("0.00",)]


def test_a_payment_that_was_removed_pays_nothing(firm: Firm, xero: Xero) -> None:
    invoice = xero.bill(xero.contact("Aster"), line(100.0))
    payment = xero.pay(invoice, 100.0, "2026-03-02")
    firm.pull()
    xero.now += DAY
    xero.move(payment, "DELETED", "Deleted")
    xero.edit(invoice, Status="AUTHORISED", AmountDue=100.0, AmountPaid=0.0)
    firm.pull()
    assert firm.told("select status, open_amount_local::text from marts.invoices") == [("open", "100.00")]
    assert firm.told("select reject_reason from staging.payments") == [("deleted",)]


def test_a_merged_contact_counts_as_the_other_and_suppliers_are_no_clients(firm: Firm, xero: Xero) -> None:
    aster, double = xero.contact("Aster"), xero.contact("Aster Ltd")
    xero.contact("Paper Mill", is_customer=False, is_supplier=True)
    xero.bill(double, line(10.0))
    firm.pull()
    xero.now += DAY
    xero.merge(double, aster)
    firm.pull()
    assert firm.told("select client from marts.invoices") == [("Aster",)]
    assert firm.told("select name, is_active from staging.clients order by 1") == [
        ("Aster", True),
        ("Aster Ltd", False),
    ]


def test_a_quote_for_a_project_is_a_change_order_decided_when_its_history_says(firm: Firm, xero: Xero) -> None:
    firm.with_gates()
    aster = xero.contact("Aster")
    for status, change in (("ACCEPTED", "Accepted"), ("DECLINED", "Declined"), ("SENT", None), ("DRAFT", None)):
        quote = xero.quote(aster, line(200.0, 30.0, Job="Rebrand", Gate="studio:g2"), day="2026-03-02", Title=status)
        if status != "DRAFT":
            xero.now += DAY
            xero.move(quote, "SENT", "Quote sent")
        if change:
            xero.now += 2 * DAY
            xero.move(quote, status, change)
    xero.now += DAY
    xero.move(next(iter(xero.held["Quotes"].values())), "INVOICED", "Invoiced")
    xero.quote(aster, line(9000.0), day="2026-03-02")  # an offer
    xero.bill(aster, line(200.0, 30.0), Reference="Our quote QU-0001")
    firm.pull()
    query = (
        "select title, status, decided_at - submitted_at, amount_requested::text, amount_approved::text, project_id, "
        "milestone_id from staging.change_orders order by number"
    )
    assert firm.told(query) == [
        ("ACCEPTED", "approved", 2 * DAY, "200.00", "200.00", "studio:p1", "studio:g2"),
        ("DECLINED", "rejected", 2 * DAY, "200.00", None, "studio:p1", "studio:g2"),
        ("SENT", "pending", None, "200.00", None, "studio:p1", "studio:g2"),
        ("DRAFT", "draft", None, "200.00", None, "studio:p1", "studio:g2"),
    ]
    linked = firm.told(
        "select number, link_method from staging.invoice_lines join staging.change_orders using (change_order_id)"
    )
    assert linked == [("QU-0001", "number")]


# --- how it is asked -------------------------------------------------------------------------------------


def test_only_what_was_modified_is_asked_for_from_a_second_before(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    bills = [xero.bill(aster, line(float(number))) for number in range(1, 8)]
    xero.now += timedelta(milliseconds=700)
    xero.edit(bills[0], Reference="A")
    assert firm.pull().rows["invoices"] == 7
    xero.now += HOUR
    firm.server.asked.clear()
    assert not firm.pull().changed
    since = {one.headers.get("if-modified-since") for one in firm.server.asked if one.path.endswith("/Invoices")}
    assert since == {"2026-03-02T11:58:59"}  # the newest of 12:00:00.7, less the lookback, less a second
    xero.edit(bills[1], Reference="B")
    firm.pull()
    assert firm.stored("select reference from raw_books.invoices where reference is not null order by 1") == [
        ("A",),
        ("B",),
    ]


def test_books_that_move_while_they_are_read_lose_nothing(firm: Firm, xero: Xero) -> None:
    """While pages are read: others are made, those read already are edited, and one to come is paid much later."""
    aster = xero.contact("Aster")
    bills = sorted((xero.bill(aster, line(10.0)) for _ in range(9)), key=lambda one: one["InvoiceID"])
    firm.pull()
    xero.now += HOUR
    for number, bill in enumerate(bills):
        xero.now += timedelta(minutes=5)
        xero.edit(bill, Reference=f"edited {number}")

    def move(request: Request) -> None:
        if not request.path.endswith("/Invoices") or "summaryOnly" in request.query:
            return
        if request.query["page"] == "2":
            xero.now += timedelta(minutes=10)
            xero.edit(bills[0], Reference="read already")
            xero.edit(bills[1], Reference="read already")
        if request.query["page"] == "3":
            xero.now += timedelta(minutes=10)
            xero.draft(aster, [line(1.0)], "2026-03-02")
            xero.pay(bills[8], 10.0, "2026-03-02")
            xero.before = None

    xero.before = move
    firm.pull()
    assert xero.before is None
    xero.now += HOUR
    firm.pull()
    there = sorted((key, one["Status"], one.get("Reference")) for key, one in xero.held["Invoices"].items())
    assert firm.stored("select id, status, reference from raw_books.invoices order by id") == there


@pytest.mark.parametrize("skew", [timedelta(minutes=-5), timedelta(minutes=5)])
def test_clocks_that_differ_by_five_minutes_lose_nothing(firm: Firm, xero: Xero, skew: timedelta) -> None:
    invoice = xero.bill(xero.contact("Aster"), line(10.0))
    firm.pull(xero.now + skew)
    for word in ("A", "B"):
        xero.now += timedelta(minutes=1)
        xero.edit(invoice, Reference=word)
        firm.pull(xero.now + skew)
        assert firm.stored("select reference from raw_books.invoices") == [(word,)]


def test_histories_are_read_so_many_a_pull_until_all_are_read(firm: Firm, xero: Xero) -> None:
    firm.blocks["books"] = firm.block(history_per_pull=2, lookback_seconds=0)
    aster = xero.contact("Aster")
    for number in range(7):
        xero.now += HOUR if number not in (3, 4) else timedelta(0)  # three of one instant
        xero.send(xero.bill(aster, line(1.0)))
    counts = []
    for _ in range(5):
        xero.now += HOUR
        firm.pull()
        counts.append(firm.stored("select count(*) from raw_books.invoice_history")[0][0])
    assert counts == [2, 5, 7, 7, 7]
    assert firm.told("select count(sent_at) from staging.invoices") == [(7,)]
    assert {tuple(one.query) for one in firm.server.asked if "summaryOnly" in one.query} == {
        ("where", "summaryOnly", "pageSize", "order", "page"), ("includeArchived", "summaryOnly", "pageSize", "order", "page"),
    }  # fmt: skip


def test_histories_leave_the_days_requests_to_the_bills(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    for _ in range(4):
        xero.now += HOUR
        xero.bill(aster, line(1.0))
    xero.left["X-DayLimit-Remaining"] = 501
    firm.pull()
    assert firm.stored("select count(*) from raw_books.invoices") == [(4,)]
    assert firm.stored("select count(*) from raw_books.invoice_history") == [(1,)]
    xero.left["X-DayLimit-Remaining"] = 5000  # the next day
    firm.pull()
    assert firm.stored("select count(*) from raw_books.invoice_history") == [(4,)]


def test_histories_can_be_left_out(firm: Firm, xero: Xero) -> None:
    firm.blocks["books"] = firm.block(history_per_pull=0)
    xero.send(xero.bill(xero.contact("Aster"), line(1.0)))
    firm.pull()
    assert not [path for path in firm.server.paths() if path.endswith("/History")]
    dates = "select issued_at::text, sent_at from staging.invoices"
    assert firm.told(dates) == [("2026-03-02 17:00:00", None)]


def test_a_token_is_renewed_when_it_ends_in_the_middle(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    for _ in range(7):
        xero.bill(aster, line(1.0))

    def wait(request: Request) -> None:
        if request.path.endswith("/Invoices") and request.query["page"] == "2":
            xero.now += timedelta(minutes=31)
            xero.before = None

    xero.before = wait
    firm.pull()
    assert firm.stored("select count(*) from raw_books.invoices") == [(7,)]
    assert len(xero.tokens) >= 2
    assert {one.headers["authorization"].split()[0] for one in firm.server.asked} == {"Basic", "Bearer"}


def test_a_minutes_requests_that_run_out_are_waited_for(firm: Firm, xero: Xero) -> None:
    xero.bill(xero.contact("Aster"), line(1.0))
    xero.left["X-MinLimit-Remaining"] = 2
    firm.pull()
    assert firm.stored("select count(*) from raw_books.invoices") == [(1,)]


def test_a_pull_that_broke_off_is_taken_up_by_the_next(firm: Firm, xero: Xero) -> None:
    aster = xero.contact("Aster")
    for _ in range(7):
        xero.bill(aster, line(1.0))

    def break_off(request: Request) -> None:
        if request.path.endswith("/Invoices") and request.query["page"] == "2":
            firm.server.troubles.extend(["drop", "drop"])

    xero.before = break_off
    assert "cannot be reached" in firm.refusal()
    xero.before = None
    firm.pull()
    assert firm.stored("select count(*) from raw_books.invoices") == [(7,)]


def test_two_organisations_stand_side_by_side(firm: Firm, xero: Xero) -> None:
    xero.bill(xero.contact("Aster"), line(1.0))
    firm.blocks["shop"] = firm.block(firm="Shop", token_env="SHOP", tenant=TENANT)
    firm.pull()
    firm.pull(source="shop", environ={"SHOP": SECRET})
    found = [row[0].split(":")[0] for row in firm.told("select invoice_id from staging.invoices order by 1")]
    assert found == ["books", "shop"]


# --- what goes wrong -------------------------------------------------------------------------------------


MINUTE = Reply("", 429, {"Retry-After": "7", "X-Rate-Limit-Problem": "day"})
TOKEN = Reply({"access_token": "token-0", "expires_in": 1800, "token_type": "Bearer"})


@pytest.mark.parametrize("trouble", [MINUTE, Reply({"Title": "Sorry"}, 503), "cut", "drop"])
def test_what_passes_is_asked_for_again(firm: Firm, xero: Xero, trouble: Trouble) -> None:
    xero.tokens["token-0"] = MONDAY + HOUR
    xero.bill(xero.contact("Aster"), line(1.0))
    firm.server.troubles.extend([TOKEN, trouble])
    firm.pull()
    assert firm.stored("select count(*) from raw_books.invoices") == [(1,)]


@pytest.mark.parametrize(
    ("troubles", "told"),
    [
        ([MINUTE, MINUTE], "asked too often (429, X-Rate-Limit-Problem: day, Retry-After: 7). Pull again later."),
        (["cut", "cut"], "breaks off in the middle of a page"),
        ([Reply("<html>Maintenance</html>")] * 2, "answers an HTML page instead of JSON"),
        ([Reply({"errors": [{"message": "no such field"}]})], "answers with an error: no such field"),
        ([Reply({"Status": "OK"})], 'a page without a list "Contacts" (it holds the keys Status). The tool has changed'),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_said_plainly(firm: Firm, xero: Xero, troubles: list[Trouble], told: str) -> None:
    firm.server.troubles.extend([TOKEN, *troubles])
    message = firm.refusal()
    assert message.startswith(f"source books, GET {firm.server.url}/api.xro/2.0/Contacts: ")
    assert told in message


def test_a_secret_that_is_missing_or_wrong_and_rights_that_lack_are_told_apart(firm: Firm, xero: Xero) -> None:
    with pytest.raises(Fault, match="the environment variable SECRET is not set"):
        firm.pull(environ={"OTHER": "x"})
    with pytest.raises(Fault, match=r"gives no token \(400: invalid_client\). Set client_id and its secret anew"):
        firm.pull(environ={"SECRET": "old"})
    assert probe("books", firm.settings, {"SECRET": SECRET}, HASTE) == "58 requests left"
    xero.is_shut = True
    assert "/Invoices: refuses the token (403): AuthorizationUnsuccessful. Give the account" in firm.refusal()
    firm.blocks["books"] = firm.block(tenant="another")
    assert "/Contacts: refuses the token (403): AuthenticationUnsuccessful" in firm.refusal()


def test_a_token_that_is_refused_at_once_is_told(firm: Firm, xero: Xero) -> None:
    xero.before = lambda _: xero.tokens.clear()
    assert "/Contacts: refuses the token (401). Set the token of source books anew" in firm.refusal()


def test_a_field_that_xero_removed_is_named_with_its_record(firm: Firm, xero: Xero) -> None:
    invoice = xero.bill(xero.contact("Aster"), line(1.0))
    xero.lost = {"SubTotal"}
    assert f"/Invoices: holds the record '{invoice['InvoiceID']}' without the field SubTotal." in firm.refusal()


def test_an_instant_that_is_none_is_named_with_its_record(firm: Firm, xero: Xero) -> None:
    contact = xero.contact("Aster")
    contact["UpdatedDateUTC"] = "yesterday"
    assert f"record '{contact['ContactID']}', field updated_at: 'yesterday' is not an instant" in firm.refusal()
    xero.drifted.clear()


def test_a_state_nobody_knows_is_named_with_where_to_add_it(firm: Firm, xero: Xero) -> None:
    invoice = xero.bill(xero.contact("Aster"), line(1.0))
    invoice["Status"] = "PARKED"
    firm.pull()
    xero.drifted.clear()  # Xero does not know it either, yet
    with pytest.raises(Fault) as caught:
        firm.told("select 1")
    message = str(caught.value)
    assert f"record {invoice['InvoiceID']}, field status: 'PARKED' is unknown. Known are: draft, open, paid" in message
    assert "staging/xero/invoices.sql:" in message
