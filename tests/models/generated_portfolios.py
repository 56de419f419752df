"""Small portfolios of any shape, for what must hold whatever happens: a hypothesis strategy, and how to build one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from random import SystemRandom
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from small_worlds import CLIENT, PROJECT, prepare, receive, small, unfold

from models import catalog
from models.admission import StagedSource

Records = dict[str, list[dict[str, Any]]]

AS_OF = "2026-06-30T00:00:00"
FIRST = datetime(2026, 1, 1, 0, 30)
RATES = [
    {"day": date(2025, 12, 20) + timedelta(days=n), "currency": "EUR", "rate": f"1.{10 + n % 7}37"} for n in range(210)
]
HAPPENINGS = (
    "started",
    "submitted",
    "submitted",
    "approved",
    "approved",
    "changes_requested",
    "rejected",
    "reopened",
    "waived",
    "cancelled",
)

few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
# Laws that look at nothing but a portfolio look at the same ones, others at each run, so that each is built once.
_CHANCE = 0 if settings().derandomize else SystemRandom().randrange(2**32)
_KEPT = 12
_built: OrderedDict[str, duckdb.DuckDBPyConnection] = OrderedDict()


def written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


QUARTERS = 185 * 24 * 4
WEEKLY = range(0, QUARTERS, 7 * 24 * 4)  # so few that facts fall on one instant
instants = st.one_of(st.integers(0, QUARTERS), st.sampled_from(WEEKLY)).map(
    lambda quarters: written(FIRST + timedelta(minutes=15 * quarters))
)
days = instants.map(lambda at: at[:10])
money = st.integers(min_value=1, max_value=90_000).map(lambda cents: f"{cents / 100:.2f}")
signed_money = st.integers(min_value=-50_000, max_value=90_000).map(lambda cents: f"{cents / 100:.2f}")
maybe = st.booleans()


@st.composite
def portfolios(draw: st.DrawFn) -> Records:
    """One to five clients with a project or two each; everything else at any time and in any order.

    Many clients in few portfolios, as a table takes its time however few its rows are.
    """
    made: Records = {entity: [] for entity in catalog.contract().entities}
    for c in range(draw(st.integers(1, 5))):
        client = f"c{c}"
        zone = draw(st.sampled_from(("America/New_York", "Europe/Berlin", "Australia/Sydney")))
        made["clients"].append({**CLIENT, "source_key": client, "name": f"Client {c}", "timezone": zone})
        for p in range(draw(st.integers(1, 2))):
            _project(draw, made, client, f"{client}-p{p}")
    return made


def _project(draw: st.DrawFn, made: Records, client: str, project: str) -> None:
    amount = draw(st.sampled_from(("1000.00", "99.99", None)))
    currency = draw(st.sampled_from(("USD", "EUR")))
    made["projects"].append(
        {**PROJECT, "source_key": project, "client": client, "contract_amount": amount, "currency": currency}
    )
    gates = [f"{project}-g{n}" for n in range(1, draw(st.integers(1, 3)) + 1)]
    for sequence, gate in enumerate(gates, 1):
        _gate(draw, made, project, gate, sequence)
    orders = [f"{project}-o{n}" for n in range(draw(st.integers(0, 2)))]
    for order in orders:
        _change_order(draw, made, project, draw(st.sampled_from(gates)), order)
    for n in range(draw(st.integers(0, 2))):
        covering = draw(st.sampled_from((None, *orders)))
        made["extra_work"].append(
            {
                "source_key": f"{project}-x{n}",
                "project": project,
                "milestone": draw(st.sampled_from((None, *gates))),
                "done_at": draw(instants),
                "hours": draw(st.sampled_from((None, 2.5, 8))),
                "amount": draw(st.one_of(st.none(), money)),
                "change_order": covering,
            }
        )
    for n in range(draw(st.integers(0, 3))):
        _invoice(draw, made, client, project, gates, orders, f"{project}-i{n}")


def _gate(draw: st.DrawFn, made: Records, project: str, gate: str, sequence: int) -> None:
    made["milestones"].append(
        {
            "source_key": gate,
            "project": project,
            "name": f"Gate {sequence}",
            "sequence": draw(st.sampled_from((sequence, 1))),
            "bills_pct": 30,
            "approver_side": draw(st.sampled_from(("client", "team", "authority"))),
            "locks_scope": draw(maybe),
            "history_quality": "log",
        }
    )
    for n, at in enumerate(sorted(draw(st.lists(instants, max_size=7)))):
        made["milestone_events"].append(
            {
                "source_key": f"{gate}-e{n}",
                "milestone": gate,
                "type": draw(st.sampled_from(HAPPENINGS)),
                "occurred_at": at,
                "origin": "log",
                "actor_side": draw(st.sampled_from(("client", "team", "system"))),
            }
        )
    for n in range(draw(st.integers(0, 2))):
        plan = {"source_key": f"{gate}-d{n}", "milestone": gate, "recorded_at": draw(instants), "due_on": draw(days)}
        made["milestone_plans"].append(plan)
    if draw(maybe):
        made["documents"].append(
            {
                "source_key": f"{gate}-f",
                "milestone": gate,
                "type": "report",
                "received_at": draw(st.one_of(st.none(), instants)),
                "expires_on": draw(st.one_of(st.none(), days)),
            }
        )
    if draw(maybe):
        made["handoffs"].append(
            {
                "source_key": f"{gate}-h",
                "milestone": gate,
                "to_team": "care",
                **{f"{name}_at": draw(st.one_of(st.none(), instants)) for name in ("notified", "accepted", "started")},
            }
        )


def _change_order(draw: st.DrawFn, made: Records, project: str, gate: str, order: str) -> None:
    requested, submitted, decided = sorted(draw(st.lists(instants, min_size=3, max_size=3)))
    status = draw(st.sampled_from(("draft", "pending", "approved", "approved", "rejected", "withdrawn", "void")))
    made["change_orders"].append(
        {
            "source_key": order,
            "project": project,
            "milestone": gate,
            "status": status,
            "requested_at": requested,
            "submitted_at": None if status == "draft" else submitted,
            "decided_at": decided if status in ("approved", "rejected", "withdrawn") else None,
            "recorded_at": requested if status in ("draft", "pending") else decided,
            "amount_requested": draw(signed_money),
            "days_approved": draw(st.sampled_from((None, 3, 10))),
            "reason": draw(st.sampled_from((None, "access"))),
        }
    )


def _invoice(
    draw: st.DrawFn,
    made: Records,
    client: str,
    project: str,
    gates: Sequence[str],
    orders: Sequence[str],
    invoice: str,
) -> None:
    kind = draw(st.sampled_from(("invoice", "invoice", "progress", "deposit", "retention_release", "credit_note")))
    total = draw(money)
    total = f"-{total}" if kind == "credit_note" else total
    status = draw(st.sampled_from(("draft", "open", "paid", "void", "uncollectible")))
    issued, ended = sorted(draw(st.lists(instants, min_size=2, max_size=2)))
    currency = draw(st.sampled_from(("USD", "EUR")))
    made["invoices"].append(
        {
            "source_key": invoice,
            "client": client,
            "project": draw(st.sampled_from((project, None))),
            "currency": currency,
            "total": total,
            "retained": f"{float(total) / 20:.2f}" if kind == "progress" else None,
            "kind": kind,
            "status": status,
            "drafted_at": issued,
            "issued_at": None if status == "draft" else issued,
            "due_on": draw(days),
            "voided_at": ended if status == "void" else None,
            "recorded_at": ended,
        }
    )
    made["invoice_lines"].append(
        {
            "source_key": f"{invoice}-l",
            "invoice": invoice,
            "milestone": draw(st.sampled_from((None, *gates))),
            "change_order": draw(st.sampled_from((None, *orders))),
            "amount": total,
        }
    )
    for n in range(draw(st.integers(0, 2))):
        made["payments"].append(
            {
                "source_key": f"{invoice}-y{n}",
                "invoice": invoice,
                "received_at": draw(instants),
                "amount": draw(signed_money),
                "currency": draw(st.sampled_from((currency, "USD"))),
                "status": draw(st.sampled_from((None, "received", "failed", "reversed"))),
            }
        )


def for_every_portfolio(law: Callable[[Records], None]) -> Callable[[], None]:
    """A test of a law over generated portfolios."""
    drawn: Callable[[], None] = seed(_CHANCE)(few(given(portfolios())(law)))
    return drawn


def standing(records: Mapping[str, Any]) -> duckdb.DuckDBPyConnection:
    """As `made`, and kept for the next law; nothing is to be changed in it."""
    told = repr(records)
    if told not in _built:
        _built[told] = made(records)
        if len(_built) > _KEPT:
            _built.popitem(last=False)[1].close()
    return _built[told]


def made(records: Mapping[str, Any], as_of: str = AS_OF) -> duckdb.DuckDBPyConnection:
    """A database in memory of these records, whose marts are made when they are asked for."""
    con = small()
    prepare(con, RATES)
    receive(con, "t", records)
    unfold(con, [StagedSource("t", None, "raw_t")], as_of)
    return con


def everything(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every mart."""
    return {name: con.execute(f"select * from marts.{name} order by all").fetchall() for name in catalog.marts()}
