"""Billing lag, for finance: approved work nobody billed, how long billing takes, and what is owed."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading

OVERDUE = ("1–30", "31–60", "61–90", "over 90")


def page(reading: Reading) -> None:
    layout.head(
        reading,
        "Billing lag",
        "Work that is approved and not billed, how long bills take to go out, and what is still owed.",
    )
    layout.tiles(
        reading,
        [
            layout.tile(reading, "B10", "gates and change orders"),
            layout.tile(reading, "B1", "allocations"),
            layout.tile(reading, "B12", "allocations"),
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
    layout.section("Approved, not billed", "Oldest first; a mark per gate or change order", reading, "B10")
    rows = reading.aged(reading.rows("B10"), "approved_at").sort("age_days", descending=True, nulls_last=True)
    if rows.is_empty():
        layout.nothing(reading, "Everything approved has been billed.")
        return
    frame = rows.select(
        "project_id", "client", "project", pl.col("gate_label").fill_null(pl.col("number")), "owed_for",
        "owner_team", "approved_at", "age_days", "amount",
    )  # fmt: skip
    layout.chart(
        reading,
        "unbilled",
        frame,
        lambda f: figures.amount_by_age(
            f, x="Days since approval", y=f"Not billed ({reading.store.currency})", currency=reading.store.currency
        ),
        alt="Amount not billed against days since approval, a mark per gate or change order",
        data=False,
    )
    layout.ledger(
        reading, frame, key="unbilled", names={"owed_for": "For", "owner_team": "Owner", "age_days": "Age (days)"}
    )


def _distribution(reading: Reading) -> None:
    whole = reading.answer("B1").row(0, named=True)
    dots = reading.distribution("B1", figures.MOST_MARKS)
    layout.section(
        "How long bills take", f"Share of allocations, n = {whole['n']:,}; purple: before approval", reading, "B1"
    )
    layout.chart(
        reading,
        "lag",
        dots.select("label", "day", "value"),
        lambda f: figures.histogram(
            f,
            axis="Days from approval to invoice",
            counted="% of allocations",
            lines={"P50": whole["value"], "P85": whole["p85"]},
        ),
        alt="Distribution of days from approval to invoice",
    )


def _receivables(reading: Reading) -> None:
    frame = reading.answer("B8", "aging_bucket").rename({"aging_bucket": "label"})
    n = frame["n"].sum()
    layout.section("Open receivables", f"Days past due at the snapshot's clock, n = {n:,} invoices", reading, "B8")
    currency = reading.store.currency
    layout.chart(
        reading,
        "receivables",
        frame.filter(pl.col("n") > 0),
        lambda f: figures.bars(f, axis=f"Open balance ({currency})", unit="money", currency=currency, warn=OVERDUE),
        alt="Open balance of invoices by days past due",
    )


def _by_client(reading: Reading) -> None:
    layout.section(
        "By client", "Dot: P50, tick: P85, in days from approval to invoice. Bold: allocations", reading, "B1"
    )
    frame = reading.answer("B1", "client").rename({"client": "label"}).filter(pl.col("n") > 0)
    known = frame.filter(pl.col("value").is_not_null()).sort("value", descending=True)
    few = frame.height - known.height
    layout.chart(
        reading,
        "lag_by_client",
        known,
        lambda f: figures.percentile_ranges(f, axis="Billing lag (elapsed days)"),
        alt="Median and 85th percentile of billing lag for each client",
    )
    if few:
        layout.caption(f"{few:,} more clients have fewer than 6 allocations: too few for a median")


def _early(reading: Reading) -> None:
    layout.section(
        "Billed before approval", "Invoice lines whose gate was approved later, or is not approved yet", reading, "B12"
    )
    rows = reading.rows("B12")
    if rows.is_empty():
        layout.nothing(reading, "Nothing was billed before its gate's approval.")
        return
    columns = [
        "project_id",
        "client",
        "project",
        "gate_label",
        "number",
        "issued_at",
        "approved_at",
        "billing_lag_days",
        "amount",
    ]
    layout.ledger(reading, rows.select(columns).sort("amount", descending=True), key="early", mart="gate_billing",
                  names={"number": "Invoice", "billing_lag_days": "Lag (days)"})  # fmt: skip
