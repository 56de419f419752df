"""Pulls a Redmine: projects, the issues or versions that are gates, change orders, time booked beside the scope.

Issues are read by what was updated, paged by their ids, each with its journals; keys are swept for deletions. Versions,
projects and the small lists are read whole. A Redmine that lets anybody read answers a wrong key as it answers a
stranger, with a 200 and less in it: so the key is tried before the first list, and again after each by which something
could pass for deleted. What stays out: what a status or a field means (staging).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any, Literal, cast

import dlt
from dlt.sources import DltSource

from models.faults import fault
from pipelines.settings import Settings
from pipelines.source_blocks import RedmineSource, token
from pipelines.sources.door import PATIENT, Credentials, Door, Patience
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.text import sortable

MOST_PER_PAGE = 100  # whatever is asked for
CLOCK_SHIFT = timedelta(hours=1)  # Redmine keeps local times: where its clock is put back, an hour is written twice
LISTINGS = 5  # times that a list which moves while it is read is begun anew
PROJECT_ROLES = ("client", "contract_amount", "currency", "signed_on", "kickoff_on", "manager", "playbook")
ORDER_ROLES = ("amount", "number", "reason", "days", "requested_by")  # that an issue may have where gates are versions
Part = Literal["project", "issue", "version"]
_KNOWN = "/users/current.json"
_READABLE = "1|5"  # active and closed projects; an archived one cannot be read


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """A Redmine's records as a dlt source.

    Raises `Fault` at once for a key that is missing or wrong and for a tracker that is not there.
    """
    redmine = opened(name, settings, environ, patience)
    return land(name, redmine.tables(), replace(terms, lookback=terms.lookback + CLOCK_SHIFT))


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Looks for the trackers, projects and their fields that the block names, and reads no issue."""
    redmine = opened(name, settings, environ, patience)
    next(redmine.project_rows())
    return redmine.door.headroom


def opened(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> Redmine:
    """The Redmine behind a source, once it has known the key and named the trackers."""
    block = cast(RedmineSource, settings.sources[name])
    secret = token(name, block, environ)
    door = Door(name, block.url, Credentials({"X-Redmine-API-Key": secret}), patience=patience, secrets=(secret,))
    return Redmine(door, block)


class Redmine:
    """One Redmine, as one source reads it: what it lists, and pages of it for each raw table."""

    def __init__(self, door: Door, block: RedmineSource) -> None:
        self.door, self.block = door, block
        self.began = self.refuse_strangers()
        self.plays = self._plays()

    def tables(self) -> list[Table]:
        issue = ("url", "plays", "project", "status", "author", "subject", "due_date", "parent", "custom_fields",
                 "journals", "attachments", "created_on")  # fmt: skip
        project = ("url", "identifier", "name", "line", "status", "custom_fields", "created_on", "updated_on")
        version = ("url", "project", "name", "status", "due_date", "custom_fields", "created_on", "updated_on")
        entry = ("url", "project", "issue", "hours", "comments", "spent_on", "updated_on")
        return [
            Table("projects", lambda _: self.project_rows(), project, whole=True),
            Table("hidden_projects", lambda _: self._hidden_projects(), (), whole=True),
            Table("statuses", lambda _: self._statuses(), ("name",), whole=True),
            Table("issues", self._issues, issue, versions=True, present=self._issue_keys, begun=lambda: self.began),
            Table("versions", lambda _: self._versions(), version, whole=True),
            Table("client_members", lambda _: self._client_members(), ("project", "user"), whole=True),
            Table("time_entries", lambda _: self._time_entries(), entry, whole=True),
        ]

    def refuse_strangers(self) -> str | None:
        """Has the key looked at, which is the one thing a stranger is refused; what time it is there, if it says so."""
        answer = self.door.get(_KNOWN, accepts=(403,))
        if answer.status == 403:
            what = "lets nobody in over its API (403)."
            cure = (
                "Enable the REST web service (Administration, Settings, API); the account's password must not be due."
            )
            raise self.door.fault(_KNOWN, what, cure)
        told = answer.headers.get("Date")
        return sortable(parsedate_to_datetime(told).astimezone(UTC)) if told else None

    @cached_property
    def projects(self) -> list[Record]:
        """The projects that are read, closed ones too. Raises `Fault` for one that is named and may not be read."""
        more = {"include": "enabled_modules"}
        if self.block.projects:
            return [self._named_project(one, more) for one in self.block.projects]
        found = self._steady("/projects.json", "projects", {"status": _READABLE, "sort": "created_on", **more})
        if not found:
            cure = "Make the account a member of the projects to be read, with a role that may view issues."
            raise self.door.fault("/projects.json", "shows the account no project.", cure)
        return found

    def _named_project(self, identifier: str, more: Mapping[str, str]) -> Record:
        path = f"/projects/{identifier}.json"
        answer = self.door.get(path, more, accepts=(403, 404))
        if answer.status == 404:
            raise self.door.fault(path, "there is no such project (404).", "Mend projects in the block of the source.")
        if answer.status == 403:
            what = "does not let the account read the project (403), or it is archived."
            raise self.door.fault(path, what, "Make the account a member of it, or take it out of projects.")
        return cast(Record, self._held(path, answer.body, "project", dict))

    def _plays(self) -> dict[int, str]:
        """What issues of a tracker are to us, by the tracker's id."""
        wanted = {"change_order": self.block.change_order_tracker}
        if self.block.milestones == "issues":
            wanted["milestone"] = self.block.tracker
        named = {part: name for part, name in wanted.items() if name}
        return dict(zip(self._ids("/trackers.json", "trackers", tuple(named.values()), "tracker"), named, strict=True))

    # --- issues -----------------------------------------------------------------------------------------

    def _issues(self, since: str | None) -> Iterator[list[Record]]:
        """Issues updated at or after an instant, each with its journals, which no list has."""
        window = {"updated_on": f">={since[:19]}Z"} if since else {}
        for page in self._issue_lists(window):
            yield [issue for listed in page if (issue := self._whole_issue(listed["id"]))]

    def _whole_issue(self, key: int) -> Record | None:
        """An issue with all that the API tells; None where it went, or went out of sight, since it was listed."""
        path = f"/issues/{key}.json"
        answer = self.door.get(path, {"include": "journals,attachments"}, accepts=(403, 404))
        if answer.status in (403, 404):
            return None
        issue = self._held(path, answer.body, "issue", dict)
        self._held(path, issue, "journals", list)
        plays = self.plays.get(self._held(path, issue, "tracker", dict).get("id", 0))
        url = f"{self.door.url}/issues/{key}"
        return {**issue, "url": url, "plays": plays, "updated_at": issue.get("updated_on")} if plays else None

    def _issue_keys(self) -> Iterator[list[str]]:
        """The key of every issue there is. Raises `Fault` where none of them has a field that the block names."""
        fields, has_gates = set[str](), False
        for page in self._issue_lists({}):
            fields |= _fields_of(page)
            has_gates |= any(self.plays.get(issue.get("tracker", {}).get("id")) == "milestone" for issue in page)
            yield [str(issue["id"]) for issue in page]
        self.refuse_strangers()
        self._refuse_missing(fields if has_gates else None, "issue")

    def _issue_lists(self, window: Mapping[str, str]) -> Iterator[list[Record]]:
        """Pages of issues in the order of their ids; each is asked for behind the last id, so that none is lost."""
        path, trackers = "/issues.json", "|".join(map(str, self.plays))
        scopes = [{"project_id": one, "subproject_id": "!*"} for one in self.block.projects] or [{}]
        for scope in scopes if trackers else []:
            asked = {"status_id": "*", "tracker_id": trackers, "sort": "id", "limit": self._size, **scope, **window}
            last, is_more = 0, True
            while is_more:
                body = self.door.get(path, {**asked, "issue_id": f">={last + 1}"}).body
                page = self._records(path, body, "issues")
                for issue in page:
                    if issue["id"] <= last:
                        what = f"lists issue {issue['id']} though those after {last} were asked for, in their order."
                        raise self.door.fault(path, what, "Redmine must be 3.4 or newer, and no proxy drop parameters.")
                    last = issue["id"]
                is_more = bool(page) and body.get("total_count") != len(page)
                if page:
                    yield page

    # --- what is read whole -------------------------------------------------------------------------------

    def project_rows(self) -> Iterator[list[Record]]:
        self._refuse_missing(_fields_of(self.projects), "project")
        known = {one["id"]: one for one in self.projects}
        url = f"{self.door.url}/projects"
        yield [{**one, "url": f"{url}/{one.get('identifier')}", "line": _line(one, known)} for one in self.projects]

    def _hidden_projects(self) -> Iterator[list[Record]]:
        """Projects read before that may not be read any more: archived, most likely, and not deleted (404).

        A stranger is refused (401), so that a list which was answered to one closes no project.
        """
        state = dlt.current.resource_state()
        listed = {int(one["id"]) for one in self.projects}
        missed = [key for key in state.get("known", []) if key not in listed]
        asked = {key: self.door.get(f"/projects/{key}.json", accepts=(403, 404)).status for key in missed}
        hidden = [key for key, status in asked.items() if status == 403]
        yield [{"id": key} for key in hidden]
        state["known"] = sorted([*listed, *hidden])

    def _statuses(self) -> Iterator[list[Record]]:
        path = "/issue_statuses.json"
        yield self._records(path, self.door.get(path).body, "issue_statuses")

    def _versions(self) -> Iterator[list[Record]]:
        """The versions of each project; those that others share with it are theirs."""
        if self.block.milestones != "versions":
            return
        found: list[Record] = []
        for project in self._projects_with("issue_tracking"):
            path = f"/projects/{project['id']}/versions.json"
            listed = self._records(path, self.door.get(path).body, "versions")
            found += [one for one in listed if one.get("project", {}).get("id") == project["id"]]
        self._refuse_missing(_fields_of(found) if found else None, "version")
        self.refuse_strangers()
        yield [{**one, "url": f"{self.door.url}/versions/{one['id']}"} for one in found]

    def _client_members(self) -> Iterator[list[Record]]:
        """Memberships by which somebody acts for the client."""
        if not self.block.client_roles:
            return
        roles = set(self._ids("/roles.json", "roles", self.block.client_roles, "role"))
        for project in self.projects:
            listed = self._steady(f"/projects/{project['id']}/memberships.json", "memberships", {})
            yield [one for one in listed if roles & {role.get("id") for role in one.get("roles", [])}]
        self.refuse_strangers()

    def _time_entries(self) -> Iterator[list[Record]]:
        """The time booked on the activity that stands for work beside the scope."""
        if not self.block.extra_work_activity:
            return
        wanted = (self.block.extra_work_activity,)
        kinds = self._ids("/enumerations/time_entry_activities.json", "time_entry_activities", wanted, "activity")
        asked = {"activity_id": "|".join(map(str, kinds)), "sort": "created_on"}
        named = [{"project_id": one["id"], "subproject_id": "!*"} for one in self._projects_with("time_tracking")]
        for scope in named if self.block.projects else [{}]:
            listed = self._steady("/time_entries.json", "time_entries", {**asked, **scope})
            yield [{**one, "url": f"{self.door.url}/time_entries/{one['id']}"} for one in listed]
        self.refuse_strangers()

    def _projects_with(self, module: str) -> list[Record]:
        """Projects that have a module switched on; asked of one that has not, Redmine answers 403."""
        modules = {one["id"]: self._held("/projects.json", one, "enabled_modules", list) for one in self.projects}
        return [one for one in self.projects if module in [told.get("name") for told in modules[one["id"]]]]

    def _ids(self, path: str, key: str, names: Sequence[str], what: str) -> list[int]:
        """The ids of things that the block names, in the order of the names."""
        known = {_plain(one.get("name", "")): one for one in self._records(path, self.door.get(path).body, key)}
        for name in names:
            if _plain(name) not in known:
                there = ", ".join(str(one.get("name")) for one in known.values())
                cure = f"There are: {there or 'none'}. Mend the block of the source, or make it in Redmine."
                raise self.door.fault(path, f"there is no {what} {name!r}.", cure)
        return [known[_plain(name)]["id"] for name in names]

    def _steady(self, path: str, key: str, asked: Mapping[str, Any]) -> list[Record]:
        """A whole list in an order that only grows at its end. Begun anew where it moves while it is read."""
        for _ in range(LISTINGS):
            found = self._read_through(path, key, asked)
            if found is not None:
                return found
        what = f"the list changes while it is read, {LISTINGS} times in a row."
        raise self.door.fault(path, what, "Pull again when less is being deleted.")

    def _read_through(self, path: str, key: str, asked: Mapping[str, Any]) -> list[Record] | None:
        """A list by offsets; None where it moved. Each page opens with the last record of the one before, if not."""
        found: list[Record] = []
        while True:
            offset = max(0, len(found) - 1)
            body = self.door.get(path, {**asked, "limit": max(self._size, 2), "offset": offset}).body
            page = self._records(path, body, key)
            if found and (not page or page[0]["id"] != found[-1]["id"]):
                return None
            found += page[1:] if found else page
            if len(found) >= body.get("total_count", 0):
                return found
            if len(page) < 2:
                return None

    # --- answers ----------------------------------------------------------------------------------------

    @property
    def _size(self) -> int:
        return min(self.block.page_size, MOST_PER_PAGE)

    def _records(self, path: str, body: Any, key: str) -> list[Record]:
        """The records of an answer, each with the number that is its key. Raises `Fault` for any other answer."""
        found = self._held(path, body, key, list)
        for place, one in enumerate(found, 1):
            if not isinstance(one, dict) or not isinstance(one.get("id"), int):
                what = f"holds a record without id (place {place} of {key})."
                raise self.door.fault(path, what, "Every record must have its key: look at what the url leads to.")
        return cast(list[Record], found)

    def _held(self, path: str, body: Any, key: str, form: type) -> Any:
        """What an answer holds under a name. Raises `Fault` where it is not there or no such thing."""
        held = body.get(key) if isinstance(body, dict) else None
        if not isinstance(held, form):
            there = ", ".join(body) if isinstance(body, dict) else type(body).__name__
            what = f"answers without {key!r} (it holds: {there or 'nothing'})."
            raise self.door.fault(path, what, "Check that the url is a Redmine's, and which version it has.")
        return held

    def _refuse_missing(self, fields: set[str] | None, of: Part) -> None:
        """Raises `Fault` for a custom field that the block names and no record has; None where there is no record."""
        if fields is None:
            return
        elsewhere = ORDER_ROLES if of == "version" and self.block.change_order_tracker else ()
        for role, name in self.block.fields.items():
            is_meant = (role in PROJECT_ROLES) == (of == "project") and role not in elsewhere
            if is_meant and _plain(name) not in fields:
                where = f"source {self.door.source}, fields.{role}"
                what = f"no {of} that the account may read has a custom field {name!r}."
                cure = f"Make it in Redmine, visible to the account's role, or mend fields.{role} in the block."
                raise fault(where, what, cure)


def _fields_of(records: Sequence[Record]) -> set[str]:
    """The names of the custom fields that some of the records have."""
    return {_plain(one.get("name", "")) for record in records for one in record.get("custom_fields", [])}


def _line(project: Record, known: Mapping[int, Record]) -> list[Record]:
    """A project and those above it, the nearest first; of one that is not read only what its child says of it."""
    line, above = [project], project.get("parent")
    while above and above["id"] not in [one["id"] for one in line]:
        line.append(known.get(above["id"], above))
        above = line[-1].get("parent")
    return [{name: one.get(name) for name in ("id", "name", "custom_fields")} for one in line]


def _plain(name: str) -> str:
    return name.strip().lower()
