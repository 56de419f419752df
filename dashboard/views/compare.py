"""Compare, for project managers: clients by phase, phases by client or manager, and two clients side by side."""

from __future__ import annotations

import polars as pl
import streamlit as st

from dashboard import charts, explain, figures, layout
from dashboard.chart_template import MOST_MARKS
from dashboard.data import Reading, catalogue
from dashboard.export import Table
from dashboard.numbers import absence, plain, worded
from models.faults import Fault

LEAD = "Which clients are slow in which phase, how managers compare, and two clients side by side."
SHOWN = 14
SIDE_BY_SIDE = ("F1", "F8", "F9", "F6", "S2", "B1", "B10", "B8", "C2", "C3", "C4", "F21")


def page(reading: Reading) -> None:
    counted = reading.answer("F4", "playbook").filter(pl.col("n") > 0).sort("n", descending=True)
    words = "P50 elapsed days from one approval to the next, and n. Under n = 6 each gate's own days stand instead"
    row = explain.section(reading, "Clients by phase", words, "F4", "client", "gate", key="phases")
    if counted.is_empty():
        layout.nothing(reading)
        return
    named = layout.options_of(reading.store)["playbook"]
    chosen = row.selectbox(
        "Playbook", counted["playbook"].to_list(), key="phase_playbook",
        format_func=lambda code: named.get(code, code), label_visibility="collapsed", width=220,
    )  # fmt: skip
    playbook = str(chosen)
    _grid(reading, playbook)
    _multiples(reading, playbook)
    _two(reading)


def _grid(reading: Reading, playbook: str) -> None:
    question = reading.question("F4", "client", "gate", playbook=(playbook,))
    answers = reading.store.answer(question).filter(pl.col("n") > 0)
    layout.grid(
        answers,
        reading.store.distribution(question, MOST_MARKS),
        row="client",
        column="gate",
        order=reading.gates_in_order(playbook),
        unit="days",
    )
    reading.sheets.tables.append(Table("Clients by phase", "P50 elapsed days", answers))


def _multiples(reading: Reading, playbook: str) -> None:
    words = "A panel per phase, the same scale in each: P50 as a bar, P85 as a tick, n in bold"
    row = explain.section(reading, "Phases side by side", words, "F4", "gate", "manager", key="multiples")
    by = row.segmented_control(
        "By", ["manager", "client"], default="manager", key="multiples_by", required=True, label_visibility="collapsed"
    )
    by = by or "manager"
    found = reading.answer("F4", "gate", by, playbook=(playbook,)).filter(pl.col("value").is_not_null())
    if found.is_empty():
        layout.nothing(reading, f"No {by} has six gates of a phase here, the fewest a median is told for.")
        return
    layout.multiples(found, panel="gate", row=by, order=reading.gates_in_order(playbook), unit="days", most=SHOWN)
    reading.sheets.tables.append(Table("Phases side by side", words, found))


def _two(reading: Reading) -> None:
    counted = reading.answer("F1", "client_id").filter(pl.col("n") > 0).sort("n", descending=True)
    names = reading.names()
    ids = [client for client in counted["client_id"].to_list() if client in names]
    layout.section("Two clients", "Each number as on its own page, under the filters above but the client")
    if len(ids) < 2:
        layout.nothing(reading, "It takes two clients with finished gates.")
        return
    left, right = st.columns(2)
    one = left.selectbox("One", ids, index=0, key="two_one", format_func=names.__getitem__)
    other = right.selectbox("The other", ids, index=1, key="two_other", format_func=names.__getitem__)
    if one == other:
        layout.empty("These are the same client.", "Choose another on one side.")
        return
    _table(reading, str(one), str(other), names)
    _curves(reading, str(one), str(other), names)


def _table(reading: Reading, one: str, other: str, names: dict[str, str]) -> None:
    told = []
    for measure in SIDE_BY_SIDE:
        about = catalogue()[measure]
        sides = []
        for client in (one, other):
            answer = reading.answer(measure, client_id=(client,)).row(0, named=True)
            value = answer["value"]
            sides += [
                worded(value, about.unit, reading.currency) if value is not None else absence(answer["note"]),
                answer["n"],
            ]
        told.append((f"{measure} {about.label}", *sides))
    frame = pl.DataFrame(told, schema=["measure", "one", "one_n", "other", "other_n"], orient="row")
    layout.side_by_side(frame, names[one], names[other])
    shown = frame.rename({"one": names[one], "other": f"{names[other]} "})
    reading.sheets.tables.append(Table("Two clients", "", shown))


def _curves(reading: Reading, one: str, other: str, names: dict[str, str]) -> None:
    question = reading.question("F1", client_id=(one, other))
    frame = reading.curve("F1", "client_id", client_id=(one, other))
    try:
        test = reading.store.log_rank(question, "client_id")
        words = (
            f"Log-rank test: χ² {plain(test.chi_square, 'ratio')}, p = {plain(test.p, 'ratio')}"
            if test.p is not None
            else ""
        )
    except Fault:
        words = ""
    verdict = f"Share of gates not approved yet, after so many days. {words}"
    row = explain.section(reading, "How fast their gates finish", verdict, "F1", key="curves")
    charts.chart(
        reading,
        "two_curves",
        charts.thinned(frame.with_columns(pl.col("client_id").replace(names).alias("client")), "client", "time"),
        lambda f: figures.survival(f, axis="Elapsed days since the gate's start", group="client"),
        alt="Share of gates not approved yet by days since their start, for two clients",
        about=(one, other),
        at=row,
    )
