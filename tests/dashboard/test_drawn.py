"""Marks are known by what they stand for, whatever it is called: ids never leave, and come back as they were."""

from __future__ import annotations

import json
from datetime import date

import polars as pl

from dashboard import charts, figures, timelines
from dashboard.chart_template import ACCENT, WARN
from dashboard.drawn import Drawn, parted
from dashboard.figures import parts_of

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "&lt;b&gt; is written so",
    "%{x} %{customdata[0]} {{7*7}}",
    "a" * 500,
    "a" * 499 + "b",  # another one of the same length
    "under\x1eneath",
    "",
]
PARTS = (("a", "with us", ACCENT), ("b", "with them", WARN))


def _drawn(figure: figures.Figure) -> Drawn:
    return Drawn(*charts._parted(figure))


def _at(trace: int, place: int) -> dict[str, int]:
    return {"curve_number": trace, "point_number": place, "point_index": place}


def test_a_bar_is_known_by_its_label_whatever_it_holds() -> None:
    frame = pl.DataFrame({"label": HOSTILE, "value": [1.0] * len(HOSTILE), "n": [1] * len(HOSTILE)})
    bars = _drawn(figures.bars(frame, axis="Number", unit="count"))
    told = [bars.chosen([_at(0, place)])[0] for place in range(len(HOSTILE))]
    assert told == HOSTILE[::-1]  # from the top


def test_a_part_of_a_stack_is_known_by_its_row_and_part() -> None:
    frame = pl.DataFrame({"label": HOSTILE, "a": [1.0] * len(HOSTILE), "b": [2.0] * len(HOSTILE)})
    stack = _drawn(figures.stacked(frame, axis="Days", unit="days", parts=PARTS))
    told = stack.chosen([_at(1, place) for place in range(len(HOSTILE))])
    assert [parts_of(one) for one in told] == [("b", name) for name in HOSTILE[::-1]]


def test_no_id_is_sent_and_no_markup_of_a_record() -> None:
    ids = [f"tool:{place}" for place, _ in enumerate(HOSTILE)]
    dots = pl.DataFrame({"id": ids, "label": HOSTILE, "day": [date(2026, 1, 1)] * len(ids), "value": [1.0] * len(ids)})
    figure = _drawn(timelines.finished_over_time(dots, axis="Days", lines={}))
    sent = json.dumps(figure.to_dict())
    assert "tool:" not in sent
    assert "<img" not in sent
    assert figure.chosen([_at(0, 3), _at(0, 3), _at(0, 0)]) == ["tool:3", "tool:0"]


def test_a_place_that_is_no_mark_of_this_figure_is_nobodys() -> None:
    figure = _drawn({"data": [{"x": [1, 2], "ids": ["a", "b"]}, {"x": [1, 2]}], "layout": {}})
    strange = [_at(0, 2), _at(1, 0), _at(2, 0), _at(-1, 0), _at(0, -2), {}, {"curve_number": "0", "point_index": 0}]
    assert figure.chosen(strange) == []


def test_figures_that_differ_in_their_ids_alone_are_two_to_a_browser() -> None:
    one, other = ({"data": [{"x": [1.0], "ids": [name]}], "layout": {"height": 1}} for name in ("a", "b"))
    assert parted(one)[0] != parted(other)[0]
    assert parted(one) == parted({**one})
