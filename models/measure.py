"""Answers a question about a measure: catalogue entry + grouping + filters + period → one SELECT → one frame.

The catalogue is `metrics.yml`, the rules are `METRICS.md`. Every identifier in the SQL comes from the
catalogue; what a caller gives is bound as a parameter or refused. Knows DuckDB connections with a schema
`marts` (a snapshot or the warehouse) and polars frames; where connections come from, and how numbers
are drawn or printed, stays out. What a kind of measure reckons stands in `estimators.py` and `durations.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import duckdb
import polars as pl

from models import durations, estimators
from models.estimators import Estimate, lines, quoted
from models.faults import fault
from models.metrics import (
    BUCKETS,
    COMMON,
    MIN_N,
    MIN_N_P85,
    MIN_N_P95,
    Bucket,
    Clock,
    Dimension,
    LeftOut,
    Measure,
    catalogue,
    dimensions,
    row_names,
    rules,
)

__all__ = [
    "BUCKETS", "COMMON", "MIN_N", "MIN_N_P85", "MIN_N_P95", "Bucket", "Clock", "Comparison", "Dimension", "Explanation",
    "LeftOut", "Measure", "Question", "Statement", "answer", "catalogue", "curve", "dimensions", "distribution",
    "explain", "log_rank", "rows", "rules", "series", "statement",
]  # fmt: skip


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
class Explanation:
    """What stands behind an answer. `left_out` holds (reason, rows, why) for every reason with rows.

    `counted_rows` + the rows left out = `matched_rows`, the rows that the filters let through. Of a duration's
    counted rows, `open_rows` are not finished and `ended_rows` ended otherwise; both are 0 for other kinds.
    """

    measure: Measure
    rule: str  # the rule's section of METRICS.md
    period: str
    clock: Clock
    settings: Mapping[str, float | None]
    statement: Statement
    matched_rows: int
    counted_rows: int
    open_rows: int
    ended_rows: int
    left_out: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The log-rank test of two groups: finished rows of the first, as many as expected were the two alike, and p."""

    groups: tuple[str, str]
    observed: int
    expected: float
    events: int
    chi_square: float | None  # of one degree of freedom; None where nothing can be compared
    p: float | None


@dataclass(frozen=True, slots=True)
class _Asked:
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


def answer(con: duckdb.DuckDBPyConnection, question: Question) -> pl.DataFrame:
    """The value of a measure: one row per group, ordered; one row where nothing is grouped.

    Columns: the dimensions asked for (text; day, week and month are dates), `value`, `p85` and `p95` (percentiles
    and durations), `low` and `high` (95 % interval of a share, or of a duration's P50), `p85_low` and `p85_high`
    (durations), `n`, `open_n` (measures with open rows), `ended_n` (durations that may end otherwise), `note`
    (null, or why a value is missing or limited). Shares and ratios in % are 0–100. Steps have one row per group
    and `step`. Raises `Fault` for an unknown measure, dimension, clock or setting and for a period that ends
    before it begins.
    """
    return _frame(con, _statement(_dated(con, _checked(question))))


def series(con: duckdb.DuckDBPyConnection, question: Question, bucket: Bucket = "month") -> pl.DataFrame:
    """`answer` per day, week or month: the dimensions, `period` (its first day; weeks begin on Monday), the rest.

    Every group has every bucket of the period asked for, else from the first one seen, up to the clock of the
    marts; an empty one has n = 0 and value 0 for counts and sums, null otherwise. A group without any row is
    not listed. A level is told at the end of each bucket, a window measure over each; neither looks
    beyond the clock. Raises `Fault` for a measure that has no days to look at.
    """
    asked = _checked(question)
    if asked.measure.kind == "level":
        return _level_series(con, asked, bucket)
    if asked.measure.window or asked.measure.kind == "count_back":
        return _window_series(con, asked, bucket)
    by = [name for name in dict.fromkeys(question.by) if name != bucket]
    found = answer(con, replace(question, by=(*by, bucket))).rename({bucket: "period"})
    days = _span(con, question, found["period"])
    if days is None or (by and found.is_empty()):
        return found
    every = pl.DataFrame({"period": _buckets(*days, bucket)})
    if by:
        every = found.select(by).unique(maintain_order=True).join(every, how="cross")
    filled = every.join(found, on=[*by, "period"], how="left", maintain_order="left")
    added = asked.measure.kind in ("sum", "count")
    is_empty = pl.col("n").is_null()
    return filled.with_columns(
        pl.when(is_empty & added).then(0.0).otherwise("value").alias("value"),
        pl.when(is_empty & (not added)).then(pl.lit("n = 0")).otherwise("note").alias("note"),
        *(pl.col(name).fill_null(0) for name in ("n", "open_n", "ended_n") if name in found.columns),
    ).select(found.columns)


def curve(con: duckdb.DuckDBPyConnection, question: Question) -> pl.DataFrame:
    """A duration's steps for drawing: the dimensions, `time` (days), `at_risk` before it, `finished`, `censored` (open)
    and `ended` at it, `survival` (the share neither finished nor ended after it), `low`, `high`.

    Where rows may end otherwise, `finished_share` is Aalen–Johansen's and the interval is its own.
    Raises `Fault` for a measure that is no duration.
    """
    asked = _checked(question)
    _refuse_but_durations(asked.measure)
    columns = (*_keys(asked.measure, asked.by), *durations.row_columns(asked.measure))
    matched, parameters = _matched(asked, columns)
    queries = (("matched", matched), *durations.curve_queries(asked.measure, asked.by))
    order = ", ".join([*map(_ordered, asked.by), "time"])
    drawn = durations.steps_of_curve(asked.measure, asked.by)
    return _frame(con, Statement(f"{_with(queries)}\nselect *\nfrom (\n  {drawn}\n)\norder by {order}", parameters))


def log_rank(con: duckdb.DuckDBPyConnection, question: Question, dimension: str) -> Comparison:
    """Whether two groups of a dimension finish at different speed. What ended otherwise counts as open until then.

    Raises `Fault` for a measure that is no duration, and unless the rows counted fall into two groups.
    """
    asked = _checked(replace(question, by=(dimension,)))
    _refuse_but_durations(asked.measure)
    columns = (*_keys(asked.measure, asked.by), *durations.row_columns(asked.measure))
    matched, parameters = _matched(asked, columns)
    order = _ordered(dimension)
    listed = f"{_with([('matched', matched)])}\nselect {dimension}\nfrom matched\nwhere left_out is null\ngroup by all"
    groups = [str(row[0]) for row in con.execute(f"{listed}\norder by {order}", dict(parameters)).fetchall()]
    if len(groups) != 2:
        what = f"{dimension} has {len(groups)} groups here, and the log-rank test compares two."
        raise fault(f"measure {asked.measure.id}", what, "Filter until two are left.")
    queries = (("matched", matched), *durations.log_rank_queries(dimension))
    sql = f"{_with(queries)}\nselect observed, expected, events, variance\nfrom compared"
    observed, expected, events, variance = con.execute(sql, {**parameters, "first": groups[0]}).fetchall()[0]
    chi_square = (observed - expected) ** 2 / variance if variance > 0 else None
    p = math.erfc(math.sqrt(chi_square / 2)) if chi_square is not None else None
    return Comparison((groups[0], groups[1]), int(observed), float(expected), int(events), chi_square, p)


def distribution(con: duckdb.DuckDBPyConnection, question: Question, limit: int = 500) -> pl.DataFrame:
    """The single rows behind an answer, for drawing dots: `id`, `label`, the dimensions, `day`, `value`, `n`.

    `value` is the row's own: days, an amount, 1 or 0 for a share, its own ratio for a ratio; `day` is its
    date in the period. Of a duration only finished rows are dots. `n` is how many rows there are; above
    `limit` every k-th by value is kept, the largest always, so that the shape stays. Ordered by value.
    Raises `Fault` as `answer` does.
    """
    asked = _dated(con, _checked(question))
    measure, by = asked.measure, asked.by
    row_id, label = row_names()[measure.mart]
    columns: tuple[str, ...]
    if measure.kind == "duration":
        columns, value, kept = durations.row_columns(measure), "days", f" and outcome = {durations.FINISHED}"
    else:
        columns, kept = estimators.row_columns(measure), ""
        value = {
            "share": "part / whole",
            "ratio": f"{measure.scale} * part / whole",
            "steps": next((f"own_{step.key}" for step in measure.steps if step.sum), "1"),
            "count_back": "balance",
        }.get(measure.kind, "value")
    day = () if "day" in by else (f"{_day(measure)} as day",)
    matched, parameters = _matched(asked, (f"{row_id} as id", f"{label} as label", *_keys(measure, by), *day, *columns))
    shown = ", ".join(dict.fromkeys(("id", "label", *by, "day")))
    sql = f"""with matched as (
{matched}
), ranked as (
  select {shown}, cast({value} as double) as value, count(*) over () as n,
    row_number() over (order by {value}, id) as place
  from matched
  where left_out is null{kept}
)
select * exclude (place)
from ranked
where place * $limit // n > (place - 1) * $limit // n
order by value, id"""
    return _frame(con, Statement(sql, {**parameters, "limit": limit}))


def rows(con: duckdb.DuckDBPyConnection, question: Question, *, left_out: bool = False) -> pl.DataFrame:
    """The rows the answer was made from, or those left out with the reason in `left_out`; every column.

    Of a duration, `is_open` says which rows are not finished, and `is_ended` which ended otherwise.
    """
    asked = _dated(con, _checked(question))
    measure = asked.measure
    columns: tuple[str, ...] = ("m.*",)
    if measure.kind == "duration":
        added = {"is_open": f"({measure.open})", **({"is_ended": f"({measure.ended})"} if measure.ended else {})}
        source, parameters = _source(asked)
        described = con.execute(f"select * from {source} as m limit 0", _used(source, parameters)).description or ()
        there = [str(column[0]) for column in described if column[0] in added]
        columns = (
            f"m.* exclude ({', '.join(there)})" if there else "m.*",
            *(f"coalesce({sql}, false) as {name}" for name, sql in added.items()),
        )
    matched, parameters = _matched(asked, columns)
    shown, kept = ("*", "is not null") if left_out else ("* exclude (left_out)", "is null")
    sql = f"""with matched as (
{matched}
)
select {shown}
from matched
where left_out {kept}
order by {row_names()[measure.mart][0]}"""
    return _frame(con, Statement(sql, parameters))


def explain(con: duckdb.DuckDBPyConnection, question: Question) -> Explanation:
    """The rule, the definition, the SQL with its parameters, and what was left out for which reason."""
    asked = _dated(con, _checked(question))
    measure = asked.measure
    outcome = durations.outcome(measure) if measure.kind == "duration" else str(durations.FINISHED)
    matched, parameters = _matched(asked, (f"{outcome} as outcome",))
    sql = f"with matched as (\n{matched}\n)\nselect left_out, outcome, count(*) from matched group by left_out, outcome"
    counts: dict[str | None, int] = {}
    outcomes = dict.fromkeys((durations.FINISHED, durations.ENDED, durations.OPEN), 0)
    for reason, ended_as, count in con.execute(sql, dict(parameters)).fetchall():
        counts[reason] = counts.get(reason, 0) + count
        if reason is None:
            outcomes[ended_as] += count
    return Explanation(
        measure=measure,
        rule=rules()[measure.rule],
        period=_period_text(asked),
        clock=asked.clock,
        settings=asked.settings,
        statement=_statement(asked),
        matched_rows=sum(counts.values()),
        counted_rows=counts.get(None, 0),
        open_rows=outcomes[durations.OPEN],
        ended_rows=outcomes[durations.ENDED],
        left_out=tuple(
            (each.reason, counts[each.reason], each.why) for each in _left_out(asked) if each.reason in counts
        ),
    )


def statement(question: Question) -> Statement:
    """The one SELECT that answers a question, and its parameters. Raises `Fault` as `answer` does.

    A window whose days are left to the clock has null for them here; `explain` gives them.
    """
    return _statement(_checked(question))


def _statement(asked: _Asked) -> Statement:
    measure, by = asked.measure, asked.by
    estimate = _estimate(measure, by)
    matched, parameters = _matched(asked, (*_keys(measure, by), *estimate.columns))
    shown = [*by, *estimate.shown, _note(asked, estimate)]
    sql = f"{_with([('matched', matched), *estimate.queries])}\nselect {lines(shown)}\nfrom measured"
    if by:
        sql += f"\nwhere {estimate.kept}"
    if by or estimate.order:
        sql += f"\norder by {', '.join([*map(_ordered, by), *estimate.order])}"
    sql = _with_settings(sql, asked)
    return Statement(sql, _used(sql, {**parameters, **asked.values}))


def _estimate(measure: Measure, by: tuple[str, ...]) -> Estimate:
    if measure.kind == "duration":
        return durations.estimate(measure, by)
    # An open row of another kind has no date of its own yet, so it stands in no day, week or month.
    return estimators.estimate(measure, by, has_open=measure.open is not None and not set(by) & set(BUCKETS))


def _with(queries: Sequence[tuple[str, str]]) -> str:
    named = (f"{name} as (\n{body if body.startswith(' ') else '  ' + body}\n)" for name, body in queries)
    return f"with {', '.join(named)}"


_NL = "\n    "


def _matched(asked: _Asked, columns: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The SELECT of the rows that the filters let through, with `left_out` null for those that count."""
    cases = [f"when {entry.when} then {quoted(entry.reason)}" for entry in _left_out(asked)]
    reason = f"case{_NL}  {f'{_NL}  '.join(cases)}{_NL}end" if cases else "cast(null as varchar)"
    body = _clocked(lines([*columns, f"{reason} as left_out"]))
    source, parameters = _source(asked)
    conditions, filtered = _filters(asked.question)
    sql = f"  select {body}\n  from {source} as m{_ZONES if _ZONE in body else ''}"
    if conditions:
        sql += f"\n  where {' and '.join(conditions)}"
    sql = _with_settings(sql, asked)
    return sql, _used(sql, {**asked.values, **parameters, **filtered})


def _source(asked: _Asked) -> tuple[str, dict[str, Any]]:
    measure = asked.measure
    source = f"(\n{measure.source}\n)" if measure.source else f"marts.{measure.mart}"
    return _with_settings(_clocked(source), asked), asked.values


def _with_settings(sql: str, asked: _Asked) -> str:
    """Settings are doubles even where they are null; days of a window are dates."""
    types = {**dict.fromkeys(asked.settings, "double"), "days": "double", "since": "date", "until": "date"}
    names = "|".join(types)
    return re.sub(rf"(?<!cast\()\$({names})\b", lambda found: f"cast(${found[1]} as {types[found[1]]})", sql)


def _used(sql: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a statement names, and no others, as DuckDB wants it."""
    named = set(re.findall(r"\$(\w+)", sql))
    return {name: value for name, value in values.items() if name in named}


def _left_out(asked: _Asked) -> list[LeftOut]:
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
        entries.append(LeftOut("before the period", f"{_day(measure)} < $since", "The period begins later."))
    if question.until:
        entries.append(LeftOut("after the period", f"{_day(measure)} > $until", "The period ends earlier."))
    return entries


def _not_standing(measure: Measure, question: Question) -> list[LeftOut]:
    """What does not stand at the end of the day asked for."""
    day = "$until" if question.until else "local_day(as_of())"
    enters, leaves = _local(measure.enters), _local(measure.leaves) if measure.leaves else None
    entries = [
        LeftOut("never entered", f"{enters} is null", "It has not begun."),
        LeftOut("enters later", f"{enters} > {day}", "On that day it had not begun."),
    ]
    if leaves:
        entries.append(LeftOut("had left", f"{leaves} <= {day}", "By the end of that day it was over."))
    return entries


def _keys(measure: Measure, by: tuple[str, ...]) -> list[str]:
    return [f"{_key(measure, name)} as {name}" for name in by]


def _key(measure: Measure, name: str) -> str:
    if name in BUCKETS:
        return f"cast(date_trunc('{name}', {_day(measure)}) as date)"
    return _text(dimensions()[name])


def _text(dimension: Dimension) -> str:
    return f"coalesce(cast(m.{dimension.column} as varchar), {quoted(dimension.empty)})"


def _day(measure: Measure) -> str:
    """The row's date in the period: days as they are, instants in the project's time zone."""
    return "cast(null as date)" if measure.period is None else _local(measure.period)


def _local(moment: str) -> str:
    return moment if moment.endswith("_on") or "(" in moment else f"local_day({moment})"


# Independent of the connection's own time zone, and of whether instants are stored with or without one.
_ZONE = "coalesce(project_zone, client_zone, 'UTC')"
_LOCAL_DAY = rf"cast(timezone({_ZONE}, make_timestamptz(epoch_us(\1))) as date)"
_AS_OF = "(select make_timestamptz(epoch_us(as_of_at)) from marts.clock)"
_ZONES = """
  left join (select project_id as zone_project_id, timezone as project_zone from marts.projects)
    on m.project_id = zone_project_id
  left join (select client_id as zone_client_id, timezone as client_zone from marts.clients)
    on m.client_id = zone_client_id"""


def _clocked(sql: str) -> str:
    sql = re.sub(r"local_day\(([\w.]+|as_of\(\))\)", _LOCAL_DAY, sql)
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


def _note(asked: _Asked, estimate: Estimate) -> str:
    notes = [
        f"case {' '.join(f'when {condition} then {words}' for condition, words in cases)} end"
        for cases in estimate.notes
    ]
    if not _uses_days(asked.measure) and (asked.question.since or asked.question.until):
        notes.append(quoted("the period does not apply: as it stands"))
    return f"nullif(concat_ws('; ', {', '.join(notes)}), '') as note"


def _uses_days(measure: Measure) -> bool:
    return measure.spans


def _ordered(name: str) -> str:
    first = dimensions()[name].order if name not in BUCKETS else ()
    listed = ", ".join(map(quoted, first))
    return f"list_position([{listed}], {name}) nulls last, {name}" if first else name


def _period_text(asked: _Asked) -> str:
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


def _buckets(first: date, last: date, bucket: Bucket) -> pl.Series:
    step = {"day": "1d", "week": "1w", "month": "1mo"}[bucket]
    return pl.date_range(_first_day(first, bucket), _first_day(last, bucket), step, eager=True)


def _first_day(day: date, bucket: Bucket) -> date:
    if bucket == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if bucket == "week" else day


def _last_day(first: date, bucket: Bucket) -> date:
    """The last day of the bucket that begins on a day."""
    if bucket == "month":
        return _first_day(first + timedelta(days=31), "month") - timedelta(days=1)
    return first + timedelta(days=6) if bucket == "week" else first


def _clock_day(con: duckdb.DuckDBPyConnection) -> date:
    (clock,) = con.execute(f"select cast(timezone('UTC', {_AS_OF}) as date)").fetchall()[0]
    assert isinstance(clock, date)
    return clock


def _span(con: duckdb.DuckDBPyConnection, question: Question, seen: pl.Series) -> tuple[date, date] | None:
    """The first and last day a series covers: a quiet end is shown up to the clock, the future is not."""
    ends = [day for day in (question.until, _clock_day(con)) if day]
    starts, latest = [day for day in (question.since, seen.min()) if day], seen.max()
    last = max([day for day in (min(ends, default=None), latest) if isinstance(day, date)], default=None)
    return (starts[0], last) if starts and last and isinstance(starts[0], date) and starts[0] <= last else None


def _level_series(con: duckdb.DuckDBPyConnection, asked: _Asked, bucket: Bucket) -> pl.DataFrame:
    """What stands at the end of each bucket: entries less departures so far, one running sum per group."""
    measure, question, by = asked.measure, replace(asked.question, since=None, until=None), asked.by
    enters, leaves = _local(measure.enters), _local(measure.leaves) if measure.leaves else "cast(null as date)"
    unbounded = replace(asked, question=question, measure=replace(measure, leaves=None))
    columns = (
        *_keys(measure, by),
        *estimators.row_columns(measure),
        f"{enters} as entered_on",
        f"case when {leaves} <= local_day(as_of()) then greatest({leaves}, {enters}) end as left_on",
    )
    matched, parameters = _matched(unbounded, columns)
    keyed = "".join(f"{name}, " for name in by)
    moves = f"""select {keyed}entered_on as moved_on, 1 as moved_n, value as moved
  from matched
  where left_out is null
  union all
  select {keyed}left_on as moved_on, -1 as moved_n, -value as moved
  from matched
  where left_out is null and left_on is not null"""
    queries = [("matched", matched), ("moves", moves)]
    ends = con.execute(f"{_with(queries)}\nselect min(moved_on), max(moved_on) from moves", parameters).fetchall()[0]
    clock = _clock_day(con)
    first = asked.question.since or ends[0]
    last = min(day for day in (asked.question.until, max(clock, ends[1] or clock)) if day)
    shown = [*by, "period", "value", "n", "note"]
    if first is None or first > last:
        empty = _frame(
            con,
            Statement(
                f"{_with(queries)}\nselect {keyed}moved_on as period, 1.0 as value, moved_n as n, "
                "cast(null as varchar) as note from moves limit 0",
                parameters,
            ),
        )
        return empty.select(shown)
    starts = _buckets(first, last, bucket).to_list()
    ends_on = [min(_last_day(day, bucket), last) for day in starts]
    parameters |= {"starts": starts, "ends": ends_on, "afters": [date.min, *ends_on[:-1]]}
    over = f"partition by {', '.join(by)} " if by else ""
    groups = f"(select distinct {', '.join(by)} from moves) cross join " if by else ""
    total = "n" if measure.value == "1" else "total"
    queries += [
        ("periods", "select unnest($starts) as period, unnest($ends) as ends_on, unnest($afters) as after"),
        ("placed", f"""select {keyed}period, sum(moved_n) as n, sum(moved) as total
  from moves inner join periods on moved_on <= ends_on and moved_on > after
  group by all"""),
        ("filled", f"""select {keyed}period, n, total
  from {groups}periods left join placed using ({keyed}period)"""),
        ("stood", f"""select {keyed}period, cast(coalesce(sum({total}) over run, 0) as double) as value,
    cast(coalesce(sum(n) over run, 0) as bigint) as n
  from filled
  window run as ({over}order by period rows between unbounded preceding and current row)"""),
    ]  # fmt: skip
    order = ", ".join([*map(_ordered, by), "period"])
    sql = (
        f"{_with(queries)}\nselect {keyed}period, value, n, cast(null as varchar) as note\nfrom stood\norder by {order}"
    )
    return _frame(con, Statement(sql, parameters)).select(shown)


def _window_series(con: duckdb.DuckDBPyConnection, asked: _Asked, bucket: Bucket) -> pl.DataFrame:
    """Each bucket asked on its own, from its first day to its last, the running one to the clock."""
    clock = _clock_day(con)
    last = min(asked.question.until or clock, clock)
    first = asked.question.since or last - timedelta(days=(asked.measure.window or 1) - 1)
    if first > last:
        raise fault(f"measure {asked.measure.id}", f"there is no day from {first} to {last}.", "Ask for earlier days.")
    frames = []
    for start in _buckets(first, last, bucket).to_list():
        ends = min(_last_day(start, bucket), last)
        found = answer(
            con,
            replace(
                asked.question,
                since=max(start, asked.question.since or start) if asked.measure.window else None,
                until=ends,
            ),
        )
        period = pl.lit(start).cast(pl.Date).alias("period")
        frames.append(found.with_columns(period).select([*asked.by, "period", *found.columns[len(asked.by) :]]))
    return pl.concat(frames).sort(asked.by, maintain_order=True) if asked.by else pl.concat(frames)


def _frame(con: duckdb.DuckDBPyConnection, made: Statement) -> pl.DataFrame:
    frame: pl.DataFrame = con.sql(made.sql, params=dict(made.parameters)).pl()
    return frame.with_columns(pl.col(pl.Decimal).cast(pl.Float64))


def _refuse_but_durations(measure: Measure) -> None:
    if measure.kind != "duration":
        known = ", ".join(name for name, one in catalogue().items() if one.kind == "duration")
        raise fault(f"measure {measure.id}", "is no duration, and has no curve.", f"Durations are: {known}.")


def _dated(con: duckdb.DuckDBPyConnection, asked: _Asked) -> _Asked:
    """The days that a window looks at: those asked for, else as many as it has, up to the clock."""
    measure, question = asked.measure, asked.question
    if not (measure.window or measure.kind == "count_back"):
        return asked
    until = question.until or _clock_day(con)
    since = question.since or (until - timedelta(days=measure.window - 1) if measure.window else None)
    return _checked(replace(question, since=since, until=until))


def _checked(question: Question) -> _Asked:
    """The measure on its clock, the grouping, the settings; refuses what does not exist."""
    place = f"measure {question.measure}"
    measure = catalogue().get(question.measure)
    if measure is None:
        raise fault(place, "is not in the catalogue.", f"There are: {', '.join(catalogue())}.")
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
        known = ", ".join(name for name, one in catalogue().items() if one.working) or "none"
        raise fault(place, "is not told in working days.", f"These are: {known}.")
    settings = {name: setting.default for name, setting in measure.settings.items()} | dict(question.settings)
    return _Asked(question, _on_clock(measure, clock), tuple(dict.fromkeys(question.by)), clock, settings)


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
