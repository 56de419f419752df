"""The chart template: colours by place, axes with their units, marks, rules and notes that every figure is made of.

Colours are places in the theme's `chartCategoricalColors` (.streamlit/config.toml): Streamlit's browser side puts
the reader's theme in their stead, so one cached figure serves light and dark. Text keeps the theme's own colour. A
second cue (shape, pattern, words) goes with each colour. What stays out: any one figure, and Streamlit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from dashboard.numbers import current, plain

Figure = dict[str, Any]

PLACES = tuple(f"#{place:06d}" for place in range(1, 11))  # "#000001" to "#000010": what Streamlit replaces
ACCENT, WARN, GOOD, SECOND, MUTED, SOFT, OCHRE, FAINT, INK, QUIET = PLACES
BACKGROUND = "#000038"
PATTERNS = ("", "/", "x", ".", "\\", "-", "+", "|")  # the second cue of stacked parts
LINES = (ACCENT, WARN, GOOD, SECOND, OCHRE, MUTED)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "triangle-up", "x", "cross", "star")
MOST_LINES = 6
MOST_MARKS = 500
OPEN = ("in_progress", "awaiting_decision", "changes_requested")
ROW, ROW_OF_TWO = 30, 38  # px a labelled row takes, with a label of one line and of two
LINE = 22  # letters of a label's first line
SMALL = 12

LEGEND: dict[str, Any] = {
    "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "traceorder": "normal",
    "itemclick": False, "itemdoubleclick": False, "title": {"text": ""},
}  # fmt: skip


def template(*, height: int, x: str = "", y: str = "") -> Figure:
    """The chart template. The upright axis has its title on top, written level, where it can be read."""
    axis = {"automargin": True, "zeroline": False, "fixedrange": True, "tickfont": {"color": QUIET, "size": SMALL}}
    across = {"title": {"text": x, "standoff": 8, "font": {"color": QUIET, "size": SMALL}}} if x else {}
    layout: Figure = {
        "template": {},
        "height": height,
        "margin": {"l": 4, "r": 12, "t": 30 if y else 8, "b": 8},
        "font": {"color": INK, "size": SMALL},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "separators": current().point + current().group,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {**axis, **across},
        "yaxis": {**axis},
        "annotations": [],
        "shapes": [],
    }
    if y:
        place: dict[str, Any] = {
            "xref": "paper",
            "yref": "paper",
            "xanchor": "left",
            "yanchor": "bottom",
            "xshift": -4,
            "yshift": 6,
        }
        layout["annotations"].append(note(0, 1, y, **place) | {"font": {"color": QUIET, "size": SMALL}})
    return layout


def rows_template(names: Sequence[str], axis: str) -> Figure:
    """A row for each name, higher where a name takes two lines."""
    row = ROW_OF_TWO if any("<br>" in name for name in names) else ROW
    layout = template(height=max(110, 56 + row * len(names)), x=axis)
    layout["yaxis"].update(
        type="category", categoryorder="array", categoryarray=list(names), showgrid=False, ticks="",
        range=[-0.6, len(names) - 0.4],
    )  # fmt: skip
    layout["xaxis"].update(zeroline=True)
    return layout


def dots_at(
    x: Sequence[Any],
    y: Sequence[Any],
    text: Sequence[str],
    ids: Sequence[str] | None = None,
    told: str = "%{text}",
) -> dict[str, Any]:
    """Marks with a text each; `ids` are what a reader picks by choosing one (drawn.py), `told` what all marks say."""
    picked = {} if ids is None else {"ids": list(ids)}
    return {
        "type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "text": list(text), **picked,
        "hovertemplate": f"{told}<extra></extra>", "cliponaxis": False,
    }  # fmt: skip


def in_days(axis: str, words: str = "days") -> str:
    """What a mark tells of its place on an axis of days."""
    return f"%{{{axis}:.1f}} {words}"


def on_day(axis: str) -> str:
    """What a mark tells of its place on an axis of time, in the reader's order of dates."""
    return f"%{{{axis}|{current().date}}}"


def look(colour: str, symbol: str, size: int) -> dict[str, Any]:
    return {"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}}


def with_legend(layout: Figure) -> Figure:
    """A legend above the figure, and above the upright axis' title where it has one."""
    layout["margin"]["t"] += 30
    layout["height"] += 30
    is_titled = layout["margin"]["t"] > 40
    inside = max(60, layout["height"] - layout["margin"]["t"] - 50)
    layout.update(showlegend=True, legend={**LEGEND, "y": 1 + (24 / inside if is_titled else 0)})
    return layout


def rule_at(*, dash: str, **place: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": INK, "width": 1, "dash": dash}, "opacity": 0.7, **place}


def note(x: Any, y: Any, text: str, *, size: int = SMALL, **place: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": size}, **place}


def from_top(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows in the order Plotly stacks categories, so that the first row stands on top."""
    return frame.to_dicts()[::-1]


def short(label: str | None, most: int = 26) -> str:
    text = label or "not recorded"
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def row_names(labels: Sequence[str | None]) -> list[str]:
    """Labels as rows' names: long ones on two lines, none torn within a word, and no two alike."""
    names: list[str] = []
    taken: dict[str, int] = {}
    for label in labels:
        name = _on_two_lines(label or "not recorded")
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else f"{name} ({taken[name]})")
    return names


def _on_two_lines(text: str) -> str:
    if len(text) <= LINE + 4:
        return text
    if text.count(" · ") == 1:  # two names break between them
        return "<br>".join(short(name, LINE + 4) for name in text.split(" · "))
    words, first = text.split(" "), ""
    while words and len(f"{first} {words[0]}".strip()) <= LINE:
        first = f"{first} {words.pop(0)}".strip()
    if not first:  # one long word
        return short(text, LINE + 4)
    return f"{first}<br>{short(' '.join(words), LINE + 4)}"


def money_axis(axis: dict[str, Any], low: float, high: float, places: int = 5) -> None:
    """Ticks written as the pages write money ("250 k"), at round amounts."""
    step = _round_step((high - low) / places)
    if step <= 0:
        return
    ticks = [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    axis.update(tickvals=ticks, ticktext=[plain(at, "money") for at in ticks])


def _round_step(least: float) -> float:
    """The first of 1, 2, 5, 10, 20, … that is no less."""
    if least <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * one for one in (1, 2, 5, 10) if power * one >= least)


def time_axis(layout: Figure) -> None:
    """Months across, in the reader's order of dates; two lines fit a narrow screen."""
    layout["xaxis"].update(type="date", showgrid=False, nticks=5, tickangle=0, tickformat=current().axis)


def iso(value: date | datetime) -> str:
    return value.isoformat()[:19]


def number(value: Any) -> float | None:
    """Plotly raises on Decimal; a mark needs no more than a double."""
    return None if value is None else float(value)


def numbers_of(values: pl.Series) -> list[Any]:
    return values.cast(pl.Float64).to_list()


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """To a hundredth: what no eye tells apart need not be sent."""
    return [None if value is None else round(float(value), 2) for value in values]
