"""A Rocketlane account as its API shows it: tokens of pages that end, phases project by project, no log of anything.

What a firm does in Rocketlane are methods here (`move`, `plan`, `bill` …); each dates the record's change and its
actual dates as Rocketlane would. Whatever is answered is held against the reference's fields (`drifted`). What stays
out: writing over HTTP, time and resources.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from loopback import Reply, Request
from vendor_schemas import complaints

SECRET = "rl-sesame"
LASTS = timedelta(minutes=15)
KEYS = {"projects": "projectId", "phases": "phaseId", "tasks": "taskId", "invoices": "invoiceId"}
LABELS = {"To do": 1, "In progress": 2, "Completed": 3, "Stuck": 4, "On hold": 5, "Cancelled": 6}
ASKED = {"pageSize", "pageToken", "includeAllFields", "sortBy", "sortOrder", "updatedAt.gt", "includeArchive.eq",
         "projectId"}  # fmt: skip
SORTED = {"invoices": {"createdAt", "invoiceNumber"}}
BY_START = {"startDate", "dueDate", "startDateActual", "dueDateActual"}
EXTRA = {
    "startDateActual",
    "dueDateActual",
    "type",
    "phase",
    "projectFee",
    "csatEnabled",
}  # shown with includeAllFields

Thing = dict[str, Any]


class Rocketlane:
    """One account. `now` is its clock, which tests set."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.held: dict[str, dict[int, Thing]] = {name: {} for name in KEYS}
        self.parts: dict[tuple[int, str], list[Thing]] = {}
        self.tokens: dict[str, tuple[int, datetime]] = {}
        self.drifted: list[str] = []  # what was answered and is not as Rocketlane answers
        self.lost: set[str] = set()  # fields that the vendor has removed
        self.before: Callable[[Request], None] | None = None  # called with each request, before it is answered
        self._count = 200

    # --- what a firm does ---------------------------------------------------------------------------------

    def project(self, name: str, company: str, fee: int = 1000, **more: Any) -> Thing:
        told = {
            "projectName": name, "customer": {"companyId": 9, "companyName": company}, "currency": "USD",
            "owner": {"userId": 7, "firstName": "Ida", "lastName": "Berg", "emailId": "ida@studio.example"},
            "archived": False, "visibility": "EVERYONE", "projectFee": fee, "fields": [], **more,
        }  # fmt: skip
        return self._make("projects", told)

    def phase(self, project: Thing, name: str, start: str, due: str) -> Thing:
        return self._make(
            "phases",
            {"phaseName": name, "project": _about(project), "startDate": start, "dueDate": due, "private": False},
        )

    def task(self, project: Thing, name: str, due: str, is_milestone: bool = True, **fields: Any) -> Thing:
        told = {
            "taskName": name, "project": _about(project), "startDate": due, "dueDate": due, "archived": False,
            "private": False, "type": "MILESTONE" if is_milestone else "TASK", "csatEnabled": False,
            "fields": [
                {"fieldId": 300 + place, "fieldLabel": label, "fieldValue": value, "fieldValueLabel": str(value)}
                for place, (label, value) in enumerate(fields.items())
            ],
        }  # fmt: skip
        return self._make("tasks", told)

    def edit(self, thing: Thing, **fields: Any) -> None:
        thing.update(fields)
        self._touch(thing)

    def move(self, thing: Thing, label: str) -> None:
        """Gives it another status, by which its actual dates are kept."""
        thing["status"] = _status(label)
        today = f"{self.now:%Y-%m-%d}"
        if label in ("In progress", "Completed"):
            thing["startDateActual"] = thing.get("startDateActual") or today
        thing["dueDateActual"] = today if label == "Completed" else None
        self._touch(thing)

    def delete(self, thing: Thing) -> None:
        for name, key in KEYS.items():
            if self.held[name].get(thing.get(key, 0)) is thing:
                del self.held[name][thing[key]]

    def bill(
        self, project: Thing, *lines: tuple[str, float], tax: float = 0.0, status: str = "APPROVED", **more: Any
    ) -> Thing:
        net = sum(amount for _, amount in lines)
        told = {
            "invoiceNumber": f"RL-{len(self.held['invoices']) + 1:03d}", "dateOfIssue": f"{self.now:%Y-%m-%d}",
            "dueDate": f"{self.now + timedelta(days=30):%Y-%m-%d}", "currency": "USD", "amount": net + tax, "tax": tax,
            "subTotal": net, "amountOutstanding": net + tax, "amountPaid": 0.0, "amountWrittenOff": 0.0,
            "company": project["customer"], "projects": [_about(project)], "fields": [], **more,
        }  # fmt: skip
        invoice = self._make("invoices", told)
        invoice["status"] = status
        for words, amount in lines:
            self._count += 1
            line = {"invoiceLineItemId": self._count, "description": words, "quantity": 1, "unitPrice": amount,
                    "amount": amount, "sourceId": project["projectId"], "sourceType": "PROJECT"}  # fmt: skip
            self._part(invoice, "lines").append(line)
        return invoice

    def pay(self, invoice: Thing, amount: float, kind: str = "PAID") -> None:
        self._count += 1
        told = {"paymentId": self._count, "paymentRecordType": kind, "currency": invoice["currency"],
                "paymentDate": f"{self.now:%Y-%m-%d}", "amount": amount}  # fmt: skip
        self._part(invoice, "payments").append(told)
        invoice["amountPaid" if kind == "PAID" else "amountWrittenOff"] += amount
        invoice["amountOutstanding"] -= amount
        if invoice["amountOutstanding"] == 0:
            invoice["status"] = "PAID"
        self._touch(invoice)

    # --- what the API answers -----------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        if self.before:
            self.before(request)
        reply = self._answer(request)
        if reply.status == 200 and not self.lost:
            name = re.sub(r"/\d+/", "/{invoiceId}/", request.path.removeprefix("/api/1.0"))
            self.drifted += complaints("rocketlane", f"GET {name}", reply.body)
        date = {"Date": format_datetime(self.now.astimezone(UTC), usegmt=True)}
        return Reply(reply.body, reply.status, {**date, **reply.headers})

    def _answer(self, request: Request) -> Reply:
        if request.headers.get("api-key") != SECRET:
            return refusal(401, "NOT_AUTHORIZED", "Not Authorized: User not authorized")
        _, _, _, name, *rest = request.path.split("/")
        if name not in self.held or request.method != "GET":
            return refusal(404, "NOT_FOUND", "Not Found: Resource not found")
        if strange := set(request.queries) - ASKED:
            return refusal(400, "BAD_REQUEST", f"Bad Request: unknown parameter {min(strange)}")
        if rest:
            if int(rest[0]) not in self.held[name]:
                return refusal(404, "NOT_FOUND", "Not Found: Resource not found for given ID")
            return self._page(request, self.parts.get((int(rest[0]), rest[1]), []))
        query = request.query
        if name == "phases" and "projectId" not in query:
            return refusal(400, "BAD_REQUEST", "Bad Request: projectId is required")
        if name == "phases" and int(query["projectId"]) not in self.held["projects"]:
            return refusal(404, "NOT_FOUND", "Not Found: Resource not found for given ID")
        if query.get("sortBy") not in SORTED.get(name, BY_START) | {None}:
            return refusal(400, "BAD_REQUEST", f"Bad Request: cannot sort by {query['sortBy']}")
        return self._page(request, self._rows(name, query))

    def _rows(self, name: str, query: dict[str, str]) -> list[Thing]:
        rows = list(self.held[name].values())
        if name == "phases":
            rows = [one for one in rows if one["project"]["projectId"] == int(query["projectId"])]
        if query.get("includeArchive.eq") != "true":
            rows = [one for one in rows if not one.get("archived")]
        if "updatedAt.gt" in query:
            rows = [one for one in rows if one["updatedAt"] > int(query["updatedAt.gt"])]
        rows.sort(key=lambda one: str(one.get(query.get("sortBy", ""), "")))
        left_out = self.lost | (set() if query.get("includeAllFields") == "true" else EXTRA)
        return [{key: value for key, value in one.items() if key not in left_out} for one in rows]

    def _page(self, request: Request, rows: list[Thing]) -> Reply:
        """A page from where its token says; a token is but a place, and rows move."""
        size, token = min(int(request.query.get("pageSize", 100)), 100), request.query.get("pageToken")
        start, ends = self.tokens.get(token or "", (0, self.now))
        if token and (token not in self.tokens or ends < self.now):
            return refusal(400, "BAD_REQUEST", "Bad Request: Invalid page token")
        has_more = start + size < len(rows)
        pages: Thing = {"pageSize": size, "hasMore": has_more, "totalRecordCount": len(rows)}
        if has_more:
            pages["nextPageToken"] = f"59c12a42-{len(self.tokens)}"
            pages["nextPage"] = f"https://api.rocketlane.com{request.path}?pageToken={pages['nextPageToken']}"
            self.tokens[pages["nextPageToken"]] = (start + size, self.now + LASTS)
        return Reply({"data": copy.deepcopy(rows[start : start + size]), "pagination": pages})

    # --- how records are made -----------------------------------------------------------------------------

    def _make(self, name: str, told: Thing) -> Thing:
        self._count += 1
        made = {
            KEYS[name]: self._count,
            "createdAt": self.epoch_ms,
            "updatedAt": self.epoch_ms,
            "status": _status("To do"),
            **told,
        }
        self.held[name][self._count] = made
        return made

    def _part(self, invoice: Thing, name: str) -> list[Thing]:
        return self.parts.setdefault((invoice["invoiceId"], name), [])

    def _touch(self, thing: Thing) -> None:
        thing["updatedAt"] = self.epoch_ms

    @property
    def epoch_ms(self) -> int:
        return int(self.now.timestamp() * 1000)


def refusal(status: int, code: str, message: str, **headers: str) -> Reply:
    return Reply({"errors": [{"errorCode": code, "errorMessage": message}]}, status, headers)


def _status(label: str) -> Thing:
    return {"value": LABELS.get(label, 99), "label": label}


def _about(project: Thing) -> Thing:
    return {"projectId": project["projectId"], "projectName": project["projectName"]}
