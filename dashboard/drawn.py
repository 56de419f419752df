"""A figure on its way to the browser: a plain dict that Streamlit sends as it is.

A dict alone Streamlit has Plotly check and copy, mark by mark and at every rerun, which takes longer than all else that
a page does. Figures are checked once, in the tests. What stays out: how a figure is drawn.
"""

from __future__ import annotations

from plotly.basedatatypes import BaseFigure

from dashboard.chart_template import Figure


class Drawn(BaseFigure):  # type: ignore[misc]
    """A figure that is complete: what `to_dict` gives is sent to the browser, and is never written to."""

    def __init__(self, figure: Figure) -> None:
        object.__setattr__(self, "_complete", figure)  # set otherwise, Plotly would check it

    def to_dict(self) -> Figure:
        complete: Figure = self._complete
        return complete

    def ids(self) -> set[str]:
        """What marks carry to be known by, the first of their own data."""
        traces = self.to_dict()["data"]
        return {str(own[0]) for trace in traces for own in trace.get("customdata", ())}
