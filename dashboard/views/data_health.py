"""Data health: how fresh each source is, what was set aside and why, what contradicts itself, and what every measure means."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import layout
from dashboard.data import Reading, catalogue


def page(reading: Reading) -> None:
    layout.head(
        reading, "Data health", "How fresh every source is, what was set aside and why, and what each measure means."
    )
    _sources(reading)
    _rejects(reading)
    _violations(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _history(reading)
    with right:
        _checks(reading)
    _measures()


def _sources(reading: Reading) -> None:
    layout.section("Sources", "The latest pull of each")
    frame = layout.sources(reading.store)
    if frame.is_empty():
        layout.empty(
            "No source has been pulled.",
            "Name one in <code>milepost.toml</code> and run <code>milepost refresh</code>.",
        )
        return
    layout.ledger(
        reading, frame, key="sources", mart="source_pulls", names={"newest_recorded_at": "Newest record (UTC)"}
    )


def _rejects(reading: Reading) -> None:
    frame = reading.store.table(
        "rejects",
        ["reason", "entity", "source", "source_key", "detail", "recorded_at", "source_url"],
        order=("reason", "entity", "source_key"),
    )
    layout.section("Set aside", f"{frame.height:,} records received that stand in no other table, whatever the filters")
    if frame.is_empty():
        layout.empty("Nothing was set aside.", "Every record received stands in a table.")
        return
    layout.counts(frame["reason"].value_counts(sort=True).rows())
    layout.ledger(reading, frame, key="rejects", mart="rejects")


def _violations(reading: Reading) -> None:
    columns = [
        "project_id",
        "firm",
        "client",
        "project",
        "gate_label",
        "chronology_note",
        "status",
        "history_quality",
        "source_url",
    ]
    frame = reading.table("gates", columns, ("has_chronology_violation", "=", True), order=("client", "project"))
    layout.section(
        "Out of order in time",
        f"{frame.height:,} gates under the filters whose events contradict each other; no duration counts them",
    )
    if frame.is_empty():
        layout.empty("No gate's events contradict each other.", "There is nothing to mend.")
        return
    layout.ledger(reading, frame, key="violations", mart="gates", names={"chronology_note": "What is wrong"})


def _history(reading: Reading) -> None:
    layout.section(
        "History kept by the tools",
        "Gates under the filters: log is complete, timestamps know only ends, snapshot only what was seen",
    )
    gates = reading.table("gates", ["firm", "history_quality"])
    if gates.is_empty():
        layout.nothing(reading)
        return
    frame = gates.group_by("firm", "history_quality").len("gates").sort("firm", "history_quality")
    layout.ledger(reading, frame, key="history", names={"history_quality": "History"})


def _checks(reading: Reading) -> None:
    findings = reading.store.checks()
    broken = [finding for finding in findings if not finding.passed]
    layout.section(
        "Checks", f"{len(findings):,} conditions from the tables' headers; {len(broken):,} have rows that break them"
    )
    if not broken:
        layout.empty("Every check passed.", "A blocking check that fails keeps a new snapshot from being published.")
        return
    frame = pl.DataFrame(
        [
            (f.table.removeprefix("marts."), f.check, {"warn": "warns", "fail": "blocks"}[f.severity], f.count)
            for f in broken
        ],
        schema={"table": pl.String, "condition": pl.String, "effect": pl.String, "rows": pl.Int64},
        orient="row",
    )
    layout.ledger(reading, frame, key="checks")


def _measures() -> None:
    layout.section("What every measure means", "The catalogue the pages and `milepost measure` answer from")
    layout.definitions(catalogue().values())
