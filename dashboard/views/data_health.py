"""Data health: how fresh each source is, what was set aside and why, what contradicts itself, and what to mend."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout, refreshes, tiles
from dashboard.data import Condition, Reading
from dashboard.tiles import Tile

REJECTS = ["reason", "entity", "source", "source_key", "detail", "recorded_at", "source_url"]
ODDITIES = ["project_id", "reason", "detail", "subject", "client", "project", "firm", "entity", "source_key"]
FAULTS = [
    "project_id",
    "fault",
    "detail",
    "gate_label",
    "client",
    "project",
    "firm",
    "entity",
    "source_key",
    "source_url",
]
UNMAPPED = ["gate_name", "playbook", "firm", "gate_count", "project_count", "suggested_label", "similarity"]
UNLINKED = [
    "number",
    "client",
    "description",
    "amount_local",
    "currency",
    "issued_at",
    "suggested_gate_label",
    "suggested_project",
    "fitting_gate_count",
    "firm",
    "source_key",
    "source_url",
]
UNBILLED = ["project_id", "gate_label", "client", "project", "firm", "approved_at", "unbilled_days", "unbilled_amount"]
LISTED = 100  # rows of each list: there are many
EFFECT = {"warn": "warns", "fail": "blocks publishing"}


LEAD = "How fresh each source is, what was set aside and why, what contradicts itself, and what to mend first."


def page(reading: Reading) -> None:
    tiles.row(
        reading,
        [
            Tile("M3", "gates", "Data quality"),
            Tile("M3f", "records", "Faults to mend"),
            Tile("M1", "terms", "Clarity at kickoff"),
        ],
    )
    _sources(reading)
    _refreshes(reading)
    _fixes(reading)
    _rejects(reading)
    _faults(reading)
    _oddities(reading)
    _unlinked(reading)
    _unbilled(reading)
    _unmapped(reading)
    left, right = st.columns(2, gap="large")
    with left:
        _history(reading)
    with right:
        _checks(reading)


def _fixes(reading: Reading) -> None:
    words = "Records at fault under the filters, by what is wrong with them; each is listed below with its own key"
    row = explain.section(reading, "What to mend first", words, "M3f", "fault")
    frame = reading.answer("M3f", "fault").rename({"fault": "label"}).filter(pl.col("n") > 0)
    if frame.is_empty():
        layout.empty("No gate's data are at fault.", "There is nothing to mend.")
        return
    chosen = charts.chart(
        reading,
        "fixes",
        frame.sort("value", descending=True),
        lambda f: figures.bars(f, axis="Records at fault", unit="count"),
        alt="Number of records at fault, by fault",
        at=row,
    )
    charts.rows_behind(reading, "fixes", charts.of_values("M3f", "fault", chosen))


def _sources(reading: Reading) -> None:
    row = layout.section("Sources", "The latest pull of each")
    frame = layout.sources(reading.store)
    if frame.is_empty():
        cure = "Name one in <code>milepost.toml</code> and run <code>milepost refresh</code>."
        layout.empty("No source has been pulled.", cure)
        return
    names = {"newest_recorded_at": "Newest record (UTC)", "row_count": "Records"}
    charts.ledger(reading, frame, key="sources", mart="source_pulls", names=names, at=row)


def _refreshes(reading: Reading) -> None:
    frame = refreshes.newest(reading.store.folder, reading.store.sight)
    row = layout.section("Refreshes", "The newest, whether they published a snapshot or not, whatever the day")
    if frame.is_empty():
        layout.empty("No refresh has been noted yet.", "Run <code>milepost refresh</code>.")
        return
    names = {
        "started_at": "Began (UTC)",
        "started_by": "Started by",
        "duration_seconds": "Seconds",
        "row_count": "Records in",
        "rejected_count": "Set aside",
        "published": "Snapshot",
        "slowest": "Slowest steps",
        "error": "What went wrong",
    }
    charts.ledger(reading, frame, key="refreshes", names=names, at=row)


def _rejects(reading: Reading) -> None:
    frame = reading.store.table("rejects", REJECTS, order=("reason", "entity", "source_key"))
    by_reason = frame["reason"].value_counts(sort=True).rows()
    words = " · ".join(f"{n:,} {reason}" for reason, n in by_reason) or "none"
    row = layout.section("Set aside", f"Records received that stand in no other table, whatever the filters: {words}")
    if frame.is_empty():
        layout.empty("Nothing was set aside.", "Every record received stands in a table.")
        return
    charts.ledger(reading, frame, key="rejects", mart="rejects", at=row, most=LISTED)


def _faults(reading: Reading) -> None:
    frame = reading.table("gate_faults", FAULTS, order=("fault", "client", "project", "gate_label", "source_key"))
    by_fault = reading.answer("M3f", "fault").select("fault", "n").rows()
    words = " · ".join(f"{n:,} {fault}" for fault, n in by_fault) or "none"
    row = layout.section("Faults to mend", f"What keeps gates under the filters out of the data-quality score: {words}")
    if frame.is_empty():
        layout.empty("No gate's data are at fault.", "There is nothing to mend.")
        return
    charts.ledger(
        reading, frame, key="faults", mart="gate_faults", names={"detail": "What is wrong"}, at=row, most=LISTED
    )


def _oddities(reading: Reading) -> None:
    frame = reading.table("oddities", ODDITIES, order=("reason", "entity", "client", "project"))
    by_reason = frame["reason"].value_counts(sort=True).rows()
    words = " · ".join(f"{n:,} {reason}" for reason, n in by_reason) or "none"
    row = layout.section(
        "Odd, and counted", f"Records under the filters that contradict themselves or match nothing: {words}"
    )
    if frame.is_empty():
        layout.empty("No record contradicts itself.", "There is nothing to mend.")
        return
    names = {"detail": "What is wrong", "subject": "Called"}
    charts.ledger(reading, frame, key="oddities", mart="oddities", names=names, at=row, most=LISTED)


def _unlinked(reading: Reading) -> None:
    frame = reading.store.table("unlinked_lines", UNLINKED, order=("-amount_local", "number", "source_key"))
    words = f"Invoice lines that bill no known gate or change order, whatever the filters, n = {frame.height:,}"
    row = layout.section("Invoices without a gate", words)
    if frame.is_empty():
        layout.empty("Every invoice line bills a gate or a change order.", "Links are found as the settings say.")
        return
    names = {"suggested_gate_label": "Gate of that amount", "suggested_project": "In project",
             "fitting_gate_count": "Gates that fit", "source_key": "Line"}  # fmt: skip
    charts.ledger(reading, frame, key="unlinked", mart="unlinked_lines", names=names, at=row, most=LISTED)


def _unbilled(reading: Reading) -> None:
    still: Condition = ("unbilled_amount", ">", 0)
    frame = reading.table("billable_gates", UNBILLED, still, order=("-unbilled_days", "client", "project"))
    words = f"Approved gates under the filters that are not invoiced in full, oldest first, n = {frame.height:,}"
    row = layout.section("Gates without an invoice", words)
    if frame.is_empty():
        layout.empty("Every approved gate is invoiced in full.", "There is nothing to bill.")
        return
    charts.ledger(reading, frame, key="unbilled", mart="billable_gates", at=row, most=LISTED)


def _unmapped(reading: Reading) -> None:
    frame = reading.store.table("unmapped_gates", UNMAPPED, order=("-gate_count", "gate_name"))
    words = f"Gate names of the tools that no gate of their playbook goes by, n = {frame.height:,}; they count apart"
    row = layout.section("Names in no playbook", words)
    if frame.is_empty():
        layout.empty("Every gate's name stands in its playbook.", "Names may be added there as aliases.")
        return
    charts.ledger(reading, frame, key="unmapped", mart="unmapped_gates", at=row)


def _history(reading: Reading) -> None:
    gates = reading.table("gates", ["firm", "history_quality"])
    words = "Gates under the filters: a log is complete, timestamps know only ends, a snapshot only what was seen"
    row = layout.section("History kept by the tools", words)
    if gates.is_empty():
        layout.nothing(reading)
        return
    frame = gates.group_by("firm", "history_quality").len("gates").sort("firm", "history_quality")
    charts.ledger(reading, frame, key="history", names={"history_quality": "History"}, at=row)


def _checks(reading: Reading) -> None:
    findings = reading.store.checks()
    broken = [finding for finding in findings if not finding.passed]
    words = f"{len(findings):,} conditions from the tables' headers, {len(broken):,} of them broken by some rows"
    row = layout.section("Checks", words)
    if not broken:
        layout.empty("Every check passed.", "A blocking check that fails keeps a new snapshot from being published.")
        return
    frame = pl.DataFrame(
        [(f.count, f.table.removeprefix("marts."), f.check, EFFECT[f.severity]) for f in broken],
        schema=["rows", "table", "condition", "effect"],
        orient="row",
    )
    charts.ledger(reading, frame, key="checks", at=row)
