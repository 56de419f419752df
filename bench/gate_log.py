"""A raw log of gate events of any size as Parquet files: the food of the cycle-time peers.

    <folder>/events-000.parquet …    a million events each, all in one shuffled order

Columns: event_id (integer), gate_id, client, phase, type, actor (text; a gate's id is source:key, as in
`marts.gate_events`), occurred_at (UTC instant, no zone).

A pure function of (events, seed). Three years of gates of some hundred clients over twelve phases: a gate is
started (one in fifty has no start on record), submitted, perhaps sent back and submitted again, approved, now
and then reopened and approved once more; what would come after the last day has not happened, which
leaves gates open. Every event of a gate has an instant of its own. What stays out: any reckoning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

PHASES = ("Kickoff", "Brief", "Research", "Concept", "Design", "Copy", "Build", "Review", "Testing", "Training",
          "Launch", "Handover")  # fmt: skip
TYPES = ("started", "submitted", "changes_requested", "approved", "reopened")
SOURCES = ("northlight", "relay", "hearth")
ACTORS = ("team", "client", "system")
CLIENTS = 420
ROWS_A_FILE = 1_000_000
DAY = 86_400_000_000  # microseconds
FIRST_DAY = 1_640_995_200_000_000  # 2022-01-01
SPAN = 3 * 365 * DAY
GATES_AN_EVENT = 0.30  # more than enough gates for the events asked for

Ints = np.ndarray[Any, np.dtype[np.int64]]


def write(folder: Path, events: int, seed: int) -> Path:
    """Writes exactly so many events; returns the glob of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    log = _log(events, np.random.default_rng(seed))
    for place, begin in enumerate(range(0, events, ROWS_A_FILE)):
        log.slice(begin, ROWS_A_FILE).write_parquet(folder / f"events-{place:03}.parquet", compression="zstd")
    return folder / "events-*.parquet"


def _log(events: int, rng: np.random.Generator) -> pl.DataFrame:
    gates = max(100, int(events * GATES_AN_EVENT))
    gate, kind, at = _lives(gates, rng)
    seen = at < FIRST_DAY + SPAN
    gate, kind, at = (column[seen] for column in (gate, kind, at))
    chosen = np.argsort(gate, kind="stable")[:events]  # whole gates, but for the last one
    if len(chosen) < events:
        raise ValueError(f"{gates} gates have only {len(chosen)} events")
    chosen = rng.permutation(chosen)
    gate, kind, at = (column[chosen] for column in (gate, kind, at))
    client, phase = _place(gate)
    actor = np.where(kind <= 1, 0, np.where(rng.random(events) < 0.04, 2, 1))
    return pl.DataFrame(
        {
            "event_id": rng.permutation(events),
            "gate_id": _named(SOURCES, client % len(SOURCES)) + ":ms_" + pl.Series(gate).cast(pl.String).str.zfill(7),
            "client": _named([f"Client {number:03}" for number in range(1, CLIENTS + 1)], client),
            "phase": _named(PHASES, phase),
            "type": _named(TYPES, kind),
            "actor": _named(ACTORS, actor),
            "occurred_at": pl.Series(at).cast(pl.Datetime("us")),
        }
    )


def _place(gate: Ints) -> tuple[Ints, Ints]:
    """Client and phase of a gate: twelve gates in a row are a project's, and large clients have many projects."""
    project = gate // len(PHASES)
    drawn = (project * 2_654_435_761 % 2**32) / 2**32  # a number of its own in [0, 1)
    return (CLIENTS * drawn**1.5).astype(np.int64), gate % len(PHASES)


def _lives(gates: int, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """(gate, index of the type, instant) of every event of every gate."""
    client, phase = _place(np.arange(gates))
    pace = 0.6 + 0.8 * ((client * 97 + phase * 31) % 50) / 50  # some clients and phases are slow
    waits = 2 + phase % 5
    found: list[tuple[Ints, Ints, Ints]] = []
    now = FIRST_DAY + (rng.random(gates) * SPAN).astype(np.int64)
    still = np.arange(gates)

    def happens(which: Ints, kind: str, after: float | Ints = 0.0) -> None:
        """The next event of some gates, a log-normal while after the one before."""
        days = after * pace[which] * rng.lognormal(0, 0.7, len(which))
        now[which] += 1_000_000 + (days * DAY).astype(np.int64)
        found.append((which, np.full(len(which), TYPES.index(kind)), now[which].copy()))

    happens(still, "started")
    happens(still, "submitted", 4.0)
    refused = still[rng.random(gates) < 0.25]
    while len(refused):
        happens(refused, "changes_requested", waits[refused])
        happens(refused, "submitted", 2.0)
        refused = refused[rng.random(len(refused)) < 0.3]
    happens(still, "approved", waits)
    reopened = still[rng.random(gates) < 0.04]
    happens(reopened, "reopened", 9.0)
    happens(reopened, "submitted", 3.0)
    happens(reopened, "approved", waits[reopened])
    gate, kind, at = (np.concatenate(columns) for columns in zip(*found, strict=True))
    is_known = (kind != 0) | (rng.random(len(kind)) >= 0.02)
    return gate[is_known], kind[is_known], at[is_known]


def _named(names: Any, index: Ints) -> pl.Series:
    return pl.Series(list(names), dtype=pl.String).gather(index)
