"""Marts of a few hand-made rows, for tests of measures: the columns of the real models, types by name."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import count, groupby
from typing import Any

import duckdb

from models import catalog

DIMENSIONS = {
    "firm": "Northlight Studio",
    "client_id": "northlight:c1",
    "client": "Acme",
    "project_id": "northlight:p1",
    "project": "Rebrand",
    "playbook": "brand_identity",
    "manager": "Ada",
}
AS_OF = datetime(2026, 6, 30, 12)
INTEGERS = ("sequence", "attempt", "version", "row_count", "working_before")
NUMBERS = ("hours", "link_confidence", "slip_rate")


def type_of(column: str) -> str:
    """The SQL type a column of this name has."""
    if column.endswith("_at"):
        return "timestamp"
    if column.endswith("_on"):
        return "date"
    if column == "amount" or column.endswith(("_amount", "amount_local")):
        return "decimal(18, 2)"
    if column.endswith(("_days", "_months", "_pct")) or column in NUMBERS or column == "days_past_due":
        return "double"
    if column.startswith(("is_", "has_")) or column in ("locks_scope", "client_visible"):
        return "boolean"
    return "integer" if column.endswith("_count") or column in INTEGERS else "varchar"


def hand_made(**tables: Iterable[Mapping[str, Any]]) -> duckdb.DuckDBPyConnection:
    """A database with every mart, holding the rows given; what is not given is one project's, at the end of June 2026."""
    con, columns = _empty(), _columns()
    project = {"project_id": "northlight:p1", "timezone": "UTC"}
    for name, rows in {"projects": [project], "clock": [{"as_of_at": AS_OF}], **tables}.items():
        known = {each: value for each, value in DIMENSIONS.items() if each in columns[name]}
        for named, alike in groupby((known | dict(row) for row in rows), key=tuple):
            insert(con, name, named, [list(row.values()) for row in alike])
    return con


def _empty() -> duckdb.DuckDBPyConnection:
    """A database of its own with every mart and no row, in an engine that is started once."""
    con = _engine().cursor()
    name = f"marts_{next(_numbers)}"
    con.execute(f"attach ':memory:' as {name}")
    weakref.finalize(con, _engine().execute, f"detach {name}")
    con.execute(f"use {name}")
    for statement in _tables():
        con.execute(statement)
    return con


_numbers = count()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


@cache
def _columns() -> dict[str, tuple[str, ...]]:
    return {name: tuple(model.columns) for name, model in catalog.marts().items()}


@cache
def _tables() -> list[duckdb.Statement]:
    """What makes the tables, read once."""
    tables = (
        f"create table marts.{name} ({', '.join(f'{each} {type_of(each)}' for each in names)})"
        for name, names in _columns().items()
    )
    return duckdb.extract_statements("; ".join(("begin", "create schema marts", *tables, "commit")))


def insert(con: duckdb.DuckDBPyConnection, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows with values for the same columns; a column the mart does not have is an error."""
    marks = f"({', '.join('?' * len(names))})"
    con.execute(
        f"insert into marts.{table} ({', '.join(names)}) values {', '.join([marks] * len(rows))}",
        [value for row in rows for value in row],
    )
