"""Runs one peer in a process of its own and prints what it took and what it found, as JSON.

    python bench/stopwatch.py MODULE FILES RUNS STARTED

A peer is a module beside this one with `load(files)` and `answer(loaded)`, whose rows are tuples. Imports are over
before the clock starts; of several runs the fastest counts, by the wall and by the CPU time of all threads. `whole` is
from STARTED, which the parent read off the machine's monotonic clock, to the first answer. Memory is the process's
peak, imports and all.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path


def main(module: str, files: str, runs: int, started: float) -> None:
    peer = importlib.import_module(module)
    seconds = cpu = whole = float("inf")
    rows: list[tuple[object, ...]] = []
    for _ in range(runs):
        loaded = rows = None  # so that two runs never stand in memory at once
        began, worked = time.perf_counter(), time.process_time()
        loaded = peer.load(files)
        rows = peer.answer(loaded)
        seconds, cpu = min(seconds, time.perf_counter() - began), min(cpu, time.process_time() - worked)
        whole = min(whole, time.monotonic() - started)
    said = {"seconds": seconds, "cpu": cpu, "whole": whole, "peak": peak_kilobytes() * 1024, "rows": rows}
    json.dump(said, sys.stdout)


def peak_kilobytes() -> int:
    """Of this program alone: the peak that getrusage knows begins with what the parent held."""
    status = Path("/proc/self/status").read_text("utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
