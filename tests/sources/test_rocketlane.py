"""A Rocketlane account pulled: what a tool without a log lets be known, from its dates and from what pulls saw."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, Reply, Request, Trouble, serving
from pulled_firm import DAY, HASTE, HOUR, PulledFirm
from rocketlane_fake import SECRET, Rocketlane, Thing, refusal

from models.faults import Fault
from pipelines.sources.door import Patience
from pipelines.sources.rocketlane import opened, probe

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
STATUSES = {"With client": "submitted", "Changes asked": "changes_requested", "Refused": "rejected"}
FIELDS = {"amount": "Fee", "number": "Code", "contract_amount": "Contract", "invoice": "Bill"}

pytestmark = pytest.mark.slow


class Firm(PulledFirm):
    """A firm that runs its projects in Rocketlane, and bills there."""

    def __init__(self, data: Path, lane: Rocketlane, server: Loopback) -> None:
        self.server = server
        super().__init__(data, lane, "lane", self.block(), SECRET)

    def block(self, **more: Any) -> dict[str, Any]:
        return {"kind": "rocketlane", "url": f"{self.server.url}/api/1.0", "token_env": "SECRET", "firm": "Relay",
                "page_size": 3, "statuses": STATUSES, "fields": FIELDS, **more}  # fmt: skip


@pytest.fixture
def lane() -> Iterator[Rocketlane]:
    account = Rocketlane(MONDAY)
    yield account
    assert account.drifted == []  # whatever it answered is as Rocketlane answers


@pytest.fixture
def firm(tmp_path: Path, lane: Rocketlane) -> Iterator[Firm]:
    with serving(lane.answer) as server:
        yield Firm(tmp_path, lane, server)


def events(firm: Firm, key: str) -> list[tuple[Any, ...]]:
    return firm.told(
        "select type, occurred_at::text, origin from staging.milestone_events "
        f"where milestone_id = 'lane:{key}' order by occurred_at, milestone_event_id"
    )


def plans(firm: Firm, key: str) -> list[tuple[Any, ...]]:
    query = f"select due_on::text, recorded_at::text from staging.milestone_plans where milestone_id = 'lane:{key}' order by 2"
    return firm.told(query)


# --- what becomes of it ----------------------------------------------------------------------------------


def test_a_phase_polled_on_three_days_shows_its_moves_when_they_were_made(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    phase = lane.phase(project, "Kick off", "2026-03-02", "2026-03-20")
    firm.pull()
    lane.now = MONDAY + DAY - HOUR
    lane.move(phase, "In progress")
    lane.edit(phase, dueDate="2026-03-25")
    firm.pull(MONDAY + DAY)
    lane.now = MONDAY + 2 * DAY - HOUR
    lane.move(phase, "With client")
    firm.pull(MONDAY + 2 * DAY)
    lane.now = MONDAY + 3 * DAY - HOUR
    lane.move(phase, "Changes asked")
    firm.pull(MONDAY + 3 * DAY)
    assert not firm.pull(MONDAY + 3 * DAY + HOUR).changed
    key = f"phase-{phase['phaseId']}"
    assert plans(firm, key) == [("2026-03-20", "2026-03-02 12:00:00"), ("2026-03-25", "2026-03-03 11:00:00")]
    assert events(firm, key) == [
        ("started", "2026-03-03 11:00:00", "snapshot_diff"),
        ("submitted", "2026-03-04 11:00:00", "snapshot_diff"),
        ("changes_requested", "2026-03-05 11:00:00", "snapshot_diff"),
    ]
    assert firm.told("select status, due_on::text, baseline_on::text, history_quality, plan_change_count from marts.gates") == [
        ("changes_requested", "2026-03-25", "2026-03-20", "timestamps", 1)
    ]  # fmt: skip


def test_what_was_done_before_the_first_pull_has_its_actual_dates(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    phase = lane.phase(project, "Kick off", "2026-02-02", "2026-02-20")
    lane.edit(
        phase, startDateActual="2026-02-03", dueDateActual="2026-02-18", status={"value": 3, "label": "Completed"}
    )
    firm.pull()
    assert events(firm, f"phase-{phase['phaseId']}") == [
        ("started", "2026-02-03 17:00:00", "source_timestamp"),
        ("approved", "2026-02-18 17:00:00", "source_timestamp"),
    ]
    assert firm.told("select status, cycle_days from marts.gates") == [("approved", 15.0)]


def test_what_was_begun_and_completed_between_two_pulls_has_both(firm: Firm, lane: Rocketlane) -> None:
    phase = lane.phase(lane.project("Onboarding", "Acme"), "Kick off", "2026-03-02", "2026-03-20")
    firm.pull()
    lane.now += DAY
    lane.move(phase, "In progress")
    lane.now += 2 * DAY
    lane.move(phase, "Completed")
    lane.now += HOUR
    firm.pull()
    assert events(firm, f"phase-{phase['phaseId']}") == [
        ("started", "2026-03-03 17:00:00", "source_timestamp"),
        ("approved", "2026-03-05 12:00:00", "snapshot_diff"),
    ]


def test_a_refusal_is_no_approval_and_what_comes_back_was_reopened(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    refused, reopened = (lane.task(project, name, "2026-03-20") for name in ("Sign-off", "Go live"))
    for label, other in (("In progress", "In progress"), ("Refused", "Completed"), ("Refused", "In progress")):
        firm.pull()
        lane.now += DAY
        for task, status in ((refused, label), (reopened, other)):
            if task["status"]["label"] != status:
                lane.move(task, status)
    firm.pull()
    assert [row[0] for row in events(firm, f"task-{refused['taskId']}")] == ["started", "rejected"]
    assert [row[0] for row in events(firm, f"task-{reopened['taskId']}")] == [
        "started",
        "approved",
        "reopened",
        "started",
    ]
    assert firm.told("select gate_name, status, first_approved_at is not null from marts.gates order by 1") == [
        ("Go live", "changes_requested", True), ("Sign-off", "changes_requested", False),
    ]  # fmt: skip


def test_a_milestone_put_away_before_it_was_passed_is_cancelled(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    dropped, done = lane.task(project, "Survey", "2026-03-20"), lane.task(project, "Go live", "2026-03-20")
    lane.move(done, "Completed")
    firm.pull()
    lane.now += DAY
    for task in (dropped, done):
        lane.edit(task, archived=True)
    firm.pull()
    assert firm.told("select gate_name, status from marts.gates order by 1") == [
        ("Go live", "approved"),
        ("Survey", "cancelled"),
    ]


def test_a_milestone_is_approved_billed_and_paid_in_one_account(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme", fields=[{"fieldId": 1, "fieldLabel": "Contract", "fieldValue": 5000}])
    lane.phase(project, "Build", "2026-03-02", "2026-03-31")
    task = lane.task(project, "Go live", "2026-03-10", Fee=400, Code="RL-7")
    lane.task(project, "Write e-mails", "2026-03-09", is_milestone=False)
    lane.move(task, "In progress")
    firm.pull()
    lane.now += 4 * DAY
    lane.move(task, "Completed")
    firm.pull()
    lane.now += 2 * DAY
    invoice = lane.bill(project, ("RL-7 Go live", 400.0), tax=76.0)
    firm.pull()
    lane.now += 7 * DAY
    lane.pay(invoice, 476.0)
    firm.pull()
    assert firm.told(
        "select g.gate_name, g.status, g.sequence, g.cycle_days, g.bills_amount::text, i.status, i.total_amount::text, "
        "i.open_amount::text, i.client, b.link_method, round(g.billing_lag_days, 1) from marts.gates g "
        "left join marts.gate_billing b using (gate_id) left join marts.invoices i using (invoice_id) order by g.sequence"
    ) == [
        ("Go live", "approved", 1, 4.0, "400.00", "paid", "476.00", "0.00", "Acme", "number", 2.2),
        ("Build", "in_progress", 2, None, None, None, None, None, None, None, None),
    ]  # fmt: skip
    assert firm.told("select name, manager, contract_amount::text, status, client_id from staging.projects") == [
        ("Onboarding", "Ida Berg", "5000.00", "planned", "lane:9")
    ]
    assert firm.told("select received_at::text, amount::text from staging.payments") == [
        ("2026-03-15 17:00:00", "476.00")
    ]


def test_bills_are_written_off_voided_and_deleted(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    given_up, voided, gone, draft, partial = (lane.bill(project, ("Work", 100.0)) for _ in range(5))
    lane.edit(draft, status="IN_REVIEW")
    firm.pull()
    lane.now += DAY
    lane.pay(given_up, 60.0)
    lane.pay(given_up, 40.0, kind="WRITE_OFF")
    lane.pay(partial, 30.0)
    lane.edit(voided, status="VOID")
    lane.delete(gone)
    firm.pull()
    lane.now += DAY
    lane.edit(voided, notes="for the record")
    firm.pull()
    assert firm.told("select number, status, left_at::text, open_amount::text from marts.invoices order by 1") == [
        ("RL-001", "uncollectible", "2026-03-03 17:00:00", "0.00"),
        ("RL-002", "void", "2026-03-03 12:00:00", "0.00"),
        ("RL-004", "draft", None, "0.00"),
        ("RL-005", "open", None, "70.00"),
    ]
    assert firm.told("select reject_reason from staging.invoices where number = 'RL-003'") == [("deleted",)]
    assert firm.told("select sum(amount)::text from staging.payments") == [("90.00",)]


@pytest.mark.parametrize(
    ("chosen", "names"), [("both", ["Build", "Go live"]), ("phases", ["Build"]), ("tasks", ["Go live"])]
)
def test_gates_are_phases_or_milestones_as_the_settings_say(
    firm: Firm, lane: Rocketlane, chosen: str, names: list[str]
) -> None:
    project = lane.project("Onboarding", "Acme")
    lane.phase(project, "Build", "2026-03-02", "2026-03-31")
    lane.task(project, "Go live", "2026-03-10", Bill="RL-9", fee=250)
    firm.blocks["lane"] = firm.block(milestones=chosen)
    firm.pull()
    said = {"Build": ("Build", None, None), "Go live": ("Go live", "RL-9", "250.00")}
    query = "select name, invoice, bills_amount::text from staging.milestones order by 1"
    assert firm.told(query) == [said[name] for name in names]


# --- how it is asked -------------------------------------------------------------------------------------


def test_only_what_was_updated_is_asked_for_from_the_millisecond_before(firm: Firm, lane: Rocketlane) -> None:
    """`updatedAt.gt` is strict: what shares its millisecond with the newest record must not be lost."""
    firm.blocks["lane"] = firm.block(lookback_seconds=0)
    project = lane.project("Onboarding", "Acme")
    first, second = lane.task(project, "Sign-off", "2026-03-10"), lane.task(project, "Go live", "2026-03-11")
    firm.pull()
    lane.now += HOUR
    lane.edit(first, taskName="Signed")
    firm.pull()
    lane.edit(second, taskName="Live")  # within the same millisecond, after the pull
    firm.server.asked.clear()
    firm.pull()
    assert firm.stored("select task_name from raw_lane.tasks where _dlt_valid_to is null order by id") == [
        ("Signed",),
        ("Live",),
    ]
    asked = {one.query.get("updatedAt.gt") for one in firm.server.asked if one.path.endswith("/tasks")}
    assert asked == {str(lane.epoch_ms - 1)}


def test_phases_of_projects_long_done_are_passed_over(firm: Firm, lane: Rocketlane) -> None:
    done, running = lane.project("Old", "Acme"), lane.project("New", "Acme")
    phase = lane.phase(done, "Build", "2026-03-02", "2026-03-31")
    other = lane.phase(running, "Build", "2026-03-02", "2026-03-31")
    lane.move(done, "Completed")
    firm.pull()
    lane.now += DAY / 2
    lane.edit(other, dueDate="2026-04-15")
    firm.pull()
    lane.now += HOUR
    firm.server.asked.clear()
    firm.pull()
    asked = [one.query["projectId"] for one in firm.server.asked if one.path.endswith("/phases")]
    assert asked == [str(running["projectId"])]
    lane.edit(phase, dueDate="2026-04-30")
    lane.edit(done, projectName="Old, mended")  # as Rocketlane does when a part of it changes
    firm.pull()
    assert len(plans(firm, f"phase-{phase['phaseId']}")) == 2


def test_what_is_deleted_is_found_by_a_sweep(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    phase, task = lane.phase(project, "Build", "2026-03-02", "2026-03-31"), lane.task(project, "Go live", "2026-03-10")
    plain = lane.task(project, "Survey", "2026-03-10")
    firm.pull()
    lane.now += DAY
    lane.delete(phase)
    lane.delete(task)
    lane.edit(plain, type="TASK")  # no milestone any more
    firm.pull()
    assert {row[0] for row in firm.told("select reject_reason from staging.milestones")} == {"deleted"}
    lane.now += DAY
    lane.edit(plain, type="MILESTONE")
    firm.pull()
    assert firm.told("select name from staging.milestones where reject_reason is null") == [("Survey",)]


@pytest.mark.parametrize("deleted", [0, 1])
def test_a_list_that_moves_while_it_is_read_loses_nothing(firm: Firm, lane: Rocketlane, deleted: int) -> None:
    """Tokens are but places: where a task read already is deleted, the next page begins too far on."""
    project = lane.project("Onboarding", "Acme")
    tasks = [lane.task(project, f"Gate {number}", f"2026-03-{number + 10}") for number in range(9)]
    firm.pull()
    lane.now += HOUR
    for number, task in enumerate(tasks):
        lane.now += timedelta(minutes=2)
        lane.edit(task, taskName=f"Gate {number}, renamed")

    def move(request: Request) -> None:
        if not request.path.endswith("/tasks") or "pageToken" not in request.query:
            return
        lane.now += timedelta(minutes=5)
        if request.query["pageToken"].endswith(str(last)):
            lane.before = None
            lane.edit(tasks[8], taskName="Gate 8, at last")  # to come
            return
        for task in tasks[:deleted]:
            lane.delete(task)
        lane.edit(tasks[1], taskName="Gate 1, again")  # read already

    last = len(lane.tokens) + 1
    lane.before = move
    firm.pull()
    assert lane.before is None
    lane.now += HOUR
    firm.pull()
    there = {(str(key), one["taskName"]) for key, one in lane.held["tasks"].items()}
    found = firm.stored("select id, task_name from raw_lane.tasks where _dlt_valid_to is null")
    assert {row for row in found if not deleted or row[0] != str(tasks[0]["taskId"])} == there


def test_a_token_that_ends_while_pages_are_read_begins_the_list_again(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    for number in range(7):
        lane.task(project, f"Gate {number}", f"2026-03-{number + 10}")
    waits = 2

    def wait(request: Request) -> None:
        nonlocal waits
        if request.path.endswith("/tasks") and "pageToken" in request.query and waits:
            waits -= 1
            lane.now += timedelta(minutes=16)

    lane.before = wait
    firm.pull()
    assert firm.stored("select count(*) from raw_lane.tasks") == [(7,)]
    waits = 99
    lane.now += DAY
    assert "/tasks: answers 400: Bad Request: Invalid page token." in firm.refusal()


@pytest.mark.parametrize("skew", [timedelta(minutes=-5), timedelta(minutes=5)])
def test_clocks_that_differ_by_five_minutes_lose_nothing(firm: Firm, lane: Rocketlane, skew: timedelta) -> None:
    task = lane.task(lane.project("Onboarding", "Acme"), "Go live", "2026-03-10")
    firm.pull(lane.now + skew)
    for due in ("2026-03-11", "2026-03-12"):
        lane.now += timedelta(minutes=1)
        lane.edit(task, dueDate=due)
        firm.pull(lane.now + skew)
    assert [row[0] for row in plans(firm, f"task-{task['taskId']}")] == ["2026-03-10", "2026-03-11", "2026-03-12"]


def test_details_are_asked_for_where_a_bill_changed(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    bills = [lane.bill(project, *((f"Line {line}", 10.0) for line in range(5))) for _ in range(4)]
    firm.pull()
    assert firm.told("select count(*) from staging.invoice_lines") == [(20,)]
    lane.now += HOUR
    lane.pay(bills[2], 5.0)
    firm.pull()
    lane.now += HOUR
    lane.pay(bills[2], 5.0)
    firm.server.asked.clear()
    firm.pull()
    asked = {one.path.split("/")[-2] for one in firm.server.asked if one.path.endswith("/payments")}
    assert asked == {str(bills[2]["invoiceId"])}
    assert firm.told("select sum(amount)::text from staging.payments") == [("10.00",)]


def test_a_pull_that_broke_off_is_taken_up_by_the_next(firm: Firm, lane: Rocketlane) -> None:
    project = lane.project("Onboarding", "Acme")
    for number in range(7):
        lane.task(project, f"Gate {number}", f"2026-03-{number + 10}")

    def break_off(request: Request) -> None:
        if request.path.endswith("/tasks") and "pageToken" in request.query:
            firm.server.troubles.extend(["drop", "drop"])
            lane.before = None

    lane.before = break_off
    assert "cannot be reached" in firm.refusal()
    firm.server.troubles.clear()
    firm.pull()
    assert firm.stored("select count(*) from raw_lane.tasks") == [(7,)]


def test_two_accounts_stand_side_by_side(firm: Firm, lane: Rocketlane) -> None:
    lane.task(lane.project("Onboarding", "Acme"), "Go live", "2026-03-10")
    firm.blocks["other"] = firm.block(firm="Other", token_env="OTHER")
    firm.pull()
    firm.pull(source="other", environ={"OTHER": SECRET})
    found = [row[0].split(":")[0] for row in firm.told("select milestone_id from staging.milestones order by 1")]
    assert found == ["lane", "other"]


# --- what goes wrong -------------------------------------------------------------------------------------


def hurried(seconds: int) -> Reply:
    """A 429 that says, in milliseconds since 1970, when to ask again."""
    again = str(int((MONDAY + timedelta(seconds=seconds)).timestamp() * 1000))
    return refusal(
        429,
        "TOO_MANY_REQUEST",
        "Rate limit exceeded",
        **{"X-Retry-After": again, "Date": "Mon, 02 Mar 2026 12:00:00 GMT"},
    )


@pytest.mark.parametrize("trouble", [hurried(1), refusal(500, "SERVER_ERROR", "Server Error"), "cut", "drop"])
def test_what_passes_is_asked_for_again(firm: Firm, lane: Rocketlane, trouble: Trouble) -> None:
    lane.project("Onboarding", "Acme")
    firm.server.troubles.append(trouble)
    firm.pull()
    assert firm.stored("select count(*) from raw_lane.projects") == [(1,)]


def test_it_waits_until_the_millisecond_that_is_named(firm: Firm, lane: Rocketlane) -> None:
    waits: list[float] = []
    door = opened("lane", firm.settings.sources["lane"], {"SECRET": SECRET}, Patience(attempts=2))
    door._sleep = waits.append
    firm.server.troubles.append(hurried(7))
    door.get("/projects", {"pageSize": 1})
    assert waits == [7.0]


@pytest.mark.parametrize(
    ("troubles", "told"),
    [
        ([hurried(9), hurried(9)], "asked too often (429, X-Retry-After: 1772452809000). Pull again later."),
        (["cut", "cut"], "breaks off in the middle of a page"),
        ([Reply("<html>Sign in</html>")] * 2, "answers an HTML page instead of JSON"),
        ([Reply({"errors": [{"errorCode": "BAD_REQUEST", "errorMessage": "No such field"}]})], "answers with an error: No such field"),
        ([Reply({"items": []})], 'a page without a list "data" (it holds the keys items). The tool has changed'),
        ([refusal(403, "FORBIDDEN", "Plan lacks the API")], "refuses the token (403): Plan lacks the API. Give the account"),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_said_plainly(firm: Firm, lane: Rocketlane, troubles: list[Trouble], told: str) -> None:
    firm.server.troubles.extend(troubles)
    message = firm.refusal()
    assert message.startswith(f"source lane, GET {firm.server.url}/api/1.0/projects: ")
    assert told in message


def test_a_key_that_is_missing_or_revoked_is_told(firm: Firm, lane: Rocketlane) -> None:
    with pytest.raises(Fault, match="the environment variable SECRET is not set"):
        firm.pull(environ={"OTHER": "x"})
    with pytest.raises(Fault, match=r"refuses the token \(401\). Set the token of source lane anew"):
        firm.pull(environ={"SECRET": "rl-old"})
    assert probe("lane", firm.settings, {"SECRET": SECRET}, HASTE) is None
    with pytest.raises(Fault, match=r"/projects: refuses the token \(401\)"):
        probe("lane", firm.settings, {"SECRET": "rl-old"}, HASTE)


def test_a_field_that_rocketlane_removed_is_named_with_its_record(firm: Firm, lane: Rocketlane) -> None:
    task = lane.task(lane.project("Onboarding", "Acme"), "Go live", "2026-03-10")
    lane.lost = {"type"}
    assert f"/tasks: holds the record {task['taskId']} without the field type. The tool has changed" in firm.refusal()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (
            "task",
            ("milestone_events: record task-{key}-1-Parked, field type: 'Parked' is unknown", "milestone_events.sql:"),
        ),
        ("project", ("projects: record {key}, field status: 'Parked' is unknown", "projects.sql:")),
        ("invoice", ("invoices: record {key}, field status: 'Parked' is unknown", "invoices.sql:")),
    ],
)
def test_a_status_nobody_mapped_is_named_with_where_to_add_it(
    firm: Firm, lane: Rocketlane, place: str, told: tuple[str, str]
) -> None:
    project = lane.project("Onboarding", "Acme")
    things: dict[str, Thing] = {
        "project": project,
        "task": lane.task(project, "Go live", "2026-03-10"),
        "invoice": lane.bill(project),
    }
    thing = things[place]
    thing["status"] = "Parked" if place == "invoice" else {"value": 9, "label": "Parked"}
    firm.pull()
    with pytest.raises(Fault) as caught:
        firm.told("select 1")
    message = str(caught.value)
    assert told[0].format(key=thing[f"{place}Id"]) in message
    assert f"staging/rocketlane/{told[1]}" in message
    if place != "invoice":
        assert "Add it to statuses in the block of the source" in message
        firm.blocks["lane"] = firm.block(statuses={**STATUSES, "Parked": "ignored"})
        firm.told("select 1")
