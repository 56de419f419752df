"""A real Redmine for tests: Debian's package, on a free port of 127.0.0.1 over a database of its own, and its public REST API.

`.ci/redmine.sh` installs it and makes the database that every instance starts from; `.ci/redmine_seed.rb` says what is
in it. An instance is a folder: it needs no rights beyond reading the package. What stays out: Milepost, and anything that
people cannot do over the API.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from served import ended, free_port

PACKAGE = Path("/usr/share/redmine")
KEPT = Path(sys.prefix) / "redmine"
UP_WITHIN_SECONDS = 90
_SERVE = ("bundle", "exec", "rackup", "-s", "webrick", "-E", "production")
# A Redmine's own words, as the seed has them, and what they mean to Milepost.
STATUSES = {
    "New": "planned", "In Progress": "started", "Submitted": "submitted", "Resolved": "submitted",
    "Changes requested": "changes_requested", "Feedback": "changes_requested", "Rejected": "rejected",
    "Approved": "approved", "Waived": "waived", "Cancelled": "cancelled", "Closed": "ignored",
}  # fmt: skip
FIELDS = {
    "client": "Client", "contract_amount": "Contract amount", "currency": "Currency", "signed_on": "Signed on",
    "kickoff_on": "Kickoff on", "manager": "Manager", "playbook": "Playbook", "amount": "Amount",
    "invoice": "Invoice ref", "client_approval": "Client approved", "next_team": "Next team", "approver": "Approver",
    "approver_side": "Approver side",
    "locks_scope": "Locks scope", "reason": "Reason", "days": "Days", "requested_by": "Requested by",
}  # fmt: skip


class Refused(AssertionError):
    """What Redmine would not do, in its own words."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may log in; `key` is what the API knows them by."""

    id: int
    login: str
    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Project:
    id: int
    identifier: str


@dataclass(slots=True)
class Redmine:
    """A Redmine that runs, as its admin uses it; `by` lets another person do something.

    server.project("Rebrand", client="Aster"); server.milestone(project, "Concept approval", due=…, amount=…) and
    server.set_status(issue, "Approved") are most of it. `reader` is a member of each project, and may only look.
    """

    url: str
    key: str = field(repr=False)
    version: str
    _reader: Person | None = None
    _session: requests.Session = field(default_factory=requests.Session)
    _ids: dict[str, dict[str, int]] = field(default_factory=dict)

    # --- projects and people ----------------------------------------------------------------------------

    def project(self, name: str, *, client: str | None = None, parent: Project | None = None, **fields: Any) -> Project:
        """A new project; `fields` are roles of its custom fields, such as contract_amount=12000."""
        identifier = name.lower().replace(" ", "-")
        told = {
            "name": name,
            "identifier": identifier,
            "is_public": False,
            "parent_id": parent and parent.id,
            "enabled_module_names": ["issue_tracking", "time_tracking"],
            "tracker_ids": list(self._known("trackers").values()),
            "custom_fields": self._custom({"client": client, **fields}, "project"),
            "issue_custom_field_ids": [],
        }
        made = self.call("POST", "/projects.json", {"project": told})["project"]
        project = Project(made["id"], made["identifier"])
        self.join(project, self.reader, "Reader")
        return project

    def edit_project(self, project: Project, *, name: str | None = None, **fields: Any) -> None:
        told: dict[str, Any] = {"custom_fields": self._custom(fields, "project")}
        self.call("PUT", f"/projects/{project.id}.json", {"project": told | ({"name": name} if name else {})})

    def close_project(self, project: Project) -> None:
        self.call("PUT", f"/projects/{project.id}/close.json")

    def delete_project(self, project: Project) -> None:
        self.call("DELETE", f"/projects/{project.id}.json")

    def person(self, login: str, *, first: str = "Ida", last: str = "Quist") -> Person:
        told = {"login": login, "firstname": first, "lastname": last, "mail": f"{login}@example.com",
                "password": "not needed over the API"}  # fmt: skip
        made = self.call("POST", "/users.json", {"user": told})["user"]
        key = self.call("GET", f"/users/{made['id']}.json")["user"]["api_key"]
        return Person(made["id"], login, f"{first} {last}", key)

    def join(self, project: Project, person: Person, role: str) -> int:
        """Makes a person a member of a project; the membership's id."""
        told = {"user_id": person.id, "role_ids": [self._known("roles")[role]]}
        made = self.call("POST", f"/projects/{project.id}/memberships.json", {"membership": told})
        return int(made["membership"]["id"])

    def archive_project(self, project: Project, back: bool = False) -> None:
        self.call("PUT", f"/projects/{project.id}/{'unarchive' if back else 'archive'}.json")

    def leave(self, membership: int) -> None:
        self.call("DELETE", f"/memberships/{membership}.json")

    # --- gates and change orders ------------------------------------------------------------------------

    def milestone(self, project: Project, subject: str, **told: Any) -> int:
        """A new issue of the tracker Milestone: due, status, parent, description, by, or roles of custom fields."""
        return self.issue(project, subject, tracker="Milestone", **told)

    def change_order(self, project: Project, subject: str, **told: Any) -> int:
        return self.issue(project, subject, tracker="Change order", **told)

    def issue(
        self,
        project: Project,
        subject: str,
        *,
        tracker: str,
        status: str = "New",
        by: Person | None = None,
        **told: Any,
    ) -> int:
        sent = {
            "project_id": project.id,
            "tracker_id": self._known("trackers")[tracker],
            "status_id": self._known("issue_statuses")[status],
            "subject": subject,
            # it would be today, and no due date may lie before it
            "start_date": None,
            **self._attributes(told),
        }
        made = self.call("POST", "/issues.json", {"issue": sent}, by=by)["issue"]
        assert made["status"]["name"] == status, f"a new {tracker} may not be {status}"
        return int(made["id"])

    def edit(self, issue: int, *, by: Person | None = None, **told: Any) -> None:
        """Writes to an issue in one go: due, status, subject, notes, or roles of custom fields."""
        self.call("PUT", f"/issues/{issue}.json", {"issue": self._attributes(told)}, by=by)

    def set_status(self, issue: int, status: str, *, by: Person | None = None) -> None:
        self.edit(issue, status=status, by=by)

    def move_due(self, issue: int, due: date | str | None, *, by: Person | None = None) -> None:
        self.edit(issue, due=due, by=by)

    def delete(self, issue: int) -> None:
        self.call("DELETE", f"/issues/{issue}.json")

    def read(self, issue: int) -> Any:
        """An issue with its journals, as the API gives it."""
        return self.call("GET", f"/issues/{issue}.json?include=journals,attachments")["issue"]

    def attach(self, issue: int, name: str, content: bytes = b"-", description: str = "") -> None:
        upload = self.call("POST", f"/uploads.json?filename={name}", content)["upload"]
        told = {"token": upload["token"], "filename": name, "description": description}
        self.edit(issue, uploads=[told])

    def spend(self, where: Project | int, hours: float, on: date | str, activity: str, comment: str = "") -> int:
        """Books time on a project or an issue; the entry's id."""
        place = {"project_id": where.id} if isinstance(where, Project) else {"issue_id": where}
        told = {**place, "hours": hours, "spent_on": str(on), "comments": comment,
                "activity_id": self._known("time_entry_activities")[activity]}  # fmt: skip
        return int(self.call("POST", "/time_entries.json", {"time_entry": told})["time_entry"]["id"])

    # --- versions ---------------------------------------------------------------------------------------

    def add_version(self, project: Project, name: str, *, due: date | str | None = None, **fields: Any) -> int:
        told = {"name": name, "due_date": due and str(due), "custom_fields": self._custom(fields, "version")}
        made = self.call("POST", f"/projects/{project.id}/versions.json", {"version": told})
        return int(made["version"]["id"])

    def edit_version(
        self, version: int, *, due: date | str | None = None, status: str | None = None, **fields: Any
    ) -> None:
        told = {"due_date": due and str(due), "status": status}
        told = {name: value for name, value in told.items() if value is not None}
        told["custom_fields"] = self._custom(fields, "version")  # type: ignore[assignment]
        self.call("PUT", f"/versions/{version}.json", {"version": told})

    def delete_version(self, version: int) -> None:
        self.call("DELETE", f"/versions/{version}.json")

    # --- how Milepost is told of it -----------------------------------------------------------------------

    def block(self, **more: Any) -> dict[str, Any]:
        """A source's block in the settings; its token is REDMINE_KEY of `environ`."""
        told = {"kind": "redmine", "url": self.url, "token_env": "REDMINE_KEY", "currency": "USD", "statuses": STATUSES,
                "fields": FIELDS, "change_order_tracker": "Change order"}  # fmt: skip
        return {**told, **more}

    @property
    def reader(self) -> Person:
        """The account that Milepost reads with."""
        if self._reader is None:
            self._reader = self.person("milepost", first="Mile", last="Post")
        return self._reader

    @property
    def environ(self) -> dict[str, str]:
        return {"REDMINE_KEY": self.reader.key}

    # --- the API ----------------------------------------------------------------------------------------

    def call(self, method: str, path: str, sent: Any = None, *, by: Person | None = None) -> Any:
        """What the API answers, read from JSON; None where it has nothing to say. Raises `Refused`."""
        headers = {"X-Redmine-API-Key": by.key if by else self.key}
        told: dict[str, Any] = {"json": sent} if isinstance(sent, dict) else {}
        if isinstance(sent, bytes):
            told, headers["Content-Type"] = {"data": sent}, "application/octet-stream"
        answer = self._session.request(method, self.url + path, headers=headers, timeout=30, **told)
        if not answer.ok:
            raise Refused(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content.strip() else None

    def _attributes(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Words of ours as the API has them; what it knows itself stays, all else is the role of a custom field."""
        own = ("subject", "description", "notes", "uploads", "is_private", "project_id")
        sent = {name: value for name, value in told.items() if name in own}
        if "due" in told:
            sent["due_date"] = str(told["due"] or "")
        if told.get("status"):
            sent["status_id"] = self._known("issue_statuses")[told["status"]]
        if "tracker" in told:
            sent["tracker_id"] = self._known("trackers")[told["tracker"]]
        if "parent" in told:
            sent["parent_issue_id"] = told["parent"]
        roles = {
            name: value for name, value in told.items() if name not in (*own, "due", "status", "tracker", "parent")
        }
        return {**sent, "custom_fields": self._custom(roles, "issue")}

    def _custom(self, roles: Mapping[str, Any], of: str) -> list[dict[str, Any]]:
        known = self._known(f"custom_fields of {of}")
        names = {**FIELDS, "client_approved_on": "Client approved on"}
        return [
            {"id": known[names[role]], "value": _written(value)} for role, value in roles.items() if value is not None
        ]

    def _known(self, what: str) -> dict[str, int]:
        """Names of an installation's own lists and their ids; asked for once."""
        if not self._ids:
            for name in ("trackers", "issue_statuses", "roles"):
                self._ids[name] = _ids(self.call("GET", f"/{name}.json")[name])
            activities = self.call("GET", "/enumerations/time_entry_activities.json")
            self._ids["time_entry_activities"] = _ids(activities["time_entry_activities"])
            for one in self.call("GET", "/custom_fields.json")["custom_fields"]:
                self._ids.setdefault(f"custom_fields of {one['customized_type']}", {})[one["name"]] = one["id"]
        return self._ids[what]


def installed() -> str:
    """The version of Debian's package; empty where there is none."""
    return _packaged("redmine")


@pytest.fixture(scope="session")
def redmine() -> Iterator[Redmine]:
    """One Redmine for all tests of a session; each makes projects of its own."""
    with running() as started:
        yield started


@contextmanager
def running() -> Iterator[Redmine]:
    """A Redmine with nothing in it but what the seed made; ended, and its folder removed, on leaving."""
    assert (KEPT / "stamp").is_file(), "There is no Redmine to start: run `sh .ci/redmine.sh` (make test does)."
    place = Path(tempfile.mkdtemp(prefix="redmine"))
    try:
        _lay_out(place)
        process, url = _started(place)
        try:
            print(f"Redmine {installed()} at {url}")
            yield Redmine(url, (KEPT / "key").read_text().strip(), installed())
        finally:
            ended(process)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _lay_out(place: Path) -> None:
    for folder in ("config", "log", "tmp", "files", "public/plugin_assets"):
        (place / folder).mkdir(parents=True)
    shutil.copy(KEPT / "template.sqlite", place / "db.sqlite")
    (place / "config" / "secret_key.txt").write_text(os.urandom(32).hex())
    database = {"adapter": "sqlite3", "database": str(place / "db.sqlite"), "timeout": 10_000}
    (place / "config" / "database.yml").write_text(json.dumps({"production": database}))


def _started(place: Path) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", place / "log" / "server.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [*_SERVE, "-o", "127.0.0.1", "-p", str(port), "config.ru"],
            cwd=PACKAGE,
            env=_environ(place),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    until = time.monotonic() + UP_WITHIN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            requests.get(f"{url}/issue_statuses.json", timeout=30)
            return process, url
        except requests.RequestException:
            time.sleep(0.05)
    ended(process)
    raise AssertionError(f"Redmine did not start: {log.read_text()[-2000:]}")


def _environ(place: Path) -> dict[str, str]:
    """Redmine keeps an instance in a folder beside its own; from there the way leads up to the root, and down to ours."""
    webrick = next(Path("/usr/share/rubygems-integration/all/gems").glob("webrick-*/lib"))
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(place),
        "TZ": "UTC",
        "RAILS_ENV": "production",
        "REDMINE_INSTANCE": "../" * 8 + str(place.resolve()).lstrip("/"),
        "BUNDLER_VERSION": _packaged("ruby-bundler").partition("-")[0],  # Debian's gems need Debian's own
        "RUBYLIB": str(webrick),  # not in Redmine's Gemfile
    }


def _packaged(name: str) -> str:
    told = (
        subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True, check=False)
        if shutil.which("dpkg-query")
        else None
    )
    return told.stdout if told else ""


def _ids(found: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {one["name"]: one["id"] for one in found}


def _written(value: Any) -> str:
    return {True: "1", False: "0"}[value] if isinstance(value, bool) else str(value)
