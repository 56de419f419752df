"""Reads tables, views and queries of any database SQLAlchemy reaches; values land as exact text.

With a cursor only rows written since the last pull are read, oldest first, and keys are swept for deletions; without
one a table is read whole and its versions are kept. dlt's own reader of databases is not used: it types columns
before they land and stops at what Arrow cannot hold, and loads what it read though nothing changed (docs/decisions.md,
Pulling). What stays out: how rows are merged (landing.py) and what they mean (staging, which the firm writes).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, cast

import sqlalchemy as sa
from dlt.sources import DltSource
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from models.faults import Fault, fault
from pipelines.settings import Settings
from pipelines.source_blocks import SqlSource, SqlTable, token
from pipelines.sources.door import PATIENT, Patience
from pipelines.sources.landing import PRINT, Record, Table, Terms, land
from pipelines.sources.reach import Forbidden, Reach
from pipelines.sources.text import column, text, unlike

PAGE_ROWS = 5_000  # rows fetched at a time
CLOCK_SHIFT = timedelta(hours=1)  # by which clocks are put back: a timestamp without a zone may repeat that hour
_LEGIBLE_EPOCH = 1_000_000_000  # smaller numbers are no seconds of our days but counts
_REFUSED = re.compile(
    r"password|authentication|access denied|login failed|pg_hba|role .* does not exist", re.IGNORECASE
)
_SYNTAX = re.compile(r"syntax error|no such", re.IGNORECASE)
_NAMES_HOSTS = re.compile(r"host|addr|server|source", re.IGNORECASE)
_PROTOCOL = re.compile(r"^(?:tcp|np|lpc|admin):", re.IGNORECASE)  # that SQL Server's drivers take before a host
_PORT = re.compile(r"^(\[.*\]|[^:]*):\d*$")

Write = Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The column that says when a row was last written, and how the database writes instants in it."""

    name: str
    form: Literal["aware", "naive", "date", "text", "epoch", "unseen"]
    unit: int = 1  # parts of a second, of an epoch

    @property
    def is_ordered(self) -> bool:
        """Whether the order of its values is that of time; texts may have any zone."""
        return self.form not in ("text", "unseen")

    def moment(self, value: Any) -> str:
        if self.form == "epoch":
            return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=value * 1_000_000 // self.unit)).isoformat()
        return str(value.isoformat() if isinstance(value, date) else value)

    def from_on(self, since: str) -> Any:
        """A condition that holds for every row written at or after an instant, and for rows without one.

        Of texts the day is compared, less one: whatever zone they are written in, that is not too late. A table that
        had no value a moment ago is read whole.
        """
        if self.form == "unseen":
            return sa.true()
        told: Any = sa.column(self.name)
        return sa.or_(told >= self._bound(datetime.fromisoformat(since)), told.is_(None))

    def _bound(self, moment: datetime) -> Any:
        if self.form in ("aware", "naive"):
            is_aware = self.form == "aware"
            return sa.literal(moment if is_aware else moment.replace(tzinfo=None), sa.DateTime(timezone=is_aware))
        if self.form == "date":
            return sa.literal(moment.date(), sa.Date())
        if self.form == "text":
            return str(moment.date() - timedelta(days=1))
        return int(moment.timestamp()) * self.unit


class _Database:
    """One database, as one source reads it."""

    def __init__(self, name: str, block: SqlSource, settings: Settings, secret: str, patience: Patience) -> None:
        self.where = f"source {name}"
        self._secret, self._patience = secret, patience
        url = sa.make_url(block.url)
        self._address = url.render_as_string()
        if url.get_backend_name() == "sqlite":
            url = _existing(self.where, url, settings.data)
        elif secret:
            url = url.set(password=secret)
        self._url = url

    @contextmanager
    def open(self, where: str) -> Iterator[sa.Connection]:
        """A connection that only reads. Whatever the database then refuses is a `Fault`."""
        try:
            with self._connect() as con:
                yield con
        except SQLAlchemyError as error:
            raise self._refusal(where, error) from None

    def _connect(self) -> sa.Connection:
        """Tried again while nobody answers, but not where the password is wrong: that would lock the account."""
        engine = self._engine()
        for attempt in range(self._patience.attempts):
            self._refuse_secret_places()
            try:
                return engine.connect().execution_options(postgresql_readonly=True, yield_per=PAGE_ROWS)
            except OperationalError as error:
                if attempt + 1 == self._patience.attempts or _REFUSED.search(str(error.orig)):
                    raise
                wait = self._patience.backoff_seconds * 2**attempt
                time.sleep(min(wait, self._patience.ceiling_seconds))
        raise AssertionError("there is at least one attempt")

    def _refuse_secret_places(self) -> None:
        """Looks at every host that the url names before its driver does, wherever in the url it stands."""
        hosts = _hosts(self._url)
        reach = Reach(hosts)
        try:
            for host in hosts:
                reach.refuse_name(host)
                reach.resolved(host, self._url.port)
        except Forbidden as error:
            raise fault(self.where, f"{self._address} may not be asked: it {error}.", "Check the url.") from None

    def _engine(self) -> sa.Engine:
        told: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
        if self._url.get_backend_name() == "postgresql":
            told["json_deserializer"] = _as_sent  # parsed, its numbers would become floats
            if self._url.get_driver_name() == "psycopg":
                told["connect_args"] = {"connect_timeout": max(2, int(self._patience.timeout_seconds))}
        try:
            return sa.create_engine(self._url, **told)
        except NoSuchModuleError:
            cure = "Write it like postgresql://user@host/database, with a dialect that SQLAlchemy has."
            raise fault(self.where, f"no database is called {self._url.drivername!r}.", cure) from None
        except ModuleNotFoundError as error:
            cure = f"Install the package that has it, beside Milepost: pip install {error.name}."
            raise fault(self.where, f"the driver {error.name} of {self._url.drivername} is missing.", cure) from None

    def _refusal(self, where: str, error: SQLAlchemyError) -> Fault:
        said = str(error.orig if isinstance(error, DBAPIError) else error).strip()
        said = said.splitlines()[0] if said else type(error).__name__
        said = said.replace(self._secret, "…") if self._secret else said
        address = self._address
        if isinstance(error, OperationalError) and _REFUSED.search(said):
            cure = "Check the user in url, and the password that token_env or token_file names."
            return fault(where, f"{address} does not let us in ({said}).", cure)
        if "permission denied" in said.lower():
            return fault(where, f"{address} refuses to be read ({said}).", "Give the user the right to select from it.")
        if isinstance(error, OperationalError) and not _SYNTAX.search(said):  # SQLite says so of everything
            return fault(where, f"{address} cannot be read ({said}).", "Check that it runs, and the url of the source.")
        return fault(where, f"{address} refuses what it was asked ({said}).", "Mend the block of the table.")


@dataclass(frozen=True, slots=True)
class _Reading:
    """One table as it is read: what it is selected from, its key and cursor, and its columns as they land."""

    database: _Database
    where: str
    origin: Any
    key: tuple[str, ...]
    cursor: _Cursor | None
    columns: Mapping[
        str, str
    ]  # as the database calls them -> as they land; without those that land as id or updated_at

    def pages(self, since: str | None) -> Iterator[Sequence[Record]]:
        asked: Any = sa.select(sa.literal_column("*")).select_from(self.origin)
        if self.cursor and since:
            asked = asked.where(self.cursor.from_on(since))
        if self.cursor and self.cursor.is_ordered:
            asked = asked.order_by(sa.column(self.cursor.name))
        with self.database.open(self.where) as con:
            found = con.execution_options(stream_results=True).execute(asked)
            names = list(found.keys())
            for rows in found.partitions(PAGE_ROWS):
                yield list(self._records(names, rows))

    def keys(self) -> Iterator[list[str]]:
        asked: Any = sa.select(*map(sa.column, self.key)).select_from(self.origin)
        with self.database.open(self.where) as con:
            for rows in con.execution_options(stream_results=True).execute(asked).partitions(PAGE_ROWS):
                yield [self._id(row) for row in rows]

    def _records(self, names: list[str], rows: Sequence[Any]) -> Iterator[Record]:
        place = {name: number for number, name in enumerate(names)}
        keys = [place[name] for name in self.key]
        own = [(landed, place[name]) for name, landed in self.columns.items()]
        at = place[self.cursor.name] if self.cursor else 0
        for row in rows:
            key = self._id([row[number] for number in keys])
            dated = {"updated_at": self._moment(key, row[at])} if self.cursor else {}
            yield {"id": key, **dated, **{landed: written(row[number]) for landed, number in own}}

    def _id(self, parts: Sequence[Any]) -> str:
        texts = [written(part) for part in parts]
        if any(one is None for one in texts):
            told = ", ".join(f"{name} {part!r}" for name, part in zip(self.key, texts, strict=True))
            raise fault(self.where, f"a row has no key ({told}).", "Name columns as key that every row has.")
        if len(texts) == 1:
            return str(texts[0])
        return "|".join(str(one).replace("\\", "\\\\").replace("|", "\\|") for one in texts)

    def _moment(self, key: str, value: Any) -> str:
        assert self.cursor is not None
        if value is None:
            cure = (
                "Read the table by a query that fills it, such as coalesce(updated_at, created_at), or without cursor."
            )
            raise fault(self.where, f"the row {key!r} has nothing in its cursor {self.cursor.name}.", cure)
        return self.cursor.moment(value)


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The configured tables of a database as a dlt source.

    Raises `Fault` where the database cannot be reached, or has no such table or column.
    """
    readings = opened(name, settings, environ, patience)
    if any(one.cursor and one.cursor.form in ("naive", "text") for one in readings.values()):
        terms = replace(terms, lookback=terms.lookback + CLOCK_SHIFT)
    return land(name, [_table(key, one) for key, one in readings.items()], terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Looks for every table and its columns, and reads no row but one for its cursor."""
    opened(name, settings, environ, patience)
    return None


def opened(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> dict[str, _Reading]:
    """How each configured table is read, once the database has shown its columns."""
    block = cast(SqlSource, settings.sources[name])
    secret = token(name, block, environ) if block.token_env or block.token_file else ""
    database = _Database(name, block, settings, secret, patience)
    return {key: _reading(database, f"source {name}, table {key}", told) for key, told in block.tables.items()}


def _table(name: str, reading: _Reading) -> Table:
    landed = tuple(reading.columns.values())
    if reading.cursor is None:
        return Table(name, reading.pages, landed, whole=True)
    return Table(name, reading.pages, landed, ascending=reading.cursor.is_ordered, present=reading.keys)


def _reading(database: _Database, where: str, told: SqlTable) -> _Reading:
    origin = _origin(told)
    with database.open(where) as con:
        if told.table:
            _refuse_missing_table(con, where, told.table)
        names = list(con.execute(sa.select(sa.literal_column("*")).select_from(origin).where(sa.false())).keys())
        if missing := [one for one in (*told.key, told.cursor) if one is not None and one not in names]:
            cure = f"Its columns are: {', '.join(names)}."
            raise fault(where, f"has no column {missing[0]!r}.", cure)
        cursor = _cursor(con, where, origin, told.cursor) if told.cursor else None
    return _Reading(database, where, origin, told.key, cursor, _landed(names, told))


def _origin(told: SqlTable) -> Any:
    if told.query:
        query = told.query.strip().rstrip(";").replace(":", r"\:")  # or SQLAlchemy would take :word for a parameter
        return sa.text(query).columns().subquery("asked")
    schema, _, plain = str(told.table).rpartition(".")
    return sa.table(plain, schema=schema or None)


def _refuse_missing_table(con: sa.Connection, where: str, told: str) -> None:
    schema, _, plain = told.rpartition(".")
    looked = sa.inspect(con)
    if looked.has_table(plain, schema=schema or None):
        return
    there = sorted([*looked.get_table_names(schema or None), *looked.get_view_names(schema or None)])
    cure = f"There are: {', '.join(there) or 'none that the user may see'}; with a schema it is schema.table."
    raise fault(where, f"the database has no table or view {told!r}.", cure)


def _cursor(con: sa.Connection, where: str, origin: Any, name: str) -> _Cursor:
    """How a cursor is written, by its newest value; of a table without rows it doesn't matter yet."""
    value = con.execute(sa.select(sa.func.max(sa.column(name))).select_from(origin)).scalar()
    if value is None or isinstance(value, str):
        return _Cursor(name, "unseen" if value is None else "text")
    if isinstance(value, datetime):
        return _Cursor(name, "aware" if value.tzinfo else "naive")
    if isinstance(value, date):
        return _Cursor(name, "date")
    if isinstance(value, int) and value >= _LEGIBLE_EPOCH:
        units = (1, 1_000, 1_000_000)
        return _Cursor(name, "epoch", next(unit for unit in (*units, 10**9) if value < 100 * _LEGIBLE_EPOCH * unit))
    cure = "Name a column that says when a row was last written, or leave cursor out: the table is then read whole."
    raise fault(where, f"its cursor {name} holds {written(value)!r}, which is no instant.", cure)


def _landed(names: Sequence[str], told: SqlTable) -> dict[str, str]:
    """Columns under names that do not meet those of landing: a column `id` that is not the key becomes `id_2`."""
    taken = ["id", "gone_at", PRINT, *(["updated_at"] if told.cursor else [])]
    landed: dict[str, str] = {}
    for name in names:
        plain = column(name).encode("ascii", "ignore").decode() or "column"
        if not ((plain == "id" and told.key == (name,)) or (plain == "updated_at" and told.cursor == name)):
            landed[name] = unlike(plain, [*taken, *landed.values()])
    return landed


def _existing(where: str, url: sa.URL, data: Path) -> sa.URL:
    """The url of an SQLite file, from the data folder; SQLite would make one that is not there."""
    file = data / (url.database or "")
    if not file.is_file():
        raise fault(
            where, f"the database file {file} is not there.", "Mend the path in url: it is from the data folder."
        )
    return url.set(database=str(file))


def _hosts(url: sa.URL) -> list[str]:
    """Every host that a url names: its own, and those in parameters, which drivers take too."""
    named = [("host", url.host or "")]
    for name, told in url.query.items():
        for value in (told,) if isinstance(told, str) else told:
            named += [
                ((key if is_pair else name), rest if is_pair else piece)
                for piece in value.split(";")
                for key, is_pair, rest in (piece.partition("="),)
            ]
    words = [word for name, value in named if _NAMES_HOSTS.search(name) for word in value.split(",")]
    hosts = [_PROTOCOL.sub("", word.strip(" {}")) for word in words]
    return [_PORT.sub(r"\1", host) for host in hosts if host and not host.startswith("/")]


def _as_sent(document: bytes | str) -> str:
    return document.decode() if isinstance(document, bytes) else document


def written(value: Any) -> str | None:
    """A value of a database as text: instants as ISO 8601, UTC where they have a zone; numbers with every digit."""
    if value is None or isinstance(value, str):
        return value
    write = _WRITES.get(value.__class__)
    if write:
        return write(value)
    return text(value) if isinstance(value, bool | int | float | dict) else str(value)


def _instant(value: datetime) -> str:
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z" if value.tzinfo else value.isoformat()


def _legible(values: list[Any]) -> list[Any]:
    """An array with numbers as they are, and whatever JSON does not have as text."""
    return [
        _legible(one) if isinstance(one, list) else one if isinstance(one, Decimal | int | float) else written(one)
        for one in values
    ]


_WRITES: Mapping[type, Write] = {
    datetime: _instant,
    date: lambda value: str(value.isoformat()),
    Decimal: lambda value: format(value, "f"),
    bytes: lambda value: str(value.hex()),
    memoryview: lambda value: str(value.hex()),
    list: lambda values: text(_legible(values)),
}
