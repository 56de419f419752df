"""What a reader asks of a measure at once: its answer, the one of the period before, and its way from month to month.

Each is what `measure.answer` and `measure.series` give, told by one statement, which reads the rows once. What stays
out: any reckoning of its own, and grouped questions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any

import duckdb
import polars as pl

from models import durations, estimators, measure, questions
from models.estimators import Estimate, lines
from models.metrics import Bucket, Clock, Measure
from models.questions import Asked, Question, Statement

Days = tuple[date, date]  # from, to; both included
# A row's places in time are the first days of buckets; two days on which nobody kept books stand for the whole periods.
_NOW, _BEFORE = date(1, 1, 1), date(1, 1, 2)


@dataclass(frozen=True, slots=True)
class Trend:
    """`answer` and `before` are answers (`before` None where no such days were asked for), `series` is a series."""

    answer: pl.DataFrame
    before: pl.DataFrame | None
    series: pl.DataFrame


def trend(con: duckdb.DuckDBPyConnection, question: Question, before: Days | None, bucket: Bucket = "month") -> Trend:
    """The answer, the answer over the days `before`, and the series; of a question that is not grouped.

    Raises `Fault` as `measure.answer` and `measure.series` do.
    """
    asked = questions.checked(question)
    if not is_told_at_once(question):
        earlier = _earlier(con, question, before)
        return Trend(measure.answer(con, question), earlier, measure.series(con, question, bucket))
    found = measure.frame(con, _statement(asked, before, bucket))
    now, earlier = (_at(found, place) for place in (_NOW, _BEFORE))
    return Trend(
        measure.answer(con, question) if now is None else now,
        _earlier(con, question, before) if earlier is None else earlier,
        _series(con, asked, bucket, found),
    )


def _earlier(con: duckdb.DuckDBPyConnection, question: Question, before: Days | None) -> pl.DataFrame | None:
    return None if before is None else measure.answer(con, replace(question, since=before[0], until=before[1]))


def _at(found: pl.DataFrame, place: date) -> pl.DataFrame | None:
    """The answer at a place; None where nothing counts there, so that nothing tells why."""
    told = found.filter(pl.col("place") == place).drop("place")
    return None if told.is_empty() else told


def _series(con: duckdb.DuckDBPyConnection, asked: Asked, bucket: Bucket, found: pl.DataFrame) -> pl.DataFrame:
    beside = ["open_n"] if _has_open_beside(asked.measure) else []
    told = found.filter(pl.col("place") > _BEFORE).rename({"place": "period"}).drop(beside)
    return measure.with_empty_buckets(con, asked.question, bucket, told)


def is_told_at_once(question: Question) -> bool:
    """Whether one statement tells it; otherwise each of the three has to be asked by itself."""
    return not question.by and _has_days_of_its_own(question.measure, question.clock)


@cache
def _has_days_of_its_own(name: str, clock: Clock | None) -> bool:
    """Whether a measure's rows have a day each, and count for the same whatever days are asked about."""
    asked = questions.checked(Question(name, clock=clock))
    about = asked.measure
    if not about.period or about.window or about.kind in ("level", "steps", "count_back"):
        return False
    rows, _ = _rows(asked, _estimate(about))
    return not questions.looks_at_days(rows)


def _rows(
    asked: Asked, estimate: Estimate, limits: tuple[date | None, date | None] = (None, None)
) -> tuple[str, dict[str, Any]]:
    """The rows of all days, with their own day."""
    about = asked.measure
    beside = [f"({about.open}) as is_open"] if _has_open_beside(about) else []
    columns = (f"{_day(about, limits)} as on_day", *estimate.columns, *beside)
    return questions.matched(replace(asked, question=replace(asked.question, since=None, until=None)), columns)


def _statement(asked: Asked, before: Days | None, bucket: Bucket) -> Statement:
    """One SELECT with a row for each place."""
    question, estimate = asked.question, _estimate(asked.measure)
    rows, parameters = _rows(asked, estimate, _limits(question, before))
    queries = [("found", rows), ("matched", _placed(question, before, bucket)), *estimate.queries]
    shown, measured = ["place", *estimate.shown], "measured"
    if _has_open_beside(asked.measure):  # an open row has no day yet, so it stands beside every answer
        queries.append(("opened", "select count(*) filter (where is_open) as open_n\n  from found"))
        shown, measured = [*shown, "open_n"], "measured cross join opened"
    told = lines([*shown, measure.note(asked, estimate)])
    sql = f"{questions.with_queries(queries)}\nselect {told}\nfrom {measured}\nwhere {estimate.kept}"
    sql = questions.with_settings(sql, asked)
    days = dict(zip(("before_since", "before_until"), before or (None, None), strict=True))
    limits = dict(zip(("earliest", "latest"), _limits(question, before), strict=True))
    return Statement(sql, questions.used(sql, {**parameters, **asked.values, **days, **limits}))


def _limits(question: Question, before: Days | None) -> tuple[date | None, date | None]:
    """The first and the last day that is looked at; None where there is no limit."""
    since, until = question.since, question.until
    if before:
        since, until = since and min(since, before[0]), until and max(until, before[1])
    return since, until


def _estimate(about: Measure) -> Estimate:
    if about.kind == "duration":
        return durations.estimate(about, ("place",))
    return estimators.estimate(about, ("place",), has_open=False)


def _has_open_beside(about: Measure) -> bool:
    return about.open is not None and about.kind != "duration"


def _day(about: Measure, limits: tuple[date | None, date | None]) -> str:
    """A row's day; that of an instant, whose zone is slow to ask for, only where it may be one of those looked at."""
    assert about.period is not None
    day, (earliest, latest) = questions.local(about.period), limits
    is_near = [f"{about.period} >= cast($earliest as date) - interval 2 day"] if earliest else []
    is_near += [f"{about.period} < cast($latest as date) + interval 3 day"] if latest else []
    if day == about.period or not is_near:
        return day
    return f"case when {' and '.join(is_near)} then {day} end"


def _placed(question: Question, before: Days | None, bucket: Bucket) -> str:
    """Every row that counts, once for each place that it stands at."""
    now = ["on_day >= $since"] if question.since else []
    now += ["on_day <= $until"] if question.until else []
    places = [(f"date '{_NOW}'", now), (f"cast(date_trunc('{bucket}', on_day) as date)", now)]
    if before:
        is_before = "on_day between cast($before_since as date) and cast($before_until as date)"
        places.append((f"date '{_BEFORE}'", [is_before]))
    return "\n  union all\n  ".join(
        f"select * exclude (on_day), {place} as place\n  from found\n  where "
        + " and ".join(["left_out is null", *when])
        for place, when in places
    )
