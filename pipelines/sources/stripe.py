"""Pulls the customers, invoices, credit notes, payments, refunds and quotes of a Stripe account.

Stripe's lists can be asked for by creation alone; what changed since is told by its events, which it keeps for 30
days. Whatever an event names is asked for again, since an event holds its object as another version of the API may
have written it. The first pull, and one after a longer gap, read the lists whole. What stays out: how a request is
made and tried again (door.py), how rows land (landing.py), and what statuses, minor units and metadata mean (staging).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, cast

from dlt.sources import DltSource

from pipelines.settings import Settings
from pipelines.source_blocks import StripeSource, token
from pipelines.sources.door import PATIENT, Answer, Door, Limits, Patience, bearer
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.shape import records, refuse_lacking
from pipelines.sources.text import sortable

VERSION = "2025-11-17.clover"  # of the API, whatever version the account is set to
EVENTS_KEPT = timedelta(days=29)  # Stripe says 30 days
MOST_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of object: its list, which events tell of it, the fields it must have, and the dates it bears itself."""

    name: str
    events: Mapping[str, Any]
    fields: tuple[str, ...]
    dates: tuple[str, ...] = ()  # of status_transitions
    is_lined: bool = False  # has lines, of which a list shows the first few

    @property
    def path(self) -> str:
        return f"/v1/{self.name}"


_KINDS = (
    _Kind(
        "customers",
        {"types[]": ["customer.created", "customer.updated", "customer.deleted"]},
        ("id", "created", "name", "email", "currency", "address", "metadata"),
    ),
    _Kind(
        "invoices",
        {"type": "invoice.*"},
        ("id", "created", "customer", "customer_name", "number", "status", "status_transitions", "effective_at",
         "due_date", "currency", "total", "total_excluding_tax", "starting_balance", "ending_balance",
         "pre_payment_credit_notes_amount", "lines", "metadata", "parent", "hosted_invoice_url"),
        ("finalized_at", "paid_at", "voided_at", "marked_uncollectible_at"),
        is_lined=True,
    ),
    _Kind(
        "credit_notes",
        {"type": "credit_note.*"},
        ("id", "created", "customer", "invoice", "number", "status", "effective_at", "voided_at", "currency", "total",
         "total_excluding_tax", "pre_payment_amount", "post_payment_amount", "refunds", "lines", "metadata"),
        is_lined=True,
    ),
    _Kind(
        "invoice_payments",
        {"type": "invoice_payment.*"},
        ("id", "created", "invoice", "amount_paid", "currency", "status", "status_transitions", "payment"),
        ("paid_at", "canceled_at"),
    ),
    _Kind(
        "refunds",
        {"type": "refund.*"},
        ("id", "created", "amount", "currency", "status", "payment_intent", "charge"),
    ),
    _Kind(
        "quotes",
        {"type": "quote.*"},
        ("id", "created", "customer", "number", "status", "status_transitions", "currency", "amount_total",
         "total_details", "header", "description", "metadata"),
        ("finalized_at", "accepted_at", "canceled_at"),
    ),
)  # fmt: skip


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The account's records as a dlt source. Raises `Fault` where the key is missing, and while pulling."""
    block = cast(StripeSource, settings.sources[name])
    account = _Account(opened(name, block, environ, patience), min(block.page_size, MOST_A_PAGE), terms.now)
    tables = [
        Table(one.name, partial(account.pages, one), (*one.fields[1:], "deleted"), present=partial(account.keys, one))
        for one in _KINDS
    ]
    return land(name, tables, terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks for one object of every list; a restricted key may lack the right to one of them."""
    door = opened(name, cast(StripeSource, settings.sources[name]), environ, patience)
    for path in (*(kind.path for kind in _KINDS), "/v1/events"):
        records(door, path, door.get(path, {"limit": 1}).body, "data", ("id",))
    return door.headroom


def opened(name: str, block: StripeSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door to the account. Raises `Fault` where its key is missing."""
    secret = token(name, block, environ)
    limits = Limits(reason="Stripe-Rate-Limited-Reason")
    headers = {"Stripe-Version": VERSION}
    return Door(name, block.url, bearer(secret), patience=patience, limits=limits, headers=headers, secrets=(secret,))


@dataclass(slots=True)
class _Account:
    """One account, as one pull reads it. `now` is our clock, for where the account does not tell its own."""

    door: Door
    page_size: int
    now: datetime

    def pages(self, kind: _Kind, since: str | None) -> Iterator[Sequence[Record]]:
        """The objects that changed since an instant, dated by their newest event; all of them where it is not known.

        In a whole list an object is dated by what it says itself, and after a gap by the account's clock as the list
        was begun: what changed unseen must not pass for old.
        """
        if since is None:
            for began, page in self._listed(kind):
                yield [_dated(one, min(_own_date(kind, one), began)) for one in page]
            return
        asked = {"created[gte]": int(datetime.fromisoformat(since).timestamp()), **kind.events}
        newest = self.door.get("/v1/events", {**asked, "limit": self.page_size})
        if self._clock(newest) - datetime.fromisoformat(since) > EVENTS_KEPT:
            for began, page in self._listed(kind):
                yield [_dated(one, began) for one in page]
            return
        yield from self._changed(kind, self._events(asked, newest))

    def keys(self, kind: _Kind) -> Iterator[Sequence[str]]:
        """Every key of a list, page by page."""
        for _, page in self._listed(kind, is_whole=False):
            yield [str(one["id"]) for one in page]

    def _listed(self, kind: _Kind, is_whole: bool = True) -> Iterator[tuple[int, list[Record]]]:
        """Pages of a list, newest objects first, each with the account's clock as the list was begun."""
        began: int | None = None
        for answer, page in self._walk(kind.path, {}, kind.fields):
            began = began or int(self._clock(answer).timestamp())
            yield began, [self._with_lines(kind, one) for one in page] if is_whole else page

    def _changed(self, kind: _Kind, events: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[Record]]:
        """The objects of events, each as it is now, what changed first first: what is known already is passed over so.

        What was deleted is told by its event alone.
        """
        newest = {}
        for event in events:  # newest first
            key = event["data"]["object"].get("id")
            if key and key not in newest and event["type"] != "invoice.upcoming":  # a preview, that is no invoice yet
                is_end = event["type"].endswith(".deleted")
                newest[key] = (event["created"], event["data"]["object"] if is_end else None)
        for key, (epoch, deleted) in reversed(newest.items()):
            if deleted:
                yield [_dated({**dict.fromkeys(kind.fields), **deleted, "deleted": True}, epoch)]
                continue
            path = f"{kind.path}/{key}"
            found = self.door.get(path, accepts=(404,))
            if found.status == 404 or found.body.get("deleted"):  # since then: its own event comes with the next pull
                continue
            refuse_lacking(self.door, path, found.body, kind.fields)
            yield [_dated(self._with_lines(kind, found.body), epoch)]

    def _events(self, asked: Mapping[str, Any], first: Answer) -> Iterator[Mapping[str, Any]]:
        for _, page in self._walk("/v1/events", asked, ("id", "type", "created", "data"), first):
            yield from page

    def _with_lines(self, kind: _Kind, record: Record) -> Record:
        """The record with all of its lines, of which a list shows the first ten."""
        if not kind.is_lined:
            return record
        lines, path = record["lines"], f"{kind.path}/{record['id']}/lines"
        shown = records(self.door, path, lines, "data", ("id", "amount", "description"))
        if lines.get("has_more") and shown:
            rest = self._walk(path, {"starting_after": shown[-1]["id"]}, ("id", "amount", "description"))
            shown = [*shown, *(line for _, page in rest for line in page)]
        return {**record, "lines": shown}

    def _walk(
        self, path: str, asked: Mapping[str, Any], fields: Sequence[str], first: Answer | None = None
    ) -> Iterator[tuple[Answer, list[Record]]]:
        """A list page by page, each asked for after the last object of the one before."""
        asked = {**asked, "limit": self.page_size}
        answer = first or self.door.get(path, asked)
        while True:
            page = records(self.door, path, answer.body, "data", fields)
            yield answer, page
            if not answer.body.get("has_more") or not page:
                return
            answer = self._after(path, asked, [str(one["id"]) for one in page])

    def _after(self, path: str, asked: Mapping[str, Any], keys: Sequence[str]) -> Answer:
        """The page after the last of some objects that is still there: a draft may be deleted while lists are read."""
        for key in reversed(keys[1:]):
            answer = self.door.get(path, {**asked, "starting_after": key}, accepts=(400, 404))
            if answer.status == 200:
                return answer
            if (answer.body or {}).get("error", {}).get("param") != "starting_after":
                break
        return self.door.get(path, {**asked, "starting_after": keys[0]})

    def _clock(self, answer: Answer) -> datetime:
        """The account's clock, by the date of an answer."""
        try:
            return parsedate_to_datetime(answer.headers.get("Date", ""))
        except ValueError:
            return self.now


def _dated(record: Record, epoch: int) -> Record:
    return {**record, "updated_at": sortable(datetime.fromtimestamp(epoch, UTC))}


def _own_date(kind: _Kind, record: Record) -> int:
    """The newest date that an object bears itself: it did not change before."""
    told = record.get("status_transitions") or {}
    dates = [record["created"], record.get("voided_at"), *(told.get(name) for name in kind.dates)]
    return max(int(one) for one in dates if one)
