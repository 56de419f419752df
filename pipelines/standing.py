"""Which tables stand: those that would come out the same if they were made anew, and so need not be.

A table's print is a hash of all that goes into it: its SQL, the code and settings that act on it, the state of
the raw records, and the identity of every table it reads. Staging takes no account of the instant itself:
a row says when it will next look different (`changes_at`), and until then it stands for later instants too.
What stays out: making tables, and checking them; checks run every time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from models import build, catalog
from models.build import Connection, Moment
from models.catalog import Entity
from pipelines import calendars
from pipelines.settings import Settings

_BUILDS = """
create table if not exists ops.builds (
    table_name varchar, as_of timestamp, broken varchar[], print varchar, made_for timestamp, changes_at timestamp
)
"""


@dataclass(frozen=True, slots=True)
class Build:
    """How a table stands or will be made: `made_for` is the instant its rows were, or will be, made for."""

    table: str
    print: str
    made_for: datetime
    stands: bool

    @property
    def identity(self) -> str:
        """The same for two tables of the same content."""
        return f"{self.print}@{self.made_for.isoformat()}"


def plan(
    con: Connection, settings: Settings, at: Moment, chosen: Collection[str], held: Collection[str] = ()
) -> dict[str, Build]:
    """Every staging table and mart, in order, and whether it stands at that moment.

    `chosen` are those about to be made; the others are taken as they are, whatever they were made for. Of sources
    in `held` the kept records are read.
    """
    con.execute(_BUILDS)
    before, there = _recorded(con), _tables(con)
    given = _given(con, settings, at, held)
    planned: dict[str, Build] = {}

    def judge(table: str, parts: Iterable[str]) -> None:
        old = before.get(table) if table in there else None
        planned[table] = _judged(table, _print(parts), at, old) if table in chosen else _as_it_is(table, at, old)

    for entity in catalog.contract().entities.values():
        read = _read(planned, (f"staging.{name}" for name in entity.needs))
        judge(f"staging.{entity.name}", [given, *_mapping(settings, entity), *read])
    for model in catalog.marts().values():
        read = _read(planned, (table for table in model.reads if table in planned))
        now = [at.as_of.isoformat()] if "$as_of" in model.sql else []
        pulls = [_pulls(con)] if "ops.pulls" in model.reads else []
        # the days on record end with the year after the clock's; weekends and holidays follow from the rest
        year = [calendars.package(), str(at.as_of.year)] if "reference.days" in model.reads else []
        judge(model.table, [given, model.sql, *read, *now, *pulls, *year])
    return planned


def note(con: Connection, made: Mapping[str, Sequence[str]], planned: Mapping[str, Build], at: Moment) -> None:
    """Records that tables are fit for `at`, made anew or standing; `made`: table → blocking checks it breaks."""
    rows = [
        [table, at.as_of, list(broken), planned[table].print, planned[table].made_for, _changes_at(con, table)]
        for table, broken in made.items()
    ]
    if rows:
        with build.together(con):
            forget(con, made)
            con.executemany("insert into ops.builds values (?, ?, ?, ?, ?, ?)", rows)


def _changes_at(con: Connection, table: str) -> datetime | None:
    if not table.startswith("staging."):
        return None
    earliest: datetime | None = con.execute(f"select min(changes_at) from {table}").fetchall()[0][0]
    return earliest


def forget(con: Connection, tables: Iterable[str]) -> None:
    """What is about to be made counts as not made until it is."""
    con.execute("delete from ops.builds where table_name in (select unnest(?))", [sorted(tables)])


def fit(con: Connection) -> dict[str, tuple[datetime, list[str]]]:
    """The instant each table made was last fit for, and the blocking checks it broke."""
    con.execute(_BUILDS)
    rows = con.execute("select table_name, as_of, broken from ops.builds").fetchall()
    return {table: (as_of, broken) for table, as_of, broken in rows}


def _tables(con: Connection) -> set[str]:
    sql = "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database()"
    return {table for (table,) in con.execute(sql).fetchall()}


@dataclass(frozen=True, slots=True)
class _Record:
    print: str
    as_of: datetime
    made_for: datetime
    changes_at: datetime | None


def _recorded(con: Connection) -> dict[str, _Record]:
    rows = con.execute("select table_name, print, as_of, made_for, changes_at from ops.builds").fetchall()
    return {table: _Record(*rest) for table, *rest in rows}


def _judged(table: str, new: str, at: Moment, old: _Record | None) -> Build:
    stands = old is not None and old.print == new
    if old is not None and table.startswith("staging."):
        # an earlier instant may hide what a later one shows
        stands = stands and old.as_of <= at.as_of and (old.changes_at is None or old.changes_at > at.as_of)
    return Build(table, new, old.made_for if old is not None and stands else at.as_of, stands)


def _as_it_is(table: str, at: Moment, old: _Record | None) -> Build:
    return Build(table, old.print if old else "", old.made_for if old else at.as_of, stands=old is not None)


def _pulls(con: Connection) -> str:
    return str(con.execute("select count(*), max(pulled_at), sum(hash(p)) from ops.pulls as p").fetchall())


def _read(planned: Mapping[str, Build], tables: Iterable[str]) -> list[str]:
    return [planned[table].identity for table in tables]


def _given(con: Connection, settings: Settings, at: Moment, held: Collection[str]) -> str:
    """What acts on every table: code, contract, reference tables, terms, and the state of the raw records."""
    files = [*catalog.FOLDER.glob("*.py"), *catalog.FOLDER.glob("*.yml"), *catalog.FOLDER.glob("*.sql")]
    code = [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)]
    reference = [
        str(con.execute(f"select count(*), sum(hash(r)) from reference.{name} as r").fetchall()[0])
        for name in (
            "sources",
            "source_fields",
            "source_statuses",
            "rates",
            "playbook_gates",
            "gate_names",
            "change_reasons",
            "client_names",
            "manual_links",
            "link_methods",
        )
    ]
    terms = (at.currency, at.zone, at.country or "", at.subdivision or "")
    return _print([*code, *reference, *terms, *sorted(held), *(received(con, name) for name in settings.sources)])


def received(con: Connection, source: str) -> str:
    """Changes whenever the source's raw records may have: each load, and each print of a table replaced whole."""
    wholes = con.execute(
        "select table_name, print from ops.whole_tables where source = ? order by 1", [source]
    ).fetchall()
    is_loaded = con.execute(
        "select count(*) from duckdb_tables() where schema_name = ? and table_name = '_dlt_loads'", [f"raw_{source}"]
    ).fetchall()[0][0]
    # the last one stored alone: old ones are forgotten (tidying.py)
    last = f"select arg_max(load_id, rowid) from raw_{source}._dlt_loads"
    loads = con.execute(last).fetchall() if is_loaded else []
    return f"{source} {wholes} {loads}"


def _mapping(settings: Settings, entity: Entity) -> list[str]:
    """The SELECTs that map the entity, per source that it is taken from; a source in contract columns has none."""
    taken = [source for source in settings.sources.values() if not source.takes or entity.name in source.takes]
    folders = [settings.staging_of(source) for source in taken]
    files = [folder / f"{entity.name}.sql" for folder in folders if folder is not None]
    return [str(len(taken)), *(file.read_text("utf-8") if file.is_file() else "" for file in files)]


def _print(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
