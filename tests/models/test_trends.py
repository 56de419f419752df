"""What one statement tells for many days is what is told when each is asked about: trends, windows by month, counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import duckdb
import polars as pl
import pytest
from generated_portfolios import Records, for_every_portfolio, standing
from hand_made_marts import hand_made
from polars.testing import assert_frame_equal

from models import trends
from models.measure import Bucket, Question, answer, catalogue, counts, series
from models.trends import trend

QUARTER = Question("F1", since=date(2026, 4, 1), until=date(2026, 6, 29))
BEFORE = (date(2026, 1, 1), date(2026, 3, 31))
# a duration, one that may end otherwise, one of two marts; a share with what stands open beside; a ratio and a sum
KINDS = ("F1", "F18", "B1", "F8", "F6", "B12")


def alike(con: duckdb.DuckDBPyConnection, question: Question, bucket: Bucket = "month") -> None:
    """A trend is what is told one by one."""
    told = trend(con, question, BEFORE, bucket)
    before = replace(question, since=BEFORE[0], until=BEFORE[1])
    assert told.before is not None
    for found, expected in (
        (told.answer, answer(con, question)),
        (told.before, answer(con, before)),
        (told.series, series(con, question, bucket)),
    ):
        assert_frame_equal(found, expected, rel_tol=1e-12, abs_tol=0)


@pytest.mark.slow
@for_every_portfolio
def test_a_trend_tells_what_three_questions_tell(records: Records) -> None:
    con = standing(records)
    for measure in KINDS:
        alike(con, replace(QUARTER, measure=measure))
    alike(con, QUARTER, "week")
    alike(con, replace(QUARTER, where={"client": ("Client 0",)}))
    alike(con, replace(QUARTER, clock="working"), "day")
    for measure in ("F1", "F8"):
        alike(con, Question(measure))
    alike(con, Question("F10", until=QUARTER.until))
    alike(con, Question("F10", since=QUARTER.since))


@pytest.mark.slow
@for_every_portfolio
def test_a_window_by_months_is_each_month_asked_about(records: Records) -> None:
    con = standing(records)
    for measure, by in (("B5", ()), ("B7d", ("currency",)), ("B9", ()), ("S5a", ()), ("S5p", ())):
        question = replace(QUARTER, measure=measure, by=by, since=date(2026, 4, 10))
        told = series(con, question, "month")
        for month, first, last in ((4, 10, 30), (5, 1, 31), (6, 1, 29)):
            days = {"since": date(2026, month, first), "until": date(2026, month, last)}
            found = told.filter(pl.col("period") == date(2026, month, 1)).drop("period")
            assert_frame_equal(found, answer(con, replace(question, **days)), rel_tol=1e-12, abs_tol=0)


@pytest.mark.slow
@for_every_portfolio
def test_as_many_rows_are_counted_as_an_answer_rests_on(records: Records) -> None:
    con = standing(records)
    for measure in ("F1", "F4", "B1", "F10"):
        for by in ("client_id", "gate"):
            question = replace(QUARTER, measure=measure, by=(by,))
            expected = answer(con, question).filter(pl.col("n") > 0).select(by, "n")
            found = counts(con, question)
            assert found.sort(by).rows() == expected.sort(by).rows()
            assert found["n"].to_list() == sorted(found["n"], reverse=True)


@pytest.mark.slow
def test_every_measure_of_a_period_is_told_at_once_but_steps_and_where_there_is_nothing_says_why() -> None:
    con = hand_made()
    dated = {name: about for name, about in catalogue().items() if about.period}
    apart = [name for name in dated if not trends.is_told_at_once(replace(QUARTER, measure=name))]
    assert apart == ["B3p", "C11"]
    for name in dated:
        alike(con, replace(QUARTER, measure=name))


def test_groups_are_asked_one_by_one() -> None:
    assert trends.is_told_at_once(QUARTER)
    assert not trends.is_told_at_once(replace(QUARTER, by=("client",)))


def test_a_gate_begun_near_midnight_is_of_its_projects_day() -> None:
    """In New York 3 o'clock UTC is still the day before: so one begins before the quarter, one on its last day."""
    begun = {
        "march": "2026-04-01 03:00",
        "april": "2026-04-01 05:00",
        "june": "2026-06-30 03:00",
        "too late": "2026-06-30 05:00",
    }
    gates = [
        {"gate_id": name, "project_id": "p", "status": "approved", "cycle_days": 4.0, "started_at": at}
        for name, at in begun.items()
    ]
    con = hand_made(projects=[{"project_id": "p", "timezone": "America/New_York"}], gates=gates)
    told = trend(con, QUARTER, BEFORE)
    assert told.before is not None
    assert (told.answer["n"].to_list(), told.before["n"].to_list()) == ([2], [1])
    assert told.series["n"].to_list() == [1, 0, 1]


def test_where_there_is_no_period_before_none_is_told() -> None:
    assert trend(hand_made(), QUARTER, None).before is None
