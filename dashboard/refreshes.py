"""The newest refreshes, as the file tells that each of them leaves in the data folder.

Not in a snapshot, because one that failed published none. What an error says may come out of a record, and counts tell
of everybody's: neither is shown to whom some rows are withheld. What stays out: writing it (pipelines/runs.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from dashboard.access import Sight

FILE = "runs.json"
SLOWEST = 3  # steps that are named
_SCHEMA = {
    "started_at": pl.Datetime,
    "started_by": pl.String,
    "outcome": pl.String,
    "duration_seconds": pl.Float64,
    "row_count": pl.Int64,
    "rejected_count": pl.Int64,
    "published": pl.String,
    "slowest": pl.String,
    "error": pl.String,
}
_OF_ALL_ROWS = ("row_count", "rejected_count", "error")


def newest(data: Path, sight: Sight) -> pl.DataFrame:
    """A row each, newest first; none where there is no file yet, or where it cannot be read."""
    try:
        told = [_row(run) for run in json.loads((data / FILE).read_text("utf-8"))]
    except (OSError, ValueError, KeyError, TypeError):
        told = []
    frame = pl.DataFrame(told, schema=_SCHEMA, orient="row")
    return frame if sight.sees_all_rows else frame.drop(_OF_ALL_ROWS)


def _row(run: Mapping[str, Any]) -> list[Any]:
    began, ended = (datetime.fromisoformat(run[name]) if run[name] else None for name in ("started_at", "ended_at"))
    slowest = sorted(run["steps"], key=lambda step: -step["seconds"] - step["check_seconds"])[:SLOWEST]
    return [
        began.replace(tzinfo=None) if began else None,
        run["started_by"],
        run["outcome"],
        (ended - began).total_seconds() if began and ended else None,
        run["row_count"],
        run["rejected_count"],
        run["published"],
        ", ".join(f"{step['step']} {step['seconds'] + step['check_seconds']:.1f} s" for step in slowest),
        run["error"],
    ]
