"""The bench's pulls bring all that a tool holds, and pulls that don't stop the bench."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"


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
