"""Kinds of measures over a few rows and entries of their own, whose answers a person can work out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hand_made_marts import hand_made
from scipy.stats import binomtest

from models import metrics, yaml_text
from models.faults import Fault
from models.measure import Question, answer, distribution, explain, rows, series

CLOCK = [{"as_of_at": datetime(2026, 6, 30, 12)}]
Entry = Callable[..., str]


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """Puts an entry into the catalogue and gives its id."""
    read = metrics.catalogue

    def put(**body: Any) -> str:
        written = yaml_text.parsed((metrics.FOLDER / "metrics.yml").read_text("utf-8"))
        usual = {"label": "Tried", "definition": "Tried.", "rule": "F1", "mart": "gates", "unit": "days", "good": "low"}
        written["measures"]["T1"] = {**usual, "left_out": [], **body}
        file = tmp_path / "metrics.yml"
        file.write_text(json.dumps(written), "utf-8")  # which is YAML too, and written at once
        metrics._written.cache_clear()
        catalogue = read(file)
        read.cache_clear()
        monkeypatch.setattr(metrics, "catalogue", lambda: catalogue)
        return "T1"

    return put


def gate(name: str, began: str | None, ended: str | None = None, **columns: Any) -> dict[str, Any]:
    def at(text: str | None) -> datetime | None:
        return datetime.fromisoformat(text) if text else None

    return {"gate_id": name, "started_at": at(began), "approved_at": at(ended), **columns}


def values(frame: pl.DataFrame) -> list[Any]:
    return frame["value"].to_list()


# Levels


STOCK = {"kind": "level", "enters": "started_at", "leaves": "approved_at", "unit": "count"}


def test_a_level_is_what_stands_at_the_end_of_a_day(entry: Entry):
    con = hand_made(
        clock=CLOCK,
        gates=[
            gate("a", "2026-06-26T09:00", "2026-06-28T09:00"),
            gate("b", "2026-06-27T09:00", "2026-06-27T18:00"),  # began and ended on one day: never stands
            gate("c", "2026-06-29T09:00"),
            gate("not begun", None),
            gate("contradiction", "2026-06-29T09:00", "2026-06-26T09:00"),  # over before it began: never stands
        ],
    )
    measure = entry(**STOCK)
    days = series(con, Question(measure), "day")
    assert days["period"].to_list() == [date(2026, 6, day) for day in (26, 27, 28, 29, 30)]
    assert values(days) == [1, 1, 0, 1, 1]
    told = [values(answer(con, Question(measure, until=date(2026, 6, day))))[0] for day in (26, 27, 28, 29, 30)]
    assert told == values(days)
    assert values(answer(con, Question(measure))) == [1]
    assert {reason: n for reason, n, _ in explain(con, Question(measure)).left_out} == {
        "never entered": 1,
        "had left": 3,
    }


def test_a_level_is_told_at_the_end_of_weeks_and_months_and_not_beyond_the_clock(entry: Entry):
    con = hand_made(
        clock=CLOCK,
        gates=[
            gate("a", "2026-05-04T09:00", "2026-06-10T09:00", client="Beta"),
            gate("b", "2026-05-20T09:00", client="Acme"),
        ],
    )
    measure = entry(**STOCK)
    months = series(con, Question(measure, by=("client",)), "month")
    assert months.select("client", "period", "value").rows() == [
        ("Acme", date(2026, 5, 1), 1), ("Acme", date(2026, 6, 1), 1),
        ("Beta", date(2026, 5, 1), 1), ("Beta", date(2026, 6, 1), 0),
    ]  # fmt: skip
    weeks = series(con, Question(measure, since=date(2026, 6, 1), until=date(2026, 12, 31)), "week")
    assert weeks["period"].to_list()[-1] == date(2026, 6, 29)
    assert values(weeks) == [2, 1, 1, 1, 1]


def test_a_level_without_departures_only_grows_and_may_add_a_value_up(entry: Entry):
    con = hand_made(
        clock=CLOCK,
        gates=[
            gate("a", "2026-06-01T09:00", bills_amount=100),
            gate("b", "2026-06-03T09:00", bills_amount=250),
            gate("unknown", "2026-06-03T09:00", bills_amount=None),
        ],
    )
    measure = entry(kind="level", enters="started_at", value="bills_amount", unit="money")
    days = series(con, Question(measure, since=date(2026, 5, 31), until=date(2026, 6, 4)), "day")
    assert days.select("value", "n").rows() == [(0, 0), (100, 1), (100, 1), (350, 2), (350, 2)]
    assert values(answer(con, Question(measure))) == [350]


def test_the_end_of_a_day_is_the_project_s(entry: Entry):
    con = hand_made(
        projects=[{"project_id": "northlight:p1", "timezone": "America/Los_Angeles"}],
        clock=CLOCK,
        gates=[gate("a", "2026-06-02T04:00")],  # still 1 June in Los Angeles
    )
    measure = entry(**STOCK)
    assert values(answer(con, Question(measure, until=date(2026, 6, 1)))) == [1]
    assert series(con, Question(measure), "day")["period"][0] == date(2026, 6, 1)


# Steps


def test_steps_are_sums_over_rows_and_what_is_reckoned_from_them(entry: Entry):
    steps = [
        {"key": "billed", "label": "Billed", "sum": "bills_amount"},
        {"key": "due", "label": "Still due", "sum": "unbilled_amount"},
        {"key": "done", "label": "Done", "is": "billed - due"},
        {"key": "share", "label": "Share done", "is": "100 * done / billed", "unit": "%"},
    ]
    measure = entry(kind="steps", unit="money", steps=steps)
    made = [
        gate("a", None, client="Acme", bills_amount=300, unbilled_amount=100),
        gate("b", None, client="Acme", bills_amount=100, unbilled_amount=None),
        gate("c", None, client="Beta", bills_amount=50, unbilled_amount=50),
    ]
    told = answer(hand_made(gates=made), Question(measure))
    assert told.select("step", "value", "unit", "n").rows() == [
        ("Billed", 450, "money", 3), ("Still due", 150, "money", 3), ("Done", 300, "money", 3),
        ("Share done", pytest.approx(66.667, abs=0.001), "%", 3),
    ]  # fmt: skip
    by_client = answer(hand_made(gates=made), Question(measure, by=("client",)))
    assert by_client.select("client", "step", "value").rows()[:4] == [
        ("Acme", "Billed", 400), ("Acme", "Still due", 100), ("Acme", "Done", 300), ("Acme", "Share done", 75),
    ]  # fmt: skip


# Windows and settings


def test_a_window_looks_back_from_the_clock_or_from_the_day_asked_for(entry: Entry):
    measure = entry(
        kind="ratio",
        part="case when local_day(approved_at) between $since and $until then bills_amount end",
        whole="$days * $weight",
        scale=1,
        window=90,
        settings={"weight": {"default": 1, "about": "What a day weighs."}},
    )
    con = hand_made(
        clock=CLOCK,
        gates=[
            gate("first day", None, "2026-04-02T12:00", bills_amount=90),
            gate("day before", None, "2026-04-01T12:00", bills_amount=900),
        ],
    )
    assert values(answer(con, Question(measure))) == [1]
    assert explain(con, Question(measure)).period.startswith("from 2026-04-02 to 2026-06-30")
    assert values(answer(con, Question(measure, since=date(2026, 4, 1), until=date(2026, 4, 2)))) == [247.5]
    assert values(answer(con, Question(measure, settings={"weight": 2.0}))) == [0.5]
    months = series(con, Question(measure, since=date(2026, 4, 1)), "month")
    assert months.select("period", "value").rows()[0] == (date(2026, 4, 1), pytest.approx(16.5))
    assert months["period"].to_list()[-1] == date(2026, 6, 1)


def test_a_setting_that_a_measure_does_not_have_is_refused(entry: Entry):
    measure = entry(kind="sum", value="$rate * bills_amount", settings={"rate": {"default": None, "about": "Rate."}})
    with pytest.raises(Fault, match=r"no setting 'ratio'.*rate"):
        answer(hand_made(), Question(measure, settings={"ratio": 1}))
    con = hand_made(gates=[gate("a", None, bills_amount=8)])
    assert values(answer(con, Question(measure, settings={"rate": 0.5}))) == [4]
    assert explain(con, Question(measure)).left_out[0][0] == "value not known"  # the setting is null


# Count-back


COUNTED_BACK = {
    "kind": "count_back",
    "balance": "unbilled_amount",
    "sales": "bills_amount",
    "sales_at": "approved_at",
    "settings": {"block_days": {"default": None, "about": "Days of a block."}},
}


def test_count_back_of_212k_over_100_80_and_70k_in_30_day_blocks_is_73_71(entry: Entry):
    """The worked example of the house's rules: sales newest first, 30-day months."""
    sold = {"2026-06-20": 100_000, "2026-05-20": 80_000, "2026-04-20": 70_000}
    sales = [gate(day, None, f"{day}T12:00", bills_amount=amount) for day, amount in sold.items()]
    con = hand_made(clock=CLOCK, gates=[*sales, gate("owed", None, unbilled_amount=212_000)])
    found = answer(con, Question(entry(**COUNTED_BACK), settings={"block_days": 30})).row(0, named=True)
    assert found["value"] == pytest.approx(73.714, abs=0.001)
    assert found["note"] is None


def test_count_back_takes_calendar_months_and_the_running_one_with_its_days_so_far(entry: Entry):
    sold = {"2026-06-10": 100, "2026-04-20": 60}  # nothing was sold in May, whose 31 days pass all the same
    sales = [gate(day, None, f"{day}T12:00", bills_amount=amount) for day, amount in sold.items()]
    con = hand_made(clock=CLOCK, gates=[*sales, gate("owed", None, unbilled_amount=120)])
    measure = entry(**COUNTED_BACK)
    assert values(answer(con, Question(measure, until=date(2026, 6, 15)))) == [15 + 31 + 30 * 20 / 60]
    assert values(answer(con, Question(measure))) == [30 + 31 + 10]
    con.execute("update marts.gates set unbilled_amount = 50 where gate_id = 'owed'")
    assert values(answer(con, Question(measure, until=date(2026, 6, 15)))) == [15 / 2]


def test_a_balance_beyond_all_sales_on_record_says_at_least(entry: Entry):
    con = hand_made(
        clock=CLOCK,
        gates=[
            gate("sold", None, "2026-05-04T12:00", bills_amount=10, client="Acme"),
            gate("owed", None, unbilled_amount=11, client="Acme"),
            gate("never sold", None, unbilled_amount=5, client="Beta"),
            gate("settled", None, "2026-05-04T12:00", bills_amount=5, unbilled_amount=0, client="Cobalt"),
        ],
    )
    found = answer(con, Question(entry(**COUNTED_BACK), by=("client",)))
    assert found.select("client", "value", "note").rows() == [
        ("Acme", 61, "≥ 61 days: more than all sales on record"),
        ("Beta", None, "no sales on record"),
        ("Cobalt", 0, None),
    ]


# Clocks


def test_the_working_clock_puts_working_columns_in_place_of_elapsed_ones(entry: Entry):
    body = {"kind": "duration", "value": "cycle_days", "running": "age_days", "open": "status = 'in_progress'"}
    con = hand_made(gates=[gate(str(n), None, cycle_days=7.0, work_days=5.0) for n in range(6)])
    measure = entry(**body, working={"cycle_days": "work_days"})
    assert values(answer(con, Question(measure))) == [7]
    assert values(answer(con, Question(measure, clock="working"))) == [5]
    assert distribution(con, Question(measure, clock="working"))["value"].to_list() == [5] * 6
    assert values(answer(con, Question(entry(**body, working={"cycle_days": "work_days"}, clock="working")))) == [5]
    with pytest.raises(Fault, match="not told in working days"):
        answer(con, Question("F6", clock="working"))


# Shares and percentiles


@pytest.mark.parametrize(("part", "n"), [(0, 1), (1, 1), (8, 10), (1, 400), (37, 61), (999, 1000)])
def test_the_interval_of_a_share_is_wilson_s(part: int, n: int):
    made = [{"gate_id": f"{i}", "is_first_pass": i < part, "status": "approved"} for i in range(n)]
    found = answer(hand_made(gates=made), Question("F8")).row(0, named=True)
    theirs = binomtest(part, n).proportion_ci(method="wilson")
    assert (found["low"] / 100, found["high"] / 100) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_six_cycle_times_have_the_book_s_percentiles(entry: Entry):
    """Kanban cycle times 5,5,5,5,5,4 (house rules): P10, P50, P90 are 4.5, 5, 5 by linear interpolation."""
    made = [
        {"gate_id": f"{i}", "cycle_days": float(days), "status": "approved"}
        for i, days in enumerate((5, 5, 5, 5, 5, 4))
    ]
    con = hand_made(gates=made)
    assert values(answer(con, Question("F1"))) == [5]
    shares = con.sql("select percentile_cont([0.1, 0.5, 0.9]) within group (order by cycle_days) from marts.gates")
    assert shares.fetchall()[0][0] == [4.5, 5, 5]


# Entries


@pytest.mark.parametrize(
    ("body", "key", "told"),
    [
        ({"kind": "median", "value": "x"}, "kind", "no kind 'median'"),
        ({"kind": "duration", "value": "x", "open": "y"}, "running", "is missing"),
        ({"kind": "duration", "value": "x", "open": "y", "running": "z", "ended": "e"}, "ended_value", "beside ended"),
        ({"kind": "level", "leaves": "x"}, "enters", "is missing"),
        ({"kind": "level", "enters": "x", "period": "started_at"}, "period", "days of its own"),
        ({"kind": "count", "weights": "x"}, "weights", "is no key of a count"),
        ({"kind": "sum", "value": "$rate * x"}, "$rate", "neither a setting"),
        ({"kind": "sum", "value": "x", "good": "best"}, "good", "low, high, none"),
        ({"kind": "sum", "value": "x", "clock": "working"}, "working", "is missing"),
        ({"kind": "sum", "value": "x", "mart": "clients"}, "mart", "no entry under rows"),
        ({"kind": "sum", "value": "x", "dimensions": ["hue"]}, "dimensions", "no dimension 'hue'"),
        ({"kind": "sum", "value": "x", "left_out": [{"reason": "a", "when": "b"}]}, "left_out", "is no reason"),
        ({"kind": "steps", "steps": [{"key": "a", "label": "A"}]}, "steps", "either sum or is"),
        ({"kind": "sum", "value": "x", "settings": {"rate": {"default": 1}}}, "settings", "'rate'"),
    ],
)  # fmt: skip
def test_an_entry_that_does_not_fit_is_refused_with_its_id_and_key(
    entry: Entry, body: dict[str, Any], key: str, told: str
):
    with pytest.raises(Fault) as refused:
        entry(**body)
    message = str(refused.value)
    assert f"measure T1, {key}:" in message
    assert told in message


def test_rows_of_a_level_are_those_that_stand(entry: Entry):
    con: duckdb.DuckDBPyConnection = hand_made(
        clock=CLOCK, gates=[gate("a", "2026-06-01T09:00"), gate("b", "2026-06-01T09:00", "2026-06-02T09:00")]
    )
    assert rows(con, Question(entry(**STOCK)))["gate_id"].to_list() == ["a"]
