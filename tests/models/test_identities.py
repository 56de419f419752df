"""What must hold for any portfolio: small generated ones, in any order of arrival."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_worlds import CLIENT, PROJECT, make_all, prepare, receive

from models import build, catalog
from models.admission import StagedSource

pytestmark = pytest.mark.slow

AS_OF = "2026-06-30T00:00:00"
DECISIONS = ("approved", "changes_requested", "reopened", "rejected")
instants = st.integers(0, 180 * 24).map(
    lambda hours: f"{datetime(2026, 1, 1, 0, 30) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
)
money = st.integers(min_value=-50_000, max_value=90_000).map(lambda cents: f"{cents / 100:.2f}")


@st.composite
def portfolios(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """One or two projects with a few gates, events at any time and in any order, and invoices paid in parts."""
    gates, happened, invoices, lines, payments = [], [], [], [], []
    projects = [{**PROJECT, "source_key": f"p{n}"} for n in range(draw(st.integers(1, 2)))]
    for project in projects:
        for sequence in range(1, draw(st.integers(1, 3)) + 1):
            gate = f"{project['source_key']}-g{sequence}"
            gates.append(
                {
                    "source_key": gate,
                    "project": project["source_key"],
                    "name": gate,
                    "sequence": sequence,
                    "bills_pct": 30,
                    "approver_side": "client",
                    "history_quality": "log",
                }
            )
            for n, at in enumerate(sorted(draw(st.lists(instants, max_size=7)))):
                kind = draw(st.sampled_from(("started", "submitted", "submitted", "waived", *DECISIONS)))
                happened.append(
                    {"source_key": f"{gate}-e{n}", "milestone": gate, "type": kind, "occurred_at": at, "origin": "log"}
                )
    for n in range(draw(st.integers(0, 4))):
        gate = draw(st.sampled_from(gates))
        total = draw(money)
        invoices.append(
            {
                "source_key": f"i{n}",
                "client": "c1",
                "project": gate["project"],
                "currency": "USD",
                "total": total,
                "kind": "credit_note" if total.startswith("-") else "invoice",
                "status": draw(st.sampled_from(("draft", "open", "paid", "void", "uncollectible"))),
                "issued_at": draw(instants),
                "due_on": draw(instants)[:10],
            }
        )
        lines.append({"source_key": f"l{n}", "invoice": f"i{n}", "milestone": gate["source_key"], "amount": total})
        payments += [
            {
                "source_key": f"y{n}-{k}",
                "invoice": f"i{n}",
                "received_at": draw(instants),
                "amount": draw(money),
                "currency": "USD",
            }
            for k in range(draw(st.integers(0, 2)))
        ]
    return {
        "clients": [CLIENT],
        "projects": projects,
        "milestones": gates,
        "milestone_events": happened,
        "invoices": invoices,
        "invoice_lines": lines,
        "payments": payments,
    }


def made(records: Mapping[str, Any], as_of: str = AS_OF) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    prepare(con)
    receive(con, "t", records)
    make_all(con, [StagedSource("t", None, "raw_t")], as_of)
    return con


def everything(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    return {name: con.execute(f"select * from marts.{name} order by all").fetchall() for name in catalog.marts()}


few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@few
@given(portfolios())
def test_whatever_arrives_the_blocking_checks_hold_and_nothing_is_lost(records: dict[str, Any]) -> None:
    con = made(records)
    findings = [finding for model in catalog.marts().values() for finding in build.check(con, model)]
    findings += [build.reconcile(con, entity) for entity in catalog.contract().entities.values()]
    assert [finding for finding in findings if finding.severity == "fail" and not finding.passed] == []


@few
@given(portfolios())
def test_work_wait_and_idle_of_an_approved_gate_add_up_to_its_cycle_time(records: dict[str, Any]) -> None:
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
def test_aging_buckets_add_up_to_what_is_open(records: dict[str, Any]) -> None:
    con = made(records)
    (buckets,), (balance,) = (
        con.execute(sql).fetchall()[0]
        for sql in (
            "select coalesce(sum(open_amount), 0) from marts.invoices where aging_bucket is not null",
            "select coalesce(sum(total_amount - paid_amount), 0) from marts.invoices where status in ('open', 'paid')",
        )
    )
    assert buckets == balance


@few
@given(portfolios(), st.randoms(use_true_random=False))
def test_order_of_arrival_and_loading_twice_change_nothing(records: dict[str, Any], chance: random.Random) -> None:
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
@given(portfolios())
def test_a_later_fact_never_changes_an_earlier_report(records: dict[str, Any]) -> None:
    then = "2026-03-15T00:00:00"
    known = {
        **records,
        "milestone_events": [row for row in records["milestone_events"] if row["occurred_at"][:19] <= then],
        "payments": [row for row in records["payments"] if row["received_at"][:19] <= then],
    }
    rebuilt, at_the_time = everything(made(records, then)), everything(made(known, then))
    del rebuilt["rejects"], at_the_time["rejects"]
    assert rebuilt == at_the_time


@few
@given(portfolios())
def test_a_projects_numbers_do_not_move_when_another_projects_records_change(records: dict[str, Any]) -> None:
    alone = {
        **records,
        "projects": [row for row in records["projects"] if row["source_key"] == "p0"],
        "milestones": [row for row in records["milestones"] if row["project"] == "p0"],
        "milestone_events": [row for row in records["milestone_events"] if row["milestone"].startswith("p0")],
    }
    sql = "select * from marts.gates where project_id = 't:p0' order by all"
    assert made(alone).execute(sql).fetchall() == made(records).execute(sql).fetchall()
