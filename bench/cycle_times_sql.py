"""Cycle times by client and phase in DuckDB: the statements in cycle_times.sql, over the Parquet files.

The engine is started when this is imported, as the threads of polars are; it keeps nothing of the files.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

THREADS = 2
ENGINE = duckdb.connect(config={"threads": THREADS, "enable_external_file_cache": False})


def load(files: str) -> str:
    """Nothing is loaded: the statements read the files."""
    return files


def answer(files: str) -> list[tuple[object, ...]]:
    sql = Path(__file__).with_name("cycle_times.sql").read_text("utf-8")
    for statement in ENGINE.extract_statements(sql):
        answered = ENGINE.execute(statement, {"files": files})
    return answered.fetchall()
