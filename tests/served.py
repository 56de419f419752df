"""Waits for a server that a test has started."""

from __future__ import annotations

import time
import urllib.request


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
