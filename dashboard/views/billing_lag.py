"""Billing lag, for finance: approved work nobody billed, how long billing takes, and what is owed."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading

OVERDUE = ("1–30", "31–60", "61–90", "over 90")
SHOWN = 20
UNBILLED = [
    "project_id",
    "age_days",
    "amount",
    "gate_label",
    "owed_for",
    "owner_team",
    "client",
    "project",
    "approved_at",
]
EARLY = [
    "project_id",
    "amount",
    "billing_lag_days",
    "gate_label",
    "number",
    "client",
    "project",
    "issued_at",
    "approved_at",
]


def page(reading: Reading) -> None:
    layout.head(reading, "Billing lag", "What is approved and not billed, how long bills take to go out, what is owed.")
    layout.tiles(
        reading,
        [
            layout.tile(reading, "B10", "gates and change orders"),
            layout.tile(reading, "B1", "allocations"),
            layout.tile(reading, "B12", "allocations", "Billed before approval"),
            layout.tile(reading, "B8", "invoices"),
            layout.tile(reading, "B4", "payments and balances"),
        ],
    )
    _unbilled(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _distribution(reading)
    with right:
        _receivables(reading)
    _by_client(reading)
    _early(reading)


def _unbilled(reading: Reading) -> None:
    row = layout.section(
        "Approved, not billed",
        "A mark per gate or change order; the list is oldest first",
        layout.definition(reading, "B10"),
    )
    rows = reading.rows("B10").sort("age_days", descending=True, nulls_last=True)
    if rows.is_empty():
        layout.nothing(reading, "Everything approved has been billed.")
        return
    currency = reading.store.currency
    frame = rows.with_columns(pl.coalesce("gate_label", "number").alias("gate_label")).select(UNBILLED)
    layout.chart(
        reading,
        "unbilled",
        frame,
        lambda f: figures.amount_by_age(
            f, x="Days since approval", y=f"Not billed ({currency}, logarithmic)", currency=currency
        ),
        alt="Amount not billed against days since approval, a mark per gate or change order",
    )
    names = {"owed_for": "For", "owner_team": "Owner", "age_days": "Age (days)", "amount": f"Not billed ({currency})"}
    layout.ledger(reading, frame, key="unbilled", names=names, at=row)


def _distribution(reading: Reading) -> None:
    whole = reading.answer("B1").row(0, named=True)
    words = f"Share of allocations by days from approval, n = {whole['n']:,}. Purple: before approval"
    words += f". The lines count {whole['open_n']:,} unbilled gates so far (Kaplan–Meier)" if whole["open_n"] else ""
    row = layout.section("How long bills take", words, layout.definition(reading, "B1"))
    dots = reading.distribution("B1", figures.MOST_MARKS)
    layout.chart(
        reading,
        "lag",
        dots.select("label", "day", "value"),
        lambda f: figures.histogram(
            f,
            axis="Elapsed days from approval to invoice",
            counted="% of allocations",
            lines={"P50": whole["value"], "P85": whole["p85"]},
        ),
        alt="Distribution of days from approval to invoice",
        at=row,
    )


def _receivables(reading: Reading) -> None:
    frame = reading.answer("B8", "aging_bucket").rename({"aging_bucket": "label"}).filter(pl.col("n") > 0)
    words = f"By days past due as of the snapshot, n = {frame['n'].sum():,} invoices"
    row = layout.section("Open receivables", words, layout.definition(reading, "B8"))
    currency = reading.store.currency
    layout.chart(
        reading,
        "receivables",
        frame,
        lambda f: figures.bars(f, axis=f"Open balance ({currency})", unit="money", currency=currency, warn=OVERDUE),
        alt="Open balance of invoices by days past due",
        at=row,
    )


def _by_client(reading: Reading) -> None:
    found = reading.answer("B1", "client").rename({"client": "label"}).filter(pl.col("n") > 0)
    known = found.filter(pl.col("value").is_not_null()).sort("value", descending=True)
    few = found.height - known.height
    words = "Dot: P50. Tick: P85, by Kaplan–Meier where gates are unbilled. Bold: allocations. Elapsed days"
    words += f". The slowest {SHOWN} of {known.height}" if known.height > SHOWN else ""
    words += f". {few:,} clients have fewer than 6 allocations: too few" if few else ""
    row = layout.section("By client", words, layout.definition(reading, "B1"))
    layout.chart(
        reading,
        "lag_by_client",
        known.head(SHOWN),
        lambda f: figures.percentile_ranges(f, axis="Billing lag (elapsed days)"),
        alt="Median and 85th percentile of billing lag for each client",
        at=row,
    )


def _early(reading: Reading) -> None:
    words = "Allocations whose gate was approved later, or is not approved yet, largest first"
    row = layout.section("Billed before approval", words, layout.definition(reading, "B12"))
    rows = reading.rows("B12")
    if rows.is_empty():
        layout.nothing(reading, "Nothing was billed before its gate's approval.")
        return
    frame = rows.select(EARLY).sort("amount", descending=True)
    names = {"number": "Invoice", "billing_lag_days": "Lag (days)"}
    layout.ledger(reading, frame, key="early", mart="gate_billing", names=names, at=row)
