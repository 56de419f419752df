"""An Asana workspace on the loopback: what of its API Milepost asks for, as Asana's documents describe it.

Lists come in the order of the project, a page at a time behind a token that expires; a record holds only the fields that
were asked for; a milestone is not modified when its subtask is; an approval is completed whatever was decided. Every
answer, and whatever it is asked, is held against the official schemas; what does not fit stands in `complaints`.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from loopback import Reply, Request
from vendor_schemas import complaints

TOKEN, WORKSPACE = "sesame-token", "77"
UNLISTED = {"owner.name", "current_status_update.status_type"}  # understood, though the official list lacks them
ROUTES = {
    r"/workspaces/(\d+)/projects": ("GET /workspaces/{workspace_gid}/projects", "all_projects"),
    r"/projects/(\d+)": ("GET /projects/{project_gid}", "one_project"),
    r"/tasks": ("GET /tasks", "tasks_of_project"),
    r"/tasks/(\d+)": ("GET /tasks/{task_gid}", "one_task"),
    r"/tasks/(\d+)/subtasks": ("GET /tasks/{task_gid}/subtasks", "subtasks"),
    r"/tasks/(\d+)/stories": ("GET /tasks/{task_gid}/stories", "stories_of"),
}


class AsanaFake:
    """One workspace. Instants are given as aware datetimes; people are told by their names."""

    def __init__(self) -> None:
        self.projects: dict[str, dict[str, Any]] = {}
        self.order: dict[str, list[str]] = {}  # tasks of each project, as it shows them
        self.tasks: dict[str, dict[str, Any]] = {}
        self.stories: dict[str, list[dict[str, Any]]] = {}
        self.is_paid = True
        self.token_runs_out_after: int | None = None  # pages, once
        self.after_page: Callable[[], None] = lambda: None
        self.complaints: list[str] = []
        self._ids = 1000
        self._run = 0

    # --- what people do ------------------------------------------------------------------------------------

    def project(self, name: str, team: str | None = None, **told: Any) -> str:
        gid = self._next_id()
        self.projects[gid] = {
            "gid": gid, "resource_type": "project", "name": name, "archived": False, "completed": False,
            "completed_at": None, "start_on": None, "owner": person("Ida"), "current_status_update": None,
            "permalink_url": f"https://app.asana.example/{gid}", "custom_fields": [],
            **({"team": {"gid": "5", "resource_type": "team", "name": team}} if team else {}), **told,
        }  # fmt: skip
        self.order[gid] = []
        return gid

    def task(self, project: str, name: str, at: datetime, kind: str = "milestone", **told: Any) -> str:
        gid = self._task(name, at, kind, **told)
        self.add(gid, project)
        return gid

    def approval(self, parent: str, name: str, at: datetime, **told: Any) -> str:
        """A new approval below a task, which is not modified for that."""
        under = {name: self.tasks[parent][name] for name in ("gid", "resource_type", "name", "resource_subtype")}
        self.tasks[parent]["num_subtasks"] += 1
        return self._task(name, at, "approval", parent=under, **told)

    def add(self, gid: str, project: str) -> None:
        self.order[project].append(gid)
        short = {name: self.projects[project][name] for name in ("gid", "resource_type", "name")}
        self.tasks[gid]["projects"].append(short)

    def vote(self, gid: str, status: str, at: datetime, by: str = "Cleo") -> None:
        """Another status of an approval. Asana completes it with any but pending."""
        old, is_done = self.tasks[gid]["approval_status"], status != "pending"
        self._tell(gid, at, by, "approval_status_changed", old_approval_status=old, new_approval_status=status)
        self.write(gid, at, approval_status=status, completed=is_done, completed_at=at if is_done else None)

    def tick(self, gid: str, is_done: bool, at: datetime, by: str = "Ida") -> None:
        self._tell(gid, at, by, "marked_complete" if is_done else "marked_incomplete")
        self.write(gid, at, completed=is_done, completed_at=at if is_done else None)

    def plan(self, gid: str, due: str | None, at: datetime) -> None:
        old, new = ({"due_on": one, "due_at": None, "start_on": None} for one in (self.tasks[gid]["due_on"], due))
        told = {"old_dates": old, "new_dates": new}
        for dates in told.values():
            if dates["due_on"] is None:
                del dates["due_on"]
        self._tell(gid, at, "Ida", "due_date_changed", **told)
        self.write(gid, at, due_on=due)

    def section(self, gid: str, old: str, new: str, at: datetime) -> None:
        named = {f"{age}_section": {"gid": str(len(name)), "resource_type": "section", "name": name}
                 for age, name in (("old", old), ("new", new))}  # fmt: skip
        self._tell(gid, at, "Ida", "section_changed", **named)
        self.write(gid, at)

    def write(self, gid: str, at: datetime, **told: Any) -> None:
        self.tasks[gid] |= {**told, "modified_at": at}

    def delete(self, gid: str) -> None:
        del self.tasks[gid], self.stories[gid]
        for order in self.order.values():
            if gid in order:
                order.remove(gid)

    def trash(self, project: str) -> None:
        del self.projects[project], self.order[project]

    # --- what is answered ----------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return refusal("Not Authorized", 401)
        for pattern, (operation, name) in ROUTES.items():
            if found := re.fullmatch(pattern, request.path):
                asked: dict[str, Any] = {
                    key: int(value) if key == "limit" else value for key, value in request.query.items()
                }
                fields = asked.get("opt_fields", "name").split(",")
                self._hold(
                    "asked " + operation, {**asked, "opt_fields": [one for one in fields if one not in UNLISTED]}
                )
                if not self.is_paid and any(one.startswith("custom_fields") for one in fields):
                    return refusal("Custom Fields are not available for free users.", 402)
                reply: Reply = getattr(self, name)(asked, fields, *found.groups())
                self._hold(operation if reply.status == 200 else "errors", reply.body)
                return reply
        return refusal("No matching route for request", 404)

    def all_projects(self, asked: Mapping[str, Any], fields: list[str], workspace: str) -> Reply:
        if workspace != WORKSPACE:
            return unknown("workspace", workspace)
        return self._page(asked, fields, [*self.projects.values()])

    def one_project(self, _: Any, fields: list[str], gid: str) -> Reply:
        return self._one(fields, self.projects.get(gid), "project", gid)

    def tasks_of_project(self, asked: Mapping[str, Any], fields: list[str]) -> Reply:
        if asked["project"] not in self.projects:
            return unknown("project", asked["project"])
        since = datetime.fromisoformat(asked["modified_since"]) if "modified_since" in asked else None
        there = [self.tasks[gid] for gid in self.order[asked["project"]]]
        return self._page(asked, fields, [one for one in there if since is None or one["modified_at"] > since])

    def one_task(self, _: Any, fields: list[str], gid: str) -> Reply:
        return self._one(fields, self.tasks.get(gid), "task", gid)

    def subtasks(self, asked: Mapping[str, Any], fields: list[str], gid: str) -> Reply:
        if gid not in self.tasks:
            return unknown("task", gid)
        below = [one for one in self.tasks.values() if (one["parent"] or {}).get("gid") == gid]
        return self._page(asked, fields, below)

    def stories_of(self, asked: Mapping[str, Any], fields: list[str], gid: str) -> Reply:
        if gid not in self.tasks:
            return unknown("task", gid)
        return self._page(asked, fields, self.stories[gid])

    # --- how -----------------------------------------------------------------------------------------------

    def _page(self, asked: Mapping[str, Any], fields: list[str], there: list[dict[str, Any]]) -> Reply:
        start = self._start(asked)
        if start is None:
            return refusal("offset: Your pagination token has expired.", 400)
        size = asked["limit"]
        page = [sparse(one, fields) for one in there[start : start + size]]
        following = None
        if start + size < len(there):
            offset = b64encode(json.dumps([self._run, start + size]).encode()).decode()
            following = {"offset": offset, "path": f"/?offset={offset}", "uri": f"https://app.asana.example/?{offset}"}
        self.after_page()
        return Reply({"data": _jsonable(page), "next_page": following})

    def _start(self, asked: Mapping[str, Any]) -> int | None:
        if "offset" not in asked:
            return 0
        if self.token_runs_out_after is not None:
            self.token_runs_out_after -= 1
            if self.token_runs_out_after < 0:
                self.token_runs_out_after, self._run = None, self._run + 1
        run, start = json.loads(b64decode(asked["offset"]))
        return start if run == self._run else None

    def _one(self, fields: list[str], record: dict[str, Any] | None, kind: str, gid: str) -> Reply:
        return Reply({"data": _jsonable(sparse(record, fields))}) if record else unknown(kind, gid)

    def _hold(self, operation: str, body: Any) -> None:
        self.complaints += [f"{operation}: {one}" for one in complaints("asana", operation, body)]

    def _next_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _task(self, name: str, at: datetime, kind: str, **told: Any) -> str:
        gid = self._next_id()
        self.tasks[gid] = {
            "gid": gid, "resource_type": "task", "name": name, "resource_subtype": kind, "completed": False,
            "completed_at": None, "created_at": at, "modified_at": at, "due_on": None, "due_at": None,
            "num_subtasks": 0, "permalink_url": f"https://app.asana.example/{gid}", "parent": None, "projects": [],
            "assignee": None, "custom_fields": [], **({"approval_status": "pending"} if kind == "approval" else {}),
            **told,
        }  # fmt: skip
        self.stories[gid] = []
        return gid

    def _tell(self, gid: str, at: datetime, by: str, kind: str, **told: Any) -> None:
        self.stories[gid].append({"gid": self._next_id(), "resource_type": "story", "resource_subtype": kind,
                                  "created_at": at, "created_by": person(by), **told})  # fmt: skip


def custom(gid: str, name: str, value: str | float | None) -> dict[str, Any]:
    """The value of a custom field, a number or a text, as Asana gives it."""
    held = {"number_value": value} if isinstance(value, int | float) else {"text_value": value}
    shown = None if value is None else str(value)
    return {
        "gid": gid,
        "resource_type": "custom_field",
        "name": name,
        "date_value": None,
        "display_value": shown,
        **held,
    }


def person(name: str) -> dict[str, Any]:
    return {"gid": str(len(name)), "resource_type": "user", "name": name}


def refusal(words: str, status: int) -> Reply:
    return Reply({"errors": [{"message": words, "help": "For more information, see the API documentation."}]}, status)


def unknown(kind: str, gid: str) -> Reply:
    return refusal(f"{kind}: Unknown object: {gid}", 404)


def sparse(record: Any, fields: list[str]) -> Any:
    """What of a record was asked for; its key always is."""
    if isinstance(record, list):
        return [sparse(one, fields) for one in record]
    if not isinstance(record, dict):
        return record
    kept = {"gid": record["gid"]} if "gid" in record else {}
    for name in dict.fromkeys(one.split(".")[0] for one in fields):
        deeper = [one.partition(".")[2] for one in fields if one.startswith(f"{name}.")]
        if name in record:
            kept[name] = sparse(record[name], deeper) if deeper else _compact(record[name])
    return kept


def _compact(value: Any) -> Any:
    if isinstance(value, list):
        return [_compact(one) for one in value]
    if isinstance(value, dict) and "gid" in value:
        return {name: value[name] for name in ("gid", "resource_type") if name in value}
    return value


def _jsonable(body: Any) -> Any:
    return json.loads(
        json.dumps(body, default=lambda at: f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z")
    )
