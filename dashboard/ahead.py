"""Asking ahead: what a page asked when it was last drawn it will ask again under other filters, so it is asked at once.

A page asks one question after another and draws between them, which keeps one core busy. A second thread takes the
questions that the page has not come to yet; whoever comes first asks, and the other finds the answer kept. What stays
out: the numbers, which are the same either way.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from dashboard.data import Asked, Reading
from models.measure import Question

_Span = Literal["now", "before"]
_asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
_usual: dict[str, tuple[_Usual, ...]] = {}  # page → what it asked last
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Usual:
    """A question without the filters it was asked under."""

    how: str
    more: tuple[Hashable, ...]
    measure: str
    by: tuple[str, ...]
    span: _Span

    def under(self, reading: Reading) -> Question | None:
        """The question under a reading's filters; None where they have no such span."""
        if self.span == "before":
            return reading.question_before(self.measure)
        return reading.question(self.measure, *self.by)


@contextmanager
def asking(page: str, reading: Reading) -> Iterator[None]:
    """While a page is drawn, asks what it asked last; when it is drawn, notes down what it asked."""
    drawn = threading.Event()
    for usual in _usual.get(page, ()):
        question = usual.under(reading)
        if question is not None and not reading.store.has(usual.how, question, *usual.more):
            _asking.submit(_ask, reading, usual, question, drawn)
    try:
        yield
    finally:
        drawn.set()
    _usual[page] = tuple(dict.fromkeys(_without_filters(reading, reading.store.asked)))


def _ask(reading: Reading, usual: _Usual, question: Question, drawn: threading.Event) -> None:
    if drawn.is_set() or reading.store.has(usual.how, question, *usual.more):
        return
    try:
        getattr(replace(reading.store, asked=[]), usual.how)(question, *usual.more)
    except Exception as wrong:  # the page asks itself, and says what is wrong
        _log.debug("asked ahead in vain: %s", wrong)


def _without_filters(reading: Reading, asked: Sequence[Asked]) -> Iterator[_Usual]:
    """The questions that follow from the filters alone; what a page picks itself may be another thing next time."""
    for one in asked:
        question = one.question
        if question == reading.question(question.measure, *question.by):
            yield _Usual(one.how, one.more, question.measure, question.by, "now")
        elif question == reading.question_before(question.measure):
            yield _Usual(one.how, one.more, question.measure, (), "before")
