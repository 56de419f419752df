"""Pulls the projects, gates and change orders of a Jira Cloud site, each issue with its log of changes.

Issues are searched by JQL, oldest change first, so that a long pull may stop and go on. JQL dates have no seconds and
stand in the time zone of the account, so more is asked for than is new. Versions are listed whole: Jira keeps no log of
them. What stays out: how a request is made and tried again (door.py), how rows land (landing.py), and what statuses,
fields and versions mean (staging).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, cast
from zoneinfo import ZoneInfo

from dlt.sources import DltSource

from pipelines.settings import Settings
from pipelines.source_blocks import JiraSource, token
from pipelines.sources.door import PATIENT, Credentials, Door, Limits, Patience, said
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.shape import CHANGED, records, refuse_lacking
from pipelines.sources.tokens import Expired, following

MYSELF, SEARCH, PROJECTS = "/rest/api/3/myself", "/rest/api/3/search/jql", "/rest/api/3/project/search"
LOGS, FIELDS, STATUSES = "/rest/api/3/changelog/bulkfetch", "/rest/api/3/field", "/rest/api/3/status"
NEEDED = ("summary", "status", "project", "created", "updated")  # fields without which an issue says nothing
ALSO = ("issuetype", "duedate", "parent", "creator", "reporter")  # a site may have done away with these
LOGGED_AT_ONCE = 1000  # changes a page of logs
KEYS_PER_ROW = 50  # a page of keys alone may be so much longer: Jira gives up to 5000
READINGS = 5  # at most, of a list of projects that changes while it is read
FARTHEST_WEST = timedelta(hours=12)  # no zone's clock is further behind UTC
NO_BULK = (404, 405, 410)


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The site's records as a dlt source. Raises `Fault` where the token is missing, and while pulling."""
    block = cast(JiraSource, settings.sources[name])
    site = _Site(opened(name, block, environ, patience), block)
    gates = block.jql if block.milestones == "issues" else None
    tables = [
        Table("projects", site.projects_page, ("key", "self", "name", "lead", "projectCategory", "archived",
                                               "archivedDate"), whole=True),
        Table("fields", site.fields_page, ("name",), whole=True),
        Table("statuses", site.statuses_page, ("name",), whole=True),
        Table("versions", site.versions_pages, ("self", "projectId", "name", "description", "archived", "released",
                                                "releaseDate", "place"), whole=True),
        _issues(site, "issues", gates),
        _issues(site, "change_orders", block.change_orders_jql),
    ]  # fmt: skip
    return land(name, tables, terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks who we are, for the projects and for one issue; what Jira then says of its limits."""
    block = cast(JiraSource, settings.sources[name])
    site = _Site(opened(name, block, environ, patience), block)
    _ = site.zone, site.projects, site.field_ids
    for jql in (block.jql if block.milestones == "issues" else None, block.change_orders_jql):
        if jql:
            site.searched({"jql": site.within(jql), "fields": [*NEEDED], "maxResults": 1})
    return site.door.headroom


def opened(name: str, block: JiraSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door to the site. Raises `Fault` where its token is missing."""
    secret = token(name, block, environ)
    proof = b64encode(f"{block.email}:{secret}".encode()).decode()
    limits = Limits(
        left=("X-RateLimit-Remaining",),
        allowed="X-RateLimit-Limit",
        reset="X-RateLimit-Reset",
        reset_unit="iso",
        reason="RateLimit-Reason",
    )
    credentials = Credentials({"Authorization": f"Basic {proof}"})
    return Door(name, block.url, credentials, patience=patience, limits=limits, secrets=(secret, proof))


def in_minutes(moment: datetime, zone: ZoneInfo | None) -> str:
    """An instant as JQL writes it: no seconds, on the account's clock, and never later than it is.

    Where the clock is put back an hour comes twice, and JQL cannot say which is meant: so the one before them is named.
    """
    if zone is None:
        return f"{moment - FARTHEST_WEST:%Y-%m-%d %H:%M}"
    local = moment.astimezone(zone)
    again = local.replace(fold=0).utcoffset() or timedelta(), local.replace(fold=1).utcoffset() or timedelta()
    return f"{local.replace(tzinfo=None) - max(again[0] - again[1], timedelta()):%Y-%m-%d %H:%M}"


def _issues(site: _Site, table: str, jql: str | None) -> Table:
    """The table of the issues that a JQL finds; an empty one where there is none."""
    block = site.block
    fields = [f"{role}={field}" for role, field in sorted(block.fields.items())]
    return Table(
        table,
        partial(site.issues, jql),
        ("key", "self", "fields", "changelog"),
        ascending=True,
        present=partial(site.keys, jql),
        asked=(jql or "", *block.projects, *fields),
    )


@dataclass
class _Site:
    """One site, as one pull reads it."""

    door: Door
    block: JiraSource
    has_bulk: bool = True  # whether logs can be asked for many issues at once

    # --- issues --------------------------------------------------------------------------------------------

    def issues(self, jql: str | None, since: str | None) -> Iterator[Sequence[Record]]:
        """The issues changed since an instant, oldest change first, each with its log of changes."""
        if jql is None:
            return
        reached, query = since, ""
        fields = [*NEEDED, *ALSO, *sorted({*self.field_ids.values()} - {*NEEDED, *ALSO})]

        def ask(page: str | None) -> tuple[list[Any], str | None]:
            nonlocal query
            if page is None:  # begun anew, a list goes on from where it had come to
                query = f"{self.within(jql, reached)} ORDER BY updated ASC, key ASC"
            return self.searched({"jql": query, "fields": fields, "maxResults": self.block.page_size}, page)

        for found in following(self.door, SEARCH, ask, "POST"):
            for place, issue in enumerate(found):
                _refuse_bare(self.door, issue, place)
            logs = self._logs([str(issue["id"]) for issue in found])
            yield [self._lifted(issue, logs) for issue in found]
            if found:
                reached = str(found[-1]["fields"]["updated"])

    def keys(self, jql: str | None) -> Iterator[Sequence[str]]:
        """Every issue there is, by its id."""
        if jql is None:
            return
        asked = {"jql": f"{self.within(jql)} ORDER BY key ASC", "fields": ["id"],
                 "maxResults": self.block.page_size * KEYS_PER_ROW}  # fmt: skip
        for page in following(self.door, SEARCH, lambda token: self.searched(asked, token), "POST"):
            yield [str(issue["id"]) for issue in page]

    def within(self, jql: str, since: str | None = None) -> str:
        """The JQL, held to the projects of the settings and to what changed since an instant."""
        parts = [f"({jql})"]
        if self.block.projects:
            named = ", ".join(f'"{key}"' for key in self.block.projects)
            parts.append(f"project in ({named})")
        if since:
            parts.append(f'updated >= "{in_minutes(datetime.fromisoformat(since), self.zone)}"')
        return " AND ".join(parts)

    def searched(self, asked: Mapping[str, Any], page: str | None = None) -> tuple[list[Any], str | None]:
        """A page of a search and the token of the next. Raises `Expired` for a token that Jira does not know."""
        sent = {**asked, "nextPageToken": page} if page else asked
        answer = self.door.post(SEARCH, sent, accepts=(400,))
        if answer.status == 400:
            if page:
                raise Expired
            what = f"refuses the search {asked['jql']!r}: {said(answer.body) or 'without a word'}"
            cure = "Mend jql, change_orders_jql or projects in the block of the source, and what the account may see."
            raise self.door.fault(SEARCH, f"{what.rstrip('.')}.", cure, "POST")
        found = records(self.door, SEARCH, answer.body, "issues", ("id",))
        return [*found], None if answer.body.get("isLast") else answer.body.get("nextPageToken")

    def _lifted(self, issue: Record, logs: Mapping[str, list[Any]]) -> Record:
        changelog = logs.get(str(issue["id"]), [])
        return {**issue, "updated_at": issue["fields"]["updated"], "changelog": changelog}

    # --- logs ----------------------------------------------------------------------------------------------

    def _logs(self, issues: list[str]) -> dict[str, list[Any]]:
        """The changes of status and due date of some issues, by issue."""
        logs: dict[str, list[Any]] = {issue: [] for issue in issues}
        if self.has_bulk and issues:
            for page in following(self.door, LOGS, partial(self._bulk, issues), "POST"):
                for one in page:
                    logs.setdefault(str(one["issueId"]), []).extend(one["changeHistories"])
        if not self.has_bulk:
            for issue in issues:
                logs[issue] = [change for page in self._log(issue) for change in page]
        return logs

    def _bulk(self, issues: list[str], page: str | None) -> tuple[list[Any], str | None]:
        wanted = sorted({"status", "duedate", self.field_ids.get("due", "duedate")})
        sent = {"issueIdsOrKeys": issues, "fieldIds": wanted, "maxResults": LOGGED_AT_ONCE}
        answer = self.door.post(LOGS, {**sent, "nextPageToken": page} if page else sent, accepts=NO_BULK)
        if answer.status in NO_BULK:
            self.has_bulk = False
            return [], None
        found = records(self.door, LOGS, answer.body, "issueChangeLogs", ("issueId", "changeHistories"))
        return [*found], answer.body.get("nextPageToken")

    def _log(self, issue: str) -> Iterator[Sequence[Any]]:
        """The log of one issue, oldest change first; nothing of one that is gone by now."""
        path, start = f"/rest/api/3/issue/{issue}/changelog", 0
        while True:
            answer = self.door.get(path, {"startAt": start, "maxResults": 100}, accepts=(404,))
            if answer.status == 404:
                return
            found = records(self.door, path, answer.body, "values", ("id", "created", "items"))
            yield found
            start += len(found)
            if not found or _is_last(answer.body, start):
                return

    # --- what an issue is read by --------------------------------------------------------------------------

    @cached_property
    def zone(self) -> ZoneInfo | None:
        """The zone of the account, in which JQL dates stand; None where Jira does not say one that is known."""
        answer = self.door.get(MYSELF)
        told = answer.body.get("timeZone") if isinstance(answer.body, dict) else None
        try:
            return ZoneInfo(str(told)) if told else None
        except (OSError, ValueError):
            return None

    @cached_property
    def field_ids(self) -> dict[str, str]:
        """The ids of the fields that play the roles of the settings. Raises `Fault` for one that is not there."""
        if not self.block.fields:
            return {}
        return {role: self._field_id(role, named) for role, named in self.block.fields.items()}

    def _field_id(self, role: str, named: str) -> str:
        by_id = [one for one in self._all_fields if one["id"] == named]
        found = by_id or [one for one in self._all_fields if one["name"] == named]
        if len(found) == 1:
            return str(found[0]["id"])
        if not found:
            what = f"knows no field {named!r}, which the settings name as {role}."
            cure = "Write the name as Jira shows it, or its id such as customfield_10050, under fields in the block."
        else:
            what = f"knows {len(found)} fields called {named!r}: {', '.join(str(one['id']) for one in found)}."
            cure = f"Write the id of the one that is {role} under fields in the block."
        raise self.door.fault(FIELDS, what, cure)

    @cached_property
    def _all_fields(self) -> Sequence[Record]:
        return self._listed(FIELDS, ("id", "name"))

    def fields_page(self, _: str | None) -> Iterable[Sequence[Record]]:
        """The fields in use, so that a name in the settings leads to the values."""
        used = {*self.field_ids.values()}
        return [[one for one in self._all_fields if one["id"] in used]] if used else []

    def statuses_page(self, _: str | None) -> Iterable[Sequence[Record]]:
        """Every status by its name of today; the log has the names of its own day."""
        return [self._listed(STATUSES, ("id", "name"))]

    def _listed(self, path: str, fields: Sequence[str]) -> Sequence[Record]:
        """A list that comes whole, without a frame."""
        return records(self.door, path, {"list": self.door.get(path).body}, "list", fields)

    # --- projects and versions -----------------------------------------------------------------------------

    @cached_property
    def projects(self) -> list[Record]:
        """The projects of the settings, or all. Raises `Fault` where one or all are hidden: a lost right."""
        there = self._all_projects()
        wanted = self.block.projects or tuple(str(one["key"]) for one in there)
        found = [one for one in there if one["key"] in wanted]
        unseen = sorted({*wanted} - {str(one["key"]) for one in found})
        if unseen or not found:
            which = f"no project {', '.join(unseen)}" if unseen else "not one project"
            cure = (
                f"Give the account of source {self.door.source} the right to browse it, or mend projects in the block."
            )
            raise self.door.fault(PROJECTS, f"shows {which}.", cure)
        return found

    def _all_projects(self) -> list[Record]:
        """Every project, by offset. A list of several pages is read until it is the same twice: one project that goes
        meanwhile moves the others up, and what so falls between two pages would pass for deleted."""
        before = None
        for _ in range(READINGS):
            pages = [*self._project_pages()]
            found = {str(one["id"]): one for page in pages for one in page}
            if len(pages) == 1 or found.keys() == before:
                return [*found.values()]
            before = found.keys()
        what = "gives a list of projects that changes whenever it is read."
        raise self.door.fault(PROJECTS, what, "Pull again later.")

    def _project_pages(self) -> Iterator[Sequence[Record]]:
        asked = {"maxResults": self.block.page_size, "orderBy": "key", "expand": "lead", "status": ["live", "archived"]}
        start, is_last = 0, False
        while not is_last:
            body = self.door.get(PROJECTS, {**asked, "startAt": start}).body
            page = records(self.door, PROJECTS, body, "values", ("id", "key", "name"))
            yield page
            start += len(page)
            is_last = not page or _is_last(body, start)

    def projects_page(self, _: str | None) -> Iterable[Sequence[Record]]:
        return [self.projects]

    def versions_pages(self, _: str | None) -> Iterator[Sequence[Record]]:
        """The versions of each project, in the order of the project, where they are its gates."""
        if self.block.milestones != "versions":
            return
        for project in self.projects:
            path = f"/rest/api/3/project/{project['id']}/versions"
            answer = self.door.get(path, accepts=(404,))
            if answer.status == 404:  # an archived project shows none; they are not gone for that
                continue
            found = records(self.door, path, {"list": answer.body}, "list", ("id", "name", "released"))
            yield [{**one, "projectId": project["id"], "place": place} for place, one in enumerate(found, 1)]


def _refuse_bare(door: Door, issue: Record, place: int) -> None:
    """Raises `Fault` for an issue without the fields that everything stands on."""
    refuse_lacking(door, SEARCH, issue, ("id", "key", "fields"), place)
    lacking = [name for name in NEEDED if not (issue["fields"] or {}).get(name)]
    if lacking:
        raise door.fault(SEARCH, f"holds the issue {issue['key']} without {', '.join(lacking)}.", CHANGED, "POST")


def _is_last(body: Mapping[str, Any], read: int) -> bool:
    """Whether a page by offset is the last one, by what Jira says of it or by how many there are."""
    return bool(body.get("isLast", read >= body.get("total", read)))
