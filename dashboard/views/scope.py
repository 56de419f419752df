"""Scope: how contracts changed, why, how long decisions take, and what was done after the lock without one."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading

SHOWN = 15
EXPOSED = [
    "project_id",
    "amount",
    "hours",
    "exposed_days",
    "description",
    "gate_label",
    "client",
    "project",
    "done_at",
    "source_url",
]
PENDING = [
    "project_id",
    "age_days",
    "requested_amount",
    "number",
    "title",
    "reason",
    "client",
    "project",
    "submitted_at",
    "source_url",
]


def page(reading: Reading) -> None:
    layout.head(
        reading, "Scope", "How contracts changed after signature and why, and what was done that nobody agreed to."
    )
    layout.tiles(
        reading,
        [
            layout.tile(reading, "C2", "projects"),
            layout.tile(reading, "C2g", "projects"),
            layout.tile(reading, "C3", "projects"),
            layout.tile(reading, "C5", "pieces of work"),
            layout.tile(reading, "C4", "change orders"),
        ],
    )
    _creep(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _count(reading, "reason", "Change orders by reason", warn="no reason")
        _value(reading)
    with right:
        _count(reading, "status", "Change orders by status", warn="pending")
        _decisions(reading)
    _unapproved(reading)
    _pending(reading)


def _creep(reading: Reading) -> None:
    words = f"% of contract, projects signed in the period; the {SHOWN} with most creep. Bold: projects"
    row = layout.section("Creep and net change", words, layout.definition(reading, "C3"))
    by = row.segmented_control(
        "By", ["client", "project"], default="client", key="creep_by", required=True, label_visibility="collapsed"
    )
    creep = reading.answer("C3", by).select(by, pl.col("value").alias("creep_pct"), "n")
    net = reading.answer("C2", by).select(by, pl.col("value").alias("net_change_pct"))
    frame = creep.join(net, on=by, how="left", maintain_order="left").rename({by: "label"})
    layout.chart(
        reading,
        "creep",
        frame.filter(pl.col("creep_pct").is_not_null()).sort("creep_pct", descending=True).head(SHOWN),
        lambda f: figures.pairs(
            f,
            axis="% of contract",
            unit="%",
            series=[
                ("creep_pct", "scope-creep index", figures.WARN),
                ("net_change_pct", "net approved change", figures.ACCENT),
            ],
        ),
        alt=f"Scope-creep index and net approved change, by {by}",
        about=by,
        at=row,
    )


def _count(reading: Reading, by: str, title: str, warn: str) -> None:
    frame = reading.answer("C8", by).rename({by: "label"})
    row = layout.section(title, f"Requested in the period, n = {frame['n'].sum():,}", layout.definition(reading, "C8"))
    layout.chart(
        reading,
        f"change_orders_{by}",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(f, axis="Number of change orders", unit="count", warn=(warn,)),
        alt=f"Number of change orders for each {by}",
        at=row,
    )


def _value(reading: Reading) -> None:
    frame = reading.answer("C8v", "reason").rename({"reason": "label"})
    currency = reading.store.currency
    words = f"Approved amount, deductions negative, n = {frame['n'].sum():,}"
    row = layout.section("Approved value by reason", words, layout.definition(reading, "C8v"))
    layout.chart(
        reading,
        "reason_value",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(
            f, axis=f"Approved value ({currency})", unit="money", currency=currency, warn=("no reason",)
        ),
        alt="Approved value of change orders for each reason",
        at=row,
    )


def _decisions(reading: Reading) -> None:
    row = layout.section(
        "Decision time by reason",
        "Dot: P50. Tick: P85, by Kaplan–Meier where some are pending. Bold: change orders",
        layout.definition(reading, "C4"),
    )
    frame = reading.answer("C4", "reason").rename({"reason": "label"}).filter(pl.col("n") > 0)
    layout.chart(
        reading,
        "decisions",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.percentile_ranges(f, axis="Submission to decision (elapsed days)"),
        alt="Median and 85th percentile of decision time for each reason",
        at=row,
    )


def _unapproved(reading: Reading) -> None:
    row = layout.section(
        "Work after lock with no approved change order", "Largest first", layout.definition(reading, "C5")
    )
    rows = reading.rows("C5")
    if rows.is_empty():
        layout.nothing(reading, "No work after a scope lock stands without an approved change order.")
        return
    frame = rows.select(EXPOSED).sort("amount", descending=True, nulls_last=True)
    layout.ledger(reading, frame, key="unapproved", mart="unplanned_work", at=row)


def _pending(reading: Reading) -> None:
    rows = reading.table("change_orders", PENDING, ("status", "=", "pending"), order=("-age_days",))
    words = f"Oldest first, n = {rows.height:,}, whatever the period"
    row = layout.section("Change orders awaiting a decision", words)
    if rows.is_empty():
        layout.nothing(reading, "No change order awaits a decision.")
        return
    layout.ledger(reading, rows, key="pending", mart="change_orders", at=row)
