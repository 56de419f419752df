"""Gate cycle times: how long gates take, who holds them meanwhile, and which open ones are late for their kind."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading

AXIS = "Gate cycle time (elapsed days)"


def page(reading: Reading) -> None:
    layout.head(
        reading, "Gate cycle times", "How long gates take from start to final approval, and who holds them meanwhile."
    )
    layout.tiles(
        reading,
        [
            layout.tile(reading, "F1", "gates"),
            layout.tile(reading, "F6", "gates"),
            layout.tile(reading, "F8", "gates", "First-pass rate"),
            layout.tile(reading, "F9", "gates"),
            layout.tile(reading, "F12", "gates", "Age of open gates"),
        ],
    )
    _by_gate(reading)
    _over_time(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _split(reading)
    with right:
        _aging(reading)
    _by_client(reading)


def _by_gate(reading: Reading) -> None:
    row = layout.section(
        "By gate",
        "Dot: P50. Tick: P85, by Kaplan–Meier where gates are open. Bold: approved gates. Elapsed days",
        layout.definition(reading, "F1"),
    )
    frame = reading.answer("F1", "gate").rename({"gate": "label"}).filter(pl.col("n") > 0)
    layout.chart(
        reading,
        "by_gate",
        frame.sort("value", descending=True, nulls_last=True),
        lambda f: figures.percentile_ranges(f, axis=AXIS),
        alt="Median and 85th percentile of cycle time for each gate",
        at=row,
    )


def _over_time(reading: Reading) -> None:
    whole = reading.answer("F1").row(0, named=True)
    dots = reading.distribution("F1", figures.MOST_MARKS)
    thinned = "" if dots.height == whole["n"] else f", {dots.height:,} of them drawn, evenly by length"
    counted = f". The lines count {whole['open_n']:,} open gates so far (Kaplan–Meier)" if whole["open_n"] else ""
    words = f"A dot per approved gate on the day it began, n = {whole['n']:,}{thinned}{counted}"
    row = layout.section("Finished gates", words, layout.definition(reading, "F1"))
    layout.chart(
        reading,
        "finished",
        dots.select("label", "day", "value"),
        lambda f: figures.finished_over_time(f, axis=AXIS, lines={"P50": whole["value"], "P85": whole["p85"]}),
        alt="Cycle time of each approved gate by the day it began, with the median and 85th percentile",
        at=row,
    )


def _split(reading: Reading) -> None:
    words = "P50 of each per attempt, by the team that brings it to approval. Bold: attempts"
    row = layout.section("Team work and client wait", words, layout.definition(reading, "F5"))
    work = reading.answer("F5", "owner_team").select("owner_team", pl.col("value").alias("work_days"), "n")
    asked = reading.question("F5w", "owner_team", decided_by_side=("client",))
    wait = reading.store.answer(asked).select("owner_team", pl.col("value").alias("client_wait_days"))
    frame = work.join(wait, on="owner_team", how="left", maintain_order="left").rename({"owner_team": "label"})
    layout.chart(
        reading,
        "split",
        frame.filter(pl.col("work_days").is_not_null()).sort("n", descending=True),
        lambda f: figures.pairs(
            f,
            axis="Median elapsed days per attempt",
            unit="days",
            series=[
                ("work_days", "team works", figures.ACCENT),
                ("client_wait_days", "client decides", figures.OCHRE),
            ],
        ),
        alt="Median days of team work and of client wait per attempt, by owning team",
        at=row,
    )


def _aging(reading: Reading) -> None:
    words = "A mark per open gate, against P50, P85 and P95 of approved gates of its kind, whenever approved"
    row = layout.section("Open gates against the past", words, layout.definition(reading, "F12"))
    frame = (
        reading.rows("F12")
        .select(
            "project_id",
            pl.col("gate_label").alias("group"),
            pl.col("age_days").alias("value"),
            pl.concat_str("client", "project", separator=" · ").alias("label"),
        )
        .sort("group", "value", descending=[False, True])
    )
    past = reading.answer("F12p", "gate").rename({"gate": "label"})
    layout.chart(
        reading,
        "aging",
        frame,
        lambda f: figures.open_against_past(f, past, axis="Age (elapsed days)"),
        alt="Age of each open gate against the 50th, 85th and 95th percentile of approved gates of its kind",
        at=row,
    )


def _by_client(reading: Reading) -> None:
    words = "P50 elapsed days from one approval to the next. Under n = 6 each gate's own days stand instead"
    layout.section("Client by phase", words, layout.definition(reading, "F4"))
    counted = reading.answer("F4", "playbook").filter(pl.col("n") > 0).sort("n", descending=True)
    if counted.is_empty():
        layout.nothing(reading)
        return
    named = layout.options_of(reading.store)["playbook"]
    chosen = st.selectbox(
        "Playbook",
        counted["playbook"].to_list(),
        key="phase_playbook",
        format_func=lambda code: named.get(code, code),
        label_visibility="collapsed",
        width=240,
    )
    question = reading.question("F4", "client", "gate", playbook=(chosen,))
    layout.grid(
        reading.store.answer(question).filter(pl.col("n") > 0),
        reading.store.distribution(question, figures.MOST_MARKS),
        row="client",
        column="gate",
        order=reading.gates_in_order(chosen),
        unit="days",
    )
