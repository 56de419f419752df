"""Explanations, days compared, figures and the client's view: what a reader sees is what the measures answer."""

from __future__ import annotations

import base64
import json
import re
from datetime import date
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
from opened_pages import Open, html_of, tiles_of
from streamlit.testing.v1 import AppTest

from dashboard import charts, data
from dashboard.access import ANYBODY
from dashboard.data import Reading, Store
from dashboard.drawn import Drawn
from dashboard.figures import parts_of
from dashboard.filters import Filters, code
from dashboard.views import client
from models import explaining
from models.measure import Question, catalogue

pytestmark = pytest.mark.slow  # they build whole portfolios

YEAR = {"since": date(2025, 7, 1), "until": date(2026, 6, 30)}
THEN, JUST_BEFORE = date(2026, 2, 14), date(2026, 6, 25)


@pytest.fixture
def store(full: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MILEPOST_DATA", str(full))
    monkeypatch.delenv("MILEPOST_CONFIG", raising=False)
    found = data.current(ANYBODY)
    assert found is not None
    return found


def drawn(app: AppTest, key: str) -> list[dict[str, Any]]:
    """The traces of a figure on a page."""
    found = [one for one in app.get("plotly_chart") if f"chart_{key}" in one.proto.id]
    assert len(found) == 1, key
    return [{k: _plain(v) for k, v in trace.items()} for trace in json.loads(found[0].proto.spec)["data"]]


def _plain(value: Any) -> Any:
    """Plotly sends long arrays in base 64."""
    if isinstance(value, dict) and "bdata" in value:
        return np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"]).tolist()
    return value


@pytest.mark.parametrize(
    ("page", "key", "question"),
    [
        ("overview", "owed", Question("B10", ("unbilled_bucket",))),
        ("cash", "aging", Question("B8", ("aging_bucket",))),
        ("scope", "change_orders", Question("C8", ("reason",), **YEAR)),
        ("schedule", "plan_changes", Question("S5", ("reason",), **YEAR)),
        ("handoffs", "readiness_gate", Question("F21", ("gate",), **YEAR)),
        ("data-health", "fixes", Question("M3f", ("fault",))),
    ],
)
def test_bars_are_as_long_as_the_measure_answers(
    open_page: Open, full: Path, store: Store, page: str, key: str, question: Question
) -> None:
    (bars,) = drawn(open_page(full, page), key)
    answered = store.answer(question).filter(pl.col("n") > 0)["value"].to_list()
    assert bars["x"]
    assert sorted(bars["x"]) == pytest.approx(
        sorted(answered)[-len(bars["x"]) :] if page == "schedule" else sorted(answered)
    )


def test_two_pages_keep_figures_of_one_name_apart(open_page: Open, full: Path) -> None:
    assert drawn(open_page(full, "flow"), "aging") != drawn(open_page(full, "cash"), "aging")


def test_weeks_of_throughput_are_the_measures_series(open_page: Open, full: Path, store: Store) -> None:
    (bars,) = drawn(open_page(full, "flow"), "throughput")
    assert bars["y"] == store.series(Question("F10", **YEAR), "week")["value"].to_list()


def test_the_parts_of_a_stack_add_up_to_the_measure(open_page: Open, full: Path, store: Store) -> None:
    whole = store.answer(Question("B10")).row(0, named=True)["value"]
    parts = drawn(open_page(full, "billing"), "by_owner")
    owners = store.answer(Question("B10", ("client_owner",))).height
    assert owners <= 15  # all of them are drawn
    assert sum(sum(part["x"]) for part in parts) == pytest.approx(whole)


def test_a_roll_forward_ends_where_its_measure_does(open_page: Open, full: Path, store: Store) -> None:
    (bars,) = drawn(open_page(full, "cash"), "roll_forward")
    steps = dict(store.answer(Question("B17", **YEAR)).select("step", "value").rows())
    assert dict(zip(bars["y"], bars["x"], strict=True)) == pytest.approx(steps)
    assert steps["Opening"] + sum(v for k, v in steps.items() if k not in ("Opening", "Closing")) == pytest.approx(
        steps["Closing"]
    )


@pytest.mark.parametrize(
    ("page", "key", "measure", "dimension"),
    [
        ("overview", "owed", "B10", "unbilled_bucket"),
        ("flow", "by_gate", "F1", "gate"),
        ("billing", "by_owner", "B10", "client_owner"),
        ("cash", "aging", "B8", "aging_bucket"),
        ("scope", "change_orders", "C8", "reason"),
        ("handoffs", "readiness_gate", "F21", "gate"),
    ],
)
def test_a_mark_names_the_rows_it_stands_for(
    open_page: Open,
    full: Path,
    store: Store,
    page: str,
    key: str,
    measure: str,
    dimension: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a mark is chosen by is a value that its measure can be filtered by, and gives the rows it counted."""
    seen: dict[str, Drawn] = {}
    monkeypatch.setattr(charts, "choose", lambda figure, named, alt: (seen.setdefault(named, figure), list[str]())[1])
    open_page(full, page)
    names = {parts_of(one)[1] or one for trace in seen[key].ids for one in trace}
    reading = Reading(store, Filters())
    answered = {row[dimension]: row for row in reading.answer(measure, dimension).to_dicts()}
    assert names
    for name in names:
        row = answered[name]
        counted = row["n"] + (row.get("open_n") or 0)  # open rows of a duration stand behind it too
        assert reading.rows(measure, **{dimension: (name,)}).height == counted, name


def test_an_explanation_tells_rule_sql_and_every_row_left_out(open_page: Open, full: Path, store: Store) -> None:
    app = open_page(full, "billing")
    app.button(key="explain_tile_B1").click().run()
    assert not app.exception
    why = store.explain(Question("B1", **YEAR))
    shown = html_of(app)
    assert why.left_out
    for reason, n, _ in why.left_out:
        assert f"<td>{n:,}</td><td>{reason}</td>" in shown.replace("&#x27;", "'")
    assert f"Rows used: {explaining.used(why)}" in shown
    assert "QuickBooks" in shown
    assert any(why.statement.sql == block.value for block in app.code)


def test_every_measure_says_why_other_tools_may_differ() -> None:
    assert [one for one in catalogue() if not explaining.differences(one)] == []


def test_a_rewound_page_shows_what_that_day_knew(open_page: Open, full: Path, store: Store) -> None:
    app = open_page(full, "overview", {"as_of": THEN.isoformat()})
    assert not app.exception
    shown = html_of(app)
    assert "Rewound to 14 Feb 2026" in shown
    assert "As of 14 Feb 2026, 23:59 UTC" in shown
    then = data.rewound(store, THEN)
    span = Filters().span(THEN)
    for measure, value in tiles_of(app).items():
        days = span if catalogue()[measure].spans else (None, None)
        assert value == then.answer(Question(measure, (), {}, *days)).row(0, named=True)["value"], measure


def test_what_changed_since_a_day_explains_the_difference_to_the_cent(store: Store) -> None:
    then = data.rewound(store, THEN)
    reading = Reading(store, Filters(against=THEN), then)
    question = reading.question("B10")
    earlier = reading.question_then("B10")
    assert earlier is not None
    moved = store.moved(then, earlier, question)
    assert min(moved.came, moved.went) > 0
    difference = moved.rows.select((pl.col("now").fill_null(0) - pl.col("then").fill_null(0)).sum()).item()
    values = [one.answer(asked).row(0, named=True)["value"] for one, asked in ((store, question), (then, earlier))]
    assert difference == pytest.approx(values[0] - values[1])


def test_a_gate_that_is_still_open_has_not_changed(store: Store) -> None:
    then = data.rewound(store, JUST_BEFORE)
    reading = Reading(store, Filters(period="all", against=JUST_BEFORE), then)
    earlier = reading.question_then("F1")
    assert earlier is not None
    rows = store.moved(then, earlier, reading.question("F1")).rows
    on_both = store.standing(reading.question("F1")).join(then.standing(earlier), on="id", suffix="_then")
    still_open = on_both.filter((pl.col("state") == "open") & (pl.col("state_then") == "open"))["id"].to_list()
    assert still_open
    assert not set(still_open) & set(rows["id"])


@pytest.mark.parametrize(("page", "measure"), [("overview", "B10"), ("flow", "F1"), ("scope", "C5")])
def test_a_tile_tells_the_change_since_a_day_and_its_explanation_the_facts_that_made_it(
    open_page: Open, full: Path, store: Store, page: str, measure: str
) -> None:
    app = open_page(full, page, {"against": THEN.isoformat()})
    assert "Changes since 14 Feb 2026" in html_of(app)
    app.button(key=f"explain_tile_{measure}").click().run()
    assert not app.exception
    then = data.rewound(store, THEN)
    reading = Reading(store, Filters(against=THEN), then)
    earlier = reading.question_then(measure)
    assert earlier is not None
    moved = store.moved(then, earlier, reading.question(measure))
    assert moved.came + moved.went + moved.changed > 0
    told = f"{moved.came:,} came, {moved.went:,} went, {moved.changed:,} count for another value"
    shown = html_of(app)
    assert f"What changed since 14 Feb 2026: {told}" in shown
    for row in moved.rows.head(3).to_dicts():
        assert f"<td>{row['change']}</td><td>{escape(row['label'])}</td>" in shown


@pytest.mark.parametrize(
    ("page", "clock", "key", "axis"),
    [
        ("overview", "working", None, ""),
        ("flow", "working", "by_gate", "Gate cycle time (working days)"),
        ("billing", "working", "lag_by_client", "Billing lag (working days)"),
        ("scope", "working", "decisions", "Submission to decision (working days)"),
        ("compare", "working", "two_curves", "Working days since the gate's start"),
        ("handoffs", "elapsed", "latency", "Approval to start (elapsed days)"),
    ],
)
def test_durations_are_told_on_the_clock_in_the_link(
    open_page: Open,
    full: Path,
    store: Store,
    page: str,
    clock: Literal["elapsed", "working"],
    key: str | None,
    axis: str,
) -> None:
    app = open_page(full, page, {"clock": clock})
    assert not app.exception
    assert f"durations in {clock} days" in html_of(app)
    assert 'Durations in <a href="?" target="_self">as defined</a>' in html_of(app)
    for measure, value in tiles_of(app).items():
        about = catalogue()[measure]
        span = YEAR if about.spans else {}
        asked = Question(measure, clock=clock if about.working else None, **span)
        assert value == store.answer(asked).row(0, named=True)["value"], measure
    if key:
        (figure,) = [one for one in app.get("plotly_chart") if f"chart_{key}" in one.proto.id]
        assert axis in json.dumps(json.loads(figure.proto.spec)["layout"])


def test_open_gates_are_held_against_the_past_on_one_clock_whichever_is_chosen(open_page: Open, full: Path) -> None:
    """Past percentiles are told in elapsed days alone, and ages in working days beside them would look young."""
    assert drawn(open_page(full, "flow", {"clock": "working"}), "aging") == drawn(open_page(full, "flow"), "aging")


def test_a_tile_says_whether_its_target_is_met(open_page: Open, full: Path, store: Store) -> None:
    value = store.answer(Question("F1", **YEAR)).row(0, named=True)["value"]
    file = full / "milepost.toml"
    try:
        file.write_text(f"[targets]\nF1 = {value + 1}\nF8 = 100\n", "utf-8")
        shown = html_of(open_page(full, "overview"))
        file.write_text("[targets]\nF99 = 1\n", "utf-8")
        refused = html_of(open_page(full, "overview"))
    finally:
        file.unlink()
    assert re.search(r'mp-met" title="[\d.]+ days">✓ target ≤ [\d.]+, met', shown)
    assert 'mp-missed" title="100.0 %">✕ target ≥ 100.0, missed' in shown
    assert "F99" in refused


def test_a_client_is_shown_its_own_and_nobody_elses(open_page: Open, full: Path, store: Store) -> None:
    clients = dict(store.table("projects", ["client_id", "client"], order=("client",)).unique().rows())
    awaited = store.table(
        "gates", ["client_id"], only=(("status", "=", "awaiting_decision"), ("is_client_visible", "=", True))
    )["client_id"].to_list()
    mine = awaited[0]
    app = open_page(full, "client", {"of": code(mine)})
    assert not app.exception
    told = html_of(app) + " ".join(str(frame.value.to_dict()) for frame in app.dataframe)
    assert clients[mine] in told
    assert [name for name in clients.values() if name in told and name not in clients[mine]] == []
    assert len(app.dataframe) >= 3  # milestones, what waits, bills


def test_the_clients_view_reads_no_column_about_the_firms_own_affairs() -> None:
    read = {name for listed in (client.GATES, client.ASKED, client.PAPERS, client.BILLS) for name in listed}
    inner = {"manager", "owner_team", "next_team", "client_owner", "firm", "cycle_days", "work_days", "rework_count"}
    assert not read & inner
    assert not {name for name in read if name.endswith("_amount") or "contract" in name}  # its own currency alone


def test_a_view_kept_on_a_page_leads_back_to_it(open_page: Open, full: Path) -> None:
    app = open_page(full, "cash", {"period": "90d"})
    app.text_input(key="view_name").set_value("Cash of the quarter").run()
    app.button(key="keep_view").click().run()
    shown = html_of(app)
    (full / "views.json").unlink()
    assert '<a href="cash?period=90d" target="_self">Cash of the quarter</a>' in shown


def test_definitions_are_found_by_their_words(open_page: Open, full: Path) -> None:
    app = open_page(full, "definitions")
    app.text_input(key="sought").set_value("retainage held").run()
    assert "<b>B14</b>" in html_of(app)
    assert "<b>F1</b>" not in html_of(app)
    app.text_input(key="sought").set_value("nothing of the kind").run()
    assert "No measure has these words." in html_of(app)
