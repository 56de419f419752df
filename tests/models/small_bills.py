"""Rows of invoices, lines and payments for small worlds, each alike but for what a test says."""

from __future__ import annotations

from typing import Any

from small_worlds import events

APPROVED = events(
    "g1",
    ("started", "2026-01-03T12:00:00Z"),
    ("submitted", "2026-01-05T12:00:00Z"),
    ("approved", "2026-01-09T12:00:00Z"),
)


def invoice(key: str = "i1", **more: Any) -> dict[str, Any]:
    return {
        "source_key": key,
        "client": "c1",
        "project": "p1",
        "number": key.upper(),
        "status": "open",
        "currency": "USD",
        "issued_at": "2026-01-12T12:00:00Z",
        "due_on": "2026-02-11",
        "total": "400.00",
        "recorded_at": "2026-01-12T12:00:00Z",
        **more,
    }


def line(key: str, **more: Any) -> dict[str, Any]:
    return {"source_key": key, "invoice": "i1", "milestone": "g1", "amount": "400.00", "link_method": "native", **more}


def payment(key: str, at: str, amount: str, **more: Any) -> dict[str, Any]:
    return {"source_key": key, "invoice": "i1", "received_at": at, "amount": amount, "currency": "USD", **more}
