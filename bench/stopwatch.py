"""Runs one peer in a process of its own and prints what it took and what it found, as JSON.

    python bench/stopwatch.py MODULE FILES RUNS

A peer is a module beside this one with `load(files)` and `answer(loaded)`, whose rows are tuples. Imports are
over before the clock starts; of several runs the fastest counts. Memory is the process's peak, imports and all.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main(module: str, files: str, runs: int) -> None:
    peer = importlib.import_module(module)
    best = (float("inf"), 0.0, 0.0)
    rows: list[tuple[object, ...]] = []
    for _ in range(runs):
        loaded = rows = None  # so that two runs never stand in memory at once
        began = time.perf_counter()
        loaded = peer.load(files)
        read = time.perf_counter()
        rows = peer.answer(loaded)
        done = time.perf_counter()
        best = min(best, (done - began, read - began, done - read))
    peak = peak_kilobytes()
    json.dump({"seconds": best[0], "load": best[1], "answer": best[2], "peak": peak * 1024, "rows": rows}, sys.stdout)


def peak_kilobytes() -> int:
    """Of this program alone: the peak that getrusage knows begins with what the parent held."""
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
