"""What a viewer may see. The one place to restrict it: `data.py` lets nothing else through.

What stays out: who the viewer is (the server signs people in) and how the restriction is applied.
"""

from __future__ import annotations

from collections.abc import Iterable


def visible_firms(in_snapshot: Iterable[str]) -> tuple[str, ...]:
    """The firms whose records a viewer may see: everyone who can open the dashboard sees every firm."""
    return tuple(in_snapshot)
