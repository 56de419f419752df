"""Puts a data folder into one file and back: what cannot be had again from the tools, and what readers see.

A backup holds the warehouse (records as received, what is remembered of gates, runs), every whole snapshot and which
one serves, and what people wrote by hand: saved views, links, client names, reasons, rates, playbooks, own SELECTs,
files in the inbox, and the settings file where it lies in the data folder. It holds no secret: those lie elsewhere.

Made while a refresh runs, it takes the warehouse between two steps, in one transaction, by the engine's own copy:
records and state are stored together, so every such moment is whole, and the next refresh goes on from it. It is read
back whole, and compared by prints of all rows, before it is said to be done. What stays out: the file's shape
(backup_file.py) and putting it in place (restoring.py).
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import duckdb

from models.build import Connection
from models.faults import fault
from pipelines import snapshots, turns, versions, warehouse
from pipelines.backup_file import Contents, Written, prints, read_back
from pipelines.settings import Settings

PATIENCE_SECONDS = 1800.0  # for a pull that is under way
WAREHOUSE = "warehouse.duckdb"
_COPYING = ".backup-"  # what a folder for a copy under way is called
_BY_HAND = ("links.csv", "client_names.csv", "reasons.csv", "views.json", "milepost.toml")
_FOLDERS_BY_HAND = ("playbooks", "views")


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made and read back."""

    path: Path
    bytes: int
    contents: Contents


def back_up(
    settings: Settings,
    file: Path,
    at: datetime,
    *,
    force: bool = False,
    saying: Callable[[str], None] = lambda _: None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Backup:
    """Writes the backup and reads it back. Raises `Fault` where there is nothing to keep, or no room.

    Waits for a step of a refresh that holds the warehouse; a file of that name is replaced only with `force`, and only
    once the new one was read back.
    """
    if file.exists() and not force:
        raise fault(str(file), "is there already.", "Choose another name, or add --force.")
    if not settings.warehouse.is_file():
        raise fault(str(settings.warehouse), "there is no warehouse yet.", "Run `milepost refresh` first.")
    with turns.taken(settings.data, "milepost backup", name=turns.BACKUP):
        whole = _backed_up(settings, file, at, patience_seconds, saying)
    return Backup(file, file.stat().st_size, whole)


def _backed_up(
    settings: Settings, file: Path, at: datetime, patience_seconds: float, saying: Callable[[str], None]
) -> Contents:
    _sweep(settings.data)
    working = settings.data / f"{_COPYING}{secrets.token_hex(4)}"
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        working.mkdir(mode=0o700)
        with ExitStack() as opened:
            saying("Waiting for the warehouse")
            contents, files = _collected(settings, working / WAREHOUSE, at, opened, patience_seconds, saying)
            saying("Writing")
            with Written(unfinished, contents) as written:
                for name, stream in files.items():
                    written.add(name, stream)
        saying("Reading back")
        whole = read_back(unfinished, working / "read")
        os.replace(unfinished, file)
        _sync_folder(file)
    except OSError as error:
        raise fault(str(file), f"the backup cannot be written ({error.strerror}).",
                    "Make room there and in the data folder; both must be writable.") from None  # fmt: skip
    finally:
        unfinished.unlink(missing_ok=True)
        shutil.rmtree(working, ignore_errors=True)
    return whole


def _collected(  # noqa: PLR0917 - where from, where to, when, and how long and loud it waits
    settings: Settings,
    copy: Path,
    at: datetime,
    opened: ExitStack,
    patience_seconds: float,
    saying: Callable[[str], None],
) -> tuple[Contents, Mapping[str, BinaryIO]]:
    """All that goes into the backup: the warehouse's copy, and streams that were opened while nothing could publish.

    A snapshot that a refresh throws away meanwhile is still read to its end.
    """
    files: dict[str, BinaryIO] = {}
    with warehouse.open_warehouse(settings.warehouse, patience_seconds) as con:
        saying("Copying the warehouse")
        counted = _copied(con, copy)
        for path in _of_snapshots(settings.snapshots):
            files[f"snapshots/{path.name}"] = opened.enter_context(path.open("rb"))
        version = versions.of(con)
    files[WAREHOUSE] = opened.enter_context(copy.open("rb"))
    for path in by_hand(settings):
        files[f"by_hand/{path.relative_to(settings.data).as_posix()}"] = opened.enter_context(path.open("rb"))
    return Contents(at, version, duckdb.__version__, counted, {}), files


def _copied(con: Connection, copy: Path) -> dict[str, tuple[int, str]]:
    """Copies an open warehouse into a new file, and returns each table's rows and print as they were copied."""
    (name,) = con.execute("select current_database()").fetchall()[0]
    con.execute(f"attach '{str(copy).replace(chr(39), chr(39) * 2)}' as kept")
    try:
        con.execute(f'copy from database "{name}" to kept')
        counted = prints(con, str(name))
        con.execute("checkpoint kept")
    finally:
        con.execute("detach kept")
    copied = duckdb.connect(str(copy), read_only=True)
    with copied:
        if prints(copied, copy.stem) != counted:
            raise fault(
                str(copy), "the copy differs from the warehouse.", "Back up again; if it stays so, see the disk."
            )
    return counted


def _of_snapshots(folder: Path) -> Iterator[Path]:
    for snapshot in snapshots.available(folder):
        yield snapshot.path
        yield snapshot.path.with_suffix(".json")
    if (folder / snapshots.POINTER).is_file():
        yield folder / snapshots.POINTER


def by_hand(settings: Settings) -> list[Path]:
    """The files in the data folder that people wrote or put there; what is a link to elsewhere is left out."""
    named = [settings.data / name for name in _BY_HAND] + [settings.rates_file]
    folders = [settings.data / name for name in _FOLDERS_BY_HAND]
    for source in settings.sources.values():
        if (staging := settings.staging_of(source)) is not None:
            folders.append(staging)
        if source.kind == "files":
            folders.append(settings.folder_of(source))
    found = [*named, *(path for folder in folders if _within(settings, folder) for path in folder.rglob("*"))]
    kept = {path for path in found if path.is_file() and not path.is_symlink() and _within(settings, path)}
    return sorted(kept)


def _within(settings: Settings, path: Path) -> bool:
    """Whether a path lies in the data folder, links followed, and in none of the folders that are kept otherwise."""
    data, real = settings.data.resolve(), path.resolve()
    if data not in real.parents:
        return False
    parts = real.relative_to(data).parts
    is_passing = any(part.startswith(".") for part in parts) or real.suffix in (".tmp", ".wal")
    return parts[0] not in ("snapshots", WAREHOUSE) and not is_passing


def _sweep(data: Path) -> None:
    """Removes what a backup that was killed left in the data folder. Only with the backups' turn taken."""
    for left in data.glob(f"{_COPYING}*"):
        shutil.rmtree(left, ignore_errors=True)


def _sync_folder(file: Path) -> None:
    handle = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
