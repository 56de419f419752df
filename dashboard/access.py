"""What a viewer may see. The one place to restrict it: `data.py` lets nothing else through.

A viewer who may not see everything is never asked for: `data.py` reads from tables into which only what `relations`
lets through was copied, so that no page, filter, explanation, file, link or past day can reach a foreign row. What
stays out: how a viewer signs in (signing_in.py), and the copying.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["leadership", "finance", "pm", "client"]
SHARED = ("clock", "working_days", "snapshot")  # nobody's records: the instant, public holidays, the snapshot's card
WITHHELD = "not shown to you"

# A row without a project of its own is its project's, or its invoice's, by way of another table: column → where from.
_BY_WAY_OF: Mapping[str, tuple[str, str]] = {
    "gate_clocks": ("gate_id", "gates"),
    "change_order_clocks": ("change_order_id", "change_orders"),
    "handoff_clocks": ("handoff_id", "handoffs"),
    "invoice_clocks": ("invoice_id", "invoices"),
    "invoice_line_clocks": ("invoice_line_id", "gate_billing"),
    "payment_clocks": ("payment_id", "payments"),
}
# What rows of one's own tell of others: guesses at a foreign gate, and how much was received and refused in all.
_TELLS_OF_OTHERS: Mapping[str, tuple[str, ...]] = {
    "unlinked_lines": ("fitting_gate_count", "suggested_gate_id", "suggested_gate_label", "suggested_project"),
    "source_pulls": ("row_count", "message"),
}
# All that the client view needs; what is not here does not exist for a client.
_VISIBLE_GATES = "is_client_visible"
_CLIENT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "projects": ("true", ("project_id", "project", "client_id", "client")),
    "gates": (
        _VISIBLE_GATES,
        ("gate_id", "project_id", "project", "client_id", "client", "sequence", "gate_label", "status", "started_at",
         "submitted_at", "approved_at", "baseline_on", "due_on", "waiting_days", "approver_side", "is_client_visible",
         "bills_amount_local", "currency"),
    ),
    "gate_documents": (
        f"(gate_id is null or gate_id in (select gate_id from marts.gates where {_VISIBLE_GATES}))",
        ("document_id", "gate_id", "project_id", "project", "client_id", "gate_label", "type", "is_required",
         "is_ready", "is_missing", "received_at", "expires_on"),
    ),
    "invoices": (
        "is_billed",
        ("invoice_id", "project_id", "project", "client_id", "number", "is_billed", "issued_at", "due_on",
         "total_amount_local", "open_amount_local", "currency"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sight:
    """What somebody sees: everything, or the projects of these clients and managers and these projects."""

    role: Role
    clients: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    money: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing at all is kept from the viewer."""
        return self.sees_all_rows and self.money

    @property
    def sees_all_rows(self) -> bool:
        """Whoever belongs to a client never does, not even where no client is named."""
        return self.role != "client" and not (self.clients or self.managers or self.projects)

    def may_open(self, page: str, heading: str) -> bool:
        """Whether a page is there for the viewer."""
        return page == "client" if self.role == "client" else self.money or heading != "Money"

    def may_ask_about(self, client_id: str) -> bool:
        """Whether a client may be held against all others together."""
        return self.role != "client" or client_id in self.clients


EVERYTHING = Sight("leadership")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who was let in. `key` names them in the data folder, and tells nobody who they are; "" for anybody."""

    name: str
    sight: Sight
    key: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Whom a rule of the settings is about, by address or group, and what they see."""

    email: str | None
    group: str | None
    sight: Sight


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is let in: the first rule that fits decides, and whom none fits is refused."""

    rules: tuple[Rule, ...]
    groups_claim: str
    hours: float


ANYBODY = Viewer("", EVERYTHING)  # where nobody signs in, and only this machine is answered


@dataclass(frozen=True, slots=True)
class Refused:
    """Somebody who was not let in, and why, in words for them. `ended`: signing in again may help."""

    why: str
    ended: bool = False


def admit(claims: Mapping[str, Any], policy: Policy, clock: Callable[[], float]) -> Viewer | Refused:
    """Who somebody is, by what the provider said of them. `clock` tells seconds since 1970.

    An address counts only where the provider says that it was verified. One it says was not lets nobody in.
    """
    issued = claims.get("iat")
    if isinstance(issued, bool) or not isinstance(issued, int | float) or clock() - issued > policy.hours * 3600:
        return Refused("Your session has ended.", ended=True)
    email, verified = str(claims.get("email") or "").strip().lower(), claims.get("email_verified")
    subject = str(claims.get("sub") or "")
    if not subject:
        return Refused("The sign-in does not say who you are.")
    if email and verified is not None and verified is not True:
        return Refused(f"The address {email} has not been verified where you sign in.")
    groups = claims.get(policy.groups_claim)
    member_of = {str(group) for group in groups} if isinstance(groups, list | tuple) else {str(groups or "")}
    for rule in policy.rules:
        by_email = rule.email is not None and verified is True and rule.email == email
        by_group = rule.group is not None and rule.group in member_of
        if by_email or by_group:
            told = f"{claims.get('iss')} {subject}"
            return Viewer(email or subject, rule.sight, hashlib.blake2s(told.encode(), digest_size=12).hexdigest())
    return Refused(f"{email or subject} may not open this dashboard.")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as a viewer may see it: its columns, null where they are withheld, and the condition that rows meet."""

    columns: tuple[tuple[str, bool], ...]  # name, whether its values are shown
    condition: str

    def select(self, mart: str) -> str:
        shown = ", ".join(name if is_shown else f"null as {name}" for name, is_shown in self.columns)
        return f"select {shown} from marts.{mart} where {self.condition}"


def relations(sight: Sight, marts: Mapping[str, Sequence[str]]) -> dict[str, Relation]:
    """What of each mart (name → columns) a viewer sees. One that nobody made a rule for is empty for whoever is held
    to some rows, and is not there for a client. The conditions bind `parameters`.
    """
    if sight.role == "client":
        of_client = {
            mart: Relation(
                tuple((name, True) for name in kept if name in marts[mart]),
                f"{condition} and list_contains($clients, client_id)",
            )
            for mart, (condition, kept) in _CLIENT.items()
            if mart in marts
        }
        return of_client | {mart: _whole(marts[mart]) for mart in SHARED if mart in marts}
    return {
        mart: Relation(
            tuple((name, _is_shown(sight, mart, name)) for name in columns), _condition(sight, mart, columns)
        )
        for mart, columns in marts.items()
    }


def parameters(sight: Sight) -> dict[str, list[str]]:
    return {"clients": list(sight.clients), "managers": list(sight.managers), "projects": list(sight.projects)}


def is_money(column: str) -> bool:
    """Whether a column holds an amount: the house's names say so."""
    return "amount" in column and not column.startswith(("is_", "has_", "was_"))


def _whole(columns: Sequence[str]) -> Relation:
    return Relation(tuple((name, True) for name in columns), "true")


def _is_shown(sight: Sight, mart: str, column: str) -> bool:
    if not sight.money and is_money(column):
        return False
    return sight.sees_all_rows or column not in _TELLS_OF_OTHERS.get(mart, ())


def _condition(sight: Sight, mart: str, columns: Sequence[str]) -> str:
    if sight.sees_all_rows or mart in SHARED:
        return "true"
    mine = (
        "from marts.projects where list_contains($projects, project_id) or list_contains($managers, manager)"
        " or list_contains($clients, client_id)"
    )
    if "project_id" in columns:
        return f"project_id in (select project_id {mine})"
    if "client_id" in columns:
        return f"client_id in (select client_id {mine})"
    if mart in _BY_WAY_OF:
        column, by_way_of = _BY_WAY_OF[mart]
        return f"{column} in (select {column} from marts.{by_way_of} where project_id in (select project_id {mine}))"
    if mart == "source_pulls":
        return f"source in (select source {mine})"
    return "false"
