"""Servers that a test starts: a port for one, waiting until it answers, ending it; and the pages over a data folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipelines.settings import PROJECT


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def answers(url: str, seconds: float = 90) -> None:
    """Returns once an address answers; raises `TimeoutError` where it does not in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(url)


def ended(process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Ends a server: asked to, and on a busy machine made to."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def pages(
    data: Path, port: int | None = None, log: Path = Path(os.devnull), more: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address, without a slash at its end, of `milepost dashboard` over a data folder; `more` is of the environment."""
    port = port or free_port()
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "dashboard", "--port", str(port)],
            cwd=PROJECT,
            env={**os.environ, **(more or {}), "MILEPOST_DATA": str(data)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        answers(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        ended(server)
