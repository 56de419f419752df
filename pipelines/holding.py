"""Holds a source back at its last good records, so that one tool's trouble does not stop the others.

Once all records of a source were admitted, a copy of them is kept as schema `kept_<source>`. Where its newer ones do
not fit, the tables are made from the copy, and its pull counts as refused, with the reason. A source that could
not be asked at all simply stays at what the last pull brought. With a single source there is nothing to go on with, so
no copy is kept. What stays out: judging records (models/admission.py) and asking tools (pulling.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from models import build
from models.build import Connection
from models.faults import Fault, Problem
from pipelines.settings import Settings

_TABLES = """
create table if not exists ops.kept_sources (source varchar primary key, print varchar);
create table if not exists ops.held_sources (source varchar primary key)
"""
_LATEST = "select outcome, message from ops.pulls where source = ? order by pulled_at desc limit 1"


def schemas(con: Connection, settings: Settings, held: Collection[str], database: str | None = None) -> dict[str, str]:
    """The schema each source's records are taken from; a source that has none is left out.

    `database` names an attached file that holds them.
    """
    found = con.execute(
        "select schema_name from duckdb_schemas() where database_name = coalesce(?, current_database())", [database]
    ).fetchall()
    there = {name for (name,) in found}
    wanted = {name: f"kept_{name}" if name in held else f"raw_{name}" for name in settings.sources}
    prefix = f"{database}." if database else ""
    return {name: prefix + schema for name, schema in wanted.items() if schema in there}


def held(con: Connection, database: str | None = None) -> frozenset[str]:
    """The sources that the tables were last made without the newest records of."""
    prefix = f"{database}." if database else ""
    is_there = con.execute(
        "select 1 from duckdb_tables() where schema_name = 'ops' and table_name = 'held_sources' "
        "and database_name = coalesce(?, current_database())",
        [database],
    ).fetchall()
    rows = con.execute(f"select source from {prefix}ops.held_sources").fetchall() if is_there else []
    return frozenset(source for (source,) in rows)


def refuse_if_none_is_fresh(con: Connection, settings: Settings) -> None:
    """Raises `Fault` where the last pull of every source failed: there would be nothing new to tell."""
    latest = {name: con.execute(_LATEST, [name]).fetchall() for name in settings.sources}
    failed = {name: str(rows[0][1]) for name, rows in latest.items() if rows and rows[0][0] == "failed"}
    if failed and len(failed) == len(settings.sources):
        raise Fault([Problem(f"source {name}", "could not be pulled.", why) for name, why in failed.items()])


def blamed(error: Fault, held: Collection[str], settings: Settings) -> dict[str, list[Problem]]:
    """The sources that a refusal is about, with its problems; empty where holding them back would not mend it."""
    by_source: dict[str, list[Problem]] = {}
    for problem in error.problems:
        by_source.setdefault(problem.source or "", []).append(problem)
    others = settings.sources.keys() - held - by_source.keys()
    is_mended = "" not in by_source and not by_source.keys() & held and others
    return by_source if is_mended else {}


def note(
    con: Connection, settings: Settings, refused: Mapping[str, Sequence[Problem]], prints: Mapping[str, str]
) -> None:
    """After all tables were made: keeps the records of sources that fit, and says of the others why they were held.

    `prints` tells whether a source's records may have changed since they were kept.
    """
    con.execute(_TABLES)
    with build.together(con):
        con.execute("delete from ops.held_sources")
        for source, problems in refused.items():
            con.execute("insert into ops.held_sources values (?)", [source])
            con.execute(
                "update ops.pulls set outcome = 'refused', message = ? where source = ? and outcome = 'ok' "
                "and pulled_at = (select max(pulled_at) from ops.pulls where source = ?)",
                [str(Fault(list(problems))), source, source],
            )
        if len(settings.sources) > 1:
            for source in settings.sources.keys() - refused.keys():
                _keep(con, source, prints[source])


def _keep(con: Connection, source: str, print: str) -> None:
    kept = con.execute("select print from ops.kept_sources where source = ?", [source]).fetchall()
    if kept == [(print,)]:
        return
    tables = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "and not starts_with(table_name, '_dlt')",
        [f"raw_{source}"],
    ).fetchall()
    con.execute(f"drop schema if exists kept_{source} cascade")
    con.execute(f"create schema kept_{source}")
    for (table,) in tables:
        con.execute(f'create table kept_{source}."{table}" as from raw_{source}."{table}"')
    con.execute("insert or replace into ops.kept_sources values (?, ?)", [source, print])


def stale(con: Connection, settings: Settings) -> list[str]:
    """A line for each source whose newest records are not shown, with the reason."""
    latest = {name: con.execute(_LATEST, [name]).fetchall() for name in settings.sources}
    return [
        f"source {name} is not up to date, its last good records are shown: {rows[0][1]}"
        for name, rows in latest.items()
        if rows and rows[0][0] != "ok"
    ]
