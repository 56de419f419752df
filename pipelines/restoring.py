"""Puts a backup back into a data folder: all of it, read back and compared, or nothing.

Everything is unpacked and compared beside what is there, under a name nobody reads. Only then is it put in place, under
the turn, so that no refresh is under way: files by hand, the warehouse by one rename, the snapshots beside those that
serve, and last the pointer that says which of them serves. So whoever reads sees the old numbers or the restored ones.
A restore that is killed while it puts things in place has left a note of it, and the next refresh or restore puts the
rest in place first. What stays out: what is in a backup (backing_up.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from models.faults import Fault, fault
from pipelines import runs, snapshots, turns, warehouse
from pipelines.backing_up import WAREHOUSE, by_hand
from pipelines.backup_file import Contents, listed, read_back
from pipelines.settings import Settings

_UNPACKED = ".restore-"  # what a folder with an unpacked backup is called
NOTE = ".restoring"  # says which such folder is being put in place


def restore(
    settings: Settings, file: Path, *, force: bool = False, saying: Callable[[str], None] = lambda _: None
) -> Contents:
    """Restores a backup. What is there already is replaced only with `force`, and refused otherwise.

    Raises `Fault` for a backup that is not whole or was made by a newer version, and where a refresh is at work.
    """
    contents = listed(file)
    with turns.taken(settings.data, "milepost restore"):
        finish(settings)
        if not force:
            _refuse_what_is_there(settings, contents)
        for left in settings.data.glob(f"{_UNPACKED}*"):
            shutil.rmtree(left, ignore_errors=True)
        unpacked = settings.data / f"{_UNPACKED}{secrets.token_hex(4)}"
        try:
            saying("Unpacking and reading back")
            contents = read_back(file, unpacked)
            _refuse_broken_snapshots(file, unpacked)
        except OSError as error:
            shutil.rmtree(unpacked, ignore_errors=True)
            raise fault(str(settings.data), f"the backup cannot be unpacked there ({error.strerror}).",
                        "Check that there is room, and that it may be written to.") from None  # fmt: skip
        except BaseException:
            shutil.rmtree(unpacked, ignore_errors=True)
            raise
        saying("Putting in place")
        _write_note(settings.data, unpacked.name, contents)
        finish(settings)
        with warehouse.open_warehouse(settings.warehouse) as con:  # an older one is brought up
            runs.mirror(con, settings.data)
    return contents


def finish(settings: Settings) -> bool:
    """Puts in place what a restore has begun to, and says whether there was any. Only with the turn taken.

    What was moved already is not moved again, so it does not matter where a kill came.
    """
    note = settings.data / NOTE
    try:
        told = json.loads(note.read_text("utf-8"))
    except FileNotFoundError:
        return False
    unpacked, files = settings.data / told["folder"], [Path(name) for name in told["files"]]
    _place_by_hand(
        settings, unpacked / "by_hand", [path.relative_to("by_hand") for path in files if path.parts[0] == "by_hand"]
    )
    _place_warehouse(settings, unpacked / WAREHOUSE)
    _place_snapshots(
        settings.snapshots, unpacked / "snapshots", {path.name for path in files if path.parts[0] == "snapshots"}
    )
    shutil.rmtree(unpacked, ignore_errors=True)
    note.unlink()
    _sync(settings.data)
    return True


def _under(folder: str, names: list[str]) -> list[Path]:
    return [Path(name).relative_to(folder) for name in names if name.startswith(f"{folder}/")]


def _refuse_what_is_there(settings: Settings, contents: Contents) -> None:
    """A settings file may be there already, where it is the one that was backed up."""
    there = [settings.warehouse, *(one.path for one in snapshots.available(settings.snapshots)), *by_hand(settings)]
    found = [
        str(path.relative_to(settings.data))
        for path in there
        if path.exists() and not _is_same(settings, path, contents)
    ]
    if found:
        names = ", ".join(found[:3])
        raise fault(str(settings.data), f"is not empty: it holds {names}{' and more' if len(found) > 3 else ''}.",
                    "Restore into an empty folder (--data), or add --force to replace what is there.")  # fmt: skip


def _is_same(settings: Settings, path: Path, contents: Contents) -> bool:
    kept = contents.files.get(f"by_hand/{path.relative_to(settings.data).as_posix()}")
    return kept is not None and kept[1] == hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse_broken_snapshots(file: Path, unpacked: Path) -> None:
    folder = unpacked / "snapshots"
    whole = {one.path.name for one in snapshots.available(folder)}
    broken = sorted({path.name for path in folder.glob("*.duckdb")} - whole)
    if broken:
        raise fault(str(file), f"its snapshot {broken[0]} is not whole.", "Take another backup; nothing was changed.")


def _place_by_hand(settings: Settings, unpacked: Path, wanted: list[Path]) -> None:
    """What was written by hand since is taken away, so that the folder is as it was; but never a settings file."""
    for relative in wanted:
        if (unpacked / relative).is_file():
            target = settings.data / relative
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.replace(unpacked / relative, target)
    for path in by_hand(settings):
        relative = path.relative_to(settings.data)
        if relative not in wanted and relative != Path("milepost.toml"):
            path.unlink(missing_ok=True)


def _place_warehouse(settings: Settings, unpacked: Path) -> None:
    """By one rename. The log of the warehouse before must be gone first: beside another file it would be misread."""
    if not unpacked.is_file():  # done before a kill
        return
    if settings.warehouse.is_file():
        _settle(settings.warehouse)
    Path(f"{settings.warehouse}.wal").unlink(missing_ok=True)
    os.replace(unpacked, settings.warehouse)
    _sync(settings.data)


def _settle(file: Path) -> None:
    """Waits until nobody holds the warehouse. One that cannot be opened at all is about to be replaced anyway."""
    try:
        with warehouse.open_warehouse(file):
            pass
    except Fault as error:
        if "another process" in str(error):
            raise


def _place_snapshots(folder: Path, unpacked: Path, wanted: set[str]) -> None:
    """New ones beside the old, then the pointer, then the old ones go: a reader has a whole one at every moment."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in sorted(wanted - {snapshots.POINTER}, key=lambda name: (name.endswith(".duckdb"), name)):
        if (unpacked / name).is_file():
            os.replace(unpacked / name, folder / name)
    _sync(folder)
    if (unpacked / snapshots.POINTER).is_file():
        os.replace(unpacked / snapshots.POINTER, folder / snapshots.POINTER)
        _sync(folder)
    for path in folder.glob("milepost-*"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)
    _sync(folder)


def _write_note(data: Path, folder: str, contents: Contents) -> None:
    beside = data / f"{NOTE}.{secrets.token_hex(4)}.tmp"
    beside.write_text(json.dumps({"folder": folder, "files": sorted(contents.files)}), "utf-8")
    _sync(beside)
    os.replace(beside, data / NOTE)
    _sync(data)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
