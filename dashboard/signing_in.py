"""Who looks: signs people in and out by the provider that the settings name, and lets nobody in by default.

Where nobody signs in, only this machine is answered. What stays out: what somebody may see (access.py), and the
server with its secrets (serving.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import streamlit as st

from dashboard import access, layout
from dashboard.access import ANYBODY, Policy, Refused, Viewer

LOOPBACK = ("127.0.0.1", "::1", "localhost")
MOST_ENDED = 10_000  # sign-ins that were signed out of, remembered against copies of their cookie
_Sign = tuple[str, str, str]


def viewer(policy: Policy | None, clock: Callable[[], float] = time.time) -> Viewer | None:
    """Who looks, or None once a page has been drawn that says why nothing is shown."""
    if policy is None:
        if st.get_option("server.address") in LOOPBACK:
            return ANYBODY
        _stop(
            "Nobody signs in here, so only this machine is answered.",
            "The server listens on an address that others reach. Start it with <code>milepost dashboard</code>, or say "
            "under <code>[access]</code> in the settings who may open it.",
        )
        return None
    told = claims()
    if "is_logged_in" not in told:
        _stop("Nobody can sign in.", "The server was not started with <code>milepost dashboard</code>.")
        return None
    if told["is_logged_in"] is not True:
        _ask("Sign in to go on.", "Sign in")
        return None
    found = (
        Refused("You have signed out.", ended=True) if _sign(told) in _ended() else access.admit(told, policy, clock)
    )
    if isinstance(found, Viewer):
        _offer_to_leave(found, told)
        return found
    if found.ended:
        _ask(found.why, "Sign in again")
    else:
        _stop("You may not open this dashboard.", f"{escape(found.why)} Ask whoever runs Milepost to let you in.")
        if st.button("Sign in as somebody else", key="leave"):
            st.logout()
    return None


def claims() -> Mapping[str, Any]:
    """What the provider said of whoever looks; `is_logged_in` is there where people can sign in at all."""
    return st.user.to_dict()


def can_sign_in() -> bool:
    """Whether the server was started for people who sign in."""
    return "is_logged_in" in claims()


def _ask(why: str, label: str) -> None:
    st.title("Milepost", anchor=False)
    layout.html(f'<p class="mp-lead">{escape(why)}</p>')
    if st.button(label, key="sign_in", type="primary"):
        st.login()


def _stop(what: str, cure: str) -> None:
    st.title("Milepost", anchor=False)
    layout.empty(what, cure)


def _offer_to_leave(found: Viewer, told: Mapping[str, Any]) -> None:
    with st.sidebar:
        layout.html(f'<p class="mp-caption">{escape(found.name)}</p>')
        if st.button("Sign out", key="sign_out", type="tertiary"):
            ended = _ended()
            while len(ended) >= MOST_ENDED:
                ended.pop(next(iter(ended)), None)
            ended[_sign(told)] = True
            st.logout()
            st.stop()


def _sign(told: Mapping[str, Any]) -> _Sign:
    """What tells one sign-in from every other."""
    return str(told.get("iss")), str(told.get("sub")), str(told.get("iat"))


@st.cache_resource(show_spinner=False)
def _ended() -> dict[_Sign, bool]:
    """Sign-ins that were signed out of: other tabs, and copies of the cookie, end with them."""
    return {}
