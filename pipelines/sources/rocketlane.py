"""Pulls the projects, phases, milestone tasks and invoices of a Rocketlane account.

Rocketlane keeps no log: every version seen of a project, phase or task is kept, so that what changes between pulls
can be told. Invoices cannot be asked for by their changes; their list is read whole, and the lines and payments of
those that changed. What stays out: how a request is made and tried again (door.py), how rows land (landing.py) and
what they mean (staging).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, cast

from dlt.sources import DltSource

from pipelines.settings import Settings
from pipelines.source_blocks import RocketlaneSource, token
from pipelines.sources.door import PATIENT, Answer, Credentials, Door, Limits, Patience
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.shape import records
from pipelines.sources.text import column, sortable

MOST_A_PAGE = 100
Pages = Callable[[str | None], Iterable[Sequence[Record]]]
PASSES = 3  # over a list that moves while it is read, or whose token of the next page has ended


@dataclass(frozen=True, slots=True)
class _List:
    """One list: its raw table and path, its key, the fields its records always have and those they may have."""

    table: str
    key: str
    fields: tuple[str, ...]
    columns: tuple[str, ...]
    asked: Mapping[str, str] = field(default_factory=dict)
    is_part: bool = False  # of a record that may be deleted while it is read

    @property
    def path(self) -> str:
        return f"/{self.table}"

    @property
    def all_columns(self) -> tuple[str, ...]:
        return tuple(column(name) for name in (*self.fields, *self.columns))


_ALL = {"includeAllFields": "true"}
_BY_START = {"sortBy": "startDate", "sortOrder": "ASC"}
_ARCHIVED = {"includeArchive.eq": "true"}
_PROJECTS = _List(
    "projects", "projectId", ("projectId", "projectName", "createdAt", "updatedAt", "status", "archived"),
    ("customer", "owner", "startDate", "dueDate", "startDateActual", "dueDateActual", "currency", "projectFee",
     "financials", "fields"),
    {**_ALL, **_BY_START, **_ARCHIVED},
)  # fmt: skip
_PHASES = _List(
    "phases", "phaseId", ("phaseId", "phaseName", "project", "createdAt", "updatedAt", "status"),
    ("startDate", "dueDate", "startDateActual", "dueDateActual", "private"), {**_ALL, **_BY_START}, is_part=True,
)  # fmt: skip
_TASKS = _List(
    "tasks", "taskId", ("taskId", "taskName", "project", "createdAt", "updatedAt", "status", "archived", "type"),
    ("startDate", "dueDate", "startDateActual", "dueDateActual", "private", "fields", "phase"),
    {**_ALL, **_BY_START, **_ARCHIVED},
)  # fmt: skip
_INVOICES = _List(
    "invoices", "invoiceId",
    ("invoiceId", "invoiceNumber", "status", "currency", "amount", "createdAt", "updatedAt", "company"),
    ("dateOfIssue", "dueDate", "tax", "amountOutstanding", "amountPaid", "amountWrittenOff", "projects", "fields"),
    {"sortBy": "createdAt", "sortOrder": "ASC"},
)  # fmt: skip

_PARTS = {
    "lines": ("invoiceLineItemId", "amount"),
    "payments": ("paymentId", "paymentRecordType", "paymentDate", "amount"),
}


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The account's records as a dlt source. Raises `Fault` where the key is missing, and while pulling."""
    block = cast(RocketlaneSource, settings.sources[name])
    account = _Account(opened(name, block, environ, patience), min(block.page_size, MOST_A_PAGE))
    phases: Pages = _none if block.milestones == "tasks" else account.phases
    tasks: Pages = _none if block.milestones == "phases" else account.milestones
    tables = [
        _kept(account, _PROJECTS, account.projects),
        _kept(account, _PHASES, phases),
        _kept(account, _TASKS, tasks),
        Table("invoices", account.invoices, _INVOICES.all_columns, whole=True),
        Table("invoice_details", account.details, ("lines", "payments")),
    ]
    return land(name, tables, terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks for one project and one invoice."""
    door = opened(name, cast(RocketlaneSource, settings.sources[name]), environ, patience)
    for one in (_PROJECTS, _INVOICES):
        records(door, one.path, door.get(one.path, {"pageSize": 1}).body, "data", (one.key,))
    return door.headroom


def opened(name: str, block: RocketlaneSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door to the account. Raises `Fault` where its key is missing."""
    secret = token(name, block, environ)
    limits = Limits(wait="X-Retry-After", wait_unit="epoch_ms")
    return Door(name, block.url, Credentials({"api-key": secret}), patience=patience, limits=limits, secrets=(secret,))


def _kept(account: _Account, one: _List, pages: Pages) -> Table:
    """A table whose versions are kept; its keys are those of its records, that cannot be asked for alone."""
    return Table(
        one.table,
        pages,
        one.all_columns,
        versions=True,
        present=lambda: ([str(record["id"]) for record in page] for page in pages(None)),
        begun=partial(account.begun.get, one.table),
    )


def _none(since: str | None) -> Iterator[Sequence[Record]]:  # noqa: ARG001 - asked like any list
    yield from ()


class _Account:
    """One account, as one pull reads it."""

    def __init__(self, door: Door, page_size: int) -> None:
        self.begun: dict[str, str] = {}  # by table: Rocketlane's clock as its list was begun
        self._door, self._page_size = door, page_size

    def projects(self, since: str | None) -> Iterator[Sequence[Record]]:
        for page in self._walk(_PROJECTS, _after(since)):
            yield [_lifted(_PROJECTS, record) for record in page]

    def phases(self, since: str | None) -> Iterator[Sequence[Record]]:
        """The phases of every project: they are asked for project by project.

        Later pulls pass over projects that were completed or archived, and have not been updated since.
        """
        self.begun.pop("phases", None)
        found = [record for page in self._walk(_PROJECTS, {}) for record in page]
        for project in found:
            if since is None or _is_open(project) or _epoch_ms(since) <= int(project["updatedAt"]):
                asked = {"projectId": str(project["projectId"]), **_after(since)}
                for page in self._walk(_PHASES, asked):
                    yield [_lifted(_PHASES, record) for record in page]

    def milestones(self, since: str | None) -> Iterator[Sequence[Record]]:
        """The tasks that are milestones; Rocketlane cannot be asked for them alone."""
        for page in self._walk(_TASKS, _after(since)):
            yield [_lifted(_TASKS, record) for record in page if record["type"] == "MILESTONE"]

    def invoices(self, since: str | None) -> Iterator[Sequence[Record]]:  # noqa: ARG002 - always whole
        for page in self._walk(_INVOICES, {}):
            yield [_lifted(_INVOICES, record) for record in page]

    def details(self, since: str | None) -> Iterator[Sequence[Record]]:
        """Lines and payments of the invoices updated since an instant."""
        bound = _epoch_ms(since) if since else 0
        for page in self._walk(_INVOICES, {}, "invoice_details"):
            for invoice in page:
                if int(invoice["updatedAt"]) >= bound:
                    yield [self._detailed(invoice)]

    def _detailed(self, invoice: Record) -> Record:
        key = str(invoice["invoiceId"])
        told = {name: self._part(f"invoices/{key}/{name}", *fields) for name, fields in _PARTS.items()}
        return {"id": key, "updated_at": _instant(invoice["updatedAt"]), **told}

    def _part(self, table: str, *fields: str) -> list[Record]:
        one = _List(table, fields[0], fields, (), is_part=True)
        return list({str(record[one.key]): record for page in self._walk(one, {}) for record in page}.values())

    def _walk(self, one: _List, asked: Mapping[str, str], table: str | None = None) -> Iterator[list[Record]]:
        """A list page by page. It is read again where it grew or shrank meanwhile, or the way on was lost.

        The token of the next page ends after 15 minutes; records may move to a page that was read already.
        """
        for left in reversed(range(PASSES)):
            totals, is_lost = set(), False
            for answer in self._pass(one, {**one.asked, **asked}, is_last=not left):
                self.begun.setdefault(table or one.table, _clock(answer))
                is_lost = answer.status == 400
                if not is_lost:
                    yield records(self._door, one.path, answer.body, "data", one.fields)
                    totals.add((answer.body.get("pagination") or {}).get("totalRecordCount"))
            if not is_lost and len(totals) < 2:
                return

    def _pass(self, one: _List, asked: Mapping[str, str], is_last: bool) -> Iterator[Answer]:
        """The pages of a list, once. The last is a 400 where a token of ours had ended, unless that is final.

        What belongs to something deleted meanwhile has no page at all.
        """
        told = {**asked, "pageSize": str(self._page_size)}
        answer = self._door.get(one.path, told, accepts=(404,) if one.is_part else ())
        while answer.status == 200:
            yield answer
            pages = answer.body.get("pagination") or {}
            if not pages.get("hasMore") or not pages.get("nextPageToken"):
                return
            following = {**told, "pageToken": str(pages["nextPageToken"])}
            answer = self._door.get(one.path, following, accepts=() if is_last else (400,))
        if answer.status == 400:
            yield answer


def _lifted(one: _List, record: Record) -> Record:
    told = {column(name): value for name, value in record.items()}
    return {**told, "id": str(record[one.key]), "updated_at": _instant(record["updatedAt"])}


def _instant(epoch_ms: Any) -> str:
    """An instant that Rocketlane counts in milliseconds; whatever else it is, as it is."""
    try:
        return sortable(datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(epoch_ms)))
    except (TypeError, ValueError):
        return str(epoch_ms)


def _epoch_ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _after(since: str | None) -> dict[str, str]:
    """What asks for changes from an instant on: those after the millisecond before it."""
    return {"updatedAt.gt": str(_epoch_ms(since) - 1)} if since else {}


def _is_open(project: Record) -> bool:
    return not project["archived"] and not project.get("dueDateActual")


def _clock(answer: Answer) -> str:
    try:
        return sortable(parsedate_to_datetime(answer.headers.get("Date", "")))
    except ValueError:
        return ""
