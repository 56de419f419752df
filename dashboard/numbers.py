"""How a value is written for a reader: with its unit, rounded to what it can bear, absent as a dash.

The signs of numbers and the order of dates are the reader's (`use`), for the time of one run of a page. What stays
out: where values come from, and where on a page they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType

ABSENT = "–"
MINUS = "−"
Number = int | float | Decimal


@dataclass(frozen=True, slots=True)
class Format:
    """How a place writes numbers and dates; `shown` is an example of both."""

    code: str
    point: str
    group: str
    date: str  # for strftime
    table: str  # for a table's column, as moment.js writes it
    axis: str  # for a time axis, d3's
    shown: str


_NARROW = "\u202f"  # no-break, narrow: a number is never torn apart
FORMATS: Mapping[str, Format] = MappingProxyType({
    one.code: one
    for one in (
        Format("en", ".", ",", "%-d %b %Y", "D MMM YYYY", "%b<br>%Y", "1,234.5 · 30 Jun 2026"),
        Format("us", ".", ",", "%b %-d, %Y", "MMM D, YYYY", "%b<br>%Y", "1,234.5 · Jun 30, 2026"),
        Format("de", ",", ".", "%d.%m.%Y", "DD.MM.YYYY", "%m.%Y", "1.234,5 · 30.06.2026"),
        Format("fr", ",", _NARROW, "%d/%m/%Y", "DD/MM/YYYY", "%m/%Y", "1 234,5 · 30/06/2026"),
        Format("iso", ".", _NARROW, "%Y-%m-%d", "YYYY-MM-DD", "%Y-%m", "1 234.5 · 2026-06-30"),
    )
})  # fmt: skip
_LIKE_GERMAN = ("de", "nl", "es", "it", "da", "id", "tr", "pt-br", "el", "nb", "ro", "hr", "sl")
_LIKE_FRENCH = ("fr", "pt", "ru", "uk", "pl", "cs", "bg", "fi", "hu", "sk")
_current: ContextVar[Format] = ContextVar("format", default=FORMATS["en"])


def use(code: str) -> None:
    """Sets the format for the rest of this run; an unknown one changes nothing."""
    if code in FORMATS:
        _current.set(FORMATS[code])


def current() -> Format:
    return _current.get()


def of_locale(locale: str | None) -> str:
    """The format of a browser's locale, such as "de-AT"."""
    spoken = (locale or "en").lower()
    if spoken in ("en-us", "en-ca"):
        return "us"
    if spoken.startswith("sv"):
        return "iso"
    for code, alike in (("de", _LIKE_GERMAN), ("fr", _LIKE_FRENCH)):
        if spoken in alike or (spoken.split("-")[0] in alike and spoken != "pt-br"):
            return code
    return "en"


def plain(value: Number | None, unit: str) -> str:
    """The number alone: `plain(12.345, "days")` is "12.3"; money over 10 000 is shortened ("1.24 M")."""
    if value is None:
        return ABSENT
    if unit == "money":
        return _short(float(value))
    if unit in ("count", "hours"):
        return grouped(round(value), 0)
    if unit == "days":
        return _days(float(value))
    return grouped(float(value), 2 if unit in ("ratio", "days per day") else 1)


def shown_unit(unit: str, currency: str) -> str:
    """What stands beside the number: the currency for money, nothing for a count."""
    return {"money": currency, "amount-days": f"{currency}-days", "count": "", "ratio": ""}.get(unit, unit)


def worded(value: Number | None, unit: str, currency: str) -> str:
    """Number and unit in one text: "12.3 days", "48 %", "USD 1.24 M"."""
    number = plain(value, unit)
    beside = shown_unit(unit, currency)
    if value is None or not beside:
        return number
    return f"{currency} {number}" if unit == "money" else f"{number} {beside}"


def signed(value: Number, unit: str) -> str:
    """A change with its sign: "+3.1", "−12 k", "±0"."""
    number = plain(abs(float(value)), unit)
    if not any(digit in number for digit in "123456789"):
        return f"±{number}"
    return f"{'+' if value > 0 else MINUS}{number}"


def grouped(value: float, places: int) -> str:
    """A number in the reader's signs, with so many places."""
    form = current()
    text = f"{abs(value):,.{places}f}"
    text = text.replace(",", "\0").replace(".", form.point).replace("\0", form.group)
    return f"{MINUS}{text}" if value < 0 and any(digit in text for digit in "123456789") else text


def instant(value: datetime | None) -> str:
    """A UTC instant to the minute; a value without a zone is taken as UTC."""
    if value is None:
        return ABSENT
    return f"{day(value)}, {_utc(value):%H:%M} UTC"


def day(value: date | datetime | None) -> str:
    if value is None:
        return ABSENT
    return f"{_utc(value) if isinstance(value, datetime) else value:{current().date}}"


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


def whose(client: str | None, project: str | None) -> str:
    """A project and whose it is, once: many a project is named for its client."""
    if client and project and client in project:
        return project
    return f"{client or 'no client'} · {project or 'no project'}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`plural(1, "gate")` is "1 gate"."""
    return f"{grouped(count, 0)} {one if count == 1 else many or one + 's'}"


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _days(value: float) -> str:
    return grouped(value, 0 if abs(value) >= 100 else 1)


def _short(value: float) -> str:
    for size, places, mark in ((1e9, 2, " bn"), (1e6, 2, " M"), (1e4, 0, " k")):
        if abs(value) >= size:
            return grouped(value / (1e3 if mark == " k" else size), places) + mark
    return grouped(value, 0)
