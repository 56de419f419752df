"""Follows pages that hand out a token for the next one, and begins anew where a token has expired.

What stays out: how a page is asked for, and how the tool says that it no longer knows a token (the kinds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pipelines.sources.door import Door

BEGINNINGS = 4  # of one list; a tool whose tokens never last for a page is not asked for ever

Ask = Callable[[str | None], tuple[list[Any], str | None]]


class Expired(Exception):
    """The tool does not know a token any more."""


def following(door: Door, path: str, ask: Ask, method: str = "GET") -> Iterator[list[Any]]:
    """Every page of a list. `ask` is given the token of a page, None for the first, and returns it with the next token.

    Where `ask` raises `Expired` the list is begun anew: its first pages come again, which merging by key makes good.
    """
    for _ in range(BEGINNINGS):
        try:
            yield from _one_run(door, path, ask, method)
        except Expired:
            continue
        return
    what = f"has forgotten the token of its next page {BEGINNINGS} times."
    raise door.fault(path, what, "Pull again; a larger page_size needs fewer tokens.", method)


def _one_run(door: Door, path: str, ask: Ask, method: str) -> Iterator[list[Any]]:
    token, seen = None, set[str]()
    while True:
        page, token = ask(token)
        yield page
        if not token:
            return
        if token in seen:
            cure = "The tool must give another token with every page: look at its status page, and pull again."
            raise door.fault(path, f"gives the token {token!r} again, so its pages never end.", cure, method)
        seen.add(token)
