"""A Jira Cloud site, pulled from a loopback that answers by Atlassian's own schemas, up to gates and what they bill."""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from jira_fake import EMAIL, TOKEN, JiraFake, refusal
from loopback import Loopback, Reply, serving
from pulled import Pulled
from pydantic import ValidationError

from models.faults import Fault
from pipelines.settings import PROJECT, Settings
from pipelines.source_blocks import JiraSource
from pipelines.sources import landing
from pipelines.sources.door import Patience
from pipelines.sources.jira import in_minutes, opened, probe

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
MEANINGS = {"To Do": "planned", "In Progress": "started", "Client Review": "submitted", "Approved": "approved",
            "Changes Requested": "changes_requested", "Rejected": "rejected", "Skipped": "waived",
            "Dropped": "cancelled"}  # fmt: skip
SEARCH = "/rest/api/3/search/jql"

pytestmark = pytest.mark.slow


class Desk(Pulled):
    """One source that is a Jira fake; `jira` is the site, `server` the loopback before it."""

    jira: JiraFake
    server: Loopback

    def block(self, **told: Any) -> None:
        self.blocks["desk"] = {**self.blocks["desk"], **told}

    def queries(self) -> list[str]:
        """Every JQL asked for rows so far."""
        return [one.body["jql"] for one in self.server.asked if one.path == SEARCH and one.body["fields"] != ["id"]]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    jira = JiraFake()
    with serving(jira.answer) as server:
        block = {"kind": "jira", "url": server.url, "email": EMAIL, "token_env": "JIRA", "page_size": 2,
                 "currency": "USD", "statuses": MEANINGS, "sweep_hours": 24}  # fmt: skip
        made = Desk(tmp_path, {"desk": block}, {"JIRA": TOKEN})
        made.jira, made.server = jira, server
        yield made
    assert jira.complaints == []


@pytest.fixture
def rebrand(desk: Desk) -> str:
    return desk.jira.project("REB", "Rebrand", "Aster")


def gates(desk: Desk) -> list[tuple[Any, ...]]:
    return desk.stored("select key, gone_at is not null from raw_desk.issues order by key")


# --- what becomes of it --------------------------------------------------------------------------------------


def test_a_gate_refused_once_is_timed_from_its_log_and_billed_by_its_number(desk: Desk, rebrand: str) -> None:
    jira = desk.jira
    gate = jira.issue(rebrand, "Concept", MONDAY - 3 * HOUR, duedate="2026-03-10", customfield_10050=4000.5,
                      customfield_10054=10000, customfield_10055="2026-03-01",
                      customfield_10052={"id": "1", "value": "Design"},
                      customfield_10056={"displayName": "Cleo"})  # fmt: skip
    jira.move(gate, "In Progress", MONDAY + DAY)
    jira.plan(gate, "2026-03-17", MONDAY + 3 * DAY)
    jira.move(gate, "Client Review", MONDAY + 8 * DAY)
    jira.move(gate, "Changes Requested", MONDAY + 9 * DAY, by="Cleo", account="customer")
    jira.move(gate, "Client Review", MONDAY + 11 * DAY)
    jira.move(gate, "Approved", MONDAY + 14 * DAY, by="Cleo", account="customer")
    order = jira.issue(rebrand, "Two more concepts", MONDAY + 4 * DAY, "Change", customfield_10050=750,
                       parent={"id": gate, "key": "REB-1"})  # fmt: skip
    jira.move(order, "Client Review", MONDAY + 5 * DAY)
    jira.move(order, "Approved", MONDAY + 6 * DAY)
    desk.block(
        change_orders_jql="issuetype = Change",
        fields={"amount": "Fee", "contract_amount": "customfield_10054", "signed_on": "Signed",
                "next_team": "Next team", "approver": "customfield_10056"},
    )  # fmt: skip
    desk.blocks["books"] = {"kind": "files", "tables": {
        "clients": {"glob": "clients.csv"}, "invoices": {"glob": "invoices.csv"}, "invoice_lines": {"glob": "lines.csv"},
    }}  # fmt: skip
    inbox = desk.data / "inbox"
    inbox.mkdir()
    (inbox / "clients.csv").write_text("source_key,name\nc1,ASTER\n")
    (inbox / "invoices.csv").write_text(
        "source_key,client,number,status,issued_at,currency,total\ni1,c1,2026-1,open,2026-03-20T12:00:00Z,USD,4000.50\n"
    )
    (inbox / "lines.csv").write_text("source_key,invoice,amount,description\nl1,i1,4000.50,Milestone REB-1 reached\n")
    report = desk.pull(MONDAY + 30 * DAY)
    assert (report.rows["issues"], report.rows["change_orders"], report.rows["projects"]) == (1, 1, 1)
    desk.pull(MONDAY + 30 * DAY, "books")
    with desk.built(MONDAY + 30 * DAY) as con:
        told = con.sql(
            "select client, project, manager, gate_name, status, attempt_count, is_first_pass, started_at, approved_at, "
            "cycle_days, due_on::text, baseline_on::text, plan_change_count, next_team, bills_amount, invoiced_amount, "
            "billing_lag_days, history_quality from marts.gates"
        ).fetchall()
        assert told == [
            ("Aster", "Rebrand", "Ida", "Concept", "approved", 2, False, datetime(2026, 3, 3, 12),
             datetime(2026, 3, 16, 12), 13.0, "2026-03-17", "2026-03-10", 1, "Design", Decimal("4000.50"),
             Decimal("4000.50"), 4.0, "log")
        ]  # fmt: skip
        attempts = con.sql(
            "select attempt, work_days, wait_days, decision, decided_by_side from marts.gate_attempts order by attempt"
        ).fetchall()
        assert attempts == [
            (1, 7.0, 1.0, "changes_requested", "client"),
            (2, 2.0, 3.0, "approved", "client"),
        ]
        orders = con.sql(
            "select number, title, status, approved_amount_local, decision_days from marts.change_orders"
        ).fetchall()
        assert orders == [("REB-2", "Two more concepts", "approved", Decimal("750.00"), 1.0)]
        assert con.sql("select milestone_id from staging.change_orders").fetchall() == [(f"desk:{gate}",)]
        assert con.sql("select contract_amount_local, signed_at from marts.projects").fetchall() == [
            (Decimal("10000.00"), datetime(2026, 3, 1, 17))
        ]
        assert con.sql("select approver, number, source_url from staging.milestones").fetchall() == [
            ("Cleo", "REB-1", "https://site.atlassian.example/browse/REB-1")
        ]


PATHS = {
    ("In Progress", "Client Review", "Rejected"): ("changes_requested", "planned started submitted rejected"),
    ("Client Review", "Approved", "In Progress", "Client Review", "Approved"): (
        "approved", "planned submitted approved reopened started submitted approved"),
    ("In Progress", "Approved", "To Do"): ("changes_requested", "planned started approved reopened"),
    ("Approved", "Changes Requested"): ("changes_requested", "planned approved changes_requested"),
    ("In Progress", "Skipped"): ("waived", "planned started waived"),
    ("In Progress", "Dropped"): ("cancelled", "planned started cancelled"),
    ("Approved", "Invoiced"): ("approved", "planned approved"),
    (): ("not_started", "planned"),
}  # fmt: skip


def test_refusals_reopenings_and_waivers_are_told_from_approvals(desk: Desk, rebrand: str) -> None:
    desk.jira.statuses["20"] = "Invoiced"
    desk.block(statuses={**MEANINGS, "Invoiced": "ignored"})
    for path in PATHS:
        gate = desk.jira.issue(rebrand, " > ".join(path) or "-", MONDAY)
        for number, word in enumerate(path, 1):
            desk.jira.move(gate, word, MONDAY + number * HOUR)
    robot = desk.jira.issue(rebrand, "by a rule", MONDAY)
    desk.jira.move(robot, "Approved", MONDAY + HOUR, by="Automation for Jira", account="app")
    desk.pull(MONDAY + DAY)
    with desk.built(MONDAY + DAY) as con:
        told = con.sql(
            "select gate_name, any_value(gates.status), string_agg(events.type, ' ' order by events.position) "
            "from marts.gates as gates inner join marts.gate_events as events using (gate_id, gate_name) group by all"
        ).fetchall()
        automatic = con.sql("select gate_name from marts.gates where is_auto_approved").fetchall()
    assert {tuple(name.split(" > ")) if name != "-" else (): tuple(found) for name, *found in told} == {
        **PATHS,
        ("by a rule",): ("approved", "planned approved"),
    }
    assert automatic == [("by a rule",)]


def test_a_plan_is_kept_for_every_due_date_of_the_log(desk: Desk, rebrand: str) -> None:
    never, cleared, by_field = (desk.jira.issue(rebrand, name, MONDAY) for name in ("A", "B", "C"))
    desk.jira.plan(cleared, "2026-04-01", MONDAY + HOUR)
    desk.jira.plan(cleared, None, MONDAY + 2 * HOUR)
    desk.jira.plan(cleared, "2026-05-01", MONDAY + 3 * HOUR)
    desk.jira.write(by_field, MONDAY, customfield_10053="2026-06-01")
    plans = "select milestone_id, due_on::text, recorded_at from staging.milestone_plans order by all"
    desk.pull(MONDAY + DAY)
    with desk.staged(MONDAY + DAY) as con:
        assert con.sql(plans).fetchall() == [
            (f"desk:{cleared}", "2026-04-01", datetime(2026, 3, 2, 13)),
            (f"desk:{cleared}", "2026-05-01", datetime(2026, 3, 2, 15)),
        ]
    desk.jira.plan(by_field, "2026-06-08", MONDAY + DAY, "customfield_10053")
    desk.block(fields={"due": "Due with client"})
    desk.pull(MONDAY + 2 * DAY)
    with desk.staged(MONDAY + 2 * DAY) as con:
        assert con.sql(plans).fetchall() == [
            (f"desk:{by_field}", "2026-06-01", datetime(2026, 3, 2, 12)),
            (f"desk:{by_field}", "2026-06-08", datetime(2026, 3, 3, 12)),
        ]
    assert never not in {iid for iid, change in desk.jira.logs.items() if change}


def test_versions_become_gates_whose_events_are_the_differences_between_pulls(desk: Desk, rebrand: str) -> None:
    desk.block(milestones="versions")
    launch = desk.jira.version(rebrand, "Launch", releaseDate="2026-03-10")
    desk.jira.version(rebrand, "Concept", releaseDate="2026-02-20", released=True)
    dropped = desk.jira.version(rebrand, "Extras", description="Nice to have")
    desk.pull(MONDAY)
    launch["releaseDate"] = "2026-03-17"
    desk.jira.versions[rebrand].remove(dropped)
    desk.pull(MONDAY + DAY)
    launch |= {"released": True, "releaseDate": "2026-03-04"}
    desk.pull(MONDAY + 2 * DAY)
    launch |= {"released": False}
    desk.pull(MONDAY + 3 * DAY)
    with desk.built(MONDAY + 4 * DAY) as con:
        events = con.sql("select gate_name, type, occurred_at, origin from marts.gate_events order by 1, position")
        assert events.fetchall() == [
            ("Concept", "approved", datetime(2026, 2, 20, 17), "source_timestamp"),
            ("Launch", "planned", datetime(2026, 3, 2, 12), "snapshot_diff"),
            ("Launch", "approved", datetime(2026, 3, 4, 12), "snapshot_diff"),
            ("Launch", "reopened", datetime(2026, 3, 5, 12), "snapshot_diff"),
        ]
        plans = con.sql("select due_on::text, recorded_at, is_baseline from marts.gate_plans order by version")
        assert plans.fetchall() == [
            ("2026-03-10", datetime(2026, 3, 2, 12), True),
            ("2026-03-17", datetime(2026, 3, 3, 12), False),
            ("2026-03-04", datetime(2026, 3, 5, 12), False),
        ]
        told = con.sql("select gate_name, status, sequence, history_quality from marts.gates order by sequence")
        assert told.fetchall() == [
            ("Launch", "changes_requested", 1, "snapshot"),
            ("Concept", "approved", 2, "timestamps"),
        ]
        assert con.sql("select reject_reason from staging.milestones where name = 'Extras'").fetchall() == [
            ("deleted",)
        ]


def test_an_unknown_status_is_named_with_its_record_and_where_it_is_mapped(desk: Desk, rebrand: str) -> None:
    desk.jira.statuses["20"] = "With the lawyers"
    gate = desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.jira.move(gate, "With the lawyers", MONDAY + HOUR)
    desk.pull(MONDAY + DAY)
    with pytest.raises(Fault) as caught, desk.staged(MONDAY + DAY):
        pass
    told = str(caught.value)
    assert "source desk, milestone_events: " in told
    assert "field type: 'With the lawyers' is unknown. Known are: planned, " in told
    assert "Add it to statuses in the block of the source" in told


def test_a_status_renamed_since_is_known_by_the_name_it_has_now(desk: Desk, rebrand: str) -> None:
    gate = desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.jira.move(gate, "Client Review", MONDAY + HOUR)
    desk.jira.rename_status("Client Review", "With the client")
    desk.block(statuses={**{word: meaning for word, meaning in MEANINGS.items() if word != "Client Review"},
                         "with the client": "submitted"})  # fmt: skip
    desk.pull(MONDAY + DAY)
    with desk.staged(MONDAY + DAY) as con:
        assert con.sql("select type from staging.milestone_events order by occurred_at").fetchall() == [
            ("planned",), ("submitted",)
        ]  # fmt: skip


def test_changes_dated_by_epochs_as_the_vendors_example_has_them_are_read_too(desk: Desk, rebrand: str) -> None:
    """The official schema says that `created` is a text, and its example shows a number."""
    gate = desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.jira.move(gate, "Client Review", MONDAY + HOUR)
    desk.jira.move(gate, "Approved", MONDAY + 2 * HOUR)
    told = [int((MONDAY + HOUR).timestamp()), int((MONDAY + 2 * HOUR).timestamp() * 1000)]
    for change, created in zip(desk.jira.logs[gate], told, strict=True):
        change["created"] = created
    desk.pull(MONDAY + DAY)
    with desk.staged(MONDAY + DAY) as con:
        found = con.sql("select type, occurred_at from staging.milestone_events order by occurred_at").fetchall()
    assert found[1:] == [("submitted", datetime(2026, 3, 2, 13)), ("approved", datetime(2026, 3, 2, 14))]
    desk.jira.complaints.clear()


# --- what is asked for ---------------------------------------------------------------------------------------


def test_pages_are_followed_and_only_what_changed_is_asked_for_again(desk: Desk, rebrand: str) -> None:
    made = [desk.jira.issue(rebrand, f"Gate {number}", MONDAY + number * MINUTE) for number in range(5)]
    assert desk.pull(MONDAY + HOUR).rows["issues"] == 5
    assert len(desk.queries()) == 3
    again = desk.pull(MONDAY + 2 * HOUR)
    assert (again.changed, dict(again.rows)) == (False, {})
    # five minutes before 12:04 UTC, by the minute, on the account's clock in New York
    assert (
        desk.queries()[-1] == '(issuetype = Milestone) AND updated >= "2026-03-02 06:59" ORDER BY updated ASC, key ASC'
    )
    desk.jira.move(made[1], "Approved", MONDAY + 4 * MINUTE)  # a tie with the newest row
    desk.jira.issue(rebrand, "Late", MONDAY + 4 * MINUTE)
    assert desk.pull(MONDAY + 3 * HOUR).rows["issues"] == 2
    assert len(gates(desk)) == 6


def test_another_field_in_the_settings_reads_every_issue_again(desk: Desk, rebrand: str) -> None:
    for number in range(3):
        desk.jira.issue(rebrand, f"Gate {number}", MONDAY + number * HOUR, customfield_10050=number)
    fees = "select json_extract_string(fields, '$.customfield_10050') from raw_desk.issues order by key"
    desk.pull(MONDAY + DAY)
    assert desk.stored(fees) == [(None,)] * 3  # what nobody needs is not asked for
    desk.block(fields={"amount": "Fee"})
    desk.pull(MONDAY + DAY)
    assert desk.stored(fees) == [("0",), ("1",), ("2",)]


def test_rows_within_the_minute_of_the_cursor_are_not_lost(desk: Desk, rebrand: str) -> None:
    """JQL has no seconds: asked at 12:00:50 for what came since, Jira must be asked from 12:00 on."""
    desk.block(lookback_seconds=0)
    first = desk.jira.issue(rebrand, "Concept", MONDAY + timedelta(seconds=50))
    desk.pull(MONDAY + HOUR)
    desk.jira.move(first, "Approved", MONDAY + timedelta(seconds=50, milliseconds=1))
    assert desk.pull(MONDAY + HOUR).rows["issues"] == 1


@pytest.mark.parametrize(
    ("moment", "zone", "written"),
    [
        ("2026-03-02T12:04:59.999+00:00", "America/New_York", "2026-03-02 07:04"),
        ("2026-03-02T12:04:00+00:00", "Australia/Sydney", "2026-03-02 23:04"),
        ("2026-03-02T12:04:59+00:00", "Asia/Kathmandu", "2026-03-02 17:49"),
        ("2026-11-01T05:30:00+00:00", "America/New_York", "2026-11-01 00:30"),  # 1:30, for the first time
        ("2026-11-01T06:30:00+00:00", "America/New_York", "2026-11-01 00:30"),  # 1:30, for the second time
        ("2026-11-01T07:30:00+00:00", "America/New_York", "2026-11-01 02:30"),
        ("2026-03-08T07:30:00+00:00", "America/New_York", "2026-03-08 03:30"),  # the hour after 1:59
        ("2026-03-02T12:04:59+00:00", None, "2026-03-02 00:04"),
    ],
)
def test_an_instant_is_written_on_the_accounts_clock_and_never_too_late(
    moment: str, zone: str | None, written: str
) -> None:
    assert in_minutes(datetime.fromisoformat(moment), ZoneInfo(zone) if zone else None) == written


def test_an_account_that_hides_its_zone_is_asked_from_half_a_day_earlier(desk: Desk, rebrand: str) -> None:
    desk.jira.tells_zone = False
    desk.jira.zone = ZoneInfo("Etc/GMT+12")  # the clock farthest behind
    gate = desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.pull(MONDAY + HOUR)
    desk.jira.move(gate, "Approved", MONDAY + MINUTE)
    assert desk.pull(MONDAY + 2 * HOUR).rows["issues"] == 1


def test_our_own_clock_may_be_wrong_by_minutes(desk: Desk, rebrand: str) -> None:
    gate = desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.pull(MONDAY + 5 * MINUTE)  # our clock is ahead
    desk.jira.move(gate, "Client Review", MONDAY + MINUTE)
    assert desk.pull(MONDAY - 5 * MINUTE).rows["issues"] == 1  # and now behind
    desk.jira.move(gate, "Approved", MONDAY + 2 * MINUTE)
    assert desk.pull(MONDAY).rows["issues"] == 1


def test_an_issue_that_the_search_shows_late_is_read_all_the_same(desk: Desk, rebrand: str) -> None:
    late = desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.jira.issue(rebrand, "Launch", MONDAY + 4 * MINUTE)
    desk.jira.unindexed = {late}
    desk.pull(MONDAY + HOUR)
    assert len(gates(desk)) == 1
    desk.jira.unindexed = set()
    desk.pull(MONDAY + 2 * HOUR)
    assert len(gates(desk)) == 2


def test_issues_that_move_between_pages_are_neither_lost_nor_kept_stale(desk: Desk, rebrand: str) -> None:
    made = [desk.jira.issue(rebrand, f"Gate {number}", MONDAY + number * MINUTE) for number in range(7)]
    touched = iter([(made[0], 20), (made[6], 21), (made[1], 22)])  # one that was read already, one that was not

    def touch() -> None:
        if found := next(touched, None):
            desk.jira.move(found[0], "Approved", MONDAY + found[1] * MINUTE)

    desk.jira.after_page = touch
    desk.pull(MONDAY + HOUR)
    desk.jira.after_page = lambda: None
    stored = desk.stored("select id, json_extract_string(fields, '$.status.name') from raw_desk.issues")
    assert dict(stored) == {iid: issue["fields"]["status"]["name"] for iid, issue in desk.jira.issues.items()}


def test_a_search_whose_token_has_run_out_goes_on_from_where_it_had_come(desk: Desk, rebrand: str) -> None:
    for number in range(6):
        desk.jira.issue(rebrand, f"Gate {number}", MONDAY + number * HOUR)
    desk.jira.token_runs_out_after = 1
    desk.pull(MONDAY + DAY)
    assert len(gates(desk)) == 6
    anew = next(query for query in desk.queries() if "updated >=" in query)
    assert anew == '(issuetype = Milestone) AND updated >= "2026-03-02 10:00" ORDER BY updated ASC, key ASC'


def test_tokens_that_never_last_are_told_instead_of_asked_for_ever(desk: Desk, rebrand: str) -> None:
    for number in range(6):
        desk.jira.issue(rebrand, f"Gate {number}", MONDAY)
    desk.jira.after_page = lambda: setattr(desk.jira, "token_runs_out_after", 0)
    assert "has forgotten the token of its next page 4 times." in desk.refusal(MONDAY)


def test_logs_come_in_pages_of_their_own_or_one_by_one_where_there_is_no_bulk(desk: Desk, rebrand: str) -> None:
    gate, other = (desk.jira.issue(rebrand, name, MONDAY) for name in ("Concept", "Launch"))
    for number, word in enumerate(("In Progress", "Client Review", "Rejected", "In Progress", "Approved"), 1):
        desk.jira.move(gate, word, MONDAY + number * MINUTE)
        desk.jira.move(other, word, MONDAY + number * MINUTE)
    desk.jira.log_page = 3
    changes = "select id, json_array_length(changelog) from raw_desk.issues order by id"
    desk.pull(MONDAY + HOUR)
    assert desk.stored(changes) == [(gate, 5), (other, 5)]
    bulk = "/rest/api/3/changelog/bulkfetch"
    assert desk.server.paths().count(bulk) == 4
    desk.jira.move(gate, "In Progress", MONDAY + 2 * HOUR)
    desk.jira.has_bulk = False
    desk.pull(MONDAY + 3 * HOUR)
    assert desk.stored(changes) == [(gate, 6), (other, 5)]
    assert desk.server.paths().count(f"/rest/api/3/issue/{gate}/changelog") == 2


# --- what goes -----------------------------------------------------------------------------------------------


def test_a_deleted_issue_is_found_by_its_key_and_one_of_an_archived_project_is_kept(desk: Desk, rebrand: str) -> None:
    desk.block(page_size=1)
    other = desk.jira.project("OLD", "Old brand")
    kept, gone = (desk.jira.issue(pid, name, MONDAY) for pid, name in ((other, "Done"), (rebrand, "Concept")))
    desk.jira.issue(rebrand, "Launch", MONDAY)
    desk.pull(MONDAY)
    desk.jira.projects[other] |= {"archived": True, "archivedDate": "2026-03-02T18:00:00.000+0000"}
    desk.jira.delete(gone)
    desk.pull(MONDAY + DAY)
    assert gates(desk) == [("OLD-1", True), ("REB-1", True), ("REB-2", False)]
    with desk.staged(MONDAY + 2 * DAY) as con:
        told = con.sql("select name, reject_reason from staging.milestones order by name").fetchall()
        assert told == [("Concept", "deleted"), ("Done", None), ("Launch", None)]
        status = con.sql("select status, closed_at from staging.projects where name = 'Old brand'").fetchall()
        assert status == [("completed", datetime(2026, 3, 2, 18))]
    assert kept in desk.jira.issues


def test_a_project_that_went_takes_its_gates_with_it(desk: Desk, rebrand: str) -> None:
    other = desk.jira.project("APP", "App")
    desk.jira.issue(other, "Beta", MONDAY)
    desk.pull(MONDAY)
    for iid in [iid for iid, one in desk.jira.issues.items() if one["key"].startswith("APP")]:
        desk.jira.delete(iid)
    del desk.jira.projects[other]
    desk.pull(MONDAY + HOUR)  # before any sweep of issues
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select project_id, reject_reason from staging.milestones").fetchall()
        assert told == [(f"desk:{other}", "deleted")]


def test_a_lost_right_is_told_and_does_not_pass_for_deletions(desk: Desk, rebrand: str) -> None:
    desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.block(projects=["REB"])
    desk.pull(MONDAY)
    hidden = desk.jira.projects.pop(rebrand)
    told = desk.refusal(MONDAY + DAY)
    assert (
        "shows no project REB. Give the account of source desk the right to browse it, or mend projects in the block."
        in told
    )
    desk.block(projects=[])
    assert "shows not one project." in desk.refusal(MONDAY + DAY)
    desk.jira.projects[rebrand] = hidden
    desk.pull(MONDAY + DAY)
    assert gates(desk) == [("REB-1", False)]


def test_a_list_of_projects_that_moves_while_it_is_read_is_read_again(desk: Desk) -> None:
    for key in ("AAA", "BBB", "CCC", "DDD"):
        desk.jira.project(key, key.title())
    went = iter(["AAA"])

    def remove() -> None:
        for key in went:
            pid = next(pid for pid, one in desk.jira.projects.items() if one["key"] == key)
            del desk.jira.projects[pid]

    desk.jira.after_page = remove
    desk.pull(MONDAY)
    assert desk.stored("select key from raw_desk.projects order by 1") == [("BBB",), ("CCC",), ("DDD",)]


# --- what goes wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("troubles", "told"),
    [
        ([Reply({"errorMessages": ["Log in."]}, 401)], "refuses the token (401). Set the token of source desk anew"),
        ([refusal("Your IP is not allowed.", 403)], "refuses the token (403): Your IP is not allowed."),
        ([Reply("<html>Log in to continue</html>")] * 2, "answers an HTML page instead of JSON."),
        (["cut", "cut"], "breaks off in the middle of a page, every time it is asked."),
        (["drop", "drop"], "cannot be reached"),
        ([Reply({"errors": [{"message": "no such field"}]})], "answers with an error: no such field."),
        ([Reply({"errorMessages": ["Down."]}, 503)] * 2, "answers 503: Down."),
        ([Reply({}, 429, {"Retry-After": "0", "RateLimit-Reason": "jira-burst-based"})] * 2,
         "asked too often (429, RateLimit-Reason: jira-burst-based, Retry-After: 0)."),
    ],
)  # fmt: skip
def test_what_jira_answers_amiss_is_said_plainly(desk: Desk, rebrand: str, troubles: list[Any], told: str) -> None:
    desk.server.troubles.extend(troubles)
    message = desk.refusal(MONDAY)
    assert told in message
    assert TOKEN not in message


def test_passing_troubles_are_overcome(desk: Desk, rebrand: str) -> None:
    desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.patience = desk.patience.__class__(attempts=5, backoff_seconds=0.01, timeout_seconds=3)
    slow = Reply({}, 429, {"Retry-After": "0.01", "RateLimit-Reason": "jira-burst-based"})
    desk.server.troubles.extend([slow, Reply({}, 502), "cut", "drop"])
    desk.pull(MONDAY)
    assert gates(desk) == [("REB-1", False)]


def test_a_field_that_jira_no_longer_sends_is_named(desk: Desk, rebrand: str) -> None:
    gate = desk.jira.issue(rebrand, "Concept", MONDAY)
    del desk.jira.issues[gate]["fields"]["status"]
    assert "holds the issue REB-1 without status. The tool has changed what it answers" in desk.refusal(MONDAY)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"jql": "kind = Gate"}, "refuses the search '(kind = Gate)"),
        ({"fields": {"amount": "Fees"}}, "knows no field 'Fees', which the settings name as amount."),
        ({"fields": {"amount": "Twin"}}, "knows 2 fields called 'Twin': customfield_1, customfield_2."),
        ({"token_env": "GONE"}, "the environment variable GONE is not set."),
    ],
)
def test_settings_that_do_not_fit_the_site_are_told_with_a_cure(
    desk: Desk, rebrand: str, block: dict[str, Any], told: str
) -> None:
    desk.jira.fields |= {"customfield_1": "Twin", "customfield_2": "Twin"}
    desk.block(**block)
    assert told in desk.refusal(MONDAY)


def test_a_jql_with_an_order_of_its_own_is_refused(tmp_path: Path) -> None:
    block = {"kind": "jira", "url": "https://x.example", "email": "a@b.example", "jql": "type = Gate order  by rank"}
    with pytest.raises(ValidationError, match="leave out ORDER BY"):
        Settings.model_validate({"data": tmp_path, "sources": {"desk": block}})


def test_a_pull_that_broke_off_goes_on_where_it_was_stored(
    desk: Desk, rebrand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        desk.jira.issue(rebrand, f"Gate {number}", MONDAY + number * HOUR)
    monkeypatch.setattr(landing, "COMMIT_ROWS", 2)
    pages = iter(range(100))
    desk.jira.after_page = lambda: next(pages) == 3 and setattr(desk.jira, "projects", {})  # the rest fails
    desk.blocks["desk"] |= {"projects": ["REB"]}
    assert "REB" in desk.refusal(MONDAY + DAY)
    stored = len(gates(desk))
    assert 0 < stored < 6
    desk.jira.after_page = lambda: None
    desk.jira.projects[rebrand] = {"id": rebrand, "key": "REB", "name": "Rebrand", "self": "https://x.example"}
    desk.pull(MONDAY + DAY)
    assert len(gates(desk)) == 6


def test_two_sites_stand_side_by_side_under_the_same_keys(desk: Desk, rebrand: str) -> None:
    desk.jira.issue(rebrand, "Concept", MONDAY)
    desk.blocks["other"] = {**desk.blocks["desk"], "firm": "Another firm"}
    desk.pull(MONDAY)
    desk.pull(MONDAY, "other")
    with desk.staged(MONDAY + DAY) as con:
        told = con.sql("select milestone_id, reject_reason from staging.milestones order by 1").fetchall()
    assert [key.split(":")[0] for key, _ in told] == ["desk", "other"]
    assert {reason for _, reason in told} == {None}


def test_a_probe_says_what_is_left_and_names_what_is_missing(desk: Desk, rebrand: str) -> None:
    assert probe("desk", desk.settings, desk.environ, desk.patience) == "349 of 350 requests left"
    assert not desk.settings.warehouse.exists()
    desk.block(jql="kind = Gate")
    with pytest.raises(Fault, match="refuses the search"):
        probe("desk", desk.settings, desk.environ, desk.patience)


def test_no_request_is_made_before_jira_has_some_left_again(desk: Desk, rebrand: str) -> None:
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2099-01-01T00:00Z"}
    desk.server.troubles.append(Reply({"timeZone": "UTC"}, 200, used_up))
    patience = Patience(attempts=1, ceiling_seconds=0.05, timeout_seconds=3)
    door = opened("desk", JiraSource.model_validate(desk.blocks["desk"]), desk.environ, patience)
    began = time.monotonic()
    door.get("/rest/api/3/myself")
    door.get("/rest/api/3/myself")
    assert time.monotonic() - began >= 0.05


def test_the_block_of_the_page_is_one_that_the_settings_take_and_every_field_is_explained(tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "sources" / "jira.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    settings = Settings.model_validate({"data": tmp_path, **tomllib.loads(block)})
    assert settings.sources["studio"].kind == "jira"
    assert {role for role in JiraSource.ROLES if f"`{role}`" not in page} == set()
