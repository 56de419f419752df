"""The filters every page shares: firm, client, playbook, manager, period, day; in the link and in questions.

Nothing here knows Streamlit. Links hold short codes, never a name or a tool's key, and only values that the
snapshot offers survive reading one: anything else is dropped without an error.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from dashboard.numbers import day

ALWAYS = "all"
DEFAULT_PERIOD = "12m"
PERIODS = {
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "12m": "Last 12 months",
    "ytd": "This year",
    ALWAYS: "All time",
}
BEFORE = {
    "30d": "the 30 days before",
    "90d": "the 90 days before",
    "12m": "the 12 months before",
    "ytd": "the same days last year",
}
Clock = Literal["elapsed", "working"]
Params = Mapping[str, Sequence[str]]
Options = Mapping[str, Mapping[str, str]]  # filter → value → what a reader sees
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)  # of a period, so that there are days before and after it
_CODE_LENGTH = 8  # forty bits: two of ten thousand names share a code once in twenty thousand snapshots


@dataclass(frozen=True, slots=True)
class Filters:
    """What is chosen; empty means everything. `period` is a key of PERIODS or "YYYY-MM-DD..YYYY-MM-DD".

    `as_of` is the day to whose end the pages are rewound, `against` the day they are compared with; None: neither.
    `clock` counts the days of every duration that can be told so as elapsed or as working ones; None: as it is defined.
    """

    firm: tuple[str, ...] = ()
    client: tuple[str, ...] = ()  # client ids
    playbook: tuple[str, ...] = ()
    manager: tuple[str, ...] = ()
    period: str = DEFAULT_PERIOD
    as_of: date | None = None
    against: date | None = None
    clock: Clock | None = None

    @property
    def is_default(self) -> bool:
        return self == Filters()

    def where(self) -> dict[str, tuple[str, ...]]:
        """The filters by dimension, without the period: what `Question.where` and a mart's columns take."""
        chosen = {name: getattr(self, name) for name in CHOICES}
        return {_DIMENSION.get(name, name): values for name, values in chosen.items() if values}

    def params(self) -> dict[str, list[str]]:
        """The link's query parameters; a filter at its default is left out."""
        chosen = {name: [code(value) for value in getattr(self, name)] for name in CHOICES if getattr(self, name)}
        days = {name: [at.isoformat()] for name in DAYS if (at := getattr(self, name))}
        period = {} if self.period == DEFAULT_PERIOD else {"period": [self.period]}
        return chosen | period | days | ({"clock": [self.clock]} if self.clock else {})

    def span(self, as_of: date) -> tuple[date | None, date | None]:
        """First and last day of the period, both included; None where it has no such end."""
        if self.period == ALWAYS:
            return None, None
        if custom := _custom(self.period):
            return custom
        if self.period == "ytd":
            return as_of.replace(month=1, day=1), as_of
        days = {"30d": 30, "90d": 90}.get(self.period)
        return (as_of - timedelta(days=days - 1) if days else _year_before(as_of)), as_of

    def span_before(self, as_of: date) -> tuple[date, date] | None:
        """The span that this one is compared with: as long and just before, or the same days last year; or none."""
        since, until = self.span(as_of)
        if since is None or until is None:
            return None
        if self.period == "ytd":
            return _last_year(since), _last_year(until)
        if self.period == DEFAULT_PERIOD:
            return _year_before(since - timedelta(days=1)), since - timedelta(days=1)
        return since - (until - since) - timedelta(days=1), since - timedelta(days=1)

    def period_words(self) -> str:
        if named := PERIODS.get(self.period):
            return named
        since, until = _custom(self.period) or (None, None)
        return f"{day(since)} to {day(until)}" if since and until else PERIODS[DEFAULT_PERIOD]

    def before_words(self) -> str:
        """What the period is compared with, in words; "" where with nothing."""
        if self.period == ALWAYS:
            return ""
        return BEFORE.get(self.period, "as many days before")


CHOICES = ("firm", "client", "playbook", "manager")
DAYS = ("as_of", "against")
PARAMS = (*CHOICES, "period", *DAYS, "clock")
CLOCKS: Mapping[Clock, str] = {"elapsed": "elapsed days", "working": "working days"}
_DIMENSION = {"client": "client_id"}


def code(value: str) -> str:
    """What stands for a value in a link: short, the same every time, and telling nothing."""
    return b32encode(hashlib.blake2s(value.encode(), digest_size=5).digest()).decode().lower()[:_CODE_LENGTH]


def read(params: Params, options: Options, latest: date | None = None, earliest: date | None = None) -> Filters:
    """Filters from a link's parameters. Unknown parameters, codes, periods and days are dropped."""
    chosen = {}
    for name in CHOICES:
        known = {code(value): value for value in options.get(name, {})} if params.get(name) else {}
        chosen[name] = tuple(dict.fromkeys(known[given] for given in params.get(name, ()) if given in known))
    period = next(iter(params.get("period", ())), DEFAULT_PERIOD)
    is_known = period in PERIODS or _custom(period) is not None
    as_of, against = (_day(next(iter(params.get(name, ())), ""), latest, earliest) for name in DAYS)
    return Filters(
        **chosen,
        period=period if is_known else DEFAULT_PERIOD,
        as_of=as_of,
        against=None if against == as_of else against,
        clock=next((clock for clock in CLOCKS if clock == next(iter(params.get("clock", ())), "")), None),
    )


def custom_period(since: date, until: date) -> str:
    return f"{since.isoformat()}..{until.isoformat()}"


def _day(text: str, latest: date | None, earliest: date | None) -> date | None:
    """A day that pages can be rewound to: before the snapshot's own, and not before its first event."""
    try:
        asked = date.fromisoformat(text)
    except ValueError:
        return None
    return asked if latest and earliest and earliest <= asked < latest else None


def _custom(period: str) -> tuple[date, date] | None:
    first, dots, last = period.partition("..")
    try:
        since, until = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        return None
    return (since, until) if dots and _FIRST_DAY <= since <= until <= _LAST_DAY else None


def _year_before(at: date) -> date:
    return _last_year(at) + timedelta(days=1)


def _last_year(at: date) -> date:
    try:
        return at.replace(year=at.year - 1)
    except ValueError:  # 29 February
        return at.replace(year=at.year - 1, day=28)
