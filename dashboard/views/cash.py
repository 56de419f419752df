"""Cash: what clients owe and for how long, how well it is collected, and the way from a gate to its money."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, tiles, timelines
from dashboard.chart_template import ACCENT, GOOD, MUTED, OCHRE, SECOND, SOFT, WARN
from dashboard.charts import Mark
from dashboard.data import Reading, catalogue
from dashboard.numbers import day
from dashboard.tiles import Tile
from dashboard.waterfalls import placed

LEAD = "What clients owe and since when, how well it is collected, and the way from a gate to its money."
SHOWN = 15
AGES = (
    ("not due", "not due", SOFT), ("1–30", "1–30 days past due", ACCENT), ("31–60", "31–60", OCHRE),
    ("61–90", "61–90", SECOND), ("over 90", "over 90", WARN), ("unapplied", "unapplied credit", GOOD),
    ("retained", "retained", MUTED),
)  # fmt: skip
PARTS = (
    ("firm_days", "with the firm", ACCENT), ("client_wait_days", "with the client", OCHRE),
    ("billing_lag_days", "not billed", WARN), ("payment_days", "not paid", SECOND),
)  # fmt: skip
GATES = ["label", "cash_cycle_days", *(name for name, _, _ in PARTS), "bills_amount", "project_id", "gate_id"]
OPEN = [
    "project_id", "days_past_due", "open_amount", "number", "client", "project", "aging_bucket", "issued_at", "due_on",
    "is_disputed", "source_url",
]  # fmt: skip
HELD = ["project_id", "client", "project", "first_retained_at", "held_amount", "held_amount_local", "currency"]
ENDS = ("opening", "closing")


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("B8", "invoices"),
            Tile("B5", "entries", "DSO"),
            Tile("B6", "entries", "DSO, counted back"),
            Tile("B9", "entries", "Collection (CEI)"),
            Tile("B4", "payments", "Days late"),
            Tile("B14", "balances"),
        ],
    )
    _aging(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _dso(reading)
    with right:
        _roll_forward(reading)
    _to_cash(reading)
    _open(reading)
    _retained(reading)


def _aging(reading: Reading) -> None:
    words = f"By days past due at the end of {day(reading.as_of)}, credits apart; choose another day above to rewind"
    row = explain.section(reading, "Receivables by age", words, "B8", "aging_bucket")
    by = row.segmented_control(
        "By", ["all", "client", "manager"], default="all", key="aging_by", required=True, label_visibility="collapsed"
    )
    if by in (None, "all"):
        frame = reading.answer("B8", "aging_bucket").rename({"aging_bucket": "label"}).filter(pl.col("n") > 0)
        overdue = [name for name, _, _ in AGES[1:5]]
        chosen = charts.chart(
            reading,
            "aging",
            frame,
            lambda f: figures.bars(
                f,
                axis=f"Open balance ({reading.currency})",
                unit="money",
                currency=reading.currency,
                warn=overdue,
                sign=" days",
            ),
            alt="Open balance of invoices by days past due",
            at=row,
        )
        charts.rows_behind(reading, "aging", charts.of_values("B8", "aging_bucket", chosen))
        return
    whole = reading.answer("B8", by).select(pl.col(by).alias("label"), pl.col("value").alias("whole"))
    wide = reading.answer("B8", by, "aging_bucket").pivot(on="aging_bucket", index=by, values="value")
    kept = [name for name, _, _ in AGES]
    missing = [pl.lit(0.0).alias(name) for name in kept if name not in wide.columns]
    frame = wide.with_columns(*missing).rename({by: "label"}).select("label", *(pl.col(c).fill_null(0.0) for c in kept))
    ranked = frame.join(whole, on="label", how="left").sort("whole", descending=True).drop("whole").head(SHOWN)
    chosen = charts.chart(
        reading,
        "aging_by",
        ranked,
        lambda f: figures.stacked(
            f, axis=f"Open balance ({reading.currency})", unit="money", parts=AGES, currency=reading.currency
        ),
        alt=f"Open balance by {by} and days past due",
        about=by,
        at=row,
    )
    marks = [
        Mark("B8", f"{name}, {part}", {by: (name,), "aging_bucket": (part,)})
        for part, name in map(figures.parts_of, chosen)
    ]
    charts.rows_behind(reading, "aging_by", marks)


def _dso(reading: Reading) -> None:
    words = "By month. Best possible: were nothing overdue. Counted back: days whose sales receivables stand for"
    row = explain.section(reading, "Days sales outstanding", words, "B5", key="dso")
    named = (("B5", "dso_days"), ("B6", "counted_back_days"), ("B7", "best_days"))
    frame = reading.series("B5", "month").select(pl.col("period").alias("day"), "n")
    for measure, column in named:
        found = reading.series(measure, "month").select(pl.col("period").alias("day"), pl.col("value").alias(column))
        frame = frame.join(found, on="day", how="full", coalesce=True)
    chosen = charts.chart(
        reading,
        "dso",
        frame.sort("day"),
        lambda f: timelines.lines_over_time(
            f, axis="Days", unit="days",
            series=[("dso_days", "DSO", ACCENT), ("counted_back_days", "counted back", OCHRE),
                    ("best_days", "best possible", GOOD)],
        ),
        alt="Days sales outstanding by month, simple, counted back and best possible",
        at=row,
    )  # fmt: skip
    asked = {column: (measure, "entries of") for measure, column in named}
    marks = [
        replace(mark, only=pl.col("occurred_on") >= mark.span[0], first=("occurred_on", "amount"))
        for mark in charts.months(reading, chosen, asked)
        if mark.span
    ]
    charts.rows_behind(reading, "dso", marks)


def _roll_forward(reading: Reading) -> None:
    found = reading.answer("B17")
    words = "From what was owed before the period to what is owed at its end; every step adds up"
    row = explain.section(reading, "Receivables roll-forward", words, "B17", key="roll_forward")
    chosen = charts.chart(
        reading,
        "roll_forward",
        placed(found.select(pl.col("step").alias("label"), "value", "n"), ENDS),
        lambda f: figures.waterfall(f, axis=reading.currency, currency=reading.currency),
        alt="Opening receivables, what was invoiced, credited, paid and written off, and closing receivables",
        at=row,
    )
    charts.rows_behind(reading, "roll_forward", [_step(reading, step) for step in chosen])


def _step(reading: Reading, step: str) -> Mark:
    """The entries that a step of the roll-forward adds up."""
    since = reading.span()[0] or reading.as_of.date() - timedelta(days=(catalogue()["B17"].window or 1) - 1)
    within = pl.col("occurred_on") >= since
    only = {"Opening": ~within, "Closing": pl.lit(value=True)}.get(step)
    kinds = {"Retained and released": ("retained", "released")}.get(step, (step.lower().replace(" ", "_"),))
    only = within & pl.col("kind").is_in(kinds) if only is None else only
    return Mark("B17", step, only=only, first=("amount", "occurred_on"))


def _to_cash(reading: Reading) -> None:
    paid = reading.rows("B3p").with_columns(
        pl.concat_str("client", "gate_label", separator=" · ").alias("label")
    ).sort("cash_cycle_days", descending=True, nulls_last=True)  # fmt: skip
    words = f"Days from start to money, a bar per gate paid in full; the {SHOWN} slowest of {paid.height:,}"
    row = explain.section(reading, "Gate to cash", words, "B3p", key="to_cash")
    chosen = charts.chart(
        reading,
        "to_cash",
        paid.select(GATES).rename({"gate_id": "id"}).head(SHOWN),
        lambda f: figures.stacked(f, axis="Elapsed days", unit="days", parts=PARTS),
        alt="Days of each paid gate with the firm, with the client, not billed and not paid",
        at=row,
    )
    ids = [gate for _, gate in map(figures.parts_of, chosen)]
    columns = tuple(name for name, _, _ in PARTS)
    marks = (
        [Mark("B3p", "the gate chosen", {"gate_id": tuple(ids)}, first=("cash_cycle_days", *columns))] if ids else []
    )
    charts.rows_behind(reading, "to_cash", marks)


def _open(reading: Reading) -> None:
    rows = reading.table(
        "invoices", OPEN, ("open_amount", "<>", 0), ("is_billed", "=", True), order=("-days_past_due",)
    )
    row = explain.section(reading, "Open invoices", f"Longest overdue first, n = {rows.height:,}", "B8", key="open")
    if rows.is_empty():
        layout.nothing(reading, "No invoice is open.")
        return
    names = {"days_past_due": "Past due (days)", "number": "Invoice", "aging_bucket": "Bucket"}
    charts.ledger(reading, rows, key="open_invoices", mart="invoices", names=names, at=row)


def _retained(reading: Reading) -> None:
    rows = reading.table("retained_balances", HELD, ("held_amount", ">", 0), order=("-held_amount",))
    words = f"Held back from invoices and not released; not overdue before its release, n = {rows.height:,}"
    row = explain.section(reading, "Retainage", words, "B14", key="retained")
    if rows.is_empty():
        layout.nothing(reading, "Nothing is held back.")
        return
    charts.ledger(reading, rows, key="retainage", mart="retained_balances", at=row)
