"""A Xero organisation as its Accounting API shows it: numbered pages, /Date()/, If-Modified-Since, tokens that end.

What a firm does in Xero are methods here (`bill`, `approve`, `send`, `pay` …); each moves the documents as Xero would,
dates their change and writes their history. Whatever is answered is held against Xero's own OpenAPI file
(`drifted`). What stays out: writing over HTTP, bills to pay, and reports.
"""

from __future__ import annotations

import base64
import copy
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

from loopback import Reply, Request
from vendor_schemas import complaints

CLIENT, SECRET, TENANT = "1F2E3D", "x-sesame", "70784a63-d24b-46a9-a4db-0e70a274b056"
LASTS = timedelta(minutes=30)
KEYS = {"Contacts": "ContactID", "Invoices": "InvoiceID", "CreditNotes": "CreditNoteID", "Payments": "PaymentID",
        "Quotes": "QuoteID"}  # fmt: skip
_NAME = re.compile(r"/[0-9a-f-]{36}")

Document = dict[str, Any]


class Xero:
    """One organisation. `now` is its clock, which tests set; keys do not sort as they were made."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.held: dict[str, dict[str, Document]] = {name: {} for name in KEYS}
        self.history: dict[str, list[Document]] = {}
        self.drifted: list[str] = []  # what was answered and is not as Xero answers
        self.lost: set[str] = set()  # fields that the vendor has removed
        self.tokens: dict[str, datetime] = {}
        self.left = {"X-MinLimit-Remaining": 60, "X-DayLimit-Remaining": 5000, "X-AppMinLimit-Remaining": 10_000}
        self.is_shut = False  # to the scope of transactions
        self.before: Any = None  # called with each request, before it is answered: the books move while they are read
        self._count = 0

    # --- what a firm does ---------------------------------------------------------------------------------

    def contact(self, name: str, is_customer: bool = True, is_supplier: bool = False) -> Document:
        told = {"Name": name, "ContactStatus": "ACTIVE", "IsCustomer": is_customer, "IsSupplier": is_supplier,
                "Addresses": [], "Phones": [], "ContactGroups": [], "ContactPersons": [], "HasAttachments": False,
                "HasValidationErrors": False}  # fmt: skip
        return self._make("Contacts", told)

    def merge(self, gone: Document, into: Document) -> None:
        gone.update(ContactStatus="ARCHIVED", MergedToContactID=into["ContactID"])
        self._touch(gone)

    def draft(
        self, contact: Document, lines: Iterable[Document], day: str, kind: str = "Exclusive", **more: Any
    ) -> Document:
        made = [self._line(told) for told in lines]
        net, tax = _sums(made, kind)
        told = {
            "Type": "ACCREC", "Contact": _about(contact), "LineItems": made, "Date": at_midnight(day), "Status": "DRAFT",
            "LineAmountTypes": kind, "SubTotal": net, "TotalTax": tax, "Total": net + tax, "CurrencyCode": "NZD",
            "CurrencyRate": 1.0, "AmountDue": net + tax, "AmountPaid": 0.0, "AmountCredited": 0.0, "Payments": [],
            "CreditNotes": [], "Prepayments": [], "Overpayments": [], "HasAttachments": False, "HasErrors": False,
            "IsDiscounted": False, "SentToContact": False, **more,
        }  # fmt: skip
        invoice = self._make("Invoices", told)
        self._note(invoice, "Created", f"INV to {contact['Name']}")
        return invoice

    def approve(self, document: Document, due: str | None = None) -> None:
        document["Status"] = "AUTHORISED"
        if document.get("Type") == "ACCREC":
            document["InvoiceNumber"] = (
                f"INV-{1 + sum(1 for one in self.held['Invoices'].values() if 'InvoiceNumber' in one):04d}"
            )
        if due:
            document["DueDate"] = at_midnight(due)
        self._note(document, "Approved", "By Ida")

    def bill(
        self, contact: Document, *lines: Document, day: str = "2026-03-02", due: str = "2026-04-01", **more: Any
    ) -> Document:
        invoice = self.draft(contact, lines, day, **more)
        self.approve(invoice, due)
        return invoice

    def send(self, invoice: Document) -> None:
        invoice["SentToContact"] = True
        self._note(invoice, "Invoice sent", "This invoice has been sent to ann@aster.example")

    def move(self, document: Document, status: str, change: str) -> None:
        document["Status"] = status
        self._note(document, change, "")

    def edit(self, document: Document, **fields: Any) -> None:
        document.update(fields)
        self._note(document, "Edited", "")

    def pay(self, document: Document, amount: float, day: str) -> Document:
        """Money for an invoice, or back for a credit note."""
        is_note = "CreditNoteID" in document
        key = document["CreditNoteID"] if is_note else document["InvoiceID"]
        # Xero shows a credit note that is paid back as an invoice of another type
        about = {"Type": document["Type"], "InvoiceID": key, "Contact": document["Contact"], "LineItems": [],
                 "CurrencyCode": document["CurrencyCode"], "HasErrors": False}  # fmt: skip
        told = {"Date": at_midnight(day), "Amount": amount, "BankAmount": amount, "Reference": "", "CurrencyRate": 1.0,
                "PaymentType": "ARCREDITPAYMENT" if is_note else "ACCRECPAYMENT", "Status": "AUTHORISED",
                "HasAccount": True, "IsReconciled": False, "HasValidationErrors": False, "Invoice": about}  # fmt: skip
        payment = self._make("Payments", told)
        self._settle(document, amount)
        return payment

    def credit(self, contact: Document, *lines: Document, day: str, **more: Any) -> Document:
        made = [self._line(told) for told in lines]
        net, tax = _sums(made, "Exclusive")
        told = {
            "Type": "ACCRECCREDIT", "Contact": _about(contact), "LineItems": made, "Date": at_midnight(day),
            "Status": "AUTHORISED", "LineAmountTypes": "Exclusive", "SubTotal": net, "TotalTax": tax,
            "Total": net + tax, "CurrencyCode": "NZD", "CurrencyRate": 1.0, "RemainingCredit": net + tax,
            "Allocations": [], "Payments": [], "HasAttachments": False, "HasErrors": False,
            "CreditNoteNumber": f"CN-{len(self.held['CreditNotes']) + 1:04d}", **more,
        }  # fmt: skip
        note = self._make("CreditNotes", told)
        self._note(note, "Approved", "")
        return note

    def allocate(self, note: Document, invoice: Document, amount: float, day: str) -> None:
        about = {"InvoiceID": invoice["InvoiceID"], "InvoiceNumber": invoice["InvoiceNumber"]}
        allocation = {"AllocationID": self._key(), "Amount": amount, "Date": at_midnight(day), "Invoice": about}
        note["Allocations"].append(allocation)
        note["RemainingCredit"] -= amount
        invoice["CreditNotes"].append({"CreditNoteID": note["CreditNoteID"], "AppliedAmount": amount})
        invoice["AmountCredited"] += amount
        self._settle(note, 0)
        self._settle(invoice, amount)

    def prepaid(self, invoice: Document, amount: float, day: str) -> None:
        """Money that came before its invoice, used for it now."""
        told = {"PrepaymentID": self._key(), "Type": "RECEIVE-PREPAYMENT", "Date": at_midnight(day), "Status": "PAID",
                "Total": amount, "AppliedAmount": amount, "CurrencyCode": "NZD"}  # fmt: skip
        invoice["Prepayments"].append(told)
        self._settle(invoice, amount)

    def quote(self, contact: Document, *lines: Document, day: str, **more: Any) -> Document:
        made = [self._line(told) for told in lines]
        net, tax = _sums(made, "Exclusive")
        told = {"QuoteNumber": f"QU-{len(self.held['Quotes']) + 1:04d}", "Contact": _about(contact), "LineItems": made,
                "Date": at_midnight(day), "Status": "DRAFT", "CurrencyCode": "NZD", "CurrencyRate": 1.0,
                "SubTotal": net, "TotalTax": tax, "Total": net + tax, "LineAmountTypes": "EXCLUSIVE", **more}  # fmt: skip
        quote = self._make("Quotes", told)
        self._note(quote, "Created", "")
        return quote

    # --- what the API answers -----------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        if self.before:
            self.before(request)
        reply = self._token(request) if request.path == "/connect/token" else self._answer(request)
        if reply.status == 200 and request.path != "/connect/token" and not self.lost:
            name = request.path.removeprefix("/api.xro/2.0")
            group = name.split("/")[1]
            shown = _NAME.sub(f"/{{{KEYS.get(group, '')}}}", name)
            self.drifted += complaints("xero", f"GET {shown}", reply.body)
        date = {"Date": format_datetime(self.now.astimezone(UTC), usegmt=True)}
        left = {name: str(number) for name, number in self.left.items()}
        return Reply(reply.body, reply.status, {**date, **left, **reply.headers})

    def _token(self, request: Request) -> Reply:
        told = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        proof = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.method != "POST" or request.headers.get("authorization") != f"Basic {proof}":
            return Reply({"error": "invalid_client"}, 400)
        if told.get("grant_type") != "client_credentials" or "accounting.transactions.read" not in told.get(
            "scope", ""
        ):
            return Reply({"error": "invalid_scope"}, 400)
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = self.now + LASTS
        seconds = int(LASTS.total_seconds())
        return Reply({"access_token": token, "expires_in": seconds, "token_type": "Bearer", "scope": told["scope"]})

    def _answer(self, request: Request) -> Reply:
        ends = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if ends is None or ends <= self.now:
            return Reply(
                {"Type": None, "Title": "Unauthorized", "Status": 401, "Detail": "TokenExpired: token expired"}, 401
            )
        if request.headers.get("xero-tenant-id", TENANT) != TENANT:
            return Reply({"Title": "Forbidden", "Status": 403, "Detail": "AuthenticationUnsuccessful"}, 403)
        if self.is_shut and not request.path.endswith("/Contacts"):
            return Reply({"Title": "Forbidden", "Status": 403, "Detail": "AuthorizationUnsuccessful"}, 403)
        if self.left["X-MinLimit-Remaining"] == 0:
            self.left["X-MinLimit-Remaining"] = 60  # a minute later
            return Reply("", 429, {"Retry-After": "1", "X-Rate-Limit-Problem": "minute"})
        for name in self.left:
            self.left[name] -= 1
        _, _, _, name, *rest = request.path.split("/")
        if name == "Organisation":
            return self._page(
                {"Organisations": [{"OrganisationID": self._key(), "Name": "Studio", "BaseCurrency": "NZD"}]}
            )
        if name not in self.held or request.method != "GET":
            return Reply({"Title": "Not Found", "Status": 404}, 404)
        if len(rest) == 2 and rest[1] == "History":
            return self._page({"HistoryRecords": copy.deepcopy(self.history.get(rest[0], [])[::-1])})
        return self._list(name, request)

    def _list(self, name: str, request: Request) -> Reply:
        query = request.query
        rows = [one for one in self.held[name].values() if _holds(query.get("where"), one)]
        if name == "Contacts" and query.get("includeArchived") != "true":
            rows = [one for one in rows if one["ContactStatus"] == "ACTIVE"]
        if since := request.headers.get("if-modified-since"):
            at = datetime.fromisoformat(since).replace(tzinfo=UTC)
            rows = [one for one in rows if moment(one["UpdatedDateUTC"]) >= at]
        by, _ = query.get("order", f"{KEYS[name]} ASC").split()
        rows.sort(key=lambda one: str(one[by]))
        size = 100 if name == "Quotes" else min(int(query.get("pageSize", 100)), 1000)
        page = int(query["page"])
        shown = [self._shown(name, one, query) for one in rows[(page - 1) * size : page * size]]
        pages = {"page": page, "pageSize": size, "pageCount": -(-len(rows) // size), "itemCount": len(rows)}
        return self._page({name: shown} if name == "Quotes" else {"pagination": pages, name: shown})

    def _shown(self, name: str, one: Document, query: dict[str, str]) -> Document:
        left_out = {"LineItems", "Payments", "CreditNotes"} if query.get("summaryOnly") == "true" else set()
        if "page" not in query:
            left_out |= {"LineItems", "MergedToContactID"}
        return copy.deepcopy({key: value for key, value in one.items() if key not in left_out | self.lost})

    def _page(self, body: Document) -> Reply:
        head = {"Id": str(uuid.uuid4()), "Status": "OK", "ProviderName": "Milepost", "DateTimeUTC": written(self.now)}
        return Reply({**head, **body})

    # --- how documents are made ---------------------------------------------------------------------------

    def _key(self) -> str:
        self._count += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, str(self._count)))

    def _make(self, name: str, told: Document) -> Document:
        made = {KEYS[name]: self._key(), **told, "UpdatedDateUTC": written(self.now)}
        self.held[name][made[KEYS[name]]] = made
        return made

    def _line(self, told: Document) -> Document:
        line = {"LineItemID": self._key(), "Description": "Work", "Quantity": 1.0, "TaxType": "OUTPUT2",
                "TaxAmount": 0.0, "Tracking": [], **told}  # fmt: skip
        return {**line, "UnitAmount": line["LineAmount"]}

    def _settle(self, document: Document, amount: float) -> None:
        if "CreditNoteID" in document:
            document["RemainingCredit"] -= amount
            is_paid = document["RemainingCredit"] <= 0
        else:
            document["AmountDue"] -= amount
            document["AmountPaid"] += amount
            is_paid = document["AmountDue"] <= 0
        if is_paid and document["Status"] == "AUTHORISED":
            document["Status"] = "PAID"
        self._note(document, "Paid", "")

    def _note(self, document: Document, change: str, details: str) -> None:
        key = document[next(name for name in KEYS.values() if name in document)]
        told = {"Changes": change, "DateUTC": written(self.now), "User": "Ida", "Details": details}
        self.history.setdefault(key, []).append(told)
        self._touch(document)

    def _touch(self, document: Document) -> None:
        document["UpdatedDateUTC"] = written(self.now)


def line(amount: float, tax: float = 0.0, description: str = "Work", **tracking: str) -> Document:
    tags = [{"Name": name.replace("_", " "), "Option": option} for name, option in tracking.items()]
    return {"LineAmount": amount, "TaxAmount": tax, "Description": description, "Tracking": tags}


def written(instant: datetime) -> str:
    return f"/Date({int(instant.timestamp() * 1000)}+0000)/"


def moment(told: str) -> datetime:
    return datetime.fromtimestamp(int(re.findall(r"-?\d+", told)[0]) / 1000, UTC)


def at_midnight(day: str) -> str:
    return written(datetime.fromisoformat(day).replace(tzinfo=UTC))


def _about(contact: Document) -> Document:
    return {"ContactID": contact["ContactID"], "Name": contact["Name"]}


def _sums(lines: list[Document], kind: str) -> tuple[float, float]:
    gross, tax = sum(one["LineAmount"] for one in lines), sum(one["TaxAmount"] for one in lines)
    return (round(gross - tax, 2) if kind == "Inclusive" else gross), tax


def _holds(where: str | None, one: Document) -> bool:
    if not where:
        return True
    told = [re.fullmatch(r'(\w+)=="(\w+)"', part) for part in where.split(" OR ")]
    return any(found and one.get(found[1]) == found[2] for found in told)
