"""How a tool is asked: waits in its own headers and units, answers worth asking for again, and plain words for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
from loopback import Loopback, Reply, Trouble, serving

from models.faults import Fault
from pipelines.sources.door import Credentials, Door, Limits, Patience, Unit, bearer

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DATE = {"Date": format_datetime(NOON, usegmt=True)}
SECRET = "s3cret-token"
THRICE = Patience(attempts=3, backoff_seconds=1)


@contextmanager
def door(*troubles: Trouble, patience: Patience = THRICE, **told: Any) -> Iterator[tuple[Door, Loopback, list[float]]]:
    """A door to a tool that has these troubles first and answers then, and the seconds it slept, none of them real."""
    slept: list[float] = []
    with serving(lambda request: Reply({"data": [request.query]})) as tool:
        tool.troubles.extend(troubles)
        told = {"secrets": (SECRET,), **told}
        yield Door("desk", tool.url, bearer(SECRET), patience=patience, sleep=slept.append, **told), tool, slept


def refusal(*troubles: Trouble, **told: Any) -> str:
    with door(*troubles, **told) as (opened, _, _), pytest.raises(Fault) as caught:
        opened.get("/gates")
    return str(caught.value)


def limited(**headers: str) -> Reply:
    return Reply({"message": "slow down"}, 429, {**DATE, **headers})


@pytest.mark.parametrize(
    ("limits", "headers", "seconds"),
    [
        (Limits(), {"Retry-After": "7"}, 7),
        (Limits(), {"Retry-After": format_datetime(NOON + timedelta(seconds=9), usegmt=True)}, 9),
        (Limits(wait="X-Retry-After", wait_unit="epoch_ms"), {"X-Retry-After": f"{(NOON.timestamp() + 4) * 1000:.0f}"}, 4),
        (Limits(wait="X-Rate-Limit-Reset", wait_unit="epoch"), {"X-Rate-Limit-Reset": f"{NOON.timestamp() + 5:.0f}"}, 5),
        (Limits(wait="Resets", wait_unit="iso"), {"Resets": (NOON + timedelta(seconds=6)).isoformat()}, 6),
    ],
    ids=["seconds", "an HTTP date", "milliseconds since 1970", "seconds since 1970", "ISO 8601"],
)  # fmt: skip
def test_a_tool_is_given_the_time_it_asks_for_in_its_own_header_and_unit(
    limits: Limits, headers: dict[str, str], seconds: float
) -> None:
    with door(limited(**headers), limits=limits) as (opened, tool, slept):
        assert opened.get("/gates").status == 200
    assert slept == [pytest.approx(seconds, abs=0.01)]
    assert len(tool.asked) == 2


def test_a_clock_that_is_five_minutes_off_does_not_change_how_long_is_waited() -> None:
    """Instants are read against the tool's own Date, not against ours."""
    late = NOON - timedelta(minutes=5)
    told = Reply({}, 429, {"Date": format_datetime(late, usegmt=True), "Retry-After": format_datetime(late + timedelta(seconds=3), usegmt=True)})  # fmt: skip
    with door(told) as (opened, _, slept):
        opened.get("/gates")
    assert slept == [3]


def test_the_wait_has_a_ceiling_and_the_asking_an_end() -> None:
    with door(*[limited(**{"Retry-After": "9999"})] * 3, patience=Patience(attempts=3, ceiling_seconds=30)) as opened:
        asked, tool, slept = opened
        with pytest.raises(Fault, match=r"still says that it is asked too often \(429, Retry-After: 9999\)"):
            asked.get("/gates")
    assert slept == [30, 30]
    assert len(tool.asked) == 3


def test_waits_that_nobody_asks_for_double_with_jitter_of_their_own_for_each_source() -> None:
    waits = {}
    for name in ("one", "two"):
        slept: list[float] = []
        with serving(lambda _: Reply({}, 503)) as tool:
            patience = Patience(attempts=6, backoff_seconds=1)
            with pytest.raises(Fault, match=r"answers 503"):
                Door(name, tool.url, bearer("x"), patience=patience, sleep=slept.append).get("/gates")
        waits[name] = slept
    assert all(2**n / 2 <= wait <= 2**n for told in waits.values() for n, wait in enumerate(told))
    assert all(later > earlier / 1.01 for told in waits.values() for earlier, later in pairwise(told))
    assert waits["one"] != waits["two"]


def test_a_door_waits_before_it_asks_where_no_request_is_left() -> None:
    limits = Limits(left=("X-Minute-Left", "X-Day-Left"), allowed="X-Limit", reset="X-Reset", reset_unit="epoch")
    left = {**DATE, "X-Minute-Left": "0", "X-Day-Left": "40", "X-Limit": "60", "X-Reset": f"{NOON.timestamp() + 8:.0f}"}
    with door(Reply({"data": []}, 200, left), limits=limits) as (opened, _, slept):
        opened.get("/gates")
        assert opened.headroom == "0 of 60 requests left"
        opened.get("/gates")
    assert slept == [8]


@pytest.mark.parametrize("unit", ["seconds", "epoch", "epoch_ms", "iso"])
def test_a_header_that_is_nonsense_is_no_wait_at_all(unit: Unit) -> None:
    with door(limited(**{"Retry-After": "soon"}), limits=Limits(wait_unit=unit)) as (opened, _, slept):
        opened.get("/gates")
    assert 0.5 <= slept[0] <= 1  # our own first wait


@pytest.mark.parametrize(
    "trouble", ["cut", "drop", Reply({}, 500), Reply(b'{"data": [{"id": 1'), Reply(b""), Reply("<html>Busy</html>")]
)
def test_what_breaks_off_is_asked_for_again(trouble: Trouble) -> None:
    with door(trouble) as (opened, tool, _):
        assert opened.get("/gates").body == {"data": [{}]}
    assert len(tool.asked) == 2


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("cut", "breaks off in the middle of a page, every time it is asked"),
        ("drop", "cannot be reached"),
        (Reply(b'{"data": [{"id": 1'), "answers a page that is not whole JSON"),
        (Reply({}, 502), "answers 502. Pull again later"),
        (Reply("<html>Sign in</html>"), "answers an HTML page instead of JSON. Check the url"),
        (Reply({"errors": [{"message": "Complexity budget exhausted"}]}), "answers with an error: Complexity budget exhausted"),
        (Reply({"error": {"message": "no such token"}}, 401), "refuses the token (401). Set the token of source desk anew"),
        (Reply({"errors": [{"message": "not a member", "help": "ask"}]}, 403), "refuses the token (403): not a member. Give the account"),
        (Reply({"errorMessages": ["No project PX"]}, 400), "answers 400: No project PX. Check the url and the settings"),
        (Reply(b'{"amount": NaN}'), "not whole JSON (NaN is not JSON"),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_said_plainly(trouble: Trouble, words: str) -> None:
    told = refusal(*[trouble] * 3)
    assert told.startswith("source desk, GET http://127.0.0.1:")
    assert words in told


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    with door(Reply({}, status)) as (opened, tool, _), pytest.raises(Fault):
        opened.get("/gates")
    assert len(tool.asked) == 1


def test_a_secret_shows_in_no_message_even_where_the_tool_repeats_it() -> None:
    for reply in (Reply({"message": f"bad key {SECRET}"}, 400), Reply({"errors": [{"message": f"{SECRET} expired"}]})):
        told = refusal(reply)
        assert SECRET not in told
        assert "…" in told


@pytest.mark.parametrize("header", ["Authorization", "X-Redmine-API-Key"])
def test_credentials_do_not_follow_a_redirect_to_another_host(header: str) -> None:
    with (
        serving(lambda request: Reply({"seen": request.headers.get(header.lower())})) as other,
        serving(lambda _: Reply({}, 302, {"Location": other.url.replace("127.0.0.1", "localhost") + "/gates"})) as tool,
    ):
        assert Door("desk", tool.url, Credentials({header: SECRET})).get("/gates").body == {"seen": None}
    assert tool.asked[0].headers[header.lower()] == SECRET


def test_money_keeps_its_digits() -> None:
    with door(Reply(b'{"total": 1250.10, "tax": 0.1234567890123456789}')) as (opened, _, _):
        assert {name: str(value) for name, value in opened.get("/gates").body.items()} == {
            "total": "1250.10",
            "tax": "0.1234567890123456789",
        }
