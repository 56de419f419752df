"""Definitions: the catalogue of measures, searchable, each with its rule, its answer and the rows behind it."""

from __future__ import annotations

import streamlit as st

from dashboard import explain, layout
from dashboard.data import Reading, catalogue
from models import explaining
from models.measure import Measure, rules

LEAD = "What every number means: the catalogue that the pages and milepost measure answer from."
FAMILIES = {"F": "Flow", "S": "Schedule", "B": "Billing and cash", "C": "Change and scope", "M": "Clarity and data"}
EVERY = "All"


def page(reading: Reading) -> None:
    sought = st.text_input(
        "Search", key="sought", placeholder="Billing lag, F1, retainage, working days …", label_visibility="collapsed"
    )
    family = st.pills(
        "Family", [EVERY, *FAMILIES.values()], default=EVERY, key="family", required=True, label_visibility="collapsed",
        wrap=True,
    )  # fmt: skip
    found = [one for one in catalogue().values() if _fits(one, sought, family or EVERY)]
    layout.caption(f"{len(found)} of {len(catalogue())} measures")
    if not found:
        layout.empty("No measure has these words.", "Search for one word of it, or choose All.")
        return
    with st.expander("One of them whole: its rule with an example, its answer, its SQL, the rows behind it"):
        chosen = st.selectbox(
            "Measure",
            [one.id for one in found],
            key="measure",
            format_func=lambda one: f"{one} {catalogue()[one].label}",
            label_visibility="collapsed",
        )
        st.markdown(rules()[catalogue()[chosen].rule])
        explain.button(reading, chosen, "definition")
    for initial, title in FAMILIES.items():
        if mine := [one for one in found if one.id[0] == initial]:
            layout.part(title)
            layout.definitions(mine)
    for about in found:
        reading.sheets.definitions[about.id] = (about.label, about.definition, "")


def _fits(one: Measure, sought: str, family: str) -> bool:
    """Whether every word sought stands in what is said of the measure."""
    if family not in (EVERY, FAMILIES[one.id[0]]):
        return False
    said = " ".join([one.id, one.label, one.definition, one.unit, one.mart, *explaining.differences(one.id)]).lower()
    return all(word in said for word in sought.lower().split())
