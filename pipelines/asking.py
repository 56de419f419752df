"""Asks a measure of the snapshot that serves, or of the marts rebuilt for another instant.

What stays out: what a measure means (models/measure.py) and how the answer is printed (cli.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import duckdb

from models import measure
from models.faults import Fault, Problem, fault
from models.measure import Question
from pipelines import snapshots, warehouse
from pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as the dashboard shows them. `snapshot` is None where the marts were rebuilt for another instant."""

    rows: list[dict[str, Any]]
    unit: str  # of `value`; the reporting currency's code for money
    as_of: datetime
    snapshot: str | None


def ask(settings: Settings, question: Question, as_of: datetime | None = None) -> Answer:
    """The answer as of the snapshot, or as of another instant from the warehouse's records.

    Raises `Fault` for a measure, dimension or value that does not exist, naming those that do.
    """
    measure.statement(question)  # refuses an unknown measure or dimension before anything is opened
    serving = snapshots.newest(settings.snapshots)
    if serving is None:
        raise fault(str(settings.snapshots), "there is no snapshot yet.", "Run: milepost refresh")
    is_served = as_of is None or as_of == serving.as_of
    with _snapshot(serving) if is_served else _rebuilt(settings, as_of or serving.as_of) as con:
        _refuse_unknown_values(con, question)
        rows = measure.answer(con, question).to_dicts()
    unit = measure.catalogue()[question.measure].unit
    return Answer(
        rows,
        settings.reporting_currency if unit == "money" else unit,
        as_of or serving.as_of,
        serving.id if is_served else None,
    )


@contextmanager
def _snapshot(serving: snapshots.Snapshot) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(serving.path), read_only=True) as con:
        con.execute("set TimeZone = 'UTC'")
        yield con


@contextmanager
def _rebuilt(settings: Settings, as_of: datetime) -> Iterator[duckdb.DuckDBPyConnection]:
    """The marts as of another instant, with the one row about themselves that a snapshot has."""
    with warehouse.rebuilt(settings, as_of) as con:
        con.execute(
            "create table if not exists marts.snapshot as select cast($as_of as timestamp) as as_of",
            {"as_of": as_of.astimezone(UTC).replace(tzinfo=None)},
        )
        yield con


def _refuse_unknown_values(con: duckdb.DuckDBPyConnection, question: Question) -> None:
    """A filter on a value that occurs nowhere is a slip of the pen, not an empty answer."""
    problems = []
    for name, values in question.where.items():
        if name in measure.BUCKETS:
            continue
        known = _values(con, question, name)
        if unknown := [value for value in values if value not in known]:
            problems.append(Problem(f"--where {name}", f"there is no {unknown[0]!r}.", f"There are: {_some(known)}."))
    if problems:
        raise Fault(problems)


def _values(con: duckdb.DuckDBPyConnection, question: Question, name: str) -> list[str]:
    dimension = measure.dimensions()[name]
    if name in measure.COMMON:
        sql = f"select distinct coalesce({dimension.column}, $empty) as name from marts.projects order by name"
        return [str(row[0]) for row in con.execute(sql, {"empty": dimension.empty}).fetchall()] + [dimension.empty]
    every = measure.answer(con, replace(question, by=(name,), where={}, since=None, until=None))
    return [str(value) for value in every[name].to_list()]


def _some(values: list[str]) -> str:
    shown = ", ".join(dict.fromkeys(values[:30]))
    return f"{shown} and {len(values) - 30} more" if len(values) > 30 else shown or "none"
