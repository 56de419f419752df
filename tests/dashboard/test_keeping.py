"""What is kept for all sessions stays within its number and its size, and is asked for once."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import polars as pl
import pytest

from dashboard.keeping import Kept, size_of

HOUSE = Path(__file__).resolve().parents[2] / "dashboard"


def test_what_was_longest_not_asked_for_goes_first() -> None:
    kept = Kept(most=2, most_bytes=10_000)
    for key in ("one", "two", "one", "three"):
        kept.get(key, lambda key=key: key)  # type: ignore[misc]
    assert ["one" in kept, "two" in kept, "three" in kept] == [True, False, True]
    assert len(kept) == 2


def test_answers_stay_within_their_size_however_many_may_be_kept() -> None:
    frame = pl.DataFrame({"value": [1.0] * 1000})
    kept = Kept(most=1000, most_bytes=50_000)
    for key in range(40):
        kept.get(key, lambda: frame)
        assert kept.bytes <= 50_000
    assert len(kept) == 50_000 // size_of(frame)
    assert 39 in kept


def test_an_answer_as_large_as_many_is_told_and_not_kept() -> None:
    kept = Kept(most=10, most_bytes=50_000)
    kept.get("small", lambda: 1)
    large = kept.get("large", lambda: pl.DataFrame({"value": [1.0] * 5000}))
    assert large.height == 5000
    assert "large" not in kept
    assert "small" in kept


def test_a_question_that_two_ask_at_once_is_asked_once() -> None:
    kept, asked, may_answer = Kept(most=10, most_bytes=10_000), threading.Semaphore(0), threading.Event()
    times: list[int] = []

    def ask() -> str:
        times.append(1)
        asked.release()
        may_answer.wait(5)
        return "answer"

    told: list[str] = []
    threads = [threading.Thread(target=lambda: told.append(kept.get("key", ask))) for _ in range(4)]
    for thread in threads:
        thread.start()
    asked.acquire(timeout=5)
    may_answer.set()
    for thread in threads:
        thread.join(5)
    assert told == ["answer"] * 4
    assert len(times) == 1


def test_a_failure_is_not_kept_and_whoever_waited_for_it_asks_again() -> None:
    kept, is_asked, may_fail = Kept(most=10, most_bytes=10_000), threading.Event(), threading.Event()

    def fail() -> str:
        is_asked.set()
        may_fail.wait(5)
        raise ValueError("no")

    def first() -> None:
        with pytest.raises(ValueError, match="no"):
            kept.get("key", fail)

    told: list[str] = []
    threads = [
        threading.Thread(target=first),
        threading.Thread(target=lambda: told.append(kept.get("key", lambda: "answer"))),
    ]
    threads[0].start()
    is_asked.wait(5)
    threads[1].start()
    may_fail.set()
    for thread in threads:
        thread.join(5)
    assert told == ["answer"]
    assert kept.get("key", fail) == "answer"


def test_every_cache_of_the_dashboard_is_bounded_or_holds_one_thing() -> None:
    unbounded = []
    for module in HOUSE.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                caches = [ast.unparse(one) for one in node.decorator_list if "st.cache_" in ast.unparse(one)]
                unbounded += [(module.name, node.name) for one in caches if "max_entries" not in one and node.args.args]
    assert unbounded == []
