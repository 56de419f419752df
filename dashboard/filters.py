"""The filters every page shares: firm, client, playbook, manager, period; in the link and as a question's filters.

Nothing here knows Streamlit. Links hold ids, not client names, and only values the snapshot offers survive
reading one: anything else is dropped without an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta

ALWAYS = "all"
DEFAULT_PERIOD = "12m"
PERIODS = {
    "30d": "Last 30 days",
    "90d": "Last 90 days",
    "12m": "Last 12 months",
    "ytd": "This year",
    ALWAYS: "All time",
}
Params = Mapping[str, Sequence[str]]
Options = Mapping[str, Mapping[str, str]]  # filter → what a link says → what a reader sees


@dataclass(frozen=True, slots=True)
class Filters:
    """What is chosen; empty means everything. `period` is a key of PERIODS or "YYYY-MM-DD..YYYY-MM-DD"."""

    firm: tuple[str, ...] = ()
    client: tuple[str, ...] = ()  # client ids
    playbook: tuple[str, ...] = ()
    manager: tuple[str, ...] = ()
    period: str = DEFAULT_PERIOD

    @property
    def is_default(self) -> bool:
        return self == Filters()

    def where(self) -> dict[str, tuple[str, ...]]:
        """The filters by dimension, without the period: what `Question.where` and a mart's columns take."""
        chosen = {name: getattr(self, name) for name in CHOICES}
        return {_DIMENSION.get(name, name): values for name, values in chosen.items() if values}

    def params(self) -> dict[str, list[str]]:
        """The link's query parameters; a filter at its default is left out."""
        chosen = {name: list(getattr(self, name)) for name in CHOICES if getattr(self, name)}
        return chosen | ({} if self.period == DEFAULT_PERIOD else {"period": [self.period]})

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

    def period_words(self) -> str:
        if named := PERIODS.get(self.period):
            return named
        since, until = _custom(self.period) or (None, None)
        return f"{since:%-d %b %Y} to {until:%-d %b %Y}" if since and until else PERIODS[DEFAULT_PERIOD]


CHOICES = tuple(field.name for field in fields(Filters) if field.name != "period")
PARAMS = (*CHOICES, "period")
_DIMENSION = {"client": "client_id"}


def read(params: Params, options: Options) -> Filters:
    """Filters from a link's parameters. Unknown parameters, values and periods are dropped."""
    chosen = {
        name: tuple(dict.fromkeys(value for value in params.get(name, ()) if value in options.get(name, {})))
        for name in CHOICES
    }
    period = next(iter(params.get("period", ())), DEFAULT_PERIOD)
    known = period in PERIODS or _custom(period) is not None
    return Filters(**chosen, period=period if known else DEFAULT_PERIOD)


def custom_period(since: date, until: date) -> str:
    return f"{since.isoformat()}..{until.isoformat()}"


def _custom(period: str) -> tuple[date, date] | None:
    first, dots, last = period.partition("..")
    try:
        since, until = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        return None
    return (since, until) if dots and since <= until else None


def _year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1) + timedelta(days=1)
    except ValueError:  # 29 February
        return day.replace(year=day.year - 1, day=28) + timedelta(days=1)
