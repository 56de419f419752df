"""The entry of `streamlit run dashboard/app.py`: which pages there are, and what each is given.

What stays out: every page's own content (views/) and all reading (data.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import streamlit as st

from dashboard import ahead, controls, data, layout, numbers, signing_in
from dashboard.access import Sight
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
        "compare": Page("Compare", compare.LEAD, compare.page, ("cell",)),
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

OF_A_CLIENT = Page("Your projects", "Milestones, what is waited for, papers, the next payment.", client.page, ("of",))


def main() -> None:
    st.set_page_config(page_title="Milepost", page_icon=str(layout.HERE / "icon.svg"), layout="wide")
    layout.style()
    try:
        viewer = signing_in.viewer(data.policy())
    except Fault as fault:
        layout.broken("" if signing_in.can_sign_in() else str(fault))
        return
    if viewer is None:
        return
    given: list[Reading] = []
    offered = _offered(viewer.sight)
    first = next(iter(next(iter(offered.values()))))
    pages = {
        heading: [
            st.Page(partial(_run, page, given), title=page.title, url_path=path, default=path == first)
            for path, page in listed.items()
        ]
        for heading, listed in offered.items()
    }
    shown = st.navigation(pages, expanded=True)
    path = shown.url_path or first
    page = next(listed[path] for listed in offered.values() if path in listed)
    controls.use_format()
    headline = st.container(horizontal=True, vertical_alignment="center", gap="small", key="headline")
    headline.title(page.title, anchor=False)
    try:
        store = data.current(viewer)
    except data.UnlikeSnapshot:
        layout.of_another_version()
        return
    except Fault as fault:
        layout.broken(str(fault))
        return
    if store is None:
        layout.unpublished()
        return
    # Filters are drawn here, not by a page, so that they outlive a change of page.
    with headline:
        chosen = Filters() if viewer.sight.role == "client" else controls.choose(store, path, page.own)
    try:
        reading = _reading(store, chosen)
    except Fault as fault:
        layout.not_rebuilt(str(fault))
        return
    reading.sheets.title, reading.sheets.format = page.title, numbers.current().code
    with headline:
        controls.offer_files(reading)
    given.append(reading)
    with ahead.asking(path, reading):
        shown.run()


def _offered(sight: Sight) -> dict[str, dict[str, Page]]:
    """The pages that are there for a viewer; a client has one, under a name of its own."""
    if sight.role == "client":
        return {"": {"client": OF_A_CLIENT}}
    offered = {
        heading: {path: page for path, page in listed.items() if sight.may_open(path, heading)}
        for heading, listed in PAGES.items()
    }
    return {heading: listed for heading, listed in offered.items() if listed}


def _reading(store: Store, chosen: Filters) -> Reading:
    then = data.rewound(store, chosen.against) if chosen.against else None
    return Reading(data.rewound(store, chosen.as_of), chosen, then)


def _run(page: Page, given: list[Reading]) -> None:
    reading = given[0]
    if reading.store.sight.role == "client":  # how records are pulled and judged is the firm's own affair
        layout.html(f'<p class="mp-lead">{page.lead} As of {numbers.instant(reading.as_of)}.</p>')
    else:
        layout.head(reading, page.lead)
    page.draw(reading)


main()
