"""Project: one project's whole story on a time line, and its records with links to where each comes from."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, explain, layout, picking, timelines
from dashboard.chart_template import MOST_MARKS
from dashboard.data import Reading, mart_columns
from dashboard.filters import code
from dashboard.numbers import ABSENT, day, plain, whose

GATES = [
    "gate_id", "sequence", "gate_label", "status", "owner_team", "started_at", "submitted_at", "approved_at",
    "baseline_on", "due_on", "cycle_days", "age_days", "work_days", "client_wait_days", "rework_count",
    "bills_amount", "unbilled_amount", "history_quality", "source_url",
]  # fmt: skip
FACTS = [
    "project_id", "project", "client", "firm", "playbook", "manager", "status", "timezone", "signed_at", "kickoff_at",
    "closed_at", "currency", "contract_amount_local", "contract_amount", "scope_locked_at", "gate_count",
    "approved_gate_count", "required_gate_count", "approved_change_amount", "pending_change_amount",
    "extra_work_amount", "invoiced_amount", "paid_amount", "source_url",
]  # fmt: skip
RECORDS = {  # title → mart, columns, order
    "Events": (
        "gate_events",
        ["occurred_at", "gate_name", "type", "attempt", "actor", "actor_side", "origin"],
        ["-occurred_at"],
    ),
    "Plans": (
        "gate_plans",
        ["recorded_at", "gate_label", "version", "due_on", "moved_days", "is_baseline", "reason"],
        ["-recorded_at"],
    ),
    "Invoices": (
        "invoices",
        ["number", "kind", "status", "issued_at", "due_on", "total_amount_local", "currency", "total_amount",
         "paid_amount", "open_amount", "aging_bucket", "source_url"],
        ["-issued_at"],
    ),
    "Change orders": (
        "change_orders",
        ["number", "title", "reason", "status", "requested_at", "decided_at", "requested_amount", "approved_amount",
         "unbilled_amount", "source_url"],
        ["-requested_at"],
    ),
    "Documents": (
        "gate_documents",
        ["gate_label", "type", "is_required", "is_ready", "received_at", "accepted_at", "expires_on", "late_days",
         "source_url"],
        ["gate_label", "type"],
    ),
    "Hand-offs": (
        "handoffs",
        ["gate_label", "from_team", "to_team", "approved_at", "notified_at", "accepted_at", "started_at",
         "latency_days", "is_open"],
        ["-approved_at"],
    ),
    "Extra work": (
        "extra_work",
        ["done_at", "gate_label", "description", "hours", "amount", "is_after_scope_lock", "is_covered",
         "exposed_days", "source_url"],
        ["-done_at"],
    ),
}  # fmt: skip


LEAD = "One project's whole story: gates, plans, changes, papers and money, with links to the records behind them."
QUIET = 60  # days without a fact after which a story has ended
# lane → mart, its instant, and what is said of a row: columns joined by a dash
STORY = (
    ("gates", "gate_events", "occurred_at", ("gate_name", "type", "actor")),
    ("plans", "gate_plans", "recorded_at", ("gate_label", "due_on", "reason")),
    ("change orders", "change_orders", "requested_at", ("number", "title", "status")),
    ("extra work", "extra_work", "done_at", ("description",)),
    ("documents", "gate_documents", "received_at", ("gate_label", "type")),
    ("hand-offs", "handoffs", "started_at", ("gate_label", "from_team", "to_team")),
    ("invoices", "invoices", "issued_at", ("number", "kind", "status")),
    ("payments", "payments", "received_at", ("number", "currency", "amount_local")),
)


def page(reading: Reading) -> None:
    chosen = _choose(reading)
    if chosen is None:
        layout.nothing(reading)
        return
    fact = reading.of_project("projects", FACTS, chosen).row(0, named=True)
    layout.part(fact["project"])
    _facts(reading, fact)
    _story(reading, chosen)
    _timeline(reading, chosen)
    _records(reading, chosen)


def _story(reading: Reading, project_id: str) -> None:
    told = []
    for lane, mart, at, words in STORY:
        links = [name for name in ("source_url",) if name in mart_columns(mart)]
        rows = reading.of_project(mart, [at, *words, *links], project_id, (at,)).filter(pl.col(at).is_not_null())
        said = pl.concat_str([pl.col(word).cast(pl.String) for word in words], separator=" – ", ignore_nulls=True)
        link = pl.col("source_url") if "source_url" in rows.columns else pl.lit(None, pl.String).alias("source_url")
        told.append(rows.select(pl.lit(lane).alias("lane"), pl.col(at).cast(pl.Datetime("us")).alias("at"),
                                said.str.replace_all("_", " ").alias("what"), link))  # fmt: skip
    frame = pl.concat(told).sort("at").with_row_index("id")
    drawn = f", the newest {MOST_MARKS} of them drawn" if frame.height > MOST_MARKS else ""
    row = layout.section(
        "The whole story", f"Everything on record, n = {frame.height:,}{drawn}; a lane for each kind, times in UTC"
    )
    last = max((one for one in frame["at"]), default=None)
    is_running = last is None or (reading.as_of.replace(tzinfo=None) - last).days < QUIET
    chosen = charts.chart(
        reading,
        "story",
        frame,
        lambda f: timelines.story(f, as_of=reading.as_of, is_running=is_running),
        alt="Everything that happened to the project on a time line",
        about=project_id,
        at=row,
    )
    if chosen:
        mine = frame.filter(pl.col("id").cast(pl.String).is_in(chosen)).select("at", "lane", "what", "source_url")
        below = layout.section("Chosen in the figure", "Double-click the figure to let go")
        charts.ledger(reading, mine, key="behind_story", at=below, title="")


def _choose(reading: Reading) -> str | None:
    """The project in the link, else the first under the filters; the choice goes back into the link."""
    offered = reading.table("projects", ["project_id", "project", "client", "firm"], order=("client", "project"))
    linked = _linked(reading)
    if linked and linked not in offered["project_id"]:
        there = reading.of_project("projects", ["project_id", "project", "client", "firm"], linked)
        offered = pl.concat([there, offered])
    if offered.is_empty():
        return None
    found = {r["project_id"]: whose(r["client"], r["project"]) for r in offered.to_dicts()}
    names = picking.offered(found, "pick_project", "projects", (linked, st.session_state.get("pick_project")))
    if linked in names and st.session_state.get("linked_project") != linked:
        st.session_state["pick_project"] = linked
    elif st.session_state.get("pick_project") not in names:
        st.session_state["pick_project"] = next(iter(names))
    chosen = st.selectbox(
        "Project", list(names), key="pick_project", format_func=names.__getitem__, label_visibility="collapsed"
    )
    st.session_state["linked_project"] = chosen
    if st.query_params.get("project") != code(str(chosen)):
        st.query_params["project"] = code(str(chosen))
    return str(chosen)


def _linked(reading: Reading) -> str | None:
    """The project whose code stands in the link, whatever the filters."""
    given = st.query_params.get("project")
    ids = reading.store.table("projects", ["project_id"])["project_id"].to_list() if given else []
    return next((one for one in ids if code(one) == given), None)


def _facts(reading: Reading, fact: dict[str, Any]) -> None:
    contract = layout.money(fact["contract_amount"], reading)
    if fact["currency"] != reading.store.currency and fact["contract_amount_local"] is not None:
        contract += f" ({fact['currency']} {plain(fact['contract_amount_local'], 'money')})"
    playbooks = layout.options_of(reading.store)["playbook"]
    pairs = [
        ("Client", fact["client"]), ("Firm", fact["firm"]),
        ("Playbook", playbooks.get(fact["playbook"], fact["playbook"])),
        ("Manager", fact["manager"]), ("Status", (fact["status"] or ABSENT).replace("_", " ")),
        ("Gates approved", f"{fact['approved_gate_count']} of {fact['required_gate_count']}"),
        ("Signed", day(fact["signed_at"])), ("Kickoff", day(fact["kickoff_at"])),
        ("Scope locked", day(fact["scope_locked_at"])), ("Closed", day(fact["closed_at"])),
        ("Contract", contract), ("Approved changes", layout.money(fact["approved_change_amount"], reading)),
        ("Changes pending", layout.money(fact["pending_change_amount"], reading)),
        ("Work after lock, uncovered", layout.money(fact["extra_work_amount"], reading)),
        ("Invoiced, with tax", layout.money(fact["invoiced_amount"], reading)),
        ("Paid", layout.money(fact["paid_amount"], reading)),
    ]  # fmt: skip
    layout.facts(pairs)
    if fact["source_url"]:
        layout.source_link("The project's record in its source", fact["source_url"])


def _timeline(reading: Reading, project_id: str) -> None:
    words = "Plan against what happened. Hollow diamond: baseline. Tick: plan in force. Days in UTC"
    row = explain.section(reading, "Gates", words, "F1", key="gates_of_project", project_id=(project_id,))
    gates = reading.of_project("gates", GATES, project_id, order=("sequence", "gate_label"))
    if gates.is_empty():
        layout.empty("This project has no gates on record.", "They appear here once its source sends them.")
        return
    chosen = charts.chart(
        reading,
        "timeline",
        gates,
        lambda f: timelines.gate_timeline(f, as_of=reading.as_of),
        alt="Each gate's start, baseline date, plan in force and approval on a time line",
        about=project_id,
    )
    charts.gates_behind(reading, "timeline", chosen)
    charts.ledger(reading, gates, key="gates", mart="gates", names={"sequence": "No."}, at=row)


def _records(reading: Reading, project_id: str) -> None:
    frames = {
        name: reading.of_project(mart, columns, project_id, order) for name, (mart, columns, order) in RECORDS.items()
    }
    tabs = st.tabs([f"{name} {frame.height}" for name, frame in frames.items()])
    for tab, (name, frame) in zip(tabs, frames.items(), strict=True):
        with tab:
            if frame.is_empty():
                layout.empty(
                    f"This project has no {name.lower()} on record.", "They appear once its source sends them."
                )
                continue
            key = name.lower().replace(" ", "_")
            charts.ledger(reading, frame, key=key, mart=RECORDS[name][0], at=layout.tools())
