"""Frame in, Plotly figure out, as a plain dict: rows with a label each, and distributions.

Fast to build, small to send, the same in light and dark. Nothing here reads, counts or knows Streamlit. Figures along
time stand in timelines.py, what all are made of in chart_template.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from dashboard.chart_template import (
    ACCENT,
    BACKGROUND,
    DASHES,
    FAINT,
    INK,
    LINES,
    MOST_LINES,
    MOST_MARKS,
    MUTED,
    PATTERNS,
    QUIET,
    SECOND,
    SMALL,
    SOFT,
    SYMBOLS,
    WARN,
    Figure,
    dots_at,
    from_top,
    in_days,
    look,
    money_axis,
    note,
    number,
    numbers_of,
    rounded,
    row_names,
    rows_template,
    rule_at,
    template,
    with_legend,
)
from dashboard.numbers import absence, interval, plain, whose, worded

_BETWEEN = "\x1f"  # stands in no record's text


def percentile_ranges(frame: pl.DataFrame, *, axis: str) -> Figure:
    """One row per `label`: a dot at P50 (`value`), a line on to P85 (`p85`). Too few: words instead of marks."""
    rows = from_top(frame)
    names = _counted_names(rows)
    lines: dict[str, list[Any]] = {"x": [], "y": []}
    for name, row in zip(names, rows, strict=True):
        if row["value"] is not None and row["p85"] is not None:
            lines["x"] += [row["value"], row["p85"], None]
            lines["y"] += [name, name, None]
    known = [(name, row) for name, row in zip(names, rows, strict=True) if row["value"] is not None]
    ends = [(name, row) for name, row in known if row["p85"] is not None]
    data = [{**lines, "type": "scatter", "mode": "lines", "line": {"color": SOFT, "width": 3}, "hoverinfo": "skip"}]
    for column, words, of, symbol, size in (
        ("value", "P50", known, "circle", 9),
        ("p85", "P85", ends, "line-ns-open", 11),
    ):
        told = [
            f"{row['label']}<br>{words} {_with_bounds(row, column)} · n = {row['n']:,}{_open_n(row)}" for _, row in of
        ]
        ids = [str(row["label"]) for _, row in of]
        marks = dots_at([row[column] for _, row in of], [name for name, _ in of], told, ids)
        data.append({**marks, "marker": look(ACCENT, symbol, size)})
    layout = rows_template(names, axis)
    few = [(name, row) for name, row in zip(names, rows, strict=True) if row["value"] is None]
    layout["annotations"] += [note(0, name, _why_absent(row), xanchor="left") for name, row in few]
    layout["annotations"] += [
        note(row["value"], name, plain(row["value"], "days"), xanchor="right", xshift=-9, bgcolor=BACKGROUND)
        for name, row in known
    ]
    layout["xaxis"].update(rangemode="tozero")
    return {"data": data, "layout": layout}


def open_against_past(frame: pl.DataFrame, limits: pl.DataFrame, *, axis: str) -> Figure:
    """A mark per open row (`group`, `value`, `label`) against finished ones (`label`, `value` = P50, `p85`, `p95`)."""
    past = {row["label"]: row for row in limits.to_dicts()}
    groups = list(dict.fromkeys(frame["group"].to_list()))[::-1]
    names = dict(zip(groups, row_names(groups), strict=True))
    shown = frame.head(MOST_MARKS).to_dicts()
    ticks = [(names[g], past[g]) for g in groups if g in past and past[g]["value"] is not None]
    late = [(names[g], past[g]) for g in groups if g in past and past[g]["p85"] is not None]
    data = []
    last = [(name, row) for name, row in late if row.get("p95") is not None]
    for column, words, of, colour in (
        ("value", "P50", ticks, MUTED),
        ("p85", "P85", late, INK),
        ("p95", "P95", last, SECOND),
    ):
        told = [f"{words} of finished gates: {plain(row[column], 'days')} days" for _, row in of]
        marks = dots_at([row[column] for _, row in of], [name for name, _ in of], told)
        data.append({**marks, "marker": look(colour, "line-ns-open", 18), "name": f"{words} of finished"})
    edge = _edge([row["p85"] for _, row in late], [row["value"] for row in shown])
    for words, colour, symbol, is_late in (
        ("open", ACCENT, "circle-open", False),
        ("past P85", WARN, "diamond", True),
    ):
        mine = [row for row in shown if row["value"] <= edge and _is_older(row, past) == is_late]
        marks = dots_at(
            rounded(row["value"] for row in mine),
            [names[row["group"]] for row in mine],
            [row["label"] for row in mine],
            [str(row.get("id", "")) for row in mine],
            f"%{{text}}<br>{in_days('x')}, {words}",
        )
        data.append({**marks, "marker": look(colour, symbol, 8), "name": words})
    layout = with_legend(rows_template([names[group] for group in groups], axis))
    layout["xaxis"]["range"] = [0, edge * 1.04]
    beyond: dict[str, list[str]] = {}
    for row in shown:
        if row["value"] > edge:
            beyond.setdefault(names[row["group"]], []).append(plain(row["value"], "days"))
    layout["annotations"] += [
        note(edge, name, f"<b>{', '.join(ages)}</b> ▸", xanchor="right", bgcolor=BACKGROUND)
        | {"font": {"color": WARN, "size": SMALL}}
        for name, ages in beyond.items()
    ]
    return {"data": data, "layout": layout}


def _edge(limits: Sequence[float], values: Sequence[float]) -> float:
    """Where the scale ends: a few very old rows are written at its edge, so that the others can be told apart."""
    most = max(values, default=1.0)
    return min(most, 3 * max(limits)) if limits else most


def _is_older(row: Mapping[str, Any], past: Mapping[str, Mapping[str, Any]]) -> bool:
    limit = past.get(row["group"], {}).get("p85")
    return limit is not None and row["value"] > limit


def pairs(frame: pl.DataFrame, *, axis: str, unit: str, series: Sequence[tuple[str, str, str]]) -> Figure:
    """Two marks per `label` on one scale, a line between them; `series`: (column, words, colour) of each."""
    rows = from_top(frame)
    names = _counted_names(rows)
    (first, _, _), (second, _, _) = series
    lines: dict[str, list[Any]] = {"x": [], "y": []}
    for name, row in zip(names, rows, strict=True):
        if row[first] is not None and row[second] is not None:
            lines["x"] += [row[first], row[second], None]
            lines["y"] += [name, name, None]
    line = {"color": FAINT, "width": 3}
    data = [{**lines, "type": "scatter", "mode": "lines", "line": line, "hoverinfo": "skip", "showlegend": False}]
    for (column, words, colour), symbol in zip(series, ("circle", "diamond-open"), strict=True):
        mine = [(name, row) for name, row in zip(names, rows, strict=True) if row[column] is not None]
        told = [f"{row['label']}<br>{words}: {plain(row[column], unit)} {unit}" for _, row in mine]
        ids = [part_id(column, row["label"]) for _, row in mine]
        marks = dots_at([number(row[column]) for _, row in mine], [name for name, _ in mine], told, ids)
        data.append({**marks, "marker": look(colour, symbol, 10), "name": words, "showlegend": True})
    return {"data": data, "layout": with_legend(rows_template(names, axis))}


def amount_by_age(frame: pl.DataFrame, *, x: str, y: str, currency: str) -> Figure:
    """A mark per row: `age_days` across, `amount` up, logarithmic; circles for gates, diamonds for change orders.

    Of more rows than a browser draws at once the first are drawn, here as in every figure: a page says which.
    """
    shown = frame.head(MOST_MARKS).to_dicts()
    data = []
    for owed_for, words, colour, symbol in (
        ("gate", "gates", ACCENT, "circle"),
        ("change order", "change orders", WARN, "diamond"),
        ("extra work", "extra work", SECOND, "square"),
    ):
        mine = [r for r in shown if r["owed_for"] == owed_for and r["age_days"] is not None and r["amount"] > 0]
        marks = dots_at(
            rounded(r["age_days"] for r in mine),
            rounded(r["amount"] for r in mine),
            [f"{r['gate_label']}<br>{whose(r['client'], r['project'])}" for r in mine],
            [str(r.get("id", "")) for r in mine],
            f"%{{text}}<br>{currency} %{{y:,.0f}}, {in_days('x')}",
        )
        marker = look(colour, symbol, 9) | {"opacity": 0.75}
        data.append({**marks, "marker": marker, "name": words, "showlegend": True})
    layout = with_legend(template(height=320, x=x, y=y))
    layout["xaxis"].update(rangemode="tozero")
    decades = [10.0**power for power in range(9)]
    layout["yaxis"].update(type="log", tickvals=decades, ticktext=[plain(at, "money") for at in decades])
    return {"data": data, "layout": layout}


def bars(
    frame: pl.DataFrame, *, axis: str, unit: str, currency: str = "", warn: Iterable[str] = (), sign: str = ""
) -> Figure:
    """A bar per `label` with its `value` written at its end; labels in `warn` get the colour of attention and a mark.

    `sign` is written behind each label with a number, such as a unit.
    """
    rows = from_top(frame)
    urgent = set(warn)
    labels = row_names([f"{row['label']}{sign if any(map(str.isdigit, row['label'])) else ''}"
                        if row["label"] else None for row in rows])  # fmt: skip
    names = [f"{'▲ ' if row['label'] in urgent else ''}{label}" for row, label in zip(rows, labels, strict=True)]
    values = [number(row["value"]) for row in rows]
    layout = _written_rows(names, axis)
    layout["bargap"] = 0.4 if len(names) > 1 else 0.6  # one bar alone is no wall
    low, high = min(0.0, *(v or 0.0 for v in values)), max(0.0, *(v or 0.0 for v in values))
    if high > low:  # room for the words at a bar's end
        room = 0.22 * (high - low)
        layout["xaxis"]["range"] = [low - (room if low else 0), high + (room if high else 0)]
    bar = {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": names,
        "text": [_why_absent(r) if v is None else plain(v, unit) for r, v in zip(rows, values, strict=True)],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": [WARN if r["label"] in urgent else ACCENT for r in rows], "line": {"width": 0}},
        "ids": [r["label"] for r in rows],
        "customdata": [[r["label"], worded(r["value"], unit, currency), _n(r)] for r in rows],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}%{customdata[2]}<extra></extra>",
    }
    return {"data": [bar], "layout": layout}


def histogram(frame: pl.DataFrame, *, axis: str, counted: str, lines: Mapping[str, float | None]) -> Figure:
    """The share of rows by `value`, in bins whose width suits the span; days before zero in the second colour."""
    values = numbers_of(frame["value"])
    width = _bin_width(values)
    held = Counter(math.floor(value / width) for value in values)
    data = []
    for words, colour, mine in (
        ("before", SECOND, sorted(bin_ for bin_ in held if bin_ < 0)),
        ("after", ACCENT, sorted(bin_ for bin_ in held if bin_ >= 0)),
    ):
        data.append({
            "type": "bar", "name": words, "x": [(bin_ + 0.5) * width for bin_ in mine], "width": width,
            "y": [100 * held[bin_] / len(values) for bin_ in mine], "marker": {"color": colour, "line": {"width": 0}},
            "ids": [part_id(f"{bin_ * width:g}", f"{(bin_ + 1) * width:g}") for bin_ in mine],
            "customdata": [
                [f"{plain(bin_ * width, 'count')} to {plain((bin_ + 1) * width, 'count')} days",
                 f"{plain(100 * held[bin_] / len(values), '%')} %, {held[bin_]:,}"]
                for bin_ in mine
            ],
            "hovertemplate": "%{customdata[0]}: %{customdata[1]}<extra></extra>",
        })  # fmt: skip
    layout = template(height=280, x=axis, y=counted)
    layout.update(barmode="overlay", bargap=0.06)
    layout["xaxis"].update(showgrid=False)
    drawn = {name: at for name, at in lines.items() if at is not None}
    layout["shapes"] = [rule_at(x0=at, x1=at, y0=0, y1=1, yref="paper", dash="dash") for at in drawn.values()]
    for step, (name, at) in enumerate(drawn.items()):
        place = {"yref": "paper", "xanchor": "left", "xshift": 4, "yshift": -6 - 20 * step}
        words = f"<b>{name}</b> {plain(at, 'days')} days"
        layout["annotations"].append(note(at, 1, words, bgcolor=BACKGROUND) | place)
    return {"data": data, "layout": layout}


def stacked(
    frame: pl.DataFrame,
    *,
    axis: str,
    unit: str,
    parts: Sequence[tuple[str, str, str]],
    currency: str = "",
    totals: bool = True,
) -> Figure:
    """A row per `label`, its parts end to end; `parts`: (column, words, colour). Each part has a pattern too.

    A mark is chosen by its part and the row's `id`, or `label` where rows have no `id`.
    """
    rows = from_top(frame)
    names = row_names([row["label"] for row in rows])
    data = []
    for place, (column, words, colour) in enumerate(parts):
        values = [number(row[column]) or 0.0 for row in rows]
        data.append({
            "type": "bar", "orientation": "h", "x": values, "y": names, "name": words, "showlegend": True,
            "marker": {"color": colour, "line": {"width": 0}, "pattern": _pattern(place)},
            "ids": [part_id(column, row.get("id", row["label"])) for row in rows],
            "customdata": [
                [row["label"], f"{words}: {worded(value, unit, currency)}"]
                for row, value in zip(rows, values, strict=True)
            ],
            "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
        })  # fmt: skip
    layout = with_legend(rows_template(names, axis))
    layout.update(barmode="relative", bargap=0.4)
    if unit == "money":
        wholes = [sum(max(number(row[column]) or 0.0, 0.0) for column, _, _ in parts) for row in rows]
        lows = [sum(min(number(row[column]) or 0.0, 0.0) for column, _, _ in parts) for row in rows]
        money_axis(layout["xaxis"], min(lows, default=0.0), max(wholes, default=0.0))
    if totals:
        sums = [sum(number(row[column]) or 0.0 for column, _, _ in parts) for row in rows]
        layout["annotations"] += [
            note(max(total, 0.0), name, plain(total, unit), xanchor="left", xshift=4)
            for name, total in zip(names, sums, strict=True)
        ]
        _make_room(layout, [sum(max(number(row[c]) or 0.0, 0.0) for c, _, _ in parts) for row in rows])
    return {"data": data, "layout": layout}


def waterfall(frame: pl.DataFrame, *, axis: str, currency: str) -> Figure:
    """A row per step: `label`, `value`, `starts` (where its bar begins), `role` (total, up, down, apart)."""
    rows = from_top(frame)
    names = row_names([row["label"] for row in rows])
    colours = {"total": ACCENT, "up": SOFT, "down": MUTED, "apart": MUTED}
    signs = {"total": "", "up": "+", "down": "", "apart": ""}
    values = [number(row["value"]) or 0.0 for row in rows]
    starts = [number(row["starts"]) or 0.0 for row in rows]
    bar = {
        "type": "bar", "orientation": "h", "x": values, "base": starts, "y": names,
        "marker": {
            "color": [colours[row["role"]] for row in rows], "line": {"width": 0},
            "pattern": {"shape": ["/" if row["role"] == "apart" else "" for row in rows], "fgcolor": BACKGROUND,
                        "fillmode": "overlay", "size": 6, "solidity": 0.25},
        },
        "ids": [row["label"] for row in rows],
        "customdata": [[row["label"], worded(row["value"], "money", currency)] for row in rows],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    }  # fmt: skip
    layout = _written_rows(names, axis)
    layout["bargap"] = 0.35
    ends = [max(start, start + value) for start, value in zip(starts, values, strict=True)]
    layout["annotations"] += [
        note(end, name, f"{signs[row['role']] if value > 0 else ''}{plain(value, 'money')}", xanchor="left", xshift=4)
        for row, name, value, end in zip(rows, names, values, ends, strict=True)
    ]
    _make_room(layout, ends, min([0.0, *starts, *(s + v for s, v in zip(starts, values, strict=True))]))
    return {"data": [bar], "layout": layout}


def survival(frame: pl.DataFrame, *, axis: str, group: str, longest: float | None = None) -> Figure:
    """The share not finished after so many days (Kaplan–Meier), a line per group with its name at its end.

    `frame`: `group`, `time`, `survival`, `low`, `high`. With one group its 95 % band is drawn too.
    """
    layout = template(height=340, x=axis, y="Not finished yet (%)")
    layout["yaxis"].update(range=[0, 103], tickvals=[0, 25, 50, 75, 100])
    layout["xaxis"].update(showgrid=False, rangemode="tozero")
    groups = frame[group].unique(maintain_order=True).to_list() if group else [""]
    data: list[dict[str, Any]] = []
    halves: list[tuple[str, float, str, str]] = []
    for place, name in enumerate(groups[:MOST_LINES]):
        mine = frame.filter(pl.col(group) == name) if group else frame
        if longest is not None:
            mine = mine.filter(pl.col("time") <= longest)
        x = rounded([0.0, *numbers_of(mine["time"])])
        y = rounded([100.0, *(100 * left for left in numbers_of(mine["survival"]))])
        if len(groups) == 1:
            data += _band(mine)
        step = {"color": LINES[place], "width": 2.2, "shape": "hv", "dash": DASHES[place % len(DASHES)]}
        data.append({
            "type": "scatter", "mode": "lines", "x": x, "y": y, "line": step, "name": name,
            "hovertemplate": f"{name + '<br>' if name else ''}%{{y:.0f}} % not finished after %{{x:.1f}} days"
            "<extra></extra>",
        })  # fmt: skip
        if half := next((at for at, left in zip(x, y, strict=True) if left is not None and left <= 50), None):
            halves.append((name, half, LINES[place], SYMBOLS[place % len(SYMBOLS)]))
    for name, half, colour, symbol in halves:
        told = f"{name + '<br>' if name else ''}half finished after {plain(half, 'days')} days"
        marks = dots_at([half], [50], [told], [name])
        data.append({**marks, "marker": look(colour, symbol, 9), "showlegend": False})
    layout["shapes"].append(rule_at(x0=0, x1=1, xref="paper", y0=50, y1=50, dash="dot"))
    layout["annotations"].append(
        note(1, 50, "half finished", xref="paper", xanchor="right", yanchor="bottom", bgcolor=BACKGROUND)
    )
    return {"data": data, "layout": with_legend(layout) if len(groups) > 1 else layout}


def _band(curve: pl.DataFrame) -> list[dict[str, Any]]:
    known = curve.filter(pl.col("low").is_not_null() & pl.col("high").is_not_null())
    x = rounded(numbers_of(known["time"]))
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0, "shape": "hv"}, "hoverinfo": "skip"}
    low, high = (rounded(100 * v for v in numbers_of(known[name])) for name in ("low", "high"))
    return [{**edge, "y": high}, {**edge, "y": low, "fill": "tonexty", "fillcolor": SOFT, "opacity": 0.25}]


def _pattern(place: int) -> dict[str, Any]:
    shape = PATTERNS[place % len(PATTERNS)]
    return {
        "shape": shape,
        "fgcolor": BACKGROUND,
        "fillmode": "overlay",
        "size": 8,
        "solidity": 0.14,
        "fgopacity": 0.45,
    }


def _make_room(layout: Figure, ends: Sequence[float], least: float = 0.0) -> None:
    """Room at the right for the words at the bars' ends."""
    most = max(ends, default=0.0)
    if most > least:
        layout["xaxis"]["range"] = [least, most + 0.26 * (most - least)]


def _bin_width(values: Sequence[float]) -> float:
    """About thirty bins over the span, of 1, 2, 5, 10, … days."""
    span = max(values, default=0.0) - min(values, default=0.0)
    return next((width for width in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if span / width <= 30), 100.0)


def _counted_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    labels = row_names([row["label"] for row in rows])
    return [f"{label}  <b>{row['n']:,}</b>" for label, row in zip(labels, rows, strict=True)]


def _written_rows(names: Sequence[str], axis: str) -> Figure:
    """Rows whose bars have their value written at their end: a scale below would say it twice."""
    layout = rows_template(names, "")
    layout["margin"]["t"] += 20
    layout["xaxis"].update(showticklabels=False, showgrid=False)
    place: dict[str, Any] = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "yshift": 4}
    layout["annotations"].append(note(0, 1, axis, **place) | {"font": {"color": QUIET, "size": SMALL}})
    return layout


def part_id(part: str, of: str) -> str:
    """What a mark is chosen by that stands for a part of a row; `parts_of` takes it apart."""
    return f"{part}{_BETWEEN}{of}"


def parts_of(mark: str) -> tuple[str, str]:
    part, _, of = mark.partition(_BETWEEN)
    return part, of


def _why_absent(row: Mapping[str, Any]) -> str:
    return absence(row.get("note"))


def _with_bounds(row: Mapping[str, Any], column: str) -> str:
    """Days, and their 95 % interval where it is known."""
    low, high = ("low", "high") if column == "value" else (f"{column}_low", f"{column}_high")
    bounds = interval(row.get(low), row.get(high), "days")
    return f"{plain(row[column], 'days')} days{f' ({bounds})' if bounds else ''}"


def _open_n(row: Mapping[str, Any]) -> str:
    return f", {row['open_n']:,} open" if row.get("open_n") else ""


def _n(row: Mapping[str, Any]) -> str:
    return f" · n = {row['n']:,}" if row.get("n") is not None else ""
