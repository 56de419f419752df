"""The bench's peers answer the same question alike, and one that does not stops the bench."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"


def test_only_an_approval_that_nothing_undid_ends_a_cycle_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = {
        1: ["started 0", "submitted 2", "approved 4"],
        2: ["started 0", "approved 1", "reopened 5", "approved 8"],  # the last approval counts
        3: ["started 0", "approved 3", "changes_requested 6"],  # undone, so open
        4: ["started 0", "approved 5", "submitted 7"],  # a submission undoes nothing
        5: ["submitted 1", "approved 9"],  # no start
    }
    events = [(gate, *event.split()) for gate, life in lives.items() for event in life]
    pl.DataFrame(
        [(gate, "Acme", "Design", kind, datetime(2026, 1, 1) + timedelta(days=int(day))) for gate, kind, day in events],
        schema=["gate_id", "client", "phase", "type", "occurred_at"],
        orient="row",
    ).write_parquet(tmp_path / "events.parquet")
    monkeypatch.syspath_prepend(BENCH)
    import cycle_times_sql

    answered = cycle_times_sql.answer(cycle_times_sql.load(str(tmp_path / "*.parquet")))
    assert answered == [("Acme", "Design", 3, 5.0, pytest.approx(7.1))]


@pytest.mark.slow
def test_all_four_peers_agree_on_the_cycle_times_of_a_small_log() -> None:
    done = subprocess.run(
        [sys.executable, BENCH / "run.py", "--case", "cycle-times", "--events", "20000", "--seed", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the same answer from all four" in done.stdout
    peers = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert peers[2:] == ["Milepost's SQL on DuckDB", "polars", "pandas", "SQLite"]


SAID = {"seconds": 1.0, "cpu": 1.0, "whole": 2.0, "peak": 1e9, "rows": [["Acme", "Design", 3, 5.0, 7.1]]}


@pytest.mark.parametrize(
    ("rows", "named"),
    [([["Acme", "Design", 3, 5.0, 7.1 + 1e-8]], "polars says"), ([], "polars has other groups")],
)
def test_a_peer_that_answers_otherwise_stops_the_bench(
    rows: list[Any],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    import cycle_times

    monkeypatch.setattr(
        cycle_times, "measured", lambda peer, *given: {**SAID, "rows": rows} if peer == "polars" else SAID
    )
    with pytest.raises(cycle_times.Disagreement, match=named):
        cycle_times.run(tmp_path, events=200, seed=3)
    assert capsys.readouterr().out == ""


def test_peers_that_agree_are_shown_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    import cycle_times

    turns = {"sql": [2.0, 1.0], "polars": [3.0, 2.0], "pandas": [8.0, 7.0], "sqlite": [9.0, 9.5]}
    monkeypatch.setattr(cycle_times, "measured", lambda peer, *given: {**SAID, "seconds": turns[peer].pop(0)})
    cycle_times.run(tmp_path, events=200, seed=3)
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in line[2:4]] for line in lines[2:]] == [
        ["1.00", "1.00"], ["2.00", "2.00"], ["7.00", "7.00"], ["9.00", "9.00"]
    ]  # fmt: skip
