"""Overview, for leadership: how much is approved, how fast, how soon billed; and what needs attention today."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading
from dashboard.numbers import plain
from models.measure import Bucket

LISTED = 6
BUCKETS: tuple[Bucket, ...] = ("week", "month")


def page(reading: Reading) -> None:
    layout.head(
        reading, "Overview", "What was approved, how long it took, and what is waiting to be billed or decided."
    )
    layout.tiles(
        reading,
        [
            layout.tile(reading, "F10", "gates", "Gates approved"),
            layout.tile(reading, "F1", "gates"),
            layout.tile(reading, "F8", "gates", "First-pass rate"),
            layout.tile(reading, "B1", "allocations"),
            layout.tile(reading, "B10", "gates and change orders"),
            layout.tile(reading, "C2", "projects"),
        ],
    )
    _throughput(reading)
    layout.part("Needs attention")
    owed, waiting, exposed = st.columns(3, gap="large")
    with owed:
        _owed(reading)
    with waiting:
        _waiting(reading)
    with exposed:
        _exposed(reading)


def _throughput(reading: Reading) -> None:
    row = layout.section(
        "Throughput",
        "Gates finally approved. Empty weeks and months are kept; the pale bar is not over yet",
        layout.definition(reading, "F10"),
    )
    bucket = row.segmented_control(
        "Per", BUCKETS, default="week", key="bucket", required=True, label_visibility="collapsed"
    )
    found = reading.series("F10", bucket)
    frame = found.select(pl.col("period").alias("day"), "value", "n")
    last = reading.as_of.date()
    layout.chart(
        reading,
        "throughput",
        frame,
        lambda f: figures.over_time(
            f, axis=f"Gates approved per {bucket}", unit="count", width_days=7 if bucket == "week" else 31, partial=last
        ),
        alt=f"Bars: gates finally approved in each {bucket}",
        about=bucket,
        at=row,
    )


def _owed(reading: Reading) -> None:
    layout.section("Approved, not billed", "Gates, by amount × days since approval", layout.definition(reading, "B10"))
    rows = reading.table(
        "gates",
        ["project_id", "project", "client", "gate_label", "unbilled_amount", "unbilled_days"],
        ("unbilled_amount", ">", 0),
    ).sort(pl.col("unbilled_amount").cast(pl.Float64) * pl.col("unbilled_days"), descending=True, nulls_last=True)
    layout.project_list(
        reading,
        [
            (r["project_id"], r["gate_label"], f"{r['client']} · {r['project']}",
             layout.money(r["unbilled_amount"], reading), f"{plain(r['unbilled_days'], 'days')} days")
            for r in rows.head(LISTED).to_dicts()
        ],
        f"of {rows.height:,} gates",
        none="No approved gate waits to be billed.",
    )  # fmt: skip


def _waiting(reading: Reading) -> None:
    layout.section(
        "Waiting on the client",
        "Gates awaiting the client's decision, longest first",
        layout.column_definition("gates", "waiting_days"),
    )
    rows = reading.table(
        "gates",
        ["project_id", "project", "client", "gate_label", "waiting_days", "bills_amount"],
        ("status", "=", "awaiting_decision"),
        ("approver_side", "=", "client"),
        order=("-waiting_days",),
    )
    layout.project_list(
        reading,
        [
            (r["project_id"], r["gate_label"], f"{r['client']} · {r['project']}",
             f"{plain(r['waiting_days'], 'days')} days",
             f"bills {layout.money(r['bills_amount'], reading)}" if r["bills_amount"] else "bills nothing")
            for r in rows.head(LISTED).to_dicts()
        ],
        f"of {rows.height:,} gates",
        none="No gate waits for a client's decision.",
    )  # fmt: skip


def _exposed(reading: Reading) -> None:
    layout.section(
        "Work after scope lock",
        "With no approved change order, by value; days exposed",
        layout.definition(reading, "C5"),
    )
    rows = reading.rows("C5").sort("amount", descending=True, nulls_last=True)
    layout.project_list(
        reading,
        [
            (r["project_id"], r["description"] or "not described", f"{r['client']} · {r['project']}",
             layout.money(r["amount"], reading), f"{plain(r['exposed_days'], 'days')} days")
            for r in rows.head(LISTED).to_dicts()
        ],
        f"of {rows.height:,} pieces of work",
        none="No such work in the period.",
    )  # fmt: skip
