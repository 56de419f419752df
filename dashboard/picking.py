"""One of very many, such as a project: the first few hundred in a list, and a field that finds the others by words.

A list of twenty thousand names is a megabyte that nobody reads. What stays out: the list itself, which the page draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.layout import caption
from dashboard.numbers import grouped

OFFERED = 200


def offered(names: Mapping[str, str], key: str, counted: str, keep: Sequence[str | None] = ()) -> dict[str, str]:
    """What a list offers of `names`: all; or of very many the first in their order, or those with the words sought, and
    `keep` in any case. `counted` is what they are, in the plural.
    """
    if len(names) <= OFFERED:
        return dict(names)
    sought = st.text_input(
        f"Find among {grouped(len(names), 0)} {counted}", key=f"{key}_sought", placeholder="Words of its name",
    )  # fmt: skip
    words = str(sought or "").lower().split()
    found = [one for one, name in names.items() if all(word in name.lower() for word in words)] if words else [*names]
    kept = dict.fromkeys(one for one in keep if one is not None and one in names)
    listed = {*kept, *[one for one in found if one not in kept][: OFFERED - len(kept)]}
    shown = [one for one in names if one in listed]
    if words and not found:
        caption(f"None of {grouped(len(names), 0)} {counted} has these words.")
    elif len(found) > OFFERED:
        caption(f"The list below holds {len(shown)} of {grouped(len(found), 0)} {counted}: words find the others.")
    return {one: names[one] for one in shown}
