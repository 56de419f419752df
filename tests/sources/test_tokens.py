"""Pages that hand out a token for the next one: followed to the end, begun anew, and never for ever."""

from __future__ import annotations

import pytest

from models.faults import Fault
from pipelines.sources.door import Door, bearer
from pipelines.sources.tokens import BEGINNINGS, Ask, Expired, following

DOOR = Door("desk", "http://127.0.0.1:9", bearer("sesame"))
PAGES = {None: (["a"], "1"), "1": (["b"], "2"), "2": (["c"], None)}


def followed(ask: Ask) -> list[str]:
    return [row for page in following(DOOR, "/rows", ask) for row in page]


def test_pages_are_followed_until_one_names_no_next() -> None:
    assert followed(PAGES.__getitem__) == ["a", "b", "c"]


def test_a_list_is_begun_anew_where_a_token_has_run_out() -> None:
    expiring = iter([True])

    def ask(token: str | None) -> tuple[list[str], str | None]:
        if token == "2" and next(expiring, False):
            raise Expired
        return PAGES[token]

    assert followed(ask) == ["a", "b", "a", "b", "c"]


def test_a_token_that_never_lasts_ends_in_a_fault() -> None:
    asked = []

    def ask(token: str | None) -> tuple[list[str], str | None]:
        asked.append(token)
        if token:
            raise Expired
        return PAGES[token]

    with pytest.raises(Fault, match=r"source desk, GET http://127.0.0.1:9/rows: has forgotten the token of its next"):
        followed(ask)
    assert asked.count(None) == BEGINNINGS


def test_tokens_that_go_in_a_circle_end_in_a_fault() -> None:
    circle = {**PAGES, "2": (["c"], "1")}
    with pytest.raises(Fault, match="gives the token '1' again, so its pages never end"):
        followed(circle.__getitem__)
