"""An Asana workspace, pulled from a loopback that answers by Asana's own schemas, up to gates and what they bill."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asana_fake import TOKEN, WORKSPACE, AsanaFake, custom, refusal
from loopback import Loopback, Reply, serving
from pulled import Pulled

from models.faults import Fault
from pipelines.settings import PROJECT, Settings
from pipelines.source_blocks import AsanaSource
from pipelines.sources.asana import probe

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)

pytestmark = pytest.mark.slow


class Desk(Pulled):
    """One source that is an Asana fake; `asana` is the workspace, `server` the loopback before it."""

    asana: AsanaFake
    server: Loopback

    def block(self, **told: Any) -> None:
        self.blocks["desk"] = {**self.blocks["desk"], **told}

    def is_listing(self) -> bool:
        """Whether the page on its way is one of tasks, as they are read and not only counted."""
        asked = self.server.asked[-1]
        return asked.path == "/tasks" and "name" in asked.query["opt_fields"].split(",")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    asana = AsanaFake()
    with serving(asana.answer) as server:
        block = {"kind": "asana", "url": server.url, "workspace": WORKSPACE, "token_env": "ASANA", "page_size": 2,
                 "currency": "USD"}  # fmt: skip
        made = Desk(tmp_path, {"desk": block}, {"ASANA": TOKEN})
        made.asana, made.server = asana, server
        yield made
    assert asana.complaints == []


@pytest.fixture
def rebrand(desk: Desk) -> str:
    return desk.asana.project("Rebrand", "Aster", start_on="2026-03-02")


def stored(desk: Desk) -> dict[str, str]:
    return dict(desk.stored("select name, gone_at is not null from raw_desk.tasks"))


# --- what becomes of it --------------------------------------------------------------------------------------


def test_a_milestone_is_decided_by_the_approval_below_it_and_billed_by_the_invoice_it_names(
    desk: Desk, rebrand: str
) -> None:
    asana = desk.asana
    asana.projects[rebrand]["custom_fields"] = [custom("61", "Fee", 10000), custom("62", "Signed", None)]
    gate = asana.task(rebrand, "Concept", MONDAY, due_on="2026-03-10", assignee={"gid": "3", "name": "Ida"},
                      custom_fields=[custom("71", "Bills", 4000.5), custom("72", "Hands to", "Design"),
                                     custom("73", "Invoice", "2026-1")])  # fmt: skip
    asana.section(gate, "Planned", "Doing", MONDAY + DAY)
    asana.plan(gate, "2026-03-17", MONDAY + 3 * DAY)
    asana.section(gate, "Doing", "Client review", MONDAY + 8 * DAY)
    vote = asana.approval(gate, "Does Cleo approve?", MONDAY + 8 * DAY, assignee={"gid": "4", "name": "Cleo"})
    asana.vote(vote, "changes_requested", MONDAY + 9 * DAY)
    asana.vote(vote, "pending", MONDAY + 11 * DAY, by="Ida")
    asana.vote(vote, "approved", MONDAY + 14 * DAY)
    asana.tick(gate, True, MONDAY + 20 * DAY)  # days later, and decides nothing
    desk.block(
        fields={"contract_amount": "Fee", "amount": "71", "next_team": "Hands to", "invoice": "Invoice"},
        statuses={"Doing": "started", "Client review": "submitted"},
    )
    desk.blocks["books"] = {"kind": "files", "tables": {
        "clients": {"glob": "clients.csv"}, "invoices": {"glob": "invoices.csv"}, "invoice_lines": {"glob": "lines.csv"},
    }}  # fmt: skip
    inbox = desk.data / "inbox"
    inbox.mkdir()
    (inbox / "clients.csv").write_text("source_key,name\nc1,ASTER\n")
    (inbox / "invoices.csv").write_text(
        "source_key,client,number,status,issued_at,currency,total\ni1,c1,2026-1,open,2026-03-20T12:00:00Z,USD,4000.50\n"
    )
    (inbox / "lines.csv").write_text("source_key,invoice,amount,description\nl1,i1,4000.50,Second half\n")
    assert desk.pull(MONDAY + 30 * DAY).rows == {"projects": 1, "tasks": 2}
    desk.pull(MONDAY + 30 * DAY, "books")
    with desk.built(MONDAY + 30 * DAY) as con:
        told = con.sql(
            "select client, project, manager, gate_name, kind, status, attempt_count, is_first_pass, started_at, "
            "approved_at, cycle_days, due_on::text, baseline_on::text, plan_change_count, next_team, bills_amount, "
            "invoiced_amount, billing_lag_days, history_quality from marts.gates"
        ).fetchall()
        assert told == [
            ("Aster", "Rebrand", "Ida", "Concept", "gate", "approved", 2, False, datetime(2026, 3, 3, 12),
             datetime(2026, 3, 16, 12), 13.0, "2026-03-17", "2026-03-10", 1, "Design", Decimal("4000.50"),
             Decimal("4000.50"), 4.0, "log")
        ]  # fmt: skip
        attempts = con.sql("select attempt, work_days, wait_days, decision from marts.gate_attempts order by attempt")
        assert attempts.fetchall() == [(1, 7.0, 1.0, "changes_requested"), (2, 2.0, 3.0, "approved")]
        assert con.sql("select approver from staging.milestones").fetchall() == [("Cleo",)]
        assert con.sql("select contract_amount_local, kickoff_at from marts.projects").fetchall() == [
            (Decimal("10000.00"), datetime(2026, 3, 2, 17))
        ]


VOTES = {
    "approved": ("approved", "planned approved"),
    "rejected": ("changes_requested", "planned rejected"),
    "changes_requested": ("changes_requested", "planned changes_requested"),
    "approved pending": ("changes_requested", "planned approved reopened"),
    "approved pending approved": ("approved", "planned approved reopened approved"),
    "rejected pending approved": ("approved", "planned rejected submitted approved"),
    "": ("not_started", "planned"),
}


def test_completed_is_no_approval_and_refusals_and_reopenings_are_told_apart(desk: Desk, rebrand: str) -> None:
    desk.block(page_size=100)
    for votes in VOTES:
        gate = desk.asana.task(rebrand, votes or "-", MONDAY, "approval")
        for number, vote in enumerate(votes.split(), 1):
            desk.asana.vote(gate, vote, MONDAY + number * HOUR)
    ticked = desk.asana.task(rebrand, "ticked", MONDAY)
    desk.asana.tick(ticked, True, MONDAY + HOUR)
    unticked = desk.asana.task(rebrand, "unticked", MONDAY)
    desk.asana.tick(unticked, True, MONDAY + HOUR)
    desk.asana.tick(unticked, False, MONDAY + 2 * HOUR)
    desk.asana.task(rebrand, "imported", MONDAY, completed=True, completed_at=MONDAY + HOUR)
    desk.asana.task(rebrand, "imported vote", MONDAY, "approval", approval_status="rejected", completed=True,
                    completed_at=MONDAY + HOUR)  # fmt: skip
    two = desk.asana.task(rebrand, "of two", MONDAY)
    one, other = (desk.asana.approval(two, name, MONDAY + HOUR) for name in ("Legal", "Brand"))
    desk.asana.vote(one, "approved", MONDAY + 2 * HOUR)
    half = desk.asana.task(rebrand, "of two, one missing", MONDAY)
    desk.asana.vote(desk.asana.approval(half, "Legal", MONDAY + HOUR), "approved", MONDAY + 2 * HOUR)
    desk.asana.approval(half, "Brand", MONDAY + HOUR)
    desk.asana.vote(other, "rejected", MONDAY + 3 * HOUR)
    desk.asana.vote(other, "pending", MONDAY + 4 * HOUR)
    desk.asana.vote(other, "approved", MONDAY + 5 * HOUR)
    against = desk.asana.task(rebrand, "ticked against a refusal", MONDAY)
    desk.asana.vote(desk.asana.approval(against, "Legal", MONDAY), "rejected", MONDAY + HOUR)
    desk.asana.tick(against, True, MONDAY + 2 * HOUR)
    desk.pull(MONDAY + DAY)
    with desk.built(MONDAY + DAY) as con:
        told = con.sql(
            "select gate_name, any_value(gates.status), string_agg(events.type, ' ' order by events.position) "
            "from marts.gates as gates inner join marts.gate_events as events using (gate_id, gate_name) group by all"
        ).fetchall()
        origins = con.sql(
            "select distinct gate_name from marts.gate_events where origin <> 'log' order by 1"
        ).fetchall()
        approved_at = con.sql("select approved_at from marts.gates where gate_name = 'of two'").fetchall()
    assert {name: tuple(found) for name, *found in told} == {
        **{name or "-": wanted for name, wanted in VOTES.items()},
        "ticked": ("approved", "planned approved"),
        "unticked": ("changes_requested", "planned approved reopened"),
        "imported": ("approved", "planned approved"),
        "imported vote": ("changes_requested", "planned rejected"),
        "ticked against a refusal": ("changes_requested", "planned rejected"),
        "of two": ("approved", "planned rejected submitted approved"),
        "of two, one missing": ("not_started", "planned"),
    }
    assert origins == [("imported",), ("imported vote",)]
    assert approved_at == [(datetime(2026, 3, 2, 17),)]


def test_what_a_tick_or_a_vote_means_is_up_to_the_settings(desk: Desk, rebrand: str) -> None:
    ticked = desk.asana.task(rebrand, "Concept", MONDAY)
    desk.asana.tick(ticked, True, MONDAY + HOUR)
    asked = desk.asana.task(rebrand, "Launch", MONDAY, "approval")
    desk.asana.vote(asked, "rejected", MONDAY + HOUR)
    desk.block(statuses={"completed": "ignored", "pending": "submitted", "rejected": "cancelled"})
    desk.pull(MONDAY + DAY)
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select milestone_id, type from staging.milestone_events order by all").fetchall()
    assert told == [
        (f"desk:{ticked}", "planned"),
        (f"desk:{asked}", "cancelled"),
        (f"desk:{asked}", "submitted"),
    ]


def test_a_vote_that_asana_has_new_is_named_with_where_it_is_mapped(desk: Desk, rebrand: str) -> None:
    gate = desk.asana.task(rebrand, "Concept", MONDAY, "approval")
    desk.asana.vote(gate, "escalated", MONDAY + HOUR)
    desk.pull(MONDAY + DAY)
    with pytest.raises(Fault) as caught, desk.staged(MONDAY + DAY):
        pass
    told = str(caught.value)
    assert "source desk, milestone_events: " in told
    assert "field type: 'escalated' is unknown. Known are: planned, " in told
    assert "Add it to statuses in the block of the source" in told
    desk.asana.complaints.clear()  # the official schema does not know it either


def test_a_plan_is_kept_for_every_due_date_of_the_stories(desk: Desk, rebrand: str) -> None:
    fixed = desk.asana.task(rebrand, "A", MONDAY, due_on="2026-03-09")
    moved = desk.asana.task(rebrand, "B", MONDAY)
    for number, due in enumerate(("2026-04-01", None, "2026-05-01"), 1):
        desk.asana.plan(moved, due, MONDAY + number * HOUR)
    hourly = desk.asana.task(rebrand, "C", MONDAY)
    desk.asana._tell(hourly, MONDAY + HOUR, "Ida", "due_date_changed", new_dates={"due_at": "2026-06-02T03:00:00.000Z"})
    below = desk.asana.approval(fixed, "Cleo?", MONDAY, due_on="2026-03-08")
    desk.block(timezone="America/New_York")
    desk.pull(MONDAY + DAY)
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select milestone_id, due_on::text, recorded_at from staging.milestone_plans order by all")
        assert told.fetchall() == [
            (f"desk:{fixed}", "2026-03-09", datetime(2026, 3, 2, 12)),
            (f"desk:{moved}", "2026-04-01", datetime(2026, 3, 2, 13)),
            (f"desk:{moved}", "2026-05-01", datetime(2026, 3, 2, 15)),
            (f"desk:{hourly}", "2026-06-01", datetime(2026, 3, 2, 13)),
        ]
        keys = con.sql("select milestone_id, reject_reason from staging.milestones where reject_reason is not null")
        assert keys.fetchall() == []
    assert below in desk.asana.tasks


# --- what is asked for ---------------------------------------------------------------------------------------


def test_pages_are_followed_and_only_what_changed_is_read_again_with_its_stories(desk: Desk, rebrand: str) -> None:
    made = [desk.asana.task(rebrand, f"Gate {number}", MONDAY + number * 2 * MINUTE) for number in range(5)]
    desk.asana.task(rebrand, "A chore", MONDAY, "default_task")
    assert desk.pull(MONDAY + HOUR).rows["tasks"] == 5
    assert not desk.pull(MONDAY + 2 * HOUR).changed
    desk.server.asked.clear()
    desk.asana.tick(made[1], True, MONDAY + 9 * MINUTE)
    assert desk.pull(MONDAY + 3 * HOUR).rows["tasks"] == 1
    assert desk.server.asked[1].query["modified_since"] == "2026-03-02T12:07:00.000000Z"
    assert sum(path.endswith("/stories") for path in desk.server.paths()) == 2  # the other is within the lookback
    assert all(int(one.query["limit"]) == 2 for one in desk.server.asked if "limit" in one.query)


def test_a_vote_below_a_milestone_is_seen_though_the_milestone_is_not_modified(desk: Desk, rebrand: str) -> None:
    gate = desk.asana.task(rebrand, "Concept", MONDAY)
    desk.pull(MONDAY + HOUR)
    vote = desk.asana.approval(gate, "Cleo?", MONDAY + 2 * HOUR)
    assert desk.pull(MONDAY + 3 * HOUR).rows["tasks"] == 2  # and how many subtasks the milestone has
    desk.asana.vote(vote, "approved", MONDAY + 4 * HOUR)
    assert desk.asana.tasks[gate]["modified_at"] == MONDAY
    assert desk.pull(MONDAY + 5 * HOUR).rows["tasks"] == 1
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select milestone_id, type from staging.milestone_events order by occurred_at").fetchall()
    assert told == [(f"desk:{gate}", "planned"), (f"desk:{gate}", "approved")]


def test_a_task_modified_while_the_list_is_read_is_asked_for_the_next_time(desk: Desk, rebrand: str) -> None:
    """What is read later may be dated later: the next pull must ask from when the list was begun."""
    now = datetime.now(UTC)
    made = [desk.asana.task(rebrand, f"Gate {number}", now - HOUR) for number in range(4)]
    later = iter([(made[0], 10), (made[3], 20)])  # one that was read already, one that was not

    def touch() -> None:
        if desk.is_listing():
            for gate, minutes in later:
                desk.asana.tick(gate, True, now + minutes * MINUTE)

    desk.asana.after_page = touch
    desk.pull(now)
    desk.asana.after_page = lambda: None
    desk.pull(now + HOUR)
    assert desk.stored("select name from raw_desk.tasks where completed = 'true' order by 1") == [
        ("Gate 0",), ("Gate 3",)
    ]  # fmt: skip


def test_a_task_that_slips_between_two_pages_is_found(desk: Desk, rebrand: str) -> None:
    made = [desk.asana.task(rebrand, f"Gate {number}", MONDAY) for number in range(4)]

    def slip() -> None:
        """Somebody drags the third task to the top while the first page is on its way."""
        if desk.is_listing() and desk.asana.order[rebrand][0] == made[0]:
            desk.asana.order[rebrand].remove(made[2])
            desk.asana.order[rebrand].insert(0, made[2])

    desk.asana.after_page = slip
    desk.pull(MONDAY)
    assert len(stored(desk)) == 4  # by the sweep, and read again
    for gate in made:
        desk.asana.tick(gate, True, MONDAY + HOUR)
    desk.asana.order[rebrand] = list(made)
    desk.pull(MONDAY + 2 * HOUR)
    assert desk.stored("select count(*) from raw_desk.tasks where completed = 'true'") == [(4,)]


def test_a_list_whose_token_has_run_out_is_begun_anew(desk: Desk, rebrand: str) -> None:
    for number in range(6):
        desk.asana.task(rebrand, f"Gate {number}", MONDAY)
    desk.asana.token_runs_out_after = 1
    desk.pull(MONDAY)
    assert len(stored(desk)) == 6
    desk.asana.after_page = lambda: setattr(desk.asana, "token_runs_out_after", 0)
    desk.asana.task(rebrand, "Another", MONDAY)
    assert "has forgotten the token of its next page 4 times." in desk.refusal(MONDAY)


def test_our_own_clock_may_be_wrong_by_minutes(desk: Desk, rebrand: str) -> None:
    gate = desk.asana.task(rebrand, "Concept", MONDAY)
    desk.pull(MONDAY + 5 * MINUTE)  # our clock is ahead
    desk.asana.tick(gate, True, MONDAY + MINUTE)
    assert desk.pull(MONDAY - 5 * MINUTE).rows["tasks"] == 1  # and now behind
    desk.asana.tick(gate, False, MONDAY + 2 * MINUTE)
    assert desk.pull(MONDAY).rows["tasks"] == 1


def test_custom_fields_are_asked_for_only_where_the_settings_name_some(desk: Desk, rebrand: str) -> None:
    desk.asana.task(rebrand, "Kickoff", MONDAY - DAY, custom_fields=[custom("71", "Bills", 200)])
    desk.asana.task(rebrand, "Concept", MONDAY, custom_fields=[custom("71", "Bills", 400)])
    desk.asana.is_paid = False
    desk.pull(MONDAY)
    desk.block(fields={"amount": "Bills"})
    told = desk.refusal(MONDAY)
    assert "is for paid plans alone (402): Custom Fields are not available for free users." in told
    assert "leave fields out of the block" in told
    desk.asana.is_paid = True
    desk.pull(MONDAY + DAY)  # and everything is read again with them
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select bills_amount from staging.milestones order by 1").fetchall()
    assert told == [(Decimal("200.00"),), (Decimal("400.00"),)]


def test_a_task_in_two_projects_is_one_gate_of_the_first(desk: Desk, rebrand: str) -> None:
    other = desk.asana.project("Portfolio", "Inner")
    gate = desk.asana.task(rebrand, "Concept", MONDAY)
    desk.asana.add(gate, other)
    desk.asana.approval(gate, "Cleo?", MONDAY)
    assert desk.pull(MONDAY).rows["tasks"] == 2
    desk.block(projects=[other])
    desk.pull(MONDAY + HOUR)
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select project_id, reject_reason from staging.milestones").fetchall()
    assert told in ([(f"desk:{rebrand}", "deleted")], [(f"desk:{other}", None)])


# --- what goes -----------------------------------------------------------------------------------------------


def test_what_was_deleted_is_found_by_its_key_approvals_below_milestones_too(desk: Desk, rebrand: str) -> None:
    kept, gone = (desk.asana.task(rebrand, name, MONDAY) for name in ("Concept", "Launch"))
    vote = desk.asana.approval(kept, "Cleo?", MONDAY)
    desk.asana.vote(vote, "rejected", MONDAY + HOUR)
    desk.pull(MONDAY)
    desk.asana.delete(gone)
    desk.asana.delete(vote)
    desk.asana.tick(kept, True, MONDAY + 2 * HOUR)
    desk.pull(MONDAY + DAY)
    assert stored(desk) == {"Concept": False, "Launch": True, "Cleo?": True}
    with desk.staged(MONDAY + 2 * DAY) as con:
        told = con.sql("select name, reject_reason from staging.milestones order by name").fetchall()
        assert told == [("Concept", None), ("Launch", "deleted")]
        events = con.sql(
            f"select type from staging.milestone_events where milestone_id = 'desk:{kept}' order by occurred_at"
        )
        assert events.fetchall() == [("planned",), ("approved",)]


def test_a_trashed_project_takes_its_gates_with_it_and_stops_nothing(desk: Desk, rebrand: str) -> None:
    other = desk.asana.project("App", "Birch")
    desk.asana.task(rebrand, "Concept", MONDAY)
    desk.asana.task(other, "Beta", MONDAY)
    desk.pull(MONDAY)
    desk.asana.after_page = lambda: desk.asana.projects.get(other) and desk.asana.trash(other)  # as it is read
    desk.pull(MONDAY + HOUR)
    desk.pull(MONDAY + 2 * HOUR)
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select name, reject_reason from staging.milestones order by name").fetchall()
    assert told == [("Beta", "deleted"), ("Concept", None)]


def test_a_lost_right_is_told_and_does_not_pass_for_deletions(desk: Desk, rebrand: str) -> None:
    desk.asana.task(rebrand, "Concept", MONDAY)
    desk.block(projects=[rebrand])
    desk.pull(MONDAY)
    hidden = desk.asana.projects.pop(rebrand)
    assert f"/projects/{rebrand}: is not there to be seen. It was deleted, or the account lost" in desk.refusal(
        MONDAY + DAY
    )
    desk.block(projects=[])
    assert "shows not one project. Check workspace in the block" in desk.refusal(MONDAY + DAY)
    desk.asana.projects[rebrand] = hidden
    desk.pull(MONDAY + DAY)
    assert stored(desk) == {"Concept": False}


def test_states_of_projects_are_told_apart(desk: Desk) -> None:
    for name, told in {
        "Running": {},
        "Done": {"completed": True, "completed_at": MONDAY - DAY},
        "Put away": {"archived": True},
        "Dropped": {"current_status_update": {"gid": "9", "resource_type": "status_update", "status_type": "dropped"}},
        "Waiting": {"current_status_update": {"gid": "9", "resource_type": "status_update", "status_type": "on_hold"}},
    }.items():
        desk.asana.project(name, **told)
    desk.pull(MONDAY)
    with desk.staged(MONDAY + DAY) as con:
        found = dict(con.sql("select name, status from staging.projects").fetchall())
        clients = con.sql("select count(*) from staging.clients").fetchall()
    assert found == {"Running": None, "Done": "completed", "Put away": "completed", "Dropped": "cancelled",
                     "Waiting": "on_hold"}  # fmt: skip
    assert clients == [(5,)]  # without field and team, each is its own


# --- what goes wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("troubles", "told"),
    [
        ([refusal("Not Authorized", 401)], "refuses the token (401). Set the token of source desk anew"),
        ([refusal("You should specify one of workspace", 403)], "refuses the token (403): You should specify"),
        ([Reply("<html>Asana is down for maintenance</html>")] * 2, "answers an HTML page instead of JSON."),
        (["cut", "cut"], "breaks off in the middle of a page, every time it is asked."),
        ([Reply({"errors": [{"message": "something broke"}]})], "answers with an error: something broke."),
        ([Reply({"errors": [{"message": "oops", "phrase": "6 sad squid"}]}, 500)] * 2, "answers 500: oops."),
        ([Reply(refusal("You have made too many requests recently.", 429).body, 429, {"Retry-After": "0"})] * 2,
         "still says that it is asked too often (429, Retry-After: 0)."),
        ([refusal("limit: Limit must be between 1 and 100.", 400)], "answers 400: limit: Limit must be between"),
    ],
)  # fmt: skip
def test_what_asana_answers_amiss_is_said_plainly(desk: Desk, rebrand: str, troubles: list[Any], told: str) -> None:
    desk.server.troubles.extend(troubles)
    message = desk.refusal(MONDAY)
    assert told in message
    assert TOKEN not in message


def test_passing_troubles_are_overcome(desk: Desk, rebrand: str) -> None:
    desk.asana.task(rebrand, "Concept", MONDAY)
    desk.patience = desk.patience.__class__(attempts=5, backoff_seconds=0.01, timeout_seconds=3)
    desk.server.troubles.extend([Reply({}, 429, {"Retry-After": "0.01"}), Reply({}, 502), "cut", "drop"])
    desk.pull(MONDAY)
    assert stored(desk) == {"Concept": False}


def test_a_field_that_asana_no_longer_sends_is_named(desk: Desk, rebrand: str) -> None:
    gate = desk.asana.task(rebrand, "Concept", MONDAY)
    del desk.asana.tasks[gate]["due_on"]
    assert f"holds the record '{gate}' without the field due_on." in desk.refusal(MONDAY)


def test_a_pull_that_broke_off_is_made_good_by_the_next(desk: Desk, rebrand: str) -> None:
    for number in range(4):
        desk.asana.task(rebrand, f"Gate {number}", MONDAY)
    pages = iter(range(100))
    desk.asana.after_page = lambda: next(pages) == 3 and desk.server.troubles.extend([Reply({}, 503)] * 2)
    assert "answers 503" in desk.refusal(MONDAY)
    desk.asana.after_page = lambda: None
    desk.pull(MONDAY)
    assert len(stored(desk)) == 4


def test_two_workspaces_stand_side_by_side_under_the_same_keys(desk: Desk, rebrand: str) -> None:
    desk.asana.task(rebrand, "Concept", MONDAY)
    desk.blocks["other"] = {**desk.blocks["desk"], "firm": "Another firm"}
    desk.pull(MONDAY)
    desk.pull(MONDAY, "other")
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select milestone_id, reject_reason from staging.milestones order by 1").fetchall()
    assert [key.split(":")[0] for key, _ in told] == ["desk", "other"]
    assert {reason for _, reason in told} == {None}


def test_a_probe_asks_for_projects_and_one_task_and_names_what_is_missing(desk: Desk, rebrand: str) -> None:
    assert probe("desk", desk.settings, desk.environ, desk.patience) is None
    assert desk.server.paths() == [f"/workspaces/{WORKSPACE}/projects", "/tasks"]
    desk.block(token_env="GONE")
    with pytest.raises(Fault, match="the environment variable GONE is not set"):
        probe("desk", desk.settings, desk.environ, desk.patience)
    desk.block(token_env="ASANA", workspace="78")
    with pytest.raises(Fault, match="shows not one project"):
        probe("desk", desk.settings, desk.environ, desk.patience)


def test_a_project_that_may_not_be_read_is_named(desk: Desk, rebrand: str) -> None:
    desk.asana.after_page = lambda: desk.server.troubles.append(refusal("Forbidden", 403))
    assert f"/tasks?project={rebrand}: refuses the token (403): Forbidden." in desk.refusal(MONDAY)


def test_the_block_of_the_page_is_one_that_the_settings_take_and_every_field_is_explained(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "sources" / "asana.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    settings = Settings.model_validate({"data": tmp_path, **tomllib.loads(block)})
    assert settings.sources["studio"].kind == "asana"
    assert {role for role in AsanaSource.ROLES if f"`{role}`" not in page} == set()
