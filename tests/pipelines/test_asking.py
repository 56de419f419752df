"""Asking a measure: of the snapshot, of another instant, in another currency, with all that stands behind the answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import small_firm
from typer.testing import CliRunner, Result

from models.faults import Fault
from models.measure import Question
from pipelines import asking, refreshing
from pipelines.cli import app
from pipelines.settings import Settings

pytestmark = pytest.mark.slow  # they pull and build

# USD for one euro, for one pound: signed on 1 January, invoiced on the 11th
RATES = """day,currency,rate
2026-01-01,EUR,1.25
2026-01-08,EUR,1.6
2026-01-01,GBP,1.5
2026-01-08,GBP,2.0
"""


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A firm that reports in dollars, whose one invoice is of 400 dollars and open."""
    settings = small_firm.found(tmp_path_factory.mktemp("firm") / "data")
    settings.rates_file.parent.mkdir(parents=True, exist_ok=True)
    settings.rates_file.write_text(RATES, "utf-8")
    assert refreshing.refresh(settings).ok
    return settings


def measured(firm: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["measure", *arguments, "--data", str(firm.data)], catch_exceptions=False)


def test_money_in_another_currency_is_converted_at_the_day_s_cross_rate(firm: Settings) -> None:
    """400 dollars invoiced on 11 January, when a euro cost 1.60: 250 euros. Dollars need no rebuilding."""
    own = asking.ask(firm, Question("B8"))
    assert (own.rows[0]["value"], own.unit, own.snapshot is not None) == (400, "USD", True)
    assert asking.ask(firm, Question("B8"), currency="USD").snapshot == own.snapshot
    euros = asking.ask(firm, Question("B8"), currency="EUR")
    assert (euros.rows[0]["value"], euros.unit, euros.currency, euros.snapshot) == (250, "EUR", "EUR", None)
    assert euros.as_of == own.as_of


def test_a_third_currency_is_crossed_through_the_reporting_one(firm: Settings) -> None:
    """The invoice in pounds: at 1.60 dollars a euro and 2.00 a pound, 400 pounds are 500 euros."""
    settings = small_firm.found(firm.data.parent / "pounds")
    settings.rates_file.parent.mkdir(parents=True, exist_ok=True)
    settings.rates_file.write_text(RATES, "utf-8")
    small_firm.rewrite(settings, "invoices", "USD,400.00", "GBP,400.00")
    assert refreshing.refresh(settings).ok
    assert asking.ask(settings, Question("B8")).rows[0]["value"] == 800
    assert asking.ask(settings, Question("B8"), currency="EUR").rows[0]["value"] == 500
    assert asking.ask(settings, Question("B8"), currency="GBP").rows[0]["value"] == 400


def test_a_missing_rate_is_refused_with_pair_and_date(firm: Settings) -> None:
    settings = small_firm.found(firm.data.parent / "late")
    settings.rates_file.parent.mkdir(parents=True, exist_ok=True)
    settings.rates_file.write_text("day,currency,rate\n2026-01-11,EUR,1.6\n", "utf-8")
    assert refreshing.refresh(settings).ok
    with pytest.raises(Fault, match=r"no rate from USD to EUR for 2026-01-01 .*that day's USD for 1 EUR"):
        asking.ask(settings, Question("B8"), currency="EUR")
    with pytest.raises(Fault, match=r"currency CHF: .*There are: USD, EUR"):
        asking.ask(settings, Question("B8"), currency="CHF")


def test_an_instant_and_a_currency_go_together(firm: Settings) -> None:
    before = asking.ask(firm, Question("B8"), datetime(2026, 1, 10, tzinfo=UTC), "EUR")
    assert before.rows[0]["value"] in (0, None)
    assert before.as_of == datetime(2026, 1, 10, tzinfo=UTC)


def test_an_explanation_tells_rule_clock_sql_rows_and_what_was_left_out(firm: Settings) -> None:
    shown = measured(firm, "F1", "--explain", "--by", "gate").stdout
    headings = ["F1 Gate cycle time", "Asked", "Rule F1", "SQL", "Parameters", "Rows used: 2 = 1 finished + 1 open",
                "Rows left out: 0", "Answer (days)"]  # fmt: skip
    assert sorted(headings, key=shown.index) == headings
    for told in ("as of:", "elapsed days of 86 400 seconds", "percentile_cont", "g2", "n = 1: too few"):
        assert told in shown
    told = json.loads(measured(firm, "B8", "--explain", "--json").stdout)
    assert told["rows_matched"] == told["rows_used"]["count"] + sum(one["rows"] for one in told["rows_left_out"])
    assert (told["currency"], told["rule"]["id"], told["rows_used"]["largest"][0]["value"]) == ("USD", "B8", 400)
    assert told["sql"].startswith("with matched as (")


def test_an_explanation_s_sql_gives_the_answer_when_run_by_hand(firm: Settings) -> None:
    import duckdb

    from pipelines import snapshots

    told = asking.explained(firm, Question("F10", where={"firm": ("Aster Studio",)}))
    serving = snapshots.newest(firm.snapshots)
    assert serving is not None
    with duckdb.connect(str(serving.path), read_only=True) as con:
        by_hand = con.execute(told.explanation.statement.sql, dict(told.explanation.statement.parameters)).fetchall()
    assert [tuple(row.values()) for row in told.answer.rows] == by_hand


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("F1", "--clock", "lunar"), "no clock 'lunar'"),
        (("F6", "--clock", "working"), "not told in working days"),
        (("F1", "--set", "target=3"), "no setting 'target'"),
        (("F1", "--set", "target=soon"), "'soon' is no number"),
        (("B8", "--currency", "euro"), "'EURO' is no currency code"),
    ],
)
def test_a_clock_a_setting_or_a_currency_that_does_not_exist_is_refused(
    firm: Settings, arguments: tuple[str, ...], told: str
) -> None:
    result = measured(firm, *arguments)
    assert result.exit_code == 1
    assert told in result.stderr


def test_the_working_clock_is_asked_for_and_told(firm: Settings) -> None:
    elapsed, working = (
        json.loads(measured(firm, "F1", "--json", "--clock", one).stdout) for one in ("elapsed", "working")
    )
    assert (elapsed["clock"], working["clock"]) == ("elapsed", "working")
    shown = measured(firm, "F1", "--explain", "--clock", "working").stdout
    assert "working days of the project's calendar" in shown
    assert "cycle_working_days" in shown


def test_every_measure_answers_and_explains_itself_over_a_real_snapshot(firm: Settings) -> None:
    from models.measure import catalogue

    for name in catalogue():
        told = asking.explained(firm, Question(name))
        why = told.explanation
        assert why.matched_rows == why.counted_rows + sum(rows for _, rows, _ in why.left_out), name
