"""The one file of a backup: a zip with a list of all that is in it, by which it is held to be whole.

The list, `backup.json`, says of each file its size and SHA-256, and of each table of the warehouse its rows and a print
of them all. What stays out: what goes into a backup (backing_up.py), and where it comes from and goes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Self

import duckdb

from models.build import Connection
from models.faults import Fault, fault
from pipelines import versions

LIST = "backup.json"
SHAPE = 1  # of the list and the file's layout
_CHUNK = 1 << 20
_NAME = re.compile(r"^(warehouse\.duckdb|(snapshots|by_hand)/[^\0\\]+)$")
_ELSEWHERE = (("snapshots",), ("warehouse.duckdb",), ("warehouse.duckdb.wal",))  # what is no file by hand
_LONGEST_LIST = 64 << 20


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a backup: `tables` by name with rows and print, `files` by name with bytes and SHA-256.

    `engine` is the version of DuckDB that made the prints, which another version may make otherwise.
    """

    made_at: datetime
    warehouse_version: int
    engine: str
    tables: Mapping[str, tuple[int, str]]
    files: Mapping[str, tuple[int, str]]

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.tables.values())


def prints(con: Connection, database: str) -> dict[str, tuple[int, str]]:
    """The rows of every table of a database, and a print that any change of any row would change."""
    rows = con.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = ? order by all", [database]
    ).fetchall()
    found = {}
    for schema, table in rows:
        sql = f'select count(*), coalesce(sum(hash(r)), 0) from "{database}"."{schema}"."{table}" as r'
        ((count, summed),) = con.execute(sql).fetchall()
        found[f"{schema}.{table}"] = (int(count), str(summed))
    return found


class Written:
    """A backup being written; whole and on the disk at the end of its block."""

    def __init__(self, path: Path, contents: Contents) -> None:
        self._path, self._contents = path, contents
        self._files: dict[str, tuple[int, str]] = {}

    def __enter__(self) -> Self:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._stream = os.fdopen(handle, "w+b")
        self._zip = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        return self

    def add(self, name: str, stream: BinaryIO) -> None:
        digest, size = hashlib.sha256(), 0
        with self._zip.open(zipfile.ZipInfo(name, _stamp(self._contents.made_at)), "w", force_zip64=True) as member:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                member.write(chunk)
        self._files[name] = (size, digest.hexdigest())

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._zip.writestr(LIST, json.dumps(_as_json(replace(self._contents, files=self._files)), indent=1))
            self._zip.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
        self._stream.close()


def listed(path: Path) -> Contents:
    """The list of a backup. Raises `Fault` for a file that is none, is cut short, or was made by a newer version."""
    with _opened(path) as zipped:
        return _listed(path, zipped)


def read_back(path: Path, folder: Path) -> Contents:
    """Unpacks a backup into a new folder and holds every file and every table against the list.

    Raises `Fault` where anything differs, and before anything is unpacked where there is no room for it.
    """
    folder.mkdir(mode=0o700)
    with _opened(path) as zipped:
        contents = _listed(path, zipped)
        _refuse_without_room(path, contents, folder)
        for name, expected in contents.files.items():
            found = _unpacked(zipped, name, folder / name, expected[0])
            if found != expected:
                raise _damaged(path, f"{name} is not what it was")
    _compare_tables(path, folder / "warehouse.duckdb", contents)
    return contents


def _unpacked(zipped: zipfile.ZipFile, name: str, target: Path, at_most: int) -> tuple[int, str]:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest, size = hashlib.sha256(), 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with zipped.open(name) as member, os.fdopen(handle, "wb") as out:
        while size <= at_most and (chunk := member.read(_CHUNK)):
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return size, digest.hexdigest()


def _compare_tables(path: Path, file: Path, contents: Contents) -> None:
    try:
        with duckdb.connect(str(file), read_only=True) as con:
            found = prints(con, file.stem)
    except duckdb.Error as error:
        raise _damaged(path, f"its warehouse cannot be read ({str(error).splitlines()[0]})") from None
    expected = dict(contents.tables)
    if contents.engine != duckdb.__version__:  # then the rows are counted, and the file's own digest says the rest
        found, expected = ({name: (rows, "") for name, (rows, _) in one.items()} for one in (found, expected))
    wrong = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if wrong:
        raise _damaged(path, f"table {wrong[0]} is not what it was")


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as zipped:
            yield zipped
    except FileNotFoundError:
        raise fault(str(path), "there is no such file.", "Name a file that `milepost backup` made.") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _damaged(path, f"it is cut short, damaged or no backup ({error})") from None


def _listed(path: Path, zipped: zipfile.ZipFile) -> Contents:
    try:
        if zipped.getinfo(LIST).file_size > _LONGEST_LIST:
            raise ValueError("its list is too long")
        told = json.loads(zipped.read(LIST))
        shape = int(told["shape"])
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path, f"it has no list of what is in it ({error})") from None
    if shape > SHAPE:
        raise fault(str(path), f"was made by a newer version of Milepost (shape {shape}; this one knows {SHAPE}).",
                    "Restore it with that version.")  # fmt: skip
    try:
        contents = _of_json(told)
    except (KeyError, ValueError, TypeError) as error:
        raise _damaged(path, f"its list cannot be read ({error})") from None
    if contents.warehouse_version > versions.NEWEST:
        raise versions.newer(str(path), contents.warehouse_version)
    names = [info.filename for info in zipped.infolist() if info.filename != LIST]
    if sorted(names) != sorted(contents.files) or "warehouse.duckdb" not in names:
        raise _damaged(path, "its files are not those of its list")
    if odd := [name for name in names if not _NAME.match(name) or _climbs(name)]:
        raise _damaged(path, f"it would write outside its folder ({odd[0]!r})")
    return contents


def _climbs(name: str) -> bool:
    parts = PurePosixPath(name).parts
    into = parts[1:2] if parts[0] == "by_hand" else ()
    return name.startswith("/") or any(part.startswith(".") for part in parts) or into in _ELSEWHERE


def _refuse_without_room(path: Path, contents: Contents, folder: Path) -> None:
    needed, free = sum(size for size, _ in contents.files.values()), shutil.disk_usage(folder).free
    if needed > free:
        raise fault(
            str(path), f"needs {needed:,} bytes unpacked, and {folder.parent} has {free:,}.", "Make room there."
        )


def _damaged(path: Path, what: str) -> Fault:
    return fault(str(path), f"is no whole backup: {what}.", "Take another one; nothing was changed.")


def _as_json(contents: Contents) -> dict[str, Any]:
    return {
        "shape": SHAPE,
        "made_at": contents.made_at.astimezone(UTC).isoformat(),
        "warehouse_version": contents.warehouse_version,
        "engine": contents.engine,
        "tables": {name: list(told) for name, told in contents.tables.items()},
        "files": {name: list(told) for name, told in contents.files.items()},
    }


def _of_json(told: Mapping[str, Any]) -> Contents:
    return Contents(
        datetime.fromisoformat(told["made_at"]),
        int(told["warehouse_version"]),
        str(told["engine"]),
        {str(name): (int(rows), str(print_)) for name, (rows, print_) in told["tables"].items()},
        {str(name): (int(size), str(digest)) for name, (size, digest) in told["files"].items()},
    )


def _stamp(at: datetime) -> tuple[int, int, int, int, int, int]:
    return at.year, at.month, at.day, at.hour, at.minute, at.second
