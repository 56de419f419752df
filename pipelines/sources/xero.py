"""Pulls the contacts, sales invoices, credit notes, payments and quotes of a Xero organisation, by a custom connection.

What was modified since an instant is asked for page by page, in the order of keys, which do not move; nothing leaves
Xero's lists, since what is deleted or voided stays with that status. When an invoice was approved, sent or voided
stands in its history, which must be asked for one by one: oldest changes first, so many a pull. What stays out: how a
request is made and tried again (door.py), how rows land (landing.py) and what they mean (staging).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, cast

from dlt.sources import DltSource
from requests.auth import HTTPBasicAuth

from pipelines.settings import Settings
from pipelines.source_blocks import XeroSource, token
from pipelines.sources.door import PATIENT, Answer, Credentials, Door, Limits, Patience
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.shape import records
from pipelines.sources.text import column, sortable

SCOPE = "accounting.transactions.read accounting.contacts.read accounting.settings.read"
QUOTES_A_PAGE = 100  # their list has no pageSize
KEYS_A_PAGE = 1000
DAY_RESERVE = 500  # of 5,000 requests a day: histories are not to use them up
_WRITTEN = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/$")


@dataclass(frozen=True, slots=True)
class _List:
    """One list: its raw table, its path, the key and the fields its records always have, and what it is asked for.

    `dated` are the states in which a record has a history worth reading; `is_sized` says whether pages have a size.
    """

    table: str
    name: str
    key: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]  # beside the fields: Xero leaves out what is empty
    asked: Mapping[str, str] = field(default_factory=dict)
    summary: Mapping[str, str] = field(default_factory=dict)
    dated: tuple[str, ...] = ()
    is_sized: bool = True

    @property
    def path(self) -> str:
        return f"/{self.name}"


_ISSUED = ("AUTHORISED", "PAID", "VOIDED")
_BILL = ("Type", "Contact", "Status", "LineAmountTypes", "LineItems", "SubTotal", "TotalTax", "Total", "CurrencyCode")
_LISTS = (
    _List(
        "contacts", "Contacts", "ContactID", ("ContactID", "Name", "ContactStatus", "UpdatedDateUTC"),
        ("MergedToContactID", "DefaultCurrency", "IsCustomer", "IsSupplier"),
        {"includeArchived": "true"}, {"summaryOnly": "true"},
    ),
    _List(
        "invoices", "Invoices", "InvoiceID", ("InvoiceID", *_BILL, "UpdatedDateUTC"),
        ("InvoiceNumber", "Reference", "Date", "DueDate", "Prepayments", "Overpayments"),
        {"where": 'Type=="ACCREC"'}, {"summaryOnly": "true"}, _ISSUED,
    ),
    _List(
        "credit_notes", "CreditNotes", "CreditNoteID", ("CreditNoteID", *_BILL, "UpdatedDateUTC"),
        ("CreditNoteNumber", "Reference", "Date", "Allocations"), {"where": 'Type=="ACCRECCREDIT"'}, {}, _ISSUED,
    ),
    _List(
        "payments", "Payments", "PaymentID", ("PaymentID", "Date", "Amount", "PaymentType", "Status", "UpdatedDateUTC"),
        ("Invoice", "CreditNote"), {"where": 'PaymentType=="ACCRECPAYMENT" OR PaymentType=="ARCREDITPAYMENT"'},
    ),
    _List(
        "quotes", "Quotes", "QuoteID",
        ("QuoteID", "Contact", "Status", "LineItems", "SubTotal", "CurrencyCode", "UpdatedDateUTC"),
        ("QuoteNumber", "Reference", "Date", "Title", "Summary"),
        dated=("SENT", "DECLINED", "ACCEPTED", "INVOICED"), is_sized=False,
    ),
)  # fmt: skip


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The organisation's records as a dlt source. Raises `Fault` where the secret is missing, and while pulling."""
    block = cast(XeroSource, settings.sources[name])
    books = _Books(opened(name, block, environ, patience), block)
    tables = [
        Table(
            one.table,
            partial(books.pages, one),
            tuple(column(told) for told in (*one.fields, *one.columns)),
            present=partial(books.keys, one),
            begun=partial(books.begun.get, one.table),
        )
        for one in _LISTS
    ]
    histories = [
        Table(f"{one.table[:-1]}_history", partial(books.histories, one), ("records",)) for one in _LISTS if one.dated
    ]
    return land(name, tables + histories, terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks for the organisation and one invoice."""
    door = opened(name, cast(XeroSource, settings.sources[name]), environ, patience)
    records(door, "/Organisation", door.get("/Organisation").body, "Organisations", ("OrganisationID",))
    records(door, "/Invoices", door.get("/Invoices", {"page": 1, "pageSize": 1}).body, "Invoices", ("InvoiceID",))
    return door.headroom


def opened(name: str, block: XeroSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door to the organisation. Raises `Fault` where its secret is missing."""
    secret = token(name, block, environ)
    identity = Door(
        name, block.identity_url, HTTPBasicAuth(block.client_id, secret), patience=patience, secrets=(secret,)
    )
    limits = Limits(
        left=("X-MinLimit-Remaining", "X-DayLimit-Remaining", "X-AppMinLimit-Remaining"), reason="X-Rate-Limit-Problem"
    )
    connection = _Connection(identity, block.tenant)
    headers = {"Accept": "application/json"}
    return Door(name, block.url, connection, patience=patience, limits=limits, headers=headers, secrets=(secret,))


class _Connection(Credentials):
    """A custom connection: its token lasts 30 minutes, and is asked for anew before it ends or where it is refused."""

    def __init__(self, identity: Door, tenant: str | None) -> None:
        super().__init__({"xero-tenant-id": tenant} if tenant else {})
        self._identity = identity
        self._ends = 0.0  # by the machine's own clock, that only goes on

    def __call__(self, request: Any) -> Any:
        if time.monotonic() >= self._ends:
            self._renew()
        request.register_hook("response", self._once_more)
        return super().__call__(request)

    def _once_more(self, response: Any, **told: Any) -> Any:
        """A request that was refused, sent again with a new token."""
        if response.status_code != 401:
            return response
        response.content  # noqa: B018 - read to its end, so that the connection can be used again
        self._renew()
        request = response.request.copy()
        request.headers.update(self.headers)
        again = response.connection.send(request, **told)
        again.history.append(response)
        again.request = request
        return again

    def _renew(self) -> None:
        answer = self._identity.post_form("", {"grant_type": "client_credentials", "scope": SCOPE}, accepts=(400, 401))
        body = answer.body if isinstance(answer.body, dict) else {}
        if answer.status != 200 or not body.get("access_token"):
            why = body.get("error") or "no token"
            cure = "Set client_id and its secret anew, as the custom connection has them, and give it the scopes."
            raise self._identity.fault("", f"gives no token ({answer.status}: {why}).", cure, "POST")
        self.headers["Authorization"] = f"Bearer {body['access_token']}"
        self._ends = time.monotonic() + float(body.get("expires_in", 1800)) - 60


class _Books:
    """One organisation, as one pull reads it."""

    def __init__(self, door: Door, block: XeroSource) -> None:
        self.begun: dict[str, str] = {}  # by table: Xero's clock as its list was begun
        self._door, self._block = door, block

    def pages(self, one: _List, since: str | None) -> Iterator[Sequence[Record]]:
        """What was modified since an instant, by key."""
        for page in self._walk(one, one.asked, since):
            yield [_lifted(one, record) for record in page]

    def keys(self, one: _List) -> Iterator[Sequence[str]]:
        """Every key of a list, page by page."""
        for page in self._walk(one, {**one.asked, **one.summary}, None, KEYS_A_PAGE):
            yield [str(record[one.key]) for record in page]

    def histories(self, one: _List, since: str | None) -> Iterator[Sequence[Record]]:
        """The histories of records modified since an instant, oldest first; no more than a pull is to read.

        The next pull goes on where this one stops, never among records of one instant. Of the overlap, read before, as
        many are read again at most.
        """
        most, known = self._block.history_per_pull, _known(since, self._block.lookback_seconds)
        found = self._with_history(one, since) if most else []
        fresh = [record for record in found if str(record["updated_at"]) > known]
        last = str(fresh[most - 1]["updated_at"]) if len(fresh) > most else ""
        overlap = [record for record in found if str(record["updated_at"]) <= known][-most:]
        for record in [*overlap, *(row for row in fresh if not last or str(row["updated_at"]) <= last)]:
            path = f"{one.path}/{record['id']}/History"
            answer = self._door.get(path)
            told = records(self._door, path, answer.body, "HistoryRecords", ("Changes", "DateUTC"))
            yield [{"id": record["id"], "updated_at": record["updated_at"], "records": told}]
            if _is_short(answer):
                return

    def _with_history(self, one: _List, since: str | None) -> list[Record]:
        asked = {**one.asked, **one.summary}
        found = [_lifted(one, record) for page in self._walk(one, asked, since) for record in page]
        return sorted((row for row in found if row["status"] in one.dated), key=lambda row: str(row["updated_at"]))

    def _walk(
        self, one: _List, asked: Mapping[str, str], since: str | None, size: int | None = None
    ) -> Iterator[list[Record]]:
        """A list page by page, in the order of its keys: what is modified meanwhile moves no other record."""
        size = (size or self._block.page_size) if one.is_sized else QUOTES_A_PAGE
        headers = {"If-Modified-Since": _seconds(since)} if since else {}
        fields = one.fields if "summaryOnly" not in asked else (one.key, "UpdatedDateUTC")
        number = 0
        while True:
            number += 1
            sized = {"pageSize": str(size)} if one.is_sized else {}
            answer = self._door.get(
                one.path, {**asked, **sized, "order": f"{one.key} ASC", "page": str(number)}, headers, accepts=(304,)
            )
            if number == 1:
                self._note_begin(one, answer)
            if answer.status == 304:  # not modified
                return
            page = records(self._door, one.path, answer.body, one.name, fields)
            yield page
            count = (answer.body.get("pagination") or {}).get("pageCount")
            if (number >= count) if count is not None else (len(page) < size):
                return

    def _note_begin(self, one: _List, answer: Answer) -> None:
        try:
            self.begun[one.table] = sortable(parsedate_to_datetime(answer.headers.get("Date", "")))
        except ValueError:
            self.begun.pop(one.table, None)


def _lifted(one: _List, record: Record) -> Record:
    told = {column(name): value for name, value in record.items()}
    return {**told, "id": record[one.key], "updated_at": _instant(record["UpdatedDateUTC"])}


def _instant(written: Any) -> str:
    """An instant that Xero writes as /Date(1573755038314+0000)/; whatever else it is, as it is."""
    found = _WRITTEN.match(str(written))
    if not found:
        return str(written)
    return sortable(datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(found[1])))


def _seconds(since: str) -> str:
    """The second before an instant, as If-Modified-Since takes it: one that is not later, whatever it includes."""
    return (datetime.fromisoformat(since) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%S")


def _known(since: str | None, lookback: int) -> str:
    """How far the last pull came."""
    return sortable(datetime.fromisoformat(since) + timedelta(seconds=lookback)) if since else ""


def _is_short(answer: Answer) -> bool:
    """Whether the day's requests run short."""
    left = answer.headers.get("X-DayLimit-Remaining", "")
    return left.isdigit() and int(left) < DAY_RESERVE
