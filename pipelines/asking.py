"""Asks a measure of the snapshot that serves, or of the marts rebuilt for another instant or in another currency.

What stays out: what a measure means (models/measure.py) and how the answer is printed (cli.py, explaining.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import duckdb

from models import build, measure
from models.explaining import Answer, Told
from models.faults import Fault, Problem, fault
from models.measure import Question
from pipelines import snapshots, warehouse
from pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class _Marts:
    con: duckdb.DuckDBPyConnection
    as_of: datetime
    snapshot: str | None
    currency: str


def ask(settings: Settings, question: Question, as_of: datetime | None = None, currency: str | None = None) -> Answer:
    """The answer as of the snapshot, or as of another instant or in another currency from the warehouse's records.

    Raises `Fault` for a measure, dimension or value that does not exist, naming those that do, and for a rate
    that is missing.
    """
    measure.statement(question)  # refuses an unknown measure or dimension before anything is opened
    with _marts(settings, as_of, currency) as marts:
        _refuse_unknown_values(marts.con, question)
        return _answer(marts, question)


def explained(
    settings: Settings, question: Question, as_of: datetime | None = None, currency: str | None = None, rows: int = 5
) -> Told:
    """As `ask`, with the rule, the SQL, what was left out and why, and the largest of the rows used."""
    measure.statement(question)
    with _marts(settings, as_of, currency) as marts:
        _refuse_unknown_values(marts.con, question)
        sample = measure.sample(marts.con, question, rows).to_dicts()
        return Told(_answer(marts, question), measure.explain(marts.con, question), sample)


def _answer(marts: _Marts, question: Question) -> Answer:
    rows = measure.answer(marts.con, question).to_dicts()
    unit = measure.catalogue()[question.measure].unit
    return Answer(rows, marts.currency if unit == "money" else unit, marts.as_of, marts.snapshot, marts.currency)


@contextmanager
def _marts(settings: Settings, as_of: datetime | None, currency: str | None) -> Iterator[_Marts]:
    """The snapshot where it is of that instant and currency, else the marts rebuilt in memory."""
    if currency is not None and not re.fullmatch(r"[A-Z]{3}", currency):
        raise fault("--currency", f"{currency!r} is no currency code.", "Write EUR, say.")
    serving = snapshots.newest(settings.snapshots)
    if serving is None:
        raise fault(str(settings.snapshots), "there is no snapshot yet.", "Run: milepost refresh")
    moment = as_of or serving.as_of
    with duckdb.connect(str(serving.path), read_only=True) as con:
        build.steady(con)
        snapshots.refuse_unlike(con, serving.path)
        (kept_in,) = con.execute("select reporting_currency from marts.snapshot").fetchall()[0]
        if moment == serving.as_of and currency in (None, kept_in):
            yield _Marts(con, moment, serving.id, str(kept_in))
            return
    asked_for = currency or settings.reporting_currency
    with warehouse.rebuilt(settings, moment, asked_for) as con:
        con.execute(  # the one row about themselves that a snapshot has
            "create table if not exists marts.snapshot as "
            "select cast($as_of as timestamp) as as_of, $currency as reporting_currency",
            {"as_of": moment.astimezone(UTC).replace(tzinfo=None), "currency": asked_for},
        )
        yield _Marts(con, moment, None, asked_for)


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
    return measure.values(con, replace(question, where={}, since=None, until=None), name)


def _some(values: list[str]) -> str:
    shown = ", ".join(dict.fromkeys(values[:30]))
    return f"{shown} and {len(values) - 30} more" if len(values) > 30 else shown or "none"
