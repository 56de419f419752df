"""How a value is written for a reader: with its unit, rounded to what it can bear, absent as a dash.

What stays out: where values come from, and where on a page they stand.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

ABSENT = "–"
Number = int | float | Decimal


def plain(value: Number | None, unit: str) -> str:
    """The number alone: `plain(12.345, "days")` is "12.3"; money over 10 000 is shortened ("1.24 M")."""
    if value is None:
        return ABSENT
    if unit == "money":
        return _short(float(value))
    if unit == "count":
        return f"{round(value):,}"
    return _days(float(value)) if unit == "days" else f"{float(value):,.1f}"


def shown_unit(unit: str, currency: str) -> str:
    """What stands beside the number: the currency for money, nothing for a count."""
    return {"money": currency, "count": ""}.get(unit, unit)


def worded(value: Number | None, unit: str, currency: str) -> str:
    """Number and unit in one text: "12.3 days", "48 %", "USD 1.24 M"."""
    number = plain(value, unit)
    if value is None or unit == "count":
        return number
    return f"{currency} {number}" if unit == "money" else f"{number} {shown_unit(unit, currency)}"


def instant(value: datetime | None) -> str:
    """A UTC instant to the minute; a value without a zone is taken as UTC."""
    if value is None:
        return ABSENT
    return f"{_utc(value):%-d %b %Y, %H:%M} UTC"


def day(value: date | datetime | None) -> str:
    if value is None:
        return ABSENT
    return f"{_utc(value) if isinstance(value, datetime) else value:%-d %b %Y}"


def interval(low: Number | None, high: Number | None, unit: str) -> str:
    """A 95 % interval in words: "95 % interval 12.0–19.4", "95 % interval from 12.0 on"; "" where it is not known."""
    if low is None:
        return ""
    if high is None:
        return f"95 % interval from {plain(low, unit)} on"
    return f"95 % interval {plain(low, unit)}–{plain(high, unit)}"


def absence(note: str | None) -> str:
    """Why there is no number: a P50 that was not reached says more than how few rows a P85 had."""
    notes = (note or "no rows").split("; ")
    return next((one for one in notes if one == "P50 not reached"), notes[0])


def plural(count: int, one: str, many: str | None = None) -> str:
    """`plural(1, "gate")` is "1 gate"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _days(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"


def _short(value: float) -> str:
    for size, mark in ((1e9, " bn"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            scaled = value / (1e3 if mark == " k" else size)
            return f"{scaled:,.2f}{mark}" if mark != " k" else f"{scaled:,.0f}{mark}"
    return f"{value:,.0f}"
