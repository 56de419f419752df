"""The demo portal: who sees what, in which order, how fast, and what a decision sets off."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hand_made_portal import Records, event, migration, row

from models.faults import Fault
from pipelines.demo.portal import Hurry, create_app, running
from pipelines.sources.portal import FIELDS

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
Ask = Callable[..., Any]


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def client(
    records: Records, clock: Callable[[], datetime] = lambda: NOON, hurry: Hurry | None = None, token: str = "r"
):
    app = create_app(records, {"r": "relay", "h": "hearth"}, clock, hurry)
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


@cache
def unchanged() -> TestClient:
    """The portal of the migration, for whoever reads it or is refused: nothing in it changes."""
    return client(migration())


def ids(answer: Any) -> list[str]:
    return [one["id"] for one in answer.json()["data"]]


def walk(portal: TestClient, entity: str, limit: int, **asked: Any) -> list[str]:
    """The ids of every page, in the order they came."""
    seen: list[str] = []
    cursor = None
    while True:
        answer = portal.get(f"/v1/{entity}", params={**asked, "limit": limit, **({"cursor": cursor} if cursor else {})})
        seen += ids(answer)
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return seen


def act(portal: TestClient, milestone: str, kind: str, **more: Any) -> Any:
    return portal.post(f"/v1/milestones/{milestone}/events", json={"type": kind, **more})


def test_pages_over_rows_updated_at_the_same_instant_bring_each_row_once() -> None:
    records = {"clients": [row("clients", f"c{n:02}", name="n") for n in reversed(range(25))]}
    assert walk(client(records), "clients", 4) == [f"c{n:02}" for n in range(25)]


def test_a_row_changed_between_two_pages_comes_again_and_none_is_skipped() -> None:
    clock = Clock()
    portal = client(migration(), clock)
    first = portal.get("/v1/milestones", params={"limit": 1}).json()
    act(portal, "mil_1", "submit")
    rest = portal.get("/v1/milestones", params={"limit": 10, "cursor": first["next_cursor"]})
    assert [one["id"] for one in first["data"]] + ids(rest) == ["mil_1", "mil_2", "mil_3", "mil_1"]


def test_updated_since_is_inclusive_and_compares_instants_not_text() -> None:
    moments = {"a": "2026-03-01T09:00:00Z", "b": "2026-03-01T09:00:00.500000Z", "c": "2026-03-01T09:00:01Z"}
    records = {"clients": [row("clients", key, at, name="n") for key, at in moments.items()]}
    portal = client(records)
    assert walk(portal, "clients", 1) == ["a", "b", "c"]
    assert walk(portal, "clients", 9, updated_since="2026-03-01T09:00:00.500000Z") == ["b", "c"]
    assert walk(portal, "clients", 9, updated_since="2026-03-01T10:00:01+01:00") == ["c"]


def test_a_deleted_row_is_served_like_any_other() -> None:
    assert unchanged().get("/v1/milestones").json()["data"][-1]["deleted_at"] == "2026-03-02T09:00:00Z"


def test_each_token_sees_its_own_firm_alone() -> None:
    portal = unchanged()
    assert ids(portal.get("/v1/milestones")) == ["mil_1", "mil_2", "mil_3"]
    assert ids(portal.get("/v1/milestones", headers={"Authorization": "Bearer h"})) == ["mil_9"]
    assert "firm" not in portal.get("/v1/milestones").json()["data"][0]
    assert act(portal, "mil_9", "submit").status_code == 404


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer wrong"}, {"Authorization": ""}])
def test_without_a_valid_token_there_is_a_problem_document_and_no_record(headers: dict[str, str]) -> None:
    answer = unchanged().get("/v1/milestones", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert answer.json()["detail"] == "Give a valid bearer token."


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/v1/milestones?limit=0", 422, "limit"),
        ("/v1/milestones?limit=1001", 422, "limit"),
        ("/v1/milestones?cursor=bm90IG9uZQ==", 400, "cursor"),
        ("/v1/milestones?cursor=%C3%A9", 400, "cursor"),
        ("/v1/milestones?updated_since=yesterday", 400, "updated_since"),
        ("/v1/gates", 404, "There are: clients"),
        ("/v1/teams/nobody/load", 404, "nobody"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(path: str, status: int, told: str) -> None:
    answer = unchanged().get(path)
    assert answer.status_code == status
    assert told in answer.json()["detail"]


def test_whoever_hurries_is_told_how_long_to_wait() -> None:
    at = [0.0]
    portal = client(migration(), hurry=Hurry(per_second=0.5, burst=2, timer=lambda: at[0]))
    answers = [portal.get("/v1/clients") for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[2].headers["Retry-After"] == "2"
    assert portal.get("/v1/clients", headers={"Authorization": "Bearer h"}).status_code == 200
    at[0] = 2.0
    assert portal.get("/v1/clients").status_code == 200


def test_the_description_names_every_field_of_the_contract_and_its_page_needs_no_network() -> None:
    portal = client(migration())
    schemas = portal.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["MilestoneEvents"]["properties"]) == set(FIELDS["milestone_events"])
    assert "approved" in schemas["MilestoneEvents"]["properties"]["type"]["enum"]
    page = portal.get("/docs").text
    assert "/v1/milestones/{milestone}/events" in page
    assert "src=" not in page
    assert "http" not in page.replace("/openapi.json", "")


def test_a_submission_and_an_approval_stand_in_the_log_with_their_sides() -> None:
    clock = Clock()
    portal = client(migration(), clock)
    submitted = act(portal, "mil_1", "submit", actor="Ines", note="all totals agree")
    clock.now += timedelta(hours=2)
    approved = act(portal, "mil_1", "approve", actor="Client lead")
    assert (submitted.status_code, approved.status_code) == (201, 201)
    log = portal.get("/v1/milestone_events", params={"updated_since": "2026-03-04T12:00:00Z"}).json()["data"]
    assert [(one["type"], one["actor_side"], one["origin"], one["occurred_at"]) for one in log] == [
        ("submitted", "team", "log", "2026-03-04T12:00:00Z"),
        ("approved", "client", "log", "2026-03-04T14:00:00Z"),
    ]
    assert log[0]["note"] == "all totals agree"
    assert walk(portal, "milestones", 9, updated_since="2026-03-04T14:00:00Z") == ["mil_1"]


def test_approving_a_gate_with_a_next_team_tells_that_team_and_frees_the_owner() -> None:
    portal = client(migration())
    act(portal, "mil_1", "submit")
    before = portal.get("/v1/teams/integrations/load").json()
    effects = act(portal, "mil_1", "approve").json()["effects"]
    after = portal.get("/v1/teams/integrations/load").json()
    assert [one["milestone"] for one in before["assignments"]] == ["mil_1", "mil_2"]
    assert [one["milestone"] for one in after["assignments"]] == ["mil_2"]
    freed = {"team": "integrations", "milestone": "mil_1", "open_before": 2, "open_after": 1}
    assert effects[1:] == [{"freed": freed}]
    notice = portal.get("/v1/handoffs").json()["data"]
    assert notice == [effects[0]["handoff"]]
    assert set(notice[0]) == set(FIELDS["handoffs"])
    wanted = {"from_team": "integrations", "to_team": "customer success", "notified_at": "2026-03-04T12:00:00Z",
              "accepted_at": None, "started_at": None, "milestone": "mil_1"}  # fmt: skip
    assert wanted.items() <= notice[0].items()
    assert portal.get("/v1/teams/customer success/load").json()["notices"] == notice


def test_a_gate_that_stays_with_its_team_hands_nothing_over_but_says_that_scope_is_locked() -> None:
    portal = client(migration())
    effects = act(portal, "mil_2", "approve").json()["effects"]
    assert effects == [{"scope_locked": {"project": "prj_1", "milestone": "mil_2", "at": "2026-03-04T12:00:00Z"}}]
    assert portal.get("/v1/handoffs").json()["data"] == []


def test_a_reopened_gate_is_back_on_the_desk_and_its_next_team_is_told_once() -> None:
    portal = client(migration())
    for kind in ("submit", "approve", "reopen"):
        act(portal, "mil_1", kind)
    assert portal.get("/v1/teams/integrations/load").json()["open_count"] == 2
    for kind in ("submit", "approve"):
        effects = act(portal, "mil_1", kind).json()["effects"]
    assert [list(one) for one in effects] == [["freed"]]
    assert len(portal.get("/v1/handoffs").json()["data"]) == 1


@pytest.mark.parametrize(
    ("milestone", "kind", "told"),
    [
        ("mil_1", "approve", "mil_1 is in progress. Only a submitted milestone can be approved."),
        ("mil_1", "request_changes", "Changes can be requested only of a submitted milestone."),
        ("mil_1", "reopen", "Only an approved milestone can be reopened."),
        ("mil_2", "submit", "mil_2 is awaiting decision."),
    ],
)
def test_a_move_that_the_state_does_not_allow_changes_nothing(milestone: str, kind: str, told: str) -> None:
    portal = client(migration())
    answer = act(portal, milestone, kind)
    assert answer.status_code == 409
    assert told in answer.json()["detail"]
    assert len(ids(portal.get("/v1/milestone_events"))) == 3


def test_a_waived_gate_can_be_neither_submitted_nor_reopened() -> None:
    records = migration()
    records["milestone_events"].append(event("evt_9", "mil_1", "waived", "2026-03-02T10:00:00Z"))
    portal = client(records)
    assert [act(portal, "mil_1", kind).status_code for kind in ("submit", "reopen")] == [409, 409]


def test_changes_requested_lead_to_another_attempt() -> None:
    portal = client(migration())
    assert act(portal, "mil_2", "request_changes").json()["state"] == "changes requested"
    assert act(portal, "mil_2", "submit").json()["state"] == "awaiting decision"


@pytest.mark.parametrize("body", [{"type": "delete"}, {}, {"type": "submit", "date": "now"}])
def test_an_event_that_is_not_understood_is_refused(body: dict[str, str]) -> None:
    assert unchanged().post("/v1/milestones/mil_1/events", json=body).status_code == 422


@pytest.mark.parametrize("milestone", ["mil_3", "mil_0"])
def test_a_deleted_or_unknown_milestone_cannot_be_acted_on(milestone: str) -> None:
    assert act(unchanged(), milestone, "submit").status_code == 404


def test_an_event_that_lies_ahead_does_not_count_yet() -> None:
    records = migration()
    records["milestone_events"].append(event("evt_9", "mil_1", "submitted", "2027-01-01T00:00:00Z"))
    portal = client(records)
    assert act(portal, "mil_1", "approve").status_code == 409


def test_a_write_never_stands_before_what_a_puller_has_seen() -> None:
    records = migration()
    records["clients"] = [row("clients", "cli_1", "2026-03-05T00:00:00Z", name="n")]  # a portal with a fast clock
    portal = client(records)
    written = act(portal, "mil_1", "submit").json()["event"]
    assert written["occurred_at"] == "2026-03-04T12:00:00Z"
    assert written["updated_at"] == "2026-03-05T00:00:00Z"


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads change places as often as Python allows."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("restless")
def test_of_twenty_who_approve_at_once_one_succeeds() -> None:
    records = migration()
    records["milestone_events"] += [event(f"p{n}", "mil_2", "planned", "2026-03-01T08:00:00Z") for n in range(2000)]
    portal, answers, start = client(records), [], threading.Barrier(20)

    def approve() -> None:
        start.wait()
        answers.append(act(portal, "mil_2", "approve").status_code)

    threads = [threading.Thread(target=approve) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(answers) == [201] + [409] * 19


def test_what_the_portal_is_given_stays_as_it_was() -> None:
    records = migration()
    before = copy.deepcopy(records)
    act(client(records), "mil_1", "submit")
    assert records == before


@pytest.mark.slow
def test_a_port_that_is_taken_is_said_plainly() -> None:
    app = create_app({}, {}, lambda: NOON)
    with (
        running(app) as address,
        pytest.raises(Fault, match=r"port \d+: cannot be opened"),
        running(app, int(address.rsplit(":", 1)[1])),
    ):
        pass
