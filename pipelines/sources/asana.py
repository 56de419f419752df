"""Pulls the projects, milestones and approvals of an Asana workspace, each task with the stories that tell its past.

A list of tasks can be asked for what was modified, but a milestone is not modified when only its subtask is: so the
approvals below milestones are looked at every time. Asana's lists come in no order of time and their tokens expire.
What stays out: how a request is made and tried again (door.py), how rows land (landing.py), and what approvals, stories
and custom fields mean (staging).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, cast

from dlt.sources import DltSource

from pipelines.settings import Settings
from pipelines.source_blocks import AsanaSource, token
from pipelines.sources.door import PATIENT, Answer, Door, Patience, bearer, said
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.shape import records, refuse_lacking
from pipelines.sources.text import sortable
from pipelines.sources.tokens import Expired, following

GATES = ("milestone", "approval")  # the subtypes of a task that are gates
PROJECT = ("name", "archived", "completed", "completed_at", "start_on", "permalink_url")
TASK = ("name", "resource_subtype", "completed", "completed_at", "created_at", "modified_at",
        "due_on", "due_at", "num_subtasks", "permalink_url", "parent", "projects")  # fmt: skip
STORY = ("resource_subtype", "created_at")
# What is asked for beside, and may be absent: Asana leaves out of a record what has no meaning for it.
PROJECT_ALSO = ("owner.name", "team.name", "current_status_update.status_type")
TASK_ALSO = ("approval_status", "assignee.name")
STORY_ALSO = ("created_by.name", "old_approval_status", "new_approval_status", "old_dates.due_on", "old_dates.due_at",
              "new_dates.due_on", "new_dates.due_at", "old_section.name", "new_section.name")  # fmt: skip
CUSTOM = ("custom_fields.name", "custom_fields.display_value", "custom_fields.number_value",
          "custom_fields.date_value")  # fmt: skip
KEYS = ("resource_subtype", "num_subtasks", "modified_at")
_TRASHED = (404,)


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The workspace's records as a dlt source. Raises `Fault` where the token is missing, and while pulling."""
    block = cast(AsanaSource, settings.sources[name])
    asana = _Workspace(opened(name, block, environ, patience), block)
    tables = [
        Table(
            "projects",
            asana.projects_page,
            (*PROJECT, "owner", "team", "current_status_update", "custom_fields"),
            whole=True,
        ),
        Table(
            "tasks",
            asana.tasks,
            (*TASK, "approval_status", "assignee", "custom_fields", "stories"),
            present=asana.keys,
            begun=lambda: asana.begun,
            asked=("custom fields" if block.fields else "", *block.projects),
        ),
    ]
    return land(name, tables, terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks for the projects and for a task of the first, with all that a pull asks for."""
    block = cast(AsanaSource, settings.sources[name])
    asana = _Workspace(opened(name, block, environ, patience), block)
    asana.answered(f"/tasks?project={asana.projects[0]['gid']}", {"limit": 1, "opt_fields": asana.task_fields})
    return asana.door.headroom


def opened(name: str, block: AsanaSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door to the workspace. Raises `Fault` where its token is missing."""
    secret = token(name, block, environ)
    return Door(name, block.url, bearer(secret), patience=patience, secrets=(secret,))


@dataclass
class _Workspace:
    """One workspace, as one pull reads it. `begun` is when its first list of tasks was answered, by Asana's clock."""

    door: Door
    block: AsanaSource
    begun: str | None = field(default=None, init=False)

    # --- tasks ---------------------------------------------------------------------------------------------

    def tasks(self, since: str | None) -> Iterator[Sequence[Record]]:
        """The gates, and the approvals below milestones, that were modified since an instant, with their stories."""
        done: set[str] = set()  # a task may stand in several projects
        for project in self.projects:
            changed: list[Record] = []
            for page in self._tasks_of(project, self.task_fields, {"modified_since": since} if since else {}):
                fresh = [task for task in page if task["resource_subtype"] in GATES and task["gid"] not in done]
                yield self._with_stories(fresh)
                changed += fresh
            done |= {str(task["gid"]) for task in changed}
            for gate in changed if since is None else [one for page in self._gates_of(project) for one in page]:
                slipped = [] if gate["gid"] in done or _is_older(gate, since) else self._task(str(gate["gid"]))
                below = [one for one in self._below(gate, self.task_fields) if not _is_older(one, since)]
                fresh = [one for one in (*slipped, *below) if one["gid"] not in done]
                yield self._with_stories(fresh)
                done |= {str(one["gid"]) for one in fresh}

    def keys(self) -> Iterator[Sequence[str]]:
        """Every gate there is, and every approval below a milestone."""
        for project in self.projects:
            for page in self._gates_of(project):
                yield [str(task["gid"]) for task in page]
                for milestone in page:
                    yield [str(one["gid"]) for one in self._below(milestone, ",".join(KEYS))]

    def _gates_of(self, project: Record) -> Iterator[list[Record]]:
        for page in self._tasks_of(project, ",".join(KEYS), {}):
            yield [task for task in page if task["resource_subtype"] in GATES]

    def _tasks_of(self, project: Record, fields: str, only: Mapping[str, str]) -> Iterator[list[Record]]:
        path = f"/tasks?project={project['gid']}"  # so that a message names the project
        return self.listed(path, {"opt_fields": fields, **only}, ("gid", *KEYS))

    def _task(self, gid: str) -> list[Record]:
        """One task, which a list of what was modified did not show though it was: lists move while they are read."""
        answer = self.answered(f"/tasks/{gid}", {"opt_fields": self.task_fields}, _TRASHED)
        return [] if answer.status in _TRASHED else [answer.body["data"]]

    def _below(self, task: Record, fields: str) -> list[Record]:
        """The approvals among the subtasks of a milestone."""
        if task["resource_subtype"] != "milestone" or not task["num_subtasks"]:
            return []
        path = f"/tasks/{task['gid']}/subtasks"
        pages = self.listed(path, {"opt_fields": fields}, ("gid", *KEYS))
        return [one for page in pages for one in page if one["resource_subtype"] == "approval"]

    def _with_stories(self, tasks: Sequence[Record]) -> list[Record]:
        for place, task in enumerate(tasks):
            status = ("approval_status",) if task["resource_subtype"] == "approval" else ()
            refuse_lacking(self.door, "/tasks", task, ("gid", *TASK, *status), place)
        return [
            {**task, "id": task["gid"], "updated_at": task["modified_at"], "stories": self._stories(str(task["gid"]))}
            for task in tasks
        ]

    def _stories(self, gid: str) -> list[Record]:
        """What happened to a task, oldest first; nothing where it was deleted since it was listed."""
        path = f"/tasks/{gid}/stories"
        asked = {"opt_fields": ",".join((*STORY, *STORY_ALSO))}
        return [story for page in self.listed(path, asked, ("gid", *STORY)) for story in page]

    @cached_property
    def task_fields(self) -> str:
        # custom fields are for paid plans, so they are not asked for in vain
        return ",".join((*TASK, *TASK_ALSO, *(CUSTOM if self.block.fields else ())))

    # --- projects ------------------------------------------------------------------------------------------

    @cached_property
    def projects(self) -> list[Record]:
        """The projects of the settings, or all. Raises `Fault` where one cannot be seen, or none."""
        fields = ",".join((*PROJECT, *PROJECT_ALSO, *(CUSTOM if self.block.fields else ())))
        if self.block.projects:
            return [self._project(gid, fields) for gid in self.block.projects]
        path = f"/workspaces/{self.block.workspace}/projects"
        found = [one for page in self.listed(path, {"opt_fields": fields}, ("gid", *PROJECT)) for one in page]
        if not found:
            cure = f"Check workspace in the block, and add the account of source {self.door.source} to the projects."
            raise self.door.fault(path, "shows not one project.", cure)
        return [*{one["gid"]: one for one in found}.values()]

    def _project(self, gid: str, fields: str) -> Record:
        path = f"/projects/{gid}"
        answer = self.answered(path, {"opt_fields": fields}, _TRASHED)
        if answer.status in _TRASHED:
            cure = "It was deleted, or the account lost the right to it: mend projects in the block of the source."
            raise self.door.fault(path, "is not there to be seen.", cure)
        (project,) = records(self.door, path, {"data": [answer.body.get("data")]}, "data", ("gid", *PROJECT))
        return project

    def projects_page(self, _: str | None) -> Iterable[Sequence[Record]]:
        return [[{**one, "id": one["gid"]} for one in self.projects]]

    # --- lists ---------------------------------------------------------------------------------------------

    def listed(self, path: str, asked: Mapping[str, Any], fields: Sequence[str]) -> Iterator[list[Record]]:
        """Every page of a list. One that belongs to what was deleted meanwhile ends there."""

        def ask(page: str | None) -> tuple[list[Any], str | None]:
            sent = {**asked, "limit": self.block.page_size, **({"offset": page} if page else {})}
            answer = self.answered(path, sent, (400, *_TRASHED) if page else _TRASHED)
            if answer.status == 400:
                raise Expired
            if answer.status in _TRASHED:
                return [], None
            found = records(self.door, path, answer.body, "data", fields)
            return [*found], (answer.body.get("next_page") or {}).get("offset")

        return following(self.door, path, ask)

    def answered(self, path: str, asked: Mapping[str, Any], accepts: Sequence[int] = ()) -> Answer:
        """The answer to one request. Raises `Fault` in plain words for what only a paid plan may ask."""
        answer = self.door.get(path, asked, accepts=(402, *accepts))
        if answer.status == 402:
            words = f": {told}" if (told := said(answer.body)) else ""
            cure = (
                "Custom fields need a paid plan of Asana: leave fields out of the block, or let a paying account ask."
            )
            raise self.door.fault(path, f"is for paid plans alone (402){words}.", cure)
        if path.startswith("/tasks?") and self.begun is None:
            self.begun = _said_date(answer)
        return answer


def _said_date(answer: Answer) -> str | None:
    try:
        return sortable(parsedate_to_datetime(answer.headers.get("Date", "")))
    except ValueError:
        return None


def _is_older(task: Record, since: str | None) -> bool:
    return since is not None and datetime.fromisoformat(str(task["modified_at"])) < datetime.fromisoformat(since)
