"""A Redmine on the loopback, for what a real one won't do when it is asked to: break off, move while it is read, lose a key.

It answers as Redmine 5.0.4 was measured to. Every answer is held against `vendor/redmine.json`, and `as_measured` says
what else counts; `test_redmine_real.py` holds a real one to both, so that this one cannot drift from it. What stays out:
writing over the API, and rights by role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from loopback import Reply, Request
from vendor_schemas import complaints

KEY = "5e5a3e" * 6 + "abcd"
STATUSES = {1: "New", 2: "In Progress", 3: "Submitted", 4: "Changes requested", 5: "Approved", 6: "Rejected", 7: "Closed",
            8: "Waived"}  # fmt: skip
MEANINGS = {"New": "planned", "In Progress": "started", "Submitted": "submitted", "Approved": "approved",
            "Changes requested": "changes_requested", "Rejected": "rejected", "Closed": "ignored",
            "Waived": "waived"}  # fmt: skip
TRACKERS = {1: "Task", 2: "Milestone", 3: "Change order"}
FIELDS = {1: "Client", 2: "Amount", 3: "Client approved"}
PROJECT_FIELDS = (1,)
ROUTES = {
    r"/users/current\.json": ("GET /users/current.json", "_me"),
    r"/projects\.json": ("GET /projects.json", "_list_projects"),
    r"/projects/([^/]+)\.json": ("GET /projects/{id}.json", "_one_project"),
    r"/projects/([^/]+)/versions\.json": ("GET /projects/{id}/versions.json", "_list_versions"),
    r"/issue_statuses\.json": ("GET /issue_statuses.json", "_list_statuses"),
    r"/trackers\.json": ("GET /trackers.json", "_list_trackers"),
    r"/issues\.json": ("GET /issues.json", "_list_issues"),
    r"/issues/(\d+)\.json": ("GET /issues/{id}.json", "_one_issue"),
    r"/enumerations/time_entry_activities\.json": ("GET /enumerations/time_entry_activities.json", "_list_activities"),
    r"/time_entries\.json": ("GET /time_entries.json", "_list_time"),
}
PERSON = {"id": 5, "name": "Ida Quist"}
REFUSED, FORBIDDEN, NOWHERE = Reply(b"", 401), Reply(b"", 403), Reply(b"", 404)

Ask = Callable[[str, str], tuple[int, Any]]  # a path and a key -> status and body


class RedmineFake:
    """One Redmine. Instants are aware datetimes; Redmine tells them to the second."""

    def __init__(self) -> None:
        self.keys = {KEY}
        self.has_rest = True
        self.drops_filters = False
        self.clock = datetime(2026, 3, 2, 12, tzinfo=UTC)  # what its answers are dated with
        self.projects: dict[int, dict[str, Any]] = {}
        self.issues: dict[int, dict[str, Any]] = {}
        self.versions: dict[int, dict[str, Any]] = {}
        self.time_entries: list[dict[str, Any]] = []
        self.statuses = dict(STATUSES)
        self.fields = dict(FIELDS)
        self.hidden: set[int] = set()  # projects that are archived, or that the key lost
        self.after_list: Callable[[], None] = lambda: None
        self.complaints: list[str] = []
        self._last = {"project": 0, "issue": 0, "journal": 0}

    # --- what people do ------------------------------------------------------------------------------------

    def project(self, name: str, client: str | None = None, at: datetime | None = None) -> int:
        key = self._next("project")
        self.projects[key] = {"id": key, "name": name, "identifier": name.lower(), "description": None, "status": 1,
                              "is_public": False, "inherit_members": False, "values": {1: client},
                              "at": at or self.clock - timedelta(days=30) + timedelta(seconds=key)}  # fmt: skip
        return key

    def issue(
        self, project: int, subject: str, at: datetime, status: str = "New", tracker: str = "Milestone", **told: Any
    ) -> int:
        """A new issue; `values` are those of its custom fields by their names, `due` its due date."""
        key = self._next("issue")
        values = {self._field(name): value for name, value in told.get("values", {}).items()}
        self.issues[key] = {"id": key, "project": project, "subject": subject, "status": self._status(status),
                            "tracker": next(one for one, name in TRACKERS.items() if name == tracker), "values": values,
                            "due_date": told.get("due"), "created": at, "updated": at, "journals": []}  # fmt: skip
        return key

    def edit(self, issue: int, at: datetime, status: str | None = None, due: str | None = None, **values: str) -> None:
        """One edit, with its journal: a status, a due date, values of custom fields."""
        told, details = self.issues[issue], []
        if status is not None:
            details.append(("attr", "status_id", told["status"], self._status(status)))
            told["status"] = self._status(status)
        if due is not None:
            details.append(("attr", "due_date", told["due_date"], due))
            told["due_date"] = due
        for name, value in values.items():
            key = self._field(name.replace("_", " ").capitalize())
            details.append(("cf", key, told["values"].get(key), value))
            told["values"][key] = value
        told["journals"].append({"id": self._next("journal"), "at": at, "details": details})
        told["updated"] = at

    def delete(self, issue: int) -> None:
        del self.issues[issue]

    # --- what is answered ----------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        for pattern, (name, method) in ROUTES.items():
            if found := re.fullmatch(pattern, request.path):
                is_known = request.headers.get("x-redmine-api-key") in self.keys
                reply: Reply = getattr(self, method)(request, is_known, *found.groups())
                if reply.status == 200:
                    self.complaints += complaints("redmine", name, reply.body)
                if name in ("GET /projects.json", "GET /issues.json", "GET /time_entries.json"):
                    self.after_list()
                return Reply(reply.body, reply.status, {"Date": format_datetime(self.clock, usegmt=True)})
        return NOWHERE

    def _me(self, request: Request, is_known: bool) -> Reply:
        if not self.has_rest:
            return FORBIDDEN
        if not is_known:
            return REFUSED
        told = {
            "id": 5,
            "login": "ida",
            "admin": False,
            "firstname": "Ida",
            "lastname": "Quist",
            "mail": "i@example.com",
        }
        dates = {"created_on": _told(self.clock), "updated_on": _told(self.clock), "last_login_on": None}
        rest = {"passwd_changed_on": None, "twofa_scheme": None, "api_key": KEY}
        return Reply({"user": {**told, **dates, **rest}})

    def _list_projects(self, request: Request, is_known: bool) -> Reply:
        assert request.query["sort"] == "created_on"
        wanted = request.query["status"].split("|") if "status" in request.query else ["1"]
        found = [one for one in self.projects.values() if self._is_open_to(one["id"], is_known)]
        found = sorted((one for one in found if str(one["status"]) in wanted), key=lambda one: (one["at"], one["id"]))
        return self._paged("projects", found, request, self._project)

    def _one_project(self, request: Request, is_known: bool, key: str) -> Reply:
        found = [one for one in self.projects.values() if key in (str(one["id"]), one["identifier"])]
        if not found:
            return NOWHERE
        if not self._is_open_to(found[0]["id"], is_known):
            return FORBIDDEN if is_known else REFUSED
        return Reply({"project": {**self._project(found[0]), "homepage": ""}})

    def _list_versions(self, request: Request, is_known: bool, key: str) -> Reply:
        own = [{name: value for name, value in one.items() if name != "in"} for one in self.versions.values()
               if int(key) in one["in"]]  # fmt: skip
        return Reply({"versions": own, "total_count": len(own)})

    def _list_statuses(self, request: Request, is_known: bool) -> Reply:
        return Reply({"issue_statuses": [{"id": key, "name": name, "is_closed": name == "Closed"}
                                         for key, name in self.statuses.items()]})  # fmt: skip

    def _list_trackers(self, request: Request, is_known: bool) -> Reply:
        rest = {
            "default_status": {"id": 1, "name": "New"},
            "description": None,
            "enabled_standard_fields": ["due_date"],
        }
        return Reply({"trackers": [{"id": key, "name": name, **rest} for key, name in TRACKERS.items()]})

    def _list_activities(self, request: Request, is_known: bool) -> Reply:
        told = {"id": 9, "name": "Extra work", "is_default": False, "active": True}
        return Reply({"time_entry_activities": [told]})

    def _list_time(self, request: Request, is_known: bool) -> Reply:
        assert request.query["activity_id"] == "9"
        return self._paged("time_entries", self.time_entries if is_known else [], request, dict)

    def _list_issues(self, request: Request, is_known: bool) -> Reply:
        asked = {} if self.drops_filters else request.query
        found = sorted(self.issues.values(), key=lambda one: one["id"])
        found = [one for one in found if self._is_open_to(one["project"], is_known)]
        if "project_id" in asked:
            named = [one for one in self.projects.values() if one["identifier"] == asked["project_id"]]
            if not named or not self._is_open_to(named[0]["id"], is_known):
                return (FORBIDDEN if is_known else REFUSED) if named else NOWHERE
            found = [one for one in found if one["project"] == named[0]["id"]]
        if asked.get("status_id") != "*":
            found = [one for one in found if self.statuses.get(one["status"]) != "Closed"]
        if "tracker_id" in asked:
            found = [one for one in found if str(one["tracker"]) in asked["tracker_id"].split("|")]
        if "issue_id" in asked:
            found = [one for one in found if one["id"] >= int(asked["issue_id"].removeprefix(">="))]
        if "updated_on" in asked:
            since = asked["updated_on"].removeprefix(">=")
            if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", since):
                return Reply({"errors": ["Updated is invalid"]}, 422)
            found = [one for one in found if one["updated"] >= datetime.fromisoformat(since)]
        return self._paged("issues", found, request, self._issue)

    def _one_issue(self, request: Request, is_known: bool, key: str) -> Reply:
        found = self.issues.get(int(key))
        if found is None:
            return NOWHERE
        if not self._is_open_to(found["project"], is_known):
            return FORBIDDEN if is_known else REFUSED
        told = self._issue(found)
        if "attachments" in request.query.get("include", ""):
            told["attachments"] = []
        if "journals" in request.query.get("include", ""):
            told["journals"] = [_journal(one) for one in found["journals"]]
        return Reply({"issue": told})

    def _paged(
        self, name: str, found: Sequence[Any], request: Request, told: Callable[[Any], Mapping[str, Any]]
    ) -> Reply:
        limit = min(int(request.query.get("limit", 25)), 100)
        offset = int(request.query.get("offset", 0))
        page = [told(one) for one in found[offset : offset + limit]]
        return Reply({name: page, "total_count": len(found), "offset": offset, "limit": limit})

    def _project(self, held: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: value for name, value in held.items() if name not in ("values", "at")}
        fields = [self._custom(key, held["values"]) for key in PROJECT_FIELDS if key in self.fields]
        modules = [{"id": 1, "name": "issue_tracking"}, {"id": 2, "name": "time_tracking"}]
        dates = {"created_on": _told(held["at"]), "updated_on": _told(held["at"])}
        return {**told, "custom_fields": fields, "enabled_modules": modules, **dates}

    def _issue(self, held: Mapping[str, Any]) -> dict[str, Any]:
        status = self.statuses.get(held["status"], "New")
        fields = [self._custom(key, held["values"]) for key in self.fields if key not in PROJECT_FIELDS]
        named = {"project": {"id": held["project"], "name": self.projects[held["project"]]["name"]},
                 "tracker": {"id": held["tracker"], "name": TRACKERS[held["tracker"]]},
                 "status": {"id": held["status"], "name": status, "is_closed": status == "Closed"},
                 "priority": {"id": 2, "name": "Normal"}, "author": PERSON}  # fmt: skip
        words = {"subject": held["subject"], "description": None, "start_date": None, "due_date": held["due_date"]}
        rest = {"done_ratio": 0, "is_private": False, "estimated_hours": None, "total_estimated_hours": None}
        dates = {"created_on": _told(held["created"]), "updated_on": _told(held["updated"]), "closed_on": None}
        return {"id": held["id"], **named, **words, **rest, "custom_fields": fields, **dates}

    def _custom(self, key: int, values: Mapping[int, Any]) -> dict[str, Any]:
        return {"id": key, "name": self.fields[key], "value": values.get(key)}

    def _is_open_to(self, project: int, is_known: bool) -> bool:
        held = self.projects.get(project)
        return held is not None and project not in self.hidden and (is_known or held["is_public"])

    def _status(self, name: str) -> int:
        return next(key for key, one in self.statuses.items() if one == name)

    def _field(self, name: str) -> int:
        return next(key for key, one in FIELDS.items() if one == name)

    def _next(self, what: str) -> int:
        self._last[what] += 1
        return self._last[what]


def as_measured(ask: Ask, key: str, project: str, issues: Sequence[int], updated: datetime, hidden: str) -> None:
    """What Milepost builds on. `issues` are the milestones of a project, by their ids, the last one closed and last
    updated at `updated`; `hidden` is a project that is archived."""
    listed = f"/issues.json?project_id={project}&subproject_id=!*&tracker_id={{}}&sort=id&status_id=*"
    tracker = next(one["id"] for one in ask("/trackers.json", key)[1]["trackers"] if one["name"] == "Milestone")
    listed = listed.format(tracker)

    def ids(more: str = "", path: str = listed) -> list[int]:
        return [one["id"] for one in ask(path + more, key)[1]["issues"]]

    # a stranger's lists are answered, with less in them; only the question who one is is refused
    assert ask("/users/current.json", "0" * 40) == (401, None)
    assert ask("/users/current.json", key)[0] == 200
    status, body = ask("/issues.json", "0" * 40)
    assert (status, [one["id"] for one in body["issues"] if one["id"] in issues]) == (200, [])
    # closed issues are left out unless they are asked for; pages go on behind an id, and count what is left
    assert ids() == list(issues)
    assert ids(path=listed.replace("&status_id=*", "")) == list(issues[:-1])
    body = ask(f"{listed}&limit=2&issue_id=>={issues[1]}", key)[1]
    assert ([one["id"] for one in body["issues"]], body["total_count"]) == (list(issues[1:3]), len(issues) - 1)
    assert ask(f"{listed}&limit=1000", key)[1]["limit"] == 100
    # an instant is compared to the second, itself included; a fraction of one is refused
    assert issues[-1] in ids(f"&updated_on=>={_told(updated)}")
    assert ids(f"&updated_on=>={_told(updated + timedelta(seconds=2))}") == []
    assert ask(f"{listed}&updated_on=>=2026-01-01T00:00:00.000000Z", key) == (422, {"errors": ["Updated is invalid"]})
    # journals come with one issue alone, and only when they are asked for
    assert not any("journals" in one for one in ask(listed + "&include=journals", key)[1]["issues"])
    assert "journals" in ask(f"/issues/{issues[0]}.json?include=journals,attachments", key)[1]["issue"]
    # what is gone is not found; what may not be read is forbidden
    assert ask("/issues/999999.json", key) == (404, None)
    assert ask("/projects/nowhere.json", key) == (404, None)
    assert ask(f"/projects/{hidden}.json", key) == (403, None)
    assert ask(f"/issues.json?project_id={hidden}", key) == (403, None)
    known = [
        one["identifier"] for one in ask("/projects.json?status=1|5&sort=created_on&limit=100", key)[1]["projects"]
    ]
    assert (project in known, hidden in known) == (True, False)


def _journal(held: Mapping[str, Any]) -> dict[str, Any]:
    details = [{"property": part, "name": str(name), "old_value": _word(old), "new_value": _word(new)}
               for part, name, old, new in held["details"]]  # fmt: skip
    return {"id": held["id"], "user": PERSON, "notes": "", "created_on": _told(held["at"]), "private_notes": False,
            "details": details}  # fmt: skip


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _told(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
