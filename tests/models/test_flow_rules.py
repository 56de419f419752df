"""How gates flow: parallel gates, states, lead times, phases, attempts, hand-offs. One test per rule, over a few rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest
from hand_made_marts import hand_made
from small_worlds import GATE, PROJECT, World, events, one

from models import build, catalog
from models.measure import Clock, Question, answer, distribution, explain, series


def day(number: int, clock: str = "12:00:00") -> str:
    return f"2026-01-{number:02}T{clock}Z"


def gates(*sequences: int | None, **columns: Any) -> list[dict[str, Any]]:
    """Gates g1, g2, … at these places of the project."""
    return [{**GATE, **columns, "source_key": f"g{n}", "sequence": place} for n, place in enumerate(sequences, 1)]


def approved(gate: str, *days: int) -> list[dict[str, Any]]:
    """A gate started on the first day and approved on the last, submitted on the one between where there are three."""
    kinds = {1: ("approved",), 2: ("started", "approved"), 3: ("started", "submitted", "approved")}[len(days)]
    return events(gate, *zip(kinds, map(day, days), strict=True))


def shown(con: duckdb.DuckDBPyConnection, columns: str, mart: str = "gates", order: str = "1") -> list[tuple[Any, ...]]:
    return con.execute(f"select {columns} from marts.{mart} order by {order}").fetchall()


# Gates in parallel, skipped, out of order, without a place


def test_the_gate_after_parallel_ones_waits_for_the_last_of_them(world: World) -> None:
    told = [*approved("g1", 3, 4), *approved("g2", 5, 9), *approved("g3", 5, 7), *events("g4", ("approved", day(12)))]
    con = world(milestones=gates(1, 2, 2, 3), milestone_events=told)
    assert shown(con, "source_key, previous_approved_at::varchar, phase_days") == [
        ("g1", None, None),
        ("g2", "2026-01-04 12:00:00", 5.0),
        ("g3", "2026-01-04 12:00:00", 3.0),
        ("g4", "2026-01-09 12:00:00", 3.0),
    ]
    assert str(one(con, "gates", "source_key = 'g4'")["started_at"]) == "2026-01-09 12:00:00"


def test_a_gate_after_parallel_ones_has_not_started_while_one_of_them_is_open(world: World) -> None:
    told = [*approved("g1", 3, 4), *approved("g2", 5, 9), *events("g3", ("started", day(5)))]
    fourth = one(world(milestones=gates(1, 2, 2, 3), milestone_events=told), "gates", "source_key = 'g4'")
    assert (fourth["status"], fourth["previous_approved_at"], fourth["has_gate_before"]) == ("not_started", None, True)


def test_gates_side_by_side_at_the_first_place_all_start_at_kickoff(world: World) -> None:
    con = world(milestones=gates(1, 1), milestone_events=approved("g1", 6))
    assert shown(con, "start_rule, started_at::varchar, has_gate_before") == [
        ("kickoff", "2026-01-02 12:00:00", False),
        ("kickoff", "2026-01-02 12:00:00", False),
    ]


def test_a_skipped_gate_beside_another_neither_holds_up_nor_hands_over(world: World) -> None:
    told = [*approved("g1", 3, 4), *approved("g2", 5, 7), *events("g3", ("waived", day(20)))]
    fourth = one(world(milestones=gates(1, 2, 2, 3), milestone_events=told), "gates", "source_key = 'g4'")
    assert (fourth["start_rule"], str(fourth["started_at"])) == ("previous approval", "2026-01-07 12:00:00")


def test_a_gate_approved_while_the_one_before_it_is_open_is_out_of_order(world: World) -> None:
    told = [*events("g1", ("started", day(3))), *approved("g2", 4, 6)]
    con = world("2026-01-10T12:00:00", milestones=gates(1, 2), milestone_events=told)
    second = one(con, "gates", "source_key = 'g2'")
    assert (second["phase_days"], second["is_out_of_order"], second["has_chronology_violation"]) == (None, True, False)
    assert second["cycle_days"] == 2.0


def test_a_gate_without_a_place_waits_for_none_and_holds_none_up(world: World) -> None:
    told = [*approved("g1", 3, 6), *events("g3", ("submitted", day(8)))]
    con = world("2026-01-10T12:00:00", milestones=gates(1, 2, None, None), milestone_events=told)
    assert shown(con, "source_key, status, start_rule, has_gate_before") == [
        ("g1", "approved", "started", False),
        ("g2", "in_progress", "previous approval", True),
        ("g3", "awaiting_decision", "kickoff", False),
        ("g4", "not_started", None, False),
    ]


# F4


def test_a_phase_of_an_open_gate_runs_from_the_approval_before_it(world: World) -> None:
    told = [*approved("g1", 3, 6), *events("g3", ("started", day(7)))]
    con = world("2026-01-10T12:00:00", milestones=gates(1, 2, 3), milestone_events=told)
    assert shown(con, "source_key, phase_days, phase_age_days") == [
        ("g1", None, None),
        ("g2", None, 4.0),
        ("g3", None, None),
    ]


# States


def stays(con: duckdb.DuckDBPyConnection, gate: str = "g1") -> list[tuple[Any, ...]]:
    sql = "select state, day(entered_at), day(left_at), is_first_entry from marts.gate_states where gate_id = ? order by position"
    return con.execute(sql, [f"t:{gate}"]).fetchall()


def test_a_gates_stays_follow_each_other_through_refusal_approval_and_reopening(world: World) -> None:
    story = [("started", 3), ("submitted", 5), ("changes_requested", 6), ("submitted", 8), ("approved", 9)]
    story += [("reopened", 12), ("submitted", 14), ("approved", 15)]
    con = world(milestone_events=events("g1", *[(kind, day(number)) for kind, number in story]))
    assert stays(con) == [
        ("in_progress", 3, 5, True),
        ("awaiting_decision", 5, 6, True),
        ("changes_requested", 6, 8, True),
        ("awaiting_decision", 8, 9, False),
        ("approved", 9, 12, True),
        ("changes_requested", 12, 14, False),
        ("awaiting_decision", 14, 15, False),
        ("approved", 15, None, False),
    ]
    assert shown(con, "position", "gate_states where is_arrival") == [(1,), (6,)]
    assert shown(con, "position", "gate_states where is_departure") == [(4,), (7,)]
    assert shown(con, "distinct day(arrived_on)", "gate_states where is_work_in_progress") == [(3,), (12,)]


def test_a_refusal_after_an_approval_leaves_the_time_between_as_idle(world: World) -> None:
    story = [("started", 3), ("submitted", 4), ("approved", 5), ("rejected", 9), ("submitted", 10), ("approved", 12)]
    con = world(milestone_events=events("g1", *[(kind, day(number)) for kind, number in story]))
    gate = one(con, "gates")
    assert (gate["work_days"], gate["wait_days"], gate["idle_days"], gate["cycle_days"]) == (2.0, 3.0, 4.0, 9.0)
    assert (gate["is_reopened"], gate["attempt_count"]) == (True, 2)
    assert [(state, *days) for state, *days, _ in stays(con)][2:4] == [("approved", 5, 9), ("changes_requested", 9, 10)]


def test_a_gate_waived_and_reopened_before_its_start_begins_when_it_starts(world: World) -> None:
    story = [("waived", day(3)), ("reopened", day(5))]
    waiting = world("2026-01-06T12:00:00", milestones=gates(1, 2), milestone_events=events("g2", *story))
    assert one(waiting, "gates", "source_key = 'g2'")["status"] == "not_started"
    assert shown(waiting, "attempt", "gate_attempts where gate_id = 't:g2'") == []
    told = events("g2", *story, ("started", day(8)), ("submitted", day(11)), ("approved", day(12)))
    done = world(milestones=gates(1, 2), milestone_events=told)
    gate = one(done, "gates", "source_key = 'g2'")
    assert (gate["work_days"], gate["wait_days"], gate["idle_days"], gate["cycle_days"]) == (3.0, 1.0, 0.0, 4.0)
    assert gate["has_chronology_violation"] is False


def test_a_gate_that_stood_cancelled_at_its_kickoff_was_idle_until_it_was_reopened(world: World) -> None:
    story = [("cancelled", "2026-01-02T01:30:00Z"), ("reopened", day(5)), ("submitted", day(11)), ("approved", day(12))]
    gate = one(world(milestone_events=events("g1", *story)), "gates")
    assert (gate["start_rule"], gate["has_chronology_violation"]) == ("kickoff", False)
    assert (gate["idle_days"], gate["work_days"], gate["wait_days"], gate["cycle_days"]) == (3.0, 6.0, 1.0, 10.0)


def test_a_decision_before_the_start_is_a_contradiction(world: World) -> None:
    told = events("g1", ("approved", day(3)), ("reopened", day(5)), ("started", day(8)), ("approved", day(9)))
    gate = one(world(milestone_events=told), "gates")
    assert (gate["has_chronology_violation"], gate["chronology_note"]) == (True, "decided before it started")


@pytest.mark.parametrize("ending", ["waived", "cancelled"])
def test_a_gate_ends_in_the_state_that_its_row_tells(world: World, ending: str) -> None:
    told = events("g1", ("started", day(3)), (ending, day(5)), ("changes_requested", day(7)))
    con = world(milestone_events=told)
    assert one(con, "gates")["status"] == ending
    assert stays(con) == [("in_progress", 3, 5, True), (ending, 5, None, True)]
    assert one(con, "gate_attempts", "attempt = 2")["is_open"] is False


def test_a_gate_waived_before_its_start_was_waived_until_it_began(world: World) -> None:
    story = [("waived", day(3)), ("reopened", day(5)), ("started", day(8)), ("submitted", day(11))]
    con = world(milestones=gates(1, 2), milestone_events=events("g2", *story))
    assert stays(con, "g2") == [
        ("waived", 3, 8, True),
        ("changes_requested", 8, 11, True),
        ("awaiting_decision", 11, None, True),
    ]


def test_what_was_submitted_and_refused_in_one_instant_stands_refused(world: World) -> None:
    story = [("started", 3), ("submitted", 4), ("rejected", 6), ("submitted", 8), ("rejected", 8)]
    con = world(milestone_events=events("g1", *[(kind, day(number)) for kind, number in story]))
    assert stays(con)[2:] == [
        ("changes_requested", 6, 8, True),
        ("awaiting_decision", 8, 8, False),
        ("changes_requested", 8, None, False),
    ]


def test_an_approval_whose_start_is_not_known_still_stands_as_approved(world: World) -> None:
    project = {**PROJECT, "kickoff_at": None}
    con = world(projects=[project], milestone_events=events("g1", ("approved", day(5)), ("approved", day(7))))
    assert one(con, "gates")["start_rule"] is None
    assert stays(con) == [("approved", 7, None, True)]


def portfolio(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Gates in threes, many in parallel, with events of any kind at any hour of half a year."""
    chance = random.Random(seed)
    milestones, told = [], []
    for n in range(60):
        gate = f"g{n}"
        milestones.append(
            {**GATE, "source_key": gate, "project": f"p{n // 6}", "sequence": chance.choice((1, 2, 2, 3))}
        )
        kinds = chance.choices(
            ("started", "submitted", "approved", "changes_requested", "reopened", "rejected", "waived"), k=6
        )
        hours = sorted(chance.sample(range(180 * 24), k=6))
        begun = datetime(2026, 1, 3, 0, 30)
        told += events(
            gate,
            *[(kind, f"{begun + timedelta(hours=h):%Y-%m-%dT%H:%M:%SZ}") for kind, h in zip(kinds, hours, strict=True)],
        )
    return milestones, told


def projects() -> list[dict[str, Any]]:
    return [{**PROJECT, "source_key": f"p{n}"} for n in range(10)]


FOLLOWS = {
    "started": ("submitted", "submitted", "waived"),
    "submitted": ("approved", "approved", "changes_requested", "rejected", "cancelled"),
    "changes_requested": ("submitted", "submitted", "waived"),
    "rejected": ("submitted",),
    "approved": ("reopened", "changes_requested"),
    "waived": ("reopened",),
    "cancelled": ("reopened",),
    "reopened": ("submitted", "submitted", "waived"),
}


def orderly(seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The same gates, each walked through what may follow what."""
    chance = random.Random(seed)
    milestones, told = portfolio(seed)
    for gate in dict.fromkeys(row["milestone"] for row in told):
        own = [row for row in told if row["milestone"] == gate][: chance.randint(1, 6)]
        kind = "started"
        for row in own:
            row["type"], kind = kind, chance.choice(FOLLOWS[kind])
        told = [row for row in told if row["milestone"] != gate] + own
    return milestones, told


@pytest.mark.parametrize(("drawn", "least"), [(orderly, 4), (portfolio, 1)])
@pytest.mark.parametrize("seed", [1, 2])
def test_open_stays_of_an_approved_gate_add_up_to_its_cycle_time_without_the_idle_time(
    world: World, seed: int, drawn: Callable[[int], Any], least: int
) -> None:
    milestones, told = drawn(seed)
    con = world(projects=projects(), milestones=milestones, milestone_events=told)
    rest = """
        select gate_id, any_value(round((cycle_days - idle_days) * 86400e6)) - sum(epoch_us(left_at) - epoch_us(entered_at)) as rest
        from marts.gates inner join marts.gate_states using (gate_id)
        where cycle_days is not null and not has_chronology_violation and is_work_in_progress group by gate_id"""
    rests = con.execute(f"select rest from ({rest})").fetchall()
    assert set(rests) == {(0,)}
    assert len(rests) > least


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_stays_never_overlap_and_the_last_one_is_the_gates_state(world: World, seed: int) -> None:
    milestones, told = portfolio(seed)
    con = world(projects=projects(), milestones=milestones, milestone_events=told)
    findings = [
        each for name in ("gate_states", "gate_attempts", "gates") for each in build.check(con, catalog.marts()[name])
    ]
    assert [each for each in findings if each.severity == "fail" and not each.passed] == []
    overlaps = """
        select a.gate_id from marts.gate_states as a inner join marts.gate_states as b
            on a.gate_id = b.gate_id and a.position < b.position
        where a.left_at is null or b.entered_at < a.left_at"""
    assert con.execute(overlaps).fetchall() == []
    unlike = """
        select gate_id, status, state from marts.gates left join marts.gate_states using (gate_id)
        where left_at is null and status is distinct from coalesce(state, 'not_started')"""
    assert con.execute(unlike).fetchall() == []


def open_at(con: duckdb.DuckDBPyConnection, at: str) -> set[str]:
    sql = "select distinct gate_id from marts.gate_states where is_work_in_progress and entered_at <= $1 and (left_at is null or left_at > $1)"
    return {gate for (gate,) in con.execute(sql, [datetime.fromisoformat(at)]).fetchall()}


@pytest.mark.parametrize("at", ["2026-02-01T00:00:00", "2026-03-15T12:00:00", "2026-04-15T00:00:00"])
def test_what_was_in_progress_on_a_past_day_is_what_a_report_of_that_day_told(world: World, at: str) -> None:
    milestones, told = orderly(4)
    records = {
        "projects": [{**each, "kickoff_at": None} for each in projects()],
        "milestones": milestones,
        "milestone_events": told,
    }
    later, then = world(**records), world(at, **records)
    assert shown(later, "count(*)", "gates where has_chronology_violation") == [(0,)]
    then_open = {gate for (gate,) in shown(then, "gate_id", "gates where age_days is not null")}
    # a gate may start by the approval before it, and that of a parallel or waived gate is only known afterwards
    recorded = {gate for (gate,) in shown(later, "gate_id", "gates where start_rule = 'started'")}
    assert open_at(later, at) & recorded == open_at(then, at) & recorded == then_open & recorded
    assert len(then_open & recorded) > 5


# F2 and F3


def plan(key: str, recorded: str) -> dict[str, str]:
    return {"source_key": key, "milestone": "g1", "recorded_at": recorded, "due_on": "2026-03-01"}


def test_gate_lead_time_runs_from_the_signature_else_from_the_gates_creation(world: World) -> None:
    told = approved("g1", 10, 15)
    signed = one(world(milestone_events=told), "gates")
    assert (signed["lead_rule"], signed["lead_days"], signed["lead_age_days"]) == ("contract signature", 14.0, None)
    unsigned: dict[str, Any] = {
        "projects": [{**PROJECT, "signed_at": None}],
        "milestone_plans": [plan("a", day(8)), plan("b", day(9))],
    }
    planned = one(world(milestone_events=told, **unsigned), "gates")
    assert (planned["lead_rule"], planned["lead_days"]) == ("gate creation", 7.0)
    earlier = [*told, *events("g1", *[("submitted", day(12))] * 3, ("planned", day(5)))[3:]]
    assert one(world(milestone_events=earlier, **unsigned), "gates")["lead_days"] == 10.0
    unknown = one(world(projects=[{**PROJECT, "signed_at": None}], milestone_events=told), "gates")
    assert (unknown["lead_rule"], unknown["lead_days"]) == (None, None)


def test_the_lead_time_of_an_open_gate_runs_whether_it_has_started_or_not(world: World) -> None:
    con = world("2026-01-11T12:00:00", milestones=gates(1, 2), milestone_events=events("g1", ("started", day(3))))
    assert shown(con, "status, lead_days, lead_age_days") == [("in_progress", None, 10.0), ("not_started", None, 10.0)]


def test_a_projects_lead_time_ends_with_its_last_required_gate(world: World) -> None:
    told = [*approved("g1", 3, 9), *approved("g2", 3, 6), *events("g3", ("waived", day(20)))]
    done = one(world(milestones=gates(1, 2, 3), milestone_events=told), "projects")
    assert (str(done["completed_at"]), done["lead_days"], done["lead_age_days"]) == ("2026-01-09 12:00:00", 8.0, None)
    running = one(world("2026-01-08T12:00:00", milestones=gates(1, 2, 3), milestone_events=told), "projects")
    assert (running["completed_at"], running["lead_days"], running["lead_age_days"]) == (None, None, 7.0)


def test_a_project_without_a_required_gate_has_no_lead_time(world: World) -> None:
    for told, milestones in (([], []), (events("g1", ("waived", day(5))), gates(1))):
        project = one(world(milestones=milestones, milestone_events=told), "projects")
        assert (project["completed_at"], project["lead_days"], project["lead_age_days"]) == (None, None, None)


@pytest.mark.parametrize(
    ("as_of", "told"),
    [
        ("2026-02-01", {"cancelled": "active", "completed": "active"}),
        ("2026-04-01", {"cancelled": "active", "completed": "completed"}),
        ("2026-05-01", {"cancelled": "cancelled", "completed": "completed"}),  # in the instant it was written
        ("2026-06-01", {"cancelled": "cancelled", "completed": "completed"}),
    ],
)
def test_a_projects_state_is_that_of_the_as_of_date(world: World, as_of: str, told: dict[str, str]) -> None:
    written = "2026-05-01T00:00:00Z"
    records = [
        {**PROJECT, "source_key": "cancelled", "status": "cancelled", "recorded_at": written},
        {
            **PROJECT,
            "source_key": "completed",
            "status": "completed",
            "recorded_at": written,
            "closed_at": "2026-03-01T12:00:00Z",
        },
        {
            **PROJECT,
            "source_key": "soon",
            "status": "on_hold",
            "recorded_at": written,
            "kickoff_at": "2026-05-20T12:00:00Z",
        },
        {**PROJECT, "source_key": "undated", "status": "on_hold"},
    ]
    found = dict(shown(world(f"{as_of}T00:00:00", projects=records, milestones=[]), "source_key, status", "projects"))
    assert found == {**told, "soon": "on_hold" if as_of > "2026-05" else "planned", "undated": "on_hold"}


# F5


def test_every_attempt_has_its_own_work_and_wait_and_an_open_one_runs(world: World) -> None:
    told = events(
        "g1", ("started", day(3)), ("submitted", day(5)), ("changes_requested", day(6)), ("submitted", day(10))
    )
    columns = "attempt, work_days, work_age_days, wait_days, wait_age_days, is_open"
    waiting = world("2026-01-12T12:00:00", milestone_events=told)
    assert shown(waiting, columns, "gate_attempts") == [
        (1, 2.0, None, 1.0, None, False),
        (2, 4.0, None, None, 2.0, True),
    ]
    working = world("2026-01-09T12:00:00", milestone_events=told)
    assert shown(working, columns, "gate_attempts")[1] == (2, None, 3.0, None, None, True)


# F20


def test_acceptance_runs_from_the_notice_and_both_run_on_while_they_wait(world: World) -> None:
    handed = [
        {"source_key": "h1", "milestone": "g1", "to_team": "build", "notified_at": day(6), "accepted_at": day(8)},
        {"source_key": "h2", "milestone": "g1", "to_team": "care", "notified_at": day(4)},
        {"source_key": "h3", "milestone": "g1", "to_team": "sales", "accepted_at": day(7)},
    ]
    con = world("2026-01-15T12:00:00", milestone_events=approved("g1", 5), handoffs=handed)
    columns = "source_key, notify_days, notify_age_days, accept_days, accept_age_days"
    assert shown(con, columns, "handoffs") == [
        ("h1", 1.0, None, 2.0, None),
        ("h2", -1.0, None, None, 11.0),
        ("h3", None, 10.0, None, None),
    ]


# F21


def test_a_gates_last_required_document_says_how_late_its_papers_were(world: World) -> None:
    documents = [
        {"source_key": "a", "milestone": "g1", "type": "permit", "received_at": day(4)},
        {"source_key": "b", "milestone": "g1", "type": "report", "received_at": day(8)},
        {"source_key": "c", "milestone": "g1", "type": "waiver", "received_at": day(9), "expires_on": "2026-01-20"},
        {"source_key": "d", "milestone": "g1", "type": "note", "required": "false"},
        {"source_key": "e", "milestone": "g2", "type": "permit", "received_at": day(4), "expires_on": "2026-01-04"},
        {"source_key": "f", "milestone": "g2", "type": "report", "received_at": day(30)},
    ]
    told = [*events("g1", ("submitted", day(5))), *events("g2", ("submitted", day(5)))]
    con = world("2026-01-15T12:00:00", milestones=gates(1, 2, 3), documents=documents, milestone_events=told)
    assert shown(con, "source_key, late_document_days, missing_document_days") == [
        ("g1", 4.0, None),
        ("g2", None, 10.0),
        ("g3", None, None),
    ]


# An empty source


def test_a_source_without_a_record_makes_empty_tables_and_no_mistake(world: World) -> None:
    con = world(clients=[], projects=[], milestones=[])
    for name in ("gates", "gate_states", "gate_attempts", "gate_events", "projects", "handoffs"):
        assert shown(con, "count(*)", name) == [(0,)]
        assert [each for each in build.check(con, catalog.marts()[name]) if not each.passed] == []


# The measures made of them

MAY = datetime(2026, 5, 4, 12)


def told(con: duckdb.DuckDBPyConnection, measure: str, **asked: Any) -> dict[str, Any]:
    """The single row that answers an ungrouped question."""
    return answer(con, Question(measure, **asked)).row(0, named=True)


def left_out(con: duckdb.DuckDBPyConnection, measure: str, **asked: Any) -> dict[str, int]:
    return {reason: count for reason, count, _ in explain(con, Question(measure, **asked)).left_out}


def rows(count: int = 1, **columns: Any) -> list[dict[str, Any]]:
    return [
        {"gate_id": f"g{n}", "gate_label": "Concept", "status": "approved", "approved_at": MAY, **columns}
        for n in range(count)
    ]


OPEN = {"status": "in_progress", "approved_at": None}


def test_gate_lead_time_counts_open_gates_so_far_and_says_what_it_leaves_out() -> None:
    con = hand_made(
        gates=[
            *(row for days in (5.0, 6, 7, 8, 9, 10) for row in rows(lead_days=days, lead_from_at=MAY)),
            *rows(6, lead_age_days=3.0, lead_from_at=MAY, **OPEN | {"status": "not_started"}),
            *rows(7, lead_age_days=20.0, lead_from_at=MAY, **OPEN),
            *rows(1, lead_days=-2.0, lead_from_at=MAY),
            *rows(2),
            *rows(1, status="waived", lead_from_at=MAY),
        ]
    )
    found = told(con, "F2", since=date(2026, 5, 4), until=date(2026, 5, 4))
    # 13 gates stood the first 5 days, so 6 of 13 had been approved when the rest had run on
    assert (found["n"], found["open_n"], found["value"], found["note"]) == (
        6,
        13,
        None,
        "n = 6: too few for P85; P50 not reached",
    )
    assert left_out(con, "F2") == {
        "neither signature nor creation known": 2,
        "approved before the contract was signed": 1,
        "waived": 1,
    }


def test_project_lead_time_runs_on_for_open_projects_and_leaves_cancelled_ones_out() -> None:
    def project(key: str, **columns: Any) -> dict[str, Any]:
        return {"project_id": key, "signed_at": MAY, "required_gate_count": 3, "status": "active", **columns}

    done = [project(f"d{days}", completed_at=MAY, lead_days=days) for days in (10.0, 20, 30, 40, 50, 60)]
    con = hand_made(projects=[
        *done,
        *(project(f"o{n}", lead_age_days=45.0) for n in range(3)),
        project("cancelled", status="cancelled", lead_age_days=90.0),
        project("empty", required_gate_count=0),
        project("unsigned", signed_at=None),
    ])  # fmt: skip
    found = told(con, "F3")
    assert (found["value"], found["n"], found["open_n"]) == (50.0, 6, 3)
    assert left_out(con, "F3")["project cancelled"] == 1
    assert left_out(con, "F3")["contract not signed"] == 1


def attempts(count: int, **columns: Any) -> list[dict[str, Any]]:
    usual = {
        "gate_id": "g0",
        "decided_by_side": "client",
        "began_at": MAY,
        "submitted_at": MAY,
        "decision": "approved",
        "is_open": False,
    }
    return [{**usual, "attempt": n, **columns} for n in range(count)]


def test_waits_are_told_by_who_decides_and_undecided_ones_run_on() -> None:
    con = hand_made(
        gates=rows(1),
        gate_attempts=[
            *attempts(6, wait_days=4.0),
            *attempts(6, wait_days=9.0, decided_by_side="authority"),
            *attempts(2, wait_age_days=30.0, is_open=True, decision=None),
            *attempts(1, submitted_at=None, wait_days=None),
            *attempts(1, wait_days=50.0, decision="waived"),
        ],
    )
    by_side = (
        answer(con, Question("F5w", by=("decided_by_side",))).select("decided_by_side", "value", "n", "open_n").rows()
    )
    assert by_side == [("client", 4.0, 6, 2), ("authority", 9.0, 6, 0)]
    assert left_out(con, "F5w") == {"not submitted": 1, "waived or cancelled while it waited": 1}


def test_work_is_told_by_attempt_and_leaves_out_what_a_waiver_cut_short() -> None:
    con = hand_made(
        gates=[*rows(1), *rows(1, gate_id="wrong", has_chronology_violation=True)],
        gate_attempts=[
            *attempts(6, work_days=3.0, opened_by="start"),
            *attempts(2, work_age_days=8.0, is_open=True, submitted_at=None, decision=None),
            *attempts(1, work_days=1.0, decision="waived", submitted_at=None),
            *attempts(1, gate_id="wrong", work_days=-7.0),
        ],
    )
    assert (told(con, "F5")["value"], told(con, "F5")["n"], told(con, "F5")["open_n"]) == (3.0, 6, 2)
    assert left_out(con, "F5") == {"out of order in time": 1, "waived or cancelled before it was submitted": 1}


def test_rework_loops_are_attempts_after_the_first_over_approved_gates() -> None:
    con = hand_made(
        gates=[
            *rows(3, rework_count=0, attempt_count=1),
            *rows(1, rework_count=2, attempt_count=3),
            *rows(5, rework_count=4, **OPEN),
        ]
    )
    assert (told(con, "F9l")["value"], told(con, "F9l")["n"], told(con, "F9")["value"]) == (0.5, 4, 25)


def test_throughput_weighs_by_amount_too_and_counts_the_gates_without_one() -> None:
    con = hand_made(gates=[*rows(2, bills_amount=400), *rows(1), *rows(1, bills_amount=900, **OPEN)])
    assert (told(con, "F10")["value"], told(con, "F10v")["value"]) == (3, 800)
    assert left_out(con, "F10v") == {"not approved": 1, "value not known": 1}
    by_week = series(con, Question("F10v", since=date(2026, 4, 27), until=date(2026, 5, 17)), "week")
    assert by_week["value"].to_list() == [0, 800, 0]


def test_service_attainment_waits_until_the_days_promised_are_over_for_fast_gates_too() -> None:
    begun = datetime(2026, 6, 1, 12)
    con = hand_made(
        gates=[
            *(row for days in (5.0, 10, 12) for row in rows(cycle_days=days, started_at=begun, service_days=20.0)),
            *rows(1, started_at=begun, service_days=40.0, **OPEN),
            *rows(1, cycle_days=1.0, started_at=datetime(2026, 6, 25, 12), service_days=20.0),
            *rows(1, started_at=begun, status="waived", approved_at=None),
            *rows(1, status="not_started", approved_at=None),
        ]
    )
    ten = {"settings": {"target_days": 10.0}}
    assert (told(con, "F14", **ten)["value"], told(con, "F14", **ten)["n"]) == (50, 4)
    assert left_out(con, "F14", **ten) == {"its days are not over": 1, "waived": 1, "not started": 1}
    # as of 30 June the 29 days promised by the playbook's own 20 are over for three, its 40 for none
    assert (told(con, "F14")["value"], told(con, "F14")["n"]) == (100, 3)
    exactly = {"settings": {"target_days": 29.0}}
    assert told(con, "F14", **exactly)["n"] == 4


def test_without_a_playbook_and_a_target_no_service_is_promised() -> None:
    con = hand_made(gates=rows(2, cycle_days=5.0, started_at=MAY))
    assert left_out(con, "F14") == {"no days promised": 2}


def stay(entered: tuple[int, int], left: tuple[int, int] | None = None, **columns: Any) -> dict[str, Any]:
    """A stay in progress from one (month, day) to another, which is both an arrival and a departure."""
    entered_on, left_on = date(2026, *entered), date(2026, *left) if left else None
    ended = {"next_state": "approved", "is_departure": True} if left else {"is_departure": False}
    usual = {
        "state": "in_progress",
        "kind": "gate",
        "is_work_in_progress": True,
        "is_arrival": True,
        "is_first_entry": True,
    }
    return {
        "gate_id": f"g{entered}",
        "entered_on": entered_on,
        "left_on": left_on,
        "arrived_on": entered_on,
        **usual,
        **ended,
        **columns,
    }


def little(con: duckdb.DuckDBPyConnection, since: date, until: date) -> dict[str, float]:
    return dict(answer(con, Question("F15", since=since, until=until)).select("step", "value").rows())


def test_littles_law_holds_over_a_window_and_tells_whether_its_stationary_form_may_be_used() -> None:
    con = hand_made(gate_states=[stay((4, 28), (5, 3)), stay((5, 2), (5, 8)), stay((5, 6)), stay((3, 1), (4, 2))])
    found = little(con, date(2026, 5, 1), date(2026, 5, 10))
    assert [found[label] for label in ("Days of the window", "Item-days", "Average in progress")] == [10, 13, 1.3]
    assert [found[label] for label in ("Arrivals", "Departures", "Throughput per day")] == [2, 2, 0.2]
    assert [found[label] for label in ("In progress before the window", "In progress at its end")] == [1, 1]
    assert found["Mean time in progress within the window"] == pytest.approx(13 / 3)
    assert found["Average in progress ÷ throughput"] == pytest.approx(6.5)
    assert [found[label] for label in ("Days of age before the window", "Days of age at its end")] == [2, 4]
    lights = [value for label, value in found.items() if label.startswith("1 where")]
    assert lights == [1, 1, 1, 0, 1]  # the one before was 2 days old, the one at the end is 4
    per_day = series(con, Question("F11", since=date(2026, 5, 1), until=date(2026, 5, 10)), "day")
    assert per_day["value"].to_list() == [1, 2, 1, 1, 1, 2, 2, 1, 1, 1]


def test_an_average_age_that_fell_by_just_ten_percent_stands_still() -> None:
    before = [stay((4, 25), (5, 3)), stay((4, 25), (5, 3), gate_id="other")]  # five days old each
    con = hand_made(gate_states=[*before, stay((5, 5)), stay((5, 6))])  # five days and four
    found = little(con, date(2026, 5, 1), date(2026, 5, 10))
    assert found["1 where their average age neither rises nor falls, within 10 %"] == 1


@pytest.mark.parametrize(
    ("light", "broken"),
    [
        (0, [stay((5, 4))]),
        (0, [stay((4, 28), (5, 3))]),
        (1, [stay((5, 4), (5, 9), next_state="waived")]),
        (2, [stay((5, 4))]),
        (2, [stay((4, 28), (5, 3))]),
        (3, [stay((4, 20))]),
        (4, [stay((5, 4), (5, 9), kind="inspection")]),
    ],
)
def test_each_assumption_of_the_stationary_form_goes_out_by_itself(light: int, broken: list[dict[str, Any]]) -> None:
    # arrivals and departures match, and the one at the end is as old as the one at the start was
    steady = [stay((4, 28), (5, 3)), stay((5, 8)), stay((5, 5), (5, 6))]

    def lights(states: list[dict[str, Any]]) -> list[float]:
        return [
            value
            for label, value in little(hand_made(gate_states=states), date(2026, 5, 1), date(2026, 5, 10)).items()
            if label.startswith("1 where")
        ]

    assert lights(steady) == [1, 1, 1, 1, 1]
    assert lights([*steady, *broken])[light] == 0


@pytest.mark.parametrize(
    ("since", "until"), [(date(2026, 2, 1), date(2026, 4, 30)), (date(2026, 3, 10), date(2026, 3, 10))]
)
def test_item_days_of_a_window_are_the_sum_of_gates_in_progress_over_its_days(
    world: World, since: date, until: date
) -> None:
    milestones, happened = orderly(4)
    con = world(projects=projects(), milestones=milestones, milestone_events=happened)
    found = little(con, since, until)
    daily = series(con, Question("F11", since=since, until=until), "day")
    assert daily["value"].sum() == found["Item-days"] > 0
    assert (
        found["In progress before the window"] + found["Arrivals"] - found["Departures"]
        == found["In progress at its end"]
    )
    assert daily["value"].to_list()[-1] == found["In progress at its end"]


def test_bands_of_cumulative_flow_never_fall(world: World) -> None:
    milestones, happened = orderly(4)
    con = world(projects=projects(), milestones=milestones, milestone_events=happened)
    bands = series(con, Question("F16", by=("state",)), "day")
    assert bands.select(pl.col("value").diff().over("state").min()).item() == 0
    assert set(bands["state"]) == {
        "in_progress",
        "awaiting_decision",
        "changes_requested",
        "approved",
        "waived",
        "cancelled",
    }
    last = dict(bands.group_by("state", maintain_order=True).last().select("state", "value").rows())
    assert last["approved"] == shown(con, "count(*)", "gates where first_approved_at is not null")[0][0]


def test_a_gate_sent_back_twice_adds_once_to_each_band(world: World) -> None:
    story = [("started", 3), ("submitted", 4), ("rejected", 6), ("submitted", 8), ("rejected", 9), ("submitted", 10)]
    con = world(milestone_events=events("g1", *[(kind, day(number)) for kind, number in story]))
    bands = answer(con, Question("F16", by=("state",))).select("state", "value").rows()
    assert bands == [("in_progress", 1), ("awaiting_decision", 1), ("changes_requested", 1)]


def test_gates_are_in_progress_by_the_end_of_the_projects_own_day(world: World) -> None:
    # 02:00 UTC on the 8th is the evening of the 7th in New York
    story = [("started", day(4)), ("approved", day(8, "02:00:00")), ("reopened", day(11)), ("approved", day(12))]
    con = world(milestone_events=events("g1", *story))
    daily = series(con, Question("F11", since=date(2026, 1, 3), until=date(2026, 1, 13)), "day")
    assert daily["value"].to_list() == [0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0]


def test_notice_and_acceptance_are_measured_apart_and_what_the_start_made_idle_is_not_waited_for() -> None:
    def handed(count: int, **columns: Any) -> list[dict[str, Any]]:
        return [
            {
                "handoff_id": f"h{n}",
                "approved_at": MAY,
                "notified_at": MAY,
                "accepted_at": MAY,
                "started_at": MAY,
                **columns,
            }
            for n in range(count)
        ]

    con = hand_made(
        handoffs=[
            *handed(5, notify_days=1.0, accept_days=2.0),
            *handed(1, notify_days=-3.0, accept_days=-1.0),
            *handed(2, notify_days=1.0, accept_days=None, accepted_at=None, started_at=None, accept_age_days=9.0),
            *handed(1, notified_at=None, accepted_at=None, notify_age_days=9.0),
            *handed(4, approved_at=None, notify_days=None, accept_days=None, notified_at=None, accepted_at=None),
        ]
    )
    notice, acceptance = told(con, "F20n", clock="elapsed"), told(con, "F20a", clock="elapsed")
    assert (notice["value"], notice["n"], notice["open_n"]) == (1.0, 8, 0)
    assert (acceptance["value"], acceptance["n"], acceptance["open_n"]) == (2.0, 6, 2)
    assert left_out(con, "F20n", clock="elapsed") == {"gate not approved": 4, "begun without notice": 1}
    assert left_out(con, "F20a", clock="elapsed") == {"gate not approved": 4, "notice not recorded": 1}


@pytest.mark.parametrize(("clock", "days"), [("working", [1.0, 0.25, 0.625]), ("elapsed", [3.0, 0.25, 2.625])])
def test_hand_offs_are_told_in_working_days_unless_elapsed_ones_are_asked_for(
    world: World, clock: Clock, days: list[float]
) -> None:
    # Friday 9 January noon to Monday noon, in New York
    handed = {
        "notified_at": "2026-01-09T23:00:00Z",
        "accepted_at": "2026-01-12T14:00:00Z",
        "started_at": "2026-01-12T17:00:00Z",
    }
    con = world(
        milestone_events=events("g1", ("approved", "2026-01-09T17:00:00Z")),
        handoffs=[{"source_key": "h1", "milestone": "g1", "to_team": "build", **handed}],
    )
    asked = [distribution(con, Question(name, clock=clock))["value"].to_list() for name in ("F20", "F20n", "F20a")]
    assert asked == [[each] for each in days]
    assert answer(con, Question("F20a")).equals(answer(con, Question("F20a", clock="working")))


def test_lateness_of_documents_is_a_gates_and_missing_ones_run_on() -> None:
    needing = {"required_document_count": 2, "first_submitted_at": MAY}
    con = hand_made(
        gates=[
            *rows(3, late_document_days=0.0, **needing),
            *rows(4, late_document_days=6.0, **needing),
            *rows(1, missing_document_days=30.0, **needing),
            *rows(1),
            *rows(1, required_document_count=1),
        ]
    )
    found = told(con, "F21d")
    assert (found["value"], found["n"], found["open_n"]) == (6.0, 7, 1)
    assert left_out(con, "F21d") == {"no document required": 1, "gate not submitted yet": 1}


def test_fewer_gates_than_the_sample_can_bear_show_how_few_and_no_number() -> None:
    con = hand_made(gates=rows(5, lead_days=3.0, lead_from_at=MAY))
    assert (told(con, "F2")["value"], told(con, "F2")["note"]) == (None, "n = 5: too few")


def test_a_flow_measure_of_an_empty_source_says_that_nothing_matches(world: World) -> None:
    con = world(clients=[], projects=[], milestones=[])
    for name in ("F2", "F3", "F4", "F5", "F5w", "F9l", "F14", "F20n", "F20a", "F21d"):
        assert (told(con, name)["value"], told(con, name)["note"]) == (None, "nothing matches the filter")
    assert answer(con, Question("F15"))["value"].null_count() == 20
    assert series(con, Question("F16", by=("state",)), "week").is_empty()
