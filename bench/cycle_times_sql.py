"""Cycle times by client and phase in DuckDB: one SELECT over the Parquet files, the one in cycle_times.sql."""

from __future__ import annotations

from pathlib import Path

import duckdb

THREADS = 2


def load(files: str) -> tuple[duckdb.DuckDBPyConnection, str]:
    """Nothing is loaded: the SELECT reads the files."""
    return duckdb.connect(config={"threads": THREADS}), files


def answer(loaded: tuple[duckdb.DuckDBPyConnection, str]) -> list[tuple[object, ...]]:
    con, files = loaded
    sql = Path(__file__).with_name("cycle_times.sql").read_text("utf-8")
    return con.execute(sql, {"files": files}).fetchall()
