"""Asking ahead: what a page asked when it was last drawn it will ask again under other filters, so it is asked early.

While a page is drawn, a second thread asks the same from the page's end on, until both meet. Once the page stands and
nobody opens another, what lies one change of the filters away is asked too, so that most changes find their answers
kept. What stays out: the numbers, which are the same either way, and how long they are kept (keeping.py).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dashboard.data import Asked, Reading
from dashboard.filters import PERIODS, Filters, Options

QUIET_SECONDS = 0.3  # without a page being drawn, before anything is asked that nobody may want
MOST_VALUES = 12  # of a filter, for each of them to be tried
GENTLE = 10  # the niceness of a thread whose answers nobody waits for
_usual: dict[str, tuple[Asked, ...]] = {}  # page → what it asked last
_drawing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
_beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside")
_opened = threading.Condition()
_views = 0  # how many pages were opened so far
_asks_beside = False
_log = logging.getLogger(__name__)


def ask_beside() -> None:
    """From now on, what lies one change of the filters away is asked while nobody opens a page."""
    global _asks_beside  # noqa: PLW0603 - one server, one answer
    _asks_beside = True


@contextmanager
def asking(page: str, reading: Reading) -> Iterator[None]:
    """While a page is drawn, asks what it asked last, last things first; when it is drawn, notes what it asked."""
    mine = _open()
    drawn = threading.Event()
    if usual := _usual.get(page, ()):
        _drawing.submit(_ask, reading, usual[::-1], drawn.is_set)
    try:
        yield
    finally:
        drawn.set()
    _usual[page] = tuple(dict.fromkeys(reading.asked))
    if _asks_beside:
        _beside.submit(_ask_beside, reading, _usual[page], mine)


def also(reading: Reading, asked: Sequence[Asked]) -> None:
    """Asks beside the page, last things first, what it knows that it will ask further down."""
    _drawing.submit(_ask, reading, asked[::-1], lambda: False)


def near(filters: Filters, options: Options) -> Iterator[Filters]:
    """What lies one change away: other periods, and each value of a filter that has few."""
    for period in PERIODS:
        if period != filters.period:
            yield replace(filters, period=period)
    for name, values in options.items():
        if getattr(filters, name):
            yield _with(filters, name, ())
        elif len(values) <= MOST_VALUES:
            yield from (_with(filters, name, (value,)) for value in values)


def _with(filters: Filters, name: str, values: tuple[str, ...]) -> Filters:
    changed: dict[str, Any] = {name: values}
    return replace(filters, **changed)


def _open() -> int:
    global _views  # noqa: PLW0603 - one server, one count
    with _opened:
        _views += 1
        _opened.notify_all()
        return _views


def _ask_beside(reading: Reading, usual: tuple[Asked, ...], mine: int) -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLE)
    with _opened:
        if _opened.wait_for(lambda: _views != mine, QUIET_SECONDS):
            return
    for filters in near(reading.filters, reading.store.options()):
        _ask(replace(reading, filters=filters), usual, lambda: _views != mine)


def _ask(reading: Reading, usual: Sequence[Asked], is_over: Callable[[], bool]) -> None:
    mine = replace(reading, asked=[])
    for one in usual:
        if is_over():
            return
        try:
            one.again(mine)
        except Exception as wrong:  # the page asks itself, and says what is wrong
            _log.debug("asked ahead in vain: %s", wrong)
