"""Every mark of every figure leads to the rows behind it, those rows make its number, and each figure has its data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opened_pages import Open, html_of
from streamlit.testing.v1 import AppTest

from dashboard import charts, data
from dashboard.access import ANYBODY
from dashboard.chart_template import Figure
from dashboard.data import Reading
from dashboard.figures import parts_of
from dashboard.filters import Filters, code
from dashboard.waterfalls import AMOUNTS

pytestmark = pytest.mark.slow  # they build whole portfolios

FIGURES = {
    "overview": {"throughput", "owed"},
    "flow": {"finished", "aging", "throughput", "cumulative", "split", "first_pass", "survival", "by_gate"},
    "schedule": {"portfolio", "on_time", "plan_changes", "trend"},
    "scope": {"waterfall", "creep", "change_orders", "reason_value", "decisions", "rework"},
    "handoffs": {"latency", "steps", "readiness_gate", "readiness_document_type"},
    "compare": {"two_curves"},
    "billing": {"by_owner", "unbilled", "lag", "slippage", "lag_by_client"},
    "cash": {"aging", "dso", "roll_forward", "to_cash"},
    "project": {"story", "timeline"},
    "client": {"client_gates"},
    "data-health": {"fixes"},
}
LIST_BELOW = {"unbilled": "unbilled", "client_gates": "client_milestones", "timeline": "gates"}  # shows the same
TOO_FEW = {"decisions"}  # forty projects have too few of any reason for a mark
NO_NUMBER = {"story", "client_gates"}  # they answer no measure
Pick = Callable[[str, Figure], list[str]]


class Seen:
    """What a page drew: the figures, which have their data beside them, and the lists below."""

    def __init__(self) -> None:
        self.figures: dict[str, Figure] = {}
        self.beside: set[str] = set()
        self.lists: dict[str, pl.DataFrame] = {}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, open_page: Open, full: Path) -> Callable[..., tuple[AppTest, Seen]]:
    """Opens a page on which a reader has chosen what `pick` says in every figure."""
    chart, ledger = charts.chart, charts.ledger

    def run(page: str, pick: Pick, params: dict[str, str] | None = None) -> tuple[AppTest, Seen]:
        seen = Seen()

        def choose(drawn: Any, key: str, alt: str) -> list[str]:
            assert alt
            shown = drawn.to_dict()
            assert not any("ids" in trace for trace in shown["data"])  # they are never sent
            marks = zip(shown["data"], drawn.ids, strict=True)
            seen.figures[key] = {**shown, "data": [{**trace, "ids": own} for trace, own in marks]}
            return pick(key, seen.figures[key])

        def noted_chart(reading: Reading, key: str, *given: Any, **named: Any) -> list[str]:
            if named.get("at") is not None:
                seen.beside.add(key)
            return chart(reading, key, *given, **named)

        def noted_ledger(reading: Reading, frame: pl.DataFrame, *, key: str, **named: Any) -> None:
            seen.lists[key] = frame
            ledger(reading, frame, key=key, **named)

        monkeypatch.setattr(charts, "choose", choose)
        monkeypatch.setattr(charts, "chart", noted_chart)
        monkeypatch.setattr(charts, "ledger", noted_ledger)
        app = open_page(full, page, params)
        assert not app.exception
        return app, seen

    return run


def ids(figure: Figure) -> list[str]:
    """What the marks that can be seen are chosen by: a bar of no length cannot."""
    return [
        one
        for trace in figure["data"]
        for one, length in zip(trace["ids"], trace.get("x", ()), strict=False)
        if length != 0 or trace["type"] != "bar"
    ]


@pytest.mark.parametrize("page", FIGURES)
def test_every_figure_leads_to_its_rows_has_its_data_beside_it_and_explains_its_number(opened: Any, page: str) -> None:
    app, seen = opened(page, lambda key, figure: ids(figure)[:1])
    assert seen.figures.keys() == FIGURES[page]
    for key, figure in seen.figures.items():
        assert key in seen.beside or LIST_BELOW[key] in seen.lists, key
        below = [LIST_BELOW.get(key, ""), f"behind_{key}", f"picked_{key}"]
        rows = [seen.lists[name] for name in below if name in seen.lists]
        assert bool(rows) == bool(ids(figure)), key
        assert ids(figure) or key in TOO_FEW, key
        assert all(not listed.is_empty() for listed in rows), key
        if rows and page not in ("project", "client"):  # those are of one project, or may not lead to one
            assert "project_id" in rows[-1].columns, key
    assert "No row stands behind this mark." not in html_of(app)
    explained = [one.key for one in app.button if one.key and one.key.startswith("explain_")]
    figures = len(seen.figures.keys() - NO_NUMBER)
    assert len([key for key in explained if not key.startswith("explain_tile_")]) >= figures


def test_the_rows_behind_a_week_are_as_many_as_its_bar_is_high(opened: Any) -> None:
    _, seen = opened("overview", lambda key, figure: ids(figure)[10:11])
    heights = seen.figures["throughput"]["data"][0]["y"]
    assert seen.lists["behind_throughput"].height == heights[10] > 0


def test_the_rows_behind_a_band_are_all_that_reached_its_state_by_then(opened: Any) -> None:
    _, seen = opened("flow", lambda key, figure: [ids(figure)[-20]] if key == "cumulative" else [])
    band = seen.figures["cumulative"]["data"][-1]
    assert parts_of(band["ids"][-20])[0] == "approved"
    assert seen.lists["behind_cumulative"].height == band["y"][-20]


def test_the_rows_behind_a_bin_are_those_it_counts(opened: Any) -> None:
    _, seen = opened("billing", lambda key, figure: [_fullest(figure)[1]] if key == "lag" else [])
    assert seen.lists["behind_lag"].height == _fullest(seen.figures["lag"])[0] > 1


def _fullest(figure: Figure) -> tuple[int, str]:
    """Of the bins after approval the one with most, and what it is chosen by."""
    bins = figure["data"][1]
    told = [int(one[1].rsplit(", ", 1)[1]) for one in bins["customdata"]]
    return max(zip(told, bins["ids"], strict=True))


def test_the_rows_behind_a_part_of_a_stack_add_up_to_it(opened: Any) -> None:
    _, seen = opened("billing", lambda key, figure: [figure["data"][-1]["ids"][-1]] if key == "by_owner" else [])
    part = seen.figures["by_owner"]["data"][-1]
    assert part["x"][-1] > 0
    assert float(seen.lists["behind_by_owner"]["amount"].sum()) == pytest.approx(part["x"][-1])


@pytest.mark.parametrize("step", ["Opening", "Paid", "Closing"])
def test_the_rows_behind_a_step_of_the_roll_forward_add_up_to_it(opened: Any, step: str) -> None:
    _, seen = opened("cash", lambda key, figure: [step] if key == "roll_forward" else [])
    bars = seen.figures["roll_forward"]["data"][0]
    steps = dict(zip(bars["y"], bars["x"], strict=True))
    assert float(seen.lists["behind_roll_forward"]["amount"].sum()) == pytest.approx(steps[step])


@pytest.mark.parametrize("step", ["contract now", "paid"])
def test_the_rows_behind_a_step_of_the_contract_add_up_to_it(opened: Any, step: str) -> None:
    _, seen = opened("scope", lambda key, figure: [step] if key == "waterfall" else [])
    bars = seen.figures["waterfall"]["data"][0]
    steps = dict(zip(bars["y"], bars["x"], strict=True))
    total = float(seen.lists["behind_waterfall"][AMOUNTS[step]].sum())
    assert total == pytest.approx(abs(steps[step]))


def test_a_mark_of_a_week_or_month_stands_for_its_days_within_the_period(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_DATA", str(full))
    store = data.current(ANYBODY)
    assert store is not None
    reading = Reading(store, Filters(period="2026-02-04..2026-03-10"))
    assert charts.bucket(reading, "2026-02-09", "week") == (date(2026, 2, 9), date(2026, 2, 15))
    assert charts.bucket(reading, "2026-02-02", "week") == (date(2026, 2, 4), date(2026, 2, 8))
    assert charts.bucket(reading, "2026-02-01", "month") == (date(2026, 2, 4), date(2026, 2, 28))
    assert charts.bucket(reading, "2026-03-01T00:00:00", "month") == (date(2026, 3, 1), date(2026, 3, 10))


def test_a_cell_of_the_heat_map_leads_to_its_gates(opened: Any, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_DATA", str(full))
    store = data.current(ANYBODY)
    assert store is not None
    reading = Reading(store, Filters())
    playbook = reading.answer("F4", "playbook").sort("n", descending=True)["playbook"][0]
    cells = reading.answer("F4", "client", "gate", playbook=(playbook,)).filter(pl.col("n") > 0)
    cell = cells.sort("n", descending=True).row(0, named=True)
    link = ".".join((code(playbook), code(cell["gate"]), "client", code(cell["client"])))
    app, seen = opened("compare", lambda key, figure: [], {"cell": link})
    assert f"?cell={link}" in html_of(app)
    assert dict(app.query_params)["cell"] in (link, [link])
    rows = seen.lists["behind_cell_client"]
    assert rows.height == cell["n"] + cell["open_n"]
    assert set(rows["client"]) == {cell["client"]}
