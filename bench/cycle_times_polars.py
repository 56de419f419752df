"""Cycle times by client and phase in polars: one lazy query on the streaming engine, client and phase as categories.

Of the forms tried (categories or text, one key with `first` or three, masks or filters inside the
aggregation, joins; in memory or streaming) this one was the fastest at ten million events.
"""

from __future__ import annotations

import os

THREADS = 2
os.environ["POLARS_MAX_THREADS"] = str(THREADS)

import polars as pl  # noqa: E402 - reads the number of threads when it is imported

DAY_MICROS = 86_400_000_000


def load(files: str) -> pl.LazyFrame:
    """Nothing is loaded: the query reads the files."""
    return pl.scan_parquet(files)


def answer(log: pl.LazyFrame) -> list[tuple[object, ...]]:
    at, kind = pl.col("occurred_at"), pl.col("type")
    gates = (
        log.filter(kind != "submitted")
        .select(
            "gate_id",
            pl.col("client", "phase").cast(pl.Categorical),
            started_at=pl.when(kind == "started").then(at),
            approved_at=pl.when(kind == "approved").then(at),
            decided_at=pl.when(kind != "started").then(at),
        )
        .group_by("gate_id", "client", "phase")
        .agg(pl.min("started_at"), pl.max("approved_at", "decided_at"))
    )
    days = (pl.col("approved_at") - pl.col("started_at")).dt.total_microseconds() / DAY_MICROS
    return (
        gates.filter(pl.col("started_at").is_not_null(), pl.col("approved_at") == pl.col("decided_at"))
        .select("client", "phase", days=days)
        .group_by("client", "phase")
        .agg(
            pl.len().alias("n"),
            pl.col("days").quantile(0.5, "linear").alias("p50_days"),
            pl.col("days").quantile(0.85, "linear").alias("p85_days"),
        )
        .collect(engine="streaming")
        .rows()
    )
