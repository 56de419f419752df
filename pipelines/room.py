"""What the disk refuses or has damaged, said plainly: which file, why, and what to do about it.

The file system, the engine and the loader each say it in words of their own and wrap it in each other's errors; here
they become one `Fault`. What stays out: what happens then (nothing is published, and the next refresh starts over).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import duckdb

from models.faults import Fault, fault

_REFUSALS = {
    "No space left on device": ("the disk is full", "Make room there"),
    "Disk quota exceeded": ("the quota of the disk is used up", "Make room there, or have it raised"),
    "File too large": ("a file may not grow any further", "Make room there, or raise the limit on file sizes"),
    "Read-only file system": ("the file system is mounted read-only", "Mount it for writing"),
    "Permission denied": ("it may not be written to", "Give the account that runs Milepost the right to write there"),
}
_DAMAGE = ("Could not read enough bytes", "Corrupt database file", "does not match stored checksum")
_FILE = re.compile(r'file "([^"]+)"')


def refusal(error: BaseException, place: Path) -> Fault | None:
    """What the disk did, if that is what the error comes of. `place` is named where the error names no file."""
    for one in _causes(error):
        said = str(one)
        if any(words in said for words in _DAMAGE):
            return fault(str(next(iter(_FILE.findall(said)), place)), f"is damaged ({said.splitlines()[0]}).",
                         "Restore a backup (milepost restore FILE), or move it away and refresh.")  # fmt: skip
        for words, (what, cure) in _REFUSALS.items():
            if words in said:
                file = one.filename if isinstance(one, OSError) else next(iter(_FILE.findall(said)), None)
                return fault(str(file or place), f"cannot be written: {what}.",
                             f"{cure} and refresh again; nothing is lost.")  # fmt: skip
    return None


def _causes(error: BaseException | None) -> Iterator[OSError | duckdb.Error]:
    """The errors of the disk and the engine that an error was raised from, and itself."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (OSError, duckdb.Error)):
            yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
