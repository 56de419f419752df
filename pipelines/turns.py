"""Whose turn it is to change a data folder: one refresh or one restore at a time, across processes.

A lock on a small file, which the system gives back when its holder dies, however it dies. Within a process the turn may
be taken again by whoever has it. A backup changes nothing, and has a turn of its own among backups. What stays out: the
engine's own lock on the warehouse file (warehouse.py), which is held for moments only.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from models.faults import Fault, fault

TURN, BACKUP = ".turn", ".backing-up"  # the files whose locks say that one is at work
LOOKS_EVERY_SECONDS = 0.05
_taken: dict[Path, datetime] = {}


@contextmanager
def taken(
    data: Path,
    by: str,
    patience_seconds: float = 0.0,
    saying: Callable[[str], None] = lambda _: None,
    name: str = TURN,
) -> Iterator[datetime]:
    """The turn, until the end of the block; yields since when, by the clock of the file system.

    Waits for another to end at most `patience_seconds`, and raises `Fault` naming it where it does not.
    """
    file = data.resolve() / name
    if file in _taken:
        yield _taken[file]
        return
    handle = _opened(file)
    try:
        _wait(handle, file, patience_seconds, saying)
        since = _written_down(handle, file, by)
        _taken[file] = since
        try:
            yield since
        finally:
            del _taken[file]
    finally:
        os.close(handle)


def _opened(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(file, error) from None


def _written_down(handle: int, file: Path, by: str) -> datetime:
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{by}, process {os.getpid()}".encode(), 0)
        return datetime.fromtimestamp(os.fstat(handle).st_mtime, UTC)
    except OSError as error:
        raise _unwritable(file, error) from None


def _wait(handle: int, file: Path, patience_seconds: float, saying: Callable[[str], None]) -> None:
    until = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise _busy(file) from None
            saying(f"Waiting for {_holder(file)}")
            time.sleep(LOOKS_EVERY_SECONDS)


def _holder(file: Path) -> str:
    """Who has the turn, as it wrote itself down."""
    return file.read_text("utf-8", errors="replace").strip() or "another process"


def _busy(file: Path) -> Fault:
    since = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return fault(str(file.parent), f"{_holder(file)}, has been at work there since {since:%Y-%m-%d %H:%M:%S} UTC.",
                 "Wait until it has ended, or end it.")  # fmt: skip


def _unwritable(file: Path, error: OSError) -> Fault:
    return fault(str(file), f"cannot be written ({error.strerror}).",
                 "Check that the data folder exists, has room and may be written to.")  # fmt: skip
