"""Working days: whose calendar, what counts, and how it adds up; [O] marks answers worked out elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import CLIENT, GATE, PROJECT, events, one, prepare, receive, small, unfold

from models.admission import StagedSource
from models.measure import Question, answer
from models.metrics import catalogue

pytestmark = pytest.mark.slow

Made = Callable[..., duckdb.DuckDBPyConnection]
SOURCE = [StagedSource("t", None, "raw_t")]


@pytest.fixture
def made() -> Iterator[Made]:
    """A world whose client, project, team and settings each may name a place: `made(as_of, client={…}, team={…}, …)`."""
    opened: list[duckdb.DuckDBPyConnection] = []

    def make(
        as_of: str = "2026-06-30T00:00:00",
        client: dict[str, Any] | None = None,
        project: dict[str, Any] | None = None,
        team: dict[str, str] | None = None,
        default: dict[str, str] | None = None,
        **records: Any,
    ) -> duckdb.DuckDBPyConnection:
        con = small()
        opened.append(con)
        prepare(con)
        for key, value in (team or {}).items():
            con.execute(f"update reference.sources set {key} = ?", [value])
        records = {"milestones": [GATE], **records}
        receive(
            con,
            "t",
            {"clients": [{**CLIENT, **(client or {})}], "projects": [{**PROJECT, **(project or {})}], **records},
        )
        unfold(con, SOURCE, as_of, **(default or {}))
        return con

    yield make
    for con in opened:
        con.close()


def days_on(con: duckdb.DuckDBPyConnection, calendar: str, starts: str, ends: str) -> float:
    """Working days between two UTC instants on a calendar, by the models' own tables and macros."""
    sql = """
        select micros_to_days(
            working_position($ends, e.starts_at, e.ends_at, e.is_working, e.working_before)
            - working_position($starts, s.starts_at, s.ends_at, s.is_working, s.working_before))
        from marts.working_days as s, marts.working_days as e
        where s.calendar = $calendar and e.calendar = $calendar
            and s.day_on = local_day($starts, s.timezone) and e.day_on = local_day($ends, e.timezone)
    """
    at = [datetime.fromisoformat(text) for text in (starts, ends)]
    rows = con.execute(sql, {"starts": at[0], "ends": at[1], "calendar": calendar}).fetchall()
    assert len(rows) == 1, f"no day of {calendar} holds {starts} and {ends}"
    days: float = rows[0][0]
    return days


def test_october_2012_to_march_2013_has_109_weekdays(made: Made) -> None:
    """[O] working days, Monday to Friday, half-open, 2012-10-01 to 2013-03-01."""
    con = made(project={"timezone": "UTC", "signed_at": "2012-09-01T00:00:00Z"}, client={"timezone": "UTC"})
    assert days_on(con, "UTC", "2012-10-01T00:00:00", "2013-03-01T00:00:00") == 109


def test_a_calendar_is_in_whole_days_what_numpy_counts(made: Made) -> None:
    con = made(project={"timezone": "America/New_York", "country": "US", "signed_at": "2024-12-31T12:00:00Z"})
    calendar, zone = "America/New_York|US", ZoneInfo("America/New_York")
    rows = con.execute(
        "select holiday, day_on from marts.working_days where holiday is not null and calendar = ?", [calendar]
    )
    holidays = [day for _, day in rows.fetchall()]
    assert date(2025, 7, 4) in holidays
    for starts, ends in [("2025-01-01", "2025-12-31"), ("2025-06-30", "2025-07-08"), ("2025-03-07", "2025-03-12")]:
        at = [
            datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC).isoformat()[:19] for day in (starts, ends)
        ]
        assert days_on(con, calendar, *at) == np.busday_count(starts, ends, holidays=holidays)


def billed(issued_at: str, **invoice: Any) -> dict[str, Any]:
    """Records of one invoice over 400 for gate g1."""
    bill = {
        "source_key": "i1", "client": "c1", "project": "p1", "status": "open", "currency": "USD",
        "total": "400.00", "issued_at": issued_at,
    }  # fmt: skip
    line = {"source_key": "l1", "invoice": "i1", "milestone": "g1", "amount": "400.00"}
    return {"invoices": [{**bill, **invoice}], "invoice_lines": [line]}


EARLIER = {"signed_at": "2025-01-01T12:00:00Z", "kickoff_at": "2025-01-02T12:00:00Z"}


def test_approved_on_a_thursday_and_invoiced_on_monday_over_the_fourth_of_july_is_one_working_day(made: Made) -> None:
    """[O] approved Thu 2025-07-03, invoiced Mon 2025-07-07, US calendar: 4 elapsed days, 1 working day."""
    con = made(
        client={"country": "US"},
        project=EARLIER,
        milestone_events=events("g1", ("started", "2025-07-01T16:00:00Z"), ("approved", "2025-07-03T16:00:00Z")),
        **billed("2025-07-07T16:00:00Z"),
    )
    line, gate = one(con, "gate_billing"), one(con, "gates")
    assert (line["billing_lag_days"], line["billing_lag_working_days"]) == (4, 1)
    assert (gate["billing_lag_days"], gate["billing_lag_working_days"]) == (4, 1)
    assert (gate["cycle_days"], gate["cycle_working_days"]) == (2, 2)


@pytest.mark.parametrize(
    ("starts", "ends", "elapsed"),
    [
        ("2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23 / 24),
        ("2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25 / 24),
    ],
)
def test_a_day_of_23_and_one_of_25_hours_each_count_one_when_whole(
    made: Made, starts: str, ends: str, elapsed: float
) -> None:
    # clocks change on a Sunday, which is a working day in Israel
    con = made(
        "2026-12-01T00:00:00",
        project={"timezone": "America/New_York", "country": "IL", "kickoff_at": "2026-01-01T12:00:00Z"},
        milestone_events=events("g1", ("started", starts), ("approved", ends)),
    )
    gate = one(con, "gates")
    assert gate["cycle_days"] == pytest.approx(elapsed)
    assert gate["cycle_working_days"] == 1


def test_noon_of_a_day_of_23_hours_lies_eleven_hours_in(made: Made) -> None:
    con = made(project={"timezone": "America/New_York", "country": "IL"})
    found = days_on(con, "America/New_York|IL", "2026-03-08T05:00:00", "2026-03-08T16:00:00")
    assert found == pytest.approx(11 / 23)


def test_a_holiday_of_one_subdivision_counts_there_alone(made: Made) -> None:
    # Corpus Christi, 4 June 2026, is off in Bavaria and not in Berlin
    con = made(
        client={"timezone": "Europe/Berlin", "country": "DE", "subdivision": "BY"},
        project={"timezone": "Europe/Berlin", "country": "DE", "subdivision": "BE"},
    )
    found = {
        state: days_on(con, f"Europe/Berlin|DE|{state}", "2026-06-02T22:00:00", "2026-06-04T22:00:00")
        for state in ("BY", "BE")
    }
    assert found == {"BY": 1, "BE": 2}


def test_the_days_of_a_clock_are_those_of_its_zone_and_not_of_utc(made: Made) -> None:
    # in New York from Friday 23:00, which is Saturday in UTC, to Monday 01:00: an hour at either end of a weekend
    told = ("2026-01-10T04:00:00Z", "2026-01-12T06:00:00Z")
    con = made(
        milestone_events=events("g1", ("started", told[0]), ("submitted", told[0]), ("approved", told[1])),
        handoffs=[{"source_key": "h1", "milestone": "g1", "to_team": "build", "started_at": "2026-01-17T04:00:00Z"}],
        change_orders=[
            {"source_key": "o1", "project": "p1", "status": "rejected", "submitted_at": told[0], "decided_at": told[1]}
        ],
        payments=[{"source_key": "y1", "invoice": "i1", "received_at": told[1], "amount": "9.00", "currency": "USD"}],
        **billed(told[0]),
    )
    two_hours = pytest.approx(2 / 24)
    assert one(con, "gates")["cycle_working_days"] == two_hours
    assert one(con, "gate_attempts")["wait_working_days"] == two_hours
    assert one(con, "gate_billing")["billing_lag_working_days"] == pytest.approx(-2 / 24)
    assert one(con, "handoffs")["latency_working_days"] == pytest.approx(5 - 2 / 24)
    assert one(con, "change_orders")["decision_working_days"] == two_hours
    assert one(con, "payments")["cash_working_days"] == two_hours


def test_work_runs_on_the_teams_calendar_and_wait_on_the_clients(made: Made) -> None:
    # on Friday 3 July 2026 the firm in New York is off for the Fourth; Berlin works, and then both have a weekend
    told = events(
        "g1",
        ("started", "2026-07-02T16:00:00Z"),
        ("changes_requested", "2026-07-03T16:00:00Z"),
        ("submitted", "2026-07-06T16:00:00Z"),
        ("approved", "2026-07-07T16:00:00Z"),
    )
    told += [{**told[0], "source_key": "g1-s", "type": "submitted", "occurred_at": "2026-07-02T16:00:00Z"}]
    con = made(
        "2026-07-31T00:00:00",
        client={"timezone": "America/New_York", "country": "DE"},
        project={"country": "GB"},
        team={"timezone": "America/New_York", "country": "US"},
        milestone_events=told,
    )
    gate = one(con, "gates")
    # first attempt: the client waits from Thursday noon to Friday noon; second: the team works Friday noon to Monday noon
    assert (gate["client_wait_days"], gate["client_wait_working_days"]) == (2, 2)
    assert (gate["work_days"], gate["work_working_days"]) == (3, 0.5)
    # the project itself is British: Thursday noon to Tuesday noon without the weekend
    assert (gate["cycle_days"], gate["cycle_working_days"]) == (5, 3)


def test_a_wait_for_the_team_runs_on_the_teams_calendar(made: Made) -> None:
    con = made(
        "2026-07-31T00:00:00",
        client={"country": "DE"},
        team={"country": "US"},
        milestone_events=events(
            "g1", ("started", "2026-07-01T16:00:00Z"), ("submitted", "2026-07-02T16:00:00Z"),
            ("approved", "2026-07-03T16:00:00Z"), side="team",
        ),
    )  # fmt: skip
    clock, gate = one(con, "gate_attempts"), one(con, "gates")
    assert (clock["work_working_days"], clock["wait_working_days"]) == (1, 0.5)
    assert (gate["work_working_days"], gate["client_wait_working_days"]) == (1, 0)


def test_a_weekend_of_friday_and_saturday_leaves_sunday_to_work(made: Made) -> None:
    con = made(client={"timezone": "Asia/Jerusalem", "country": "IL"})
    days = con.execute(
        "select dayname(day_on), bool_or(is_working) from marts.working_days "
        "where calendar = 'Asia/Jerusalem|IL' group by all"
    )
    assert {day for day, works in days.fetchall() if not works} == {"Friday", "Saturday"}


def test_where_no_country_is_known_monday_to_friday_work_and_no_day_is_a_holiday(made: Made) -> None:
    con = made()
    days = con.execute(
        "select dayname(day_on), bool_and(is_working), bool_or(is_working) from marts.working_days group by all"
    )
    assert {(day, every, some) for day, every, some in days.fetchall() if not every} == {
        ("Saturday", False, False),
        ("Sunday", False, False),
    }


@pytest.mark.parametrize(
    ("client", "project", "default", "calendar"),
    [
        ({}, {}, {}, "America/New_York"),
        ({}, {}, {"country": "US", "subdivision": "CA"}, "America/New_York|US|CA"),
        ({"country": "US"}, {}, {"country": "DE", "subdivision": "BE"}, "America/New_York|US"),
        ({"country": "US", "subdivision": "NY"}, {"subdivision": "CA"}, {}, "America/New_York|US|CA"),
        ({"country": "US", "subdivision": "NY"}, {"country": "DE"}, {}, "America/New_York|DE"),
        ({"subdivision": "NY"}, {}, {}, "America/New_York"),
    ],
)
def test_a_projects_calendar_is_its_own_then_its_clients_then_the_settings(
    made: Made, client: dict[str, str], project: dict[str, str], default: dict[str, str], calendar: str
) -> None:
    con = made(client=client, project=project, default=default)
    assert one(con, "project_calendars", "side = 'project'")["calendar"] == calendar


def test_a_client_without_a_country_and_a_firm_without_one_keep_the_projects_days_off(made: Made) -> None:
    place = {"timezone": "America/Los_Angeles", "country": "US", "subdivision": "CA"}
    con = made(client={"timezone": "Europe/London"}, project=place)
    found = con.execute("select side, calendar from marts.project_calendars order by side").fetchall()
    assert found == [
        ("authority", "America/Los_Angeles|US|CA"),
        ("client", "Europe/London|US|CA"),
        ("project", "America/Los_Angeles|US|CA"),
        ("team", "America/Los_Angeles|US|CA"),
    ]


def test_an_instant_on_a_holiday_stands_where_the_next_working_day_begins(made: Made) -> None:
    con = made(client={"country": "US"})
    # Friday 3 July 2026 is off: from its afternoon to Monday 06:00 in New York is a quarter of a working day
    assert days_on(con, "America/New_York|US", "2026-07-03T19:00:00", "2026-07-06T10:00:00") == 0.25
    assert days_on(con, "America/New_York|US", "2026-07-03T19:00:00", "2026-07-05T10:00:00") == 0


def test_open_gates_hand_offs_and_change_orders_age_in_working_days_too(made: Made) -> None:
    # as of Monday 6 July 2026 noon in New York; Friday the third is off there
    con = made(
        "2026-07-06T16:00:00",
        client={"country": "US"},
        milestones=[GATE, {**GATE, "source_key": "g2", "sequence": 2}],
        milestone_events=[
            *events("g1", ("started", "2026-07-01T16:00:00Z"), ("approved", "2026-07-02T16:00:00Z")),
            *events("g2", ("started", "2026-07-01T16:00:00Z"), ("submitted", "2026-07-02T16:00:00Z")),
        ],
        handoffs=[{"source_key": "h1", "milestone": "g1", "to_team": "build", "notified_at": "2026-07-03T04:00:00Z"}],
        change_orders=[
            {"source_key": "o1", "project": "p1", "status": "pending", "submitted_at": "2026-07-02T16:00:00Z"},
            {
                "source_key": "o2", "project": "p1", "status": "rejected",
                "submitted_at": "2026-06-30T16:00:00Z", "decided_at": "2026-07-04T16:00:00Z",
            },
        ],
    )  # fmt: skip
    approved, waiting = one(con, "gates", "source_key = 'g1'"), one(con, "gates", "source_key = 'g2'")
    assert (waiting["age_days"], waiting["age_working_days"]) == (5, 2)
    assert (waiting["waiting_days"], waiting["waiting_working_days"]) == (4, 1)
    assert (approved["unbilled_days"], approved["unbilled_working_days"]) == (4, 1)
    assert (approved["age_working_days"], approved["waiting_working_days"]) == (None, None)
    handoff = one(con, "handoffs")
    assert (handoff["age_working_days"], handoff["notify_working_days"], handoff["latency_working_days"]) == (
        1,
        0.5,
        None,
    )
    pending, rejected = (one(con, "change_orders", f"source_key = '{key}'") for key in ("o1", "o2"))
    assert (pending["age_working_days"], pending["decision_working_days"]) == (1, None)
    assert (rejected["age_working_days"], rejected["decision_working_days"]) == (None, 2.5)


def test_a_hand_off_that_began_early_is_negative_in_working_days_too(made: Made) -> None:
    con = made(
        milestone_events=events("g1", ("approved", "2026-01-12T17:00:00Z")),
        handoffs=[{"source_key": "h1", "milestone": "g1", "to_team": "build", "started_at": "2026-01-09T17:00:00Z"}],
    )
    handoff = one(con, "handoffs")
    assert (handoff["latency_days"], handoff["latency_working_days"]) == (-3, -1)


def test_a_hand_off_runs_on_the_teams_calendar_and_a_change_order_on_the_projects(made: Made) -> None:
    # Friday 3 July 2026 is off in the United States alone
    con = made(
        "2026-07-31T00:00:00",
        client={"country": "US"},
        project={"country": "DE"},
        team={"country": "US"},
        milestone_events=events("g1", ("approved", "2026-07-02T04:00:00Z")),
        handoffs=[{"source_key": "h1", "milestone": "g1", "to_team": "build", "started_at": "2026-07-04T04:00:00Z"}],
        change_orders=[
            {
                "source_key": "o1", "project": "p1", "status": "rejected",
                "submitted_at": "2026-07-02T04:00:00Z", "decided_at": "2026-07-04T04:00:00Z",
            }
        ],
    )  # fmt: skip
    assert one(con, "handoffs")["latency_working_days"] == 1
    assert one(con, "change_orders")["decision_working_days"] == 2


def test_where_client_and_team_work_more_days_than_the_project_its_own_calendar_counts(made: Made) -> None:
    # Friday 3 July 2026 is off in the United States alone; the gate is billed on Thursday and approved on Saturday
    thursday, saturday = "2026-07-02T04:00:00Z", "2026-07-04T04:00:00Z"
    con = made(
        "2026-07-31T00:00:00",
        client={"country": "DE"},
        project={"country": "US"},
        team={"country": "DE"},
        milestone_events=events("g1", ("started", thursday), ("approved", saturday)),
        change_orders=[
            {
                "source_key": "o1",
                "project": "p1",
                "status": "rejected",
                "submitted_at": thursday,
                "decided_at": saturday,
            }
        ],
        payments=[
            {"source_key": "y1", "invoice": "i1", "received_at": saturday, "amount": "400.00", "currency": "USD"}
        ],
        **billed(thursday),
    )
    assert one(con, "gates")["cycle_working_days"] == 1
    assert one(con, "gate_billing")["billing_lag_working_days"] == -1
    assert one(con, "change_orders")["decision_working_days"] == 1
    assert one(con, "payments")["cash_working_days"] == 1


def test_a_phase_is_counted_in_the_projects_working_days(made: Made) -> None:
    con = made(
        milestones=[GATE, {**GATE, "source_key": "g2", "sequence": 2}],
        milestone_events=[
            *events("g1", ("approved", "2026-01-09T17:00:00Z")),
            *events("g2", ("approved", "2026-01-13T17:00:00Z")),
        ],
    )
    gate = one(con, "gates", "source_key = 'g2'")
    assert (gate["phase_days"], gate["phase_working_days"]) == (4, 2)


def test_cash_is_waited_for_on_the_projects_calendar_and_without_one_on_the_clients(made: Made) -> None:
    paid = {
        "source_key": "y1",
        "invoice": "i1",
        "received_at": "2026-06-05T22:00:00Z",
        "amount": "400.00",
        "currency": "USD",
    }
    told = billed("2026-06-02T22:00:00Z")
    place = {
        "client": {"timezone": "Europe/Berlin", "country": "DE", "subdivision": "BY"},
        "project": {"country": "US"},
    }
    on_project = made(payments=[paid], **told, **place)
    assert one(on_project, "payments")["cash_working_days"] == 3
    alone = {**told["invoices"][0], "project": None}
    without = made(payments=[paid], **place, invoices=[alone])
    assert (one(without, "payments")["cash_days"], one(without, "payments")["cash_working_days"]) == (3, 2)


def test_an_invoice_waits_in_working_days_for_what_is_paid_and_for_what_is_open(made: Made) -> None:
    paid = {
        "source_key": "y1",
        "invoice": "i1",
        "received_at": "2026-06-08T16:00:00Z",
        "amount": "300.00",
        "currency": "USD",
    }
    con = made("2026-06-15T16:00:00", payments=[paid], **billed("2026-06-05T16:00:00Z"))
    invoice = one(con, "invoices")
    # 300 were paid after a weekend, 100 are open ten days and two weekends later
    assert (invoice["cash_days"], invoice["cash_working_days"]) == (3, 1)
    assert (invoice["waiting_days"], invoice["waiting_working_days"]) == (
        (3 * 300 + 10 * 100) / 400,
        (300 + 6 * 100) / 400,
    )


def test_an_invoice_written_off_ends_its_wait_in_working_days(made: Made) -> None:
    told = billed("2026-06-05T16:00:00Z", status="uncollectible", recorded_at="2026-06-08T16:00:00Z")
    invoice = one(made("2026-06-15T16:00:00", **told), "invoices")
    assert (invoice["lost_days"], invoice["lost_working_days"], invoice["waiting_working_days"]) == (3, 1, None)


@pytest.mark.parametrize(
    ("zone", "month"), [("America/Los_Angeles", date(2025, 2, 1)), ("Australia/Sydney", date(2025, 3, 1))]
)
def test_what_is_approved_and_billed_at_one_instant_falls_into_the_month_of_the_projects_zone(
    made: Made, zone: str, month: date
) -> None:
    """[O] 2025-03-01T04:00Z is 28 February in Los Angeles and 1 March in Sydney: another billing month."""
    con = made(
        project={**EARLIER, "timezone": zone},
        milestones=[GATE, {**GATE, "source_key": "g2", "sequence": 2}],
        milestone_events=events("g2", ("approved", "2025-03-01T04:00:00Z")),
        **billed("2025-03-01T04:00:00Z"),
    )
    early = answer(con, Question("B12", by=("month",)))
    assert [(row["month"], row["value"]) for row in early.to_dicts() if row["value"]] == [(month, 400)]
    approved = answer(con, Question("F10", by=("month",)))
    assert [row["month"] for row in approved.to_dicts() if row["value"]] == [month]


def test_a_duration_is_answered_on_either_clock_and_a_hand_off_in_working_days_unless_asked(made: Made) -> None:
    gates = [{**GATE, "source_key": f"g{n}", "sequence": n} for n in range(1, 7)]
    told = [
        row
        for gate in gates
        for row in events(gate["source_key"], ("started", "2026-01-09T17:00:00Z"), ("approved", "2026-01-12T17:00:00Z"))
    ]
    handoffs = [
        {"source_key": f"h{n}", "milestone": f"g{n}", "to_team": "build", "started_at": "2026-01-19T17:00:00Z"}
        for n in range(1, 7)
    ]
    con = made(milestones=gates, milestone_events=told, handoffs=handoffs)
    asked = {
        (measure, clock): answer(con, Question(measure, clock=clock))["value"].item()
        for measure in ("F1", "F20")
        for clock in (None, "elapsed", "working")
    }
    assert asked == {
        ("F1", None): 3, ("F1", "elapsed"): 3, ("F1", "working"): 1,
        ("F20", None): 5, ("F20", "elapsed"): 7, ("F20", "working"): 5,
    }  # fmt: skip


def test_every_measure_of_a_span_between_instants_can_be_told_in_working_days(made: Made) -> None:
    told = {name for name, measure in catalogue().items() if measure.working}
    assert {"F1", "F4", "F5", "F5w", "F12", "F20", "B1", "B2", "C4"} <= told
    con = made()
    for name in told:
        assert answer(con, Question(name, clock="working")).height >= 0


minutes = st.integers(0, 2 * 366 * 24 * 60 - 1)


@pytest.fixture(scope="module")
def calendars() -> Iterator[duckdb.DuckDBPyConnection]:
    con = small()
    prepare(con)
    places = [
        ("c1", "America/New_York", "US", "NY"),
        ("c2", "Asia/Jerusalem", "IL", None),
        ("c3", "Australia/Lord_Howe", "AU", None),
    ]
    receive(con, "t", {"clients": [
        {"source_key": key, "name": key, "timezone": zone, "country": country, "subdivision": state}
        for key, zone, country, state in places
    ]})  # fmt: skip
    unfold(con, SOURCE, "2026-06-30T00:00:00")
    yield con
    con.close()


def instant(minute: int) -> str:
    return (datetime(2025, 1, 3) + timedelta(minutes=minute)).isoformat()


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["America/New_York|US|NY", "Asia/Jerusalem|IL", "Australia/Lord_Howe|AU"]),
    st.tuples(minutes, minutes, minutes).map(sorted),
)
def test_working_days_add_up_and_turn_their_sign_with_their_ends(
    calendars: duckdb.DuckDBPyConnection, calendar: str, told: list[int]
) -> None:
    first, second, third = map(instant, told)
    whole = days_on(calendars, calendar, first, third)
    micros = [
        round(days_on(calendars, calendar, *ends) * 86_400_000_000) for ends in ((first, second), (second, third))
    ]
    assert sum(micros) == round(whole * 86_400_000_000)
    assert days_on(calendars, calendar, third, first) == -whole
    assert 0 <= whole <= (told[2] - told[0]) / 1380 + 1e-9
