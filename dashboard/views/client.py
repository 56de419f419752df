"""Client view: what one client may be shown of its own projects, and the page as a file to send.

Nothing here names another client, a cost, a margin or an owner within the firm: only gates that the client sees in its
tool, what is waited for, papers, the client's own bills, and its speed beside that of all others together.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from dashboard import charts, export, layout, picking, timelines
from dashboard.data import Condition, Reading, catalogue
from dashboard.export import Sheets, Table
from dashboard.filters import code
from dashboard.numbers import day, instant, plain, worded

LEAD = "What a client may be shown of its own projects: milestones, what is waited for, papers, the next payment."
GATES = ["project", "sequence", "gate_label", "status", "due_on", "approved_at"]
ASKED = ["project", "gate_label", "submitted_at", "waiting_days"]
PAPERS = ["project", "gate_label", "type", "is_missing"]
BILLS = ["number", "project", "issued_at", "due_on", "total_amount_local", "open_amount_local", "currency"]
CALLED = {"gate_label": "Milestone", "type": "Paper", "is_missing": "Already late", "number": "Bill",
          "total_amount_local": "Total", "open_amount_local": "Open"}  # fmt: skip
MEASURES = ("F1", "F5w", "F8")
SEEN = {"approved": "approved", "awaiting_decision": "waits for a decision", "in_progress": "in progress",
        "changes_requested": "being changed", "not_started": "not started"}  # fmt: skip


def page(reading: Reading) -> None:
    chosen = _choose(reading)
    if chosen is None:
        layout.nothing(reading)
        return
    name = reading.names()[chosen]
    reading.sheets.about.clear()  # the filters may name other clients
    reading.sheets.title = f"{name}: milestones"
    reading.sheets.about += [("client", name), ("as of", instant(reading.as_of))]
    layout.part(name, "mp-client")
    gates = _gates(reading, chosen)
    asked = _asked(reading, chosen)
    papers = _papers(reading, chosen)
    bills = _bills(reading, chosen)
    layout.facts(_facts(gates, asked, papers, bills))
    _share(reading.sheets, name, reading)
    _timeline(reading, chosen, gates)
    words = "Sent for your decision, longest first"
    _list(reading, asked, title="Waiting for you", words=words, none="Nothing waits for you.", key="asked")
    words = "Asked for and not in hand"
    _list(reading, papers, title="Papers we need", words=words, none="Every paper is here.", key="papers")
    words = "Open ones first, in their own currency"
    _list(reading, bills, title="Bills", words=words, none="No bill has been sent.", key="bills")
    _benchmark(reading, chosen)


def _choose(reading: Reading) -> str | None:
    """The client in the link, else the first under the filters; the choice goes back into the link as a code."""
    offered = reading.table("projects", ["client_id", "client"], order=("client",)).unique(maintain_order=True)
    everyone = reading.names()
    given = st.query_params.get("of")
    linked = next((one for one in everyone if code(one) == given), None) if given else None
    names = dict(offered.rows())
    if linked and linked not in names:
        names = {linked: everyone[linked], **names}
    if not names:
        return None
    names = picking.offered(names, "pick_one_client", "clients", (linked, st.session_state.get("pick_one_client")))
    if linked and st.session_state.get("linked_client") != linked:
        st.session_state["pick_one_client"] = linked
    elif st.session_state.get("pick_one_client") not in names:
        st.session_state["pick_one_client"] = next(iter(names))
    chosen = str(
        st.selectbox(
            "Client", list(names), key="pick_one_client", format_func=names.__getitem__, label_visibility="collapsed"
        )
    )
    st.session_state["linked_client"] = chosen
    if given != code(chosen):
        st.query_params["of"] = code(chosen)
    return chosen


def _gates(reading: Reading, client_id: str) -> pl.DataFrame:
    """Gates that the client sees; those passed over are left out."""
    only: tuple[Condition, ...] = (
        ("client_id", "=", client_id), ("is_client_visible", "=", True), ("status", "in", tuple(SEEN)),
    )  # fmt: skip
    return reading.store.table(
        "gates", ["gate_id", "project_id", *GATES, "started_at", "baseline_on", "bills_amount_local", "currency"],
        only=only,
        order=("project", "sequence", "gate_label"),
    )  # fmt: skip


def _asked(reading: Reading, client_id: str) -> pl.DataFrame:
    only: tuple[Condition, ...] = (
        ("client_id", "=", client_id), ("is_client_visible", "=", True), ("status", "=", "awaiting_decision"),
        ("approver_side", "=", "client"),
    )  # fmt: skip
    return reading.store.table("gates", ["project_id", *ASKED], only=only, order=("-waiting_days",))


def _papers(reading: Reading, client_id: str) -> pl.DataFrame:
    only: tuple[Condition, ...] = (
        ("client_id", "=", client_id),
        ("is_required", "=", True),
        ("is_ready", "=", False),
        ("received_at", "is null", None),
    )
    order = ("-is_missing", "project", "gate_label")
    return reading.store.table("gate_documents", ["project_id", *PAPERS], only=only, order=order)


def _bills(reading: Reading, client_id: str) -> pl.DataFrame:
    only: tuple[Condition, ...] = (("client_id", "=", client_id), ("is_billed", "=", True))
    order = ("-open_amount_local", "-issued_at")
    return reading.store.table("invoices", ["project_id", *BILLS], only=only, order=order)


def _facts(
    gates: pl.DataFrame, asked: pl.DataFrame, papers: pl.DataFrame, bills: pl.DataFrame
) -> list[tuple[str, str]]:
    done = gates.filter(pl.col("status") == "approved").height
    unpaid = bills.filter(pl.col("open_amount_local") > 0).sort("due_on", nulls_last=True)
    to_come = gates.filter((pl.col("status") != "approved") & pl.col("due_on").is_not_null()).sort("due_on")
    billing = to_come.filter(pl.col("bills_amount_local") > 0)
    return [
        ("Milestones approved", f"{done} of {gates.height}"),
        ("Waiting for you", plain(asked.height, "count")),
        ("Papers we need", plain(papers.height, "count")),
        ("Next milestone", _next(to_come)),
        ("Next payment", _payment(unpaid, billing)),
    ]


def _next(to_come: pl.DataFrame) -> str:
    if to_come.is_empty():
        return "none planned"
    row = to_come.row(0, named=True)
    return f"{row['gate_label']}, {day(row['due_on'])}"


def _payment(unpaid: pl.DataFrame, billing: pl.DataFrame) -> str:
    """The open bill due first, else the milestone that will be billed first."""
    if not unpaid.is_empty():
        row = unpaid.row(0, named=True)
        return f"{worded(row['open_amount_local'], 'money', row['currency'])} by {day(row['due_on'])}"
    if billing.is_empty():
        return "none planned"
    row = billing.row(0, named=True)
    return f"{worded(row['bills_amount_local'], 'money', row['currency'])} after {row['gate_label']}"


def _share(sheets: Sheets, name: str, reading: Reading) -> None:
    st.download_button(
        "Save to share",
        lambda: export.page(sheets),
        file_name=f"milestones-{code(name)}-{reading.as_of:%Y-%m-%d}.html",
        mime="text/html",
        key="share",
        on_click="ignore",
        icon=":material/ios_share:",
        help="One file with what stands on this page and nothing else",
    )


def _timeline(reading: Reading, client_id: str, gates: pl.DataFrame) -> None:
    layout.section(
        "Milestones",
        "Full: approved. Hollow: planned. Crossed: past its date. Grey tick: first plan. Choose one to see it alone",
    )
    if gates.is_empty():
        layout.empty(
            "No milestone is shown to this client.", "Gates appear here once their tool shows them to the client."
        )
        return
    chosen = charts.chart(
        reading,
        "client_gates",
        charts.told_apart(gates),
        lambda f: timelines.portfolio(f, as_of=reading.as_of),
        alt="Each project's milestones on a time line",
        about=client_id,
    )
    reading.sheets.tables.clear()  # what the figure needs is more than the client is shown
    apart = charts.told_apart(gates).with_columns(pl.col("label").alias("project"), pl.col("status").replace(SEEN))
    apart = apart.filter(pl.col("gate_id").is_in(chosen)) if chosen else apart
    listed = apart.sort("project", "sequence", maintain_order=True)
    charts.ledger(
        reading,
        listed.select(GATES),
        key="client_milestones",
        mart="gates",
        names={"sequence": "No.", "gate_label": "Milestone"},
        at=layout.tools(),
        title="Milestones",
        projects=_led_to(reading, listed),
    )


def _led_to(reading: Reading, frame: pl.DataFrame) -> pl.Series | None:
    """The projects that rows lead to, for a viewer who has a page of each: the file to share names none."""
    return frame["project_id"] if reading.store.sight.role != "client" else None


def _list(reading: Reading, frame: pl.DataFrame, *, title: str, words: str, none: str, key: str) -> None:
    row = layout.section(title, words)
    if frame.is_empty():
        layout.empty(none, "There is nothing to do here.")
        return
    charts.ledger(
        reading, frame.drop("project_id"), key=f"client_{key}", names=CALLED, at=row, title=title,
        projects=_led_to(reading, frame),
    )  # fmt: skip


def _benchmark(reading: Reading, client_id: str) -> None:
    words = "Beside all other clients together; only told where at least five others have rows"
    layout.section("How you compare", words)
    since, until = reading.span()
    told: list[dict[str, Any]] = []
    for measure in MEASURES:
        about = catalogue()[measure]
        question = reading.question(measure)
        bare = type(question)(measure, (), {}, since, until, question.clock)
        row = reading.store.benchmark(bare, client_id).row(0, named=True)
        others = row["others_value"]
        told.append({
            "measure": about.label,
            "yours": row["note"] if row["value"] is None else worded(row["value"], about.unit, ""),
            "others": row["others_note"] if others is None else worded(others, about.unit, ""),
            "your_n": row["n"], "others_n": row["others_n"],
        })  # fmt: skip
    frame = pl.DataFrame(told)
    layout.benchmark(frame)
    reading.sheets.tables.append(Table("How you compare", words, frame))
