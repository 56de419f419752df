"""Two snapshots held against each other, row for row and both ways: every mart, and every record kept beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

SHOWN = 2
# What tells one run from another, and is not about the firms: the name of a snapshot, and how often a source was pulled.
_OF_THE_RUN = {
    ("marts", "snapshot"): "select * exclude (snapshot_id) from {}",
    ("marts", "source_pulls"): "select * exclude (row_count) from {} where is_latest",
    ("ops", "pulls"): "select distinct source, kind, firm from {} where outcome = 'ok'",
}
_SNAPSHOT = ("marts", "ops", "received", "reference")


def differences(one: Path, other: Path) -> list[str]:
    """A line for each table of two snapshots that does not hold the same rows in both; none where all are equal."""
    return tables_differ(one, other, _SNAPSHOT)


def tables_differ(one: Path, other: Path, schemas: tuple[str, ...]) -> list[str]:
    """The same of two files of the engine, whatever they are, in some of their schemas."""
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"attach '{one}' as one (read_only); attach '{other}' as other (read_only)")
        return list(_differences(con, schemas))


def _differences(con: duckdb.DuckDBPyConnection, schemas: tuple[str, ...]) -> Iterator[str]:
    tables = {name: _tables(con, name, schemas) for name in ("one", "other")}
    assert tables["one"]
    if odd := tables["one"] ^ tables["other"]:
        yield f"only in one of them: {sorted(odd)}"
    for place in sorted(tables["one"] & tables["other"]):
        for here, there in (("one", "other"), ("other", "one")):
            query = f"{_rows(here, place)} except all {_rows(there, place)}"
            ((count,),) = con.execute(f"select count(*) from ({query})").fetchall()
            if count:
                sample = con.sql(query).limit(SHOWN).fetchall()
                yield f"{'.'.join(place)}: {count} rows only in {here}, such as {sample}"


def _tables(con: duckdb.DuckDBPyConnection, database: str, schemas: tuple[str, ...]) -> set[tuple[str, str]]:
    sql = (
        "select schema_name, table_name from duckdb_tables() where database_name = ? and list_contains(?, schema_name)"
    )
    return {(str(schema), str(table)) for schema, table in con.execute(sql, [database, list(schemas)]).fetchall()}


def _rows(database: str, place: tuple[str, str]) -> str:
    return _OF_THE_RUN.get(place, "select * from {}").format(f"{database}.{'.'.join(place)}")
