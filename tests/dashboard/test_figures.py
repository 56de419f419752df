"""Figures as plain dicts: what Plotly accepts, within the bound of marks, in colours of the theme."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from streamlit.elements.lib import streamlit_plotly_theme as theme

from dashboard import chart_template, figures, numbers, timelines
from dashboard.chart_template import ACCENT, WARN, Figure

DAY = date(2026, 6, 1)
WEEKS = pl.DataFrame({"day": [DAY, DAY + timedelta(days=7)], "value": [3.0, 1.0], "n": [3, 1]})
RANGES = pl.DataFrame(
    {"label": ["Kickoff", "Go-live", "Permits"], "value": [4.0, 9.0, None], "p85": [8.0, None, None], "n": [30, 7, 2],
     "note": [None, "n = 7: too few for P85", "n = 2: too few"]}
)  # fmt: skip
MONEY = pl.DataFrame({"label": ["not due", "over 90"], "value": [Decimal("12000.50"), Decimal("-30.00")], "n": [3, 1]})
DOTS = pl.DataFrame({"label": ["a", "b"], "day": [DAY, DAY], "value": [3.0, 40.0]})
AGES = pl.DataFrame({"group": ["Kickoff", "Kickoff", "Permits"], "value": [2.0, 900.0, 5.0], "label": ["a", "b", "c"]})
OWED = pl.DataFrame(
    {"owed_for": ["gate", "change order"], "age_days": [3.0, 80.0], "amount": [Decimal("100.00"), Decimal("9000.00")],
     "gate_label": ["Kickoff", None], "client": ["Aster", "Aster"], "project": ["P", "Q"]}
)  # fmt: skip
GATES = pl.DataFrame(
    {"gate_label": ["Kickoff", "Build", "Hand-over"], "sequence": [1, 2, 3],
     "status": ["approved", "in_progress", "waived"],
     "started_at": [datetime(2026, 1, 1), datetime(2026, 2, 1), datetime(2026, 3, 1)],
     "approved_at": [datetime(2026, 1, 9), None, None], "baseline_on": [date(2026, 1, 5), None, None],
     "due_on": [date(2026, 1, 7), date(2026, 3, 1), None]}
)  # fmt: skip
SERIES = [("value", "P50", ACCENT), ("p85", "P85", WARN)]

SPLIT = pl.DataFrame({"label": ["Aster", "Borealis"], "a": [3.0, 1.0], "b": [2.0, 0.0]})
PARTS = (("a", "with us", ACCENT), ("b", "with them", WARN))
STEPS = pl.DataFrame(
    {"label": ["opening", "paid", "closing"], "value": [100.0, -30.0, 70.0], "starts": [0.0, 100.0, 0.0],
     "role": ["total", "down", "total"]}
)  # fmt: skip
CURVE = pl.DataFrame(
    {"team": ["x", "x", "y"], "time": [1.0, 4.0, 2.0], "survival": [0.8, 0.4, 0.5], "low": [0.6, 0.2, None],
     "high": [0.9, 0.6, None]}
)  # fmt: skip
MONTHS = pl.DataFrame({"day": [DAY, DAY + timedelta(days=30)], "a": [3.0, 1.0], "b": [4.0, None]})
GATES = GATES.with_columns(gate_id=pl.Series(["g1", "g2", "g3"]))
PLANNED = GATES.with_columns(label=pl.lit("Aster · P"))
REPORTS = pl.DataFrame(
    {"gate": ["Build", "Build"], "reported_on": [DAY, DAY + timedelta(days=9)],
     "forecast_on": [DAY + timedelta(days=5), DAY + timedelta(days=9)], "is_actual": [False, True]}
)  # fmt: skip
TOLD = pl.DataFrame(
    {
        "id": [0, 1],
        "lane": ["gates", "invoices"],
        "at": [datetime(2026, 1, 1), datetime(2026, 2, 1)],
        "what": ["a", "b"],
    }
)
DRAWN: dict[str, Figure] = {
    "over_time": timelines.over_time(
        WEEKS, axis="Gates per week", unit="count", width_days=7, partial=DAY + timedelta(days=9)
    ),
    "percentile_ranges": figures.percentile_ranges(RANGES, axis="Elapsed days"),
    "finished": timelines.finished_over_time(DOTS, axis="Elapsed days", lines={"P50": 9.0, "P85": None}),
    "open": figures.open_against_past(AGES, RANGES, axis="Age (elapsed days)"),
    "pairs": figures.pairs(RANGES, axis="Elapsed days", unit="days", series=SERIES),
    "amount_by_age": figures.amount_by_age(OWED, x="Days", y="USD", currency="USD"),
    "bars": figures.bars(MONEY, axis="Open balance (USD)", unit="money", currency="USD", warn=("over 90",)),
    "histogram": figures.histogram(DOTS, axis="Days", counted="% of allocations", lines={"P50": 9.0}),
    "stacked": figures.stacked(SPLIT, axis="Elapsed days", unit="days", parts=PARTS),
    "waterfall": figures.waterfall(STEPS, axis="USD", currency="USD"),
    "survival": figures.survival(CURVE, axis="Elapsed days", group="team"),
    "one curve": figures.survival(CURVE.filter(pl.col("team") == "x"), axis="Elapsed days", group="team"),
    "lines": timelines.lines_over_time(MONTHS, axis="Elapsed days", unit="days", series=PARTS),
    "bands": timelines.bands_over_time(MONTHS, axis="Gates, by days", bands=PARTS),
    "portfolio": timelines.portfolio(PLANNED, as_of=datetime(2026, 6, 30)),
    "forecasts": timelines.forecasts(REPORTS, gates=["Build"]),
    "story": timelines.story(TOLD, as_of=datetime(2026, 6, 30)),
    "timeline": timelines.gate_timeline(GATES, as_of=datetime(2026, 6, 30)),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_a_plain_dict_that_plotly_accepts(name: str) -> None:
    import plotly.graph_objects as go

    json.dumps(DRAWN[name])  # no Decimal, no date, no frame
    go.Figure(DRAWN[name])


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"timeline", "portfolio", "forecasts", "story"}))
def test_an_axis_names_its_unit(name: str) -> None:
    layout = DRAWN[name]["layout"]
    written = layout["xaxis"].get("title", {}).get("text", "") + "".join(a["text"] for a in layout["annotations"])
    assert any(unit in written for unit in ("days", "Days", "USD", "week"))


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_lets_the_page_shine_through_so_that_one_serves_both_themes(name: str) -> None:
    assert DRAWN[name]["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"
    colours = {c for trace in DRAWN[name]["data"] for c in _colours(trace)}
    assert colours <= set(chart_template.PLACES)


def test_colours_are_the_places_that_streamlit_fills_from_the_theme() -> None:
    assert list(chart_template.PLACES) == [getattr(theme, f"CATEGORY_{place}") for place in range(10)]
    assert chart_template.BACKGROUND == theme.BG_COLOR


def test_too_few_rows_are_told_in_words_and_not_drawn() -> None:
    figure = DRAWN["percentile_ranges"]
    assert "n = 2: too few" in {note["text"] for note in figure["layout"]["annotations"]}
    assert not any("Permits" in str(y) for trace in figure["data"] for y in trace["y"])


def test_the_bar_of_a_week_that_is_not_over_is_paler() -> None:
    assert DRAWN["over_time"]["data"][0]["marker"]["opacity"] == [1.0, 0.45]


def test_a_gate_far_older_than_the_rest_is_written_at_the_edge() -> None:
    figure = figures.open_against_past(AGES, RANGES, axis="Age")
    assert figure["layout"]["xaxis"]["range"][1] < 900
    assert any("900" in note["text"] for note in figure["layout"]["annotations"])


def test_an_open_gate_past_the_85th_percentile_has_another_colour_and_shape() -> None:
    old = pl.DataFrame({"group": ["Kickoff", "Kickoff"], "value": [2.0, 20.0], "label": ["young", "old"]})
    young, late = figures.open_against_past(old, RANGES, axis="Age")["data"][-2:]
    assert (young["x"], late["x"]) == ([2.0], [20.0])
    assert young["marker"]["color"] != late["marker"]["color"]
    assert young["marker"]["symbol"] != late["marker"]["symbol"]


def test_open_gates_stand_against_p50_p85_and_p95_of_approved_ones() -> None:
    past = RANGES.with_columns(p95=pl.Series([11.0, None, None]))
    ticks = {trace["name"]: trace["x"] for trace in figures.open_against_past(AGES, past, axis="Age")["data"]}
    assert [ticks[f"{p} of finished"] for p in ("P50", "P85", "P95")] == [[4.0], [8.0], [11.0]]


def test_a_p50_that_was_not_reached_is_told_in_words_and_its_interval_where_known() -> None:
    unreached = RANGES.with_columns(note=pl.lit("n = 7: too few for P85; P50 not reached"), low=1.0, high=None)
    figure = figures.percentile_ranges(unreached, axis="Elapsed days")
    assert "P50 not reached" in {note["text"] for note in figure["layout"]["annotations"]}
    assert "95 % interval from 1.0 on" in figure["data"][1]["text"][0]


def test_shares_of_a_histogram_add_up_to_a_hundred_across_its_colours() -> None:
    frame = pl.DataFrame({"value": [-3.0, 1.0, 2.0, 30.0]})
    traces = figures.histogram(frame, axis="Days", counted="%", lines={})["data"]
    assert sum(sum(trace["y"]) for trace in traces) == 100
    assert [len(trace["x"]) for trace in traces] == [1, 3]


def test_a_waived_gate_has_no_bar_and_an_open_one_runs_to_the_clock() -> None:
    bars = DRAWN["timeline"]["data"][0]
    runs = {bars["y"][i]: (bars["x"][i][:10], bars["x"][i + 1][:10]) for i in range(0, len(bars["x"]), 3)}
    assert runs == {"1 Kickoff": ("2026-01-01", "2026-01-09"), "2 Build": ("2026-02-01", "2026-06-30")}


def test_no_chart_holds_more_marks_than_a_browser_draws_at_once() -> None:
    many = pl.DataFrame({"group": ["g"] * 5000, "value": [1.0] * 5000, "label": ["x"] * 5000})
    figure = figures.open_against_past(many, RANGES.clear(), axis="Age")
    assert sum(len(trace["x"]) for trace in figure["data"]) <= chart_template.MOST_MARKS


def test_every_part_of_a_stack_has_a_colour_and_a_pattern_of_its_own() -> None:
    bars = DRAWN["stacked"]["data"]
    assert len({bar["marker"]["color"] for bar in bars}) == len(bars)
    assert len({bar["marker"]["pattern"]["shape"] for bar in bars}) == len(bars)


def test_a_stack_writes_its_whole_at_its_end() -> None:
    assert {"5.0", "1.0"} <= {note["text"] for note in DRAWN["stacked"]["layout"]["annotations"]}


def test_a_waterfalls_bars_begin_where_the_step_before_ended() -> None:
    bar = DRAWN["waterfall"]["data"][0]
    assert dict(zip(bar["y"], zip(bar["base"], bar["x"], strict=True), strict=True))["paid"] == (100.0, -30.0)


def test_a_curve_begins_with_everything_unfinished_and_only_one_alone_has_a_band() -> None:
    curves = [trace for trace in DRAWN["survival"]["data"] if trace["mode"] == "lines"]
    assert [curve["y"][0] for curve in curves] == [100.0, 100.0]
    assert [trace.get("fill") for trace in DRAWN["one curve"]["data"]] == [None, "tonexty", None, None]


def test_a_curve_has_a_mark_where_half_are_finished() -> None:
    marks = {trace["ids"][0]: trace["x"] for trace in DRAWN["survival"]["data"] if "ids" in trace}
    assert marks == {"x": [4.0], "y": [2.0]}


def test_lines_are_told_apart_by_dash_and_mark_and_named_at_their_ends() -> None:
    lines = DRAWN["lines"]["data"]
    assert len({line["line"]["dash"] for line in lines}) == len({line["marker"]["symbol"] for line in lines}) == 2
    assert any(note["text"].endswith("with us") for note in DRAWN["lines"]["layout"]["annotations"])


def test_an_overdue_gate_is_crossed_and_a_planned_one_is_hollow() -> None:
    marks = {trace.get("name"): trace for trace in DRAWN["portfolio"]["data"]}
    assert (marks["overdue"]["ids"], marks["overdue"]["marker"]["symbol"]) == (["g2"], "diamond-x-open")
    assert marks["approved"]["ids"] == ["g1"]


def test_long_names_stand_on_two_lines_and_no_two_rows_share_one() -> None:
    long = "Brand identity for the Northgate Brewing and Distilling Company of "
    names = chart_template.row_names(
        ["Kickoff", f"{long}Leeds", f"{long}York", "Unternehmensgründungsgesellschaft mbH"]
    )
    assert len(set(names)) == 4
    assert names[0] == "Kickoff"
    assert names[1].startswith("Brand identity for the<br>Northgate")
    assert all(len(line) <= 30 for name in names for line in name.split("<br>"))


def test_two_names_in_one_label_stand_on_a_line_each() -> None:
    assert chart_template.row_names(["Hugo & Freya Quigley · Framing inspection passed"]) == [
        "Hugo & Freya Quigley<br>Framing inspection passed"
    ]


def test_only_labels_with_a_number_get_its_unit_and_one_bar_alone_is_no_wall() -> None:
    bars = figures.bars(MONEY, axis="USD", unit="money", sign=" days")
    assert bars["data"][0]["y"] == ["over 90 days", "not due"]
    alone = figures.bars(MONEY.head(1), axis="USD", unit="money")
    assert alone["layout"]["bargap"] > bars["layout"]["bargap"]


def test_a_project_named_for_its_client_is_named_once() -> None:
    assert numbers.whose("Aster", "Aster: rollout") == "Aster: rollout"
    assert numbers.whose("Aster", "14 Dune Road") == "Aster · 14 Dune Road"
    assert numbers.whose(None, "14 Dune Road") == "no client · 14 Dune Road"


def test_a_story_of_very_many_facts_is_drawn_from_its_newest() -> None:
    many = chart_template.MOST_MARKS + 40
    told = pl.DataFrame({
        "id": range(many), "lane": ["gates"] * many, "what": ["a"] * many,
        "at": [datetime(2026, 1, 1) + timedelta(hours=hour) for hour in range(many)],
    })  # fmt: skip
    (lane,) = timelines.story(told, as_of=datetime(2026, 6, 30))["data"]
    assert lane["ids"] == [str(place) for place in range(40, many)]


def test_an_axis_of_money_is_written_as_the_pages_write_it() -> None:
    axis: dict[str, Any] = {}
    chart_template.money_axis(axis, -60_000.0, 2_100_000.0)
    assert axis["ticktext"] == ["0", "500 k", "1.00 M", "1.50 M", "2.00 M"]


def test_bars_that_have_their_values_at_their_ends_have_no_second_scale() -> None:
    for name in ("bars", "waterfall"):
        assert DRAWN[name]["layout"]["xaxis"]["showticklabels"] is False


def test_numbers_on_a_figure_have_the_readers_signs() -> None:
    numbers.use("de")
    try:
        figure = figures.bars(MONEY, axis="USD", unit="money")
    finally:
        numbers.use("en")
    assert figure["layout"]["separators"] == ",."


def test_a_line_of_a_tile_ends_in_a_mark_and_needs_two_values() -> None:
    assert timelines.spark([None, 3.0]) == ""
    assert timelines.spark([1.0, None, 3.0]).count("<circle") == 1


def _colours(trace: dict[str, Any]) -> list[str]:
    found = [part["color"] for part in (trace.get("marker", {}), trace.get("line", {})) if "color" in part]
    return [colour for each in found for colour in (each if isinstance(each, list) else [each])]
