"""The simulator's rows: one named tuple per contract entity and per planted truth.

Inside the simulator instants are UTC seconds, days are days since 1970-01-01 and money is whole cents:
exact, and cheap to add and compare. `wire` turns a row into what a tool sends. Every fact row begins with
`key`, `recorded_at` and `deleted_at`, then come the entity's contract columns in the contract's order.
What stays out: deciding any of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import cache
from typing import Annotated, Any, NamedTuple, get_type_hints

Instant = Annotated[int, "instant"]  # UTC, seconds
Day = Annotated[int, "day"]  # days since 1970-01-01
Money = Annotated[int, "money"]  # cents

SECONDS_A_DAY = 86_400
_EPOCH = date(1970, 1, 1)
_COMMON = ("key", "recorded_at", "deleted_at")
PORTAL = "https://portal.example"  # where a record's link leads; reserved name, never resolved


class Client(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    name: str
    timezone: str
    currency: str
    country: str
    subdivision: str
    owner: str
    is_active: bool
    merged_into: str | None = None


class Project(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    client: str
    name: str
    playbook: str
    manager: str
    timezone: str | None
    country: str | None
    subdivision: str | None
    contract_amount: Money
    currency: str
    signed_at: Instant
    kickoff_at: Instant | None
    closed_at: Instant | None
    status: str


class Milestone(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    project: str
    name: str
    number: str
    gate: str | None
    sequence: int
    kind: str
    owner_team: str
    next_team: str
    approver_side: str
    approver: str | None
    bills_amount: Money | None
    bills_pct: float | None
    invoice: str | None
    locks_scope: bool
    client_visible: bool
    acceptance_criterion: str | None
    needs_documents: bool | None
    history_quality: str


class MilestonePlan(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    milestone: str
    due_on: Day
    is_baseline: bool | None
    reason: str | None


class MilestoneEvent(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    milestone: str
    type: str
    occurred_at: Instant
    actor: str | None
    actor_side: str
    origin: str


class ChangeOrder(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    project: str
    milestone: str | None
    number: str
    title: str
    reason: str | None
    requested_by_side: str
    status: str
    requested_at: Instant
    submitted_at: Instant | None
    decided_at: Instant | None
    amount_requested: Money
    amount_approved: Money | None
    currency: str
    days_requested: float
    days_approved: float | None


class Invoice(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    client: str
    project: str
    number: str
    kind: str
    status: str
    drafted_at: Instant
    issued_at: Instant | None
    sent_at: Instant | None
    due_on: Day | None
    voided_at: Instant | None
    currency: str
    total: Money
    tax: Money
    retained: Money
    disputed: bool
    disputed_at: Instant | None
    settled_at: Instant | None


class InvoiceLine(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    invoice: str
    milestone: str | None
    change_order: str | None
    amount: Money
    description: str
    reference: str | None
    line: str | None
    line_amount: Money | None
    link_method: str | None
    link_confidence: float | None


class Payment(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    invoice: str
    received_at: Instant
    amount: Money
    currency: str
    status: str


class Document(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    milestone: str | None
    project: str | None
    type: str
    required: bool
    received_at: Instant | None
    accepted_at: Instant | None
    expires_on: Day | None
    url: str | None


class Handoff(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    milestone: str
    from_team: str
    to_team: str
    notified_at: Instant | None
    accepted_at: Instant | None
    started_at: Instant | None


class ExtraWork(NamedTuple):
    key: str
    recorded_at: Instant
    deleted_at: Instant | None
    project: str
    milestone: str | None
    done_at: Instant
    hours: float
    amount: Money
    currency: str
    description: str
    change_order: str | None


class GateTruth(NamedTuple):
    """A gate as it stands at as_of. Spans are seconds and count once they have ended; signed.

    `is_settled` is false where the written rules leave room (waived, cancelled, a planted violation, or an
    open gate behind a gate that was not plainly approved): compare the start of settled gates only.
    """

    milestone: str
    project: str
    status: str
    is_settled: bool
    start_rule: str | None
    started_at: Instant | None
    submitted_at: Instant | None
    first_approved_at: Instant | None
    approved_at: Instant | None
    cycle_seconds: int | None
    work_seconds: int
    client_wait_seconds: int
    team_wait_seconds: int
    authority_wait_seconds: int
    idle_seconds: int
    rework_seconds: int
    attempts: int
    is_reopened: bool
    is_auto_approved: bool
    amount: Money
    invoiced: Money
    unbilled: Money
    currency: str


class LineTruth(NamedTuple):
    """A billed line of a gate: seconds from the gate's final approval to the sending; null while unapproved."""

    invoice_line: str
    milestone: str
    kind: str
    amount: Money
    issued_at: Instant
    lag_seconds: int | None


class OrderTruth(NamedTuple):
    change_order: str
    project: str
    status: str
    is_after_scope_lock: bool
    decision_seconds: int | None
    approved: Money
    invoiced: Money
    unbilled: Money


class HandoffTruth(NamedTuple):
    handoff: str
    milestone: str
    approved_at: Instant
    notify_seconds: int | None
    accept_seconds: int | None
    latency_seconds: int | None


class DocumentTruth(NamedTuple):
    """`state` at as_of, seen from the gate's submission: waiting, ready, late, missing or expired."""

    document: str
    milestone: str
    required: bool
    state: str
    late_seconds: int | None


class ScopeTruth(NamedTuple):
    """A project's scope at as_of, in the contract's currency; deleted rows are not counted.

    `uncovered_extra`: done after the lock, no change order approved by as_of.
    `exposed_extra`: done after the lock, no change order approved when it was done.
    """

    project: str
    currency: str
    contract: Money
    scope_locked_at: Instant | None
    approved_changes: Money
    approved_changes_after_lock: Money
    churned_changes: Money
    pending_changes: Money
    extra_after_lock: Money
    uncovered_extra: Money
    exposed_extra: Money


class ViolationTruth(NamedTuple):
    """A gate approved before it was submitted; `submitted_at` is null while it is not submitted at all."""

    milestone: str
    submitted_at: Instant | None
    approved_at: Instant


class RenameTruth(NamedTuple):
    client: str
    before: str
    after: str
    renamed_at: Instant


class DeletionTruth(NamedTuple):
    entity: str
    key: str
    deleted_at: Instant


class BillingTruth(NamedTuple):
    """What happened to a gate's billing that a total does not show."""

    milestone: str
    what: str


Row = tuple[Any, ...]
Rows = dict[str, list[Row]]  # table -> rows

ENTITIES: dict[str, type[Row]] = {
    "clients": Client,
    "projects": Project,
    "milestones": Milestone,
    "milestone_plans": MilestonePlan,
    "milestone_events": MilestoneEvent,
    "change_orders": ChangeOrder,
    "invoices": Invoice,
    "invoice_lines": InvoiceLine,
    "payments": Payment,
    "documents": Document,
    "handoffs": Handoff,
    "extra_work": ExtraWork,
}
TRUTHS: dict[str, type[Row]] = {
    "gates": GateTruth,
    "lines": LineTruth,
    "change_orders": OrderTruth,
    "handoffs": HandoffTruth,
    "documents": DocumentTruth,
    "scope": ScopeTruth,
    "violations": ViolationTruth,
    "renames": RenameTruth,
    "deletions": DeletionTruth,
    "billing": BillingTruth,
}


@cache
def kinds(shape: type[Row]) -> tuple[tuple[str, str], ...]:
    """Each field of a row with its kind: instant, day, money, text, int, float or bool."""
    return tuple((name, _kind(hint)) for name, hint in get_type_hints(shape, include_extras=True).items())


def _kind(hint: Any) -> str:
    for part in (hint, *getattr(hint, "__args__", ())):
        if metadata := getattr(part, "__metadata__", None):
            return str(metadata[0])
        if part in (int, float, bool):
            return str(part.__name__)
    return "text"


def wire(entity: str, rows: Iterable[Row], firm: str) -> list[dict[str, Any]]:
    """Fact rows as a tool sends them: id, updated_at, url, deleted_at, the contract columns, and `firm`.

    A document's `url` is its own: where the document lies.
    """
    link = f"{PORTAL}/{firm}/{entity}/"
    hidden = _COMMON[:1] if entity == "milestone_plans" else _COMMON  # recorded_at is a plan's own column too
    return [
        {
            "id": row["key"],
            "updated_at": row["recorded_at"],
            "url": link + row["key"],
            "deleted_at": row["deleted_at"],
            **{name: value for name, value in row.items() if name not in hidden},
            "firm": firm,
        }
        for row in plain_rows(ENTITIES[entity], rows)
    ]


def plain_rows(shape: type[Row], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows as dicts, with instants, days and money written out as text."""
    fields = [(name, _WRITTEN.get(kind)) for name, kind in kinds(shape)]
    return [
        {
            name: value if write is None or value is None else write(value)
            for (name, write), value in zip(fields, row, strict=True)
        }
        for row in rows
    ]


def instant_text(moment: int) -> str:
    day, second = divmod(moment, SECONDS_A_DAY)
    return f"{day_text(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


@cache
def day_text(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def money_text(cents: int) -> str:
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{rest:02d}"


_WRITTEN: dict[str, Callable[[int], str]] = {"instant": instant_text, "day": day_text, "money": money_text}
