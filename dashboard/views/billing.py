"""Billing, for finance: approved work nobody billed, how long bills take to go out, and what slipped why."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, tiles
from dashboard.chart_template import ACCENT, MOST_MARKS, OCHRE, SECOND, SOFT, WARN
from dashboard.charts import Mark
from dashboard.data import Reading, catalogue
from dashboard.tiles import Tile

LEAD = "What is approved and not billed, how long bills take to go out, and why planned billing slipped."
SHOWN = 15
AGES = (
    ("0–30", "0–30 days", SOFT),
    ("31–60", "31–60", ACCENT),
    ("61–90", "61–90", OCHRE),
    ("over 90", "over 90", WARN),
)
CAUSES = (
    ("gate late", "gate late", ACCENT),
    ("approved, not invoiced", "approved, not invoiced", WARN),
    ("disputed", "disputed", SECOND),
)
OWNERS = {"client_owner": "client owner", "owner_team": "team", "manager": "manager", "client": "client"}
UNBILLED = [
    "project_id", "age_days", "amount", "gate_label", "owed_for", "client_owner", "owner_team", "manager", "client",
    "project", "approved_at",
]  # fmt: skip
EARLY = [
    "project_id", "amount", "billing_lag_days", "gate_label", "number", "client", "project", "issued_at", "approved_at",
]  # fmt: skip


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("B10", "gates and changes"),
            Tile("B1", "allocations"),
            Tile("B11", "entries"),
            Tile("B13", "gates"),
            Tile("B12", "allocations", "Billed before approval"),
            Tile("B16", "gates"),
        ],
    )
    _by_owner(reading)
    _unbilled(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _distribution(reading)
    with right:
        _slippage(reading)
    _by_client(reading)
    _early(reading)


def _by_owner(reading: Reading) -> None:
    words = f"By days since approval and by who looks after it, in {reading.currency}, whatever the period"
    row = explain.section(reading, "Approved, not billed: whose it is", words, "B10", "client_owner", key="by_owner")
    by = row.segmented_control(
        "By", list(OWNERS), default="client_owner", key="unbilled_by", required=True, format_func=OWNERS.__getitem__,
        label_visibility="collapsed",
    )  # fmt: skip
    by = by or "client_owner"
    whole = reading.answer("B10", by).select(by, pl.col("value").alias("whole"))
    frame = _spread(reading.answer("B10", by, "unbilled_bucket"), by, "unbilled_bucket", [a for a, _, _ in AGES])
    frame = frame.join(whole.rename({by: "label"}), on="label", how="left").sort("whole", descending=True)
    chosen = charts.chart(
        reading,
        "by_owner",
        frame.drop("whole").head(SHOWN),
        lambda f: figures.stacked(
            f, axis=f"Not billed ({reading.currency})", unit="money", parts=AGES, currency=reading.currency
        ),
        alt=f"Amount approved and not billed by {OWNERS[by]}, split by age",
        about=by,
        at=row,
    )
    marks = [
        Mark("B10", f"{owner}, {part} days", {by: (owner,), "unbilled_bucket": (part,)})
        for part, owner in map(figures.parts_of, chosen)
    ]
    charts.rows_behind(reading, "by_owner", marks)


def _spread(answer: pl.DataFrame, by: str, part: str, parts: list[str]) -> pl.DataFrame:
    """An answer by two dimensions as a row per `by` (named label) and a column per part; none is zero."""
    wide = answer.pivot(on=part, index=by, values="value").rename({by: "label"})
    missing = [pl.lit(0.0).alias(name) for name in parts if name not in wide.columns]
    return wide.with_columns(*missing).select("label", *(pl.col(name).fill_null(0.0) for name in parts))


def _unbilled(reading: Reading) -> None:
    rows = reading.rows("B10").sort("age_days", descending=True, nulls_last=True)
    drawn = rows.filter(pl.col("age_days").is_not_null() & (pl.col("amount") > 0)).height
    thinned = f", the {MOST_MARKS} largest drawn" if drawn > MOST_MARKS else ""
    words = f"A mark per gate or change order, n = {rows.height:,}{thinned}; choose one to see it alone. "
    words += "The list is oldest first"
    row = explain.section(reading, "Approved, not billed: each", words, "B10", key="unbilled")
    if rows.is_empty():
        layout.nothing(reading, "Everything approved has been billed.")
        return
    frame = rows.with_columns(pl.coalesce("gate_label", "number").alias("gate_label")).with_row_index("id")
    chosen = charts.chart(
        reading,
        "unbilled",
        frame.select("id", *UNBILLED).sort("amount", descending=True, nulls_last=True, maintain_order=True),
        lambda f: figures.amount_by_age(
            f, x="Days since approval", y=f"Not billed ({reading.currency}, logarithmic)", currency=reading.currency
        ),
        alt="Amount not billed against days since approval, a mark per gate or change order",
    )
    shown = frame.filter(pl.col("id").cast(pl.String).is_in(chosen)) if chosen else frame
    names = {"owed_for": "For", "age_days": "Age (days)", "amount": f"Not billed ({reading.currency})"}
    charts.ledger(reading, shown.select(UNBILLED), key="unbilled", names=names, at=row, title="Approved, not billed")


def _distribution(reading: Reading) -> None:
    whole = reading.row("B1")
    words = f"Share of allocations by days from approval, n = {whole['n']:,}. Purple: before approval"
    words += f". The lines count {whole['open_n']:,} unbilled gates so far (Kaplan–Meier)" if whole["open_n"] else ""
    row = explain.section(reading, "How long bills take", words, "B1")
    dots = reading.distribution("B1", MOST_MARKS)
    chosen = charts.chart(
        reading,
        "lag",
        dots.select("label", "day", "value"),
        lambda f: figures.histogram(
            f,
            axis=f"{charts.clock(reading, 'B1').capitalize()} days from approval to invoice",
            counted="% of allocations",
            lines={"P50": whole["value"], "P85": whole["p85"]},
        ),
        alt="Distribution of days from approval to invoice",
        at=row,
    )
    lag = charts.own_column(reading, catalogue()["B1"], "billing_lag_days")
    marks = []
    for low, high in map(figures.parts_of, chosen):
        within = (pl.col(lag) >= float(low)) & (pl.col(lag) < float(high))
        marks.append(Mark("B1", f"{low} to {high} days", only=within))
    charts.rows_behind(reading, "lag", marks)


def _slippage(reading: Reading) -> None:
    words = "Planned by the baseline to be billed by now and not, by why; gates planned within the period"
    row = explain.section(reading, "Billing slippage by cause", words, "B13", "cause", key="slippage")
    frame = _spread(reading.answer("B13", "owner_team", "cause"), "owner_team", "cause", [c for c, _, _ in CAUSES])
    whole = reading.answer("B13", "owner_team").select(
        pl.col("owner_team").alias("label"), pl.col("value").alias("whole")
    )
    frame = frame.join(whole, on="label", how="left").sort("whole", descending=True).drop("whole")
    chosen = charts.chart(
        reading,
        "slippage",
        frame.head(SHOWN),
        lambda f: figures.stacked(
            f, axis=f"Behind the plan ({reading.currency})", unit="money", parts=CAUSES, currency=reading.currency
        ),
        alt="Planned billing that slipped, by team and cause",
        at=row,
    )
    marks = [
        Mark("B13", f"{team}, {cause}", {"owner_team": (team,), "cause": (cause,)})
        for cause, team in map(figures.parts_of, chosen)
    ]
    charts.rows_behind(reading, "slippage", marks)


def _by_client(reading: Reading) -> None:
    found = reading.answer("B1", "client").rename({"client": "label"}).filter(pl.col("n") > 0)
    known = found.filter(pl.col("value").is_not_null()).sort("value", descending=True)
    few = found.height - known.height
    words = "Dot: P50. Tick: P85, by Kaplan–Meier where gates are unbilled. Bold: allocations"
    words += f". The slowest {SHOWN} of {known.height}" if known.height > SHOWN else ""
    words += f". {few:,} clients have fewer than 6 allocations: too few" if few else ""
    row = explain.section(reading, "Billing lag by client", words, "B1", "client")
    chosen = charts.chart(
        reading,
        "lag_by_client",
        known.head(SHOWN),
        lambda f: figures.percentile_ranges(f, axis=f"Billing lag ({charts.clock(reading, 'B1')} days)"),
        alt="Median and 85th percentile of billing lag for each client",
        at=row,
    )
    charts.rows_behind(reading, "lag_by_client", charts.of_values("B1", "client", chosen))


def _early(reading: Reading) -> None:
    words = "Allocations whose gate was approved later, or is not approved yet, largest first"
    row = explain.section(reading, "Billed before approval", words, "B12", key="early")
    rows = reading.rows("B12")
    if rows.is_empty():
        layout.nothing(reading, "Nothing was billed before its gate's approval.")
        return
    frame = rows.select(EARLY).sort("amount", descending=True)
    names = {"number": "Invoice", "billing_lag_days": "Lag (elapsed days)"}
    charts.ledger(reading, frame, key="early", mart="gate_billing", names=names, at=row)
