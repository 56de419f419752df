"""Frame in, Plotly figure out, as a plain dict: fast to build, small to send, the same in light and dark.

Nothing here reads, counts or knows Streamlit. Colours are places in the theme's `chartCategoricalColors`
(.streamlit/config.toml): Streamlit's browser side puts the reader's theme in their stead, so one cached
figure serves both. Text keeps the theme's own colour. A second cue (shape, fill, words) goes with each colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from dashboard.numbers import absence, interval, plain, worded

Figure = dict[str, Any]

PLACES = tuple(f"#{place:06d}" for place in range(1, 11))  # "#000001" to "#000010": what Streamlit replaces
ACCENT, WARN, GOOD, SECOND, MUTED, SOFT, OCHRE, FAINT, INK, QUIET = PLACES
BACKGROUND = "#000038"
MOST_MARKS = 2000
OPEN = ("in_progress", "awaiting_decision", "changes_requested")
_ROW = 30  # px a labelled row takes
_SMALL = 12


def over_time(frame: pl.DataFrame, *, axis: str, unit: str, width_days: int, partial: date | None) -> Figure:
    """Bars by `day` (first day of the bucket) and `value`. The bucket holding `partial` is paler: not over yet."""
    days = frame["day"].to_list()
    values = _floats(frame["value"])
    running = [partial is not None and 0 <= (partial - day).days < width_days - 1 for day in days]
    bars = {
        "type": "bar",
        "x": [day.isoformat() for day in days],
        "y": values,
        "marker": {
            "color": ACCENT,
            "opacity": [0.45 if open_ else 1.0 for open_ in running],
            "line": {"width": 0},
        },
        "customdata": [
            [f"{day:%-d %b %Y}", plain(v, unit), " so far" if open_ else ""]
            for day, v, open_ in zip(days, values, running, strict=True)
        ],
        "hovertemplate": "from %{customdata[0]}: %{customdata[1]}%{customdata[2]}<extra></extra>",
    }
    layout = _layout(height=260, y=axis)
    layout["bargap"] = 0.22
    layout["xaxis"].update(type="date", showgrid=False)
    layout["yaxis"].update(rangemode="tozero")
    return {"data": [bars], "layout": layout}


def percentile_ranges(frame: pl.DataFrame, *, axis: str) -> Figure:
    """One row per `label`: a dot at P50 (`value`), a line on to P85 (`p85`). Too few: words instead of marks."""
    rows = _from_top(frame)
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
        marks = _dots([row[column] for _, row in of], [name for name, _ in of], told)
        data.append({**marks, "marker": _marker(ACCENT, symbol, size)})
    layout = _rows_layout(names, axis)
    few = [(name, row) for name, row in zip(names, rows, strict=True) if row["value"] is None]
    layout["annotations"] += [_note(0, name, _why_absent(row), xanchor="left") for name, row in few]
    layout["annotations"] += [
        _note(row["value"], name, plain(row["value"], "days"), xanchor="right", xshift=-9, bgcolor=BACKGROUND)
        for name, row in known
    ]
    layout["xaxis"].update(rangemode="tozero")
    return {"data": data, "layout": layout}


def finished_over_time(frame: pl.DataFrame, *, axis: str, lines: Mapping[str, float | None]) -> Figure:
    """A dot per finished row (`day`, `value`, `label`) and a dashed line per named percentile."""
    shown = frame.head(MOST_MARKS)
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [_iso(day) for day in shown["day"]],
        "y": _floats(shown["value"]),
        "text": shown["label"].to_list(),
        "marker": {"color": ACCENT, "size": 6, "opacity": 0.65, "line": {"width": 0}},
        "hovertemplate": "%{text}<br>%{y:.1f} days, %{x|%-d %b %Y}<extra></extra>",
    }
    layout = _layout(height=340, y=axis)
    layout["xaxis"].update(type="date", showgrid=False)
    layout["yaxis"].update(rangemode="tozero")
    drawn = {name: at for name, at in lines.items() if at is not None}
    layout["shapes"] = [
        _line(y0=at, y1=at, x0=0, x1=1, xref="paper", dash="dot" if name != "P50" else "dash")
        for name, at in drawn.items()
    ]
    layout["annotations"] += [
        _note(1, at, f"<b>{name}</b> {plain(at, 'days')} days", xref="paper", xanchor="right", bgcolor=BACKGROUND)
        for name, at in drawn.items()
    ]
    return {"data": [dots], "layout": layout}


def open_against_past(frame: pl.DataFrame, limits: pl.DataFrame, *, axis: str) -> Figure:
    """A mark per open row (`group`, `value`, `label`) against finished ones (`label`, `value` = P50, `p85`, `p95`)."""
    past = {row["label"]: row for row in limits.to_dicts()}
    groups = list(dict.fromkeys(frame["group"].to_list()))[::-1]
    names = {group: _short(group) for group in groups}
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
        marks = _dots([row[column] for _, row in of], [name for name, _ in of], told)
        data.append({**marks, "marker": _marker(colour, "line-ns-open", 18), "name": f"{words} of finished"})
    edge = _edge([row["p85"] for _, row in late], [row["value"] for row in shown])
    for words, colour, symbol, is_late in (
        ("open", ACCENT, "circle-open", False),
        ("past P85", WARN, "diamond", True),
    ):
        mine = [row for row in shown if row["value"] <= edge and _is_older(row, past) == is_late]
        told = [f"{row['label']}<br>{plain(row['value'], 'days')} days, {words}" for row in mine]
        marks = _dots([row["value"] for row in mine], [names[row["group"]] for row in mine], told)
        data.append({**marks, "marker": _marker(colour, symbol, 8), "name": words})
    layout = _with_legend(_rows_layout([names[group] for group in groups], axis))
    layout["xaxis"]["range"] = [0, edge * 1.04]
    beyond: dict[str, list[str]] = {}
    for row in shown:
        if row["value"] > edge:
            beyond.setdefault(names[row["group"]], []).append(plain(row["value"], "days"))
    layout["annotations"] += [
        _note(edge, name, f"<b>{', '.join(ages)}</b> ▸", xanchor="right", bgcolor=BACKGROUND)
        | {"font": {"color": WARN, "size": _SMALL}}
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
    rows = _from_top(frame)
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
        marks = _dots([_float(row[column]) for _, row in mine], [name for name, _ in mine], told)
        data.append({**marks, "marker": _marker(colour, symbol, 10), "name": words, "showlegend": True})
    return {"data": data, "layout": _with_legend(_rows_layout(names, axis))}


def amount_by_age(frame: pl.DataFrame, *, x: str, y: str, currency: str) -> Figure:
    """A mark per row: `age_days` across, `amount` up, logarithmic; circles for gates, diamonds for change orders."""
    shown = frame.head(MOST_MARKS).to_dicts()
    data = []
    for owed_for, words, colour, symbol in (
        ("gate", "gates", ACCENT, "circle"),
        ("change order", "change orders", WARN, "diamond"),
    ):
        mine = [r for r in shown if r["owed_for"] == owed_for and r["age_days"] is not None and r["amount"] > 0]
        marks = _dots(
            [r["age_days"] for r in mine],
            [_float(r["amount"]) for r in mine],
            [
                f"{r['gate_label']}<br>{r['client']} · {r['project']}<br>"
                f"{worded(r['amount'], 'money', currency)}, {plain(r['age_days'], 'days')} days"
                for r in mine
            ],
        )
        marker = _marker(colour, symbol, 9) | {"opacity": 0.75}
        data.append({**marks, "marker": marker, "name": words, "showlegend": True})
    layout = _with_legend(_layout(height=320, x=x, y=y))
    layout["xaxis"].update(rangemode="tozero")
    layout["yaxis"].update(type="log", dtick=1)
    layout["legend"] = {**_LEGEND, "y": 1.1}  # above the axis' title, which a narrow screen would run it into
    return {"data": data, "layout": layout}


def bars(frame: pl.DataFrame, *, axis: str, unit: str, currency: str = "", warn: Iterable[str] = ()) -> Figure:
    """A bar per `label` with its `value` written at its end; labels in `warn` get the colour of attention."""
    rows = _from_top(frame)
    urgent = set(warn)
    names = [_short(row["label"]) for row in rows]
    values = [_float(row["value"]) for row in rows]
    layout = _rows_layout(names, axis)
    layout["bargap"] = 0.4
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
        "customdata": [[r["label"], worded(r["value"], unit, currency), _n(r)] for r in rows],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}%{customdata[2]}<extra></extra>",
    }
    return {"data": [bar], "layout": layout}


def histogram(frame: pl.DataFrame, *, axis: str, counted: str, lines: Mapping[str, float | None]) -> Figure:
    """The share of rows by `value`, in bins whose width suits the span; days before zero in the second colour."""
    values = _floats(frame["value"])
    width = _bin_width(values)
    data = []
    for mine, colour in (([v for v in values if v < 0], SECOND), ([v for v in values if v >= 0], ACCENT)):
        bars_ = {
            "type": "histogram", "x": mine, "y": [100 / len(values)] * len(mine), "histfunc": "sum",
            "xbins": {"start": -200 * width, "size": width}, "marker": {"color": colour, "line": {"width": 0}},
            "hovertemplate": "%{x} days: %{y:.1f} %<extra></extra>",
        }  # fmt: skip
        data.append(bars_)
    layout = _layout(height=280, x=axis, y=counted)
    layout.update(barmode="overlay", bargap=0.06)
    layout["xaxis"].update(showgrid=False)
    drawn = {name: at for name, at in lines.items() if at is not None}
    layout["shapes"] = [_line(x0=at, x1=at, y0=0, y1=1, yref="paper", dash="dash") for at in drawn.values()]
    for step, (name, at) in enumerate(drawn.items()):
        place = {"yref": "paper", "xanchor": "left", "xshift": 4, "yshift": -6 - 20 * step}
        words = f"<b>{name}</b> {plain(at, 'days')} days"
        layout["annotations"].append(_note(at, 1, words, bgcolor=BACKGROUND) | place)
    return {"data": data, "layout": layout}


def gate_timeline(frame: pl.DataFrame, *, as_of: datetime) -> Figure:
    """A row per gate: a bar from start to approval (to now while open), a hollow diamond for the baseline, a tick for
    the plan in force, a full diamond for the approval. Waived and cancelled gates have no bar.
    """
    rows = frame.to_dicts()[::-1]
    names = [f"{row['sequence'] or ''} {_short(row['gate_label'])}" for row in rows]
    bars_: dict[str, list[Any]] = {"x": [], "y": []}
    for name, row in zip(names, rows, strict=True):
        end = row["approved_at"] or (as_of if row["status"] in OPEN else None)
        if row["started_at"] is not None and end is not None:
            bars_["x"] += [_iso(row["started_at"]), _iso(end), None]
            bars_["y"] += [name, name, None]
    line = {"color": SOFT, "width": 9}
    data = [{**bars_, "type": "scatter", "mode": "lines", "line": line, "hoverinfo": "skip", "name": "in progress"}]
    for column, words, symbol, colour, size in (
        ("baseline_on", "baseline", "diamond-open", MUTED, 10),
        ("due_on", "plan in force", "line-ns-open", INK, 14),
        ("approved_at", "approved", "diamond", ACCENT, 10),
    ):
        mine = [(name, row) for name, row in zip(names, rows, strict=True) if row[column] is not None]
        told = [f"{row['gate_label']}<br>{words} {row[column]:%-d %b %Y}" for _, row in mine]
        marks = _dots([_iso(row[column]) for _, row in mine], [name for name, _ in mine], told)
        data.append({**marks, "marker": _marker(colour, symbol, size), "name": words})
    layout = _with_legend(_rows_layout(names, ""))
    layout["xaxis"].update(type="date", nticks=5, tickangle=0, tickformat="%b<br>%Y")  # two lines fit a narrow screen
    if any(row["status"] in OPEN for row in rows):
        layout["shapes"].append(_line(x0=_iso(as_of), x1=_iso(as_of), y0=0, y1=1, yref="paper", dash="dot"))
        layout["annotations"].append(_note(_iso(as_of), 0, "as of", yref="paper", yanchor="bottom", bgcolor=BACKGROUND))
    return {"data": data, "layout": layout}


_LEGEND: dict[str, Any] = {
    "orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "traceorder": "normal",
    "itemclick": False, "itemdoubleclick": False, "title": {"text": ""},
}  # fmt: skip


def _layout(*, height: int, x: str = "", y: str = "") -> Figure:
    """The chart template. The upright axis has its title on top, written level, where it can be read."""
    axis = {"automargin": True, "zeroline": False, "fixedrange": True, "tickfont": {"color": QUIET, "size": _SMALL}}
    across = {"title": {"text": x, "standoff": 8, "font": {"color": QUIET, "size": _SMALL}}} if x else {}
    layout: Figure = {
        "template": {},
        "height": height,
        "margin": {"l": 4, "r": 12, "t": 30 if y else 8, "b": 4},
        "font": {"color": INK, "size": _SMALL},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
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
        layout["annotations"].append(_note(0, 1, y, **place) | {"font": {"color": QUIET, "size": _SMALL}})
    return layout


def _rows_layout(names: Sequence[str], axis: str) -> Figure:
    layout = _layout(height=max(110, 56 + _ROW * len(names)), x=axis)
    layout["yaxis"].update(
        type="category", categoryorder="array", categoryarray=list(names), showgrid=False, ticks="",
        range=[-0.6, len(names) - 0.4],
    )  # fmt: skip
    layout["xaxis"].update(zeroline=True)
    return layout


def _dots(x: Sequence[Any], y: Sequence[Any], text: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers", "x": list(x), "y": list(y), "text": list(text),
        "hovertemplate": "%{text}<extra></extra>", "cliponaxis": False,
    }  # fmt: skip


def _marker(colour: str, symbol: str, size: int) -> dict[str, Any]:
    return {"color": colour, "symbol": symbol, "size": size, "line": {"width": 2, "color": colour}}


def _with_legend(layout: Figure) -> Figure:
    layout.update(showlegend=True, legend=_LEGEND)
    layout["margin"]["t"] += 30
    layout["height"] += 30
    return layout


def _bin_width(values: Sequence[float]) -> float:
    """About thirty bins over the span, of 1, 2, 5, 10, … days."""
    span = max(values, default=0.0) - min(values, default=0.0)
    return next((width for width in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0) if span / width <= 30), 100.0)


def _counted_names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"{_short(row['label'])}  <b>{row['n']:,}</b>" for row in rows]


def _line(*, dash: str, **place: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": INK, "width": 1, "dash": dash}, "opacity": 0.7, **place}


def _note(x: Any, y: Any, text: str, *, size: int = _SMALL, **place: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": size}, **place}


def _from_top(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows in the order Plotly stacks categories, so that the first row stands on top."""
    return frame.to_dicts()[::-1]


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


def _short(label: str | None, most: int = 26) -> str:
    text = label or "not recorded"
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _iso(value: date | datetime) -> str:
    return value.isoformat()[:19]


def _float(value: Any) -> float | None:
    """Plotly raises on Decimal; a mark needs no more than a double."""
    return None if value is None else float(value)


def _floats(values: pl.Series) -> list[Any]:
    return values.cast(pl.Float64).to_list()
