"""The fixture `world`, for every test of the models; whatever builds one counts as slow."""

from __future__ import annotations

import pytest
from small_worlds import world

__all__ = ["world"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "world" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
