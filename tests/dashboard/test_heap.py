"""The collector is kept off what was imported, and looks at everything else."""

from __future__ import annotations

import gc
import sys
from types import ModuleType

import pytest

from dashboard import heap

MADE = 5000  # many more objects than may go by the way


def test_what_is_there_is_put_away_when_more_was_imported_and_not_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heap.settle()
    before = gc.get_freeze_count()
    made: list[list[object]] = [[] for _ in range(MADE)]
    heap.settle()
    assert gc.get_freeze_count() < before + MADE // 2
    monkeypatch.setitem(sys.modules, "one_more_page", ModuleType("one_more_page"))
    heap.settle()
    assert gc.get_freeze_count() > before + MADE // 2
    assert len(made) == MADE
