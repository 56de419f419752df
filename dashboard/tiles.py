"""Tiles: a measure's number with what it rests on, its way over time, its change, its target, and why.

What stays out: reckoning. The change is told between two answers of `models.measure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any
from urllib.parse import quote

import streamlit as st

from dashboard import explain, timelines
from dashboard.data import Reading, catalogue
from dashboard.filters import CLOCKS, Clock
from dashboard.layout import html, link_query
from dashboard.numbers import absence, day, interval, plain, plural, shown_unit, signed, worded
from models.measure import Measure

MOST = 6
_AGAINST_UNIT = {"%": " points"}


@dataclass(frozen=True, slots=True)
class Tile:
    """A measure, what it counts in the plural, and another name for it."""

    measure: str
    counted: str
    label: str = ""


def row(reading: Reading, shown: Sequence[Tile]) -> None:
    """At most six tiles beside one another; on a narrow screen two."""
    with st.container(key="tiles"):
        for tile in shown[:MOST]:
            with st.container(key=f"tile_{tile.measure}"):
                _draw(reading, tile)
    counted = any(catalogue()[tile.measure].working for tile in shown)
    html(f'<p class="mp-caption">{escape(_compared(reading))} {clocks(reading) if counted else ""}</p>')


def clocks(reading: Reading) -> str:
    """Which days durations are told in, and the links to the other ones."""
    chosen = reading.filters.clock
    told: tuple[tuple[Clock | None, str], ...] = ((None, "as defined"), *CLOCKS.items())
    links = " · ".join(
        f"<b>{words}</b>"
        if clock == chosen
        else f'<a href="{escape(link_query(replace(reading.filters, clock=clock)) or "?")}" target="_self">{words}</a>'
        for clock, words in told
    )
    return f'<span class="mp-clocks">Durations in {links}</span>'


def _compared(reading: Reading) -> str:
    """What changes are against, and what lines show."""
    if reading.then is not None:
        return f"Changes since {day(reading.then.rewound_to)}; what made them stands under Explain."
    span = reading.filters.span_before(reading.as_of.date())
    if span is None:
        return ""
    return f"Changes against {reading.filters.before_words()}, {day(span[0])} to {day(span[1])}. Lines: months."


def _draw(reading: Reading, tile: Tile) -> None:
    about = catalogue()[tile.measure]
    answer = reading.row(tile.measure)
    label = tile.label or about.label
    value = answer["value"]
    rests = basis(answer, tile.counted, about.unit)
    if value is None:
        shown, number = absence(answer["note"]), f'<p class="mp-value mp-absent">{escape(absence(answer["note"]))}</p>'
    else:
        unit = tile.counted if about.unit == "count" else shown_unit(about.unit, reading.currency)
        if (reading.question(about.id).clock or about.clock) == "working":
            unit = f"working {unit}"
        shown = f"{plain(value, about.unit)} {unit}" if unit != reading.currency else f"{unit} {plain(value, 'money')}"
        number = f'<p class="mp-value">{plain(value, about.unit)}<small>{escape(unit)}</small></p>'
    parts = " ".join(f"<span>{escape(part)}</span>" for part in rests.split(" · "))
    told = _change(reading, about, value) + _spark(reading, about, label, value) + _target(reading, about, value)
    html(
        f'<section class="mp-tile" data-measure="{about.id}" data-value="{"" if value is None else value}">'
        f"<h2>{escape(label)}</h2>{number}{told}"
        f'<p class="mp-basis">{parts}</p></section>'
    )
    explain.button(reading, tile.measure, f"tile_{tile.measure}")
    reading.sheets.tiles.append((f"{about.id} {label}", shown, rests))
    reading.define(tile.measure)


def basis(answer: Mapping[str, Any], counted: str, unit: str) -> str:
    """What a number rests on: "P85 41.0 · 95 % CI 20.1–26.0 · n = 312 gates, 40 still open"."""
    parts = []
    if answer.get("p85") is not None:
        parts.append(f"P85 {plain(answer['p85'], unit)}")
    if answer["value"] is not None and (bounds := interval(answer.get("low"), answer.get("high"), unit)):
        parts.append(bounds.replace("interval", "CI"))
    open_n = f", {plain(answer['open_n'], 'count')} still open" if answer.get("open_n") else ""
    if unit != "count":
        parts.append(f"n = {plain(answer['n'], 'count')} {counted}{open_n}")
    elif open_n:
        parts.append(open_n.removeprefix(", "))
    return " · ".join(parts)


def _change(reading: Reading, about: Measure, value: float | None) -> str:
    """The change since the day compared with, else since the period before; with a word for better or worse."""
    before, since = _before(reading, about)
    if value is None or before is None:
        return f'<p class="mp-change mp-quiet">{"nothing to compare" if since else "as it stands"}</p>'
    moved = value - before
    text = f"{signed(moved, about.unit)}{_AGAINST_UNIT.get(about.unit, '')}"
    told = f'title="{escape(f"{worded(before, about.unit, reading.currency)} in {since}")}"'
    if text.startswith("±") or about.good == "none":
        return f'<p class="mp-change mp-quiet" {told}>{escape(text)}</p>'
    name = "better" if (moved > 0) == (about.good == "high") else "worse"
    return f'<p class="mp-change mp-{name}" {told}>{"▲" if moved > 0 else "▼"} {escape(text)}, {name}</p>'


def _before(reading: Reading, about: Measure) -> tuple[float | None, str]:
    if reading.then is not None:
        asked = reading.question_then(about.id)
        assert asked is not None
        return reading.then.answer(asked).row(0, named=True)["value"], day(reading.then.rewound_to)
    before = reading.before(about.id)
    if before is None:
        return None, ""
    return before.row(0, named=True)["value"], reading.filters.before_words()


def _target(reading: Reading, about: Measure, value: float | None) -> str:
    """The target from the settings, and whether it is met; nothing where none is set."""
    target = reading.store.targets.get(about.id)
    if target is None:
        return ""
    words = f"target {'≥' if about.good == 'high' else '≤'} {plain(target, about.unit)}"
    whole = f'title="{escape(worded(target, about.unit, reading.currency))}"'
    if value is None:
        return f'<p class="mp-target" {whole}>{escape(words)}</p>'
    is_met = value >= target if about.good == "high" else value <= target
    name = "met" if is_met else "missed"
    return f'<p class="mp-target mp-{name}" {whole}>{"✓" if is_met else "✕"} {escape(words)}, {name}</p>'


def _spark(reading: Reading, about: Measure, label: str, value: float | None) -> str:
    """The measure month by month over the period; nothing where it has no months."""
    if value is None or not about.spans or about.kind == "steps" or about.window:
        return '<div class="mp-nospark"></div>'
    values = reading.months(about.id)["value"].to_list()
    drawn = timelines.spark(values)
    if not drawn:
        return '<div class="mp-nospark"></div>'
    words = f"{label} over {plural(len(values), 'month')}, the last {plain(values[-1], about.unit)}"
    return (
        f'<div class="mp-spark" role="img" aria-label="{escape(words)}" '
        f"style=\"--spark: url('data:image/svg+xml,{quote(drawn)}')\"></div>"
    )
