"""The vendors' tools that pulls are measured on: what each of them holds, and which bytes answer which request.

Records have the shape and the width that the vendor sends, all alike; they are answered in full whatever fields are
asked for. What stays out: limits, errors and whatever else a vendor decides; the tests' fakes are for that.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pull_tools import (
    CLIENTS,
    GATES,
    NOW,
    PEOPLE,
    PER_PROJECT,
    SPAN,
    Asked,
    Record,
    Shelf,
    Tool,
    iso,
    moment,
    rendered,
    shelf,
)


class Redmine(Tool):
    """Issues that are gates, each with journals that only a request of its own shows."""

    ASKED_SINGLY = True
    STATUSES = ("New", "In Progress", "Submitted", "Approved")

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        issues = (self._issue(number, records) for number in range(records))
        self._held = shelf(issues, lambda one: str(one["updated_on"]))
        at = iso(NOW - SPAN)
        projects = [
            {"id": number, "name": f"Project {number}", "identifier": f"p{number}", "status": 1, "created_on": at,
             "updated_on": at, "custom_fields": [], "enabled_modules": [{"id": 1, "name": "issue_tracking"}]}
            for number in range(1, records // PER_PROJECT + 2)
        ]  # fmt: skip
        self._projects = list(map(rendered, projects))
        statuses = [{"id": place, "name": name} for place, name in enumerate(self.STATUSES, 1)]
        self._small = {
            "/users/current.json": rendered({"user": {"id": 1, "login": "milepost"}}),
            "/trackers.json": rendered({"trackers": [{"id": 4, "name": "Milestone"}]}),
            "/issue_statuses.json": rendered({"issue_statuses": statuses}),
        }
        self.held = records + len(projects) + len(statuses)

    def answer(self, asked: Asked) -> bytes | None:
        if asked.path in self._small:
            return self._small[asked.path]
        if asked.path == "/projects.json":
            start, size = asked.number("offset"), asked.number("limit")
            listed = b",".join(self._projects[start : start + size])
            return b'{"projects":[%b],"total_count":%d}' % (listed, len(self._projects))
        if asked.path == "/issues.json":
            start = int((asked.told("issue_id") or ">=1").removeprefix(">=")) - 1
            start = max(start, self._held.since((asked.told("updated_on") or "").removeprefix(">=")))
            listed = self._held.page(start, asked.number("limit"))
            return b'{"issues":[%b],"total_count":%d}' % (listed, len(self._held) - start)
        if asked.path.startswith("/issues/"):
            place = int(asked.path.removeprefix("/issues/").removesuffix(".json")) - 1
            return b'{"issue":%b}' % self._held.records[place]
        return None

    def _issue(self, number: int, of: int) -> Record:
        at, who = moment(number, of), {"id": 5, "name": PEOPLE[number % len(PEOPLE)]}
        return {
            "id": number + 1,
            "project": {"id": number // PER_PROJECT + 1, "name": f"Project {number // PER_PROJECT + 1}"},
            "tracker": {"id": 4, "name": "Milestone"},
            "status": {"id": 4, "name": "Approved", "is_closed": False},
            "priority": {"id": 2, "name": "Normal"},
            "author": who,
            "subject": f"{GATES[number % len(GATES)]} approval",
            "description": "What was agreed is shown to the client, who decides.",
            "due_date": f"{at:%Y-%m-%d}",
            "done_ratio": 0,
            "custom_fields": [{"id": 9, "name": "Amount", "value": f"{1000 + number % 900}.00"}],
            "created_on": iso(at - timedelta(days=30)),
            "updated_on": iso(at),
            "attachments": [],
            "journals": [
                {"id": 4 * number + step, "user": who, "notes": "", "private_notes": False,
                 "created_on": iso(at - timedelta(days=9 - 3 * step)),
                 "details": [{"property": "attr", "name": "status_id", "old_value": f"{step}", "new_value": "4"}]}
                for step in range(1, 4)
            ],
        }  # fmt: skip


class Jira(Tool):
    """Issues that are gates, a page at a time, and the logs of a page in one more request."""

    BLOCK = """
email = "milepost@agency.example"
"""
    STATUSES = ("To Do", "In Progress", "Client Review", "Approved")

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        def date(issue: Record) -> str:
            return str(issue["fields"]["updated"])[:16].replace("T", " ")  # as a JQL writes it

        self._held = shelf((self._issue(number, records) for number in range(records)), date)
        self._logs = [rendered(self._log(number, records)) for number in range(records)]
        projects = [self._project(number) for number in range(1, records // PER_PROJECT + 2)]
        statuses = [{"id": str(place), "name": name} for place, name in enumerate(self.STATUSES, 1)]
        self._projects = list(map(rendered, projects))
        self._small = {
            "/rest/api/3/myself": rendered({"accountId": "5b10", "displayName": "Milepost", "timeZone": "UTC"}),
            "/rest/api/3/status": rendered(statuses),
        }
        self.held = records + len(projects) + len(statuses)

    def answer(self, asked: Asked) -> bytes | None:
        if asked.path in self._small:
            return self._small[asked.path]
        if asked.path == "/rest/api/3/project/search":
            start, size = asked.number("startAt"), asked.number("maxResults")
            is_last = b"true" if start + size >= len(self._projects) else b"false"
            return b'{"values":[%b],"isLast":%b}' % (b",".join(self._projects[start : start + size]), is_last)
        if asked.path == "/rest/api/3/search/jql":
            return self._search(asked.body)
        if asked.path == "/rest/api/3/changelog/bulkfetch":
            logs = [self._logs[int(key) - 1] for key in asked.body["issueIdsOrKeys"]]
            return b'{"issueChangeLogs":[%b]}' % b",".join(logs)
        return None

    def _search(self, body: Record) -> bytes:
        _, _, since = body["jql"].partition('updated >= "')
        start = int(body.get("nextPageToken") or self._held.since(since.partition('"')[0]))
        after = start + body["maxResults"]
        page = self._held.page(start, body["maxResults"], keys_alone=body["fields"] == ["id"])
        more = b'"isLast":false,"nextPageToken":"%d"' % after if after < len(self._held) else b'"isLast":true'
        return b'{"issues":[%b],%b}' % (page, more)

    def _issue(self, number: int, of: int) -> Record:
        at, project = moment(number, of), number // PER_PROJECT + 1
        return {
            "id": str(number + 1),
            "key": f"P{project}-{number % PER_PROJECT + 1}",
            "self": f"https://site.atlassian.example/rest/api/3/issue/{number + 1}",
            "expand": "operations,versionedRepresentations,editmeta,changelog,renderedFields",
            "fields": {
                "summary": f"{GATES[number % len(GATES)]} approval",
                "status": {
                    "self": "https://site.atlassian.example/rest/api/3/status/4",
                    "description": "",
                    "iconUrl": "https://site.atlassian.example/images/icons/statuses/generic.png",
                    "id": "4",
                    "name": "Approved",
                    "statusCategory": {"id": 3, "key": "done", "colorName": "green", "name": "Done"},
                },
                "project": self._project(project),
                "issuetype": {"id": "10004", "name": "Milestone", "subtask": False, "hierarchyLevel": 0},
                "duedate": f"{at:%Y-%m-%d}",
                "parent": None,
                "creator": self._person(number),
                "reporter": self._person(number + 1),
                "created": f"{at - timedelta(days=30):%Y-%m-%dT%H:%M:%S}.000+0000",
                "updated": f"{at:%Y-%m-%dT%H:%M:%S}.000+0000",
            },
        }

    def _log(self, number: int, of: int) -> Record:
        at = moment(number, of)
        turns = [
            {
                "id": str(4 * number + step),
                "author": self._person(number),
                "created": f"{at - timedelta(days=9 - 3 * step):%Y-%m-%dT%H:%M:%S}.000+0000",
                "items": [
                    {"field": "status", "fieldId": "status", "fieldtype": "jira", "from": str(step),
                     "fromString": self.STATUSES[step - 1], "to": str(step + 1), "toString": self.STATUSES[step]}
                ],
            }
            for step in range(1, 4)
        ]  # fmt: skip
        return {"issueId": str(number + 1), "changeHistories": turns}

    def _project(self, number: int) -> Record:
        link = f"https://site.atlassian.example/rest/api/3/project/{number}"
        pictures = {size: f"{link}/avatar?size={size}" for size in ("48x48", "24x24", "16x16", "32x32")}
        return {"self": link, "id": str(number), "key": f"P{number}", "name": f"Project {number}",
                "projectTypeKey": "software", "simplified": False, "avatarUrls": pictures}  # fmt: skip

    def _person(self, number: int) -> Record:
        name = PEOPLE[number % len(PEOPLE)]
        link = f"https://avatar.example/{number % len(PEOPLE)}"
        pictures = {size: f"{link}/{size}.png" for size in ("48x48", "24x24", "16x16", "32x32")}
        return {"accountId": f"5b10a{number % len(PEOPLE)}", "displayName": name, "active": True,
                "accountType": "atlassian", "timeZone": "UTC", "avatarUrls": pictures}  # fmt: skip


class Asana(Tool):
    """Projects whose tasks are gates, each with stories that only a request of its own shows.

    Every fifth task is a milestone with an approval below it, whose number is the milestone's and a million more.
    """

    BLOCK = """
workspace = "1200"
"""
    ASKED_SINGLY = True
    BELOW = 1_000_000

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        count = records * 5 // 6
        milestones = range(5, count + 1, 5)
        self._tasks = {
            str(first // PER_PROJECT + 1): shelf(
                (self._task(number, count) for number in range(first + 1, min(first + PER_PROJECT, count) + 1)),
                lambda one: str(one["modified_at"]),
                lambda one: {name: one[name] for name in ("gid", "resource_subtype", "num_subtasks", "modified_at")},
            )
            for first in range(0, count, PER_PROJECT)
        }
        self._below = {str(number): rendered(self._task(number + self.BELOW, count)) for number in milestones}
        stories = (*range(1, count + 1), *(number + self.BELOW for number in milestones))
        self._stories = {str(number): rendered(self._told(number, count)) for number in stories}
        self._projects = [rendered(self._project(key)) for key in self._tasks]
        self.held = count + len(milestones) + len(self._projects)

    def answer(self, asked: Asked) -> bytes | None:
        _, room, *rest = asked.path.split("/")
        key, part = (*rest, "", "")[:2]
        if room == "workspaces":
            start, size = asked.number("offset"), asked.number("limit")
            return self._page(b",".join(self._projects[start : start + size]), start + size, len(self._projects))
        if part == "stories":
            return b'{"data":%b,"next_page":null}' % self._stories[key]
        if part == "subtasks":
            return self._page(self._below.get(key, b""), 0, 0)
        if room == "tasks" and not key:
            held = self._tasks[asked.told("project") or ""]
            start = asked.number("offset") or held.since(asked.told("modified_since"))
            size, is_brief = asked.number("limit"), "name" not in (asked.told("opt_fields") or "").split(",")
            return self._page(held.page(start, size, keys_alone=is_brief), start + size, len(held))
        return None

    @staticmethod
    def _page(records: bytes, after: int, of: int) -> bytes:
        following = b'{"offset":"%d"}' % after if after < of else b"null"
        return b'{"data":[%b],"next_page":%b}' % (records, following)

    def _task(self, number: int, of: int) -> Record:
        is_below, place = number > self.BELOW, number % self.BELOW
        is_approval, at = is_below or number % 5 != 0, moment(place - 1, of)
        return {
            "gid": str(number),
            "resource_type": "task",
            "name": f"{GATES[place % len(GATES)]} approval",
            "resource_subtype": "approval" if is_approval else "milestone",
            **({"approval_status": "approved"} if is_approval else {}),
            "completed": True,
            "completed_at": milliseconds(at),
            "created_at": milliseconds(at - timedelta(days=30)),
            "modified_at": milliseconds(at),
            "due_on": f"{at:%Y-%m-%d}",
            "due_at": None,
            "num_subtasks": 0 if is_approval else 1,
            "permalink_url": f"https://app.asana.example/0/{number}",
            "parent": {"gid": str(place)} if is_below else None,
            "projects": [] if is_below else [{"gid": str(place // PER_PROJECT + 1), "resource_type": "project"}],
            "assignee": {"gid": "7", "name": PEOPLE[place % len(PEOPLE)]},
        }

    def _told(self, number: int, of: int) -> list[Record]:
        at = moment(number % self.BELOW - 1, of)
        return [
            {"gid": str(10 * number + step), "created_at": milliseconds(at - timedelta(days=9 - 3 * step)),
             "created_by": {"gid": "7", "name": PEOPLE[number % len(PEOPLE)]},
             "resource_subtype": "approval_status_changed" if step else "added_to_project",
             **({"old_approval_status": "pending", "new_approval_status": "approved"} if step else {})}
            for step in range(3)
        ]  # fmt: skip

    def _project(self, key: str) -> Record:
        return {"gid": key, "resource_type": "project", "name": f"Project {key}", "archived": False, "completed": False,
                "completed_at": None, "start_on": None, "permalink_url": f"https://app.asana.example/0/{key}",
                "owner": {"gid": "7", "name": PEOPLE[0]}, "team": {"gid": "8", "name": CLIENTS[0]}}  # fmt: skip


class Rocketlane(Tool):
    """Projects, phases asked for project by project, milestone tasks among others, and invoices.

    Every fifth task is a milestone, every fifth project still open; an invoice costs two requests more.
    """

    ASKED_SINGLY = True
    PHASES = 5  # of a project

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        projects, invoices = max(1, records // 10), max(1, records // 10)
        milestones = records // 5
        self._shelves = {
            "projects": self._shelf("projects", projects),
            "tasks": self._shelf("tasks", 5 * milestones),
            "invoices": self._shelf("invoices", invoices),
        }
        phases = [self._told("phases", number, projects * self.PHASES) for number in range(projects * self.PHASES)]
        self._phases = {
            str(place + 1): shelf(phases[place * self.PHASES : (place + 1) * self.PHASES], _updated_at)
            for place in range(projects)
        }
        self.held = projects + len(phases) + milestones + 2 * invoices  # an invoice and its parts

    def answer(self, asked: Asked) -> bytes | None:
        _, room, *rest = asked.path.split("/")
        if rest:
            number = int(rest[0]) - 1
            part = {"lines": self._line, "payments": self._payment}[rest[1]](number)
            return b'{"data":[%b],"pagination":{"hasMore":false,"totalRecordCount":1}}' % rendered(part)
        held = self._phases[asked.told("projectId") or ""] if room == "phases" else self._shelves.get(room)
        if held is None:
            return None
        first = held.since(str(asked.number("updatedAt.gt") + 1)) if asked.told("updatedAt.gt") else 0
        start, size = asked.number("pageToken", first), asked.number("pageSize")
        after, of = start + size, len(held) - first
        more = b'"hasMore":true,"nextPageToken":"%d"' % after if after < len(held) else b'"hasMore":false'
        return b'{"data":[%b],"pagination":{%b,"totalRecordCount":%d}}' % (held.page(start, size), more, of)

    def _shelf(self, name: str, count: int) -> Shelf:
        return shelf((self._told(name, number, count) for number in range(count)), _updated_at)

    def _told(self, name: str, number: int, of: int) -> Record:
        at = moment(number, of)
        day, epoch_ms, key = f"{at:%Y-%m-%d}", 1000 * int(at.timestamp()), number + 1
        client = {"companyId": number % len(CLIENTS), "companyName": CLIENTS[number % len(CLIENTS)]}
        shared: Record = {f"{name[:-1]}Id": key, "createdAt": epoch_ms - 86_400_000, "updatedAt": epoch_ms}
        if name == "invoices":
            return {**shared, "invoiceNumber": f"RL-{number:06}", "dateOfIssue": day, "dueDate": day, "currency": "USD",
                    "amount": 5000.0, "tax": 0.0, "subTotal": 5000.0, "amountOutstanding": 0.0, "amountPaid": 5000.0,
                    "amountWrittenOff": 0.0, "company": client, "fields": [], "status": "PAID",
                    "projects": [self._project(key)]}  # fmt: skip
        is_open = name == "projects" and number % 5 == 0
        planned = {**shared, "status": {"value": 3, "label": "Completed"}, "startDate": day, "dueDate": day,
                   "startDateActual": day, "dueDateActual": None if is_open else day, "private": False}  # fmt: skip
        if name == "projects":
            return {**planned, "projectName": f"Project {key}", "customer": client, "currency": "USD",
                    "owner": {"userId": 7, "firstName": "Ida", "lastName": "Berg", "emailId": "ida@studio.example"},
                    "archived": False, "visibility": "EVERYONE", "projectFee": 50_000.0, "fields": []}  # fmt: skip
        label = f"{GATES[number % len(GATES)]} approval"
        if name == "phases":
            return {**planned, "phaseName": label, "project": self._project(number // self.PHASES + 1)}
        kind = "TASK" if number % 5 else "MILESTONE"
        field = {"fieldId": 300, "fieldLabel": "Amount", "fieldValue": 1000 + number % 9000, "fieldValueLabel": "1000"}
        return {**planned, "taskName": label, "project": self._project(number // PER_PROJECT + 1), "archived": False,
                "type": kind, "fields": [field], "csatEnabled": False}  # fmt: skip

    @staticmethod
    def _project(key: int) -> Record:
        return {"projectId": key, "projectName": f"Project {key}"}

    @staticmethod
    def _line(number: int) -> Record:
        return {"invoiceLineItemId": number + 1, "description": GATES[number % len(GATES)], "quantity": 1,
                "unitPrice": 5000.0, "amount": 5000.0, "sourceId": number + 1, "sourceType": "PROJECT"}  # fmt: skip

    @staticmethod
    def _payment(number: int) -> Record:
        return {"paymentId": number + 1, "paymentRecordType": "PAID", "currency": "USD", "paymentDate": "2026-03-02",
                "amount": 5000.0}  # fmt: skip


def _updated_at(record: Record) -> str:
    return str(record["updatedAt"])


# --- books -----------------------------------------------------------------------------------------------


class Tryton(Tool):
    """Projects and their works, invoices, receivables, payments, and a line of the log for each work and invoice."""

    BLOCK = """
database = "books"
"""
    SHARES: ClassVar = {"party.party": 3, "party.address": 3, "project.work": 15, "account.invoice": 15,
                        "ir.model.log": 30, "account.invoice.line": 15, "account.move.line": 15,
                        "account.invoice-account.move.line": 4}  # fmt: skip

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        counts = {model: max(1, records * share // 100) for model, share in self.SHARES.items()}
        logged = {model: counts[model] for model in ("project.work", "account.invoice")}
        self._log = {
            f"{model},{number + 1}": rendered(self._entry(model, number, count))
            for model, count in logged.items()
            for number in range(count)
        }
        counts = {"company.company": 1, "project.work.status": 4, **counts}
        del counts["ir.model.log"]
        self._shelves = {model: self._shelf(model, count) for model, count in counts.items()}
        self.held = sum(counts.values()) + len(self._log)

    def answer(self, asked: Asked) -> bytes | None:
        model = asked.path.rpartition("/")[2]
        domain = json.loads(urlsafe_b64decode(asked.told("d") or ""))
        if model == "ir.model.field":
            return self._fields()
        if model == "ir.model.log":
            return b"[%b]" % b",".join(self._log[name] for name in domain[0][2])
        held = self._shelves.get(model)
        if held is None:
            return b"[]"
        fields = {*asked.query.get("f", ())}
        page = held.page(self._start(held, domain), asked.number("s"), keys_alone=fields <= {"id", "last_modified_at"})
        return b"[%b]" % page

    @staticmethod
    def _start(held: Shelf, domain: list[Any]) -> int:
        """Where a page begins, by the last condition: behind a key, or at an instant."""
        last = domain[-1] if domain else []
        if last and last[0] == "OR":
            return int(last[2][1][2])
        if last and last[0] == "id":
            return int(last[2])
        if last and last[0] == "last_modified_at":
            told = {name: value for name, value in last[2].items() if name != "__class__"}
            return held.since(iso(datetime(**told)))  # noqa: DTZ001 - Tryton's instants are UTC and do not say so
        return 0

    def _fields(self) -> bytes:
        there = [(model, name) for model, held in self._shelves.items() for name in json.loads(held.records[0])]
        return rendered([{"id": place, "model": model, "name": name} for place, (model, name) in enumerate(there, 1)])

    def _shelf(self, model: str, count: int) -> Shelf:
        def made(number: int) -> Record:
            at = moment(number, count)
            told = self._told(model, number, at)
            return {"id": number + 1, "last_modified_at": stamp(at), "create_date": stamp(at), **told}

        return shelf(
            map(made, range(count)),
            lambda one: iso(moment(one["id"] - 1, count)),
            lambda one: {"id": one["id"], "last_modified_at": one["last_modified_at"]},
        )

    def _entry(self, model: str, number: int, count: int) -> Record:
        at = stamp(moment(number, count))
        event, target = ("write", "status") if model == "project.work" else ("button", "post")
        place = 2 * number + (model == "project.work") + 1
        return {"id": place, "create_date": at, "resource": f"{model},{number + 1}", "event": event, "target": target,
                "user": {"id": 1, "rec_name": PEOPLE[number % len(PEOPLE)]}}  # fmt: skip

    def _told(self, model: str, number: int, at: datetime) -> Record:
        amount = {"__class__": "Decimal", "decimal": f"{1000 + number % 9000}.50"}
        nothing = {"__class__": "Decimal", "decimal": "0"}
        day = {"__class__": "date", "year": at.year, "month": at.month, "day": at.day}
        usd, gate = {"id": 1, "code": "USD"}, GATES[number % len(GATES)]
        told: dict[str, Record] = {
            "company.company": {"party": {"id": 1, "name": "Milepost"}, "currency": usd, "timezone": "UTC"},
            "party.party": {"name": f"{CLIENTS[number % len(CLIENTS)]} {number}", "code": f"{number}", "active": True,
                            "replaced_by": None},
            "party.address": {"party": number + 1, "country": {"id": 1, "code": "US"}, "sequence": 1, "active": True,
                              "subdivision": {"id": 1, "code": "US-NY"}, "invoice": True},
            "project.work.status": {"name": gate, "progress": 0.25 * number, "active": True},
            "project.work": {"name": gate, "type": "task" if number % PER_PROJECT else "project", "number": None,
                             "status": 1, "parent": number - number % PER_PROJECT + 1 if number % PER_PROJECT else None,
                             "party": 1, "company": 1, "sequence": number, "revenue": amount, "children": [],
                             "invoice_line": None, "constraint_finish_time": None, "actual_start_time": stamp(at)},
            "account.invoice": {"number": f"INV-{number:06}", "reference": None, "description": gate, "state": "posted",
                                "invoice_date": day, "party": 1, "company": 1, "currency": usd, "total_amount": amount,
                                "tax_amount": nothing, "move": number + 1, "cancel_move": None},
            "account.invoice.line": {"invoice": number + 1, "description": gate, "amount": amount, "origin": None,
                                     "product": {"id": 1, "rec_name": "Service"}},
            "account.move.line": {"move": {"id": number + 1, "journal": {"id": 1, "type": "revenue"}}, "date": day,
                                  "maturity_date": day, "debit": amount, "credit": nothing, "reconciliation": None,
                                  "amount_second_currency": None, "second_currency": None, "party": 1,
                                  "account": {"id": 1, "company": {"id": 1, "currency": usd}}},
            "account.invoice-account.move.line": {"invoice": number + 1, "line": number + 1},
        }  # fmt: skip
        return told[model]


class Stripe(Tool):
    """Customers, invoices with their lines, payments and quotes, newest first; nothing happened since."""

    SHARES: ClassVar = {"customers": 2, "invoices": 55, "invoice_payments": 40, "quotes": 3, "credit_notes": 0,
                        "refunds": 0}  # fmt: skip

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        self._lists = {
            name: [rendered(self._told(name, number, count)) for number in reversed(range(count))]
            for name, share in self.SHARES.items()
            for count in [records * share // 100]
        }
        self.held = sum(map(len, self._lists.values()))

    def answer(self, asked: Asked) -> bytes | None:
        name = asked.path.removeprefix("/v1/")
        held = [] if name == "events" else self._lists.get(name)
        if held is None:
            return None
        last = asked.told("starting_after")
        start = len(held) - int(last.rpartition("_")[2]) if last else 0
        after = start + asked.number("limit")
        has_more = b"true" if after < len(held) else b"false"
        return b'{"object":"list","data":[%b],"has_more":%b}' % (b",".join(held[start:after]), has_more)

    def _told(self, name: str, number: int, of: int) -> Record:
        at = int(moment(number, of).timestamp())
        amount = 100 * (1000 + number % 9000)
        shared: Record = {"id": f"{name}_{number:07}", "object": name[:-1], "created": at, "livemode": True}
        if name == "customers":
            address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
            return {**shared, "name": CLIENTS[number % len(CLIENTS)], "email": f"books{number}@client.example",
                    "currency": "usd", "description": None, "phone": None, "balance": 0, "delinquent": False,
                    "address": address, "metadata": {}}  # fmt: skip
        if name == "invoice_payments":
            return {**shared, "amount_paid": amount, "amount_requested": amount, "currency": "usd", "is_default": True,
                    "invoice": f"invoices_{number:07}", "status": "paid",
                    "payment": {"type": "payment_intent", "payment_intent": f"pi_{number}"},
                    "status_transitions": {"canceled_at": None, "paid_at": at}}  # fmt: skip
        if name == "quotes":
            return {**shared, "amount_subtotal": amount, "amount_total": amount, "currency": "usd", "header": None,
                    "customer": "customers_0000000", "description": None, "number": f"QT-{number}",
                    "status": "accepted",
                    "status_transitions": {"accepted_at": at, "canceled_at": None, "finalized_at": at},
                    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
                    "metadata": {"project": f"P-{number}"}}  # fmt: skip
        line = {"id": f"il_{number}", "object": "line_item", "amount": amount, "currency": "usd",
                "description": f"{GATES[number % len(GATES)]}, as agreed", "discount_amounts": [], "livemode": True,
                "invoice": shared["id"], "metadata": {"milestone": f"M-{number}"}, "parent": None, "quantity": 1,
                "period": {"start": at, "end": at}, "pretax_credit_amounts": None, "taxes": None}  # fmt: skip
        return {
            **shared, "amount_due": amount, "amount_overpaid": 0, "amount_paid": amount, "amount_remaining": 0,
            "billing_reason": "manual", "collection_method": "send_invoice", "currency": "usd",
            "customer": "customers_0000000", "customer_email": None, "customer_name": CLIENTS[number % len(CLIENTS)],
            "description": None, "due_date": at + 30 * 86_400, "effective_at": at, "ending_balance": 0,
            "hosted_invoice_url": f"https://invoice.stripe.example/i/{number}", "number": f"INV-{number:07}",
            "parent": None, "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0,
            "starting_balance": 0, "status": "paid", "subtotal": amount, "total": amount,
            "total_excluding_tax": amount, "total_taxes": None, "metadata": {"project": f"P-{number // PER_PROJECT}"},
            "lines": {"object": "list", "data": [line], "has_more": False, "url": "/lines"},
            "status_transitions": {"finalized_at": at, "paid_at": at, "marked_uncollectible_at": None,
                                   "voided_at": None},
        }  # fmt: skip


class Xero(Tool):
    """Contacts, invoices, credit notes, payments and quotes, page by page.

    Histories are asked for one by one, 300 of a list in a pull: so no more than the newest invoices have left the state
    of a draft, in which there is none to read.
    """

    BLOCK = """
identity_url = "$url/token"
client_id = "bench"
"""
    SHARES: ClassVar = {"Contacts": 4, "Invoices": 50, "CreditNotes": 2, "Payments": 40, "Quotes": 4}
    DATED = 250

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        self._shelves = {name: self._shelf(name, records * share // 100) for name, share in self.SHARES.items()}
        changes = [
            {"Changes": change, "DateUTC": slashed(NOW - timedelta(days=9)), "User": PEOPLE[0], "Details": "INV"}
            for change in ("Created", "Approved", "Invoice sent")
        ]
        self._history = rendered({"HistoryRecords": changes})
        dated = min(self.DATED, len(self._shelves["Invoices"]))
        self.held = sum(map(len, self._shelves.values())) + dated

    def answer(self, asked: Asked) -> bytes | None:
        if asked.path == "/token":
            return b'{"access_token":"bench","expires_in":1800,"token_type":"Bearer"}'
        if asked.path.endswith("/History"):
            return self._history
        name = asked.path.removeprefix("/")
        held = self._shelves.get(name)
        if held is None:
            return None
        first, size = held.since(asked.header("If-Modified-Since")), asked.number("pageSize", 100)
        start = first + (asked.number("page") - 1) * size
        listed = held.page(start, size, keys_alone=asked.told("summaryOnly") == "true")
        pages = -(-(len(held) - first) // size)
        return b'{"Status":"OK","pagination":{"pageCount":%d},"%b":[%b]}' % (pages, name.encode(), listed)

    def _shelf(self, name: str, count: int) -> Shelf:
        return shelf(
            (self._told(name, number, count) for number in range(count)),
            lambda one: iso(moment(int(one[f"{name[:-1]}ID"][:8]), count)),
            lambda one: {key: value for key, value in one.items() if key != "LineItems"},
        )

    def _told(self, name: str, number: int, of: int) -> Record:
        at, amount = moment(number, of), float(1000 + number % 9000)
        key = f"{number:08}-0000-0000-0000-000000000000"
        shared: Record = {f"{name[:-1]}ID": key, "UpdatedDateUTC": slashed(at)}
        client = {"ContactID": f"{number % 100:08}-0000-0000-0000-000000000000", "Name": CLIENTS[number % len(CLIENTS)]}
        if name == "Contacts":
            return {**shared, "Name": f"{CLIENTS[number % len(CLIENTS)]} {number}", "ContactStatus": "ACTIVE",
                    "IsCustomer": True, "IsSupplier": False, "Addresses": [], "Phones": [], "ContactGroups": [],
                    "ContactPersons": [], "HasAttachments": False, "HasValidationErrors": False}  # fmt: skip
        if name == "Payments":
            bill = {"Type": "ACCREC", "InvoiceID": key, "Contact": client, "LineItems": [],
                    "CurrencyCode": "NZD", "HasErrors": False}  # fmt: skip
            return {**shared, "Date": slashed(at), "Amount": amount, "BankAmount": amount, "Reference": "",
                    "CurrencyRate": 1.0, "PaymentType": "ACCRECPAYMENT", "Status": "AUTHORISED", "HasAccount": True,
                    "IsReconciled": False, "HasValidationErrors": False, "Invoice": bill}  # fmt: skip
        project = {"Name": "Project", "Option": f"P-{number // PER_PROJECT}"}
        line = {"LineItemID": key, "Description": f"{GATES[number % len(GATES)]}, as agreed",
                "Quantity": 1.0, "UnitAmount": amount, "LineAmount": amount, "TaxType": "OUTPUT2", "TaxAmount": 0.0,
                "AccountCode": "200", "Tracking": [project]}  # fmt: skip
        is_issued = name == "Invoices" and number >= of - self.DATED
        return {
            **shared, "Type": "ACCRECCREDIT" if name == "CreditNotes" else "ACCREC", "Contact": client,
            f"{name[:-1]}Number": f"{name[:3].upper()}-{number:06}", "LineItems": [line], "Date": slashed(at),
            "DueDate": slashed(at), "Status": "AUTHORISED" if is_issued else "DRAFT", "LineAmountTypes": "Exclusive",
            "SubTotal": amount, "TotalTax": 0.0, "Total": amount, "CurrencyCode": "NZD", "CurrencyRate": 1.0,
            "AmountDue": amount, "AmountPaid": 0.0, "AmountCredited": 0.0, "Payments": [], "CreditNotes": [],
            "Prepayments": [], "Overpayments": [], "HasAttachments": False, "HasErrors": False, "IsDiscounted": False,
            "SentToContact": is_issued,
        }  # fmt: skip


# --- instants as vendors write them ----------------------------------------------------------------------


def milliseconds(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.000Z"


def slashed(at: datetime) -> str:
    return f"/Date({int(at.timestamp())}000+0000)/"


def stamp(at: datetime) -> Record:
    names = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{name: getattr(at, name) for name in names}}
