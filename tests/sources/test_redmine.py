"""A Redmine on the loopback: what goes wrong while it is read, and what its journals mean, turn by turn."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from loopback import Loopback, Reply, Trouble, serving
from pulled import Pulled
from redmine_fake import KEY, MEANINGS, RedmineFake, as_measured

from models.faults import Fault
from pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (timedelta(seconds=one) for one in (1, 60, 3600, 86_400))

pytestmark = pytest.mark.slow


class Desk(Pulled):
    """One source that is a Redmine fake; `redmine` is the tool, `server` the loopback before it."""

    redmine: RedmineFake
    server: Loopback

    def names(self) -> list[str]:
        """The subjects of the issues that are there, as raw has them now."""
        rows = self.stored("select subject from raw_desk.issues where _dlt_valid_to is null and gone_at is null")
        return sorted(str(name) for (name,) in rows)

    def after(self, path: str, *changes: Callable[[], Any]) -> None:
        """One change more after each page of a list."""
        coming = iter(changes)
        self.redmine.after_list = lambda: self.server.paths()[-1] == path and next(coming, lambda: None)()

    def sweeping(self, hours: float) -> None:
        self.blocks["desk"] = {**self.blocks["desk"], "sweep_hours": hours}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    redmine = RedmineFake()
    with serving(redmine.answer) as server:
        block = {"kind": "redmine", "url": server.url, "token_env": "REDMINE", "page_size": 2, "currency": "USD",
                 "statuses": MEANINGS, "fields": {"client": "Client", "amount": "Amount"}}  # fmt: skip
        made = Desk(tmp_path, {"desk": block}, {"REDMINE": KEY})
        made.redmine, made.server = redmine, server
        yield made
    assert redmine.complaints == []


@pytest.fixture
def rebrand(desk: Desk) -> int:
    return desk.redmine.project("Rebrand", "Aster")


@pytest.fixture
def five(desk: Desk, rebrand: int) -> list[int]:
    """Gates A to E."""
    return [desk.redmine.issue(rebrand, name, MONDAY - 2 * DAY + n * HOUR) for n, name in enumerate("ABCDE")]


def test_the_fake_does_what_a_real_one_was_measured_to(desk: Desk, five: list[int]) -> None:
    redmine = desk.redmine
    redmine.edit(five[-1], MONDAY, status="Closed")
    redmine.hidden.add(redmine.project("Archived"))

    def ask(path: str, key: str) -> tuple[int, Any]:
        answer = requests.get(desk.server.url + path, headers={"X-Redmine-API-Key": key}, timeout=3)
        return answer.status_code, answer.json() if answer.content else None

    as_measured(ask, KEY, "rebrand", five, MONDAY, "archived")


# --- lists that move ------------------------------------------------------------------------------------------


def test_issues_that_change_and_go_while_pages_are_read_are_not_lost(desk: Desk, five: list[int]) -> None:
    """By offsets C would slip from the second page to the first, and not be seen before the next sweep."""
    redmine, there = desk.redmine, desk.redmine.issues
    redmine.issues = {}
    desk.pull(MONDAY - HOUR)
    redmine.issues = there
    edit = partial(redmine.edit, five[1], MONDAY, status="In Progress")
    desk.after("/issues.json", partial(redmine.delete, five[0]), edit)
    desk.pull(MONDAY)
    assert desk.names() == ["B", "C", "D", "E"]
    redmine.clock += HOUR
    desk.pull(MONDAY + HOUR)
    told = desk.stored("select status from raw_desk.issues where subject = 'B' and _dlt_valid_to is null")
    assert json.loads(told[0][0])["name"] == "In Progress"


def test_an_issue_that_goes_between_its_list_and_its_journals_stops_nothing(desk: Desk, five: list[int]) -> None:
    desk.after("/issues.json", partial(desk.redmine.delete, five[1]))
    desk.pull(MONDAY)
    assert desk.names() == ["A", "C", "D", "E"]


def test_projects_that_go_while_pages_are_read_hide_no_other(desk: Desk) -> None:
    redmine = desk.redmine
    for name in "PQRST":
        redmine.issue(redmine.project(name, "Aster"), f"Gate of {name}", MONDAY - DAY)
    desk.after("/projects.json", lambda: (redmine.projects.pop(1), redmine.delete(1)))
    desk.pull(MONDAY)
    assert [name for (name,) in desk.stored("select name from raw_desk.projects order by 1")] == ["Q", "R", "S", "T"]


def test_a_list_that_never_stands_still_is_told(desk: Desk) -> None:
    redmine = desk.redmine
    for n in range(30):
        redmine.project(f"P{n}", "Aster")
    desk.after("/projects.json", *[lambda: redmine.projects.pop(min(redmine.projects))] * 20)
    assert "/projects.json: the list changes while it is read, 5 times in a row." in desk.refusal(MONDAY)


def test_a_proxy_that_drops_parameters_is_told_and_not_asked_for_ever(desk: Desk, five: list[int]) -> None:
    desk.redmine.drops_filters = True
    told = "/issues.json: lists issue 1 though those after 2 were asked for, in their order."
    assert told in desk.refusal(MONDAY)


# --- clocks ---------------------------------------------------------------------------------------------------


def test_a_change_within_the_second_of_the_last_pull_is_seen(desk: Desk, five: list[int]) -> None:
    desk.redmine.edit(five[0], MONDAY, status="In Progress")
    desk.pull(MONDAY)
    desk.redmine.edit(five[0], MONDAY, status="Submitted")
    desk.redmine.edit(five[1], MONDAY, status="In Progress")
    assert desk.pull(MONDAY + MINUTE).rows["issues"] == 2
    assert not desk.pull(MONDAY + 2 * MINUTE).changed


def test_an_hour_that_is_written_twice_in_autumn_hides_no_change(desk: Desk, five: list[int]) -> None:
    """Redmine keeps local times: in the second pass of the hour a change looks older than one of the first."""
    desk.redmine.clock = MONDAY + 59 * MINUTE
    desk.redmine.edit(five[0], MONDAY + 58 * MINUTE, status="In Progress")
    desk.pull(MONDAY + 59 * MINUTE)
    desk.redmine.edit(five[1], MONDAY + MINUTE, status="In Progress")
    assert desk.pull(MONDAY + 61 * MINUTE).rows["issues"] == 1


@pytest.mark.parametrize("skew", [-5 * MINUTE, 5 * MINUTE])
def test_a_proxy_whose_clock_is_off_by_five_minutes_loses_nothing(desk: Desk, five: list[int], skew: timedelta) -> None:
    redmine = desk.redmine
    redmine.clock = MONDAY + skew
    desk.after("/issues.json", lambda: None, partial(redmine.edit, five[0], MONDAY + SECOND, status="In Progress"))
    redmine.edit(five[4], MONDAY, status="In Progress")
    desk.pull(MONDAY + 2 * skew)
    redmine.edit(five[1], MONDAY + 4 * MINUTE, status="In Progress")
    redmine.clock = MONDAY + 4 * MINUTE + skew
    desk.pull(MONDAY + 4 * MINUTE + 2 * skew)
    told = desk.stored("select subject, status from raw_desk.issues where _dlt_valid_to is null order by 1")
    assert [name for name, status in told if json.loads(status)["name"] == "In Progress"] == ["A", "B", "E"]


def test_a_first_pull_that_takes_hours_forgets_no_change_made_meanwhile(desk: Desk, five: list[int]) -> None:
    """The newest change seen is long after one that was made behind the reader's back."""
    redmine = desk.redmine

    def hours_pass() -> None:
        redmine.clock += 3 * HOUR
        redmine.edit(five[0], MONDAY + HOUR, status="In Progress")
        redmine.edit(five[4], redmine.clock, status="Submitted")

    desk.after("/issues.json", lambda: None, hours_pass)
    desk.sweeping(1000)
    desk.pull(MONDAY)
    desk.pull(MONDAY + 7 * HOUR)
    told = desk.stored("select status from raw_desk.issues where subject = 'A' and _dlt_valid_to is null")
    assert json.loads(told[0][0])["name"] == "In Progress"


# --- answers that are none ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [Reply("", 429, {"Retry-After": "0.01"}), Reply("<h1>Bad gateway</h1>", 502), "cut", "drop"],
    ids=["429", "502", "cut", "drop"],
)
def test_what_passes_is_waited_for(desk: Desk, five: list[int], trouble: Trouble) -> None:
    desk.server.troubles.append(trouble)
    desk.pull(MONDAY)
    assert desk.names() == list("ABCDE")


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (Reply("", 429, {"Retry-After": "0.01"}), "still says that it is asked too often (429, Retry-After: 0.01)."),
        (Reply("<h1>Oops</h1>", 500), "answers 500. Pull again later."),
        (Reply("<html>Log in</html>"), "answers an HTML page instead of JSON. Check the url of the source:"),
        ("cut", "breaks off in the middle of a page, every time it is asked."),
        (Reply(b"", 401), "refuses the token (401). Set the token of source desk anew"),
        (Reply(b"", 403), "lets nobody in over its API (403). Enable the REST web service"),
    ],
    ids=["429", "500", "html", "cut", "401", "403"],
)
def test_what_stays_is_told_in_plain_words(desk: Desk, five: list[int], trouble: Trouble, told: str) -> None:
    desk.server.troubles.extend([trouble, trouble])
    message = desk.refusal(MONDAY)
    assert told in message
    assert message.startswith(f"source desk, GET {desk.server.url}/users/current.json: ")
    assert KEY not in message


def test_a_pull_that_broke_off_is_made_up_for_by_the_next(desk: Desk, five: list[int]) -> None:
    desk.pull(MONDAY)
    for gate in five[:3]:
        desk.redmine.edit(gate, MONDAY + gate * SECOND, status="In Progress")
    good = desk.redmine.answer

    def breaking(request: Any) -> Reply:
        return Reply(b"", 500) if request.path == f"/issues/{five[2]}.json" else good(request)

    with serving(breaking) as broken:
        desk.blocks["desk"]["url"] = broken.url
        assert f"/issues/{five[2]}.json: answers 500." in desk.refusal(MONDAY + HOUR)
    desk.blocks["desk"]["url"] = desk.server.url
    desk.pull(MONDAY + HOUR)
    told = desk.stored("select subject, status from raw_desk.issues where _dlt_valid_to is null order by 1")
    assert [name for name, status in told if json.loads(status)["name"] == "In Progress"] == ["A", "B", "C"]


@pytest.mark.parametrize(
    ("path", "time"),
    [("/projects.json", 1), ("/issues.json", 1), ("/issues.json", 2), ("/time_entries.json", 1)],
    ids=["projects", "issues", "the sweep", "time"],
)
def test_a_key_revoked_while_it_is_used_makes_nothing_look_deleted(
    desk: Desk, five: list[int], path: str, time: int
) -> None:
    """From then on a Redmine answers as it answers a stranger: with 200, and what everybody may see."""
    redmine, times_before = desk.redmine, iter(range(1, time))
    redmine.projects[redmine.project("Open", "Birch")]["is_public"] = True
    if path == "/time_entries.json":
        desk.blocks["desk"]["extra_work_activity"] = "Extra work"
    entry = {"id": 1, "project": {"id": 1, "name": "Rebrand"}, "user": {"id": 5, "name": "Ida"}, "hours": 2.5, "comments": "",
             "activity": {"id": 9, "name": "Extra work"}, "spent_on": "2026-03-01", "created_on": "2026-03-01T09:00:00Z",
             "updated_on": "2026-03-01T09:00:00Z"}  # fmt: skip
    redmine.time_entries = [entry, {**entry, "id": 2}]
    desk.sweeping(0)
    desk.pull(MONDAY)
    good = redmine.answer

    def revoking(request: Any) -> Reply:
        if request.path == path and next(times_before, None) is None:
            redmine.keys.clear()
        return good(request)

    with serving(revoking) as server:
        desk.blocks["desk"]["url"] = server.url
        assert "refuses the token (401)" in desk.refusal(MONDAY + DAY)
    assert desk.names() == list("ABCDE")
    counts = [
        f"select count(*) from raw_desk.{table} where _dlt_valid_to is null" for table in ("projects", "time_entries")
    ]
    assert [desk.stored(query) for query in counts] == [[(2,)], [(2 if path == "/time_entries.json" else 0,)]]


@pytest.mark.parametrize(
    ("path", "change", "told"),
    [
        (
            "/issues.json",
            lambda body: body.pop("issues"),
            "/issues.json: answers without 'issues' (it holds: total_count,",
        ),
        ("/issues.json", lambda body: body["issues"][0].pop("id"), "holds a record without id (place 1 of issues)."),
        ("/issues/2.json", lambda body: body["issue"].pop("journals"), "/issues/2.json: answers without 'journals'"),
        (
            "/issues/2.json",
            lambda body: body.pop("issue"),
            "/issues/2.json: answers without 'issue' (it holds: nothing).",
        ),
        (
            "/issues/2.json",
            lambda body: body["issue"].pop("updated_on"),
            "issues, record '2', field updated_at: None is not",
        ),
        ("/projects.json", lambda body: body.update(projects={}), "answers without 'projects'"),
    ],
)
def test_a_field_that_the_vendor_took_away_is_named(
    desk: Desk, five: list[int], path: str, change: Any, told: str
) -> None:
    good = desk.redmine.answer

    def trimmed(request: Any) -> Reply:
        reply = good(request)
        if request.path == path:
            change(reply.body)
        return reply

    with serving(trimmed) as server:
        desk.blocks["desk"]["url"] = server.url
        assert told in desk.refusal(MONDAY)


def test_a_custom_field_that_was_taken_away_is_told_by_the_next_sweep(desk: Desk, five: list[int]) -> None:
    desk.pull(MONDAY)
    del desk.redmine.fields[2]
    desk.pull(MONDAY + HOUR)
    told = (
        "source desk, fields.amount: no issue that the account may read has a custom field 'Amount'. Make it in Redmine"
    )
    assert desk.refusal(MONDAY + DAY).startswith(told)
    del desk.redmine.fields[1]
    assert desk.refusal(MONDAY + DAY).startswith("source desk, fields.client: no project that the account may read has")


def test_a_field_may_be_on_no_gate_as_long_as_there_is_none(desk: Desk, rebrand: int) -> None:
    desk.blocks["desk"] |= {
        "change_order_tracker": "Change order",
        "fields": {"client": "Client", "approver": "Approver"},
    }
    desk.redmine.issue(rebrand, "Bigger pool", MONDAY - DAY, tracker="Change order")
    desk.pull(MONDAY)
    desk.redmine.issue(rebrand, "Concept", MONDAY - DAY)
    assert "fields.approver: no issue that the account may read has a custom field 'Approver'." in desk.refusal(
        MONDAY + DAY
    )


def test_the_block_of_the_page_is_one(tmp_path: Path) -> None:
    page = ROOT / "docs" / "sources" / "redmine.md"
    block = page.read_text("utf-8").split("```toml\n")[1].split("```")[0]
    settings = Settings.model_validate({"data": tmp_path, **tomllib.loads(block)})
    assert dict(settings.sources["studio"].statuses)["Closed"] == "ignored"  # type: ignore[union-attr]


@pytest.mark.parametrize(("ci", "code", "said"), [("", 0, "--ignore-glob=*redmine_*\n"), ("true", 1, "")])
def test_without_a_redmine_its_tests_are_left_out_but_not_in_ci(tmp_path: Path, ci: str, code: int, said: str) -> None:
    for tool in ("sh", "dirname", "mkdir", "id", "sed", "cat"):  # neither dpkg-query nor apt-get
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    ran = subprocess.run(
        [str(tmp_path / "sh"), str(ROOT / ".ci" / "redmine.sh")],
        env={"PATH": str(tmp_path), "VENV": str(tmp_path), "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (code, said)
    assert "There is no Redmine here and it could not be installed" in ran.stderr


# --- what journals mean ---------------------------------------------------------------------------------------

Edit = dict[str, str]
TURNS: dict[str, tuple[list[Edit], list[str]]] = {
    "a round of changes": (
        [{"status": "In Progress"}, {"status": "Submitted"}, {"status": "Changes requested"}, {"status": "Submitted"},
         {"status": "Approved"}],
        ["planned", "started", "submitted", "changes_requested", "submitted", "approved"],
    ),
    "closed after its approval": ([{"status": "Approved"}, {"status": "Closed"}], ["planned", "approved"]),
    "back to work after its end": (
        [{"status": "Approved"}, {"status": "Closed"}, {"status": "In Progress"}, {"status": "Waived"}, {"status": "New"}],
        ["planned", "approved", "reopened", "started", "waived", "reopened"],
    ),
    "approved by the client, then by status": (
        [{"status": "Submitted"}, {"client_approved": "1"}, {"status": "Approved"}],
        ["planned", "submitted", "approved by client"],
    ),
    "both in one edit": ([{"status": "Approved", "client_approved": "1"}], ["planned", "approved by client"]),
    "submitted and approved in one edit": (
        [{"status": "Submitted", "client_approved": "1"}], ["planned", "submitted", "approved by client"],
    ),
    "an approval taken back": (
        [{"client_approved": "1"}, {"client_approved": "0"}, {"client_approved": "1"}],
        ["planned", "approved by client", "reopened by client", "approved by client"],
    ),
    "taken back with a refusal": (
        [{"client_approved": "1"}, {"client_approved": "0", "status": "Rejected"}],
        ["planned", "approved by client", "rejected"],
    ),
    "a tick that was never set, cleared": ([{"client_approved": "0"}, {"status": "Submitted"}], ["planned", "submitted"]),
}  # fmt: skip


def test_each_turn_of_a_gate_is_told_once_and_in_its_order(desk: Desk, rebrand: int) -> None:
    """All edits of a gate fall into one second, as a script or a fast hand makes them."""
    desk.blocks["desk"]["fields"] = {"client": "Client", "client_approval": "Client approved"}
    for name, (edits, _) in TURNS.items():
        gate = desk.redmine.issue(rebrand, name, MONDAY - DAY)
        for edit in edits:
            desk.redmine.edit(gate, MONDAY - HOUR, **edit)
    desk.pull(MONDAY)
    with desk.staged(MONDAY) as con:
        rows = con.sql(
            "select gates.name, events.type || case events.actor_side when 'client' then ' by client' else '' end "
            "from staging.milestone_events as events join staging.milestones as gates using (milestone_id) "
            "order by gates.name, events.occurred_at, length(events.type) desc"
        ).fetchall()
    told = {name: [kind for one, kind in rows if one == name] for name in TURNS}
    assert told == {name: events for name, (_, events) in TURNS.items()}


def test_a_status_that_is_no_more_is_told_by_its_number(desk: Desk, rebrand: int) -> None:
    gate = desk.redmine.issue(rebrand, "Concept", MONDAY - DAY)
    desk.redmine.edit(gate, MONDAY - HOUR, status="Waived")
    desk.redmine.edit(gate, MONDAY - HOUR, status="Submitted")
    del desk.redmine.statuses[8]
    desk.pull(MONDAY)
    with pytest.raises(Fault, match="record 1-1-status 8, field type: 'status 8' is unknown"), desk.staged(MONDAY):
        pass
    desk.blocks["desk"]["statuses"] = {**MEANINGS, "status 8": "ignored"}
    with desk.staged(MONDAY) as con:
        assert con.sql("select count(*) from staging.milestone_events").fetchall() == [(2,)]


def test_clients_are_told_by_a_field_of_the_project_or_of_one_above_it_or_else_by_the_topmost(desk: Desk) -> None:
    redmine = desk.redmine
    aster = redmine.project("Aster projects", "Aster & Co")
    parts = [redmine.project("Rebrand"), redmine.project("Website", "Birch"), redmine.project("Deep")]
    for part, above in zip(parts, (aster, aster, parts[0]), strict=True):
        redmine.projects[part]["parent"] = {"id": above, "name": redmine.projects[above]["name"]}
    internal = redmine.project("Internal")
    for part in parts:
        redmine.issue(part, "Gate", MONDAY - DAY)
    desk.pull(MONDAY)
    query = "select name, client_id from staging.projects order by project_id"
    with desk.staged(MONDAY) as con:
        assert con.sql(query).fetchall() == [
            ("Aster projects", "desk:aster-co"), ("Rebrand", "desk:aster-co"), ("Website", "desk:birch"),
            ("Deep", "desk:aster-co"),
        ]  # fmt: skip
        found = con.sql("select name, client_id from staging.clients order by 1").fetchall()
        assert found == [("Aster & Co", "desk:aster-co"), ("Birch", "desk:birch")]
    desk.blocks["desk"]["fields"] = {}
    with desk.staged(MONDAY) as con:
        tops = dict(con.sql(query).fetchall())
        assert tops == dict.fromkeys(("Aster projects", "Rebrand", "Website", "Deep"), "desk:project-1") | {
            "Internal": f"desk:project-{internal}"
        }


def test_a_gate_in_a_project_without_client_is_told_by_its_project(desk: Desk) -> None:
    desk.redmine.issue(desk.redmine.project("Rebrand"), "Gate", MONDAY - DAY)
    desk.pull(MONDAY)
    with pytest.raises(Fault, match="source desk, projects: record 1, field client: is empty"), desk.staged(MONDAY):
        pass


def test_versions_are_read_with_their_own_project_and_dated_as_well_as_may_be(desk: Desk, rebrand: int) -> None:
    redmine = desk.redmine
    other = redmine.project("Other", "Aster")
    redmine.versions[1] = {"id": 1, "project": {"id": rebrand, "name": "Rebrand"}, "name": "Launch", "description": "",
                           "status": "open", "due_date": "2026-04-01", "sharing": "system", "wiki_page_title": None,
                           "custom_fields": [{"id": 2, "name": "Amount", "value": "12.5"}], "in": (rebrand, other),
                           "created_on": "2026-02-01T09:00:00Z", "updated_on": "2026-02-03T09:00:00Z"}  # fmt: skip
    desk.blocks["desk"] |= {"milestones": "versions", "statuses": {"open": "planned", "closed": "approved"}}
    desk.pull(MONDAY)
    desk.blocks["other"] = {**desk.blocks["desk"], "projects": ["other"]}
    desk.pull(MONDAY, "other")
    assert desk.stored("select count(*) from raw_other.versions") == [(0,)]
    del desk.blocks["other"]
    redmine.versions[1] |= {"status": "closed", "due_date": "2026-04-08"}  # within the second of the change before
    desk.pull(MONDAY + DAY)
    redmine.versions[1] |= {"status": "open", "updated_on": "2026-03-04T09:00:00Z"}
    desk.pull(MONDAY + 2 * DAY)
    with desk.built(MONDAY + 3 * DAY) as con:
        events = con.sql("select type, occurred_at, origin from marts.gate_events order by position").fetchall()
        plans = con.sql("select due_on::varchar, recorded_at from marts.gate_plans order by version").fetchall()
        gates = con.sql("select project, bills_amount, history_quality from marts.gates").fetchall()
    assert events == [
        ("planned", datetime(2026, 2, 3, 9), "source_timestamp"),
        ("approved", datetime(2026, 3, 3, 12), "snapshot_diff"),
        ("reopened", datetime(2026, 3, 4, 9), "snapshot_diff"),
    ]
    assert plans == [("2026-04-01", datetime(2026, 2, 3, 9)), ("2026-04-08", datetime(2026, 3, 3, 12))]
    assert gates == [("Rebrand", 12.5, "snapshot")]
