"""Hand-offs and documents: how fast work passes from team to team, and which papers were missing."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, tiles
from dashboard.chart_template import ACCENT, OCHRE
from dashboard.charts import Mark
from dashboard.data import Reading
from dashboard.tiles import Tile

LEAD = "How fast work passes from team to team once a gate is approved, and which papers are missing."
OPEN = [
    "project_id", "age_days", "from_team", "to_team", "gate_label", "client", "project", "approved_at", "notified_at",
    "accepted_at", "source_url",
]  # fmt: skip
MISSING = [
    "project_id", "late_days", "type", "gate_label", "client", "project", "submitted_at", "received_at", "expires_on",
    "source_url",
]  # fmt: skip
ARROW = " → "
EDGE = pl.concat_str("from_team", "to_team", separator=ARROW).alias("label")


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("F20", "hand-offs"),
            Tile("F20n", "hand-offs"),
            Tile("F20a", "hand-offs"),
            Tile("F21", "documents"),
            Tile("F21d", "gates"),
        ],
    )
    _latency(reading)
    _steps(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _readiness(reading, "gate", "Document readiness by gate")
    with right:
        _readiness(reading, "document_type", "Document readiness by kind of paper")
    _open(reading)
    _missing(reading)


def _latency(reading: Reading) -> None:
    days = f"{charts.clock(reading, 'F20')} days"
    words = (
        f"{days.capitalize()} from approval to the next team's start; under zero it began early. Dot: P50. Tick: P85. "
        "Bold: n"
    )
    row = explain.section(reading, "Latency from team to team", words, "F20", "from_team", "to_team", key="latency")
    frame = reading.answer("F20", "from_team", "to_team").filter(pl.col("n") > 0).with_columns(EDGE)
    chosen = charts.chart(
        reading,
        "latency",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.percentile_ranges(f, axis=f"Approval to start ({days})"),
        alt="Median and 85th percentile of hand-off latency from team to team",
        at=row,
    )
    charts.rows_behind(reading, "latency", [_edge("F20", one) for one in chosen])


def _edge(measure: str, label: str, words: str = "") -> Mark:
    from_team, _, to_team = label.partition(ARROW)
    return Mark(measure, f"{words} {label}".strip(), {"from_team": (from_team,), "to_team": (to_team,)})


def _steps(reading: Reading) -> None:
    days = f"{charts.clock(reading, 'F20n')} days"
    words = f"P50 {days}: until the next team was told, and from then until it took the work on. Bold: hand-offs"
    row = explain.section(reading, "Where the time goes", words, "F20n", "from_team", "to_team", key="steps")
    told = reading.answer("F20n", "from_team", "to_team").select(EDGE, pl.col("value").alias("notice_days"), "n")
    taken = reading.answer("F20a", "from_team", "to_team").select(EDGE, pl.col("value").alias("acceptance_days"))
    frame = told.join(taken, on="label", how="left", maintain_order="left")
    chosen = charts.chart(
        reading,
        "steps",
        frame.filter(pl.col("notice_days").is_not_null()).sort("notice_days", descending=True),
        lambda f: figures.pairs(
            f,
            axis=f"Median {days}",
            unit="days",
            series=[("notice_days", "until told", ACCENT), ("acceptance_days", "from there until taken on", OCHRE)],
        ),
        alt="Median days until the next team was told, and until it took the work on",
        at=row,
    )
    asked = {"notice_days": ("F20n", "until told,"), "acceptance_days": ("F20a", "until taken on,")}
    marks = [_edge(asked[column][0], label, asked[column][1]) for column, label in map(figures.parts_of, chosen)]
    charts.rows_behind(reading, "steps", marks)


def _readiness(reading: Reading, by: str, title: str) -> None:
    words = "Required documents in hand and valid at the first submission; under 80 % stands out"
    row = explain.section(reading, title, words, "F21", by)
    frame = reading.answer("F21", by).rename({by: "label"}).filter(pl.col("n") > 0).sort("value", nulls_last=True)
    low = frame.filter(pl.col("value") < 80)["label"].to_list()
    chosen = charts.chart(
        reading,
        f"readiness_{by}",
        frame,
        lambda f: figures.bars(f, axis="% of required documents ready", unit="%", warn=low),
        alt=f"Share of required documents that were ready, by {by.replace('_', ' ')}",
        at=row,
    )
    charts.rows_behind(reading, f"readiness_{by}", charts.of_values("F21", by, chosen))


def _open(reading: Reading) -> None:
    rows = reading.table("handoffs", OPEN, ("is_open", "=", True), order=("-age_days",))
    row = layout.section(
        "Not started yet", f"Approved, and the next team has not begun, longest first, n = {rows.height:,}"
    )
    if rows.is_empty():
        layout.nothing(reading, "Every hand-off has been taken up.")
        return
    charts.ledger(reading, rows, key="open_handoffs", mart="handoffs", at=row)


def _missing(reading: Reading) -> None:
    rows = reading.table(
        "gate_documents", MISSING, ("is_missing", "=", True), ("is_required", "=", True), order=("-late_days",)
    )
    words = f"Required, its gate submitted, and never there or expired, longest first, n = {rows.height:,}"
    row = layout.section("Missing papers", words)
    if rows.is_empty():
        layout.nothing(reading, "No required document is missing.")
        return
    charts.ledger(reading, rows, key="missing", mart="gate_documents", names={"type": "Document"}, at=row)
