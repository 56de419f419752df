"""Case: P50 and P85 of gate cycle times by client and phase from a raw event log, ours beside three peers.

All read the same files in the same run and must give the same answer, or the case stops. Each runs in processes
of its own (stopwatch.py), at most two threads wide, the peers taking turns; of several runs the fastest counts.
"Answered" is reading and answering, with everything imported; the CPU time of it, of all threads, is what a busy
machine leaves comparable; "whole script" is from the start of Python to its first answer, imports and all. Open gates
are left out here, so that plain percentiles suffice: the catalogue's F1 counts them as running (Kaplan–Meier), which
the peers have no word for.
What stays out: what a peer does (cycle_times_*.py) and what the log looks like (gate_log.py).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gate_log
from printing import show

PEERS = {"sql": "Milepost's SQL on DuckDB", "polars": "polars", "pandas": "pandas", "sqlite": "SQLite"}
SLOW = ("pandas", "sqlite")
QUICK_EVENTS = 2_000_000  # up to here the slow peers run as often as the others
TURNS, RUNS = 2, 3  # so many processes of each peer, and runs in each
NEAR = 1e-9  # days: how far apart two answers may be

Answer = dict[tuple[str, str], tuple[float, ...]]


class Disagreement(Exception):
    """Two peers gave different answers to the same question over the same files."""


def run(folder: Path, events: int, seed: int) -> None:
    files = gate_log.write(folder / f"events-{events}", events, seed)
    found: dict[str, dict[str, Any]] = {}
    for turn in range(TURNS):
        for peer in PEERS:
            is_slow = peer in SLOW and events > QUICK_EVENTS
            if turn == 0 or not is_slow:
                found[peer] = better(found.get(peer), measured(peer, files, 1 if is_slow else RUNS))
    answers = {peer: answer(one["rows"]) for peer, one in found.items()}
    for peer in PEERS:
        compare(answers["sql"], answers[peer], peer)
    ours = found["sql"]
    gates = sum(int(n) for n, *_ in answers["sql"].values())
    show(
        f"Cycle times by client and phase from {events:,} events: {gates:,} finished gates in "
        f"{len(answers['sql']):,} groups, the same answer from all four",
        ("peer", "answered, s", "÷ ours", "CPU, s", "÷ ours", "whole script, s", "÷ ours", "peak memory, GB"),
        [
            (
                label,
                *(
                    cell
                    for what in ("seconds", "cpu", "whole")
                    for cell in (f"{found[peer][what]:.2f}", f"{found[peer][what] / ours[what]:.2f}")
                ),
                f"{found[peer]['peak'] / 1e9:.2f}",
            )
            for peer, label in PEERS.items()
        ],
    )


def measured(peer: str, files: Path, runs: int) -> dict[str, Any]:
    """What the stopwatch says about one process of a peer. Stops where the peer fails."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("stopwatch.py")),
        f"cycle_times_{peer}",
        str(files),
        str(runs),
        str(time.monotonic()),
    ]
    said: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return said


def better(before: dict[str, Any] | None, now: dict[str, Any]) -> dict[str, Any]:
    """The least time of each kind and the highest peak of two processes of one peer."""
    if before is None:
        return now
    least = {what: min(before[what], now[what]) for what in ("seconds", "cpu", "whole")}
    return {**now, **least, "peak": max(before["peak"], now["peak"])}


def answer(rows: list[tuple[str, str, float, float, float]]) -> Answer:
    return {(client, phase): values for client, phase, *values in rows}


def compare(ours: Answer, theirs: Answer, peer: str) -> None:
    """Raises `Disagreement` with the first difference."""
    if ours.keys() != theirs.keys() or not ours:
        raise Disagreement(f"{peer} has other groups: {sorted(ours.keys() ^ theirs.keys())[:3]}")
    for key, values in ours.items():
        same = [math.isclose(a, b, rel_tol=0, abs_tol=NEAR) for a, b in zip(values, theirs[key], strict=True)]
        if not all(same):
            raise Disagreement(f"{peer} says {theirs[key]} for {key}, ours is {values}")
