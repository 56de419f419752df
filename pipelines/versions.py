"""Which shape a warehouse has: the number it carries, the steps that bring an older one up, the refusal of a newer.

Each step is one transaction together with its number, so that a kill leaves the file before it or after it. What
people typed and tools no longer tell is carried over; what is made from records is thrown away and made anew by the
next refresh. A table is never altered in place: it is written anew. What stays out: opening the file (warehouse.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from models import build, catalog
from models.build import Connection
from models.faults import Fault, fault

TABLE = "ops.warehouse_steps"


@dataclass(frozen=True, slots=True)
class Step:
    """What makes the shape of one number out of the one before."""

    about: str
    take: Callable[[Connection], None]


def bring_up(con: Connection, file: str) -> list[str]:
    """Takes the steps that an open warehouse lacks, and says which. Raises `Fault` for a newer one, untouched."""
    version = of(con)
    _refuse_newer(version, file)
    taken = []
    for number, step in enumerate(STEPS[version:], version + 1):
        with build.together(con):
            con.execute("create schema if not exists ops")
            con.execute(f"create table if not exists {TABLE} (version integer, about varchar)")
            step.take(con)
            con.execute(f"insert into {TABLE} values (?, ?)", [number, step.about])
        con.execute("checkpoint")  # replaying a log over changed tables is where engines have erred
        taken.append(step.about)
    return taken


def refuse_unlike(con: Connection, database: str, file: str) -> None:
    """Raises `Fault` where an attached warehouse, which is only read, is of another shape than this version's."""
    version = of(con, database)
    _refuse_newer(version, file)
    if version < NEWEST:
        raise fault(file, f"was written by an older version of Milepost (shape {version}; this one reads {NEWEST}).",
                    "Run `milepost refresh`, which brings it up.")  # fmt: skip


def of(con: Connection, database: str | None = None) -> int:
    """The number a warehouse carries; 0 for an empty one, and for one from before there were numbers."""
    schema, name = TABLE.split(".")
    is_there = con.execute(
        "select 1 from duckdb_tables() where schema_name = ? and table_name = ? "
        "and database_name = coalesce(?, current_database())",
        [schema, name, database],
    ).fetchall()
    prefix = f"{database}." if database else ""
    return int(build.first(con, f"select coalesce(max(version), 0) from {prefix}{TABLE}")) if is_there else 0


def drop_unknown(con: Connection) -> list[str]:
    """Drops the marts that this version no longer has, which would go into every snapshot otherwise; says which."""
    rows = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'marts'"
    ).fetchall()
    unknown = sorted({str(name) for (name,) in rows} - catalog.marts().keys())
    for name in unknown:
        con.execute(f'drop table marts."{name}"')
    return unknown


def newer(file: str, version: int) -> Fault:
    """What is said of a warehouse that a newer version wrote."""
    return fault(file, f"was written by a newer version of Milepost (shape {version}; this one knows up to {NEWEST}).",
                 "Use that version, or restore a backup that this one made: milepost restore FILE")  # fmt: skip


def _refuse_newer(version: int, file: str) -> None:
    if version > NEWEST:
        raise newer(file, version)


# --- the steps -------------------------------------------------------------------------------------------

_PULLS = {
    "source": "varchar",
    "kind": "varchar",
    "firm": "varchar",
    "pulled_at": "timestamp",
    "outcome": "varchar",
    "row_count": "bigint",
    "newest_recorded_at": "timestamp",
    "message": "varchar",
}
_WHOLES = {"source": "varchar", "table_name": "varchar", "print": "varchar"}
# Made from records, or found out again by asking: what an older version noted may have other columns.
_MADE_ANEW = ("builds", "kept_sources", "held_sources", "sweeps")


def _number_it(con: Connection) -> None:
    for schema in ("staging", "marts", "reference"):
        con.execute(f"drop schema if exists {schema} cascade")
    for table in _MADE_ANEW:
        con.execute(f"drop table if exists ops.{table}")
    _rewrite(con, "pulls", _PULLS)
    _rewrite(con, "whole_tables", _WHOLES)


def _note_runs(con: Connection) -> None:
    con.execute("""
create table ops.runs (
    run_id varchar, started_by varchar, started_at timestamp, ended_at timestamp, outcome varchar,
    row_count bigint, rejected_count bigint, check_count bigint, warning_count bigint, published varchar, error varchar
);
create table ops.run_steps (
    run_id varchar, position integer, step varchar, row_count bigint, seconds double, check_seconds double
);
create table ops.alerts (cause varchar, raised_at timestamp, told varchar, recovered_at timestamp);
create table ops.alert_notices (cause varchar, raised_at timestamp, is_recovery boolean, channel varchar);
""")


def _rewrite(con: Connection, table: str, columns: Mapping[str, str]) -> None:
    """Writes a table of `ops` anew with the columns given; those it lacks are null, those not given are left out."""
    rows = con.execute(
        "select column_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = 'ops' and table_name = ?",
        [table],
    ).fetchall()
    if not rows:
        return
    there = {name for (name,) in rows}
    each = ", ".join(f"cast({name if name in there else 'null'} as {kind}) as {name}" for name, kind in columns.items())
    con.execute(f"create or replace table ops.{table} as select {each} from ops.{table}")


STEPS = (
    Step("Carry a number; make staging, marts and reference tables anew", _number_it),
    Step("Note runs and alerts", _note_runs),
)
NEWEST = len(STEPS)
