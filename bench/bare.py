"""The peer of a refresh: the very statements that made staging and marts, replayed bare in one connection.

The statements are taken down while the tables are made once more, then run on a copy of the warehouse with
nothing around them: no orchestrator, no checks, no snapshot. What stays out: judging the difference.
"""

from __future__ import annotations

import shutil
import time
from datetime import datetime
from typing import Any

import duckdb

from models import build
from pipelines import warehouse
from pipelines.settings import Settings


class Dictaphone:
    """A connection that takes down every statement that makes or drops a table."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self.taken: list[tuple[str, Any]] = []

    def execute(self, sql: str, parameters: Any = None) -> duckdb.DuckDBPyConnection:
        is_reference = sql.startswith("create or replace table reference.")  # the copy has those already
        if sql.lstrip().startswith(("create or replace", "drop table")) and not is_reference:
            self.taken.append((sql, parameters))
        return self._con.execute(sql, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)


def seconds(settings: Settings, as_of: datetime, runs: int = 3) -> float:
    """The best of some runs, wall-clock seconds."""
    statements = _statements(settings, as_of)
    return min(_replay(settings, statements) for _ in range(runs))


def _statements(settings: Settings, as_of: datetime) -> list[tuple[str, Any]]:
    at = warehouse.moment(settings, as_of)
    with warehouse.open_warehouse(settings.warehouse) as con:
        taking: Any = Dictaphone(con)
        warehouse.stage_all(taking, warehouse.staged_sources(settings), at)
        warehouse.build_all(taking, at)
    return list(taking.taken)


def _replay(settings: Settings, statements: list[tuple[str, Any]]) -> float:
    copy = settings.warehouse.with_name("bare.duckdb")
    shutil.copy(settings.warehouse, copy)
    con = duckdb.connect(str(copy))
    try:
        build.prelude(con)
        for schema in ("staging", "marts"):
            con.execute(f"drop schema {schema} cascade")
            con.execute(f"create schema {schema}")
        began = time.perf_counter()
        for sql, parameters in statements:
            con.execute(sql, parameters)
        return time.perf_counter() - began
    finally:
        con.close()
        copy.unlink()
