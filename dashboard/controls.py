"""The bar of controls above every page: period, filters, day, saved views, the page as a file; kept in the link.

What stays out: what the filters mean (filters.py) and what a page shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from html import escape
from typing import cast
from urllib.parse import urlencode

import streamlit as st

from dashboard import export, filters, layout, saved_views
from dashboard.data import Reading, Store
from dashboard.filters import CHOICES, CLOCKS, PARAMS, PERIODS, Filters, Options
from dashboard.numbers import FORMATS, day, of_locale, use
from dashboard.saved_views import View

CUSTOM = "custom"
MANY = 400  # choices of a filter, from which on they are sent only once its list is opened
AS_DEFINED = "as defined"
_ALL = {"firm": "All firms", "client": "All clients", "playbook": "All playbooks", "manager": "All managers"}
_EXCEL = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def use_format() -> None:
    """Numbers and dates as the reader's browser writes them, until another way is chosen."""
    own = of_locale(st.context.locale)
    with st.sidebar:
        chosen = st.selectbox(
            "Numbers and dates",
            list(FORMATS),
            index=list(FORMATS).index(own),
            key="format",
            format_func=lambda code: FORMATS[code].shown,
        )
    use(chosen)


def choose(store: Store, page: str, extra: Sequence[str] = ()) -> Filters:
    """The filters, kept in the link. A link that says otherwise than this session wins.

    `extra`: query parameters of the page's own that stay in the link.
    """
    options = layout.options_of(store)
    linked = {name: st.query_params.get_all(name) for name in PARAMS if st.query_params.get_all(name)}
    if "link" not in st.session_state or (linked and linked != st.session_state["link"]):
        _adopt(filters.read(linked, options, store.latest, store.earliest))
    with st.container(horizontal=True, gap="small", key="controls", vertical_alignment="center"):
        chosen = _widgets(store, options)
        _views(store, page, chosen, extra)
        if not chosen.is_default:
            st.button("Reset", on_click=_adopt, args=(Filters(),), type="tertiary", key="reset_filters",
                      help="All filters, the period and the day back to where a page begins")  # fmt: skip
    st.session_state["link"] = chosen.params()
    kept = {name: st.query_params.get_all(name) for name in extra if name in st.query_params}
    wanted = {**chosen.params(), **kept}
    if wanted != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(wanted)
    return chosen


def offer_files(reading: Reading) -> None:
    """The page as an Excel file and as one for paper; made when asked for, of what the page showed."""
    name = f"milepost-{reading.sheets.title.lower().replace(' ', '-')}-{reading.as_of:%Y-%m-%d}"
    with st.popover("Export", type="tertiary", key="export"):
        st.caption("With the definitions, the filters and the day of the numbers")
        st.download_button("Excel", lambda: export.excel(reading.sheets), file_name=f"{name}.xlsx", mime=_EXCEL,
                           key="page_excel", on_click="ignore", width="stretch")  # fmt: skip
        st.download_button("Report to print", lambda: export.page(reading.sheets), file_name=f"{name}.html",
                           mime="text/html", key="page_html", on_click="ignore", width="stretch")  # fmt: skip


def _adopt(chosen: Filters) -> None:
    for name in CHOICES:
        st.session_state[f"pick_{name}"] = list(getattr(chosen, name))
    is_custom = chosen.period not in PERIODS
    st.session_state["pick_period"] = CUSTOM if is_custom else chosen.period
    if is_custom:
        st.session_state["pick_days"] = tuple(date.fromisoformat(part) for part in chosen.period.split(".."))
    st.session_state["pick_as_of"], st.session_state["pick_against"] = chosen.as_of, chosen.against
    st.session_state["pick_clock"] = chosen.clock or AS_DEFINED


def _widgets(store: Store, options: Options) -> Filters:
    period = _period(store.latest)
    narrowed = sum(bool(st.session_state.get(f"pick_{name}")) for name in CHOICES)
    is_long = max(map(len, options.values())) > MANY
    place = st.popover(f"Filters · {narrowed}" if narrowed else "Filters", key="filters",
                       on_change="rerun" if is_long else "ignore")  # fmt: skip
    with place:
        picked = {
            name: tuple(
                st.multiselect(
                    name.capitalize(),
                    list(options[name]) if place.open or len(options[name]) <= MANY else _chosen(name),
                    key=f"pick_{name}",
                    format_func=options[name].__getitem__,
                    placeholder=_ALL[name],
                )
            )
            for name in CHOICES
        }
        clock = st.segmented_control(
            "Durations in", [AS_DEFINED, *CLOCKS], key="pick_clock", required=True,
            format_func=lambda one: CLOCKS.get(one, "as defined"),
            help="Working days leave out weekends and the public holidays of a project's place. As defined: hand-offs "
            "in working days, all else in elapsed ones",
        )  # fmt: skip
    as_of, against = _days(store)
    counted = next((one for one in CLOCKS if one == clock), None)
    return Filters(**picked, period=period, as_of=as_of, against=against, clock=counted)


def _chosen(name: str) -> list[str]:
    """What is set, and nothing else: thousands of clients are sent only to whoever opens the list."""
    return list(st.session_state.get(f"pick_{name}", ()))


def _period(latest: date) -> str:
    named = {**PERIODS, CUSTOM: "From … to …"}
    period = str(
        st.selectbox(
            "Period",
            list(named),
            key="pick_period",
            format_func=named.__getitem__,
            label_visibility="collapsed",
            width=170,
        )
    )
    if period != CUSTOM:
        return period
    st.session_state.setdefault("pick_days", (latest.replace(day=1), latest))
    days = st.date_input("From and to", key="pick_days", format="YYYY-MM-DD", label_visibility="collapsed", width=230)
    ends = tuple(cast("Sequence[date]", days))  # one day only, while the second is being picked
    return filters.custom_period(*ends) if len(ends) == 2 else filters.DEFAULT_PERIOD


def _days(store: Store) -> tuple[date | None, date | None]:
    """The day that pages are rewound to, and the one they are compared with."""
    rewound = st.session_state.get("pick_as_of")
    with st.popover(day(rewound or store.latest), key="day", help="Rewind the pages, or compare with another day"):
        if store.earliest is None or store.earliest >= store.latest:
            st.caption("This snapshot keeps no records to rewind. The next refresh does.")
            return None, None
        first, last = store.earliest, store.latest - timedelta(days=1)
        as_of = st.date_input(
            "Rewind to the end of",
            value=None,
            key="pick_as_of",
            min_value=first,
            max_value=last,
            format="YYYY-MM-DD",
            help=f"Every page as it stood then: facts learnt later are left out. Empty: {day(store.latest)}",
        )
        against = st.date_input(
            "Compare with the end of",
            value=None,
            key="pick_against",
            min_value=first,
            max_value=last,
            format="YYYY-MM-DD",
            help="Tiles show the change since that day, and the facts that made it. Empty: with the period before",
        )
    return as_of, None if against == as_of else against


def _views(store: Store, page: str, chosen: Filters, extra: Sequence[str]) -> None:
    with st.popover("Views", type="tertiary", key="views"):
        views = saved_views.kept(store.views)
        if views:
            links = "".join(
                f'<li><a href="{_link(view)}" target="_self">{escape(view.name)}</a></li>' for view in views
            )
            layout.html(f'<ul class="mp-views">{links}</ul>')
        else:
            whom = "yours alone where people sign in, else for everybody who opens the dashboard"
            st.caption(f"A view is a page with its filters, under a name: {whom}.")
        name = st.text_input("Keep this page and its filters as", key="view_name", max_chars=saved_views.LONGEST_NAME)
        own = {key: st.query_params.get_all(key) for key in extra if key in st.query_params}
        if st.button("Keep view", key="keep_view", type="primary"):
            wrong = saved_views.keep(store.views, View(name, page, {**own, **chosen.params()}))
            if wrong:
                st.caption(f":orange[{wrong}]")
            else:
                st.rerun()
        if views:
            gone = st.selectbox("Remove", [view.name for view in views], index=None, key="view_gone",
                                placeholder="Choose a view")  # fmt: skip
            if gone and st.button("Remove view", key="remove_view"):
                saved_views.remove(store.views, gone)
                st.rerun()


def _link(view: View) -> str:
    query = urlencode(view.params, doseq=True)
    path = "." if view.page == "overview" else view.page
    return escape(f"{path}?{query}" if query else path)
