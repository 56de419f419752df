"""Overview, for leadership: how much is approved, how fast, how soon billed; and what needs attention today."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, tiles, timelines
from dashboard.data import Reading
from dashboard.export import Table
from dashboard.numbers import plain, whose
from dashboard.tiles import Tile
from models.measure import Bucket

LEAD = "What was approved, how long it took, and what is waiting to be billed, paid or decided."
LISTED = 10
BUCKETS: tuple[Bucket, ...] = ("week", "month")
EVERYTHING = "All"
COLUMNS = ("kind", "project_id", "what", "client", "project", "amount", "days")


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("F10", "gates", "Gates approved"),
            Tile("F1", "gates"),
            Tile("F8", "gates", "First-pass rate"),
            Tile("B1", "allocations"),
            Tile("B10", "gates and changes"),
            Tile("C2", "projects"),
        ],
    )
    left, right = st.columns([11, 9], gap="large")
    with left:
        _throughput(reading)
        _owed(reading)
    with right:
        _attention(reading)


def _throughput(reading: Reading) -> None:
    words = "Gates finally approved. Empty weeks and months are kept; the pale bar is not over yet"
    row = explain.section(reading, "Throughput", words, "F10", key="throughput")
    bucket = row.segmented_control(
        "Per", BUCKETS, default="week", key="bucket", required=True, label_visibility="collapsed"
    )
    frame = reading.series("F10", bucket).select(pl.col("period").alias("day"), "value", "n")
    last = reading.as_of.date()
    chosen = charts.chart(
        reading,
        "throughput",
        frame,
        lambda f: timelines.over_time(
            f, axis=f"Gates approved per {bucket}", unit="count", width_days=7 if bucket == "week" else 31, partial=last
        ),
        alt=f"Gates finally approved in each {bucket}",
        about=bucket,
        at=row,
    )
    charts.rows_behind(reading, "throughput", charts.buckets("F10", chosen, bucket, reading))


def _owed(reading: Reading) -> None:
    frame = reading.answer("B10", "unbilled_bucket").rename({"unbilled_bucket": "label"})
    words = f"By days since approval, n = {frame['n'].sum():,} gates and change orders, whatever the period"
    row = explain.section(reading, "Approved, not billed", words, "B10", "unbilled_bucket")
    chosen = charts.chart(
        reading,
        "owed",
        frame,
        lambda f: figures.bars(
            f, axis=f"Not billed ({reading.currency})", unit="money", currency=reading.currency,
            warn=("61–90", "over 90"), sign=" days",
        ),
        alt="Amount approved and not billed, by days since approval",
        at=row,
    )  # fmt: skip
    charts.rows_behind(reading, "owed", charts.of_values("B10", "unbilled_bucket", chosen))


def _attention(reading: Reading) -> None:
    found = _found(reading)
    words = "Whatever the period, ranked by amount × days; each row leads to its project"
    row = explain.section(reading, "Needs attention today", words, "B10", key="attention")
    kinds = [EVERYTHING, *found["kind"].unique(maintain_order=True).to_list()]
    kind = st.pills(
        "Kind", kinds, default=EVERYTHING, key="attention", required=True, label_visibility="collapsed", wrap=True
    )
    if kind in kinds and kind != EVERYTHING:
        found = found.filter(pl.col("kind") == kind)
    ranked = found.sort(pl.col("amount") * pl.col("days"), descending=True, nulls_last=True)
    reading.sheets.tables.append(Table("Needs attention", words, ranked))
    charts.as_csv(ranked, key="attention", at=row)
    layout.project_list(
        reading,
        [
            (r["project_id"], f"{r['what'] or 'not described'}", f"{r['kind']} · {whose(r['client'], r['project'])}",
             layout.money(r["amount"], reading) if r["amount"] else "bills nothing", f"{plain(r['days'], 'days')} days")
            for r in ranked.head(LISTED).to_dicts()
        ],
        f"of {ranked.height:,}",
        none="Nothing waits to be billed, paid or decided.",
    )  # fmt: skip


def _found(reading: Reading) -> pl.DataFrame:
    """Everything that waits for somebody, in one shape."""
    labels = ("project_id", "client", "project")
    unbilled = reading.rows("B10").select(
        *labels, pl.coalesce("gate_label", "number").alias("what"), pl.col("age_days").alias("days"), "amount"
    )
    overdue = reading.table(
        "invoices", [*labels, "number", "days_past_due", "open_amount"], ("days_past_due", ">", 0),
        ("open_amount", ">", 0),
    ).select(*labels, pl.format("Invoice {}", "number").alias("what"), pl.col("days_past_due").alias("days"),
             pl.col("open_amount").alias("amount"))  # fmt: skip
    waiting = reading.table(
        "gates", [*labels, "gate_label", "waiting_days", "bills_amount"],
        ("status", "=", "awaiting_decision"), ("approver_side", "=", "client"),
    ).select(*labels, pl.col("gate_label").alias("what"), pl.col("waiting_days").alias("days"),
             pl.col("bills_amount").alias("amount"))  # fmt: skip
    uncovered = reading.table(
        "unplanned_work", [*labels, "description", "exposed_days", "amount"],
        ("is_after_scope_lock", "=", True), ("is_covered", "=", False), ("amount", ">", 0),
    ).select(*labels, pl.col("description").alias("what"), pl.col("exposed_days").alias("days"), "amount")  # fmt: skip
    pending = reading.table(
        "change_orders", [*labels, "title", "age_days", "requested_amount"], ("status", "=", "pending")
    ).select(*labels, pl.col("title").alias("what"), pl.col("age_days").alias("days"),
             pl.col("requested_amount").alias("amount"))  # fmt: skip
    kinds = {"To bill": unbilled, "Overdue": overdue, "With the client": waiting, "No change order": uncovered,
             "Undecided change": pending}  # fmt: skip
    shaped = [
        frame.select(
            pl.lit(kind).alias("kind"), *labels, "what", pl.col("amount").cast(pl.Float64),
            pl.col("days").cast(pl.Float64),
        )
        for kind, frame in kinds.items()
    ]  # fmt: skip
    return pl.concat(shaped).select(COLUMNS)
