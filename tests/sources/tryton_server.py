"""A real Tryton for tests: started on a free loopback port over its own copy of the template, and driven over HTTP.

`.ci/tryton.sh` installs it and makes the template. A test works as people do: it makes clients, projects and bills through
REST and presses buttons; what Tryton offers as wizards only (payments, credit notes) goes through JSON-RPC, as in its
own clients. What stays out: the database itself, which no test opens.

    with running(folder) as tryton:
        aster = tryton.party("Aster")
        bill = tryton.invoice(aster, [("Concept approval REB-12", "12000.00")], on=date(2026, 3, 2))
        tryton.post(bill)
        tryton.pay(bill, "12000.00", on=date(2026, 3, 20))
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

HOME = Path(sys.prefix) / "tryton"  # where .ci/tryton.sh puts it
ADMIN_KEY, READER_KEY, PASSWORD = "a" * 64, "r" * 64, "milepost"  # as tryton_template.py has them
DATABASE = "books"

Line = tuple[str, str] | Mapping[str, Any]


class Refused(AssertionError):
    """What Tryton said where it would not do what a test asked."""


class Tryton:
    """One running Tryton, as its administrator works with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.database = DATABASE
        self.key, self.reader_key = ADMIN_KEY, READER_KEY
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        unasked = base64.urlsafe_b64encode(_json({"_skip_warnings": True}).encode()).decode()
        self._session.headers["X-Tryton-Context"] = unasked  # a bill of last spring is due in the past: yes, we know

    # --- what people make ---

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
            told |= {"product": self._product, "list_price": Decimal(price)}
        return self.create("project.work", {"company": self.company, **told, **values})

    def tasks(self, project: int) -> dict[str, int]:
        found = self.search("project.work", [["parent", "=", project]], ["name"])
        return {one["name"]: one["id"] for one in found}

    def set_status(self, work: int, status: str) -> None:
        """Moves a task or project to a status; progress follows where the status asks for it, as in the client."""
        (told,) = self.search("project.work.status", [["name", "=", status]], ["progress"])
        progress = {} if told["progress"] is None else {"progress": told["progress"]}
        self.write("project.work", work, {"status": told["id"], **progress})

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
        with self._wizard("account.invoice.pay", invoice) as step:
            asked = step({"start": start}, "choice")
            if "view" in asked:
                told = {name: one for name, one in asked["view"]["defaults"].items() if not name.endswith(".")}
                if rest == "writeoff":
                    told["writeoff"] = self._found("account.move.reconcile.write_off", "name", "Lost")
                step({"start": start, "ask": {**told, "type": rest}}, "pay")

    def credit(self, invoice: int, on: date | None = None, *, refund: bool = False) -> int:
        """A draft credit note; with refund it is posted at once and ends the invoice."""
        with self._wizard("account.invoice.credit", invoice) as step:
            done = step({"start": {"with_refund": refund, "invoice_date": on}}, "credit")
        return int(done["actions"][0][1]["res_id"][0])

    # --- what Tryton offers ---

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
        if isinstance(told, dict) and told.get("error"):
            raise Refused(str(told["error"]))
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

    def status(self, name: str) -> int:
        return self._found("project.work.status", "name", name)

    # --- how ---

    def _rest(self, method: str, path: str, sent: Any = None, params: Any = None) -> Any:
        body = None if sent is None else _json(sent)
        headers = {"Content-Type": "application/json"}
        answer = self._session.request(
            method, f"{self.url}/{DATABASE}/rest/model/{path}", params=params, data=body, headers=headers, timeout=60
        )
        return _answered(answer)

    @contextmanager
    def _wizard(self, name: str, invoice: int) -> Iterator[Any]:
        context = {
            "active_id": invoice,
            "active_ids": [invoice],
            "active_model": "account.invoice",
            "company": self.company,
            "_skip_warnings": True,
        }
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
    def _journal(self) -> int:
        return self._found("account.journal", "type", "revenue")

    @cached_property
    def _product(self) -> int:
        return self._found("product.product", "template.name", "Gate")

    @cached_property
    def _login(self) -> str:
        sent = {"id": 1, "method": "common.db.login", "params": ["admin", {"password": PASSWORD}]}
        told = _answered(requests.post(f"{self.url}/{DATABASE}/rpc/", json=sent, timeout=60))
        user, session = (told["result"] if isinstance(told, dict) else told)[:2]
        return base64.b64encode(f"admin:{user}:{session}".encode()).decode()


@contextmanager
def running(folder: Path) -> Iterator[Tryton]:
    """Starts a Tryton whose database and log lie in a folder, and ends it."""
    shutil.copy(HOME / "template.sqlite", folder / f"{DATABASE}.sqlite")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    written = folder / "trytond.conf"
    written.write_text(f"[database]\nuri = sqlite://\npath = {folder}\n[web]\nlisten = 127.0.0.1:{port}\n", "utf-8")
    with (folder / "trytond.log").open("wb") as log:
        command = [HOME / "bin" / "trytond", "-c", written, "-d", DATABASE]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            tryton = Tryton(f"http://127.0.0.1:{port}")
            _wait(tryton, server, folder / "trytond.log")
            yield tryton
        finally:
            server.terminate()
            server.wait(10)


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
    return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}


def _answered(answer: requests.Response) -> Any:
    if answer.status_code >= 400:
        raise Refused(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:500]}")
    return answer.json() if answer.content else None
