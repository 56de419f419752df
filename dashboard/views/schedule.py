"""Schedule: what was planned against what happened, how forecasts moved, and what is overdue."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, picking, tiles, timelines
from dashboard.chart_template import ACCENT, MOST_LINES, OCHRE
from dashboard.data import Reading
from dashboard.numbers import plural, whose
from dashboard.tiles import Tile

LEAD = "What was planned against what happened, how forecasts moved since, and what is overdue."
SHOWN = 22
GATES = [
    "gate_id", "project_id", "client", "project", "gate_label", "started_at", "approved_at", "baseline_on", "due_on",
]  # fmt: skip
PLANS = ["project_id", "gate_label", "recorded_at", "version", "due_on", "moved_days", "is_baseline", "reason"]
OVERDUE = [
    "project_id", "schedule_variance_days", "gate_label", "client", "project", "owner_team", "status", "baseline_on",
    "due_on", "plan_change_count", "source_url",
]  # fmt: skip


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("S2", "gates due", "On-time rate"),
            Tile("S2b", "gates due", "On time vs baseline"),
            Tile("S1", "gates", "Schedule variance"),
            Tile("S5", "changes"),
            Tile("S5l", "changes", "Moved later"),
            Tile("S6", "projects"),
        ],
    )
    _portfolio(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _on_time(reading)
    with right:
        _changes(reading)
    _trend(reading)
    _overdue(reading)


def _portfolio(reading: Reading) -> None:
    active = reading.table(
        "projects", ["project_id", "kickoff_at"], ("status", "=", "active"), order=("-kickoff_at", "project_id")
    )
    shown = active.head(SHOWN)
    words = "Full: approved. Hollow: planned. Crossed: overdue. Grey tick: baseline. Days in UTC. "
    words += f"The {shown.height:,} latest of {active.height:,} active projects, by kickoff"
    row = explain.section(reading, "Plan and progress", words, "S1", key="portfolio")
    gates = reading.table(
        "gates", GATES, ("project_id", "in", shown["project_id"].to_list()), ("status", "<>", "waived")
    )
    frame = charts.told_apart(shown.join(gates, on="project_id", how="inner", maintain_order="left"))
    chosen = charts.chart(
        reading,
        "portfolio",
        frame.drop("kickoff_at"),
        lambda f: timelines.portfolio(f, as_of=reading.as_of),
        alt="Each active project's gates on a time line: baseline, planned, approved and overdue",
        at=row,
    )
    charts.gates_behind(reading, "portfolio", chosen)


def _on_time(reading: Reading) -> None:
    words = "By month in which gates fell due; against the plan now in force, and against the baseline"
    row = explain.section(reading, "On time", words, "S2")
    now = reading.months("S2").select(pl.col("period").alias("day"), pl.col("value").alias("plan_pct"), "n")
    first = reading.months("S2b").select(pl.col("period").alias("day"), pl.col("value").alias("baseline_pct"))
    chosen = charts.chart(
        reading,
        "on_time",
        now.join(first, on="day", how="full", coalesce=True).sort("day"),
        lambda f: timelines.lines_over_time(
            f, axis="% of gates due", unit="%",
            series=[("plan_pct", "vs plan", ACCENT), ("baseline_pct", "vs baseline", OCHRE)],
        ),
        alt="Share of gates approved by their date, by month",
        at=row,
    )  # fmt: skip
    asked = {"plan_pct": ("S2", "due by the plan"), "baseline_pct": ("S2b", "due by the baseline")}
    charts.rows_behind(reading, "on_time", charts.months(reading, chosen, asked))


def _changes(reading: Reading) -> None:
    frame = reading.answer("S5", "reason").rename({"reason": "label"}).filter(pl.col("n") > 0)
    pushed, added = explain.value_words(reading, "S5p"), explain.value_words(reading, "S5a")
    words = f"After the baseline, by reason. {pushed} of commitments pushed out of the period, {added} gates added"
    row = explain.section(reading, "Plan changes", words, "S5", "reason")
    chosen = charts.chart(
        reading,
        "plan_changes",
        frame.sort("value", descending=True, nulls_last=True).head(12),
        lambda f: figures.bars(f, axis="Changes of a planned date", unit="count", warn=("no reason",)),
        alt="Number of plan changes for each reason",
        at=row,
    )
    charts.rows_behind(reading, "plan_changes", charts.of_values("S5", "reason", chosen))


def _trend(reading: Reading) -> None:
    moved = reading.table(
        "gate_trends",
        ["project_id", "client", "project", "slip_days"],
        ("forecast_count", ">", 1),
        order=("-slip_days",),
    )
    words = "A line per gate: level where its date held, climbing where it slips, a diamond where it was approved"
    row = explain.section(reading, "Milestone trend", words, "S4", key="trend")
    if moved.is_empty():
        layout.nothing(reading, "No gate's forecast date ever moved.")
        return
    projects = moved.unique("project_id", maintain_order=True)
    found = {r["project_id"]: whose(r["client"], r["project"]) for r in projects.to_dicts()}
    names = picking.offered(found, "trend_project", "projects", (st.session_state.get("trend_project"),))
    project = st.selectbox(
        "Project", list(names), key="trend_project", format_func=names.__getitem__, label_visibility="collapsed",
        help="The project whose forecast slipped most stands first",
    )  # fmt: skip
    frame = _forecasts(reading, str(project))
    gates = frame["gate"].unique(maintain_order=True).head(MOST_LINES).to_list()
    chosen = charts.chart(
        reading,
        "trend",
        frame.filter(pl.col("gate").is_in(gates)),
        lambda f: timelines.forecasts(f, gates=gates),
        alt="Forecast date of each gate by the day it was reported",
        about=project,
        at=row,
    )
    if chosen:
        plans = reading.of_project("gate_plans", PLANS, str(project), ("gate_label", "recorded_at"))
        mine = plans.filter(pl.col("gate_label").is_in(chosen))
        below = layout.section(f"Behind {' and '.join(chosen)}", f"{plural(mine.height, 'report')} of its date")
        charts.ledger(reading, mine, key="behind_trend", mart="gate_plans", at=below, title="")


def _forecasts(reading: Reading, project_id: str) -> pl.DataFrame:
    """Every report of a gate's date, and the day it was approved as the last; the gates that moved most first."""
    plans = reading.of_project("gate_plans", ["gate_label", "recorded_at", "due_on"], project_id, ("recorded_at",))
    ends = reading.of_project("gate_trends", ["gate_label", "actual_on", "slip_days"], project_id, ("-slip_days",))
    reports = plans.select(
        pl.col("gate_label").alias("gate"), pl.col("recorded_at").cast(pl.Date).alias("reported_on"),
        pl.col("due_on").alias("forecast_on"), pl.lit(value=False).alias("is_actual"),
    )  # fmt: skip
    actual = ends.filter(pl.col("actual_on").is_not_null()).select(
        pl.col("gate_label").alias("gate"), pl.col("actual_on").alias("reported_on"),
        pl.col("actual_on").alias("forecast_on"), pl.lit(value=True).alias("is_actual"),
    )  # fmt: skip
    order = ends.select(pl.col("gate_label").alias("gate")).unique(maintain_order=True)
    return order.join(pl.concat([reports, actual]), on="gate", how="inner", maintain_order="left")


def _overdue(reading: Reading) -> None:
    rows = reading.table("gates", OVERDUE, ("is_overdue", "=", True), order=("due_on",))
    words = f"Open after the date planned now, longest first, n = {rows.height:,}"
    row = explain.section(reading, "Overdue", words, "S1", key="overdue")
    if rows.is_empty():
        layout.nothing(reading, "No gate is open after its planned date.")
        return
    names = {"schedule_variance_days": "Behind baseline (days)", "plan_change_count": "Date changes"}
    charts.ledger(reading, rows, key="overdue", mart="gates", names=names, at=row)
