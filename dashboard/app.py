"""The entry of `streamlit run dashboard/app.py`: which pages there are, and what each is given.

What stays out: every page's own content (views/) and all reading (data.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from dashboard import controls, data, layout, numbers
from dashboard.data import Reading, Store
from dashboard.filters import Filters
from dashboard.views import (
    billing,
    cash,
    client,
    compare,
    data_health,
    definitions,
    flow,
    handoffs,
    overview,
    project,
    schedule,
    scope,
)
from models.faults import Fault


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its name, what it answers, what draws it, and which query parameters of its own stay in its link."""

    title: str
    lead: str
    draw: Callable[[Reading], None]
    own: tuple[str, ...] = ()


PAGES: dict[str, dict[str, Page]] = {
    "": {"overview": Page("Overview", overview.LEAD, overview.page)},
    "Work": {
        "flow": Page("Flow", flow.LEAD, flow.page),
        "schedule": Page("Schedule", schedule.LEAD, schedule.page),
        "scope": Page("Scope", scope.LEAD, scope.page),
        "handoffs": Page("Hand-offs and documents", handoffs.LEAD, handoffs.page),
        "compare": Page("Compare", compare.LEAD, compare.page),
    },
    "Money": {
        "billing": Page("Billing", billing.LEAD, billing.page),
        "cash": Page("Cash", cash.LEAD, cash.page),
    },
    "One by one": {
        "project": Page("Project", project.LEAD, project.page, ("project",)),
        "client": Page("Client view", client.LEAD, client.page, ("of",)),
    },
    "Trust": {
        "data-health": Page("Data health", data_health.LEAD, data_health.page),
        "definitions": Page("Definitions", definitions.LEAD, definitions.page),
    },
}


def main() -> None:
    st.set_page_config(page_title="Milepost", page_icon=str(layout.HERE / "icon.svg"), layout="wide")
    layout.style()
    given: list[Reading] = []
    pages = {
        heading: [
            st.Page(partial(_run, page, given), title=page.title, url_path=path, default=path == "overview")
            for path, page in listed.items()
        ]
        for heading, listed in PAGES.items()
    }
    shown = st.navigation(pages, expanded=True)
    path = shown.url_path or "overview"
    page = next(listed[path] for listed in PAGES.values() if path in listed)
    controls.use_format()
    headline = st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline")
    headline.title(page.title, anchor=False)
    try:
        store = data.current()
    except Fault as fault:
        layout.broken(str(fault))
        return
    if store is None:
        layout.unpublished()
        return
    # Filters are drawn here, not by a page, so that they outlive a change of page.
    with headline:
        chosen = controls.choose(store, path, page.own)
    try:
        reading = _reading(store, chosen)
    except Fault as fault:
        layout.not_rebuilt(str(fault))
        return
    reading.sheets.title, reading.sheets.format = page.title, numbers.current().code
    with headline:
        controls.offer_files(reading)
    given.append(reading)
    shown.run()


def _reading(store: Store, chosen: Filters) -> Reading:
    then = data.rewound(store, chosen.against) if chosen.against else None
    return Reading(data.rewound(store, chosen.as_of), chosen, then)


def _run(page: Page, given: list[Reading]) -> None:
    reading = given[0]
    layout.head(reading, page.lead)
    page.draw(reading)


main()
