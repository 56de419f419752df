"""The entry of `streamlit run dashboard/app.py`: who is there, which page they opened, and what it is given.

What stays out: which pages there are (pages.py), their content (views/), and all reading (data.py).
"""

from __future__ import annotations

from functools import partial

import streamlit as st

from dashboard import ahead, controls, data, heap, layout, numbers, pages, signing_in
from dashboard.data import Reading, Store
from dashboard.filters import Filters
from dashboard.pages import Page
from models.faults import Fault


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
    offered = pages.offered(viewer.sight)
    first = next(iter(next(iter(offered.values()))))
    links = {
        heading: [
            st.Page(partial(_run, page, given), title=page.title, url_path=path, default=path == first)
            for path, page in listed.items()
        ]
        for heading, listed in offered.items()
    }
    shown = st.navigation(links, expanded=True)
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
    heap.settle()


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
