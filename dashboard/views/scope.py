"""Scope: how contracts changed, why, how long decisions take, and what was done after the lock without one."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, tiles
from dashboard.chart_template import ACCENT, WARN
from dashboard.charts import Mark
from dashboard.data import Reading
from dashboard.tiles import Tile
from dashboard.waterfalls import AMOUNTS, contract

LEAD = "How contracts changed after signature and why, and what was done that nobody agreed to."
SHOWN = 15
CREEP = (("agreed", "change orders after the lock", ACCENT), ("uncovered", "work without a change order", WARN))
EXPOSED = [
    "project_id", "amount", "hours", "exposed_days", "description", "gate_label", "kind", "client", "project",
    "done_at", "source_url",
]  # fmt: skip
PENDING = [
    "project_id", "age_days", "requested_amount", "number", "title", "reason", "client", "project", "submitted_at",
    "source_url",
]  # fmt: skip


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("C2", "projects"),
            Tile("C3", "projects"),
            Tile("C5", "pieces of work", "Unapproved work"),
            Tile("C4", "change orders", "Decision time"),
            Tile("C9v", "entries"),
            Tile("C10", "projects"),
        ],
    )
    left, right = st.columns(2, gap="large")
    with left:
        _waterfall(reading)
    with right:
        _creep(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _count(reading)
        _decisions(reading)
    with right:
        _value(reading)
        _rework(reading)
    _unapproved(reading)
    _pending(reading)


def _waterfall(reading: Reading) -> None:
    words = "Projects signed in the period, from the contract as signed to what is still open; every step adds up"
    row = explain.section(reading, "From contract to cash", words, "C11")
    found = reading.answer("C11").select(pl.col("step").alias("label"), "value", "n")
    chosen = charts.chart(
        reading,
        "waterfall",
        contract(found),
        lambda f: figures.waterfall(f, axis=reading.currency, currency=reading.currency),
        alt="The contract as signed, what change orders made of it, what is invoiced, paid and open",
        at=row,
    )
    marks = [
        Mark("C11", step, only=pl.col(AMOUNTS[step]) != 0, first=(AMOUNTS[step], "original_amount", "current_amount"))
        for step in chosen
    ]
    charts.rows_behind(reading, "waterfall", marks)


def _creep(reading: Reading) -> None:
    words = f"% of the contract at its scope lock, in its two parts; the {SHOWN} with most"
    row = explain.section(reading, "Scope-creep index", words, "C3", "client", key="creep")
    by = row.segmented_control(
        "By", ["client", "project"], default="client", key="creep_by", required=True, label_visibility="collapsed"
    )
    by = by or "client"
    whole = reading.answer("C3", by).select(by, pl.col("value").alias("creep_pct"), "n")
    agreed = reading.answer("C3a", by).select(by, pl.col("value").alias("agreed"))
    uncovered = reading.answer("C3b", by).select(by, pl.col("value").alias("uncovered"))
    frame = whole.join(agreed, on=by, how="left").join(uncovered, on=by, how="left").rename({by: "label"})
    chosen = charts.chart(
        reading,
        "creep",
        frame.filter(pl.col("creep_pct") != 0).sort("creep_pct", descending=True, nulls_last=True).head(SHOWN),
        lambda f: figures.stacked(f, axis="% of contract at the lock", unit="%", parts=CREEP),
        alt=f"Scope-creep index by {by}: change orders after the lock and work without one",
        about=by,
        at=row,
    )
    asked = {"agreed": ("C3a", "late_change_amount"), "uncovered": ("C3b", "extra_work_amount")}
    marks = []
    for part, name in map(figures.parts_of, chosen):
        measure, amount = asked[part]
        marks.append(Mark(measure, name, {by: (name,)}, first=(amount, "locked_contract_amount")))
    charts.rows_behind(reading, "creep", marks)


def _count(reading: Reading) -> None:
    words = "Requested in the period; those without a reason stand out"
    row = explain.section(reading, "Change orders", words, "C8", "reason", key="count")
    by = row.segmented_control(
        "By", ["reason", "status"], default="reason", key="count_by", required=True, label_visibility="collapsed"
    )
    by = by or "reason"
    frame = reading.answer("C8", by).rename({by: "label"})
    chosen = charts.chart(
        reading,
        "change_orders",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(f, axis="Number of change orders", unit="count", warn=("no reason", "pending")),
        alt=f"Number of change orders for each {by}",
        about=by,
        at=row,
    )
    charts.rows_behind(reading, "change_orders", charts.of_values("C8", by, chosen))


def _value(reading: Reading) -> None:
    frame = reading.answer("C8v", "reason").rename({"reason": "label"})
    words = f"Approved amount, deductions negative, n = {frame['n'].sum():,}"
    row = explain.section(reading, "Approved value by reason", words, "C8v", "reason")
    chosen = charts.chart(
        reading,
        "reason_value",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.bars(
            f, axis=f"Approved value ({reading.currency})", unit="money", currency=reading.currency, warn=("no reason",)
        ),
        alt="Approved value of change orders for each reason",
        at=row,
    )
    charts.rows_behind(reading, "reason_value", charts.of_values("C8v", "reason", chosen))


def _decisions(reading: Reading) -> None:
    words = "Dot: P50. Tick: P85, by Kaplan–Meier where some are pending. Bold: change orders"
    row = explain.section(reading, "Decision time by reason", words, "C4", "reason")
    frame = reading.answer("C4", "reason").rename({"reason": "label"}).filter(pl.col("n") > 0)
    chosen = charts.chart(
        reading,
        "decisions",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.percentile_ranges(f, axis=f"Submission to decision ({charts.clock(reading, 'C4')} days)"),
        alt="Median and 85th percentile of decision time for each reason",
        at=row,
    )
    charts.rows_behind(reading, "decisions", charts.of_values("C4", "reason", chosen))


def _rework(reading: Reading) -> None:
    hours, attempts = explain.value_words(reading, "C9h"), explain.value_words(reading, "C9")
    words = f"Extra work after an approval that nobody pays for: {hours} of its hours, {attempts} of all attempts"
    row = explain.section(reading, "Free rework by gate", words, "C9v", "gate")
    frame = reading.answer("C9v", "gate").rename({"gate": "label"}).filter(pl.col("n") > 0)
    chosen = charts.chart(
        reading,
        "rework",
        frame.sort("value", descending=True, nulls_last=True).head(SHOWN),
        lambda f: figures.bars(f, axis=f"Value ({reading.currency})", unit="money", currency=reading.currency),
        alt="Value of extra work after approval that no change order covers, by gate",
        at=row,
    )
    charts.rows_behind(reading, "rework", charts.of_values("C9v", "gate", chosen))


def _unapproved(reading: Reading) -> None:
    rows = reading.rows("C5").select(EXPOSED).sort("amount", descending=True, nulls_last=True)
    words = f"Largest first, n = {rows.height:,}"
    row = explain.section(reading, "Work after lock with no approved change order", words, "C5", key="unapproved")
    if rows.is_empty():
        layout.nothing(reading, "No work after a scope lock stands without an approved change order.")
        return
    charts.ledger(reading, rows, key="unapproved", mart="unplanned_work", at=row)


def _pending(reading: Reading) -> None:
    rows = reading.table("change_orders", PENDING, ("status", "=", "pending"), order=("-age_days",))
    words = f"Oldest first, n = {rows.height:,}, whatever the period"
    row = explain.section(reading, "Change orders awaiting a decision", words, "C2p", key="pending")
    if rows.is_empty():
        layout.nothing(reading, "No change order awaits a decision.")
        return
    charts.ledger(reading, rows, key="pending", mart="change_orders", at=row)
