"""Compare, for project managers: clients by phase, phases by client or manager, and two clients side by side."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from dashboard import ahead, charts, explain, figures, layout, picking, tiles
from dashboard.charts import Mark
from dashboard.data import Asked, Reading, catalogue
from dashboard.export import Table
from dashboard.filters import code
from dashboard.numbers import absence, plain, worded
from models.faults import Fault

LEAD = "Which clients are slow in which phase, how managers compare, and two clients side by side."
SHOWN = 14
SINGLE_DAYS = 2000  # of cells with too few for a median
SIDES = {"manager": "manager", "client": "one_client"}  # the panels' clients are not the grid's
SIDE_BY_SIDE = ("F1", "F8", "F9", "F6", "S2", "B1", "B10", "B8", "C2", "C3", "C4", "F21")


def page(reading: Reading) -> None:
    counted = reading.counts("F4", "playbook")
    days = f"{charts.clock(reading, 'F4')} days"
    words = (
        f"P50 {days} from one approval to the next, and n. Under n = 6 each gate's own days stand instead. Choose a "
    )
    words += "cell to see its gates"
    layout.html(f'<p class="mp-caption">{tiles.clocks(reading)}</p>')
    row = explain.section(reading, "Clients by phase", words, "F4", "client", "gate", key="phases")
    if counted.is_empty():
        layout.nothing(reading)
        return
    named = layout.options_of(reading.store)["playbook"]
    offered = counted["playbook"].to_list()
    linked = _linked(offered)
    if linked and st.session_state.get("linked_cell") != st.query_params["cell"]:
        st.session_state["phase_playbook"], st.session_state["linked_cell"] = linked, st.query_params["cell"]
    chosen = row.selectbox(
        "Playbook", offered, key="phase_playbook",
        format_func=lambda one: named.get(one, one), label_visibility="collapsed", width=220,
    )  # fmt: skip
    playbook = str(chosen)
    ahead.also(reading, _asked_of_two(reading))
    _grid(reading, playbook, days)
    _multiples(reading, playbook)
    _two(reading)


def _given() -> list[str]:
    """The cell in the link: the codes of playbook and gate, the side it is of, and the code of who."""
    parts = st.query_params.get("cell", "").split(".")
    return parts if len(parts) == 4 else [""] * 4


def _linked(playbooks: Sequence[str]) -> str | None:
    """The playbook of the cell in the link, where it is offered."""
    return next((one for one in playbooks if code(one) == _given()[0]), None)


def _cell(reading: Reading, playbook: str, gate: str, **who: str) -> str:
    """The link to a cell's gates: codes alone, as in every link."""
    (side, name), *_ = who.items()
    cell = ".".join((code(playbook), code(gate), side, code(name)))
    return layout.link_query(reading.filters, cell=cell)


def _behind(reading: Reading, playbook: str, answers: pl.DataFrame, side: str) -> None:
    """The gates of the cell in the link, if it is one of this grid's."""
    given = _given()
    if given[0] != code(playbook) or given[2] != side:
        return
    for name, gate in answers.select(side, "gate").rows():
        if (code(gate), code(name)) == (given[1], given[3]):
            where = {"playbook": (playbook,), "gate": (gate,), side.removeprefix("one_"): (name,)}
            charts.rows_behind(reading, f"cell_{side}", [Mark("F4", f"{name}, {gate}", where)])


def _grid(reading: Reading, playbook: str, days: str) -> None:
    answers = reading.answer("F4", "client", "gate", playbook=(playbook,)).filter(pl.col("n") > 0)
    layout.grid(
        answers,
        reading.distribution("F4", SINGLE_DAYS, "client", "gate", playbook=(playbook,)),
        row="client",
        column="gate",
        order=reading.gates_in_order(playbook),
        unit="days",
        link=lambda client, gate: _cell(reading, playbook, gate, client=client),
    )
    _behind(reading, playbook, answers, "client")
    reading.sheets.tables.append(Table("Clients by phase", f"P50 {days}", answers))


def _multiples(reading: Reading, playbook: str) -> None:
    words = "A panel per phase, the same scale in each: P50 as a bar, P85 as a tick, n in bold"
    row = explain.section(reading, "Phases side by side", words, "F4", "gate", "manager", key="multiples")
    by = row.segmented_control(
        "By",
        ["manager", "client"],
        default="client" if _given()[2] == "one_client" else "manager",
        key="multiples_by",
        required=True,
        label_visibility="collapsed",
    )
    by = by or "manager"
    found = reading.answer("F4", "gate", by, playbook=(playbook,)).filter(pl.col("value").is_not_null())
    if found.is_empty():
        layout.nothing(reading, f"No {by} has six gates of a phase here, the fewest a median is told for.")
        return
    layout.multiples(
        found, panel="gate", row=by, order=reading.gates_in_order(playbook), unit="days", most=SHOWN,
        link=lambda name, gate: _cell(reading, playbook, gate, **{SIDES[by]: name}),
    )  # fmt: skip
    _behind(reading, playbook, found.rename({by: SIDES[by]}), SIDES[by])
    reading.sheets.tables.append(Table("Phases side by side", words, found))


def _with_finished_gates(reading: Reading) -> list[str]:
    """The clients who have any, those with the most first."""
    names = reading.names()
    return [client for client in reading.counts("F1", "client_id")["client_id"].to_list() if client in names]


def _asked_of_two(reading: Reading) -> list[Asked]:
    """What will be asked of the two clients who were picked, or are picked where nobody chose."""
    every = _with_finished_gates(reading)
    if len(every) < 2:
        return []
    picked = (st.session_state.get("two_one"), st.session_state.get("two_other"))
    pair = tuple(one if one in every else first for one, first in zip(picked, every, strict=False))
    where = (("client_id", pair),)
    answers = [Asked("answer", (measure, "client_id"), where) for measure in SIDE_BY_SIDE]
    return [*answers, Asked("curve", ("F1", "client_id"), where)]


def _two(reading: Reading) -> None:
    names = reading.names()
    every = _with_finished_gates(reading)
    layout.section("Two clients", "Each number as on its own page, under the filters above but the client")
    if len(every) < 2:
        layout.nothing(reading, "It takes two clients with finished gates.")
        return
    kept = (st.session_state.get("two_one"), st.session_state.get("two_other"), *every[:2])
    ids = [*picking.offered({client: names[client] for client in every}, "two", "clients", kept)]
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
        both = {
            row["client_id"]: row for row in reading.answer(measure, "client_id", client_id=(one, other)).to_dicts()
        }
        sides = []
        for client in (one, other):
            answer = both.get(client) or reading.answer(measure, client_id=(client,)).row(0, named=True)
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
    axis = f"{charts.clock(reading, 'F1').capitalize()} days since the gate's start"
    chosen = charts.chart(
        reading,
        "two_curves",
        charts.thinned(frame.with_columns(pl.col("client_id").replace(names).alias("client")), "client", "time"),
        lambda f: figures.survival(f, axis=axis, group="client"),
        alt="Share of gates not approved yet by days since their start, for two clients",
        about=(one, other),
        at=row,
    )
    ids = {names[client]: client for client in (one, other)}
    charts.rows_behind(reading, "two_curves", [Mark("F1", name, {"client_id": (ids[name],)}) for name in chosen])
