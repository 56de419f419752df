"""A Jira Cloud site on the loopback: what of its API Milepost asks for, as Atlassian's documents describe it.

It searches by keyset tokens that expire, compares JQL dates by the minute on the account's clock, gives only the fields
asked for, keeps a log of changes, and says what is left of its limit. Every answer, and whatever it is asked, is held
against the official schemas; what does not fit stands in `complaints`. What stays out: projects' permissions, JQL
beyond what Milepost writes.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from loopback import Reply, Request
from vendor_schemas import complaints

EMAIL, TOKEN = "milepost@agency.example", "sesame-token"
STATUSES = ("To Do", "In Progress", "Client Review", "Approved", "Changes Requested", "Rejected", "Skipped", "Dropped")
FIELDS = {"summary": "Summary", "status": "Status", "duedate": "Due date", "customfield_10050": "Fee",
          "customfield_10051": "Client", "customfield_10052": "Next team", "customfield_10053": "Due with client",
          "customfield_10054": "Contract value", "customfield_10055": "Signed", "customfield_10056": "Approver"}  # fmt: skip
ROUTES = {
    r"/rest/api/3/myself": ("GET /rest/api/3/myself", "myself"),
    r"/rest/api/3/field": ("GET /rest/api/3/field", "all_fields"),
    r"/rest/api/3/status": ("GET /rest/api/3/status", "all_statuses"),
    r"/rest/api/3/project/search": ("GET /rest/api/3/project/search", "all_projects"),
    r"/rest/api/3/project/(\d+)/versions": ("GET /rest/api/3/project/{projectIdOrKey}/versions", "all_versions"),
    r"/rest/api/3/issue/(\d+)/changelog": ("GET /rest/api/3/issue/{issueIdOrKey}/changelog", "log_of_one"),
    r"/rest/api/3/search/jql": ("POST /rest/api/3/search/jql", "search"),
    r"/rest/api/3/changelog/bulkfetch": ("POST /rest/api/3/changelog/bulkfetch", "log_changes"),
}
_JQL = re.compile(
    r'^\((?P<own>.+?)\)(?: AND project in \((?P<projects>[^)]*)\))?(?: AND updated >= "(?P<since>[^"]+)")?'
    r"(?: ORDER BY (?P<order>.+))?$"
)


class JiraFake:
    """One site. Instants are given as aware datetimes; people are told by their names."""

    def __init__(self, zone: str = "America/New_York") -> None:
        self.zone = ZoneInfo(zone)
        self.url = "https://site.atlassian.example"
        self.projects: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, list[dict[str, Any]]] = {}
        self.issues: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.statuses = {str(place): name for place, name in enumerate(STATUSES, 1)}
        self.fields = dict(FIELDS)
        self.unindexed: set[str] = set()  # issues that a search does not show yet
        self.token_runs_out_after: int | None = None  # pages, once
        self.after_page: Callable[[], None] = lambda: None
        self.log_page = 1000
        self.has_bulk = True
        self.tells_zone = True
        self.complaints: list[str] = []
        self._ids = 10000
        self._run = 0

    # --- what people do ------------------------------------------------------------------------------------

    def project(self, key: str, name: str, category: str | None = None, **told: Any) -> str:
        pid = self._next_id()
        grouped = {"projectCategory": {"id": "1", "name": category, "description": ""}} if category else {}
        self.projects[pid] = {"id": pid, "key": key, "name": name, "self": f"{self.url}/rest/api/3/project/{pid}",
                              "lead": person("Ida"), **grouped, **told}  # fmt: skip
        self.versions[pid] = []
        return pid

    def issue(self, pid: str, summary: str, at: datetime, kind: str = "Milestone", **fields: Any) -> str:
        """A new issue in status To Do; its id."""
        iid, key = self._next_id(), self.projects[pid]["key"]
        number = 1 + sum(1 for one in self.issues.values() if one["key"].startswith(f"{key}-"))
        short = {name: self.projects[pid][name] for name in ("id", "key", "name", "self")}
        told = {"summary": summary, "project": short, "issuetype": {"id": "1", "name": kind}, "creator": person("Ida"),
                "reporter": person("Ida"), "created": at, "updated": at, "status": self._status("To Do"),
                **{name: None for name in self.fields if name not in ("summary", "status")}, **fields}  # fmt: skip
        self.issues[iid] = {"id": iid, "key": f"{key}-{number}", "fields": told}
        self.logs[iid] = []
        return iid

    def move(self, iid: str, status: str, at: datetime, by: str = "Ida", account: str = "atlassian") -> None:
        """Another status, with its line in the log."""
        old, new = self.issues[iid]["fields"]["status"], self._status(status)
        self._log(iid, at, person(by, account), "status", (old["id"], old["name"]), (new["id"], new["name"]))
        self.write(iid, at, status=new)

    def plan(self, iid: str, due: str | None, at: datetime, field: str = "duedate") -> None:
        """Another due date, with its line in the log, as Jira writes it."""
        old = self.issues[iid]["fields"][field]
        self._log(iid, at, person("Ida"), field, (old, f"{old} 00:00:00.0" if old else None),
                  (due, f"{due} 00:00:00.0" if due else None))  # fmt: skip
        self.write(iid, at, **{field: due})

    def write(self, iid: str, at: datetime, **fields: Any) -> None:
        self.issues[iid]["fields"] |= {**fields, "updated": at}

    def delete(self, iid: str) -> None:
        del self.issues[iid], self.logs[iid]

    def version(self, pid: str, name: str, **told: Any) -> dict[str, Any]:
        vid = self._next_id()
        made = {"id": vid, "name": name, "projectId": int(pid), "released": False, "archived": False,
                "self": f"{self.url}/rest/api/3/version/{vid}", **told}  # fmt: skip
        self.versions[pid].append(made)
        return made

    def rename_status(self, old: str, new: str) -> None:
        (key,) = [key for key, name in self.statuses.items() if name == old]
        self.statuses[key] = new
        for issue in self.issues.values():
            if issue["fields"]["status"]["id"] == key:
                issue["fields"]["status"] = self._status(new)

    # --- what is answered ----------------------------------------------------------------------------------

    def answer(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Basic {b64encode(f'{EMAIL}:{TOKEN}'.encode()).decode()}":
            return refusal("Client must be authenticated to access this resource.", 401)
        for pattern, (operation, name) in ROUTES.items():
            if found := re.fullmatch(pattern, request.path):
                asked = request.body if request.method == "POST" else _typed(request)
                self._hold("asked " + operation, asked)
                reply: Reply = getattr(self, name)(asked, *found.groups())
                if reply.status == 200:
                    self._hold(operation, reply.body)
                limit = {"X-RateLimit-Limit": "350", "X-RateLimit-Remaining": "349",
                         "X-RateLimit-Reset": "2026-03-02T12:00Z", "X-RateLimit-NearLimit": "false"}  # fmt: skip
                return Reply(reply.body, reply.status, limit)
        return refusal("dead link", 404)

    def myself(self, _: Any) -> Reply:
        told = {"accountId": "5b10", "displayName": "Milepost", "active": True}
        return Reply({**told, "timeZone": self.zone.key} if self.tells_zone else told)

    def all_fields(self, _: Any) -> Reply:
        return Reply([{"id": key, "key": key, "name": name, "custom": key.startswith("custom")}
                      for key, name in self.fields.items()])  # fmt: skip

    def all_statuses(self, _: Any) -> Reply:
        return Reply([self._status(name) for name in self.statuses.values()])

    def all_projects(self, asked: Mapping[str, Any]) -> Reply:
        there = sorted(self.projects.values(), key=lambda one: str(one["key"]))
        start, size = asked.get("startAt", 0), min(asked.get("maxResults", 50), 100)
        page = there[start : start + size]
        told = {"startAt": start, "maxResults": size, "total": len(there), "isLast": start + size >= len(there)}
        self.after_page()
        return Reply({**told, "values": page})

    def all_versions(self, _: Any, pid: str) -> Reply:
        project = self.projects.get(pid)
        if project is None or project.get("archived"):
            return refusal("No project could be found with key or id.", 404)
        return Reply([dict(one) for one in self.versions[pid]])

    def search(self, asked: Mapping[str, Any]) -> Reply:
        read = _JQL.match(asked["jql"])
        if read is None:
            return refusal(f"Error in the JQL Query: {asked['jql']}", 400)
        keys = re.findall(r'"([^"]+)"', read["projects"] or "")
        if unknown := [key for key in keys if key not in {one["key"] for one in self.projects.values()}]:
            return refusal(f"The value '{unknown[0]}' does not exist for the field 'project'.", 400)
        field, _, value = (part.strip(' "') for part in read["own"].partition("="))
        if field != "issuetype":
            return refusal(f"Field '{field}' does not exist or you do not have permission to view it.", 400)
        place = self._place(asked)
        if place is None:
            return refusal("The provided next page token is invalid or expired.", 400)
        found = [
            (self._rank(issue, read["order"]), issue)
            for iid, issue in self.issues.items()
            if issue["fields"]["issuetype"]["name"] == value
            and (not keys or issue["fields"]["project"]["key"] in keys)
            and (not read["since"] or issue["fields"]["updated"] >= self._instant(read["since"]))
            and not self._project(issue).get("archived")
            and iid not in self.unindexed
        ]
        fields = asked.get("fields", ["id"])
        size = min(asked.get("maxResults", 50), 5000 if fields == ["id"] else 100)
        rest = sorted((one for one in found if one[0] > place), key=lambda one: one[0])
        page = [self._shown(issue, fields) for _, issue in rest[:size]]
        more = {} if len(rest) <= size else {"nextPageToken": self._token(rest[size - 1][0])}
        self.after_page()
        return Reply({"issues": page, "isLast": not more, **more})

    def logs_of(self, asked: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
        wanted = asked.get("fieldIds")
        return sorted(
            (
                (iid, change)
                for iid in asked["issueIdsOrKeys"]
                for change in self.logs.get(iid, [])
                if not wanted or {item["fieldId"] for item in change["items"]} & {*wanted}
            ),
            key=lambda one: (one[1]["created"], int(one[0])),
        )

    def log_changes(self, asked: Mapping[str, Any]) -> Reply:
        if not self.has_bulk:
            return refusal("dead link", 404)
        start, there = int(asked.get("nextPageToken", 0)), self.logs_of(asked)
        size = min(asked.get("maxResults", 1000), self.log_page)
        by_issue: dict[str, list[dict[str, Any]]] = {}
        for iid, change in there[start : start + size]:
            by_issue.setdefault(iid, []).append(self._dated(change))
        more = {"nextPageToken": str(start + size)} if start + size < len(there) else {}
        told = [{"issueId": iid, "changeHistories": changes} for iid, changes in by_issue.items()]
        return Reply({"issueChangeLogs": told, **more})

    def log_of_one(self, asked: Mapping[str, Any], iid: str) -> Reply:
        if iid not in self.issues:
            return refusal("Issue does not exist or you do not have permission to see it.", 404)
        start, size = asked.get("startAt", 0), min(asked.get("maxResults", 100), self.log_page)
        there = [self._dated(change) for change in self.logs[iid]]
        told = {"startAt": start, "maxResults": size, "total": len(there), "isLast": start + size >= len(there)}
        return Reply({**told, "values": there[start : start + size]})

    # --- how -----------------------------------------------------------------------------------------------

    def _hold(self, operation: str, body: Any) -> None:
        self.complaints += [f"{operation}: {one}" for one in complaints("jira", operation, body)]

    def _next_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    def _status(self, name: str) -> dict[str, Any]:
        (key,) = [key for key, one in self.statuses.items() if one == name]
        return {"id": key, "name": name, "self": f"{self.url}/rest/api/3/status/{key}"}

    def _log(self, iid: str, at: datetime, author: Any, field: str, old: tuple[Any, Any], new: tuple[Any, Any]) -> None:
        item = {"field": field, "fieldId": field, "fieldtype": "jira", "from": old[0], "fromString": old[1],
                "to": new[0], "toString": new[1]}  # fmt: skip
        told = {name: value for name, value in item.items() if value is not None}
        self.logs[iid].append({"id": self._next_id(), "author": author, "created": at, "items": [told]})

    def _project(self, issue: dict[str, Any]) -> dict[str, Any]:
        return self.projects.get(issue["fields"]["project"]["id"], {"archived": True})

    def _shown(self, issue: dict[str, Any], fields: list[str]) -> dict[str, Any]:
        frame = {"id": issue["id"], "key": issue["key"], "self": f"{self.url}/rest/api/3/issue/{issue['id']}"}
        if fields == ["id"]:
            return {"id": issue["id"]}
        told = {name: value for name, value in issue["fields"].items() if name in fields}
        if "status" in told:
            told["status"] = self._status(self.statuses[told["status"]["id"]])
        return {**frame, "fields": json.loads(json.dumps(told, default=self._written))}

    def _dated(self, change: dict[str, Any]) -> dict[str, Any]:
        return {**change, "created": self._written(change["created"])}

    def _written(self, at: Any) -> Any:
        """An instant as Jira shows it to the account: on its clock, with the offset."""
        if not isinstance(at, datetime):
            return at
        local = at.astimezone(self.zone)
        return f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"

    def _instant(self, written: str) -> datetime:
        """A JQL date as an instant; of an hour that the clock shows twice the later one is meant."""
        return datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=self.zone, fold=1).astimezone(UTC)

    def _rank(self, issue: dict[str, Any], order: str) -> list[Any]:
        key, _, number = issue["key"].partition("-")
        by_key = [key, int(number)]
        return [issue["fields"]["updated"].timestamp(), *by_key] if order.startswith("updated") else by_key

    def _token(self, rank: list[Any]) -> str:
        return urlsafe_b64encode(json.dumps([self._run, rank]).encode()).decode()

    def _place(self, asked: Mapping[str, Any]) -> list[Any] | None:
        """What the page comes behind; None where its token is not known any more."""
        if "nextPageToken" not in asked:
            return []
        if self.token_runs_out_after is not None:
            self.token_runs_out_after -= 1
            if self.token_runs_out_after < 0:
                self.token_runs_out_after, self._run = None, self._run + 1
        run, rank = json.loads(urlsafe_b64decode(asked["nextPageToken"]))
        return rank if run == self._run else None


def person(name: str, account: str = "atlassian") -> dict[str, Any]:
    return {"accountId": f"id-{name}", "displayName": name, "accountType": account, "active": True}


def refusal(words: str, status: int) -> Reply:
    return Reply({"errorMessages": [words], "errors": {}}, status)


def _typed(request: Request) -> dict[str, Any]:
    """Parameters as the schema has them: whole numbers as such, lists as lists."""
    listed = {"status"}
    return {
        name: values if name in listed else (int(values[-1]) if values[-1].isdigit() else values[-1])
        for name, values in request.queries.items()
    }
