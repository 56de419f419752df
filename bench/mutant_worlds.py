"""What each test gives the models: the tables that every mart was made from, and what came of them.

So a broken mart need not be shown to every test that makes it: made anew from the same tables, most often it is as
before, and then the test cannot tell. What stays out: breaking models, and running tests (mutants.py).
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from models import build, catalog, questions
from models.build import Connection, Moment
from models.faults import Fault

Print = tuple[str, int, int]  # a table's name, its rows, and the sum of their hashes


@dataclass(frozen=True, slots=True)
class World:
    """One making of a mart: when, from which tables, and what it came to."""

    mart: str
    moment: Moment
    tables: frozenset[Print]
    gave: Print


@dataclass(slots=True)
class Recorded:
    """One test: its CPU seconds, its worlds, the measures it asked for, and whether it reads the portal's mapping."""

    seconds: float = 0.0
    worlds: dict[World, None] = field(default_factory=dict)  # in their order
    measures: set[str] = field(default_factory=set)
    maps_portal: bool = False

    def of(self, mart: str) -> list[World]:
        return [world for world in self.worlds if world.mart == mart]


@dataclass(slots=True)
class Kept:
    """What a run of tests left: each test, and the rows of all tables, once each."""

    tests: dict[str, Recorded] = field(default_factory=dict)
    tables: dict[Print, tuple[str, bytes]] = field(default_factory=dict)  # columns with their types, rows
    failed: list[str] = field(default_factory=list)


def printed(con: Connection, table: str) -> Print:
    rows, total = con.execute(f"select count(*), coalesce(sum(hash(one)), 0) from {table} as one").fetchall()[0]
    return table.rpartition(".")[2], rows, int(total)


class Recorder:
    """A plugin that notes what each test makes and asks."""

    def __init__(self) -> None:
        self.kept = Kept()
        self._now = Recorded()
        self._noting = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now = self.kept.tests.setdefault(item.nodeid, Recorded())
        self._noting = 0.0
        began = time.process_time()
        result = yield
        self._now.seconds = time.process_time() - began - self._noting
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.kept.failed.append(report.nodeid)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        builds, checks, maps = build.build, questions.checked, catalog.staging

        def built(con: Any, model: Any, moment: Any) -> None:
            began = time.process_time()
            tables = frozenset(self._print(con, table) for table in model.reads)
            self._noting += time.process_time() - began
            builds(con, model, moment)
            self._now.worlds[World(model.name, moment, tables, printed(con, model.table))] = None

        def checked(question: Any) -> Any:
            self._now.measures.add(question.measure)
            return checks(question)

        def mapped(folder: Path) -> Any:
            self._now.maps_portal |= folder.name == "portal"
            return maps(folder)

        build.build, questions.checked, catalog.staging = built, checked, mapped
        yield

    def _print(self, con: Connection, table: str) -> Print:
        """A table's print, and its rows kept."""
        key = (table, *printed(con, table)[1:])
        if key not in self.kept.tables:
            stream = io.BytesIO()
            con.sql(f"select * from {table}").pl().write_ipc(stream)
            described = con.execute(f"describe select * from {table}").fetchall()
            columns = ", ".join(f'"{column}" {kind}' for column, kind, *_ in described)
            self.kept.tables[key] = (columns, stream.getvalue())
        return key


class Replay:
    """Makes a mart anew, as its file says now, in worlds that were kept; each world once."""

    def __init__(self, tables: dict[Print, tuple[str, bytes]]) -> None:
        self._tables = tables
        self._told: dict[World, bool] = {}
        self._there: dict[str, Print] = {}
        self._con = duckdb.connect(config={"threads": 1})
        build.prelude(self._con)

    def differs(self, world: World) -> bool:
        """Whether the mart comes to something else than it did, or does not come about."""
        if world not in self._told:
            self._told[world] = self._made(world) != world.gave
        return self._told[world]

    def _made(self, world: World) -> Print | None:
        model = catalog.marts()[world.mart]
        for key in world.tables:
            self._put(key)
        self._there.pop(model.table, None)
        try:
            build.build(self._con, model, world.moment)
        except Fault:
            return None
        return printed(self._con, model.table)

    def _put(self, key: Print) -> None:
        table = key[0]
        if self._there.get(table) != key:
            columns, rows = self._tables[key]
            self._con.execute(f"create or replace table {table} ({columns})")
            self._con.register("kept_rows", pl.read_ipc(io.BytesIO(rows)))
            self._con.execute(f"insert into {table} select * from kept_rows")
            self._con.unregister("kept_rows")
            self._there[table] = key
