"""What must hold for any portfolio: small generated ones, in any order of arrival."""

from __future__ import annotations

import random
from typing import Any

import pytest
from generated_portfolios import Records, everything, few, made, portfolios
from hypothesis import given
from hypothesis import strategies as st

from models import build, catalog

pytestmark = pytest.mark.slow

# each entity's fields that are instants; a record is known from the earliest of those in `known_at`
MOMENTS = {
    name: [field.name for field in entity.columns.values() if field.type == "instant" and field.name != "deleted_at"]
    for name, entity in catalog.contract().entities.items()
}


@few
@given(portfolios())
def test_whatever_arrives_the_blocking_checks_hold_and_nothing_is_lost(records: Records) -> None:
    con = made(records)
    findings = [finding for model in catalog.marts().values() for finding in build.check(con, model)]
    findings += [build.reconcile(con, entity) for entity in catalog.contract().entities.values()]
    assert [finding for finding in findings if finding.severity == "fail" and not finding.passed] == []


@few
@given(portfolios())
def test_work_wait_and_idle_of_an_approved_gate_add_up_to_its_cycle_time(records: Records) -> None:
    rows = (
        made(records)
        .execute(
            "select cycle_days - work_days - wait_days - idle_days from marts.gates "
            "where cycle_days is not null and not has_chronology_violation"
        )
        .fetchall()
    )
    assert all(abs(rest) < 1e-9 for (rest,) in rows)


@few
@given(portfolios())
def test_no_elapsed_time_is_negative_where_no_contradiction_is_listed(records: Records) -> None:
    rows = (
        made(records)
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


@few
@given(portfolios())
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
    with_others, by_itself = made(records), made(alone)
    for name, model in catalog.marts().items():
        if "client_id" in model.columns:
            sql = f"select * from marts.{name} where client_id = 't:c0' order by all"
            assert by_itself.execute(sql).fetchall() == with_others.execute(sql).fetchall(), name
