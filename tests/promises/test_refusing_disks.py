"""A disk that is full, or that may not be written to: said with the file and the cure, and nothing is lost.

A small disk of its own is mounted where the tests may do so; else a limit on the size of files stands for it. The end of
the run tells which it was.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from changing_firms import ENVIRON, Firms, changing_firms
from compared import differences
from warm_refreshes import Attempt, refreshed

from pipelines import snapshots

pytestmark = pytest.mark.slow

MEGABYTES = 160
CHUNK = 1 << 20


@dataclass(slots=True)
class Disk:
    """`folder` lies on it. `is_mounted`: a file system of its own; else files of a process may grow no further."""

    folder: Path
    is_mounted: bool

    def fill(self, attempt: Attempt) -> None:
        """From now on there is no room for whatever the attempt writes."""
        if not self.is_mounted:
            resource.prlimit(attempt.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            return
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            for size in (CHUNK, 4096, 1):
                with suppress(OSError):
                    while filler.write(b"\0" * size) == size:
                        pass

    def clear(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)


@pytest.fixture
def disk(tmp_path: Path, record_property: Callable[[str, object], None]) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    record_property("server", f"full disk ({'a tmpfs' if is_mounted else 'a limit on the size of files'})")
    try:
        yield Disk(folder, is_mounted)
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def firms(tmp_path: Path) -> Iterator[Firms]:
    with changing_firms(tmp_path) as made:
        yield made


@pytest.mark.usefixtures("disk")
def test_a_disk_that_is_full_is_said_with_file_and_cure_and_once_there_is_room_nothing_is_lost(
    firms: Firms, disk: Disk, tmp_path: Path
) -> None:
    house, twin = disk.folder / "house", tmp_path / "twin"
    firms.settle(house)
    assert refreshed(house, firms.now, ENVIRON).problems == ()
    shutil.copytree(house, twin)
    before = snapshots.newest(house / "snapshots")
    for step in ("Pulling relay", "Building gates", "Publishing"):
        firms.change()
        attempt = Attempt(house, firms.now, ENVIRON)
        assert attempt.until_said(step)
        disk.fill(attempt)
        said = told(attempt)
        assert f"{house}/" in said
        assert "the disk is full. Make room there" in said or "a file may not grow any further. Make room there" in said
        assert "nothing is lost" in said
        assert snapshots.newest(house / "snapshots") == before
        disk.clear()
    firms.change(terms=True)
    served = []
    for data in (house, twin):
        outcome = refreshed(data, firms.now, ENVIRON)
        assert (outcome.problems, outcome.stale) == ((), ())
        assert outcome.serving is not None
        served.append(outcome.serving.path)
    assert differences(*served) == []
    assert not [path for path in (house / "snapshots").iterdir() if ".tmp" in path.name]


@pytest.mark.parametrize(
    ("folder", "cure"),
    [
        ("data", "Check that the data folder exists, has room and may be written to"),
        ("snapshots", "Give the account that runs Milepost the right to write there and refresh again"),
        (".pull", "Give the account that runs Milepost the right to write there and refresh again"),
    ],
)
def test_a_folder_that_may_not_be_written_to_is_said_with_its_cure(
    firms: Firms, tmp_path: Path, folder: str, cure: str
) -> None:
    house = tmp_path / "house"
    firms.settle(house)
    place = house if folder == "data" else house / folder
    if os.geteuid() == 0 or place != house:
        place.mkdir(exist_ok=True)
        give_away(place)
    else:
        place.chmod(0o555)
    said = told(Attempt(house, firms.now, ENVIRON, bound_by_permissions))
    assert str(place) in said
    assert cure in said


def give_away(folder: Path) -> None:
    """The folder is somebody else's, who lets others read."""
    if os.geteuid() == 0:
        os.chown(folder, 1, 1)
        folder.chmod(0o755)
    else:
        folder.rmdir()
        folder.symlink_to("/usr")


def told(attempt: Attempt) -> str:
    """What a refresh that failed says: why it did not begin, or what stopped it and which sources are stale."""
    outcome = attempt.wait()
    if outcome is None:
        assert attempt.refusal, "the refresh died without a word"
        return attempt.refusal
    said = [*outcome.problems, *outcome.stale]
    assert said
    return "\n".join(said)


_OVERRIDES = sum(1 << number for number in range(4))  # CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH and FOWNER
_CAPABILITIES = 0x20080522  # the third version of the call


def bound_by_permissions() -> None:
    """Root gives up writing where permissions do not let it; everybody else is bound anyway."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    held[0] &= ~_OVERRIDES
    assert libc.capset(header, held) == 0, os.strerror(ctypes.get_errno())
