"""The entry of `streamlit run dashboard/app.py`: which pages there are, and what each is given.

What stays out: every page's own content (views/) and all reading (data.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard import data, layout
from dashboard.data import Reading
from dashboard.views import billing_lag, data_health, gate_cycle_times, overview, project, scope
from models.faults import Fault

VIEWS = {
    "overview": ("Overview", overview.page),
    "gate-cycle-times": ("Gate cycle times", gate_cycle_times.page),
    "billing-lag": ("Billing lag", billing_lag.page),
    "scope": ("Scope", scope.page),
    "project": ("Project", project.page),
    "data-health": ("Data health", data_health.page),
}
OWN_PARAMETERS = {"project": ("project",)}  # page → what else it keeps in the link


def main() -> None:
    st.set_page_config(page_title="Milepost", page_icon=str(layout.HERE / "icon.svg"), layout="wide")
    layout.style()
    given: list[Reading] = []
    pages = [
        st.Page(partial(_run, view, given), title=title, url_path=path, default=path == "overview")
        for path, (title, view) in VIEWS.items()
    ]
    shown = st.navigation(pages)
    try:
        store = data.current()
    except Fault as fault:
        layout.broken(shown.title, str(fault))
        return
    if store is None:
        layout.unpublished(shown.title)
        return
    # Filters are drawn here, not by a page, so that they outlive a change of page.
    own = OWN_PARAMETERS.get(shown.url_path, ())
    given.append(Reading(store, layout.choose_filters(store, own)))
    shown.run()


def _run(view: Callable[[Reading], None], given: list[Reading]) -> None:
    view(given[0])


main()
