"""Gates, attempts and plans: one test per rule, over a few rows."""

from __future__ import annotations

import pytest
from small_worlds import GATE, PROJECT, World, events, one

from models import build, catalog


def day(number: int, clock: str = "12:00:00") -> str:
    return f"2026-01-{number:02}T{clock}Z"


def test_cycle_time_runs_from_start_to_final_approval(world: World) -> None:
    con = world(
        milestone_events=events("g1", ("started", day(3)), ("submitted", day(5)), ("approved", day(7, "18:00:00")))
    )
    gate = one(con, "gates")
    assert (gate["status"], gate["start_rule"], gate["cycle_days"], gate["age_days"]) == (
        "approved",
        "started",
        4.25,
        None,
    )


def test_work_and_wait_of_every_attempt_add_up_to_the_cycle_time(world: World) -> None:
    con = world(
        milestone_events=events(
            "g1",
            ("started", day(3)),
            ("submitted", day(5)),
            ("changes_requested", day(6)),
            ("submitted", day(10)),
            ("approved", day(11, "00:00:00")),
        )
    )
    gate = one(con, "gates")
    assert (gate["work_days"], gate["wait_days"], gate["client_wait_days"]) == (6.0, 1.5, 1.5)
    assert gate["work_days"] + gate["wait_days"] == gate["cycle_days"]
    assert (gate["attempt_count"], gate["rework_days"], gate["is_first_pass"]) == (2, 4.5, False)


def test_a_reopened_gate_counts_its_rework_and_is_open_until_approved_again(world: World) -> None:
    story = [("started", day(3)), ("submitted", day(4)), ("approved", day(5)), ("reopened", day(8))]
    open_again = one(world(milestone_events=events("g1", *story)), "gates")
    assert (open_again["status"], open_again["approved_at"], open_again["cycle_days"]) == (
        "changes_requested",
        None,
        None,
    )
    story += [("submitted", day(10)), ("approved", day(11))]
    done = one(world(milestone_events=events("g1", *story)), "gates")
    assert (done["cycle_days"], done["work_days"], done["wait_days"], done["idle_days"]) == (8.0, 3.0, 2.0, 3.0)
    assert (done["is_reopened"], done["rework_days"], str(done["first_approved_at"])) == (
        True,
        3.0,
        "2026-01-05 12:00:00",
    )


def test_a_refusal_after_an_approval_undoes_it(world: World) -> None:
    con = world(milestone_events=events("g1", ("started", day(3)), ("approved", day(5)), ("changes_requested", day(6))))
    assert one(con, "gates")["status"] == "changes_requested"


@pytest.mark.parametrize("ending", ["waived", "cancelled"])
def test_waived_and_cancelled_gates_leave_durations_and_are_no_zero_day_gates(world: World, ending: str) -> None:
    gate = one(world(milestone_events=events("g1", ("started", day(3)), (ending, day(4)))), "gates")
    assert (gate["status"], gate["cycle_days"], gate["age_days"]) == (ending, None, None)


def test_an_open_gate_has_an_age_and_no_cycle_time(world: World) -> None:
    gate = one(
        world("2026-01-10T12:00:00", milestone_events=events("g1", ("started", day(3)), ("submitted", day(8)))), "gates"
    )
    assert (gate["status"], gate["cycle_days"], gate["age_days"], gate["waiting_days"]) == (
        "awaiting_decision",
        None,
        7.0,
        2.0,
    )


def test_a_gate_of_which_nothing_is_over_has_spent_no_days_on_anything(world: World) -> None:
    names = [f"{each}_days" for each in ("work", "work_working", "wait", "client_wait", "client_wait_working",
                                         "team_wait", "authority_wait", "idle", "rework")]  # fmt: skip
    con = world(milestones=[GATE, {**GATE, "source_key": "g2", "sequence": 2}])
    rows = con.execute(f"select status, {', '.join(names)} from marts.gates order by sequence").fetchall()
    assert rows == [("in_progress", *[0] * 9), ("not_started", *[0] * 9)]


def test_start_is_the_recorded_one_else_the_previous_approval_else_kickoff(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2}, {**GATE, "source_key": "g3", "sequence": 3}]
    con = world(
        milestones=gates, milestone_events=[*events("g1", ("approved", day(6))), *events("g2", ("approved", day(9)))]
    )
    rows = con.execute(
        "select start_rule, started_at::varchar, cycle_days from marts.gates order by sequence"
    ).fetchall()
    assert rows == [
        ("kickoff", "2026-01-02 12:00:00", 4.0),
        ("previous approval", "2026-01-06 12:00:00", 3.0),
        ("previous approval", "2026-01-09 12:00:00", None),
    ]


def test_a_gate_after_an_unapproved_one_has_not_started(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2}]
    con = world(milestones=gates, milestone_events=events("g1", ("started", day(3))))
    assert one(con, "gates", "source_key = 'g2'")["status"] == "not_started"


@pytest.mark.parametrize("ending", ["waived", "cancelled"])
def test_a_waived_or_cancelled_gate_hands_over_from_the_gate_before_it(world: World, ending: str) -> None:
    gates = [{**GATE, "source_key": f"g{n}", "sequence": n} for n in (1, 2, 3)]
    happened = [*events("g1", ("approved", day(6))), *events("g2", (ending, day(7)))]
    third = one(world(milestones=gates, milestone_events=happened), "gates", "source_key = 'g3'")
    assert (third["start_rule"], str(third["started_at"])) == ("previous approval", "2026-01-06 12:00:00")


@pytest.mark.parametrize("ending", ["waived", "cancelled"])
def test_a_gate_that_was_waived_or_cancelled_before_anybody_began_it_never_started(world: World, ending: str) -> None:
    gate = one(world(milestone_events=events("g1", (ending, day(7)))), "gates")
    assert (gate["status"], gate["started_at"], gate["start_rule"], gate["ended_days"]) == (ending, None, None, None)


def test_an_approval_before_its_submission_is_listed_as_a_violation(world: World) -> None:
    con = world(milestone_events=events("g1", ("started", day(3)), ("approved", day(5)), ("submitted", day(6))))
    gate = one(con, "gates")
    assert (gate["status"], gate["chronology_note"]) == ("approved", "submitted after its decision")
    broken = [f for f in build.check(con, catalog.marts()["gates"]) if not f.passed]
    assert ("warn", "not has_chronology_violation", 1) in [(f.severity, f.check, f.count) for f in broken]
    assert not [f for f in broken if f.severity == "fail"]


def test_an_approval_by_the_system_is_no_first_pass(world: World) -> None:
    told = events("g1", ("submitted", day(3)), ("approved", day(4)))
    told[1]["actor_side"] = "system"
    gate = one(world(milestone_events=told), "gates")
    assert (gate["is_auto_approved"], gate["is_first_pass"]) == (True, False)
    told += events("g1", *[("approved", day(4))] * 2, ("reopened", day(5)), ("approved", day(6)))[2:]
    gate = one(world(milestone_events=told), "gates")
    assert (gate["is_auto_approved"], gate["is_first_pass"], gate["is_reopened"]) == (False, False, True)


def test_a_gate_reopened_after_a_waiver_alone_counts_as_no_reopened_approval(world: World) -> None:
    told = events("g1", ("waived", day(3)), ("reopened", day(4)), ("submitted", day(5)), ("approved", day(6)))
    assert one(world(milestone_events=told), "gates")["is_reopened"] is False


def test_waits_are_split_by_who_decides(world: World) -> None:
    inspection = {**GATE, "approver_side": "authority", "kind": "inspection"}
    told = events("g1", ("started", day(3)), ("submitted", day(4)), ("approved", day(9)), side="authority")
    gate = one(world(milestones=[inspection], milestone_events=told), "gates")
    assert (gate["authority_wait_days"], gate["client_wait_days"]) == (5.0, 0.0)


def test_a_reopening_of_nothing_decided_opens_no_attempt_and_is_listed(world: World) -> None:
    told = events("g1", ("started", day(3)), ("reopened", day(4)), ("submitted", day(5)), ("approved", day(6)))
    gate = one(world(milestone_events=told), "gates")
    assert (gate["attempt_count"], gate["work_days"], gate["cycle_days"]) == (1, 2.0, 3.0)
    assert gate["chronology_note"] == "reopened while nothing was decided"


def test_a_waiver_that_is_undone_leaves_its_time_as_idle(world: World) -> None:
    told = events(
        "g1",
        ("started", day(3)),
        ("waived", day(5)),
        ("reopened", day(9)),
        ("submitted", day(10)),
        ("approved", day(12)),
    )
    gate = one(world(milestone_events=told), "gates")
    assert (gate["work_days"], gate["wait_days"], gate["idle_days"], gate["cycle_days"]) == (3.0, 2.0, 4.0, 9.0)


def test_events_of_one_instant_are_taken_in_the_order_they_can_follow(world: World) -> None:
    told = events("g1", ("approved", day(5)), ("submitted", day(5)), ("started", day(5)))
    gate = one(world(milestone_events=told), "gates")
    assert (gate["status"], gate["cycle_days"], gate["has_chronology_violation"]) == ("approved", 0.0, False)


def test_a_waiver_in_the_instant_of_an_approval_comes_after_it(world: World) -> None:
    con = world(milestone_events=events("g1", ("waived", day(5)), ("approved", day(5))))
    assert con.execute("select type from marts.gate_events order by position").fetchall() == [
        ("approved",),
        ("waived",),
    ]


def test_an_attempt_that_nobody_decided_was_not_decided_by_the_system(world: World) -> None:
    con = world(milestone_events=events("g1", ("started", day(3)), ("submitted", day(4))))
    assert one(con, "gate_attempts")["is_auto_decided"] is False


def test_the_baseline_is_the_plan_in_force_at_signature_else_the_first(world: World) -> None:
    def plan(key: str, recorded: str, due: str) -> dict[str, str]:
        return {"source_key": key, "milestone": "g1", "recorded_at": recorded, "due_on": due}

    plans = [
        plan("a", "2025-12-01T00:00:00Z", "2026-02-01"),
        plan("b", "2025-12-20T00:00:00Z", "2026-02-10"),
        plan("c", "2026-01-20T00:00:00Z", "2026-03-01"),
    ]
    gate = one(world("2026-02-20T00:00:00", milestone_plans=plans), "gates")
    assert (str(gate["baseline_on"]), str(gate["due_on"]), gate["plan_change_count"]) == ("2026-02-10", "2026-03-01", 2)
    assert (gate["schedule_variance_days"], gate["is_overdue"]) == (9, False)
    late = one(world("2026-02-20T00:00:00", milestone_plans=plans[2:]), "gates")
    assert str(late["baseline_on"]) == "2026-03-01"


def test_a_report_that_repeats_the_planned_date_changes_no_plan(world: World) -> None:
    plans = [
        {"source_key": key, "milestone": "g1", "recorded_at": f"2026-01-{key}T00:00:00Z", "due_on": due}
        for key, due in [("05", "2026-02-01"), ("06", "2026-02-01"), ("07", "2026-02-09"), ("08", "2026-02-09")]
    ]
    assert one(world(milestone_plans=plans), "gates")["plan_change_count"] == 1


def test_a_plan_recorded_after_the_as_of_date_is_invisible(world: World) -> None:
    plans = [
        {"source_key": k, "milestone": "g1", "recorded_at": at, "due_on": due}
        for k, at, due in [("a", "2026-01-05T00:00:00Z", "2026-02-01"), ("b", "2026-03-01T00:00:00Z", "2026-04-01")]
    ]
    assert str(one(world("2026-02-15T00:00:00", milestone_plans=plans), "gates")["due_on"]) == "2026-02-01"


@pytest.mark.parametrize(("zone", "on_time"), [("America/Los_Angeles", True), ("Australia/Sydney", False)])
def test_a_date_is_taken_in_the_projects_zone(world: World, zone: str, on_time: bool) -> None:
    # 2025-03-01T04:00Z is 28 February in Los Angeles and 1 March in Sydney
    plan = {"source_key": "a", "milestone": "g1", "recorded_at": "2025-01-01T00:00:00Z", "due_on": "2025-02-28"}
    project = {**PROJECT, "timezone": zone, "signed_at": "2025-01-01T00:00:00Z", "kickoff_at": "2025-01-02T00:00:00Z"}
    con = world(
        projects=[project], milestone_plans=[plan], milestone_events=events("g1", ("approved", "2025-03-01T04:00:00Z"))
    )
    assert one(con, "gates")["is_on_time"] is on_time


def test_phase_duration_out_of_order_is_null_and_flagged(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2}]
    told = [
        *events("g1", ("started", day(3)), ("approved", day(9))),
        *events("g2", ("started", day(3)), ("approved", day(6))),
    ]
    second = one(world(milestones=gates, milestone_events=told), "gates", "source_key = 'g2'")
    assert (second["phase_days"], second["is_out_of_order"], second["has_chronology_violation"]) == (None, True, False)


def test_hand_off_latency_keeps_a_start_before_the_approval_as_negative(world: World) -> None:
    handoffs = [
        {"source_key": "h1", "milestone": "g1", "to_team": "build", "started_at": day(4), "notified_at": day(6)},
        {"source_key": "h2", "milestone": "g1", "to_team": "care", "notified_at": day(5, "18:00:00")},
        {"source_key": "h3", "milestone": "g1", "to_team": "sales"},
    ]
    con = world("2026-01-15T12:00:00", milestone_events=events("g1", ("approved", day(5))), handoffs=handoffs)
    early, waiting = one(con, "handoffs", "source_key = 'h1'"), one(con, "handoffs", "source_key = 'h2'")
    assert (early["latency_days"], early["notify_days"], early["is_open"]) == (-1.0, 1.0, False)
    assert (waiting["latency_days"], waiting["is_open"], waiting["age_days"], waiting["notify_days"]) == (
        None,
        True,
        10.0,
        0.25,
    )
    ages = con.execute("select notify_age_days, accept_age_days from marts.handoffs order by handoff_id").fetchall()
    assert ages == [(None, 9.0), (None, 9.75), (10.0, None)]


def test_a_document_that_never_came_expires_on_no_day(world: World) -> None:
    waiver = {"source_key": "f1", "milestone": "g1", "type": "waiver", "expires_on": "2026-02-01"}
    assert one(world(documents=[waiver]), "gate_documents")["expires_on"] is None
    came = {**waiver, "received_at": day(4)}
    assert str(one(world(documents=[came]), "gate_documents")["expires_on"]) == "2026-02-01"


def test_a_document_is_ready_when_there_and_valid_at_the_first_submission(world: World) -> None:
    documents = [
        {"source_key": "ready", "milestone": "g1", "type": "permit", "received_at": day(4)},
        {"source_key": "late", "milestone": "g1", "type": "report", "received_at": day(8)},
        {
            "source_key": "expired",
            "milestone": "g1",
            "type": "waiver",
            "received_at": day(4),
            "expires_on": "2026-01-04",
        },
        {"source_key": "missing", "milestone": "g1", "type": "photo"},
        {"source_key": "extra", "milestone": "g1", "type": "note", "required": "false"},
    ]
    con = world(
        "2026-01-15T12:00:00",
        documents=documents,
        milestone_events=events("g1", ("submitted", day(5)), ("approved", day(6))),
    )
    rows = con.execute("select source_key, is_ready, late_days from marts.gate_documents order by 1").fetchall()
    assert rows == [
        ("expired", False, 10.0),
        ("extra", False, 10.0),
        ("late", False, 3.0),
        ("missing", False, 10.0),
        ("ready", True, 0.0),
    ]
    gate = one(con, "gates")
    assert (gate["required_document_count"], gate["ready_document_count"]) == (4, 1)
