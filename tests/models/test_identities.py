"""What must hold for any portfolio: small generated ones, in any order of arrival."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from generated_portfolios import Records, everything, few, for_every_portfolio, made, portfolios, standing
from hypothesis import given
from hypothesis import strategies as st

from models import build, catalog
from models.measure import Question, answer, catalogue, explain, series

pytestmark = pytest.mark.slow

# each entity's fields that are instants; a record is known from the earliest of those in `known_at`
MOMENTS = {
    name: [field.name for field in entity.columns.values() if field.type == "instant" and field.name != "deleted_at"]
    for name, entity in catalog.contract().entities.items()
}


@for_every_portfolio
def test_whatever_arrives_the_blocking_checks_hold_and_nothing_is_lost(records: Records) -> None:
    con = standing(records)
    findings = [finding for model in catalog.marts().values() for finding in build.check(con, model)]
    findings += [build.reconcile(con, entity) for entity in catalog.contract().entities.values()]
    assert [finding for finding in findings if finding.severity == "fail" and not finding.passed] == []


@for_every_portfolio
def test_work_wait_and_idle_of_an_approved_gate_add_up_to_its_cycle_time(records: Records) -> None:
    rows = (
        standing(records)
        .execute(
            "select cycle_days - work_days - wait_days - idle_days from marts.gates "
            "where cycle_days is not null and not has_chronology_violation"
        )
        .fetchall()
    )
    assert all(abs(rest) < 1e-9 for (rest,) in rows)


@for_every_portfolio
def test_no_elapsed_time_is_negative_where_no_contradiction_is_listed(records: Records) -> None:
    rows = (
        standing(records)
        .execute(
            """
        select gate_id, least(cycle_days, age_days, work_days, wait_days, idle_days, rework_days, waiting_days) as least_days
        from marts.gates where not has_chronology_violation and least_days < 0"""
        )
        .fetchall()
    )
    assert rows == []


@few
@given(portfolios(), st.randoms(use_true_random=False))
def test_order_of_arrival_and_loading_twice_change_nothing(records: Records, chance: random.Random) -> None:
    shuffled = {entity: chance.sample(rows, len(rows)) for entity, rows in records.items()}
    doubled = {entity: rows + rows for entity, rows in shuffled.items()}
    before = everything(made(records))
    assert everything(made(shuffled)) == before
    twice = everything(made(doubled))
    listed = ("rejects", "gate_faults")  # where what was received twice is named
    assert {name: rows for name, rows in twice.items() if name not in listed} == {
        name: rows for name, rows in before.items() if name not in listed
    }


@few
@given(portfolios(), st.integers(1, 170))
def test_a_later_fact_never_changes_an_earlier_report(records: Records, day: int) -> None:
    then = f"2026-{1 + day // 31:02d}-{1 + day % 28:02d}T00:00:00"
    known = {
        name: [_as_known(name, row, then) for row in rows if _is_known(name, row, then)]
        for name, rows in records.items()
    }
    for parent in ("project", "milestone", "invoice"):  # nobody sends the lines of an invoice that is not there
        sent = {None, *(row["source_key"] for row in known[f"{parent}s"])}
        known = {name: [row for row in rows if row.get(parent) in sent] for name, rows in known.items()}
    rebuilt, at_the_time = everything(made(records, then)), everything(made(known, then))
    del rebuilt["rejects"], at_the_time["rejects"]
    for name, rows in at_the_time.items():
        assert rebuilt[name] == rows, name


def _is_known(entity: str, row: dict[str, Any], then: str) -> bool:
    known_at = [row.get(name) for name in catalog.contract().entities[entity].known_at]
    return all(at is None for at in known_at) or min(at for at in known_at if at is not None)[:19] <= then


def _as_known(entity: str, row: dict[str, Any], then: str) -> dict[str, Any]:
    """The record as a tool that keeps the dates of its facts showed it: what happened later is not in it yet."""
    later = [name for name in MOMENTS[entity] if row.get(name) and row[name][:19] > then and name != "recorded_at"]
    return {**row, **dict.fromkeys(later)}


@for_every_portfolio
def test_a_clients_numbers_do_not_move_when_another_clients_records_change(records: Records) -> None:
    alone = {
        entity: [
            row
            for row in rows
            if str(
                next((row[k] for k in ("client", "project", "milestone", "invoice") if row.get(k)), row["source_key"])
            ).startswith("c0")
        ]
        for entity, rows in records.items()
    }
    with_others, by_itself = standing(records), made(alone)
    for name, model in catalog.marts().items():
        if "client_id" in model.columns:
            sql = f"select * from marts.{name} where client_id = 't:c0' order by all"
            assert by_itself.execute(sql).fetchall() == with_others.execute(sql).fetchall(), name


def steps(con: duckdb.DuckDBPyConnection, measure: str, **asked: Any) -> dict[str, float]:
    """The value of each step; all zero where there is no row to add up."""
    found = answer(con, Question(measure, **asked))
    return {step: value or 0.0 for step, value in found.select("step", "value").iter_rows()}


@few
@given(portfolios(), st.dates(date(2026, 1, 2), date(2026, 6, 29)))
def test_receivables_roll_forward_to_the_balance_that_aging_shows(records: Records, since: date) -> None:
    con = made(records)
    whole = steps(con, "B17", since=since, until=date(2026, 6, 30))
    before = steps(con, "B17", since=date(2025, 12, 1), until=since - timedelta(days=1))
    buckets = answer(con, Question("B8", by=("aging_bucket",)))
    assert whole["Opening"] == pytest.approx(before["Closing"], abs=0.004)
    assert whole["Closing"] == pytest.approx(buckets["value"].sum(), abs=0.004)
    assert (answer(con, Question("B8"))["value"][0] or 0) == pytest.approx(buckets["value"].sum(), abs=0.004)


@for_every_portfolio
def test_a_contract_is_its_changes_and_what_is_billed_is_paid_held_or_open(records: Records) -> None:
    found = steps(standing(records), "C11")
    left = found["contract now"] - found["invoiced, without tax"] - found["left to invoice"]
    assert left == pytest.approx(found["exchange differences"], abs=0.004)
    settled = found["paid"] + found["retained"] + found["written off"] + found["open"]
    assert found["invoiced, with tax"] == pytest.approx(settled, abs=0.004)


@for_every_portfolio
def test_gate_to_cash_is_the_sum_of_its_four_parts(records: Records) -> None:
    rows = standing(records).execute(
        "select firm_days + client_wait_days + billing_lag_days + payment_days - cash_cycle_days "
        "from marts.billable_gates where cash_cycle_days is not null and not has_chronology_violation"
    )
    assert all(abs(rest) < 1e-6 for (rest,) in rows.fetchall())


@few
@given(portfolios(), st.dates(date(2026, 1, 2), date(2026, 6, 28)))
def test_item_days_are_the_gates_in_progress_added_up_over_days(records: Records, since: date) -> None:
    con, until = made(records), date(2026, 6, 28)
    daily = series(con, Question("F11", since=since, until=until), "day")
    assert steps(con, "F15", since=since, until=until)["Item-days"] == pytest.approx(daily["value"].sum())


@for_every_portfolio
def test_bands_of_the_cumulative_flow_never_fall(records: Records) -> None:
    bands = series(standing(records), Question("F16", by=("state",)), "day")
    for _, band in bands.group_by("state"):
        assert band.sort("period")["value"].is_sorted()


@for_every_portfolio
def test_parts_add_up_to_their_whole(records: Records) -> None:
    con = standing(records)

    def value(measure: str, **where: tuple[str, ...]) -> float:
        return float(answer(con, Question(measure, where=where))["value"][0] or 0)

    assert value("C3") == pytest.approx(value("C3a") + value("C3b"))
    assert value("B10") == pytest.approx(value("B10", owed_for=("gate",)) + value("C6"), abs=0.004)
    for measure, about in catalogue().items():
        if about.kind in ("sum", "count"):
            by_client = answer(con, Question(measure, by=("client",)))["value"].sum()
            assert by_client == pytest.approx(value(measure), abs=0.004), measure


@for_every_portfolio
def test_rows_counted_and_rows_left_out_are_the_rows_matched(records: Records) -> None:
    con = standing(records)
    for measure in catalogue():
        said = explain(con, Question(measure))
        assert said.counted_rows + sum(count for _, count, _ in said.left_out) == said.matched_rows, measure
