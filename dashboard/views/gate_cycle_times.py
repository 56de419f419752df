"""Gate cycle times: how long each gate takes, where the time goes, and which open gates are already late for their kind."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import figures, layout
from dashboard.data import Reading

DOTS = figures.MOST_MARKS


def page(reading: Reading) -> None:
    layout.head(
        reading,
        "Gate cycle times",
        "How long gates take from start to final approval, in elapsed days; who holds them meanwhile.",
    )
    layout.tiles(
        reading,
        [
            layout.tile(reading, "F1", "gates"),
            layout.tile(reading, "F6", "gates"),
            layout.tile(reading, "F8", "gates"),
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
    layout.section("By gate", "Dot: P50, tick: P85, in elapsed days. Bold: number of approved gates", reading, "F1")
    frame = reading.answer("F1", "gate").rename({"gate": "label"}).sort("value", descending=True, nulls_last=True)
    layout.chart(
        reading,
        "by_gate",
        frame.filter(pl.col("n") > 0),
        lambda f: figures.percentile_ranges(f, axis="Gate cycle time (elapsed days)"),
        alt="Median and 85th percentile of cycle time for each gate",
    )


def _over_time(reading: Reading) -> None:
    whole = reading.answer("F1").row(0, named=True)
    dots = reading.distribution("F1", DOTS)
    shown = "" if dots.height == whole["n"] else f"; {dots.height:,} of them drawn, evenly by length"
    layout.section("Finished gates", f"A dot per approved gate on the day of its approval, n = {whole['n']:,}{shown}")
    frame = dots.select(pl.col("day").alias("at"), "value", "label")
    layout.chart(
        reading,
        "finished",
        frame,
        lambda f: figures.finished_over_time(
            f, axis="Gate cycle time (elapsed days)", lines={"P50": whole["value"], "P85": whole["p85"]}
        ),
        alt="Cycle time of each approved gate by day of approval, with the median and 85th percentile",
    )


def _split(reading: Reading) -> None:
    layout.section(
        "Work and client wait", "P50 days per approved gate, by who brings it to approval. Bold: gates", reading, "F5"
    )
    work = reading.answer("F5", "owner_team").select("owner_team", pl.col("value").alias("work_days"), "n")
    wait = reading.answer("F5w", "owner_team").select("owner_team", pl.col("value").alias("client_wait_days"))
    frame = (
        work.join(wait, on="owner_team", how="left", maintain_order="left")
        .rename({"owner_team": "label"})
        .filter(pl.col("work_days").is_not_null())
        .sort("n", descending=True)
    )
    series = [("work_days", "team works", figures.ACCENT), ("client_wait_days", "client decides", figures.OCHRE)]
    layout.chart(
        reading,
        "split",
        frame,
        lambda f: figures.pairs(f, axis="Median elapsed days", unit="days", series=series),
        alt="Median days of team work and of client wait per gate, by owning team",
    )


def _aging(reading: Reading) -> None:
    layout.section(
        "Open gates against the past",
        "A mark per open gate; grey and dark ticks: P50 and P85 of finished ones",
        reading,
        "F12",
    )
    frame = (
        reading.rows("F12")
        .select(
            "project_id",
            pl.col("gate_label").alias("group"),
            pl.col("age_days").alias("value"),
            pl.concat_str("client", "project", separator=" · ").alias("label"),
        )
        .sort("group", pl.col("value"), descending=[False, True])
    )
    past = reading.answer("F1", "gate").rename({"gate": "label"})
    layout.chart(
        reading,
        "aging",
        frame,
        lambda f: figures.open_against_past(f, past, axis="Age (elapsed days)"),
        alt="Age of each open gate against the median and 85th percentile of finished gates of its kind",
    )


def _by_client(reading: Reading) -> None:
    with layout.titled("Client by phase", reading, "F4"):
        playbooks = layout.options_of(reading.store)["playbook"]
        known = reading.answer("F4", "playbook").filter(pl.col("n") > 0)["playbook"].to_list()
        chosen = st.selectbox(
            "Playbook", known, key="phase_playbook", format_func=lambda code: playbooks.get(code, code),
            label_visibility="collapsed", disabled=not known,
        ) if known else None  # fmt: skip
    if chosen is None:
        layout.nothing(reading)
        return
    layout.caption("P50 elapsed days between one approval and the next; darker is longer. A median needs n ≥ 6")
    question = reading.question("F4", "client", "gate", playbook=(chosen,))
    layout.grid(
        reading.store.answer(question), row="client", column="gate", order=reading.gates_in_order(chosen), unit="days"
    )
