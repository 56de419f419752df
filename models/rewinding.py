"""Rewinds a snapshot: its marts as they stood at an earlier instant, built in memory from the records it keeps.

A snapshot may keep, beside its marts, every record as the contract received it (text, before any instant was
masked), and what the models read beside records. Staged for an earlier instant and built by the same models, they
give the marts that a refresh of that day gave, of corrections made since. The warehouse is not touched. What stays
out: publishing (pipelines/snapshots.py), and who may see what.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from models import admission, build, catalog, terms_seen
from models.admission import StagedSource
from models.build import Connection, Moment
from models.faults import fault

RECEIVED = "received"
_MEMORY = ("pulls", *terms_seen.TABLES)


def keep(con: Connection, database: str, sources: Sequence[StagedSource], terms: Moment) -> None:
    """Copies records and what is read beside them into an attached, writable database, within its transaction."""
    for schema, tables in (("reference", _named(con, "reference")), ("ops", list(_MEMORY))):
        con.execute(f"create schema {database}.{schema}")
        for table in tables:
            con.execute(f"create table {database}.{schema}.{table} as from {schema}.{table}")
    con.execute(f"create schema {database}.{RECEIVED}")
    for entity in catalog.contract().entities.values():
        union = admission.received(con, entity, sources)
        con.execute(f"create table {database}.{RECEIVED}.{entity.name} as {union}")
    con.execute(
        f"create table {database}.{RECEIVED}.terms as select $currency as currency, $zone as zone, "
        "$country as country, $subdivision as subdivision",
        {"currency": terms.currency, "zone": terms.zone, "country": terms.country, "subdivision": terms.subdivision},
    )


def can_rewind(con: Connection) -> bool:
    """Whether an open snapshot keeps its records."""
    return bool(con.execute("select 1 from duckdb_tables() where schema_name = ? limit 1", [RECEIVED]).fetchall())


def reach(con: Connection) -> date | None:
    """The day of the first event on record in an open snapshot: before it there is nothing to see."""
    found = build.first(con, "select cast(min(occurred_at) as date) from marts.gate_events")
    return found if isinstance(found, date) else None


def rewound(file: Path, as_of: datetime) -> Connection:
    """The marts of a snapshot's records as of another instant, in memory; the caller closes the connection.

    Raises `Fault` where the snapshot keeps no records, and where they need a calendar that it does not hold.
    """
    con = duckdb.connect()
    try:
        con.execute(f"attach '{str(file).replace(chr(39), chr(39) * 2)}' as kept (read_only)")
        if not can_rewind(con):
            raise fault(str(file), "keeps no records to rewind.", "Run: milepost refresh")
        at = _recall(con, as_of)
        sources = _views(con)
        for entity in catalog.contract().entities.values():
            admission.stage(con, entity, sources, at)
        _refuse_missing_calendars(con, at)
        with build.together(con):
            for model in catalog.marts().values():
                build.build(con, model, at)
        con.execute(
            "create table marts.snapshot as select snapshot_id, cast($as_of as timestamp) as as_of, published_at, "
            "reporting_currency from kept.marts.snapshot",
            {"as_of": at.as_of},
        )
        for schema in ("staging", "reference", "ops"):  # the marts alone are asked from here on
            con.execute(f"drop schema {schema} cascade")
        for source in sources:
            con.execute(f"drop schema {source.raw} cascade")
        con.execute("detach kept")
    except BaseException:
        con.close()
        raise
    return con


def _recall(con: Connection, as_of: datetime) -> Moment:
    """What the models read beside records, as it was kept; and the moment to build for."""
    build.prelude(con)
    for table in _named(con, "reference", "kept"):
        con.execute(f"create or replace table reference.{table} as from kept.reference.{table}")
    for table in _MEMORY:
        con.execute(f"insert into ops.{table} by name from kept.ops.{table}")
    currency, zone, country, subdivision = con.execute(f"from kept.{RECEIVED}.terms").fetchall()[0]
    instant = as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of
    return Moment(instant, str(currency), str(zone), country, subdivision)


def _views(con: Connection) -> list[StagedSource]:
    """The kept records of each source, as a source whose tables are in contract columns already."""
    names = [str(name) for (name,) in con.execute("select source from reference.sources order by position").fetchall()]
    for name in names:
        con.execute(f"create schema {RECEIVED}_{name}")
        for entity in catalog.contract().entities:
            con.execute(
                f"create view {RECEIVED}_{name}.{entity} as "
                f"select * exclude (source) from kept.{RECEIVED}.{entity} where source = '{name}'"
            )
    return [StagedSource(name, None, f"{RECEIVED}_{name}") for name in names]


def _refuse_missing_calendars(con: Connection, at: Moment) -> None:
    """A region whose last record was deleted since has no calendar among those kept."""
    for name in ("client_calendars", "project_calendars"):
        sql = catalog.marts()[name].sql
        missing = con.execute(
            f"select distinct coalesce(country, ''), coalesce(subdivision, '') from ({sql}) except "
            "select country, subdivision from reference.weekends",
            build.parameters(sql, at),
        ).fetchall()
        if missing:
            region = "-".join(part for part in missing[0] if part)
            raise fault(f"as of {at.as_of:%Y-%m-%d}", f"the snapshot holds no calendar of {region}.",
                        f"Ask the warehouse: milepost measure F1 --as-of {at.as_of:%Y-%m-%d}")  # fmt: skip


def _named(con: Connection, schema: str, database: str | None = None) -> list[str]:
    rows = con.execute(
        "select table_name from duckdb_tables() where schema_name = ? "
        "and database_name = coalesce(?, current_database()) order by table_name",
        [schema, database],
    ).fetchall()
    return [str(name) for (name,) in rows]
