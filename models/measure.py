"""Answers a question about a measure: catalogue entry + grouping + filters + period → one SELECT → one frame.

The catalogue is `metrics.yml`, the rules are `METRICS.md`. Every identifier in the SQL comes from the
catalogue; what a caller gives is bound as a parameter or refused. Knows DuckDB connections with a schema
`marts` (a snapshot or the warehouse) and polars frames; where connections come from, and how numbers
are drawn or printed, stays out. What a kind of measure reckons stands in `estimators.py` and `durations.py`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import cast

import duckdb
import polars as pl

from models import durations, estimators, metrics, questions
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
from models.questions import Asked, Question, Statement

__all__ = [
    "BUCKETS", "COMMON", "MIN_N", "MIN_N_P85", "MIN_N_P95", "Bucket", "Clock", "Comparison", "Dimension", "Explanation",
    "LeftOut", "Measure", "Question", "Statement", "answer", "catalogue", "counts", "curve", "dimensions",
    "distribution", "explain", "log_rank", "rows", "rules", "sample", "series", "statement", "values",
]  # fmt: skip

KEPT_STATEMENTS = 400  # at about 50 kB
# `con.sql` would copy the rows once less, but it plans each statement twice, and planning is most of an answer's time.
warnings.filterwarnings("ignore", message="Arrow output on a DB-API result", category=UserWarning)


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


def answer(con: duckdb.DuckDBPyConnection, question: Question) -> pl.DataFrame:
    """The value of a measure: one row per group, ordered; one row where nothing is grouped.

    Columns: the dimensions asked for (text; day, week and month are dates), `value`, `p85` and `p95` (percentiles
    and durations), `low` and `high` (95 % interval of a share, or of a duration's P50), `p85_low` and `p85_high`
    (durations), `n`, `open_n` (measures with open rows), `ended_n` (durations that may end otherwise), `note`
    (null, or why a value is missing or limited). Shares and ratios in % are 0–100. Steps have one row per group
    and `step`. Raises `Fault` for an unknown measure, dimension, clock or setting and for a period that ends
    before it begins.
    """
    return frame(con, _statement(questions.dated(con, questions.checked(question))))


def counts(con: duckdb.DuckDBPyConnection, question: Question) -> pl.DataFrame:
    """How many rows `answer` counts in each group, the most first: the dimensions and `n`, where it is above 0.

    Of a duration only finished rows count, as in its n. Raises `Fault` as `answer` does.
    """
    asked = questions.dated(con, questions.checked(question))
    outcome = durations.outcome(asked.measure) if asked.measure.kind == "duration" else str(durations.FINISHED)
    matched, parameters = questions.matched(asked, (*questions.keys(asked.measure, asked.by), f"{outcome} as outcome"))
    where = f"left_out is null and outcome = {durations.FINISHED}"
    counted = estimators.summed(asked.by, ["count(*) as n"], f"matched\n  where {where}")
    order = ", ".join(["n desc", *map(questions.ordered, asked.by)])
    queries = questions.with_queries([("matched", matched), ("counted", counted)])
    return frame(con, Statement(f"{queries}\nselect *\nfrom counted\norder by {order}", parameters))


def series(con: duckdb.DuckDBPyConnection, question: Question, bucket: Bucket = "month") -> pl.DataFrame:
    """`answer` per day, week or month: the dimensions, `period` (its first day; weeks begin on Monday), the rest.

    Every group has every bucket of the period asked for, else from the first one seen, up to the clock of the
    marts; an empty one has n = 0 and value 0 for counts and sums, null otherwise. A group without any row is
    not listed. A level is told at the end of each bucket, a window measure over each; neither looks
    beyond the clock. Raises `Fault` for a measure that has no days to look at.
    """
    asked = questions.checked(question)
    if asked.measure.kind == "level":
        return _level_series(con, asked, bucket)
    if asked.measure.window or asked.measure.kind == "count_back":
        return _window_series(con, asked, bucket)
    by = [name for name in dict.fromkeys(question.by) if name != bucket]
    found = answer(con, replace(question, by=(*by, bucket))).rename({bucket: "period"})
    return with_empty_buckets(con, question, bucket, found, by)


def with_empty_buckets(
    con: duckdb.DuckDBPyConnection, question: Question, bucket: Bucket, found: pl.DataFrame, by: Sequence[str] = ()
) -> pl.DataFrame:
    """What was found per bucket with a row for each bucket in which nothing was, as `series` tells it."""
    days = _span(con, question, found["period"])
    if days is None or (by and found.is_empty()):
        return found
    every = pl.DataFrame({"period": buckets(*days, bucket)})
    if by:
        every = found.select(by).unique(maintain_order=True).join(every, how="cross")
    filled = every.join(found, on=[*by, "period"], how="left", maintain_order="left")
    added = metrics.catalogue()[question.measure].kind in ("sum", "count")
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
    asked = questions.checked(question)
    _refuse_but_durations(asked.measure)
    columns = (*questions.keys(asked.measure, asked.by), *durations.row_columns(asked.measure))
    matched, parameters = questions.matched(asked, columns)
    queries = (("matched", matched), *durations.curve_queries(asked.measure, asked.by))
    order = ", ".join([*map(questions.ordered, asked.by), "time"])
    drawn = durations.steps_of_curve(asked.measure, asked.by)
    return frame(
        con,
        Statement(f"{questions.with_queries(queries)}\nselect *\nfrom (\n  {drawn}\n)\norder by {order}", parameters),
    )


def log_rank(con: duckdb.DuckDBPyConnection, question: Question, dimension: str) -> Comparison:
    """Whether two groups of a dimension finish at different speed. What ended otherwise counts as open until then.

    Raises `Fault` for a measure that is no duration, and unless the rows counted fall into two groups.
    """
    asked = questions.checked(replace(question, by=(dimension,)))
    _refuse_but_durations(asked.measure)
    columns = (*questions.keys(asked.measure, asked.by), *durations.row_columns(asked.measure))
    matched, parameters = questions.matched(asked, columns)
    order = questions.ordered(dimension)
    there = f"select {dimension}\nfrom matched\nwhere left_out is null\ngroup by all"
    listed = f"{questions.with_queries([('matched', matched)])}\n{there}"
    groups = [str(row[0]) for row in con.execute(f"{listed}\norder by {order}", dict(parameters)).fetchall()]
    if len(groups) != 2:
        what = f"{dimension} has {len(groups)} groups here, and the log-rank test compares two."
        raise fault(f"measure {asked.measure.id}", what, "Filter until two are left.")
    queries = (("matched", matched), *durations.log_rank_queries(dimension))
    sql = f"{questions.with_queries(queries)}\nselect observed, expected, events, variance\nfrom compared"
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
    asked = questions.dated(con, questions.checked(question))
    measure, by = asked.measure, asked.by
    row_id, label = row_names()[measure.mart]
    if measure.kind == "duration":
        columns, value, kept = durations.row_columns(measure), "days", f" and outcome = {durations.FINISHED}"
    else:
        (columns, value), kept = _row_value(measure), ""
    day = () if "day" in by else (f"{questions.day_of(measure)} as day",)
    matched, parameters = questions.matched(
        asked, (f"{row_id} as id", f"{label} as label", *questions.keys(measure, by), *day, *columns)
    )
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
    return frame(con, Statement(sql, {**parameters, "limit": limit}))


def _row_value(measure: Measure) -> tuple[tuple[str, ...], str]:
    """What `matched` takes from a row for its number, and the number: its own share, ratio, amount or first step."""
    value = {
        "share": "part / whole",
        "ratio": f"{measure.scale} * part / whole",
        "steps": next((f"own_{step.key}" for step in measure.steps if step.sum), "1"),
        "count_back": "balance",
    }.get(measure.kind, "value")
    return estimators.row_columns(measure), value


def rows(con: duckdb.DuckDBPyConnection, question: Question, *, left_out: bool = False) -> pl.DataFrame:
    """The rows the answer was made from, or those left out with the reason in `left_out`; every column.

    Of a duration, `is_open` says which rows are not finished, and `is_ended` which ended otherwise.
    """
    asked = questions.dated(con, questions.checked(question))
    measure = asked.measure
    columns: tuple[str, ...] = ("m.*",)
    if measure.kind == "duration":
        added = {"is_open": f"({measure.open})", **({"is_ended": f"({measure.ended})"} if measure.ended else {})}
        source, parameters = questions.source_of(asked)
        described = (
            con.execute(f"select * from {source} as m limit 0", questions.used(source, parameters)).description or ()
        )
        there = [str(column[0]) for column in described if column[0] in added]
        columns = (
            f"m.* exclude ({', '.join(there)})" if there else "m.*",
            *(f"coalesce({sql}, false) as {name}" for name, sql in added.items()),
        )
    matched, parameters = questions.matched(asked, columns)
    shown, kept = ("*", "is not null") if left_out else ("* exclude (left_out)", "is null")
    sql = f"""with matched as (
{matched}
)
select {shown}
from matched
where left_out {kept}
order by {row_names()[measure.mart][0]}"""
    return frame(con, Statement(sql, parameters))


def sample(con: duckdb.DuckDBPyConnection, question: Question, limit: int = 5) -> pl.DataFrame:
    """A few of the rows the answer was made from, the largest first: `id`, `label`, the dimensions, `day`, `value` and,
    of a duration, `state` (finished, open or ended).
    """
    asked = questions.dated(con, questions.checked(question))
    measure, by = asked.measure, asked.by
    row_id, label = row_names()[measure.mart]
    day = () if "day" in by or not measure.period else (f"{questions.day_of(measure)} as day",)
    named = (f"{row_id} as id", f"{label} as label", *questions.keys(measure, by), *day)
    shown = ["id", "label", *by, *(["day"] if measure.period and "day" not in by else [])]
    if measure.kind == "duration":
        columns, value = durations.row_columns(measure), "days"
        state = (
            f"case outcome when {durations.OPEN} then 'open' when {durations.ENDED} then 'ended' else 'finished' end"
        )
        told = [f"{value} as value", f"{state} as state"]
    else:
        columns, value = _row_value(measure)
        told = [f"cast({value} as double) as value"]
    matched, parameters = questions.matched(asked, (*named, *columns))
    sql = f"""with matched as (
{matched}
)
select {", ".join([*shown, *told])}
from matched
where left_out is null
order by {value} desc nulls last, id
limit $limit"""
    return frame(con, Statement(sql, {**parameters, "limit": limit}))


def values(con: duckdb.DuckDBPyConnection, question: Question, name: str) -> list[str]:
    """The values of a dimension among the rows that the filters let through, counted or not."""
    asked = questions.dated(con, questions.checked(replace(question, by=(name,))))
    matched, parameters = questions.matched(asked, questions.keys(asked.measure, asked.by))
    sql = f"with matched as (\n{matched}\n)\nselect distinct {name} from matched order by {questions.ordered(name)}"
    return [str(value) for (value,) in con.execute(sql, dict(parameters)).fetchall()]


def explain(con: duckdb.DuckDBPyConnection, question: Question) -> Explanation:
    """The rule, the definition, the SQL with its parameters, and what was left out for which reason."""
    asked = questions.dated(con, questions.checked(question))
    measure = asked.measure
    outcome = durations.outcome(measure) if measure.kind == "duration" else str(durations.FINISHED)
    matched, parameters = questions.matched(asked, (f"{outcome} as outcome",))
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
        period=questions.period_text(asked),
        clock=asked.clock,
        settings=asked.settings,
        statement=_statement(asked),
        matched_rows=sum(counts.values()),
        counted_rows=counts.get(None, 0),
        open_rows=outcomes[durations.OPEN],
        ended_rows=outcomes[durations.ENDED],
        left_out=tuple(
            (each.reason, counts[each.reason], each.why) for each in questions.left_out(asked) if each.reason in counts
        ),
    )


def statement(question: Question) -> Statement:
    """The one SELECT that answers a question, and its parameters. Raises `Fault` as `answer` does.

    A window whose days are left to the clock has null for them here; `explain` gives them.
    """
    return _statement(questions.checked(question))


def _statement(asked: Asked) -> Statement:
    measure, by = asked.measure, asked.by
    estimate = _estimate(measure, by)
    matched, parameters = questions.matched(asked, (*questions.keys(measure, by), *estimate.columns))
    shown = [*by, *estimate.shown, note(asked, estimate)]
    sql = f"{questions.with_queries([('matched', matched), *estimate.queries])}\nselect {lines(shown)}\nfrom measured"
    if by:
        sql += f"\nwhere {estimate.kept}"
    if by or estimate.order:
        sql += f"\norder by {', '.join([*map(questions.ordered, by), *estimate.order])}"
    sql = questions.with_settings(sql, asked)
    return Statement(sql, questions.used(sql, {**parameters, **asked.values}))


def _estimate(measure: Measure, by: tuple[str, ...]) -> Estimate:
    if measure.kind == "duration":
        return durations.estimate(measure, by)
    # An open row of another kind has no date of its own yet, so it stands in no day, week or month.
    return estimators.estimate(measure, by, has_open=measure.open is not None and not set(by) & set(BUCKETS))


def note(asked: Asked, estimate: Estimate) -> str:
    """The column that says why a value is missing or limited."""
    notes = [
        f"case {' '.join(f'when {condition} then {words}' for condition, words in cases)} end"
        for cases in estimate.notes
    ]
    if not _uses_days(asked.measure) and (asked.question.since or asked.question.until):
        notes.append(quoted("the period does not apply: as it stands"))
    return f"nullif(concat_ws('; ', {', '.join(notes)}), '') as note"


def _uses_days(measure: Measure) -> bool:
    return measure.spans


def buckets(first: date, last: date, bucket: Bucket) -> pl.Series:
    """The first day of every bucket between two days."""
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


def _span(con: duckdb.DuckDBPyConnection, question: Question, seen: pl.Series) -> tuple[date, date] | None:
    """The first and last day a series covers: a quiet end is shown up to the clock, the future is not."""
    ends = [day for day in (question.until, questions.clock_day(con)) if day]
    starts, latest = [day for day in (question.since, seen.min()) if day], seen.max()
    last = max([day for day in (min(ends, default=None), latest) if isinstance(day, date)], default=None)
    return (starts[0], last) if starts and last and isinstance(starts[0], date) and starts[0] <= last else None


def _level_series(con: duckdb.DuckDBPyConnection, asked: Asked, bucket: Bucket) -> pl.DataFrame:
    """What stands at the end of each bucket: entries less departures so far, one running sum per group."""
    measure, question, by = asked.measure, replace(asked.question, since=None, until=None), asked.by
    enters, leaves = (
        questions.local(measure.enters),
        questions.local(measure.leaves) if measure.leaves else "cast(null as date)",
    )
    unbounded = replace(asked, question=question, measure=replace(measure, leaves=None))
    columns = (
        *questions.keys(measure, by),
        *estimators.row_columns(measure),
        f"{enters} as entered_on",
        f"case when {questions.is_by_now(leaves)} then greatest({leaves}, {enters}) end as left_on",
    )
    matched, parameters = questions.matched(unbounded, columns)
    keyed = "".join(f"{name}, " for name in by)
    moves = f"""select {keyed}entered_on as moved_on, 1 as moved_n, value as moved
  from matched
  where left_out is null
  union all
  select {keyed}left_on as moved_on, -1 as moved_n, -value as moved
  from matched
  where left_out is null and left_on is not null"""
    queries = [("matched", matched), ("moves", moves)]
    clock = questions.clock_day(con)
    ends: tuple[date | None, date | None] = (None, None)
    if asked.question.since is None or (asked.question.until or date.max) > clock:
        found = f"{questions.with_queries(queries)}\nselect min(moved_on), max(moved_on) from moves"
        ends = con.execute(found, parameters).fetchall()[0]
    first = asked.question.since or ends[0]
    last = min(day for day in (asked.question.until, max(clock, ends[1] or clock)) if day)
    shown = [*by, "period", "value", "n", "note"]
    if first is None or first > last:
        empty = frame(
            con,
            Statement(
                f"{questions.with_queries(queries)}\nselect {keyed}moved_on as period, 1.0 as value, moved_n as n, "
                "cast(null as varchar) as note from moves limit 0",
                parameters,
            ),
        )
        return empty.select(shown)
    starts = buckets(first, last, bucket).to_list()
    ends_on = [min(_last_day(day, bucket), last) for day in starts]
    parameters |= {"starts": starts, "ends": ends_on, "afters": [date.min, *ends_on[:-1]]}
    over = f"partition by {', '.join(by)} " if by else ""
    groups = f"(select distinct {', '.join(by)} from moves) cross join " if by else ""
    total = "n" if measure.value == "1" else "total"
    queries += [
        ("periods", "select unnest($starts) as period, unnest($ends) as ends_on, unnest($afters) as after"),
        # there are few days, and comparing each with every period is dear
        ("daily", f"""select {keyed}moved_on, sum(moved_n) as moved_n, sum(moved) as moved
  from moves
  group by all"""),
        ("placed", f"""select {keyed}period, sum(moved_n) as n, sum(moved) as total
  from daily inner join periods on moved_on <= ends_on and moved_on > after
  group by all"""),
        ("filled", f"""select {keyed}period, n, total
  from {groups}periods left join placed using ({keyed}period)"""),
        ("stood", f"""select {keyed}period, cast(coalesce(sum({total}) over run, 0) as double) as value,
    cast(coalesce(sum(n) over run, 0) as bigint) as n
  from filled
  window run as ({over}order by period rows between unbounded preceding and current row)"""),
    ]  # fmt: skip
    order = ", ".join([*map(questions.ordered, by), "period"])
    told = f"select {keyed}period, value, n, cast(null as varchar) as note\nfrom stood\norder by {order}"
    sql = f"{questions.with_queries(queries)}\n{told}"
    return frame(con, Statement(sql, parameters)).select(shown)


def _window_series(con: duckdb.DuckDBPyConnection, asked: Asked, bucket: Bucket) -> pl.DataFrame:
    """Each bucket asked as a window of its own, from its first day to its last, the running one to the clock."""
    clock = questions.clock_day(con)
    last = min(asked.question.until or clock, clock)
    first = asked.question.since or last - timedelta(days=(asked.measure.window or 1) - 1)
    if first > last:
        raise fault(f"measure {asked.measure.id}", f"there is no day from {first} to {last}.", "Ask for earlier days.")
    starts = buckets(first, last, bucket).to_list()
    windows = [(max(start, asked.question.since or start), min(_last_day(start, bucket), last)) for start in starts]
    if asked.measure.kind in ("steps", "count_back") or questions.looks_at_days(asked.measure.source):
        return _windows_apart(con, asked, starts, windows)
    told = _windows_at_once(con, asked, starts, windows)
    return told if asked.by or not told.is_empty() else _windows_apart(con, asked, starts, windows)


def _windows_at_once(
    con: duckdb.DuckDBPyConnection, asked: Asked, starts: list[date], windows: list[tuple[date, date]]
) -> pl.DataFrame:
    """Every window in one statement, whose rows are taken once for each of them."""
    by = (*asked.by, "period")
    estimate = _estimate(asked.measure, by)
    matched, parameters = questions.matched_per_window(
        asked, (*questions.keys(asked.measure, asked.by), *estimate.columns)
    )
    names = ("period", "since", "until")
    listed = ", ".join(f"unnest(${name}s) as {name}" for name in names)
    queries = [("windows", f"select {listed}"), ("matched", matched), *estimate.queries]
    kept = f"\nwhere {estimate.kept}" if asked.by else ""
    told = lines([*by, *estimate.shown, note(asked, estimate)])
    order = ", ".join([*map(questions.ordered, asked.by), "period"])
    sql = f"{questions.with_queries(queries)}\nselect {told}\nfrom measured{kept}\norder by {order}"
    days = ((start, *window) for start, window in zip(starts, windows, strict=True))
    lists = {f"{name}s": list(each) for name, each in zip(names, zip(*days, strict=True), strict=True)}
    return frame(con, Statement(sql, {**parameters, **lists}))


def _windows_apart(
    con: duckdb.DuckDBPyConnection, asked: Asked, starts: list[date], windows: list[tuple[date, date]]
) -> pl.DataFrame:
    """Each window asked by itself, where one statement cannot tell them all."""
    frames = []
    for start, (since, until) in zip(starts, windows, strict=True):
        found = answer(con, replace(asked.question, since=since if asked.measure.window else None, until=until))
        period = pl.lit(start).cast(pl.Date).alias("period")
        frames.append(found.with_columns(period).select([*asked.by, "period", *found.columns[len(asked.by) :]]))
    return pl.concat(frames).sort(asked.by, maintain_order=True) if asked.by else pl.concat(frames)


def frame(con: duckdb.DuckDBPyConnection, made: Statement) -> pl.DataFrame:
    """What a statement finds; exact decimals become doubles."""
    found = con.execute(_parsed(made.sql), dict(made.parameters)).to_arrow_table()
    return cast(pl.DataFrame, pl.from_arrow(found)).with_columns(pl.col(pl.Decimal).cast(pl.Float64))


@lru_cache(KEPT_STATEMENTS)
def _parsed(sql: str) -> duckdb.Statement:
    """A statement read once: reading takes up to a quarter of a small answer's time, and values are bound, not written.

    It belongs to no connection, and each asking takes a copy.
    """
    (one,) = duckdb.extract_statements(sql)
    return one


def _refuse_but_durations(measure: Measure) -> None:
    if measure.kind != "duration":
        known = ", ".join(name for name, one in metrics.catalogue().items() if one.kind == "duration")
        raise fault(f"measure {measure.id}", "is no duration, and has no curve.", f"Durations are: {known}.")
