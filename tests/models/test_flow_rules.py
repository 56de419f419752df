"""How gates flow: parallel gates, states, lead times, phases, attempts, hand-offs. One test per rule, over a few rows."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
from small_worlds import GATE, PROJECT, World, events, one

from models import build, catalog


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
