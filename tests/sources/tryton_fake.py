"""A Tryton as its REST API answers, as far as Milepost asks it: domains, orders and fields, rights, archives, the log.

What it does was measured on a real one, and `test_tryton_real.py` holds what it answers against a real one's answers. A
test sets its clock, writes records, and may have them move between two requests. What stays out: every rule of Tryton about
what may be written.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from loopback import Reply, Request

KEY = "sesame" * 8
DATABASE = "books"
# The fields of each model, those of modules among them, and to which model a link leads.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "account.account": ("type", "company"),
    "account.account.type": ("receivable",),
    "account.invoice": ("number", "reference", "description", "state", "invoice_date", "party", "company", "currency",
                        "total_amount", "tax_amount", "move", "cancel_move", "type"),
    "account.invoice-account.move.line": ("invoice", "line"),
    "account.invoice-additional-account.move": ("invoice", "move"),
    "account.invoice.line": ("invoice", "description", "product", "amount", "origin", "type"),
    "account.journal": ("type",),
    "account.move": ("journal",),
    "account.move.line": ("move", "date", "maturity_date", "debit", "credit", "amount_second_currency",
                          "second_currency", "account", "reconciliation", "party"),
    "company.company": ("party", "currency", "timezone"),
    "country.country": ("code",),
    "country.subdivision": ("code",),
    "currency.currency": ("code",),
    "ir.model.log": ("resource", "event", "target", "user"),
    "party.address": ("party", "country", "subdivision", "sequence", "active", "invoice"),
    "party.party": ("name", "code", "active", "replaced_by"),
    "product.product": ("rec_name",),
    "project.work": ("name", "type", "number", "status", "parent", "party", "company", "sequence", "revenue", "children",
                     "invoice_line", "constraint_finish_time", "actual_start_time"),
    "project.work.invoiced_progress": ("work", "progress", "invoice_line"),
    "project.work.status": ("name", "progress", "active"),
    "res.user": ("rec_name",),
    "timesheet.line": ("work", "duration", "invoice_line"),
    "timesheet.work": ("origin",),
}  # fmt: skip
LINKS: Mapping[str, str] = {
    "account": "account.account", "cancel_move": "account.move", "company": "company.company",
    "country": "country.country", "currency": "currency.currency", "invoice": "account.invoice",
    "invoice_line": "account.invoice.line", "journal": "account.journal", "line": "account.move.line",
    "move": "account.move", "parent": "project.work", "party": "party.party", "product": "product.product",
    "replaced_by": "party.party", "second_currency": "currency.currency", "status": "project.work.status",
    "subdivision": "country.subdivision", "user": "res.user",
}  # fmt: skip
STAMPS = ("id", "create_date", "write_date", "last_modified_at")
PLAN = ("constraint_finish_time", "actual_start_time")

Row = dict[str, Any]


class Tryton:
    """One database. `now` is its clock, naive UTC as Tryton keeps it."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.held: dict[str, dict[int, Row]] = {model: {} for model in FIELDS}
        self.lacking: set[str] = set()  # models and model.field that modules bring which this one has not
        self.forbidden: set[str] = set()  # models that the key may not read
        self.hidden: set[str] = set()  # model.field that the key may not read
        self.keeps_log = True
        self.before: Callable[[str], None] | None = None  # called with the model of each list before it is answered
        self._count = 0
        self.currency = self.make("currency.currency", code="USD")
        self.firm = self.make("company.company", party=self.make("party.party", name="Reed & Partners"),
                              currency=self.currency, timezone="Europe/Berlin")  # fmt: skip
        receivable = self.make("account.account.type", receivable=True)
        self._account = self.make("account.account", type=receivable, company=self.firm)
        self._user = self.make("res.user", rec_name="Jo March")
        self.statuses = {
            name: self.make("project.work.status", name=name, progress=progress)
            for name, progress in (("Open", None), ("In review", None), ("Approved", 1.0))
        }

    # --- what people do -----------------------------------------------------------------------------------

    def make(self, model: str, **values: Any) -> int:
        self._count += 1
        empty = dict.fromkeys(FIELDS[model]) | ({"active": True} if "active" in FIELDS[model] else {})
        stamps = {"id": self._count, "create_date": self.now, "write_date": None}
        self.held[model][self._count] = {**empty, **values, **stamps}
        return self._count

    def write(self, model: str, key: int, **values: Any) -> None:
        self.held[model][key] |= {**values, "write_date": self.now}
        self.tell(model, key, "write", ",".join(sorted(values)))

    def delete(self, model: str, key: int) -> None:
        """A record; of an invoice its lines too."""
        del self.held[model][key]
        if model == "account.invoice":
            lines = self.held["account.invoice.line"]
            self.held["account.invoice.line"] = {one: row for one, row in lines.items() if row["invoice"] != key}

    def tell(self, model: str, key: int, event: str, target: str) -> None:
        if self.keeps_log:
            self.make("ir.model.log", resource=f"{model},{key}", event=event, target=target, user=self._user)

    def client(self, name: str) -> int:
        key = self.make("party.party", name=name, code=str(self._count))
        self.make("party.address", party=key, country=self.make("country.country", code="DE"))
        return key

    def project(self, client: int | None, name: str) -> int:
        return self._work(name, "project", party=client)

    def task(self, project: int, name: str, revenue: str = "0", **values: Any) -> int:
        return self._work(name, "task", parent=project, revenue=Decimal(revenue), **values)

    def turn(self, work: int, status: str) -> None:
        self.write("project.work", work, status=self.statuses[status])

    def invoice(self, client: int, total: str, state: str = "posted", **values: Any) -> int:
        move = self.make("account.move", journal=self.make("account.journal", type="revenue"))
        told = {"type": "out", "state": state, "party": client, "company": self.firm, "currency": self.currency,
                "invoice_date": self.now.date(), "total_amount": Decimal(total), "tax_amount": Decimal(0), "move": move}  # fmt: skip
        key = self.make("account.invoice", **{**told, "number": f"R-{self._count}", **values})
        self.make("account.invoice.line", invoice=key, type="line", description="Work", amount=Decimal(total))
        self.line(move, total, self.now.date())
        return key

    def line(self, move: int, amount: str, on: date, **values: Any) -> int:
        """A line in the clients' account: what they owe, negative what they gave."""
        sides = {"debit": max(Decimal(amount), Decimal(0)), "credit": max(-Decimal(amount), Decimal(0))}
        told = {"move": move, "date": on, "maturity_date": on, "account": self._account, **sides}
        return self.make("account.move.line", **told, **values)

    def pay(self, invoice: int, amount: str) -> int:
        move = self.make("account.move", journal=self.make("account.journal", type="cash"))
        line = self.line(move, f"-{amount}", self.now.date())
        return self.make("account.invoice-account.move.line", invoice=invoice, line=line)

    def _work(self, name: str, kind: str, **values: Any) -> int:
        told = {"type": kind, "company": self.firm, "status": self.statuses["Open"], "revenue": Decimal(0), **values}
        return self.make("project.work", name=name, **told)

    # --- what the API answers -----------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _page(401, "Unauthorized")
        _, database, *rest = request.path.split("/")
        if database != DATABASE or rest[:2] != ["rest", "model"]:
            return _page(404, "Not Found")
        model = rest[2]
        if self.before:
            self.before(model)
        asked = [name for name in request.queries.get("f", ["rec_name"]) if name]
        try:
            domain, order = _decoded(request.query.get("d")), _decoded(request.query.get("o"))
            context = _decoded(request.headers.get("x-tryton-context")) or {}
            rows = self._found(model, domain or [], order or [], context.get("active_test", True))
            size = int(request.query.get("s") or len(rows))
            return Reply([self._shown(model, row, asked) for row in rows[:size]])
        except _NotAllowed as refused:
            return Reply({"status": 400, "message": str(refused), "description": ""}, 400)
        except KeyError as unknown:
            return _page(500, f"&#39;{unknown.args[0]}&#39;")

    def _found(self, model: str, domain: list[Any], order: list[Any], hides_archived: bool) -> list[Row]:
        if model == "ir.model.field":
            return [row for row in self._fields() if self._fits("ir.model.field", row, domain)]
        if model in self.lacking or model not in FIELDS:
            raise KeyError(model)
        if model in self.forbidden:
            raise _NotAllowed(f'You are not allowed to access "{model}".')
        if model == "ir.model.log":
            self._refuse_log_of_others(domain)
        if hides_archived and "active" in FIELDS[model]:
            domain = _only_active(domain)
        rows = [row for row in self.held[model].values() if self._fits(model, row, domain)]
        for field, direction in reversed(order):
            rows.sort(key=lambda row, field=field: self._value(model, row, field), reverse=direction == "DESC")
        return rows

    def _fields(self) -> list[Row]:
        """ir.model.field: what every model has."""
        every = [
            (model, name)
            for model, names in FIELDS.items()
            for name in (*STAMPS, *names)
            if model not in self.lacking and f"{model}.{name}" not in self.lacking
        ]
        return [{"id": place, "model": model, "name": name} for place, (model, name) in enumerate(every, 1)]

    def _refuse_log_of_others(self, domain: list[Any]) -> None:
        """Whoever is no administrator may ask for the log of records that are there, by their names, and no other way."""
        named = next((told[2] for told in domain if told[:2] == ["resource", "in"]), None)
        if named is None:
            raise _NotAllowed('You are not allowed to search on the "ir.model.log" resource.')
        for model, key in (one.split(",") for one in named):
            if int(key) not in self.held[model]:
                raise _NotAllowed(f'You are not allowed to read records "{key}" of "{model}".')

    def _fits(self, model: str, row: Row, domain: list[Any]) -> bool:
        if domain and domain[0] == "OR":
            return any(self._fits(model, row, one) for one in domain[1:])
        if len(domain) == 3 and isinstance(domain[0], str) and domain[0] != "AND":
            field, operator, value = domain
            return _holds(self._value(model, row, field), operator, value)
        return all(self._fits(model, row, one) for one in domain if one != "AND")

    def _value(self, model: str, row: Row, path: str) -> Any:
        name, _, rest = path.partition(".")
        value = self._plain(model, row, name)
        if not rest or value is None:
            return value
        target = self._target(model, name)
        return self._value(target, self.held[target][value], rest)

    def _plain(self, model: str, row: Row, name: str) -> Any:
        if f"{model}.{name}" in self.lacking or (name not in STAMPS and name not in row):
            raise KeyError(name)
        if name == "last_modified_at":
            return row["write_date"] or row["create_date"]
        if model == "project.work" and name in ("revenue", "children"):
            below = [one for one in self.held[model].values() if one["parent"] == row["id"]]
            if name == "children":
                return [one["id"] for one in below]
            return row["revenue"] + sum(self._plain(model, one, "revenue") for one in below)
        return row[name]

    def _target(self, model: str, name: str) -> str:
        own = {("account.account", "type"): "account.account.type", ("project.work", "children"): "project.work",
               ("project.work.invoiced_progress", "work"): "project.work", ("timesheet.line", "work"): "timesheet.work"}  # fmt: skip
        return own.get((model, name)) or LINKS[name]

    def _shown(self, model: str, row: Row, paths: list[str]) -> Row:
        """The fields that were asked for, but for those that may not be read: these are left out without a word."""
        shown: Row = {"id": row["id"], "__name__": model}
        for path in paths:
            name, _, rest = path.partition(".")
            if f"{model}.{name}" in self.hidden:
                continue
            if model == "ir.model.field":
                shown[name] = row[name]
                continue
            value = self._plain(model, row, name)
            if rest and value is not None:
                value = self._linked(self._target(model, name), value, rest, shown.get(name))
            shown[name] = value if rest else _typed(value)
        return shown

    def _linked(self, target: str, value: Any, rest: str, shown: Any) -> Any:
        if isinstance(value, list):
            return [self._shown(target, self.held[target][one], [rest]) for one in value]
        return {**(shown or {}), **self._shown(target, self.held[target][value], [rest])}


class _NotAllowed(Exception):
    pass


def _only_active(domain: list[Any]) -> list[Any]:
    """A domain as Tryton changes it: every part of it that does not name `active` finds active records alone."""
    parts = [_only_active(one) if isinstance(one, list) and not _is_leaf(one) else one for one in domain]
    if any(_is_leaf(one) and one[0] == "active" for one in parts):
        return parts
    return ["AND", parts, ["active", "=", True]] if parts and parts[0] == "OR" else [*parts, ["active", "=", True]]


def _is_leaf(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 3 and isinstance(one[0], str) and one[0] not in ("AND", "OR")


def _holds(value: Any, operator: str, asked: Any) -> bool:
    asked = datetime(**_without_class(asked)) if isinstance(asked, dict) else asked
    if operator == "in":
        return value in asked
    if operator in ("=", "!="):
        return bool(value == asked) == (operator == "=")
    if value is None:
        return False
    return bool({">": value > asked, ">=": value >= asked, "<": value < asked, "<=": value <= asked}[operator])


def _without_class(told: Mapping[str, int]) -> Row:
    return {name: number for name, number in told.items() if name != "__class__"}


def _typed(value: Any) -> Any:
    if isinstance(value, datetime):
        parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{part: getattr(value, part) for part in parts}}
    if isinstance(value, date):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, timedelta):
        return {"__class__": "timedelta", "seconds": value.total_seconds()}
    return value


def _decoded(told: str | None) -> Any:
    return json.loads(urlsafe_b64decode(told)) if told else None


def _page(status: int, words: str) -> Reply:
    return Reply(f"<!doctype html>\n<html lang=en>\n<title>{status}</title>\n<h1>{words}</h1>\n", status)
