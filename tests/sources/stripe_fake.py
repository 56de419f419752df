"""A Stripe account as its API shows it: keyset lists newest first, events kept for 30 days, minor units, epochs.

What a firm does in Stripe are methods here (`bill`, `pay`, `credit` …); each moves the objects as Stripe would and
writes the event that tells of it. Whatever is answered is held against Stripe's own fixtures (`complaints`). What stays
out: writing over HTTP, and everything an invoice is not made of.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from loopback import Reply, Request
from vendor_schemas import complaints

VERSION = "2025-11-17.clover"
SECRET = "rk_live_sesame"
KEPT = timedelta(days=30)
PREFIX = {"customers": "cus", "invoices": "in", "credit_notes": "cn", "invoice_payments": "inpay", "refunds": "re",
          "quotes": "qt", "events": "evt"}  # fmt: skip
ASKED = {"limit", "starting_after", "created[gte]", "type", "types[]", "invoice"}
SHOWN = 10  # lines of an invoice that stand in it

Object = dict[str, Any]


class Stripe:
    """One account. `now` is its clock, which tests set; ids count up, so that they sort as they were made."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.held: dict[str, dict[str, Object]] = {name: {} for name in PREFIX}
        self.gone: dict[str, Object] = {}  # customers that were deleted; they still answer by their key
        self.drifted: list[str] = []  # what was answered and is not as Stripe answers
        self.forbidden: set[str] = set()  # lists that the key may not read
        self.lost: dict[str, set[str]] = {}  # fields that the vendor has removed, by list
        self.before: Any = None  # called with each request, before it is answered: the account moves while it is read
        self._count = 0

    # --- what a firm does ---------------------------------------------------------------------------------

    def customer(self, name: str, **more: Any) -> Object:
        address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
        told = {"name": name, "email": None, "currency": "usd", "description": None, "phone": None, "balance": 0,
                "delinquent": False, "address": {**address, "country": more.pop("country", None)}, **more}  # fmt: skip
        return self._make("customers", "customer", told)

    def edit(self, one: Object, **fields: Any) -> None:
        one.update(fields)
        self._tell(f"{one['object']}.updated", one)

    def delete(self, one: Object) -> None:
        """A draft of an invoice, or a customer."""
        name = f"{one['object']}s"
        del self.held[name][one["id"]]
        if name == "customers":
            self.gone[one["id"]] = one
        self._tell(f"{one['object']}.deleted", one)

    def draft(self, customer: Object, lines: Iterable[Any], currency: str = "usd", **more: Any) -> Object:
        """A draft of lines, each an amount in minor units or a whole line."""
        key = self._key("invoices")
        made = [self._line(key, currency, told) for told in lines]
        discounts = sum(_reduced(line) for line in made)
        taxes = [tax for line in made for tax in line["taxes"] or []]
        gross = sum(line["amount"] for line in made)
        within = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
        added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
        total = gross - discounts + added
        invoice = {
            "amount_due": total, "amount_overpaid": 0, "amount_paid": 0, "amount_remaining": total,
            "billing_reason": "manual", "collection_method": "send_invoice", "currency": currency,
            "customer": customer["id"], "customer_email": customer["email"], "customer_name": customer["name"],
            "description": None, "due_date": None, "effective_at": None, "ending_balance": None,
            "hosted_invoice_url": None, "lines": made, "number": None, "parent": None,
            "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0, "starting_balance": 0,
            "status": "draft", "subtotal": gross, "total": total, "total_excluding_tax": total - within - added,
            "total_taxes": taxes or None,
            "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
            **more,
        }  # fmt: skip
        return self._make("invoices", "invoice", invoice, key)

    def finalize(self, invoice: Object, balance: int = 0, days: int = 30) -> None:
        """Issues a draft. `balance` is what the customer has with us (negative), used as far as it goes."""
        used = min(-balance, invoice["total"])
        number = f"INV-{sum(1 for one in self.held['invoices'].values() if one['number']) + 1:04d}"
        invoice["status_transitions"]["finalized_at"] = self.epoch
        invoice.update(
            number=number, status="open", effective_at=invoice["effective_at"] or self.epoch,
            due_date=self.epoch + days * 86_400, starting_balance=balance, ending_balance=balance + used,
            amount_due=invoice["total"] - used, amount_remaining=invoice["total"] - used,
            hosted_invoice_url=f"https://invoice.stripe.com/i/{invoice['id']}",
        )  # fmt: skip
        self._tell("invoice.finalized", invoice)

    def bill(self, customer: Object, *lines: Any, **more: Any) -> Object:
        invoice = self.draft(customer, lines, **more)
        self.finalize(invoice)
        return invoice

    def pay(self, invoice: Object, amount: int | None = None) -> Object:
        amount = invoice["amount_remaining"] if amount is None else amount
        told = {
            "amount_paid": amount, "amount_requested": amount, "currency": invoice["currency"],
            "invoice": invoice["id"], "is_default": True, "status": "paid",
            "payment": {"type": "payment_intent", "payment_intent": f"pi_{self._count}"},
            "status_transitions": {"canceled_at": None, "paid_at": self.epoch},
        }  # fmt: skip
        payment = self._make("invoice_payments", "invoice_payment", told, event="invoice_payment.paid")
        invoice["amount_paid"] += amount
        self._settle(invoice, amount)
        return payment

    def pay_elsewhere(self, invoice: Object) -> None:
        """Marks it paid without a payment of Stripe's own."""
        self._settle(invoice, invoice["amount_remaining"])

    def void(self, invoice: Object) -> None:
        invoice["status_transitions"]["voided_at"] = self.epoch
        invoice.update(status="void", amount_remaining=0)
        self._tell("invoice.voided", invoice)

    def give_up(self, invoice: Object) -> None:
        invoice["status_transitions"]["marked_uncollectible_at"] = self.epoch
        invoice["status"] = "uncollectible"
        self._tell("invoice.marked_uncollectible", invoice)

    def refund(self, payment: Object, amount: int, status: str = "succeeded") -> Object:
        told = {"amount": amount, "charge": None, "currency": payment["currency"], "reason": None, "status": status,
                "payment_intent": payment["payment"]["payment_intent"]}  # fmt: skip
        return self._make("refunds", "refund", told)

    def credit(self, invoice: Object, line: Object, amount: int, refund: Object | None = None) -> Object:
        """Credits part of a line: off what is open first; the rest is refunded, or left to the customer's balance."""
        before = min(amount, invoice["amount_remaining"])
        told = {
            "amount": amount, "currency": invoice["currency"], "customer": invoice["customer"],
            "customer_balance_transaction": None, "effective_at": self.epoch, "invoice": invoice["id"],
            "memo": None, "number": f"{invoice['number']}-CN-01", "out_of_band_amount": None,
            "pre_payment_amount": before, "post_payment_amount": amount - before, "reason": None,
            "refunds": [{"amount_refunded": refund["amount"], "refund": refund["id"], "type": "refund"}] if refund else [],
            "status": "issued", "subtotal": amount, "total": amount, "total_excluding_tax": amount,
            "type": "pre_payment" if before else "post_payment", "voided_at": None,
            "lines": [{
                "id": f"cnli_{self._count}", "object": "credit_note_line_item", "amount": amount,
                "description": line["description"], "discount_amounts": [], "invoice_line_item": line["id"],
                "livemode": True, "pretax_credit_amounts": [], "quantity": 1, "taxes": None,
                "type": "invoice_line_item",
            }],
        }  # fmt: skip
        note = self._make("credit_notes", "credit_note", told)
        invoice["pre_payment_credit_notes_amount"] += before
        invoice["post_payment_credit_notes_amount"] += amount - before
        invoice["amount_due"] -= before
        self._settle(invoice, before, event="invoice.updated")
        return note

    def quote(self, customer: Object, amount: int, tax: int = 0, **more: Any) -> Object:
        told = {
            "amount_subtotal": amount, "amount_total": amount + tax, "collection_method": "send_invoice",
            "currency": "usd", "customer": customer["id"], "description": None, "expires_at": self.epoch + 86_400 * 30,
            "from_quote": None, "header": None, "invoice": None, "number": None, "status": "draft",
            "status_transitions": dict.fromkeys(("accepted_at", "canceled_at", "finalized_at")),
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": tax}, **more,
        }  # fmt: skip
        return self._make("quotes", "quote", told)

    def move_quote(self, quote: Object, status: str) -> None:
        word = {"open": "finalized", "accepted": "accepted", "canceled": "canceled"}[status]
        quote["status_transitions"][f"{word}_at"] = self.epoch
        quote["status"] = status
        if status == "open":
            quote["number"] = f"QT-{quote['id']}-1"
        self._tell(f"quote.{word}", quote)

    @property
    def epoch(self) -> int:
        return int(self.now.timestamp())

    # --- what the API answers -----------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        if self.before:
            self.before(request)
        reply = self._answer(request)
        if reply.status == 200:
            name = re.sub(r"/(cus|in|cn|inpay|re|qt)_\w+", "/{id}", request.path)
            if not self.lost:
                self.drifted += complaints("stripe", f"GET {name}", reply.body)
        return Reply(
            reply.body, reply.status, {"Date": format_datetime(self.now.astimezone(UTC), usegmt=True), **reply.headers}
        )

    def _answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return refusal(401, "Invalid API Key provided: rk_live_******same")
        if request.headers.get("stripe-version") != VERSION:
            return refusal(400, "Invalid Stripe API version", code="invalid_api_version")
        _, version, name, *rest = request.path.split("/")
        if request.method != "GET" or version != "v1" or name not in self.held:
            return refusal(404, f"Unrecognized request URL ({request.method}: {request.path}).")
        if name in self.forbidden:
            return refusal(403, f"The provided key 'rk_live_***' does not have the required permissions for {name}.")
        if strange := set(request.queries) - ASKED:
            return refusal(400, f"Received unknown parameter: {min(strange)}", param=min(strange))
        if not rest:
            return self._list(request, self._rows(name, request))
        one = self.held[name].get(rest[0])
        if one is None and rest[0] in self.gone:
            return Reply({"id": rest[0], "object": "customer", "deleted": True})
        if one is None:
            return missing(rest[0], "id", 404)
        return self._list(request, one["lines"]) if rest[1:] == ["lines"] else Reply(self._shown(name, one))

    def _rows(self, name: str, request: Request) -> list[Object]:
        rows = sorted(self.held[name].values(), key=lambda one: (one["created"], one["id"]), reverse=True)
        since = int(request.query.get("created[gte]", 0))
        wanted = [*request.queries.get("type", []), *request.queries.get("types[]", [])]
        if name == "events":
            since = max(since, int((self.now - KEPT).timestamp()))
        return [
            self._shown(name, one)
            for one in rows
            if one["created"] >= since and (not wanted or any(_is_type(one["type"], told) for told in wanted))
            and request.query.get("invoice") in (None, one.get("invoice"))
        ]  # fmt: skip

    def _list(self, request: Request, rows: list[Object]) -> Reply:
        limit = int(request.query.get("limit", 10))
        if not 1 <= limit <= 100:
            return refusal(400, f"Invalid limit: {limit}", param="limit")
        after = request.query.get("starting_after")
        keys = [one["id"] for one in rows]
        if after is not None and after not in keys:
            return missing(after, "starting_after", 400)
        start = keys.index(after) + 1 if after is not None else 0
        page = copy.deepcopy(rows[start : start + limit])
        return Reply({"object": "list", "data": page, "has_more": start + limit < len(rows), "url": request.path})

    def _shown(self, name: str, one: Object) -> Object:
        shown = {key: value for key, value in one.items() if key not in self.lost.get(name, ())}
        if "lines" in shown:
            url = f"/v1/{name}/{one['id']}/lines"
            lines = one["lines"]
            shown["lines"] = {"object": "list", "data": lines[:SHOWN], "has_more": len(lines) > SHOWN, "url": url}
        return copy.deepcopy(shown)

    # --- how objects are made -----------------------------------------------------------------------------

    def _key(self, name: str) -> str:
        self._count += 1
        return f"{PREFIX[name]}_{self._count:05d}"

    def _make(self, name: str, word: str, told: Object, key: str | None = None, event: str | None = None) -> Object:
        metadata = {} if name == "invoice_payments" else {"metadata": told.pop("metadata", {})}
        livemode = {} if name == "refunds" else {"livemode": True}
        made = {"id": key or self._key(name), "object": word, "created": self.epoch, **livemode, **metadata, **told}
        self.held[name][made["id"]] = made
        self._tell(event or f"{word}.created", made)
        return made

    def _line(self, invoice: str, currency: str, told: Any) -> Object:
        self._count += 1
        told = told if isinstance(told, dict) else {"amount": told}
        return {
            "id": f"il_{self._count:05d}", "object": "line_item", "currency": currency, "description": "Work",
            "discount_amounts": [], "invoice": invoice, "livemode": True, "metadata": {}, "parent": None,
            "period": {"start": self.epoch, "end": self.epoch}, "pretax_credit_amounts": None, "quantity": 1,
            "taxes": None, **told,
        }  # fmt: skip

    def _settle(self, invoice: Object, amount: int, event: str | None = None) -> None:
        invoice["amount_remaining"] -= amount
        if invoice["amount_remaining"] <= 0 and invoice["status"] == "open":
            invoice["status"] = "paid"
            invoice["status_transitions"]["paid_at"] = self.epoch
            event = "invoice.paid"
        self._tell(event or "invoice.updated", invoice)

    def _tell(self, kind: str, one: Object) -> None:
        """Writes an event. It shows the object as it is now, in the account's own version of the API: an older one."""
        self._count += 1
        name = next((name for name in PREFIX if one["object"] == name[:-1]), "")
        shown = self._shown(name, one)
        shown.pop("parent", None)
        event = {
            "id": f"evt_{self._count:05d}", "object": "event", "api_version": "2020-08-27", "created": self.epoch,
            "data": {"object": shown}, "livemode": True, "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None}, "type": kind,
        }  # fmt: skip
        self.held["events"][event["id"]] = event


def refusal(status: int, message: str, **more: Any) -> Reply:
    return Reply({"error": {"type": "invalid_request_error", "message": message, **more}}, status)


def missing(key: str, param: str, status: int) -> Reply:
    return refusal(status, f"No such object: '{key}'", code="resource_missing", param=param)


def _is_type(kind: str, wanted: str) -> bool:
    return kind.startswith(wanted[:-1]) if wanted.endswith("*") else kind == wanted


def _reduced(line: Object) -> int:
    return sum(one["amount"] for one in line["pretax_credit_amounts"] or line["discount_amounts"])
