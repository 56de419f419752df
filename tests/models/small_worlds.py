"""Small worlds in contract columns, built through the real staging and marts in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, cast

import duckdb
import polars as pl
import pytest

from models import admission, build, catalog
from models.admission import StagedSource
from models.build import Moment
from pipelines import calendars

Rows = Sequence[Mapping[str, Any]]
World = Callable[..., duckdb.DuckDBPyConnection]

CLIENT = {"source_key": "c1", "name": "Aster", "timezone": "America/New_York", "currency": "USD"}
PROJECT = {
    "source_key": "p1",
    "client": "c1",
    "name": "Rebrand",
    "playbook": "brand_identity",
    "manager": "Ida",
    "contract_amount": "1000.00",
    "currency": "USD",
    "signed_at": "2026-01-01T12:00:00Z",
    "kickoff_at": "2026-01-02T12:00:00Z",
}
GATE = {
    "source_key": "g1",
    "project": "p1",
    "name": "Kickoff",
    "sequence": 1,
    "approver_side": "client",
    "bills_pct": 40,
    "history_quality": "log",
}


def events(gate: str, *happened: tuple[str, str], side: str = "client") -> list[dict[str, Any]]:
    """Event rows of a gate from (type, instant) pairs."""
    return [
        {
            "source_key": f"{gate}-{n}",
            "milestone": gate,
            "type": kind,
            "occurred_at": at,
            "origin": "log",
            "actor_side": side if kind in ("approved", "changes_requested", "rejected") else "team",
        }
        for n, (kind, at) in enumerate(happened, 1)
    ]


@pytest.fixture
def world() -> Iterator[World]:
    """Builds everything from records in contract columns: `world(as_of, clients=[…], projects=[…], …)`.

    Clients, projects and milestones default to one each. `rates` are (day, currency, rate) rows; `before` loads
    what else stands in `reference`.
    """
    opened: list[duckdb.DuckDBPyConnection] = []

    def make(
        as_of: str = "2026-06-30T00:00:00",
        rates: Rows = (),
        before: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
        **records: Rows,
    ) -> duckdb.DuckDBPyConnection:
        con = small()
        opened.append(con)
        prepare(con, rates)
        if before:
            before(con)
        receive(con, "t", {"clients": [CLIENT], "projects": [PROJECT], "milestones": [GATE], **records})
        unfold(con, [StagedSource("t", None, "raw_t")], as_of)
        return con

    yield make
    for con in opened:
        con.close()


def small() -> duckdb.DuckDBPyConnection:
    """A database in memory for a few rows, of which `unfold` makes what statements name."""
    con = duckdb.connect(config={"threads": 1})  # more would only wait for each other
    return cast(duckdb.DuckDBPyConnection, Unfolding(con))


def unfold(
    con: duckdb.DuckDBPyConnection, sources: Sequence[StagedSource], as_of: str, **terms: str
) -> list[build.Finding]:
    """What `make_all` does, but that each mart is made when a statement first names it; again is the next refresh.

    Sources send records in contract columns; entities that none of them sent stay without rows. `terms` are those
    of a `Moment`.
    """
    assert isinstance(con, Unfolding), "a database of small()"
    at = Moment(as_of=datetime.fromisoformat(as_of), **terms)
    schemas = ", ".join(f"'{source.raw}'" for source in sources)
    received = con.execute(f"select table_name from duckdb_tables() where schema_name in ({schemas})").fetchall()
    sent = {table for (table,) in received}
    for entity, empty in empty_tables().items():
        if entity not in sent:
            con.execute(empty)
    findings = stage_all(con, sources, at, sent)
    con.begin_with(at)
    return findings


@cache
def empty_tables() -> dict[str, str]:
    """The statement that makes each staging table without rows where it is not there, as admission makes it."""
    with small() as con:
        prepare(con)
        stage_all(con, [], Moment(as_of=datetime(2026, 1, 1)))
        made = con.execute("select table_name, sql from duckdb_tables() where schema_name = 'staging'").fetchall()
    return {table: sql.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1) for table, sql in made}


class Unfolding:
    """A connection to staged records whose marts are made when a statement first names them, to save the rest.

    None of them may have two rows of one key, whatever the test is about.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self._con = con
        self._at: Moment | None = None
        self._made = set[str]()

    def begin_with(self, at: Moment) -> None:
        """From now on every mart is that of this instant, and of what is staged by now."""
        self._at = at
        self._made = set()

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        return cast(duckdb.DuckDBPyConnection, self)

    def __exit__(self, *_: object) -> None:
        self._con.close()

    def execute(self, sql: str | duckdb.Statement, *rest: Any, **named: Any) -> duckdb.DuckDBPyConnection:
        self._unfold(sql if isinstance(sql, str) else sql.query)
        return self._con.execute(sql, *rest, **named)

    def sql(self, sql: str, *rest: Any, **named: Any) -> duckdb.DuckDBPyRelation:
        self._unfold(sql)
        return self._con.sql(sql, *rest, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)

    def _unfold(self, sql: str) -> None:
        for table in re.findall(r"\bmarts\.(\w+)", sql):
            self._make(table)

    def _make(self, name: str) -> None:
        model = catalog.marts().get(name)
        if model is None or self._at is None or name in self._made:
            return
        for table in model.reads:
            self._unfold(table)
        build.build(self._con, model, self._at)
        self._made.add(name)
        key = ", ".join(model.key)
        if key:
            twice = self._con.execute(f"select {key} from {model.table} group by {key} having count(*) > 1").fetchall()
            assert not twice, f"{model.table} has several rows of {key} {twice[0]}"


def prepare(con: duckdb.DuckDBPyConnection, rates: Rows = (), sources: Sequence[str] = ("t",)) -> None:
    build.prelude(con)
    for source in sources:
        firm = [source, f"Firm {source}"]
        con.execute("insert into reference.sources (source, kind, firm) values (?, 'files', ?)", firm)
    if rates:
        columns = {name: [str(row[name]) for row in rates] for name in ("day", "currency", "rate")}
        con.execute("insert into reference.rates select unnest($day), unnest($currency), unnest($rate)", columns)


def receive(con: duckdb.DuckDBPyConnection, source: str, records: Mapping[str, Rows]) -> None:
    """Lands records as text in raw_<source>, as a pull does."""
    con.execute(f"create schema if not exists raw_{source}")
    for entity, rows in records.items():
        wanted = [name for name, field in catalog.contract().entities[entity].columns.items() if field.required]
        names = list(dict.fromkeys([*(key for row in rows for key in row), *(wanted if not rows else ())]))
        frame = pl.DataFrame(
            [[None if row.get(name) is None else str(row[name]) for name in names] for row in rows],
            schema=dict.fromkeys(names, pl.String),
            orient="row",
        )
        con.register("landing", frame)
        con.execute(f"create or replace table raw_{source}.{entity} as select * from landing")
        con.unregister("landing")


def make_all(
    con: duckdb.DuckDBPyConnection, sources: Sequence[StagedSource], as_of: str, **terms: str
) -> list[build.Finding]:
    """Everything as of that instant; `terms` are those of a `Moment`, such as the country where none is named."""
    at = Moment(as_of=datetime.fromisoformat(as_of), **terms)
    findings = stage_all(con, sources, at)
    for model in catalog.marts().values():
        build.build(con, model, at)
    return findings


def stage_all(
    con: duckdb.DuckDBPyConnection, sources: Sequence[StagedSource], at: Moment, only: Collection[str] = ()
) -> list[build.Finding]:
    """Every staging table, or only those, and the calendars of the regions in them."""
    findings = [
        finding
        for entity in catalog.contract().entities.values()
        if not only or entity.name in only
        for finding in admission.stage(con, entity, sources, at)
    ]
    calendars.load(con, at)
    return findings


def one(con: duckdb.DuckDBPyConnection, table: str, where: str = "true") -> dict[str, Any]:
    """The single row of a mart that meets a condition."""
    rows: list[dict[str, Any]] = con.sql(f"select * from marts.{table} where {where}").pl().to_dicts()
    assert len(rows) == 1, rows
    return rows[0]
