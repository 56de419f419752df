"""Debian's Redmine, driven over its public API and pulled: what was done there stands in the marts, and nothing else.

Milepost reads with an account that may view issues and time entries in its projects, and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pulled import Pulled
from redmine_fake import as_measured
from redmine_server import Project, Redmine, installed
from vendor_schemas import complaints

from models.faults import Fault
from pipelines.sources.door import Patience
from pipelines.sources.redmine import probe

pytestmark = pytest.mark.slow

PATIENT = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=60)
DUE = date(2030, 3, 4)
DAY = timedelta(days=1)
Firm = Callable[..., Pulled]


@pytest.fixture
def firm(tmp_path: Path, redmine: Redmine) -> Firm:
    """The settings of a firm that reads some of the Redmine's projects, and sweeps with every pull."""

    def told(*projects: Project, **block: Any) -> Pulled:
        block = {"projects": [one.identifier for one in projects], "sweep_hours": 0, **block}
        return Pulled(tmp_path, {"desk": redmine.block(**block)}, redmine.environ, PATIENT)

    return told


def now() -> datetime:
    return datetime.now(UTC)


def soon() -> datetime:
    """Right after whatever was done so far."""
    return now() + timedelta(seconds=1)


def journal_times(redmine: Redmine, issue: int) -> list[datetime]:
    """When a status was changed, as the API tells it."""
    return [
        datetime.fromisoformat(one["created_on"]).replace(tzinfo=None)
        for one in redmine.read(issue)["journals"]
        if any(detail["name"] == "status_id" for detail in one["details"])
    ]


def test_it_does_what_its_fake_does(redmine: Redmine) -> None:
    project, hidden = redmine.project("Measured", client="Aster"), redmine.project("Hidden", client="Aster")
    gates = [redmine.milestone(project, f"Gate {n}") for n in range(4)]
    redmine.attach(gates[0], "brief.pdf")
    redmine.add_version(project, "Launch", due=DUE, amount=5)
    redmine.spend(gates[0], 1.5, "2026-11-02", "Extra work")
    redmine.edit(gates[-1], status="Closed", due=DUE, client_approval=True)
    redmine.archive_project(hidden)

    def ask(path: str, key: str) -> tuple[int, Any]:
        answer = requests.get(redmine.url + path, headers={"X-Redmine-API-Key": key}, timeout=60)
        return answer.status_code, answer.json() if answer.content else None

    key, updated = redmine.reader.key, datetime.fromisoformat(redmine.read(gates[-1])["updated_on"])
    as_measured(ask, key, project.identifier, gates, updated, hidden.identifier)
    for name, path in {
        "GET /users/current.json": "/users/current.json",
        "GET /projects.json": "/projects.json?status=1|5&sort=created_on&include=enabled_modules",
        "GET /projects/{id}.json": f"/projects/{project.identifier}.json?include=enabled_modules",
        "GET /projects/{id}/versions.json": f"/projects/{project.id}/versions.json",
        "GET /projects/{id}/memberships.json": f"/projects/{project.id}/memberships.json?limit=2&offset=0",
        "GET /issue_statuses.json": "/issue_statuses.json",
        "GET /trackers.json": "/trackers.json",
        "GET /roles.json": "/roles.json",
        "GET /enumerations/time_entry_activities.json": "/enumerations/time_entry_activities.json",
        "GET /issues.json": f"/issues.json?project_id={project.identifier}&status_id=*&sort=id",
        "GET /issues/{id}.json": f"/issues/{gates[0]}.json?include=journals,attachments",
        "GET /time_entries.json": f"/time_entries.json?project_id={project.identifier}&sort=created_on",
    }.items():
        status, body = ask(path, key)
        assert (status, complaints("redmine", name, body)) == (200, []), name


@pytest.mark.parametrize("version", [f"redmine {installed()}"])
def test_a_gates_journals_become_its_history(version: str, redmine: Redmine, firm: Firm) -> None:
    assert version == f"redmine {redmine.version}"
    assert redmine.version.split(".") >= ["5"]
    project = redmine.project("Rebrand", client="Aster", contract_amount="12000.50", signed_on="2026-01-05",
                              kickoff_on="2026-01-12", manager="Jo March")  # fmt: skip
    gate = redmine.milestone(project, "Concept approval", due=DUE, amount="5000.25", next_team="Design",
                             approver="Ann", invoice="2026-17")  # fmt: skip
    for status in ("In Progress", "Submitted", "Changes requested", "Submitted"):
        redmine.set_status(gate, status)
    redmine.edit(gate, status="Approved", client_approval=True)
    redmine.set_status(gate, "Closed")
    redmine.set_status(gate, "In Progress")
    redmine.move_due(gate, DUE + DAY)
    redmine.edit(gate, due=DUE + 7 * DAY, notes="The photographer was ill.")
    redmine.set_status(gate, "Resolved")
    redmine.set_status(gate, "Approved")
    firm_ = firm(project)
    firm_.pull(now())
    with firm_.built(soon()) as con:
        gates = con.sql(
            "select client, project, manager, gate_name, status, bills_amount, next_team, approver_side, attempt_count, "
            "start_rule, date_trunc('second', started_at), date_trunc('second', approved_at), is_reopened, history_quality from marts.gates"
        ).fetchall()
        events = con.sql(
            "select type, actor_side, origin, occurred_at from marts.gate_events order by position"
        ).fetchall()
        plans = con.sql(
            "select due_on, is_baseline, moved_days, reason from marts.gate_plans order by version"
        ).fetchall()
        numbers = con.sql("select number, approver, invoice from staging.milestones").fetchall()
        project_row = con.sql(
            "select contract_amount_local, signed_at, kickoff_at, status from marts.projects"
        ).fetchall()
    times = journal_times(redmine, gate)
    assert gates == [
        ("Aster", "Rebrand", "Jo March", "Concept approval", "approved", 5000.25, "Design", "client", 3, "started",
         times[0], times[-1], True, "log")
    ]  # fmt: skip
    assert [one[:2] for one in events] == [
        ("planned", "team"), ("started", "team"), ("submitted", "team"), ("changes_requested", None),
        ("submitted", "team"), ("approved", "client"), ("reopened", "team"), ("started", "team"),
        ("submitted", "team"), ("approved", None),
    ]  # fmt: skip
    assert {one[2] for one in events} == {"log"}
    told = [
        one[3].replace(microsecond=0) for one in events[1:6] + events[7:]
    ]  # Closed means nothing, so 0 to 4 and 6 on
    assert told == times[:5] + times[6:]
    assert plans == [
        (DUE, True, None, None),
        (DUE + DAY, False, 1, None),
        (DUE + 7 * DAY, False, 6, "The photographer was ill."),
    ]
    assert numbers == [(f"rebrand-{gate}", "Ann", "2026-17")]
    assert [(str(row[0]), row[1], row[2], row[3]) for row in project_row] == [
        ("12000.50", datetime(2026, 1, 5, 17), datetime(2026, 1, 12, 17), "active")
    ]


def test_who_acts_for_the_client_is_told_by_field_or_by_role(redmine: Redmine, firm: Firm) -> None:
    project = redmine.project("Site", client="Birch")
    ann, bob = redmine.person("ann", first="Ann"), redmine.person("bob", first="Bob")
    redmine.join(project, ann, "Client")
    redmine.join(project, bob, "Manager")
    by_client = redmine.milestone(project, "Design", status="Submitted")
    redmine.set_status(by_client, "Rejected", by=ann)
    redmine.set_status(by_client, "Submitted", by=bob)
    redmine.set_status(by_client, "Approved", by=ann)
    by_team = redmine.milestone(project, "Staging", status="Submitted", approver_side="Team")
    redmine.set_status(by_team, "Waived", by=bob)
    by_field = redmine.milestone(project, "Launch", client_approved_on=now().date())
    dated = redmine.milestone(project, "Handover", status="Submitted")
    redmine.edit(dated, client_approved_on="2026-03-02")
    redmine.edit(dated, client_approved_on="", status="Changes requested")
    fields = {"client": "Client", "client_approval": "Client approved on", "approver_side": "Approver side"}
    firm_ = firm(project, client_roles=["client"], fields=fields)
    firm_.pull(now())
    with firm_.built(soon()) as con:
        found = con.sql(
            "select gate_name, type, actor, actor_side, cast(occurred_at as date) from marts.gate_events "
            "where type not in ('planned') order by gate_id, position"
        ).fetchall()
        sides = dict(con.sql("select gate_name, approver_side from marts.gates").fetchall())
    today, made_at = now().date(), datetime.fromisoformat(redmine.read(by_field)["created_on"]).date()
    assert found == [
        ("Design", "submitted", "Redmine Admin", "team", today),
        ("Design", "rejected", "Ann Quist", "client", today),
        ("Design", "submitted", "Bob Quist", "team", today),
        ("Design", "approved", "Ann Quist", "client", today),
        ("Staging", "submitted", "Redmine Admin", "team", today),
        ("Staging", "waived", "Bob Quist", "team", today),
        ("Launch", "approved", "Redmine Admin", "client", made_at),
        ("Handover", "approved", "Redmine Admin", "client", date(2026, 3, 2)),
        ("Handover", "submitted", "Redmine Admin", "team", today),
        ("Handover", "changes_requested", "Redmine Admin", "team", today),
    ]
    assert sides == {"Design": "client", "Staging": "team", "Launch": "client", "Handover": "client"}


def test_what_was_deleted_or_moved_away_goes_and_what_is_archived_stays(redmine: Redmine, firm: Firm) -> None:
    """A project's own fate is told by Redmine's answers: 404 where it was deleted, 403 where it may not be read."""
    kept, closed, archived, deleted = (redmine.project(f"Fate {n}", client=f"Client {n}") for n in range(4))
    gates = {one.id: redmine.milestone(one, "Gate", amount=100) for one in (kept, closed, archived, deleted)}
    lost = redmine.milestone(kept, "Deleted gate")
    other = redmine.milestone(kept, "Gate that is none")
    order = redmine.change_order(archived, "Bigger pool", amount=500, status="Submitted")
    firm_ = firm(projects=[])
    firm_.pull(now())
    redmine.delete(lost)
    redmine.edit(other, tracker="Bug")
    redmine.close_project(closed)
    redmine.archive_project(archived)
    redmine.delete_project(deleted)
    assert firm_.pull(now()).changed
    with firm_.built(soon()) as con:
        found = con.sql(
            "select gate_name, source_key from marts.gates where project like 'Fate%' order by 2"
        ).fetchall()
        fates = con.sql(
            "select project, status, closed_at is not null from marts.projects where project like 'Fate%'"
        ).fetchall()
        rejected = con.sql("select entity, source_key, reason from marts.rejects order by all").fetchall()
        orders = con.sql("select source_key from marts.change_orders").fetchall()
    assert found == [("Gate", str(gates[one.id])) for one in (kept, closed, archived)]
    assert sorted(fates) == [("Fate 0", "active", False), ("Fate 1", "completed", True), ("Fate 2", "active", False)]
    gone = [
        (entity, key)
        for entity, key, reason in rejected
        if reason == "deleted" and entity in ("milestones", "projects")
    ]
    assert sorted(gone) == sorted(
        [("milestones", str(key)) for key in (gates[deleted.id], lost, other)] + [("projects", str(deleted.id))]
    )
    assert (str(order),) in orders
    redmine.archive_project(archived, back=True)
    firm_.pull(now())
    query = "select count(*) from staging.milestones where reject_reason is null and project_id = ?"
    with firm_.staged(soon()) as con:
        assert con.execute(query, [f"desk:{archived.id}"]).fetchall() == [(1,)]


def test_a_pull_asks_for_what_is_new_and_two_sources_do_not_meet(redmine: Redmine, firm: Firm) -> None:
    project = redmine.project("Pages", client="Cedar")
    gates = [redmine.milestone(project, f"Gate {n}") for n in range(5)]
    firm_ = firm(project, page_size=2)
    firm_.blocks["other"] = firm_.blocks["desk"]
    assert firm_.pull(now()).rows["issues"] == 5
    assert not firm_.pull(now()).changed
    redmine.set_status(gates[3], "In Progress")
    assert firm_.pull(now()).rows["issues"] == 1
    assert firm_.pull(now(), "other").rows["issues"] == 5
    with firm_.built(soon()) as con:
        found = con.sql(
            "select source, count(*), count(distinct gate_id) from marts.gates group by all order by 1"
        ).fetchall()
        clients = con.sql("select distinct client_id, client from marts.gates").fetchall()
    assert found == [("desk", 5, 5), ("other", 5, 5)]
    assert clients == [("desk:cedar", "Cedar")]


def test_a_date_reckoned_from_subtasks_is_a_plan_though_no_journal_tells(redmine: Redmine, firm: Firm) -> None:
    project = redmine.project("Subtasks", client="Cedar")
    gate = redmine.milestone(project, "Gate", due=DUE)
    firm_ = firm(project)
    firm_.pull(now())
    task = redmine.issue(project, "Task", tracker="Bug", parent=gate, due=DUE + 10 * DAY)
    firm_.pull(now())
    redmine.set_status(gate, "In Progress")
    redmine.move_due(task, DUE + 20 * DAY)
    firm_.pull(now())
    with firm_.staged(soon()) as con:
        plans = con.sql("select due_on from staging.milestone_plans order by recorded_at").fetchall()
    assert plans == [(DUE,), (DUE + 10 * DAY,), (DUE + 20 * DAY,)]


def test_versions_are_gates_whose_history_the_pulls_see(redmine: Redmine, firm: Firm) -> None:
    project = redmine.project("Releases", client="Dale")
    beta = redmine.add_version(project, "Beta", due=DUE, amount=700)
    final = redmine.add_version(project, "Final", due=DUE + 30 * DAY)
    gone = redmine.add_version(project, "Never")
    fields = {"client": "Client", "amount": "Amount", "client_approval": "Client approved on"}
    statuses = {"open": "started", "locked": "submitted", "closed": "ignored"}
    firm_ = firm(project, milestones="versions", fields=fields, statuses=statuses, change_order_tracker=None)
    first = now()
    firm_.pull(first)
    redmine.edit_version(beta, status="locked", due=DUE + 3 * DAY)
    redmine.delete_version(gone)
    firm_.pull(first + DAY)
    redmine.edit_version(beta, status="closed", client_approved_on="2026-10-01")
    firm_.pull(first + 2 * DAY)
    assert not firm_.pull(first + 3 * DAY).changed
    with firm_.built(first + 3 * DAY) as con:
        gates = con.sql(
            "select gate_name, status, bills_amount, cast(approved_at as date), history_quality from marts.gates order by 1"
        ).fetchall()
        events = con.sql("select type, actor_side, origin from marts.gate_events where gate_name = 'Beta'").fetchall()
        plans = con.sql("select gate_label, due_on from marts.gate_plans order by 1, version").fetchall()
        rejected = con.sql("select source_key, reason from marts.rejects where entity = 'milestones'").fetchall()
    assert gates == [
        ("Beta", "approved", 700, date(2026, 10, 1), "snapshot"),
        ("Final", "in_progress", None, None, "snapshot"),
    ]
    assert sorted(events) == [
        ("approved", "client", "snapshot_diff"), ("started", None, "source_timestamp"), ("submitted", None, "snapshot_diff"),
    ]  # fmt: skip
    assert plans == [("Beta", DUE), ("Beta", DUE + 3 * DAY), ("Final", DUE + 30 * DAY)]
    assert rejected == [(f"v{gone}", "deleted")]
    assert final > beta


def test_change_orders_extra_work_and_files_are_taken_too(redmine: Redmine, firm: Firm) -> None:
    project = redmine.project("Extras", client="Elm", contract_amount=10_000)
    gate = redmine.milestone(project, "Frame", amount=4000, locks_scope=True)
    told = {"parent": gate, "amount": "1500.50", "reason": "client wish", "days": 4, "requested_by": "Client"}
    order = redmine.change_order(project, "Bigger pool", **told)
    for status in ("In Progress", "Submitted", "Approved", "Closed"):
        redmine.set_status(order, status)
    pending = redmine.change_order(project, "Sauna", amount=-20, status="Submitted")
    redmine.set_status(pending, "Changes requested")
    redmine.attach(gate, "permit.pdf", description="Building permit")
    redmine.attach(gate, "photo.jpg")
    redmine.spend(gate, 2.5, "2026-11-02", "Extra work", "Moved the stairs")
    redmine.spend(order, 3, "2026-11-03", "Extra work")
    redmine.spend(project, 8, "2026-11-03", "Development")
    firm_ = firm(project, extra_work_activity="extra work")
    firm_.pull(now())
    with firm_.built(soon()) as con:
        orders = con.sql(
            "select title, status, reason, requested_by_side, amount_requested, amount_approved, days_approved, milestone_id, "
            "decided_at >= submitted_at, number from staging.change_orders order by source_key"
        ).fetchall()
        work = con.sql(
            "select gate_id, change_order_id, hours, description from marts.extra_work order by hours"
        ).fetchall()
        files = con.sql("select type, is_required, gate_id from marts.gate_documents order by 1").fetchall()
    assert [(*one[:4], *map(str, one[4:7]), *one[7:]) for one in orders] == [
        ("Bigger pool", "approved", "client wish", "client", "1500.50", "1500.50", "4.0", f"desk:{gate}", True,
         f"extras-{order}"),
        ("Sauna", "pending", None, None, "-20.00", "None", "None", None, None, f"extras-{pending}"),
    ]  # fmt: skip
    assert work == [
        (f"desk:{gate}", None, 2.5, "Moved the stairs"),
        (None, f"desk:{order}", 3.0, None),
    ]
    assert files == [("Building permit", False, f"desk:{gate}"), ("photo.jpg", False, f"desk:{gate}")]


def test_a_key_that_is_wrong_or_lost_its_rights_is_told_and_nothing_counts_as_deleted(
    redmine: Redmine, firm: Firm
) -> None:
    """Redmine answers a stranger's lists with 200 and less in them: a wrong key must not look like deletions."""
    project = redmine.project("Rights", client="Fir")
    redmine.milestone(project, "Gate")
    firm_ = firm(project)
    firm_.pull(now())
    firm_.environ = {"REDMINE_KEY": "f" * 40}
    assert "/users/current.json: refuses the token (401). Set the token of source desk anew" in firm_.refusal(now())
    assert "f" * 40 not in firm_.refusal(now())
    ann = redmine.person("former", first="Former")
    membership = redmine.join(project, ann, "Reader")
    firm_.environ = {"REDMINE_KEY": ann.key}
    firm_.pull(now())
    redmine.leave(membership)
    assert "/projects/rights.json: does not let the account read the project (403)" in firm_.refusal(now())
    firm_.blocks["desk"]["projects"] = []
    assert "/projects.json: shows the account no project." in firm_.refusal(now())
    assert firm_.stored("select count(*) from raw_desk.issues where gone_at is null") == [(1,)]


def test_names_that_the_block_has_and_redmine_has_not_are_told_with_those_there_are(
    redmine: Redmine, firm: Firm
) -> None:
    project = redmine.project("Names", client="Gale")
    redmine.milestone(project, "Gate", status="Submitted")

    def refusal(**block: Any) -> str:
        return firm(project, **block).refusal(now())

    assert "there is no tracker 'Gate'. There are: Bug, Feature, Support, Milestone, Change order." in refusal(
        tracker="Gate"
    )
    assert "there is no role 'Customer'. There are: Manager, " in refusal(client_roles=["Customer"])
    assert "there is no activity 'Overtime'. There are: Design, " in refusal(extra_work_activity="Overtime")
    assert "/projects/nowhere.json: there is no such project (404)." in refusal(projects=["nowhere"])
    told = "source desk, fields.client: no project that the account may read has a custom field 'Kunde'."
    assert told in refusal(fields={"client": "Kunde"})
    told = "source desk, fields.amount: no issue that the account may read has a custom field 'Betrag'."
    assert told in refusal(fields={"amount": "Betrag"})
    with pytest.raises(Fault, match="custom field 'Kunde'"):
        probe("desk", firm(project, fields={"client": "Kunde"}).settings, redmine.environ, PATIENT)
    assert probe("desk", firm(project).settings, redmine.environ, PATIENT) is None


def test_a_status_nobody_mapped_is_named_with_its_record_and_the_place_to_add_it(redmine: Redmine, firm: Firm) -> None:
    project = redmine.project("Words", client="Holm")
    gate = redmine.milestone(project, "Gate", status="Submitted")
    firm_ = firm(project, statuses={"New": "planned"})
    firm_.pull(now())
    with pytest.raises(Fault) as caught, firm_.staged(soon()):
        pass
    told = f"source desk, milestone_events: record {gate}-0-Submitted, field type: 'Submitted' is unknown. Known are: planned,"
    assert str(caught.value).startswith(told)
    assert "Add it to statuses in the block of the source, or extend the mapping at " in str(caught.value)
