"""A question, found to be sound, and the SELECT of the rows it is about.

Every identifier in the SQL comes from the catalogue; what a caller gives is bound as a parameter or refused. What is
reckoned from the rows stands in `estimators.py` and `durations.py`; what is made of the answer in `measure.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import duckdb

from models import metrics
from models.estimators import lines, quoted
from models.faults import fault
from models.metrics import BUCKETS, Clock, Dimension, LeftOut, Measure, dimensions

_NL = "\n    "
# Independent of the connection's own time zone, and of whether instants are stored with or without one.
_LOCAL_DAY = r"cast(timezone(ZONE, make_timestamptz(epoch_us(\1))) as date)"
_ZONE = "coalesce(project_zone, client_zone, 'UTC')"
_OWN_ZONE = "m.timezone"  # of a project, which has one in any case
_AS_OF = "(select make_timestamptz(epoch_us(as_of_at)) from marts.clock)"
_ZONES = """
  left join (select project_id as zone_project_id, timezone as project_zone from marts.projects)
    on m.project_id = zone_project_id
  left join (select client_id as zone_client_id, timezone as client_zone from marts.clients)
    on m.client_id = zone_client_id"""


@dataclass(frozen=True, slots=True)
class Question:
    """A measure, grouped and filtered; `since` and `until` are days in the project's zone, both included.

    `where` maps a dimension to the values kept; a dimension with no values is not filtered. `clock` is the
    measure's own where None. `settings` are named numbers of the measure, its defaults where not given.
    """

    measure: str
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None
    clock: Clock | None = None
    settings: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and the values bound to its parameters."""

    sql: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question found to be sound: its measure on the clock asked for, each grouping once, its parameters."""

    question: Question
    measure: Measure
    by: tuple[str, ...]
    clock: Clock
    settings: Mapping[str, float | None]

    @property
    def values(self) -> dict[str, Any]:
        """What the names in an entry stand for."""
        since, until = self.question.since, self.question.until
        days = float((until - since).days + 1) if since and until else None
        return {"since": since, "until": until, "days": days, **self.settings}


def checked(question: Question) -> Asked:
    """The measure on its clock, the grouping, the settings; refuses what does not exist."""
    place = f"measure {question.measure}"
    measure = metrics.catalogue().get(question.measure)
    if measure is None:
        raise fault(place, "is not in the catalogue.", f"There are: {', '.join(metrics.catalogue())}.")
    for name in (*question.by, *question.where):
        if name not in measure.dimensions or (name in BUCKETS and name in question.where):
            known = ", ".join(measure.dimensions)
            raise fault(place, f"cannot be grouped or filtered by {name!r}.", f"It can by: {known}.")
    since, until = question.since, question.until
    if since and until and until < since:
        raise fault(place, f"the period ends on {until}, before it begins on {since}.", "Swap the two.")
    for name in question.settings:
        if name not in measure.settings:
            known = ", ".join(measure.settings) or "none"
            raise fault(place, f"has no setting {name!r}.", f"Its settings: {known}.")
    clock = question.clock or measure.clock
    if clock == "working" and not measure.working:
        known = ", ".join(name for name, one in metrics.catalogue().items() if one.working) or "none"
        raise fault(place, "is not told in working days.", f"These are: {known}.")
    settings = {name: setting.default for name, setting in measure.settings.items()} | dict(question.settings)
    return Asked(question, _on_clock(measure, clock), tuple(dict.fromkeys(question.by)), clock, settings)


def _on_clock(measure: Measure, clock: Clock) -> Measure:
    """The measure with its working columns in place of the elapsed ones, where that is the clock."""
    if clock == "elapsed":
        return measure
    columns = re.compile(rf"\b({'|'.join(measure.working)})\b")

    def stood_in(sql: str) -> str:
        return columns.sub(lambda found: measure.working[found[1]], str(sql))

    return replace(
        measure,
        value=stood_in(measure.value),
        weight=stood_in(measure.weight),
        part=stood_in(measure.part),
        whole=stood_in(measure.whole),
        running=stood_in(measure.running),
        ended_value=stood_in(measure.ended_value),
        left_out=tuple(replace(entry, when=stood_in(entry.when)) for entry in measure.left_out),
    )


def dated(con: duckdb.DuckDBPyConnection, asked: Asked) -> Asked:
    """The days that a window looks at: those asked for, else as many as it has, up to the clock."""
    measure, question = asked.measure, asked.question
    if not (measure.window or measure.kind == "count_back"):
        return asked
    until = question.until or clock_day(con)
    since = question.since or (until - timedelta(days=measure.window - 1) if measure.window else None)
    return checked(replace(question, since=since, until=until))


def matched(asked: Asked, columns: Sequence[str], beside: str = "") -> tuple[str, dict[str, Any]]:
    """The SELECT of the rows that the filters let through, with `left_out` null for those that count.

    `beside` is a query whose rows each of them is joined with.
    """
    cases = [f"when {entry.when} then {quoted(entry.reason)}" for entry in left_out(asked)]
    reason = f"case{_NL}  {f'{_NL}  '.join(cases)}{_NL}end" if cases else "cast(null as varchar)"
    source, parameters = source_of(asked)
    zone = _OWN_ZONE if source == "marts.projects" else _ZONE
    body = _clocked(lines([*columns, f"{reason} as left_out"]), zone)
    conditions, filtered = _filters(asked.question)
    sql = f"  select {body}\n  from {source} as m{_ZONES if _ZONE in body else ''}"
    sql += f"\n  cross join {beside}" if beside else ""
    if conditions:
        sql += f"\n  where {' and '.join(conditions)}"
    sql = with_settings(sql, asked)
    return sql, used(sql, {**asked.values, **parameters, **filtered})


def matched_per_window(asked: Asked, columns: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """As `matched`, once for each row of the query `windows` (period, since, until), whose days stand for the asked."""
    sql, parameters = matched(asked, (*columns, "windows.period as period"), "windows")
    days = {"since": "windows.since", "until": "windows.until", "days": "(windows.until - windows.since + 1)"}
    sql = re.sub(r"\$(since|until|days)\b", lambda found: days[found[1]], sql)
    return sql, used(sql, parameters)


def looks_at_days(sql: str) -> bool:
    """Whether it reads the days that are asked about."""
    return re.search(r"\$(since|until|days)\b", sql) is not None


def source_of(asked: Asked) -> tuple[str, dict[str, Any]]:
    measure = asked.measure
    source = f"(\n{measure.source}\n)" if measure.source else f"marts.{measure.mart}"
    return with_settings(_clocked(source), asked), asked.values


def with_queries(queries: Sequence[tuple[str, str]]) -> str:
    named = (f"{name} as (\n{body if body.startswith(' ') else '  ' + body}\n)" for name, body in queries)
    return f"with {', '.join(named)}"


def used(sql: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a statement names, and no others, as DuckDB wants it."""
    named = set(re.findall(r"\$(\w+)", sql))
    return {name: value for name, value in values.items() if name in named}


def with_settings(sql: str, asked: Asked) -> str:
    """Settings are doubles even where they are null; days of a window are dates."""
    types = {**dict.fromkeys(asked.settings, "double"), "days": "double", "since": "date", "until": "date"}
    names = "|".join(types)
    return re.sub(rf"(?<!cast\()\$({names})\b", lambda found: f"cast(${found[1]} as {types[found[1]]})", sql)


def left_out(asked: Asked) -> list[LeftOut]:
    """The catalogue's reasons, then an unknown value, then the period."""
    measure, question = asked.measure, asked.question
    entries = [*measure.left_out]
    if measure.needs:
        unknown = " or ".join(f"({needed}) is null" for needed in measure.needs)
        entries.append(LeftOut("value not known", unknown, "The tool did not say, and unknown is not zero."))
    if measure.kind == "level":
        return entries + _not_standing(measure, question)
    if not measure.period:
        return entries
    dated = bool(question.since or question.until or set(question.by) & set(BUCKETS))
    if dated:
        entries.append(LeftOut("no date", f"{measure.period} is null", "It cannot be placed in a period."))
    if question.since:
        entries.append(LeftOut("before the period", _is_before(measure.period), "The period begins later."))
    if question.until:
        entries.append(LeftOut("after the period", _is_after(measure.period), "The period ends earlier."))
    return entries


def _is_before(moment: str) -> str:
    """Whether a moment's day comes before the first one; the zone, which is slow, is asked at the edge alone.

    No zone is two days from another, so that a moment further off lies on the same side in all of them.
    """
    day = local(moment)
    if day == moment:
        return f"{day} < $since"
    return f"({moment} < $since - interval 2 day or ({moment} < $since + interval 2 day and {day} < $since))"


def _is_after(moment: str) -> str:
    """Whether a moment's day comes after the last one, asked likewise."""
    day = local(moment)
    if day == moment:
        return f"{day} > $until"
    return f"({moment} >= $until + interval 3 day or ({moment} >= $until - interval 1 day and {day} > $until))"


def _not_standing(measure: Measure, question: Question) -> list[LeftOut]:
    """What does not stand at the end of the day asked for."""
    enters, leaves = local(measure.enters), local(measure.leaves) if measure.leaves else None

    def is_over(day: str) -> str:
        return f"{day} <= $until" if question.until else is_by_now(day)

    entries = [
        LeftOut("never entered", f"{enters} is null", "It has not begun."),
        LeftOut("enters later", f"not {is_over(enters)}", "On that day it had not begun."),
    ]
    if leaves:
        entries.append(LeftOut("had left", is_over(leaves), "By the end of that day it was over."))
    return entries


def is_by_now(day: str) -> str:
    """Whether a day in the project's zone has begun by the snapshot's clock; the zone is asked next to that alone."""
    today = "cast(as_of() as date)"
    return f"({day} < {today} - 1 or ({day} <= {today} + 1 and {day} <= local_day(as_of())))"


def keys(measure: Measure, by: tuple[str, ...]) -> list[str]:
    return [f"{_key(measure, name)} as {name}" for name in by]


def _key(measure: Measure, name: str) -> str:
    if name in BUCKETS:
        return f"cast(date_trunc('{name}', {day_of(measure)}) as date)"
    return _text(dimensions()[name])


def _text(dimension: Dimension) -> str:
    return f"coalesce(cast(m.{dimension.column} as varchar), {quoted(dimension.empty)})"


def day_of(measure: Measure) -> str:
    """The row's date in the period: days as they are, instants in the project's time zone."""
    return "cast(null as date)" if measure.period is None else local(measure.period)


def local(moment: str) -> str:
    return moment if moment.endswith("_on") or "(" in moment else f"local_day({moment})"


def ordered(name: str) -> str:
    first = dimensions()[name].order if name not in BUCKETS else ()
    listed = ", ".join(map(quoted, first))
    return f"list_position([{listed}], {name}) nulls last, {name}" if first else name


def period_text(asked: Asked) -> str:
    measure, question = asked.measure, asked.question
    if measure.kind in ("level", "count_back"):
        return f"at the end of {question.until or 'the snapshot’s clock'}, in the project's time zone"
    if measure.window:
        return (
            f"from {question.since} to {question.until}, both days included; {measure.window} days where none is asked"
        )
    if measure.period is None:
        return "as it stands at the snapshot's clock; a period does not apply"
    if not (question.since or question.until):
        return f"all time, by {measure.period}"
    span = f"from {question.since or 'the beginning'} to {question.until or 'the snapshot'}"
    return f"{measure.period} {span}, both days included, in the project's time zone"


def clock_day(con: duckdb.DuckDBPyConnection) -> date:
    (clock,) = con.execute(f"select cast(timezone('UTC', {_AS_OF}) as date)").fetchall()[0]
    assert isinstance(clock, date)
    return clock


def _clocked(sql: str, zone: str = _ZONE) -> str:
    sql = re.sub(r"local_day\(([\w.]+|as_of\(\))\)", _LOCAL_DAY.replace("ZONE", zone), sql)
    return sql.replace("as_of()", _AS_OF)


def _filters(question: Question) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for name, values in question.where.items():
        if values:
            names = [f"{name}_{place}" for place in range(len(values))]
            conditions.append(f"{_text(dimensions()[name])} in ({', '.join('$' + each for each in names)})")
            parameters.update(zip(names, values, strict=True))
    return conditions, parameters
