"""How a tool's records land: pages of records become dlt tables of text, each row once.

A kind describes each of its tables as a `Table`; `land` makes a dlt source of them. There are two ways:

- by cursor: only what was updated since the last pull is asked for, less an overlap, and merged by `id`; an older
  version never replaces a newer one. With `versions` every version seen is kept beside the newest. What the tool
  deletes is found by a sweep over its keys every so often: such rows get `gone_at`.
- whole: every row is read each time; every version seen is kept, and a row that is not there any more is closed.

Kept versions have `_dlt_valid_from` and `_dlt_valid_to`, the instants of the pulls that saw them come and go. What
stays out: how pages are asked for (door.py and the kinds), and what records mean (staging).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import dlt
import polars as pl
from dlt.sources import DltResource, DltSource

from models.faults import fault
from pipelines.sources.text import column, sortable, text, unlike

BATCH_ROWS = 20_000  # rows held in memory before they are passed on
COMMIT_ROWS = 100_000  # rows stored before a long pull goes on, so that a kill costs no more than these
COMMIT_BYTES = 40_000_000  # or so many bytes of them, so that wide rows take no more memory than narrow ones
KEYS = "__keys"  # what the table of a sweep's keys is called, behind the name of its table
PRINT = "row_print"

Record = Mapping[str, Any]
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """One raw table of a tool.

    `pages` gives lists of records, each with the text `id`; asked with the instant (ISO 8601, UTC) from which on
    updates are wanted, or None for all. By cursor, a record also has `updated_at`, an instant. `columns` stand in
    the table even where no record has them, so that a SELECT over an empty table works.
    """

    name: str
    pages: Callable[[str | None], Iterable[Sequence[Record]]]
    columns: tuple[str, ...]
    whole: bool = False
    versions: bool = False  # by cursor only: whole tables always keep them
    ascending: bool = False  # pages come by `updated_at`, oldest first: a long pull may stop and go on
    present: Callable[[], Iterable[Sequence[str]]] | None = None  # pages of every key that is there now, for the sweep
    # The instant, by the tool's own clock, at which the list was begun: a list in no order of time may lack what was
    # updated since, so the next pull asks from there. Asked after each page; None where it is not known.
    begun: Callable[[], str | None] = lambda: None
    asked: tuple[str, ...] = ()  # by cursor: what the settings ask for; with another choice all is read again


@dataclass(frozen=True, slots=True)
class Terms:
    """How a pull is to be done.

    `now` is when it is (UTC), `lookback` how much is asked for again. Tables in `afresh` are read from the start. With
    `sweeping`, the keys that are there are listed and nothing else; that comes after the rows, since a row made in
    between must not pass for deleted.
    """

    now: datetime
    lookback: timedelta = timedelta(seconds=60)
    afresh: frozenset[str] = frozenset()
    sweeping: bool = False


def land(source: str, tables: Sequence[Table], terms: Terms) -> DltSource:
    """The tables as a dlt source for the schema raw_<source>. `Fault` rises out of the pull for what does not fit."""
    if terms.sweeping:
        resources = [_sweep(table, terms) for table in tables if table.present]
    else:
        resources = [_whole(source, one, terms) if one.whole else _changing(source, one, terms) for one in tables]
    return DltSource(dlt.Schema(f"raw_{source}"), "tool", resources)


# --- by cursor -------------------------------------------------------------------------------------------


def _changing(source: str, table: Table, terms: Terms) -> DltResource:
    columns = _text_columns(("id", "updated_at", *table.columns, *(("gone_at",) if table.present else ())))
    columns["updated_at"]["dedup_sort"] = "desc"  # without it dlt keeps the stale one of two versions in a batch
    keeping: dict[str, Any] = {"write_disposition": {"disposition": "merge", "strategy": "delete-insert"}}
    if table.versions:
        keeping = {"write_disposition": _scd2(terms), "merge_key": "id"}
        columns[PRINT] = {"data_type": "text", "nullable": False}
    return dlt.resource(_changes, name=table.name, columns=columns, primary_key="id", **keeping)(
        source, table, tuple(columns), terms
    )


def _changes(source: str, table: Table, columns: tuple[str, ...], terms: Terms) -> Iterator[Any]:
    """Tables of new and changed rows. The state, stored with the rows, says how far the last pull came."""
    state = dlt.current.resource_state()
    asked = [*columns, *table.asked]
    if state.get("columns") != asked or table.name in terms.afresh:
        state.clear()  # other columns or another choice, or rows are missing: ask for everything again
    reach = Reach(terms.lookback, state.get("newest"), dict(state.get("recent", {})))
    names, batch, landed, size, more = Names(columns), list[Row](), 0, 0, False
    newest: dict[str, Row] = {}  # versions by key: of two in one pull only the newer is kept
    for page in table.pages(reach.since):
        reach.ceiling = table.begun()
        fresh = reach.news([_dated(source, table, place, row, names) for place, row in enumerate(page)])
        if table.versions:
            for row in sorted(fresh, key=_moment):
                newest[_key(row)] = row
            continue
        batch += fresh
        landed += len(fresh)
        if len(batch) >= BATCH_ROWS:
            full = _arrow(batch, names)
            size += full.nbytes
            yield full
            batch = []
        if table.ascending and (landed >= COMMIT_ROWS or size >= COMMIT_BYTES):
            more = True
            break
    batch += [{**row, PRINT: _print(row)} for row in newest.values()]
    if batch or "columns" not in state:  # a table without a row is to exist all the same
        yield _arrow(batch, names)
    for key, value in (
        ("columns", asked),
        ("newest", reach.newest),
        ("recent", reach.recent),
        ("more", more),
    ):
        if state.get(key) != value:
            state[key] = value


def is_unfinished(state: Mapping[str, Any]) -> bool:
    """Whether a table stopped on the way, by the state that dlt keeps of the pipeline."""
    sources = state.get("sources", {}).values()
    return any(kept.get("more") for one in sources for kept in one.get("resources", {}).values())


@dataclass(slots=True)
class Reach:
    """How far a pull has come: the newest `updated_at`, and a print of each row within the lookback of it.

    A row is news when it is not older than that window and differs from the version known: so an
    overlap costs nothing, a late row is not missed, and a resent old version changes nothing.
    """

    lookback: timedelta
    newest: str | None = None
    recent: dict[str, list[str]] = field(default_factory=dict)  # id -> [updated_at, print]
    ceiling: str | None = None  # `newest` goes no further
    since: str | None = field(init=False)
    edge: str = field(init=False)

    def __post_init__(self) -> None:
        self.since = _earlier(self.newest, self.lookback) if self.newest else None
        self.edge = self.since or ""

    def news(self, rows: list[Row]) -> list[Row]:
        """The rows of a page that are new or changed, remembered for the next pull."""
        fresh = [row for row in rows if self._is_news(row)]
        if fresh:
            seen = max(_moment(row) for row in fresh)
            self.newest = max(self.newest or "", min(seen, self.ceiling or seen))
            self._move_edge(_earlier(self.newest, self.lookback))
            for row in sorted(fresh, key=_moment):  # of two versions in a page the newer is remembered
                if _moment(row) >= self.edge:
                    self.recent[_key(row)] = [_moment(row), _print(row)]
        return fresh

    def _is_news(self, row: Row) -> bool:
        if self.since and _moment(row) < self.since:
            return False
        known = self.recent.get(_key(row))
        return known is None or _moment(row) > known[0] or (_moment(row) == known[0] and _print(row) != known[1])

    def _move_edge(self, edge: str) -> None:
        if edge > self.edge:
            self.edge = edge
            self.recent = {key: known for key, known in self.recent.items() if known[0] >= edge}


# --- whole -----------------------------------------------------------------------------------------------


def _whole(source: str, table: Table, terms: Terms) -> DltResource:
    columns = _text_columns(("id", *table.columns))
    columns[PRINT] = {"data_type": "text", "nullable": False}
    return dlt.resource(_rows, name=table.name, columns=columns, write_disposition=_scd2(terms))(
        source, table, tuple(columns), terms
    )


def _rows(source: str, table: Table, columns: tuple[str, ...], terms: Terms) -> Iterator[Any]:
    """One table of all rows; nothing where they are what the last pull found, so that nothing is loaded for it."""
    state, names, found = dlt.current.resource_state(), Names(columns), dict[str, Row]()
    for page in table.pages(None):
        for place, record in enumerate(page):
            row = _keyed(source, table, place, row_of(record, names))
            found[_key(row)] = row
    rows = [{**row, PRINT: _print(row)} for row in found.values()]
    whole = hashlib.blake2b("".join(sorted(str(row[PRINT]) for row in rows)).encode(), digest_size=16).hexdigest()
    if state.get("whole") != whole or table.name in terms.afresh:
        yield _arrow(rows, names)
        state["whole"] = whole


# --- keys ------------------------------------------------------------------------------------------------


def _sweep(table: Table, terms: Terms) -> DltResource:
    columns = _text_columns(("id", "swept_at"))
    columns["id"]["nullable"] = True
    return dlt.resource(_keys, name=table.name + KEYS, columns=columns, write_disposition="append")(table, terms)


def _keys(table: Table, terms: Terms) -> Iterator[Any]:
    """Every key the tool has now; what is done with them is up to the warehouse."""
    assert table.present is not None
    at, schema = sortable(terms.now), {"id": pl.String, "swept_at": pl.String}
    batch: list[str | None] = [None]  # a mark, so that a sweep that found no key at all is known to have been done
    for page in table.present():
        batch += page
        if len(batch) >= BATCH_ROWS:
            yield pl.DataFrame({"id": batch, "swept_at": at}, schema=schema).to_arrow()
            batch = []
    yield pl.DataFrame({"id": batch, "swept_at": at}, schema=schema).to_arrow()


# --- rows ------------------------------------------------------------------------------------------------


class Names:
    """Column names of a table's rows: those told as they are, others cleaned and kept apart."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._known = {name: name for name in columns}

    def of(self, wire: str) -> str:
        if wire not in self._known:
            plain = column(wire).encode("ascii", "ignore").decode() or "column"  # dlt would change other letters
            self._known[wire] = unlike(plain, self._known.values())
        return self._known[wire]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known.values())


def row_of(record: Record, names: Names) -> Row:
    """A record with every value as text, its fields under their column names; nesting as JSON."""
    return {names.of(key): value if value is None or value.__class__ is str else text(value)
            for key, value in record.items()}  # fmt: skip


def _dated(source: str, table: Table, place: int, record: Record, names: Names) -> Row:
    row = _keyed(source, table, place, row_of(record, names))
    told = row.get("updated_at")
    try:
        row["updated_at"] = sortable(datetime.fromisoformat(str(told)))
    except ValueError:
        where = f"source {source}, {table.name}, record {row['id']!r}, field updated_at"
        raise fault(where, f"{told!r} is not an instant.", "The tool must date every record's last change.") from None
    return row


def _keyed(source: str, table: Table, place: int, row: Row) -> Row:
    if not row.get("id"):
        where = f"source {source}, {table.name}, place {place + 1} of a page"
        raise fault(where, "a record without id.", "Every record must have its key.")
    return row


def _arrow(rows: list[Row], names: Names) -> Any:
    """The rows as an Arrow table of text columns, which dlt stores without looking at each value."""
    return pl.from_dicts(rows, schema=dict.fromkeys(names, pl.String)).to_arrow()


def _text_columns(names: Iterable[str]) -> dict[str, Any]:
    return {one: {"data_type": "text", "nullable": one != "id"} for one in names}


def _scd2(terms: Terms) -> dict[str, Any]:
    return {
        "disposition": "merge",
        "strategy": "scd2",
        "row_version_column_name": PRINT,
        "boundary_timestamp": terms.now.isoformat(),
    }


def _earlier(moment: str, span: timedelta) -> str:
    return sortable(datetime.fromisoformat(moment) - span)


def _moment(row: Row) -> str:
    return str(row["updated_at"])


def _key(row: Row) -> str:
    return str(row["id"])


def _print(row: Row) -> str:
    content = json.dumps(row, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=9).hexdigest()
