"""Pulls a Tryton through its REST API: clients, projects, tasks, customer invoices, what settled them, and the log.

Lists come by when a record was last written and by key, page after page from where the last one ended, so that
records which change meanwhile are met again further on. Keys are swept for deletions. The log says when a field was
written and by whom, not what was written in it: it is read for the records that changed. A field that may not be read
is left out of an answer without a word, so every answer is held against what was asked. What stays out: what a state
or a status means (staging).
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, cast

from dlt.sources import DltSource

from models.faults import Fault
from pipelines.settings import Settings
from pipelines.source_blocks import TrytonSource, token
from pipelines.sources.door import PATIENT, Door, Patience, bearer
from pipelines.sources.landing import Record, Table, Terms, land

KEYS_A_PAGE = 1000
RECORDS_A_QUESTION = 100  # whose log is asked for at once: their names stand in the address, which has its limits
STAMP = "last_modified_at"
ARCHIVED_TOO = {"active_test": False}  # a list leaves out what is archived, unless the context of the request says so
RIGHTS = "Give the group of the key's user the right to read it, as the page on this kind says."
OTHER = "The tool has changed what it answers, or is another version: update Milepost, or check the url."

Domain = list[Any]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _List:
    """One raw table: of which records of a model which fields. Dots lead into a record that is linked to.

    `optional` fields come with modules that a Tryton need not have; without those that it `needs` a list is empty.
    """

    table: str
    model: str
    fields: tuple[str, ...]
    domain: Domain
    optional: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    whole: bool = False
    versions: bool = False


LISTS = (
    _List("companies", "company.company", ("party.name", "currency.code", "timezone"), [], whole=True),
    _List("parties", "party.party", ("name", "code", "active", "replaced_by"), []),
    _List("addresses", "party.address", ("party", "country.code", "subdivision.code", "sequence", "active"),
          [], optional=("invoice",)),
    _List("statuses", "project.work.status", ("name", "progress", "active"), [], whole=True),
    _List("works", "project.work",
          ("name", "type", "number", "status", "parent", "party", "company", "sequence", "create_date"), [],
          optional=("revenue", "children.revenue", "invoice_line", "constraint_finish_time", "actual_start_time"),
          versions=True),
    _List("invoices", "account.invoice",
          ("number", "reference", "description", "state", "invoice_date", "party", "company", "currency.code",
           "total_amount", "tax_amount", "move", "cancel_move", "create_date"), [["type", "=", "out"]]),
    _List("invoice_lines", "account.invoice.line",
          ("invoice", "description", "product.rec_name", "amount", "origin"),
          [["invoice.type", "=", "out"], ["type", "=", "line"]]),
    _List("receivables", "account.move.line",
          ("move.id", "move.journal.type", "date", "maturity_date", "debit", "credit", "amount_second_currency",
           "second_currency.code", "account.company.currency.code", "reconciliation", "party", "create_date"),
          [["account.type.receivable", "=", True]]),
    _List("payment_lines", "account.invoice-account.move.line", ("invoice", "line"), [["invoice.type", "=", "out"]]),
    _List("additional_moves", "account.invoice-additional-account.move", ("invoice", "move"),
          [["invoice.type", "=", "out"]]),
    _List("progresses", "project.work.invoiced_progress", ("work", "progress", "invoice_line"),
          [["invoice_line", "!=", None]]),
    _List("hours", "timesheet.line", ("work.origin", "duration", "invoice_line"), [["invoice_line", "!=", None]],
          needs=("invoice_line",)),
)  # fmt: skip

LOG = ("resource", "event", "target", "user.rec_name")
# What of the log is read, by whose records: each into a table and by a cursor of its own, since the newest entry of one
# list says nothing of how far the other was read.
LOGGED: Mapping[str, tuple[str, Domain, Domain]] = {
    "work_log": ("project.work", [], ["event", "=", "write"]),
    "invoice_log": (
        "account.invoice",
        [["type", "=", "out"]],
        [
            "OR",
            [["event", "=", "transition"]],
            [["event", "=", "button"], ["target", "in", ["post", "cancel"]]],
        ],
    ),
}


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """A Tryton's records as a dlt source; the tables of modules that it doesn't have are empty.

    Raises `Fault` at once where the key is missing or wrong, and where the Tryton has neither projects nor invoices.
    """
    tryton = opened(name, settings, environ, patience)
    return land(name, [*map(tryton.table, LISTS), *map(tryton.log, LOGGED)], terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks which modules there are, and for one record of each list that the key must be allowed to read."""
    tryton = opened(name, settings, environ, patience)
    for told in LISTS:
        if tryton.has(told):
            tryton.search(told.model, told.domain, tryton.fields(told), [["id", "ASC"]], 1)
    return tryton.door.headroom


def opened(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> _Tryton:
    """The Tryton of a source, once it has said what it has."""
    block = cast(TrytonSource, settings.sources[name])
    secret = token(name, block, environ)
    headers = {"X-Tryton-Context": _encoded(ARCHIVED_TOO)}
    door = Door(name, block.url, bearer(secret), patience=patience, headers=headers, secrets=(secret,))
    return _Tryton(door, block)


class _Tryton:
    """One database of a Tryton, as one source reads it."""

    def __init__(self, door: Door, block: TrytonSource) -> None:
        self.door, self._block = door, block
        self._has = self._known_fields()
        if not {"account.invoice", "project.work"} & self._has.keys():
            cure = "Activate the module account_invoice, project_invoice or both, or name another database."
            raise door.fault(self._path("ir.model.field"), "has neither projects nor invoices.", cure)

    def table(self, told: _List) -> Table:
        names = tuple(_column(path) for path in (*told.fields, *told.optional))
        if not self.has(told):  # it has its columns, and no sweep: the rows of a module that is taken out stay
            columns = ("web", *names, *(() if told.whole else ("gone_at",)))
            return Table(told.table, lambda _since: [], columns, whole=told.whole, versions=told.versions)
        pages = partial(self._pages, told, self.fields(told))
        asked = tuple(path for path in told.optional if path in self.fields(told))
        if told.whole:
            return Table(told.table, pages, ("web", *names), whole=True)
        return Table(told.table, pages, ("web", *names), versions=told.versions, ascending=True,
                     present=partial(self._keys, told), asked=asked)  # fmt: skip

    def log(self, name: str) -> Table:
        return Table(name, partial(self._log_pages, *LOGGED[name]), tuple(_column(path) for path in LOG))

    def has(self, told: _List) -> bool:
        return told.model in self._has and self._has[told.model].issuperset(told.needs)

    def fields(self, told: _List) -> tuple[str, ...]:
        """The fields that are asked for. Raises `Fault` for one that the model must have and hasn't."""
        there = self._has[told.model]
        lacking = [path for path in (*told.fields, STAMP) if _first(path) not in there]
        if lacking:
            what = f"{told.model} has no field {', '.join(map(_first, lacking))}."
            raise self.door.fault(self._path(told.model), what, OTHER)
        return (*told.fields, *(path for path in told.optional if _first(path) in there))

    def search(self, model: str, domain: Domain, fields: Sequence[str], order: Domain, size: int) -> list[Row]:
        """One page of a list. Raises `Fault` for whatever Tryton answers that is not such a page."""
        path = self._path(model)
        params = {"d": _encoded(domain), "o": _encoded(order), "s": size, "f": list(fields)}
        answer = self.door.get(path, params, accepts=(400, 404))
        if answer.status == 404:
            cure = "Check the url and the database of the source."
            raise self.door.fault(path, f"knows no database {self._block.database!r} (404).", cure)
        if answer.status == 400:
            raise self._refusal(path, answer.body)
        if not isinstance(answer.body, list) or not all(isinstance(row, dict) and row.get("id") for row in answer.body):
            raise self.door.fault(path, "answers something that is no list of records.", OTHER)
        return answer.body

    def _refusal(self, path: str, body: Any) -> Fault:
        told = body if isinstance(body, dict) else {}
        words = " ".join(str(told.get(name) or "") for name in ("message", "description")).strip(" .\n")
        cure = RIGHTS if "access" in words or "allowed" in words else OTHER
        return self.door.fault(path, f"refuses to be read (400): {words or 'it says no more'}.", cure)

    def _known_fields(self) -> dict[str, set[str]]:
        """The fields of each model that is there."""
        lists = [(told.model, told.fields + told.optional) for told in LISTS]
        wanted = sorted({_first(path) for _, fields in lists for path in fields} | {STAMP})
        domain: Domain = [["model", "in", sorted({model for model, _ in lists})], ["name", "in", wanted]]
        found: dict[str, set[str]] = {}
        for rows in self._all("ir.model.field", domain, ["model", "name"]):
            for row in rows:
                found.setdefault(str(row.get("model")), set()).add(str(row.get("name")))
        return found

    def _pages(self, told: _List, fields: tuple[str, ...], since: str | None) -> Iterator[list[Record]]:
        for rows in self._by_stamp(told.model, told.domain, fields, since):
            yield [self._record(told.model, row, (STAMP, *fields)) for row in rows]

    def _by_stamp(self, model: str, domain: Domain, fields: Sequence[str], since: str | None) -> Iterator[list[Row]]:
        """Pages of what was written at or after an instant, oldest first; of one instant by key."""
        edge: Domain = [[STAMP, ">=", _typed(since)]] if since else []
        order: Domain = [[STAMP, "ASC"], ["id", "ASC"]]
        while True:
            rows = self.search(model, [*domain, *edge], (STAMP, *fields), order, self._block.page_size)
            if rows:
                yield rows
            if len(rows) < self._block.page_size:
                return
            last, key = self._held(model, rows[-1], STAMP), rows[-1]["id"]
            edge = [["OR", [[STAMP, ">", last]], [[STAMP, "=", last], ["id", ">", key]]]]

    def _all(self, model: str, domain: Domain, fields: Sequence[str]) -> Iterator[list[Row]]:
        """Pages of every record by key, for lists of which little is asked."""
        edge: Domain = []
        while True:
            rows = self.search(model, [*domain, *edge], fields, [["id", "ASC"]], KEYS_A_PAGE)
            yield rows
            if len(rows) < KEYS_A_PAGE:
                return
            edge = [["id", ">", rows[-1]["id"]]]

    def _keys(self, told: _List) -> Iterator[list[str]]:
        for rows in self._all(told.model, told.domain, ["id"]):
            yield [str(row["id"]) for row in rows]

    def _log_pages(self, model: str, domain: Domain, events: Domain, since: str | None) -> Iterator[list[Record]]:
        """The log of the records that were written at or after an instant: it may not be asked for by time alone."""
        edge: Domain = [["create_date", ">=", _typed(since)]] if since else []
        for rows in self._by_stamp(model, domain, [], since) if model in self._has else ():
            for begins in range(0, len(rows), RECORDS_A_QUESTION):
                named = [f"{model},{row['id']}" for row in rows[begins : begins + RECORDS_A_QUESTION]]
                about: Domain = [["resource", "in", named], events, *edge]
                for entries in self._all("ir.model.log", about, ("create_date", *LOG)):
                    yield [self._entry(row) for row in entries]

    def _record(self, model: str, row: Row, paths: Sequence[str]) -> Record:
        told = {_column(path): self._held(model, row, path) for path in paths}
        web = f"{self.door.url}/#{self._block.database}/model/{model}/{row['id']}"
        plain = {name: _plain(value) for name, value in told.items()}
        return {"id": str(row["id"]), "updated_at": plain.pop(STAMP), "web": web, **plain}

    def _entry(self, row: Row) -> Record:
        told = {_column(path): _plain(self._held("ir.model.log", row, path)) for path in ("create_date", *LOG)}
        return {"id": str(row["id"]), "updated_at": told.pop("create_date"), **told}

    def _held(self, model: str, row: Row, path: str) -> Any:
        """What a record has under a path; a list where the path leads into many."""
        held: Any = row
        for part in path.split("."):
            if isinstance(held, list):
                held = [self._part(model, path, one, part) for one in held]
            elif held is not None:
                held = self._part(model, path, held, part)
        return held

    def _part(self, model: str, path: str, held: Any, part: str) -> Any:
        if not isinstance(held, dict) or part not in held:
            raise self.door.fault(self._path(model), f"gives no field {path}.", RIGHTS)
        return held[part]

    def _path(self, model: str) -> str:
        return f"/{self._block.database}/rest/model/{model}"


def _first(path: str) -> str:
    return path.partition(".")[0]


def _column(path: str) -> str:
    return path.replace(".", "_")


def _encoded(value: Any) -> str:
    return urlsafe_b64encode(json.dumps(value, default=str).encode()).decode()


def _typed(instant: str) -> dict[str, Any]:
    """An instant as Tryton's JSON has it."""
    moment = datetime.fromisoformat(instant)
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{name: getattr(moment, name) for name in names}}


def _plain(value: Any) -> Any:
    """A value without the types that Tryton's JSON tells: instants (UTC) and days as ISO 8601, decimals in digits."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    write = _WRITES.get(value.get("__class__")) if isinstance(value, dict) else None
    return write(value) if write else value


def _day(value: Mapping[str, Any]) -> str:
    return f"{value['year']:04}-{value['month']:02}-{value['day']:02}"


def _instant(value: Mapping[str, Any]) -> str:
    clock = f"{value['hour']:02}:{value['minute']:02}:{value['second']:02}.{value['microsecond']:06}"
    return f"{_day(value)}T{clock}Z"


_WRITES: Mapping[Any, Callable[[Mapping[str, Any]], str]] = {
    "datetime": _instant,
    "date": _day,
    "Decimal": lambda value: format(Decimal(value["decimal"]), "f"),
    "timedelta": lambda value: str(value["seconds"]),
}
