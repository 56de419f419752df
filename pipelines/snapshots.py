"""Snapshots: what readers see. Publish, list, newest, keep the last few, roll back.

A snapshot is an immutable, newly named DuckDB file with a small JSON card beside it; the pointer file
`current` names the one that serves. DuckDB serves old data when a file is replaced under its own name, so
no name is ever used twice. Every step is made durable before the next one (file, card, folder, pointer),
so a kill at any moment leaves the old snapshot serving or the new one, never a half. The card holds the file's
SHA-256: a process reads a file once against it before it serves it, and again when the file changed.
What stays out: deciding whether a snapshot may be made (assets.py), and reading one (dashboard/data.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from models import catalog
from models.catalog import Model
from models.faults import Fault, Problem, fault
from pipelines.secret_files import keep_private, private_folder, write_private

if TYPE_CHECKING:
    import duckdb

    from models.admission import StagedSource
    from models.build import Moment

POINTER = "current"
SHAPE = 1  # of the marts; one more whenever a column keeps its name and changes its meaning
_NAME = re.compile(r"^milepost-(\d{8}T\d{6}Z-[0-9a-f]{8})\.duckdb$")
_UNFINISHED = ".tmp"
_HEAD = 3 * 4096  # DuckDB's file header and its two database headers


class UnlikeSnapshot(Fault):
    """A snapshot that another version of Milepost published, and that this one would misread."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One published state of the marts: `as_of` is the instant it tells of."""

    id: str
    path: Path
    as_of: datetime
    published_at: datetime
    is_current: bool


def publish(
    con: duckdb.DuckDBPyConnection,
    folder: Path,
    as_of: datetime,
    published_at: datetime,
    *,
    reporting_currency: str,
    keep: int,
    records_of: Sequence[StagedSource] = (),
    terms: Moment | None = None,
) -> Snapshot:
    """Copy schema `marts` of an open warehouse to a new file, make it current, keep the last `keep`.

    With `terms`, the records of `records_of` are kept beside the marts, so that pages can be rewound
    (models/rewinding.py).

    `con` must hold the warehouse for writing: that is what keeps a second publisher out, and why leftovers
    found here belong to nobody.
    """
    private_folder(folder)
    sweep(folder)
    id_ = f"{published_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    unfinished = folder / f"{id_}.duckdb{_UNFINISHED}"
    _copy(con, unfinished, (id_, as_of, published_at, reporting_currency), records_of, terms)
    keep_private(unfinished)
    _sync(unfinished)
    target = folder / f"milepost-{id_}.duckdb"
    card = {
        "as_of": as_of.astimezone(UTC).isoformat(),
        "published_at": published_at.astimezone(UTC).isoformat(),
        "reporting_currency": reporting_currency,
        "shape": SHAPE,
        "bytes": unfinished.stat().st_size,
        "head_sha256": _head_sha256(unfinished),
        "sha256": _sha256(unfinished, _stamp(unfinished)),
    }
    _write_durably(target.with_suffix(".json"), json.dumps(card, indent=1))
    unfinished.rename(target)
    _sync(folder)
    _write_durably(folder / POINTER, target.name + "\n")
    for old in sorted(_whole(folder), key=_age, reverse=True)[keep:]:
        if old.path != target:
            _remove(old.path)
    return Snapshot(id_, target, as_of, published_at, is_current=True)


def newest(folder: Path) -> Snapshot | None:
    """The snapshot that serves: the one pointed at, or the newest whole one where that is lost or damaged."""
    pointed = _pointed(folder)
    if pointed and (snapshot := _read(folder / pointed)) and _is_sound(snapshot.path):
        return replace(snapshot, is_current=True)
    rest = sorted(_whole(folder), key=_age, reverse=True)
    return next((replace(one, is_current=True) for one in rest if _is_sound(one.path)), None)


def available(folder: Path) -> list[Snapshot]:
    """Every whole snapshot, newest first; damaged ones are left out."""
    serving = newest(folder)
    found = sorted(filter(lambda one: _is_sound(one.path), _whole(folder)), key=_age, reverse=True)
    return [replace(one, is_current=serving is not None and one.id == serving.id) for one in found]


def roll_back(folder: Path, id_: str) -> Snapshot:
    """Make an older (or again a newer) snapshot the one that serves. The next publish moves on from it."""
    found = {one.id: one for one in available(folder)}
    if id_ not in found:
        known = ", ".join(found) or "none"
        raise fault(str(folder), f"there is no whole snapshot {id_!r}.", f"Choose one of: {known}.")
    _write_durably(folder / POINTER, found[id_].path.name + "\n")
    return replace(found[id_], is_current=True)


def refuse_unlike(con: duckdb.DuckDBPyConnection, file: Path) -> None:
    """Raises `UnlikeSnapshot` where an open snapshot is not of the shape that questions are asked of.

    By the number on its card, and by the tables and columns that the models' headers name.
    """
    shape = json.loads(file.with_suffix(".json").read_text("utf-8")).get("shape", 1)
    rows = con.execute("select table_name, column_name from duckdb_columns() where schema_name = 'marts'").fetchall()
    there, wanted = set(rows), {(name, column) for name, mart in catalog.marts().items() for column in mart.columns}
    lacking = sorted(wanted - there)
    if shape > SHAPE:
        what = f"was published by a newer version of Milepost (shape {shape}; this one reads {SHAPE})."
        raise UnlikeSnapshot(Problem(file.name, what, "Use that version, or run: milepost refresh"))
    if shape < SHAPE or lacking:
        lacks = f", it has no {'.'.join(lacking[0])}" if lacking else ""
        what = f"was published by an older version of Milepost (shape {shape}; this one reads {SHAPE}{lacks})."
        raise UnlikeSnapshot(Problem(file.name, what, "Run: milepost refresh"))


def sweep(folder: Path) -> list[Path]:
    """Remove what a killed publish left behind, and return it. Only while no publish is under way."""
    if not folder.is_dir():
        return []
    leftovers = [
        path
        for path in sorted(folder.iterdir())
        if _UNFINISHED in path.suffixes or (path.suffix == ".json" and not path.with_suffix(".duckdb").exists())
    ]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def _copy(
    con: duckdb.DuckDBPyConnection,
    file: Path,
    card: tuple[str, datetime, datetime, str],
    records_of: Sequence[StagedSource],
    terms: Moment | None,
) -> None:
    (source,) = con.execute("select current_database()").fetchall()[0]
    home = f"{_quoted(source)}.marts"
    tables = con.execute(
        "select table_name from duckdb_tables() where database_name = ? and schema_name = 'marts' order by table_name",
        [source],
    ).fetchall()
    con.execute(f"attach {_text(str(file))} as snapshot")
    try:
        con.execute("begin")
        con.execute("create schema snapshot.marts")
        for (table,) in tables:
            here = f"snapshot.marts.{_quoted(table)}"
            con.execute(f"create table {here} as from {home}.{_quoted(table)}")
            if table in catalog.marts():
                _comment(con, here, catalog.marts()[table])
        con.execute(
            "create table snapshot.marts.snapshot"
            " (snapshot_id text, as_of timestamp, published_at timestamp, reporting_currency text)"
        )
        con.execute("insert into snapshot.marts.snapshot values (?, ?, ?, ?)", [_plain_utc(value) for value in card])
        if terms is not None:
            from models import rewinding

            rewinding.keep(con, "snapshot", records_of, terms)
        con.execute("commit")
        con.execute("checkpoint snapshot")
    except BaseException:
        import duckdb

        for undoing in ("rollback", "detach snapshot"):
            with suppress(duckdb.Error):  # no transaction is open where the checkpoint was interrupted
                con.execute(undoing)
        for left in (file, file.with_name(f"{file.name}.wal")):
            with suppress(OSError):  # a folder that may not be written to; the next publish sweeps
                left.unlink(missing_ok=True)
        raise
    con.execute("detach snapshot")


def _whole(folder: Path) -> Iterator[Snapshot]:
    if folder.is_dir():
        yield from filter(None, map(_read, folder.glob("milepost-*.duckdb")))


def _read(file: Path) -> Snapshot | None:
    """The snapshot in a file, or None where the file or its card is missing, cut short or overwritten at its head."""
    name = _NAME.match(file.name)
    try:
        card = json.loads(file.with_suffix(".json").read_text("utf-8"))
        as_of, published_at = (datetime.fromisoformat(card[key]) for key in ("as_of", "published_at"))
        is_whole = file.stat().st_size == card["bytes"] and _head_sha256(file) == card["head_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Snapshot(name[1], file, as_of, published_at, is_current=False) if name and is_whole else None


def _is_sound(file: Path) -> bool:
    """Whether every byte of a snapshot is as it was published; older cards do not say of all of them."""
    try:
        told = json.loads(file.with_suffix(".json").read_text("utf-8")).get("sha256")
        return told is None or told == _sha256(file, _stamp(file))
    except (OSError, ValueError):
        return False


def _stamp(file: Path) -> tuple[int, ...]:
    state = file.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=64)
def _sha256(file: Path, stamp: tuple[int, ...]) -> str:  # noqa: ARG001 - read again when it changed
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _pointed(folder: Path) -> str | None:
    try:
        name = (folder / POINTER).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return name if _NAME.match(name) else None


def _age(snapshot: Snapshot) -> tuple[datetime, str]:
    return snapshot.published_at, snapshot.id


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_suffix(".json").unlink(missing_ok=True)


def _head_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.sha256(stream.read(_HEAD)).hexdigest()


def _write_durably(file: Path, text: str) -> None:
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}{_UNFINISHED}")
    write_private(unfinished, text)
    _sync(unfinished)
    unfinished.replace(file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _plain_utc(value: str | datetime) -> str | datetime:
    """Instants as the marts hold them: UTC, without a zone."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def _comment(con: duckdb.DuckDBPyConnection, table: str, model: Model) -> None:
    """The header's words as comments on a table and its columns, for whoever opens the file with another tool."""
    there = {row[0] for row in con.execute(f"select column_name from (describe {table})").fetchall()}
    statements = [f"comment on table {table} is {_text(model.about)}"]
    statements += [f"comment on column {table}.{n} is {_text(text)}" for n, text in model.columns.items() if n in there]
    con.execute("; ".join(statements))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
