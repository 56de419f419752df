"""What a viewer may see. The one place to restrict it: `data.py` lets nothing else through.

What stays out: who the viewer is (the server signs people in) and how the restriction is applied.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.settings import Settings


def visible_firms(settings: Settings, in_snapshot: Iterable[str]) -> tuple[str, ...]:
    """The firms whose records a viewer may see: all that the snapshot holds and the settings still name.

    A snapshot read without settings (no source is configured) shows every firm in it.
    """
    configured = {source.firm for source in settings.sources.values()}
    return tuple(sorted(firm for firm in in_snapshot if not configured or firm in configured))
