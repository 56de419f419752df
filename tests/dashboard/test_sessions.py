"""The dashboard as it is served, read over its own websocket: small views, a second look for nothing, one snapshot each.

The readers are the bench's (bench/sessions.py). Clocks are looked at by `make bench`, not here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import published
import pytest
from opened_pages import PAGES, Open, html_of

from dashboard import ahead, charts, data
from dashboard.filters import PERIODS, Filters, code
from dashboard.keeping import Kept
from dashboard.views.compare import SIDE_BY_SIDE
from models import build, measure
from models.measure import Question
from pipelines import snapshots

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

import pages
import sessions

pytestmark = pytest.mark.slow  # they serve portfolios

MOST_SENT = 200_000  # bytes of a view
READERS, PUBLISHED = 4, 2
THINK_SECONDS = 0.3  # between two views of a reader
ANY_PROJECT = "select project_id from marts.projects limit 1"  # asked once, where something is empty
AS_IN_THE_DEMO = 150


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[pages.Served, Path]]:
    """The dashboard over a portfolio as large as the demo's."""
    folder = tmp_path_factory.mktemp("served")
    published.publish(folder, projects=AS_IN_THE_DEMO)
    with pages.served(folder, folder / "dashboard.log") as dashboard:
        yield dashboard, folder


def test_no_page_of_the_demos_portfolio_sends_more_than_two_hundred_kilobytes(
    served: tuple[pages.Served, Path],
) -> None:
    dashboard, _ = served

    async def walk() -> list[sessions.View]:
        views = []
        async with sessions.session(dashboard.port) as reader:
            for page in PAGES:
                views.append(await reader.open(page))
            views.append(await reader.choose(pick_period="All time"))
        return views

    views = asyncio.run(walk())
    assert [view.errors for view in views if view.errors] == []
    assert {view.page: view.sent for view in views if view.sent > MOST_SENT} == {}
    assert all(view.charts for view in views if view.page not in ("definitions",))


def test_readers_see_one_snapshot_a_view_while_others_are_published(served: tuple[pages.Served, Path]) -> None:
    """Each view's tiles are what its own snapshot answers, whichever was published meanwhile."""
    dashboard, folder = served
    seen: list[sessions.View] = []
    serving = [snapshots.newest(folder / "snapshots")]
    is_over = asyncio.Event()

    async def read(place: int) -> None:
        async with sessions.session(dashboard.port) as reader:
            while not is_over.is_set():
                seen.append(await reader.open(pages.MAIN[(place + len(seen)) % len(pages.MAIN)]))
                await asyncio.sleep(THINK_SECONDS)

    async def publish() -> None:
        for step in range(PUBLISHED):
            at = published.AS_OF + timedelta(days=step + 1)
            serving.append(await asyncio.to_thread(published.republish, folder, at))
            before = len(seen)
            while len(seen) < before + READERS + 1:
                await asyncio.sleep(0.05)
        is_over.set()

    async def together() -> None:
        await asyncio.gather(publish(), *(read(place) for place in range(READERS)))

    asyncio.run(together())
    assert [view.errors for view in seen if view.errors] == []
    assert all(len(view.snapshots) == 1 for view in seen)
    told = {one.id: one for one in serving if one is not None}
    assert {next(iter(view.snapshots)) for view in seen} >= {*told} - {serving[0].id if serving[0] else ""}
    for view in seen:
        assert view.tiles == _answers(told[next(iter(view.snapshots))], view.tiles), view.page


def _answers(snapshot: snapshots.Snapshot, tiles: dict[str, str]) -> dict[str, str]:
    """What a snapshot says of the measures that tiles show, over the last twelve months."""
    since, until = Filters().span(snapshot.as_of.date())
    found = {}
    with duckdb.connect(str(snapshot.path), read_only=True) as con:
        build.steady(con)
        for name in tiles:
            spans = measure.catalogue()[name].spans
            question = Question(name, since=since if spans else None, until=until if spans else None)
            value = measure.answer(con, question).row(0, named=True)["value"]
            found[name] = "" if value is None else str(value)
    return found


@pytest.mark.parametrize("page", pages.MAIN)
def test_a_second_look_at_a_page_asks_the_snapshot_nothing(
    open_page: Open, full: Path, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_page(full, page)
    asked: list[object] = []
    connected = data._connection
    monkeypatch.setattr(data, "_connection", lambda *given: (asked.append(given), connected(*given))[1])
    second = open_page(full, page)
    assert asked == []
    assert html_of(second) == html_of(first)


def test_of_a_long_table_the_first_rows_are_sent_and_the_rest_is_said_to_stand_in_the_files(
    open_page: Open, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = max(len(table.value) for table in open_page(full, "billing").dataframe)
    monkeypatch.setattr(charts, "LISTED", 5)
    cut = open_page(full, "billing")
    assert max(len(table.value) for table in cut.dataframe) == 5
    assert f"The first 5 of {whole:,} rows" in html_of(cut)


def test_what_only_a_file_tells_is_not_asked_for_a_page(
    open_page: Open, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[Question] = []
    monkeypatch.setattr(data, "_answers", Kept(1000, 10**8))
    monkeypatch.setattr(measure, "explain", lambda con, question: explained.append(question))
    assert not open_page(full, "billing").exception
    assert explained == []


def test_however_many_filters_are_set_answers_and_figures_stay_within_their_bounds(
    open_page: Open, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, figures = Kept(40, 400_000), Kept(5, 400_000)
    monkeypatch.setattr(data, "_answers", answers)
    monkeypatch.setattr(charts, "_figures", figures)
    for period in ("30d", "90d", "ytd", "all"):
        assert not open_page(full, "flow", {"period": period}).exception
        assert len(answers) <= 40
        assert len(figures) <= 5
        assert answers.bytes <= 400_000
        assert figures.bytes <= 400_000
    assert len(figures) == 5


class _AtOnce:
    """Asks ahead before the page is drawn, so that it can be told what was asked."""

    @staticmethod
    def submit(ask: Any, *given: Any) -> None:
        ask(*given)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What snapshots are asked for from now on, by whom: ahead, or by the page that is drawn. Nothing is kept yet."""
    told: list[str] = []
    asks, answered = ahead._ask, data._answered
    by = ["page"]

    def asks_ahead(*given: Any) -> None:
        by.append("ahead")
        asks(*given)
        by.pop()

    monkeypatch.setattr(data, "_answers", Kept(4000, 10**8))

    def asked_for(path: str, day: Any, sight: Any, key: Any, ask: Any) -> Any:
        return answered(path, day, sight, key, lambda con: (told.append(f"{by[-1]}: {key}"), ask(con))[1])

    monkeypatch.setattr(data, "_answered", asked_for)
    monkeypatch.setattr(ahead, "_ask", asks_ahead)
    monkeypatch.setattr(ahead, "_usual", {})
    for executor in ("_drawing", "_beside"):
        monkeypatch.setattr(ahead, executor, _AtOnce)
    return told


def test_under_other_filters_a_page_finds_all_it_asks_for_asked_ahead(
    open_page: Open, full: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_page(full, "overview")
    assert asked
    assert not any(one.startswith("ahead") for one in asked)
    asked.clear()
    shown = open_page(full, "overview", {"period": "90d"})
    assert asked
    assert [one for one in asked if one.startswith("page")] == []
    monkeypatch.setattr(data, "_answers", Kept(1000, 10**8))
    monkeypatch.setattr(ahead, "_usual", {})
    assert html_of(open_page(full, "overview", {"period": "90d"})) == html_of(shown)


def test_compare_asks_about_its_two_clients_beside_and_of_each_measure_once(
    open_page: Open, full: Path, asked: list[str]
) -> None:
    open_page(full, "compare")
    of_both = [one for one in asked if "('client_id',), (('client_id', (" in one]
    assert len(of_both) == len({*of_both}) > len(SIDE_BY_SIDE)
    assert all(one.startswith("ahead") for one in of_both)


def test_a_tile_asks_its_number_its_change_and_its_months_at_once(
    open_page: Open, full: Path, asked: list[str]
) -> None:
    open_page(full, "overview")
    assert [one.split(",")[0] for one in asked if "('B1', ()" in one] == ["page: ('trend'"]


def test_while_nobody_opens_a_page_what_lies_one_change_away_is_asked(
    open_page: Open, full: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "_asks_beside", True)
    monkeypatch.setattr(ahead, "QUIET_SECONDS", 0)
    open_page(full, "billing")
    assert any(one.startswith("ahead") for one in asked)
    monkeypatch.setattr(ahead, "_asks_beside", False)
    asked.clear()
    for params in ({"period": "30d"}, {"period": "all"}, {"playbook": code("custom_home")}):
        assert not open_page(full, "billing", params).exception
    assert [one for one in asked if ANY_PROJECT not in one] == []


def test_asking_beside_ends_when_a_page_is_opened(
    open_page: Open, full: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Filters] = []

    def near(filters: Filters, _: object) -> Iterator[Filters]:
        for one in ahead_near(filters, {}):
            tried.append(one)
            yield one
            ahead._open()

    ahead_near = ahead.near
    monkeypatch.setattr(ahead, "near", near)
    monkeypatch.setattr(ahead, "_asks_beside", True)
    monkeypatch.setattr(ahead, "QUIET_SECONDS", 0)
    open_page(full, "billing")
    assert len(tried) == len(PERIODS) - 1
    asked.clear()
    monkeypatch.setattr(ahead, "_asks_beside", False)
    open_page(full, "billing", {"period": tried[0].period})
    assert [one for one in asked if ANY_PROJECT not in one] == []
    open_page(full, "billing", {"period": tried[1].period})
    assert [one for one in asked if ANY_PROJECT not in one]
