"""The bench's peers answer the same question alike, and one that does not stops the bench."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
ASK = ["--case", "cycle-times", "--events", "20000", "--seed", "3"]


def bench(*lines: str) -> subprocess.CompletedProcess[str]:
    """The bench in a process of its own, after some lines of Python."""
    start = ["import sys", f"sys.path.insert(0, {str(BENCH)!r})", "import run, cycle_times", *lines]
    program = "\n".join([*start, f"sys.argv[1:] = {ASK!r}", "run.main()"])
    return subprocess.run(
        [sys.executable, "-c", program], cwd=BENCH.parent, capture_output=True, text=True, check=False
    )


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
    done = bench()
    assert done.returncode == 0, done.stderr
    assert "the same answer from all four" in done.stdout
    peers = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("|")]
    assert peers[2:] == ["Milepost's SQL on DuckDB", "polars", "pandas", "SQLite"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoiled", "named"),
    [
        ("lambda rows: [*rows[:-1], (*rows[-1][:-1], rows[-1][-1] + 1e-8)]", "polars says"),
        ("lambda rows: rows[:-1]", "polars has other groups"),
    ],
)
def test_a_peer_that_answers_otherwise_stops_the_bench(spoiled: str, named: str) -> None:
    done = bench(
        "measured = cycle_times.measured",
        f"spoil = {spoiled}",
        "def spoilt(peer, *given):",
        "    said = measured(peer, *given)",
        "    return {**said, 'rows': spoil(said['rows'])} if peer == 'polars' else said",
        "cycle_times.measured = spoilt",
    )
    assert done.returncode == 1
    assert named in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_pulls_from_a_tool_that_answers_at_once_bring_all_that_it_holds() -> None:
    ask = ["--case", "pulls", "--kinds", "portal", "redmine", "--records", "300", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, str(BENCH / "run.py"), *ask], cwd=BENCH.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    assert [kind.strip() for kind, *_ in lines[2:]] == ["portal", "redmine *"]
    assert all(float(cell.replace(",", "")) > 0 for _, *cells in lines[2:] for cell in cells)


@pytest.mark.parametrize(
    ("rows", "news", "named"),
    [
        (299, {}, "landed 299 of 300 records"),
        (301, {}, "landed 301 of 300 records"),
        (300, {"later": {"changed": True}}, "saw news where nothing is new"),
        (300, {"swept": {"changed": True}}, "saw news where nothing is new"),
    ],
)
def test_a_pull_that_brings_other_than_what_is_there_stops_the_bench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, news: dict[str, object], named: str
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    import pulls

    quiet = {"later": {"changed": False}, "swept": {"changed": False}}
    monkeypatch.setattr(pulls, "pulled", lambda *_: {"rows": rows, **quiet, **news})
    with pytest.raises(pulls.Amiss, match=named):
        pulls.measured(tmp_path / "pull", "files", 300, 3)
