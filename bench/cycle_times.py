"""Case: P50 and P85 of gate cycle times by client and phase from a raw event log, ours beside three peers.

All read the same files in the same run and must give the same answer, or the case stops. Each runs in a process
of its own (stopwatch.py), at most two threads wide. Open gates are left out here, so that plain percentiles
suffice: the catalogue's F1 counts them as running (Kaplan–Meier), which the peers have no word for.
What stays out: what a peer does (cycle_times_*.py) and what the log looks like (gate_log.py).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import gate_log
from printing import show

PEERS = {"sql": "Milepost's SQL on DuckDB", "polars": "polars", "pandas": "pandas", "sqlite": "SQLite"}
SLOW = ("pandas", "sqlite")
QUICK_EVENTS = 2_000_000  # up to here the slow peers run three times too
NEAR = 1e-9  # days: how far apart two answers may be

Answer = dict[tuple[str, str], tuple[float, ...]]


class Disagreement(Exception):
    """Two peers gave different answers to the same question over the same files."""


def run(folder: Path, events: int, seed: int) -> None:
    files = gate_log.write(folder / f"events-{events}", events, seed)
    found = {peer: measured(peer, files, events) for peer in PEERS}
    answers = {peer: answer(one["rows"]) for peer, one in found.items()}
    for peer in PEERS:
        compare(answers["sql"], answers[peer], peer)
    ours = found["sql"]["seconds"]
    gates = sum(int(n) for n, *_ in answers["sql"].values())
    show(
        f"Cycle times by client and phase from {events:,} events: {gates:,} finished gates in "
        f"{len(answers['sql']):,} groups, the same answer from all four",
        ("peer", "load, s", "answer, s", "both, s", "÷ ours", "peak memory, GB"),
        [
            (
                label,
                "in the answer" if peer in ("sql", "polars") else f"{found[peer]['load']:.2f}",
                f"{found[peer]['answer']:.2f}",
                f"{found[peer]['seconds']:.2f}",
                f"{found[peer]['seconds'] / ours:.2f}",
                f"{found[peer]['peak'] / 1e9:.2f}",
            )
            for peer, label in PEERS.items()
        ],
    )


def measured(peer: str, files: Path, events: int) -> dict[str, Any]:
    """What the stopwatch says about one peer. Stops where the peer fails."""
    runs = 1 if peer in SLOW and events > QUICK_EVENTS else 3
    command = [
        sys.executable,
        str(Path(__file__).with_name("stopwatch.py")),
        f"cycle_times_{peer}",
        str(files),
        str(runs),
    ]
    said: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return said


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
