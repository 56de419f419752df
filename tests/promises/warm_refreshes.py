"""Refreshes in processes of their own, forked from one that has everything imported, so that a test can kill them.

An attempt tells each step as it begins, as `milepost refresh` does at a terminal, and its outcome at the end. Its clock
is the one it is given, for what was pulled and published too. What stays out: when to kill, and what must hold after.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

from models.faults import Fault
from pipelines.refreshing import Refresh

WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["preloaded", "warm_refreshes"])
_HERE = str(Path(__file__).parent)
PATIENCE_SECONDS = 300.0  # for one attempt, on a machine that does much else


class Attempt:
    """One refresh on its way. `said` are the steps it has told of so far, `outcome` what came of it, None if killed.

    `refusal` is why it did not begin.

    `first` is done in its process before anything else, such as taking rights away from it.
    """

    def __init__(
        self,
        data: Path,
        at: datetime,
        environ: Mapping[str, str] = {},
        first: Callable[[], None] | None = None,
    ) -> None:
        self.data = data
        self.said: list[str] = []
        self.said_at: list[float] = []
        self.outcome: Refresh | None = None
        self.refusal: str | None = None
        warm_up()
        self._heard, telling = WARM.Pipe(duplex=False)
        self._process = WARM.Process(target=_refresh, args=(data, at, dict(environ), first, telling), daemon=True)
        self._process.start()
        telling.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def until(self, is_there: Callable[[], bool], looks_every: float = 0.5) -> bool:
        """Waits for something to be so, looking whenever a step is told and so often; False where the attempt ended before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_there():
            if not self._listen(looks_every):
                return is_there()  # its last words may have come with its end
            assert time.monotonic() < deadline, f"still waiting after {self.said[-1:]}"
        return True

    def until_said(self, beginning: str | tuple[str, ...], times: int = 1) -> bool:
        """Waits for the n-th step that begins so, or in one of these ways."""
        return self.until(lambda: sum(words.startswith(beginning) for words in self.said) >= times)

    def kill(self) -> None:
        """SIGKILL, wherever it is; what it had said by then is in `said`."""
        self._process.kill()
        self.wait()

    def wait(self) -> Refresh | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._listen(1.0):
            assert time.monotonic() < deadline, f"still waiting after {self.said[-1:]}"
        self._process.join(PATIENCE_SECONDS)
        return self.outcome

    def _listen(self, seconds: float) -> bool:
        """Takes in what was told; False once there is nothing more to come."""
        try:
            while self._heard.poll(seconds):
                told = self._heard.recv()
                seconds = 0.0
                if isinstance(told, Refresh):
                    self.outcome = told
                elif not isinstance(told, str):
                    self.refusal = "\n".join(map(str, told))
                else:
                    self.said.append(told)
                    self.said_at.append(time.monotonic())
        except (EOFError, OSError):
            return False
        return True


def warm_up() -> None:
    """Starts the process that attempts are forked from, where it does not run yet; it is to find these modules."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([_HERE, *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before:
            os.environ["PYTHONPATH"] = before


def refreshed(data: Path, at: datetime, environ: Mapping[str, str] = {}) -> Refresh:
    """The outcome of a refresh that nobody disturbs."""
    outcome = Attempt(data, at, environ).wait()
    assert outcome is not None, "the refresh died"
    return outcome


def _refresh(
    data: Path, at: datetime, environ: Mapping[str, str], first: Callable[[], None] | None, telling: Connection
) -> None:
    from pipelines import refreshing
    from pipelines.settings import load

    os.environ.update(environ)
    tempfile.tempdir = None  # found anew where TMPDIR is among them
    sys.addaudithook(_alone(telling))
    settings = load(data, data / "milepost.toml", {})
    if first:
        first()
    try:
        telling.send(refreshing.refresh(settings, as_of=at, now=at, saying=telling.send))
    except Fault as error:
        telling.send(error.problems)


def _alone(telling: Connection) -> Callable[[str, tuple[object, ...]], None]:
    """Tells of every process that the refresh itself starts."""

    def heard(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system"):
            telling.send(f"{CHILD} {arguments[:2]}")

    return heard


CHILD = "Starting a process"


def phases(attempt: Attempt) -> Iterator[tuple[str, float]]:
    """The steps an attempt told of, each with the seconds until the next."""
    ends = [*attempt.said_at[1:], time.monotonic()]
    for words, began, ended in zip(attempt.said, attempt.said_at, ends, strict=True):
        yield words, ended - began
