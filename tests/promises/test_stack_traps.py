"""What stacks like this one were seen to do wrong by their defaults, and that Milepost does otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import small_firm

from models import build
from pipelines import pulling
from pipelines.definitions import assemble
from pipelines.settings import PROJECT


def code(*folders: str) -> Iterator[tuple[str, str]]:
    """Every file of the folders that runs, and its text in lower case."""
    for folder in folders:
        for file in sorted((PROJECT / folder).rglob("*")):
            if file.suffix in (".py", ".sql"):
                yield str(file.relative_to(PROJECT)), file.read_text("utf-8").lower()


def having(pattern: str, *folders: str) -> list[str]:
    return [name for name, text in code(*folders) if re.search(pattern, text)]


def test_all_tables_are_made_in_one_process_which_ends_after_an_hour_at_most(tmp_path: Path) -> None:
    job = assemble(small_firm.found(tmp_path / "data")).resolve_job_def("refresh")
    assert job.executor_def.name == "in_process"
    assert job.tags["dagster/max_runtime"] == "3600"


def test_no_table_is_altered_in_place() -> None:
    assert having(r"\balter (table|index)\b|\bdrop index\b", "pipelines", "models") == []


def test_many_small_files_are_never_read_by_the_engine_one_by_one() -> None:
    assert having(r"\bread_(json|ndjson)", "pipelines", "models") == []


def test_the_dashboard_never_opens_the_warehouse() -> None:
    assert having(r"\.warehouse\b|warehouse\.duckdb|open_warehouse", "dashboard") == []


def test_records_are_loaded_as_parquet_by_one_worker() -> None:
    assert having(r'run\(records, loader_file_format="parquet"\)', "pipelines") == ["pipelines/pulling.py"]
    assert pulling._DLT["load"]["workers"] == 1


def test_a_reader_beside_a_build_sees_all_tables_as_they_were_until_all_are_new() -> None:
    with duckdb.connect() as writing:
        writing.execute("create table a as select 1 as n; create table b as select 1 as n")
        reading = writing.cursor()

        def seen() -> list[tuple[int, int]]:
            return reading.execute("select a.n, b.n from a, b").fetchall()

        with build.together(writing):
            writing.execute("create or replace table a as select 2 as n")
            assert seen() == [(1, 1)]
            writing.execute("create or replace table b as select 2 as n")
            assert seen() == [(1, 1)]
        assert seen() == [(2, 2)]
        with pytest.raises(duckdb.Error):
            break_off(writing)
        assert seen() == [(2, 2)]


def break_off(writing: duckdb.DuckDBPyConnection) -> None:
    with build.together(writing):
        writing.execute("create or replace table a as select 3 as n")
        writing.execute("create or replace table b as select nonesuch as n")
