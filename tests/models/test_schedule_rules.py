"""Plans, forecasts and earned schedule: one test per rule, over a few rows."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from small_worlds import GATE, PROJECT, World, events, one

from models.measure import Question, answer, explain


def plan(gate: str, recorded: str, due: str, **more: Any) -> dict[str, Any]:
    """A planned date put on record at noon in New York."""
    return {
        "source_key": f"{gate}-{recorded}-{due}",
        "milestone": gate,
        "recorded_at": f"{recorded}T17:00:00Z",
        "due_on": due,
        **more,
    }


def approved(gate: str, on: str) -> list[dict[str, Any]]:
    return events(gate, ("approved", f"{on}T17:00:00Z"))


def gates(count: int, **columns: Any) -> list[dict[str, Any]]:
    return [{**GATE, "source_key": f"g{n}", "sequence": n, **columns} for n in range(1, count + 1)]


def ask(con: Any, measure: str, **question: Any) -> dict[str, Any]:
    return answer(con, Question(measure, **question)).row(0, named=True)


# S1 and S2


def test_schedule_variance_is_null_and_counted_where_there_is_no_baseline(world: World) -> None:
    con = world(milestones=gates(2), milestone_plans=[plan("g1", "2025-12-01", "2026-05-01")])
    assert one(con, "gates", "source_key = 'g1'")["schedule_variance_days"] == 59  # 29 June in New York
    assert one(con, "gates", "source_key = 'g2'")["schedule_variance_days"] is None
    assert ("no baseline", 1) in [(reason, n) for reason, n, _ in explain(con, Question("S1")).left_out]


def test_re_baselining_moves_neither_the_baseline_nor_what_is_measured_against_it(world: World) -> None:
    plans = [
        plan("g1", "2025-12-01", "2026-03-01", is_baseline="true"),
        plan("g1", "2026-02-25", "2026-05-01", is_baseline="true", reason="re-baselined"),
    ]
    con = world(milestone_plans=plans, milestone_events=approved("g1", "2026-04-20"))
    gate = one(con, "gates")
    assert (str(gate["baseline_on"]), gate["schedule_variance_days"]) == ("2026-03-01", 50)
    assert (ask(con, "S2")["value"], ask(con, "S2b")["value"]) == (100, 0)  # on time for the new date alone
    assert ask(con, "S5")["value"] == 1


def test_a_date_written_after_the_approval_makes_no_late_gate_on_time(world: World) -> None:
    plans = [plan("g1", "2025-12-01", "2026-03-01"), plan("g1", "2026-04-21", "2026-04-20")]
    con = world(milestone_plans=plans, milestone_events=approved("g1", "2026-04-20"))
    assert str(one(con, "gates")["due_on"]) == "2026-03-01"
    assert (ask(con, "S2")["value"], ask(con, "S5")["value"]) == (0, 0)
    only = world(milestone_plans=plans[1:], milestone_events=approved("g1", "2026-04-20"))
    assert str(one(only, "gates")["due_on"]) == "2026-04-20"  # the first seen, where all came after


def test_on_time_against_the_baseline_counts_open_gates_past_it_as_misses(world: World) -> None:
    plans = [plan(f"g{n}", "2025-12-01", due) for n, due in enumerate(("2026-03-01", "2026-03-01", "2026-06-29"), 1)]
    con = world(milestones=gates(3), milestone_plans=plans, milestone_events=approved("g1", "2026-02-27"))
    found = ask(con, "S2b")
    assert (found["value"], found["n"]) == (50, 2)  # the third has its day still to go


def test_a_date_written_in_the_instant_of_the_approval_still_is_a_plan(world: World) -> None:
    plans = [plan("g1", "2025-12-01", "2026-03-01"), plan("g1", "2026-04-20", "2026-04-25")]
    con = world(milestone_plans=plans, milestone_events=approved("g1", "2026-04-20"))
    written = one(con, "gate_plans", "version = 2")
    assert (written["is_current"], written["is_after_approval"]) == (True, False)


# S4


def test_a_gates_trend_is_its_forecast_by_report_date_until_the_actual_date(world: World) -> None:
    plans = [
        plan("g1", "2026-01-05", "2026-03-01"),
        plan("g1", "2026-01-15", "2026-03-11"),
        plan("g1", "2026-01-25", "2026-03-21"),
        plan("g1", "2026-03-26", "2026-12-24"),  # after the approval: no forecast
    ]
    trend = one(world(milestone_plans=plans, milestone_events=approved("g1", "2026-03-25")), "gate_trends")
    assert (trend["forecast_count"], trend["slip_days"], str(trend["actual_on"])) == (3, 20, "2026-03-25")
    assert (str(trend["first_forecast_on"]), str(trend["last_forecast_on"])) == ("2026-03-01", "2026-03-21")
    assert trend["slip_rate"] == 1.0  # ten days later in ten days: it slides day for day


def test_the_slip_rate_is_the_least_squares_slope_over_report_days(world: World) -> None:
    plans = [
        plan("g1", f"2026-01-{day:02}", due) for day, due in [(1, "2026-03-01"), (3, "2026-03-03"), (8, "2026-03-02")]
    ]
    trend = one(world(milestone_plans=plans), "gate_trends")
    assert trend["slip_rate"] == pytest.approx(1 / 13)  # Σ(x−4)(y−1) ÷ Σ(x−4)² over (0,0), (2,2), (7,1): 2 ÷ 26
    assert trend["slip_days"] == 1


def test_one_report_date_has_no_slip_rate_and_its_last_forecast_stands(world: World) -> None:
    plans = [plan("g1", "2026-01-05", "2026-03-01"), plan("g1", "2026-01-05", "2026-03-09")]
    plans[1]["recorded_at"] = "2026-01-05T19:00:00Z"
    trend = one(world(milestones=gates(2), milestone_plans=plans), "gate_trends", "gate_id = 't:g1'")
    assert (trend["forecast_count"], trend["slip_days"], trend["slip_rate"]) == (1, 0, None)
    assert str(trend["first_forecast_on"]) == "2026-03-09"


# S6

PLANNED = (100, 350, 650, 1050, 1500, 2000, 2500, 2950, 3350, 3650, 3900, 4000)


def worked(approvals: int = 7, until: str = "2026-08-01T12:00:00") -> dict[str, Any]:
    """The worked answer: a gate a month, the seventh month's 500 as 260 and 240."""
    steps = [PLANNED[0], *(b - a for a, b in pairwise(PLANNED))]
    due = [(month, step) for month, step in enumerate(steps, 1) if month != 7]
    due = sorted([*due, (7, 260), (7, 240)], key=lambda each: (each[0], -each[1]))
    milestones = [
        {**GATE, "source_key": f"g{n}", "sequence": n, "bills_pct": None, "bills_amount": amount}
        for n, (_, amount) in enumerate(due, 1)
    ]
    plans = [plan(f"g{n}", "2025-12-01", f"2026-{month:02}-20") for n, (month, _) in enumerate(due, 1)]
    told = [event for n in range(1, approvals + 1) for event in approved(f"g{n}", f"2026-{min(n, 7):02}-25")]
    return {
        "as_of": until,
        "projects": [{**PROJECT, "contract_amount": "4000.00", "kickoff_at": "2026-01-01T17:00:00Z"}],
        "milestones": milestones,
        "milestone_plans": plans,
        "milestone_events": told,
    }


def test_earned_schedule_gives_the_worked_answer_of_the_rules_page(world: World) -> None:
    # METRICS, Schedule [O]: EV 2260 at AT 7 → ES 6.52, SV(t) −0.48, SPI(t) 0.93, IEAC(t) 12.9
    con = world(**worked())
    row = one(con, "earned_schedules")
    assert (float(row["earned_amount"]), row["elapsed_months"], row["planned_months"]) == (2260, 7, 12)
    assert row["earned_months"] == pytest.approx(6.52)
    assert row["variance_months"] == pytest.approx(-0.48)
    assert ask(con, "S6")["value"] == pytest.approx(0.93, abs=0.005)
    assert row["forecast_months"] == pytest.approx(12.9, abs=0.05)


def test_a_project_that_has_not_begun_has_no_pace_and_no_forecast(world: World) -> None:
    con = world(projects=[{**PROJECT, "kickoff_at": None}], milestone_plans=[plan("g1", "2025-12-01", "2026-05-01")])
    row = one(con, "earned_schedules")  # its plan stands still until May, so that nothing earned is worth four months
    assert (row["unknown_reason"], row["earned_months"], row["forecast_months"]) == ("not begun", None, None)


def test_months_elapse_by_calendar_and_stop_at_completion(world: World) -> None:
    half = one(world(**worked(until="2026-08-16T12:00:00")), "earned_schedules")
    assert half["elapsed_months"] == pytest.approx(7 + 15 / 31)
    done = worked(approvals=13, until="2026-12-31T12:00:00")
    row = one(world(**done), "earned_schedules")
    assert (str(row["stops_on"]), row["earned_months"]) == ("2026-07-25", 12)
    assert row["elapsed_months"] == pytest.approx(6 + 24 / 31)
    assert row["forecast_months"] == pytest.approx(row["elapsed_months"])


def test_where_the_plan_stands_still_the_last_month_reached_counts(world: World) -> None:
    milestones = [{**row, "bills_pct": None, "bills_amount": 100} for row in gates(2)]
    plans = [plan("g1", "2025-12-01", "2026-01-20"), plan("g2", "2025-12-01", "2026-05-20")]
    con = world(
        "2026-03-02T17:00:00",
        milestones=milestones,
        milestone_plans=plans,
        milestone_events=approved("g1", "2026-01-19"),
    )
    assert one(con, "earned_schedules")["earned_months"] == 4  # nothing is planned from February to April


def test_what_is_planned_for_today_is_due(world: World) -> None:
    told = {"milestone_plans": [plan("g1", "2025-12-01", "2026-02-10")]}
    due = [
        one(world(f"2026-02-{day}T17:00:00", **told), "earned_schedules")["due_amount"] for day in ("09", "10", "11")
    ]
    assert due == [0, 400, 400]


def test_a_month_begins_on_the_day_of_the_kickoff(world: World) -> None:
    late = {**PROJECT, "kickoff_at": "2026-01-31T17:00:00Z"}
    milestones = [{**row, "bills_pct": None, "bills_amount": 100} for row in gates(2)]
    plans = [plan("g1", "2025-12-01", "2026-02-27"), plan("g2", "2025-12-01", "2026-02-28")]
    con = world("2026-03-31T17:00:00", projects=[late], milestones=milestones, milestone_plans=plans)
    row = one(con, "earned_schedules")
    assert (row["planned_months"], row["elapsed_months"]) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"milestone_plans": []}, "no gate with an amount has a baseline"),
        ({"milestones": [{**GATE, "bills_pct": None}]}, "no gate has an amount"),
        ({"as_of": "2026-01-01T18:00:00"}, "not begun"),
        ({"as_of": "2026-01-02T18:00:00"}, "no time has passed"),
        ({"projects": [{**PROJECT, "kickoff_at": None, "signed_at": None}]}, "no kickoff and no signature"),
    ],
)
def test_a_project_without_an_earned_schedule_says_why(world: World, changes: dict[str, Any], reason: str) -> None:
    usual = {"milestone_plans": [plan("g1", "2025-12-01", "2026-02-01")]}
    con = world(**{**usual, **changes})
    row = one(con, "earned_schedules")
    assert (row["earned_months"], row["elapsed_months"], row["unknown_reason"]) == (None, None, reason)
    assert ask(con, "S6")["n"] == 0


def test_gates_without_an_amount_or_a_baseline_or_waived_earn_nothing(world: World) -> None:
    milestones = [
        {**row, "bills_pct": None, "bills_amount": amount}
        for row, amount in zip(gates(4), (100, None, 50, 30), strict=True)
    ]
    plans = [plan(gate, "2025-12-01", "2026-01-20") for gate in ("g1", "g2", "g4")]
    told = [
        *(event for gate in ("g1", "g2", "g3") for event in approved(gate, "2026-01-19")),
        *events("g4", ("waived", "2026-01-19T17:00:00Z")),
    ]
    row = one(
        world("2026-02-15T17:00:00", milestones=milestones, milestone_plans=plans, milestone_events=told),
        "earned_schedules",
    )
    assert (
        row["gate_count"],
        row["unplanned_gate_count"],
        float(row["planned_amount"]),
        float(row["earned_amount"]),
    ) == (1, 1, 100, 100)


# S5


def window(con: Any, measure: str) -> dict[str, Any]:
    return ask(con, measure, since=date(2026, 5, 1), until=date(2026, 5, 31))


def test_plan_changes_after_the_baseline_are_counted_and_judged_against_the_window(world: World) -> None:
    # the example of METRICS.md, S5
    plans = [
        plan("g1", "2025-12-01", "2026-05-20"),
        plan("g1", "2025-12-15", "2026-05-20"),  # a report that repeats the date
        plan("g1", "2026-05-04", "2026-06-09"),
        plan("g2", "2025-12-01", "2026-05-28"),
        plan("g2", "2026-05-06", "2026-05-26"),
        plan("g3", "2026-05-11", "2026-05-25"),
        plan("g4", "2025-12-01", "2026-07-01"),  # committed to July, and re-planned before the window
        plan("g4", "2026-04-02", "2026-06-01"),
    ]
    con = world(milestones=gates(4), milestone_plans=plans)
    assert (window(con, "S5")["value"], window(con, "S5l")["value"]) == (2, 50)
    assert ask(con, "S5")["value"] == 3
    pushed = window(con, "S5p")
    assert (pushed["value"], pushed["n"]) == (50, 2)
    assert window(con, "S5a")["value"] == 1


def test_changes_before_the_signature_break_no_commitment(world: World) -> None:
    plans = [plan("g1", "2025-12-01", "2026-05-20"), plan("g1", "2025-12-20", "2026-06-20")]
    con = world(milestone_plans=plans)
    assert ask(con, "S5")["value"] == 0
    assert ("before the baseline", 1) in [(reason, n) for reason, n, _ in explain(con, Question("S5")).left_out]


def test_a_commitment_is_the_plan_in_force_when_the_window_begins(world: World) -> None:
    plans = [
        plan("g1", "2025-12-01", "2026-03-01"),
        plan("g1", "2026-04-10", "2026-05-10"),  # late already, and promised anew for May
        plan("g1", "2026-05-08", "2026-06-10"),
        plan("g2", "2025-12-01", "2026-05-10"),
        plan("g2", "2026-06-03", "2026-07-10"),  # pushed only after the window: S2's miss, not S5p's
        plan("g3", "2025-12-01", "2026-05-12"),
    ]
    con = world(milestones=gates(3), milestone_plans=plans, milestone_events=approved("g3", "2026-04-20"))
    pushed = window(con, "S5p")
    assert (pushed["value"], pushed["n"]) == (50, 2)
    left = {
        reason: n
        for reason, n, _ in explain(con, Question("S5p", since=date(2026, 5, 1), until=date(2026, 5, 31))).left_out
    }
    assert left == {"approved before the window": 1}


def test_the_gates_of_a_new_project_are_not_added_to_a_commitment(world: World) -> None:
    new = {**PROJECT, "source_key": "p2", "signed_at": "2026-05-04T12:00:00Z", "kickoff_at": "2026-05-05T12:00:00Z"}
    milestones = [*gates(1), {**GATE, "source_key": "n1", "project": "p2"}]
    plans = [plan("g1", "2025-12-01", "2026-03-01"), plan("n1", "2026-05-04", "2026-05-25")]
    con = world(projects=[PROJECT, new], milestones=milestones, milestone_plans=plans)
    assert window(con, "S5a")["value"] == 0


def test_a_deleted_plan_moves_nothing_and_is_listed(world: World) -> None:
    plans = [
        plan("g1", "2025-12-01", "2026-05-20"),
        plan("g1", "2026-05-04", "2026-06-09", deleted_at="2026-05-05T12:00:00Z"),
    ]
    con = world(milestone_plans=plans)
    assert (str(one(con, "gates")["due_on"]), one(con, "gate_trends")["slip_days"]) == ("2026-05-20", 0)
    assert ask(con, "S5")["value"] == 0
    assert one(con, "rejects")["reason"] == "deleted"
