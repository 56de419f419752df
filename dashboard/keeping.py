"""What was answered once, kept for all sessions: within a number and a size, each asked once however many wait for it.

Streamlit's own cache is bounded by number alone, and an answer may be a number or a hundred thousand rows. What stays
out: what is asked, and of whom.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import fields, is_dataclass
from typing import Any

import polars as pl

LEAST_BYTES = 100  # of an object and its place


class Kept:
    """Answers by key, the one that was longest not asked for goes first; safe to use from many threads.

    An answer larger than a quarter of the whole is told, and not kept.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes = most, most_bytes
        self.bytes = 0
        self._answers: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._asked: dict[Hashable, threading.Event] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._answers or key in self._asked

    def get(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        """The answer kept, the one that somebody is just asking for, or what `ask` gives.

        Failures are not kept: whoever waited asks again.
        """
        while True:
            with self._lock:
                if key in self._answers:
                    self._answers.move_to_end(key)
                    return self._answers[key][0]
                pending = self._asked.get(key)
                if pending is None:
                    mine = self._asked[key] = threading.Event()
            if pending is None:
                return self._ask(key, ask, mine)
            pending.wait()

    def clear(self) -> None:
        with self._lock:
            self._answers.clear()
            self.bytes = 0

    def _ask(self, key: Hashable, ask: Callable[[], Any], told: threading.Event) -> Any:
        try:
            answer = ask()
            self._keep(key, answer, size_of(answer))
        finally:
            with self._lock:
                del self._asked[key]
            told.set()
        return answer

    def _keep(self, key: Hashable, answer: Any, size: int) -> None:
        if size > self.most_bytes // 4:
            return
        with self._lock:
            self._answers[key] = answer, size
            self.bytes += size
            while len(self._answers) > self.most or self.bytes > self.most_bytes:
                _, (_, gone) = self._answers.popitem(last=False)
                self.bytes -= gone


def size_of(answer: Any) -> int:
    """About how many bytes an answer holds: its frames', and a little for all else."""
    if isinstance(answer, pl.DataFrame):
        return LEAST_BYTES + int(answer.estimated_size())
    if isinstance(answer, str):
        return 50 + len(answer)
    if isinstance(answer, dict):
        return LEAST_BYTES + sum(size_of(one) for one in (*answer.keys(), *answer.values()))
    if isinstance(answer, list | tuple):
        return LEAST_BYTES + sum(map(size_of, answer))
    if is_dataclass(answer) and not isinstance(answer, type):
        return LEAST_BYTES + sum(size_of(getattr(answer, one.name)) for one in fields(answer))
    return 30
