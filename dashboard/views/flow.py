"""Flow: how long gates take, which open ones are late for their kind, and where work and waiting go."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, tiles, timelines
from dashboard.chart_template import ACCENT, GOOD, MOST_LINES, MOST_MARKS, OCHRE, SOFT, WARN
from dashboard.charts import Mark
from dashboard.data import Reading
from dashboard.numbers import day
from dashboard.tiles import Tile
from models.measure import Bucket

LEAD = "How long gates take from start to final approval, which open ones are late, and who holds them meanwhile."
BUCKETS: tuple[Bucket, ...] = ("week", "month")
WITH_OPEN, FINISHED = "open gates too", "finished gates alone"
BY = {"playbook": "playbook", "owner_team": "team", "firm": "firm"}
STATES = (("approved", "approved", ACCENT), ("awaiting_decision", "submitted", SOFT), ("in_progress", "started", OCHRE))


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("F1", "gates"),
            Tile("F12", "open gates", "Age of open gates"),
            Tile("F8", "gates", "First-pass rate"),
            Tile("F9", "gates"),
            Tile("F6", "gates"),
            Tile("F11", "gates"),
        ],
    )
    _finished(reading)
    _aging(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _throughput(reading)
        _split(reading)
    with right:
        _cumulative(reading)
        _first_pass(reading)
    _survival(reading)
    _by_gate(reading)


def _finished(reading: Reading) -> None:
    dots = reading.distribution("F1", MOST_MARKS)
    whole, alone = reading.row("F1"), reading.row("F12p")
    thinned = "" if dots.height == whole["n"] else f", {dots.height:,} of them drawn, evenly by length"
    words = f"A dot per approved gate on the day it began, n = {whole['n']:,}{thinned}. Choose a dot to see its gate"
    row = explain.section(reading, "Cycle times", words, "F1", key="finished")
    counted = WITH_OPEN
    if charts.clock(reading, "F1") == "elapsed":  # of finished gates alone only elapsed days are told
        counted = row.segmented_control(
            "Lines count", [WITH_OPEN, FINISHED], default=WITH_OPEN, key="lines", required=True,
            label_visibility="collapsed", help="With open gates so far (Kaplan–Meier), or without, whenever approved",
        ) or WITH_OPEN  # fmt: skip
    of = whole if counted == WITH_OPEN else alone
    lines = {"P50": of["value"], "P85": of["p85"], "P95": of["p95"]}
    chosen = charts.chart(
        reading,
        "finished",
        dots.select("id", "label", "day", "value"),
        lambda f: timelines.finished_over_time(f, axis=_axis(reading), lines=lines),
        alt="Cycle time of each approved gate by the day it began, with percentiles",
        about=counted,
        at=row,
    )
    charts.gates_behind(reading, "finished", chosen)


def _axis(reading: Reading) -> str:
    return f"Gate cycle time ({charts.clock(reading, 'F1')} days)"


def _aging(reading: Reading) -> None:
    frame = (
        reading.rows("F12")
        .select(
            "project_id",
            pl.col("gate_id").alias("id"),
            pl.col("gate_label").alias("group"),
            pl.col("age_days").alias("value"),
            pl.when(pl.col("project").str.contains(pl.col("client"), literal=True))
            .then("project")
            .otherwise(pl.concat_str("client", "project", separator=" · "))
            .alias("label"),
        )
        .sort("group", "value", descending=[False, True])
    )
    most = MOST_MARKS // max(1, frame["group"].n_unique())
    drawn = frame.group_by("group", maintain_order=True).head(most) if frame.height > MOST_MARKS else frame
    words = "A mark per open gate against P50, P85, P95 of approved gates of its kind, whenever approved. Elapsed days"
    words += f". {drawn.height:,} of {frame.height:,} drawn, the oldest of each kind" if drawn is not frame else ""
    row = explain.section(reading, "Open gates against the past", words, "F12")
    past = reading.answer("F12p", "gate").rename({"gate": "label"})
    chosen = charts.chart(
        reading,
        "aging",
        drawn,
        lambda f: figures.open_against_past(f, past, axis="Age (elapsed days)"),
        alt="Age of each open gate against percentiles of approved gates of its kind",
        at=row,
    )
    charts.gates_behind(reading, "aging", chosen)


def _throughput(reading: Reading) -> None:
    words = "Gates finally approved, empty weeks kept; the pale bar is not over yet"
    row = explain.section(reading, "Throughput", words, "F10")
    bucket = row.segmented_control(
        "Per", BUCKETS, default="week", key="bucket", required=True, label_visibility="collapsed"
    )
    last = reading.as_of.date()
    chosen = charts.chart(
        reading,
        "throughput",
        reading.series("F10", bucket).select(pl.col("period").alias("day"), "value", "n"),
        lambda f: timelines.over_time(
            f, axis=f"Gates approved per {bucket}", unit="count", width_days=7 if bucket == "week" else 31, partial=last
        ),
        alt=f"Gates finally approved in each {bucket}",
        about=bucket,
        at=row,
    )
    charts.rows_behind(reading, "throughput", charts.buckets("F10", chosen, bucket, reading))


def _cumulative(reading: Reading) -> None:
    words = "Gates that had reached a state by the end of each week; the space between bands is work in progress"
    row = explain.section(reading, "Cumulative flow", words, "F16", "state", key="cumulative")
    found = reading.series("F16", "week", "state")
    columns = [column for column, _, _ in STATES]
    frame = (
        found.filter(pl.col("state").is_in(columns))
        .pivot(on="state", index="period", values="value")
        .rename({"period": "day"})
        .sort("day")
    )
    for column in columns:
        if column not in frame.columns:
            frame = frame.with_columns(pl.lit(0.0).alias(column))
    chosen = charts.chart(
        reading,
        "cumulative",
        frame.select("day", *columns),
        lambda f: timelines.bands_over_time(f, axis="Gates, added up", bands=STATES),
        alt="Gates that had been started, submitted and approved by the end of each week",
        at=row,
    )
    named = {column: words for column, words, _ in STATES}
    marks = []
    for state, monday in map(figures.parts_of, chosen):
        until = charts.bucket(reading, monday, "week")[1]
        marks.append(
            Mark("F16", f"{named[state]} by {day(until)}", {"state": (state,)}, (None, until), first=("entered_on",))
        )
    charts.rows_behind(reading, "cumulative", marks)


def _split(reading: Reading) -> None:
    words = "P50 of each per attempt, by the team that brings it to approval. Bold: attempts"
    row = explain.section(reading, "Team work and client wait", words, "F5", "owner_team")
    work = reading.answer("F5", "owner_team").select("owner_team", pl.col("value").alias("work_days"), "n")
    wait = reading.answer("F5w", "owner_team", decided_by_side=("client",)).select(
        "owner_team", pl.col("value").alias("client_wait_days")
    )
    frame = work.join(wait, on="owner_team", how="left", maintain_order="left").rename({"owner_team": "label"})
    chosen = charts.chart(
        reading,
        "split",
        frame.filter(pl.col("work_days").is_not_null()).sort("n", descending=True),
        lambda f: figures.pairs(
            f,
            axis=f"Median {charts.clock(reading, 'F5')} days per attempt",
            unit="days",
            series=[("work_days", "team works", ACCENT), ("client_wait_days", "client decides", OCHRE)],
        ),
        alt="Median days of team work and of client wait per attempt, by owning team",
        at=row,
    )
    marks = [
        Mark("F5", f"work of {team}", {"owner_team": (team,)})
        if column == "work_days"
        else Mark("F5w", f"wait for {team}", {"owner_team": (team,), "decided_by_side": ("client",)})
        for column, team in map(figures.parts_of, chosen)
    ]
    charts.rows_behind(reading, "split", marks)


def _first_pass(reading: Reading) -> None:
    words = "By month of the decision; rework: approved gates that took more than one attempt"
    row = explain.section(reading, "First pass and rework", words, "F8", key="first_pass")
    first = reading.months("F8").select(pl.col("period").alias("day"), pl.col("value").alias("first_pass_pct"), "n")
    again = reading.months("F9").select(pl.col("period").alias("day"), pl.col("value").alias("rework_pct"))
    chosen = charts.chart(
        reading,
        "first_pass",
        first.join(again, on="day", how="full", coalesce=True).sort("day"),
        lambda f: timelines.lines_over_time(
            f, axis="% of gates", unit="%",
            series=[("first_pass_pct", "first pass", GOOD), ("rework_pct", "reworked", WARN)],
        ),
        alt="First-pass rate and rework share by month",
        at=row,
    )  # fmt: skip
    asked = {"first_pass_pct": ("F8", "first decided"), "rework_pct": ("F9", "approved")}
    charts.rows_behind(reading, "first_pass", charts.months(reading, chosen, asked))


def _survival(reading: Reading) -> None:
    words = "Share of started gates not approved yet, after so many days; waived and cancelled ones never are. A mark "
    words += "where half are done"
    row = explain.section(reading, "Time to approval", words, "F18", key="survival")
    by = row.segmented_control(
        "By", list(BY), default="playbook", key="survival_by", required=True, format_func=BY.__getitem__,
        label_visibility="collapsed",
    )  # fmt: skip
    by = by or "playbook"
    named = layout.options_of(reading.store)["playbook"]
    largest = reading.counts("F18", by)[by].head(MOST_LINES).to_list()
    frame = reading.curve("F18", by).filter(pl.col(by).is_in(largest)).with_columns(pl.col(by).replace(dict(named)))
    chosen = charts.chart(
        reading,
        "survival",
        charts.thinned(frame, by, "time"),
        lambda f: figures.survival(f, axis="Elapsed days since the gate's start", group=by),
        alt=f"Share of gates not approved yet by days since their start, by {BY[by]}",
        about=by,
        at=row,
    )
    codes = {words: code for code, words in named.items()} if by == "playbook" else {}
    marks = [Mark("F18", one, {by: (codes.get(one, one),)}) for one in chosen]
    charts.rows_behind(reading, "survival", marks)


def _by_gate(reading: Reading) -> None:
    words = "Dot: P50. Tick: P85, by Kaplan–Meier where gates are open. Bold: approved gates"
    row = explain.section(reading, "By gate", words, "F1", "gate")
    frame = reading.answer("F1", "gate").rename({"gate": "label"}).filter(pl.col("n") > 0)
    chosen = charts.chart(
        reading,
        "by_gate",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.percentile_ranges(f, axis=_axis(reading)),
        alt="Median and 85th percentile of cycle time for each gate",
        at=row,
    )
    charts.rows_behind(reading, "by_gate", charts.of_values("F1", "gate", chosen))
