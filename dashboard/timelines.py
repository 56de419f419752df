"""Frame in, Plotly figure out, as a plain dict: figures along time.

As figures.py in all else. What they are made of stands in chart_template.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import polars as pl

from dashboard.chart_template import (
    ACCENT,
    BACKGROUND,
    DASHES,
    FAINT,
    GOOD,
    INK,
    LINES,
    MOST_MARKS,
    MUTED,
    OCHRE,
    OPEN,
    PATTERNS,
    SECOND,
    SOFT,
    SYMBOLS,
    WARN,
    Figure,
    dots_at,
    in_days,
    iso,
    look,
    note,
    numbers_of,
    on_day,
    rounded,
    row_names,
    rows_template,
    rule_at,
    short,
    template,
    time_axis,
    with_legend,
)
from dashboard.figures import part_id
from dashboard.numbers import day, plain, worded


def over_time(frame: pl.DataFrame, *, axis: str, unit: str, width_days: int, partial: date | None) -> Figure:
    """Bars by `day` (first day of the bucket) and `value`. The bucket holding `partial` is paler: not over yet."""
    days = frame["day"].to_list()
    values = numbers_of(frame["value"])
    running = [partial is not None and 0 <= (partial - at).days < width_days - 1 for at in days]
    bars = {
        "type": "bar",
        "x": [at.isoformat() for at in days],
        "y": values,
        "marker": {
            "color": ACCENT,
            "opacity": [0.45 if open_ else 1.0 for open_ in running],
            "line": {"width": 0},
        },
        "ids": [iso(at) for at in days],
        "customdata": [
            [day(at), plain(v, unit), " so far" if open_ else ""]
            for at, v, open_ in zip(days, values, running, strict=True)
        ],
        "hovertemplate": "from %{customdata[0]}: %{customdata[1]}%{customdata[2]}<extra></extra>",
    }
    layout = template(height=260, y=axis)
    layout["bargap"] = 0.22
    time_axis(layout)
    layout["yaxis"].update(rangemode="tozero")
    return {"data": [bars], "layout": layout}


def finished_over_time(frame: pl.DataFrame, *, axis: str, lines: Mapping[str, float | None]) -> Figure:
    """A dot per finished row (`id`, `day`, `value`, `label`) and a dashed line per named percentile."""
    shown = frame.head(MOST_MARKS)
    ids = shown["id"].to_list() if "id" in shown.columns else None
    told = f"%{{text}}<br>{in_days('y')}, {on_day('x')}"
    marks = dots_at(
        [iso(at)[:10] for at in shown["day"]], rounded(shown["value"].to_list()), shown["label"].to_list(), ids, told
    )
    marks["marker"] = {"color": ACCENT, "size": 6, "opacity": 0.65, "line": {"width": 0}}
    layout = template(height=340, y=axis)
    time_axis(layout)
    layout["yaxis"].update(rangemode="tozero")
    drawn = {name: at for name, at in lines.items() if at is not None}
    layout["shapes"] = [
        rule_at(y0=at, y1=at, x0=0, x1=1, xref="paper", dash="dash" if name == "P50" else "dot")
        for name, at in drawn.items()
    ]
    layout["margin"]["r"] = 92  # the lines' names stand beside the dots, not on them
    most = max([*drawn.values(), *numbers_of(shown["value"])], default=1.0) or 1.0
    shifts = _apart([at / most for at in drawn.values()], least=0.06)
    layout["annotations"] += [
        note(1, at, f"<b>{name}</b> {plain(at, 'days')} days", xref="paper", xanchor="left", xshift=6, yshift=shift)
        for (name, at), shift in zip(drawn.items(), shifts, strict=True)
    ]
    return {"data": [marks], "layout": layout}


def lines_over_time(
    frame: pl.DataFrame, *, axis: str, unit: str, series: Sequence[tuple[str, str, str]], currency: str = ""
) -> Figure:
    """Lines by `day`, each with its name and last value at its end; `series`: (column, words, colour)."""
    days = [iso(at) for at in frame["day"]]
    layout = template(height=280, y=axis)
    time_axis(layout)
    layout["yaxis"].update(rangemode="tozero")
    layout["margin"]["r"] = 54 + 7 * max(len(words) for _, words, _ in series)
    data = []
    ends: list[tuple[float, str]] = []
    for place, (column, words, colour) in enumerate(series):
        values = numbers_of(frame[column])
        told = [f"{words}, {day(at)}: {worded(v, unit, currency)}" for at, v in zip(frame["day"], values, strict=True)]
        data.append({
            "type": "scatter", "mode": "lines+markers", "x": days, "y": values, "text": told, "connectgaps": False,
            "ids": [part_id(column, at) for at in days],
            "line": {"color": colour, "width": 2.2, "dash": DASHES[place % len(DASHES)]}, "cliponaxis": False,
            "marker": {"color": colour, "size": 5, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            "hovertemplate": "%{text}<extra></extra>", "name": words,
        })  # fmt: skip
        if last := [value for value in values if value is not None]:
            ends.append((last[-1], words))
    span = max((abs(v) for v, _ in ends), default=1.0) or 1.0
    shifts = _apart([value / span for value, _ in ends])
    layout["annotations"] += [
        note(1, value, f"<b>{plain(value, unit)}</b> {words}", xref="paper", xanchor="left", xshift=8, yshift=shift)
        for (value, words), shift in zip(ends, shifts, strict=True)
    ]
    return {"data": data, "layout": layout}


def _apart(places: Sequence[float], least: float = 0.09) -> list[float]:
    """Pixels by which labels of near values are shifted, so that none covers another."""
    shifts = [0.0] * len(places)
    order = sorted(range(len(places)), key=lambda i: places[i])
    for lower, upper in pairwise(order):
        if places[upper] - places[lower] < least:
            shifts[upper] = shifts[lower] + 15
    return shifts


def bands_over_time(frame: pl.DataFrame, *, axis: str, bands: Sequence[tuple[str, str, str]]) -> Figure:
    """Cumulative flow: areas one above the other by `day`, the first the lowest; `bands`: (column, words, colour).

    Each column holds how many have reached its state or a later one: bands lie behind one another and never fall.
    """
    days = [iso(at) for at in frame["day"]]
    layout = template(height=340, y=axis)
    time_axis(layout)
    layout["yaxis"].update(rangemode="tozero")
    data = []
    for place, (column, words, colour) in reversed(list(enumerate(bands))):
        values = numbers_of(frame[column])
        pattern = {"shape": PATTERNS[place % len(PATTERNS)], "fgcolor": BACKGROUND, "size": 8, "solidity": 0.14,
                   "fillmode": "overlay"}  # fmt: skip
        data.append({
            "type": "scatter", "mode": "lines+markers", "x": days, "y": values, "fill": "tozeroy",
            "ids": [part_id(column, at) for at in days], "marker": {"color": colour, "size": 3},
            "fillcolor": colour, "fillpattern": {**pattern, "bgcolor": colour}, "line": {"color": colour, "width": 1},
            "hovertemplate": f"{words} by {on_day('x')}: %{{y:,.0f}}<extra></extra>", "name": words,
        })  # fmt: skip
    return {"data": data, "layout": with_legend(layout)}


def portfolio(frame: pl.DataFrame, *, as_of: datetime) -> Figure:
    """A gantt: a row per project with a bar from its first date to its last, and a diamond per gate.

    `frame`, a row per gate: `label` (the project), `gate_label`, `gate_id`, `started_at`, `baseline_on`, `due_on`,
    `approved_at`. Full: approved. Hollow: planned, crossed once past its date. Grey tick: baseline.
    """
    rows = frame.to_dicts()
    labels = list(dict.fromkeys(row["label"] for row in rows))[::-1]
    names = dict(zip(labels, row_names(labels), strict=True))
    bars_: dict[str, list[Any]] = {"x": [], "y": []}
    for label, name in names.items():
        mine = [row for row in rows if row["label"] == label]
        told = [iso(row[c])[:10] for row in mine for c in ("started_at", "approved_at", "due_on") if row[c] is not None]
        if told:
            bars_["x"] += [min(told), max(told), None]
            bars_["y"] += [name, name, None]
    line = {"color": FAINT, "width": 4}
    data: list[dict[str, Any]] = [
        {**bars_, "type": "scatter", "mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False}
    ]
    today = as_of.date()
    undone = [row for row in rows if row["approved_at"] is None and row["due_on"] is not None]
    for words, mine, at, symbol, colour, size in (
        ("baseline", [row for row in rows if row["baseline_on"] is not None], "baseline_on", "line-ns-open", MUTED, 13),
        ("approved", [row for row in rows if row["approved_at"] is not None], "approved_at", "diamond", ACCENT, 9),
        ("planned", [row for row in undone if row["due_on"] >= today], "due_on", "diamond-open", INK, 9),
        ("overdue", [row for row in undone if row["due_on"] < today], "due_on", "diamond-x-open", WARN, 11),
    ):
        marks = dots_at(
            [iso(row[at])[:10] for row in mine],
            [names[row["label"]] for row in mine],
            [row["gate_label"] for row in mine],
            [row["gate_id"] for row in mine],
            f"%{{text}}<br>%{{y}}<br>{words} {on_day('x')}",
        )
        drawn = look(colour, symbol, size) | {"line": {"width": 1.6, "color": colour}}
        data.append({**marks, "marker": drawn, "name": words})
    layout = with_legend(rows_template(list(names.values()), ""))
    time_axis(layout)
    _now(layout, as_of)
    return {"data": data, "layout": layout}


def _now(layout: Figure, as_of: datetime) -> None:
    layout["shapes"].append(rule_at(x0=iso(as_of), x1=iso(as_of), y0=0, y1=1, yref="paper", dash="dot"))
    layout["annotations"].append(note(iso(as_of), 0, "as of", yref="paper", yanchor="bottom", bgcolor=BACKGROUND))
    layout["yaxis"]["range"][0] = -1.1  # the words stand below the lowest row's marks
    layout["height"] += 14


def forecasts(frame: pl.DataFrame, *, gates: Sequence[str]) -> Figure:
    """Milestone trend analysis: forecast date (up) by the day it was reported (across), a line per gate.

    `frame`: `gate`, `reported_on`, `forecast_on`, `is_actual`. A level line holds its date; one that climbs slips; a
    line ends on the diagonal, where its gate was approved.
    """
    layout = template(height=380, x="Day of the report", y="Forecast date of approval")
    time_axis(layout)
    layout["yaxis"].update(type="date", tickformat=layout["xaxis"]["tickformat"].replace("<br>", " "))
    data = []
    for place, gate in enumerate(gates):
        mine = frame.filter(pl.col("gate") == gate).sort("reported_on")
        told = [
            f"{gate}<br>{'approved' if is_actual else 'forecast'} {day(at)}, told {day(on)}"
            for on, at, is_actual in mine.select("reported_on", "forecast_on", "is_actual").rows()
        ]
        colour = LINES[place % len(LINES)]
        data.append({
            "type": "scatter", "mode": "lines+markers", "x": [iso(at) for at in mine["reported_on"]],
            "y": [iso(at) for at in mine["forecast_on"]], "text": told, "name": short(gate, 22),
            "ids": [gate] * mine.height,
            "line": {"color": colour, "width": 1.8, "shape": "hv", "dash": DASHES[place % len(DASHES)]},
            "marker": {"color": colour, "size": [10 if a else 6 for a in mine["is_actual"]],
                       "symbol": ["diamond" if a else SYMBOLS[place % len(SYMBOLS)] for a in mine["is_actual"]]},
            "hovertemplate": "%{text}<extra></extra>", "cliponaxis": False,
        })  # fmt: skip
    ends = [d for d in frame["reported_on"].to_list() if d is not None]
    if ends:
        layout["shapes"].append(
            rule_at(x0=iso(min(ends)), x1=iso(max(ends)), y0=iso(min(ends)), y1=iso(max(ends)), dash="dot")
        )
    return {"data": data, "layout": with_legend(layout)}


def spark(values: Sequence[float | None]) -> str:
    """A line without axes for a tile, its last point marked: an SVG to mask a colour with. "" under two values."""
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    if len(known) < 2:
        return ""
    low, high = min(v for _, v in known), max(v for _, v in known)
    across, up = len(values) - 1, (high - low) or 1.0
    points = [(3 + 114 * i / across, 25 - 20 * (v - low) / up) for i, v in known]
    path = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(points))
    x, y = points[-1]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 30" preserveAspectRatio="none">'
        f'<path d="{path}" fill="none" stroke="black" stroke-width="1.7" stroke-linejoin="round"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8"/></svg>'
    )


LANES = ("gates", "plans", "change orders", "extra work", "documents", "hand-offs", "invoices", "payments")
_LANE_LOOKS = {
    "gates": (ACCENT, "diamond"), "plans": (MUTED, "diamond-open"), "change orders": (SECOND, "square"),
    "extra work": (WARN, "x"), "documents": (GOOD, "triangle-up"), "hand-offs": (OCHRE, "triangle-right"),
    "invoices": (INK, "circle-open"), "payments": (GOOD, "circle"),
}  # fmt: skip


def story(frame: pl.DataFrame, *, as_of: datetime, is_running: bool = True) -> Figure:
    """The newest of what happened to a project, a lane for each kind: `id`, `lane`, `at`, `what`."""
    frame = frame.sort("at").tail(MOST_MARKS)
    lanes = [lane for lane in LANES if lane in set(frame["lane"])][::-1]
    data = []
    for lane in lanes:
        mine = frame.filter(pl.col("lane") == lane).to_dicts()
        told = [f"{day(row['at'])}<br>{row['what']}" for row in mine]
        marks = dots_at([iso(row["at"]) for row in mine], [lane] * len(mine), told, [str(row["id"]) for row in mine])
        colour, symbol = _LANE_LOOKS[lane]
        marks["marker"] = look(colour, symbol, 9) | {"opacity": 0.85, "line": {"width": 1.5, "color": colour}}
        data.append(marks)
    layout = rows_template(lanes, "")
    time_axis(layout)
    layout["yaxis"]["showgrid"] = True
    if is_running:
        _now(layout, as_of)
    return {"data": data, "layout": layout}


def gate_timeline(frame: pl.DataFrame, *, as_of: datetime) -> Figure:
    """A row per gate: a bar from start to approval (to now while open), a hollow diamond for the baseline, a tick for
    the plan in force, a full diamond for the approval. Waived and cancelled gates have no bar.
    """
    rows = frame.to_dicts()[::-1]
    names = row_names([f"{row['sequence'] or ''} {row['gate_label']}" for row in rows])
    bars_: dict[str, list[Any]] = {"x": [], "y": []}
    for name, row in zip(names, rows, strict=True):
        end = row["approved_at"] or (as_of if row["status"] in OPEN else None)
        if row["started_at"] is not None and end is not None:
            bars_["x"] += [iso(row["started_at"]), iso(end), None]
            bars_["y"] += [name, name, None]
    line = {"color": SOFT, "width": 9}
    data = [{**bars_, "type": "scatter", "mode": "lines", "line": line, "hoverinfo": "skip", "name": "in progress"}]
    for column, words, symbol, colour, size in (
        ("baseline_on", "baseline", "diamond-open", MUTED, 10),
        ("due_on", "plan in force", "line-ns-open", INK, 14),
        ("approved_at", "approved", "diamond", ACCENT, 10),
    ):
        mine = [(name, row) for name, row in zip(names, rows, strict=True) if row[column] is not None]
        told = [f"{row['gate_label']}<br>{words} {day(row[column])}" for _, row in mine]
        ids = [row["gate_id"] for _, row in mine]
        marks = dots_at([iso(row[column]) for _, row in mine], [name for name, _ in mine], told, ids)
        data.append({**marks, "marker": look(colour, symbol, size), "name": words})
    layout = with_legend(rows_template(names, ""))
    time_axis(layout)
    if any(row["status"] in OPEN for row in rows):
        _now(layout, as_of)
    return {"data": data, "layout": layout}
