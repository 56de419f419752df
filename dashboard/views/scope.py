"""Scope: how contracts changed, why, how long decisions take, and what was done after the lock without one."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading

SHOWN = 15


def page(reading: Reading) -> None:
    layout.head(
        reading,
        "Scope",
        "How contracts changed after signature, for what reasons, and what was done without anyone agreeing to it.",
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
        _reasons(reading)
    with right:
        _states(reading)
    _unapproved(reading)
    _pending(reading)


def _creep(reading: Reading) -> None:
    with layout.titled("Net change and creep", reading, "C3"):
        by = st.segmented_control(
            "By", ["client", "project"], default="client", key="creep_by", required=True, label_visibility="collapsed"
        )
    layout.caption(f"% of contract, the {SHOWN} with most creep. Projects signed in the period")
    creep = reading.answer("C3", by).select(by, pl.col("value").alias("creep_pct"), "n")
    net = reading.answer("C2", by).select(by, pl.col("value").alias("net_change_pct"))
    frame = (
        creep.join(net, on=by, how="left", maintain_order="left")
        .rename({by: "label"})
        .filter(pl.col("creep_pct").is_not_null())
        .sort("creep_pct", descending=True)
    )
    series = [
        ("creep_pct", "scope-creep index (C3)", figures.WARN),
        ("net_change_pct", "net approved change (C2)", figures.ACCENT),
    ]
    layout.chart(
        reading,
        "creep",
        frame.head(SHOWN),
        lambda f: figures.pairs(f, axis="% of contract", unit="%", series=series),
        alt=f"Scope-creep index and net approved change, by {by}",
        about=by,
    )


def _reasons(reading: Reading) -> None:
    frame = reading.answer("C8", "reason").rename({"reason": "label"})
    layout.section(
        "Change orders by reason", f"Number requested in the period, n = {frame['n'].sum():,}", reading, "C8"
    )
    layout.chart(
        reading,
        "reasons",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(f, axis="Change orders", unit="count", warn=("no reason",)),
        alt="Number of change orders for each reason",
    )
    value = reading.answer("C8v", "reason").rename({"reason": "label"})
    currency = reading.store.currency
    layout.section("Approved value by reason", f"n = {value['n'].sum():,} approved change orders", reading, "C8v")
    layout.chart(
        reading,
        "reason_value",
        value.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(
            f, axis=f"Approved value ({currency})", unit="money", currency=currency, warn=("no reason",)
        ),
        alt="Approved value of change orders for each reason",
    )


def _states(reading: Reading) -> None:
    frame = reading.answer("C8", "status").rename({"status": "label"})
    layout.section("Change orders by status", f"n = {frame['n'].sum():,}", reading, "C8")
    layout.chart(
        reading,
        "states",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(f, axis="Change orders", unit="count", warn=("pending",)),
        alt="Number of change orders in each status",
    )
    decided = reading.answer("C4", "reason").rename({"reason": "label"}).filter(pl.col("n") > 0)
    layout.section(
        "Decision time by reason", "Dot: P50, tick: P85, in elapsed days. Bold: change orders", reading, "C4"
    )
    layout.chart(
        reading,
        "decisions",
        decided.sort("value", descending=True, nulls_last=True),
        lambda f: figures.percentile_ranges(f, axis="Submission to decision (elapsed days)"),
        alt="Median and 85th percentile of decision time for each reason",
    )


def _unapproved(reading: Reading) -> None:
    layout.section("Work after lock with no approved change order", "By value, largest first", reading, "C5")
    rows = reading.rows("C5")
    if rows.is_empty():
        layout.nothing(reading, "No work after a scope lock stands without an approved change order.")
        return
    columns = [
        "project_id",
        "client",
        "project",
        "gate_label",
        "description",
        "done_at",
        "hours",
        "amount",
        "exposed_days",
        "source_url",
    ]
    layout.ledger(
        reading,
        rows.select(columns).sort("amount", descending=True, nulls_last=True),
        key="unapproved",
        mart="extra_work",
    )


def _pending(reading: Reading) -> None:
    layout.section("Change orders awaiting a decision", "Oldest first, whatever the period")
    columns = [
        "project_id",
        "client",
        "project",
        "number",
        "title",
        "reason",
        "submitted_at",
        "age_days",
        "requested_amount",
        "source_url",
    ]
    rows = reading.table("change_orders", columns, ("status", "=", "pending"), order=("-age_days",))
    if rows.is_empty():
        layout.nothing(reading, "No change order awaits a decision.")
        return
    layout.ledger(reading, rows, key="pending", mart="change_orders")
