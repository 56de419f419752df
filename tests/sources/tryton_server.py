"""A real Tryton for tests: started on a free port of 127.0.0.1 over a database of its own, and driven over HTTP.

`.ci/tryton.sh` installs it and makes the database that each starts from; `.ci/tryton_template.py` says what is in it. A
test works as people do: it makes clients, projects and bills through REST and presses buttons; what Tryton offers as
wizards only (payments, credit notes) goes through JSON-RPC, as in its own clients. What stays out: Milepost, and the
database itself, which no test opens.

    with running() as tryton:
        aster = tryton.party("Aster")
        bill = tryton.invoice(aster, [("Concept approval REB-12", "12000.00")], on=date(2026, 3, 2))
        tryton.post(bill)
        tryton.pay(bill, "12000.00", on=date(2026, 3, 20))
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
from served import ended, free_port

KEPT = Path(sys.prefix) / "tryton"
ADMIN_KEY, READER_KEY, PASSWORD = "a" * 64, "r" * 64, "milepost"  # as the template has them
DATABASE = "books"
# The words of its tasks, as the template has them, and what they mean to Milepost.
STATUSES = {
    "Open": "planned", "In work": "started", "In review": "submitted", "Changes asked": "changes_requested",
    "Rejected": "rejected", "Approved": "approved", "Done": "approved", "Dropped": "cancelled",
}  # fmt: skip

Line = tuple[str, str] | Mapping[str, Any]


class Refused(AssertionError):
    """What Tryton said where it would not do what a test asked."""


class Tryton:
    """One running Tryton, as its administrator works with it where no other key is told."""

    def __init__(self, url: str, key: str = ADMIN_KEY) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        unasked = base64.urlsafe_b64encode(_json({"_skip_warnings": True}).encode()).decode()
        self._session.headers["X-Tryton-Context"] = unasked  # a bill of last spring is due in the past: yes, we know

    def block(self, **more: Any) -> dict[str, Any]:
        """A source's block in the settings; its token is TRYTON_KEY of `environ`, of a user who may only read."""
        told = {"kind": "tryton", "url": self.url, "database": DATABASE, "token_env": "TRYTON_KEY"}
        return {**told, "statuses": STATUSES, **more}

    @property
    def environ(self) -> dict[str, str]:
        return {"TRYTON_KEY": READER_KEY}

    def as_(self, key: str) -> Tryton:
        """The same Tryton, as the user of another key."""
        return Tryton(self.url, key)

    # --- what people make -------------------------------------------------------------------------------

    def party(self, name: str, *, country: str | None = None, subdivision: str | None = None, **values: Any) -> int:
        """A client. The country is an ISO code such as DE, the subdivision one such as DE-BE."""
        address: dict[str, Any] = {"city": "Somewhere"}
        if country:
            address["country"] = self._country(country)
        if subdivision:
            address["subdivision"] = self._subdivision(address["country"], subdivision)
        return self.create("party.party", {"name": name, "addresses": [["create", [address]]], **values})

    def project(self, name: str, party: int | None, tasks: Sequence[tuple[str, str | None]] = (), **values: Any) -> int:
        """A project that is billed by progress, with tasks and what each is worth."""
        told = {"type": "project", "project_invoice_method": "progress", "status": self.status("Open"), **values}
        made = self.create("project.work", {"name": name, "party": party, "company": self.company, **told})
        for task, price in tasks:
            self.task(made, task, price)
        return made

    def task(self, parent: int, name: str, price: str | None = None, **values: Any) -> int:
        told: dict[str, Any] = {"type": "task", "parent": parent, "status": self.status("Open"), "name": name}
        if price is not None:
            told |= {"product": self.product("Gate"), "list_price": Decimal(price)}
        return self.create("project.work", {"company": self.company, **told, **values})

    def number_tasks(self, prefix: str) -> None:
        """What the numbers of projects and tasks made from now on begin with."""
        self.write("ir.sequence", self._found("ir.sequence", "name", "Work Effort"), {"prefix": prefix})

    def tasks(self, project: int) -> dict[str, int]:
        found = self.search("project.work", [["parent", "=", project]], ["name"])
        return {one["name"]: one["id"] for one in found}

    def set_status(self, work: int, status: str) -> None:
        """Moves a task or project to a status; progress follows where the status asks for it, as in the client."""
        (told,) = self.search("project.work.status", [["name", "=", status]], ["progress"])
        progress = {} if told["progress"] is None else {"progress": told["progress"]}
        self.write("project.work", work, {"status": told["id"], **progress})

    def work_hours(self, task: int, hours: int, on: date) -> None:
        """Books hours on a task."""
        self.write("project.work", task, {"timesheet_available": True})
        (sheet,) = self.search("timesheet.work", [["origin", "=", f"project.work,{task}"]])
        told = {"company": self.company, "employee": self._employee, "date": on, "work": sheet["id"]}
        self.create("timesheet.line", {**told, "duration": timedelta(hours=hours)})

    def bill(self, project: int) -> list[int]:
        """Makes the draft invoices of a project for what its tasks have come forward."""
        before = {one["id"] for one in self.search("account.invoice")}
        self.press("project.work", project, "invoice")
        return sorted({one["id"] for one in self.search("account.invoice")} - before)

    def invoice(
        self,
        party: int,
        lines: Sequence[Line],
        on: date | None = None,
        *,
        currency: str = "USD",
        term: str | None = "30 days",
        **values: Any,
    ) -> int:
        """A draft invoice. A line is what it says and its amount, or a mapping with any of its fields."""
        (address,) = self.search("party.address", [["party", "=", party]], limit=1)
        told = {
            "type": "out",
            "company": self.company,
            "party": party,
            "invoice_address": address["id"],
            "currency": self._currency(currency),
            "journal": self._journal,
            "account": self._account("receivable"),
            "payment_term": self._found("account.invoice.payment_term", "name", term) if term else None,
            "invoice_date": on,
            "lines": [["create", [self._line(line, currency) for line in lines]]],
        }
        return self.create("account.invoice", {**told, **values})

    def post(self, invoice: int, on: date | None = None) -> str:
        """Posts an invoice, dated anew where a day is told; returns its number."""
        if on:
            self.write("account.invoice", invoice, {"invoice_date": on})
        self.press("account.invoice", invoice, "post")
        return str(self.read("account.invoice", invoice, ["number"])["number"])

    def cancel(self, invoice: int) -> None:
        self.press("account.invoice", invoice, "cancel")

    def allow_cancelling(self) -> None:
        """Lets posted invoices be cancelled, which a company has to be told."""
        self.write("company.company", self.company, {"cancel_invoice_out": True})

    def pay(self, invoice: int, amount: str, on: date, *, rest: str = "partial") -> None:
        """Takes a payment; of what is open besides, `rest` says partial, writeoff or overpayment."""
        party = self.read("account.invoice", invoice, ["party.id"])["party"]["id"]
        currency = self.read("account.invoice", invoice, ["currency.id"])["currency"]["id"]
        start = {
            "payee": party,
            "amount": Decimal(amount),
            "currency": currency,
            "date": on,
            "payment_method": self._found("account.invoice.payment.method", "name", "Bank"),
        }
        with self._wizard("account.invoice.pay", "account.invoice", [invoice]) as step:
            asked = step({"start": start}, "choice")
            if "view" in asked:
                told = {name: one for name, one in asked["view"]["defaults"].items() if not name.endswith(".")}
                if rest == "writeoff":
                    told["writeoff"] = self._found("account.move.reconcile.write_off", "name", "Lost")
                step({"start": start, "ask": {**told, "type": rest}}, "pay")

    def credit(self, invoice: int, on: date | None = None, *, refund: bool = False) -> int:
        """A draft credit note; with refund it is posted at once and ends the invoice."""
        with self._wizard("account.invoice.credit", "account.invoice", [invoice]) as step:
            done = step({"start": {"with_refund": refund, "invoice_date": on}}, "credit")
        return int(done["actions"][0][1]["res_id"][0])

    def receive(self, party: int, amount: str, on: date) -> int:
        """Money of a client, not told what it is for; returns its line in the client's account."""
        (period,) = self.search("account.period", [["start_date", "<=", on], ["end_date", ">=", on]])
        sides = (
            {
                "account": self._found("account.account", "code", "1.1.1"),
                "debit": Decimal(amount),
                "credit": Decimal(0),
            },
            {"account": self._account("receivable"), "debit": Decimal(0), "credit": Decimal(amount), "party": party},
        )
        told = {"company": self.company, "journal": self._found("account.journal", "type", "cash"), "date": on}
        move = self.create("account.move", {**told, "period": period["id"], "lines": [["create", sides]]})
        self.press("account.move", move, "post")
        (line,) = self.search("account.move.line", [["move", "=", move], ["party", "=", party]])
        return int(line["id"])

    def reschedule(self, invoice: int, *parts: tuple[date, str]) -> None:
        """Agrees on other days for what is open of an invoice."""
        told = self.read("account.invoice", invoice, ["lines_to_pay", "currency.id"])
        terms = [{"date": on, "amount": Decimal(amount), "currency": told["currency"]["id"]} for on, amount in parts]
        with self._wizard("account.move.line.reschedule", "account.move.line", told["lines_to_pay"]) as step:
            step({"preview": {"journal": self._journal, "terms": terms}}, "reschedule")

    def settle(self, *invoices: int, lines: Sequence[int] = ()) -> None:
        """Reconciles what is open of invoices and credit notes, their payments and other lines: it must come to nothing."""
        kept = [self.read("account.invoice", one, ["lines_to_pay", "payment_lines"]) for one in invoices]
        lines = sorted({*lines, *(line for one in kept for line in (*one["lines_to_pay"], *one["payment_lines"]))})
        with self._wizard("account.move.reconcile_lines", "account.move.line", lines) as step:
            step({}, "start")

    def unsettle(self, invoice: int) -> None:
        """Takes the reconciliation of an invoice back."""
        lines = self.read("account.invoice", invoice, ["lines_to_pay"])["lines_to_pay"]
        with self._wizard("account.move.unreconcile_lines", "account.move.line", lines) as step:
            step({}, "unreconcile")

    def replace(self, party: int, by: int) -> None:
        """Merges a party into another."""
        with self._wizard("party.replace", "party.party", [party]) as step:
            step({"ask": {"source": party, "destination": by}}, "replace")

    # --- what Tryton offers -----------------------------------------------------------------------------

    def create(self, model: str, values: Mapping[str, Any]) -> int:
        return int(self._rest("POST", model, values)["id"])

    def write(self, model: str, key: int, values: Mapping[str, Any]) -> None:
        self._rest("PUT", f"{model}/{key}", values)

    def delete(self, model: str, key: int) -> None:
        self._rest("DELETE", f"{model}/{key}")

    def press(self, model: str, key: int, button: str) -> None:
        self._rest("POST", f"{model}/{key}/{button}", {})

    def read(self, model: str, key: int, fields: Sequence[str]) -> dict[str, Any]:
        return dict(self._rest("GET", f"{model}/{key}", params=[("f", name) for name in fields]))

    def search(
        self, model: str, domain: Sequence[Any] = (), fields: Sequence[str] = ("id",), limit: int | None = None
    ) -> list[dict[str, Any]]:
        params = [("f", name) for name in fields]
        params.append(("d", base64.urlsafe_b64encode(_json(domain).encode()).decode()))
        params += [("s", str(limit))] if limit else []
        return list(self._rest("GET", model, params=params))

    def call(self, method: str, *params: Any) -> Any:
        """A call of JSON-RPC in the administrator's session."""
        sent = {"id": 1, "method": method, "params": params}
        headers = {"Authorization": f"Session {self._login}", "Content-Type": "application/json"}
        answer = requests.post(f"{self.url}/{DATABASE}/rpc/", _json(sent), headers=headers, timeout=60)
        told = _answered(answer)
        error = told.get("error") if isinstance(told, dict) else None
        if error and error[0] == "UserWarning":  # Yes, as people answer, and again
            user = self.search("res.user", [["login", "=", "admin"]])[0]["id"]
            self.call("model.res.user.warning.create", [{"name": error[1][0], "user": user, "always": True}], {})
            return self.call(method, *params)
        if error:
            raise Refused(str(error))
        return told["result"] if isinstance(told, dict) else told

    @cached_property
    def version(self) -> str:
        sent = {"id": 1, "method": "common.server.version", "params": []}
        answer = requests.post(f"{self.url}/rpc/", json=sent, timeout=60)
        told = _answered(answer)
        return str(told["result"] if isinstance(told, dict) else told)

    @cached_property
    def company(self) -> int:
        return int(self.search("company.company")[0]["id"])

    def product(self, name: str) -> int:
        """Gate is sold by the piece, Hour by the hour."""
        return self._found("product.product", "template.name", name)

    def status(self, name: str) -> int:
        return self._found("project.work.status", "name", name)

    # --- how ----------------------------------------------------------------------------------------------

    def _rest(self, method: str, path: str, sent: Any = None, params: Any = None) -> Any:
        body = None if sent is None else _json(sent)
        headers = {"Content-Type": "application/json"}
        answer = self._session.request(
            method, f"{self.url}/{DATABASE}/rest/model/{path}", params=params, data=body, headers=headers, timeout=60
        )
        return _answered(answer)

    @contextmanager
    def _wizard(self, name: str, model: str, keys: Sequence[int]) -> Iterator[Any]:
        context = {"active_id": keys[0], "active_ids": keys, "active_model": model, "company": self.company}
        session = self.call(f"wizard.{name}.create", context)[0]
        yield lambda told, state: self.call(f"wizard.{name}.execute", session, told, state, context)
        self.call(f"wizard.{name}.delete", session, context)

    def _found(self, model: str, field: str, value: Any) -> int:
        rows = self.search(model, [[field, "=", value]])
        if not rows:
            raise Refused(f"{model} has no {field} {value!r}")
        return int(rows[0]["id"])

    def _line(self, line: Line, currency: str) -> dict[str, Any]:
        told = dict(line) if isinstance(line, Mapping) else {"description": line[0], "unit_price": Decimal(line[1])}
        usual = {
            "type": "line",
            "invoice_type": "out",
            "quantity": 1.0,
            "account": self._account("revenue"),
            "company": self.company,
        }
        return {**usual, "currency": self._currency(currency), **told}

    def _currency(self, code: str) -> int:
        return self._found("currency.currency", "code", code)

    def _account(self, kind: str) -> int:
        return int(self.search("account.account", [[f"type.{kind}", "=", True], ["closed", "!=", True]])[0]["id"])

    def _country(self, code: str) -> int:
        rows = self.search("country.country", [["code", "=", code]])
        return int(rows[0]["id"]) if rows else self.create("country.country", {"name": code, "code": code})

    def _subdivision(self, country: int, code: str) -> int:
        rows = self.search("country.subdivision", [["code", "=", code]])
        told = {"name": code, "code": code, "type": "state", "country": country}
        return int(rows[0]["id"]) if rows else self.create("country.subdivision", told)

    @cached_property
    def _employee(self) -> int:
        return self.create("company.employee", {"party": self.party("Jo March"), "company": self.company})

    @cached_property
    def _journal(self) -> int:
        return self._found("account.journal", "type", "revenue")

    @cached_property
    def _login(self) -> str:
        sent = {"id": 1, "method": "common.db.login", "params": ["admin", {"password": PASSWORD}]}
        told = _answered(requests.post(f"{self.url}/{DATABASE}/rpc/", json=sent, timeout=60))
        user, session = (told["result"] if isinstance(told, dict) else told)[:2]
        return base64.b64encode(f"admin:{user}:{session}".encode()).decode()


def installed() -> str:
    """The version of Tryton's packages; empty where there are none."""
    found = [path.name.split("-")[1] for path in KEPT.glob("lib/python*/site-packages/trytond-*.dist-info")]
    return found[0].removesuffix(".dist") if found else ""


@pytest.fixture(scope="session")
def tryton() -> Iterator[Tryton]:
    """One Tryton for all tests of a session; each makes clients of its own."""
    with running() as started:
        yield started


@contextmanager
def running() -> Iterator[Tryton]:
    """A Tryton with nothing in it but what the template has; ended, and its folder removed, on leaving."""
    assert (KEPT / "stamp").is_file(), "There is no Tryton to start: run `sh .ci/tryton.sh` (make test does)."
    place = Path(tempfile.mkdtemp(prefix="tryton"))
    try:
        shutil.copy(KEPT / "template.sqlite", place / f"{DATABASE}.sqlite")
        process, tryton = _started(place)
        try:
            _wait(tryton, process, place / "trytond.log")
            print(f"Tryton {installed()} at {tryton.url}")
            yield tryton
        finally:
            ended(process)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _started(place: Path) -> tuple[subprocess.Popen[bytes], Tryton]:
    port = free_port()
    written = place / "trytond.conf"
    written.write_text(f"[database]\nuri = sqlite://\npath = {place}\n[web]\nlisten = 127.0.0.1:{port}\n", "utf-8")
    command = [KEPT / "bin" / "python", KEPT / "bin" / "trytond", "-c", written, "-d", DATABASE]
    with (place / "trytond.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=place)
    return process, Tryton(f"http://127.0.0.1:{port}")


def _wait(tryton: Tryton, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        try:
            requests.get(tryton.url, timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise Refused(f"Tryton does not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def _json(value: Any) -> str:
    return json.dumps(value, default=_typed)


def _typed(value: Any) -> Any:
    """A value as Tryton writes it in JSON."""
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, datetime):
        names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{name: getattr(value, name) for name in names}}
    if isinstance(value, timedelta):
        return {"__class__": "timedelta", "seconds": value.total_seconds()}
    return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}


def _answered(answer: requests.Response) -> Any:
    if answer.status_code >= 400:
        raise Refused(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None
