"""A figure on its way to the browser: a plain dict that Streamlit sends as it is, and the ids of its marks, which stay.

A dict alone Streamlit has Plotly check and copy, mark by mark and at every rerun, which takes longer than all else that
a page does. Figures are checked once, in the tests. What a mark is known by never leaves: a reader's choice comes back
as a place in the figure, whatever the id holds. What stays out: how a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2s
from typing import Any

from plotly.basedatatypes import BaseFigure

from dashboard.chart_template import Figure

Ids = tuple[tuple[str, ...], ...]  # of each trace its marks', in their order


def parted(figure: Figure) -> tuple[Figure, Ids]:
    """A figure without its marks' ids, and the ids. Its name tells figures apart that differ in their ids alone, so
    that a place chosen in one is never looked up in another.
    """
    ids = tuple(tuple(map(str, trace.get("ids", ()))) for trace in figure["data"])
    data = [{name: value for name, value in trace.items() if name != "ids"} for trace in figure["data"]]
    named = blake2s(repr(ids).encode(), digest_size=6).hexdigest()
    return {**figure, "data": data, "layout": {**figure["layout"], "meta": named}}, ids


class Drawn(BaseFigure):  # type: ignore[misc]
    """A figure that is complete: what `to_dict` gives is sent to the browser, and is never written to."""

    def __init__(self, figure: Figure, ids: Ids) -> None:
        object.__setattr__(self, "_complete", figure)  # set otherwise, Plotly would check it
        object.__setattr__(self, "_ids", ids)

    def to_dict(self) -> Figure:
        complete: Figure = self._complete
        return complete

    @property
    def ids(self) -> Ids:
        kept: Ids = self._ids
        return kept

    def chosen(self, points: Iterable[Mapping[str, Any]]) -> list[str]:
        """The ids of the marks at places that a browser told of, each once; a place without one is nobody's."""
        found: list[str] = []
        for point in points:
            trace, place = point.get("curve_number"), point.get("point_index", point.get("point_number"))
            if isinstance(trace, int) and isinstance(place, int) and 0 <= trace < len(self.ids):
                found += self.ids[trace][place : place + 1] if place >= 0 else ()
        return list(dict.fromkeys(found))
