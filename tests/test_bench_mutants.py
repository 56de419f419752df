"""The bench that breaks the models: what a check sees is caught, what nobody looks at is missed, and said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCH = Path(__file__).resolve().parent.parent / "bench" / "mutants.py"


def ran(*args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--projects", "9", "--tests", *args],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_five_ways_to_lose_records_are_all_caught_by_checks() -> None:
    code, told = ran("--only", "marts/rejects", "not dropped", "--count", "5")
    assert told.count("check  ") == 5, told
    assert "miss rate                          0.0 % of 5" in told
    assert code == 0


def test_what_neither_a_check_nor_a_test_looks_at_is_missed_and_makes_it_fail() -> None:
    code, told = ran("--only", "marts/source_pulls", "--count", "1")
    assert "missed  marts/source_pulls" in told, told
    assert code == 1


def test_a_run_goes_on_where_one_was_ended(tmp_path: Path) -> None:
    judged = tmp_path / "judged"
    asked = ("--only", "marts/source_pulls", "--count", "1", "--judged", str(judged))
    assert ran(*asked) == ran(*asked)
    assert len(judged.read_text("utf-8").splitlines()) == 1  # the second run tried nothing
