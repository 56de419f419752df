"""The catalogue, the rules page and the marts' headers agree."""

from __future__ import annotations

import re

import duckdb
import pytest
import sqlglot
from hand_made_marts import hand_made
from sqlglot import exp

from models import catalog, measure
from models.measure import Question, answer, catalogue, dimensions, distribution, explain, rows, rules, statement

MEASURES = list(catalogue().values())


def columns_read(sql: str) -> dict[str, set[str]]:
    """The columns a SELECT takes from each mart."""
    tree = sqlglot.parse_one(sql, dialect="duckdb")
    schema = {"marts": {name: dict.fromkeys(model.columns, "varchar") for name, model in catalog.marts().items()}}
    tree = sqlglot.optimizer.qualify.qualify(tree, schema=schema, dialect="duckdb")
    read: dict[str, set[str]] = {}
    for scope in sqlglot.optimizer.scope.traverse_scope(tree):
        for column in scope.columns:
            source = scope.sources.get(column.table)
            if isinstance(source, exp.Table):
                read.setdefault(source.name, set()).add(column.name)
    return read


@pytest.mark.parametrize("about", MEASURES, ids=lambda about: about.id)
def test_a_measure_reads_only_columns_that_its_marts_describe(about: measure.Measure):
    read = columns_read(statement(Question(about.id, by=about.dimensions)).sql)
    assert about.mart in catalog.marts()
    assert read
    for mart, columns in read.items():
        assert columns <= catalog.marts()[mart].columns.keys()


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    return hand_made()


@pytest.mark.parametrize("about", MEASURES, ids=lambda about: about.id)
def test_a_measure_answers_by_every_dimension_it_lists(about: measure.Measure, con: duckdb.DuckDBPyConnection):
    names = tuple(name for name in about.dimensions if name not in measure.BUCKETS)
    found = answer(con, Question(about.id, by=names, where=dict.fromkeys(names, ("x",))))
    assert (*found.columns[: len(names)],) == names
    for name in {*about.dimensions} - {*names}:
        assert answer(con, Question(about.id, by=(name,))).columns[0] == name
    assert {*about.dimensions} <= {*distribution(con, Question(about.id, by=about.dimensions)).columns}
    assert rows(con, Question(about.id)).columns == rows(con, Question(about.id), left_out=True).columns[:-1]
    assert explain(con, Question(about.id)).matched_rows in (0, 1)  # the one project that the marts begin with


@pytest.mark.parametrize("about", MEASURES, ids=lambda about: about.id)
def test_a_measure_has_a_rule_with_an_example_and_says_what_it_leaves_out(about: measure.Measure):
    rule = rules()[about.rule]
    assert "Example" in rule
    assert about.rule == re.match(r"[A-Z]\d+", about.id)[0]  # F5w follows rule F5
    if about.id != about.rule:
        assert about.id in rule
    assert about.definition.endswith(".")
    assert all(entry.reason and entry.when and entry.why for entry in about.left_out)


def test_every_rule_on_the_page_is_followed_by_a_measure():
    assert set(rules()) == {about.rule for about in MEASURES}


def test_reasons_within_a_measure_differ():
    for about in MEASURES:
        reasons = [entry.reason for entry in about.left_out]
        assert len(set(reasons)) == len(reasons)


def test_every_dimension_is_offered_by_a_measure():
    assert set(dimensions()) | set(measure.BUCKETS) == {name for about in MEASURES for name in about.dimensions}


def test_a_measure_with_a_period_takes_it_from_a_date_or_an_instant():
    assert all(about.period.endswith(("_at", "_on")) for about in MEASURES if about.period)


def test_percentiles_are_shown_from_the_n_that_the_conventions_state():
    told = {about.min_n for about in MEASURES if about.kind in ("percentile", "duration")}
    assert told == {measure.MIN_N}
    assert (measure.MIN_N, measure.MIN_N_P85, measure.MIN_N_P95) == (6, 19, 59)


@pytest.mark.parametrize(("q", "n"), [(0.5, measure.MIN_N), (0.85, measure.MIN_N_P85), (0.95, measure.MIN_N_P95)])
def test_every_percentile_needs_the_smallest_sample_that_bounds_it(q: float, n: int):
    """A sample's extremes enclose P50 with 1 - 2/2^n, its largest value bounds P85 and P95 from above with 1 - q^n."""
    assert n == next(k for k in range(1, 100) if 1 - q**k - (q**k if q == 0.5 else 0) >= 0.95)
