"""One source in trouble stays at its last good records, is said to be stale, and does not stop the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small_firm import found, rewrite

from pipelines import refreshing, snapshots, warehouse
from pipelines.refreshing import Refresh
from pipelines.settings import Settings, load

pytestmark = pytest.mark.slow

JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)
CLIENTS = "source_key,name,timezone,currency,is_active\nx1,Birch,Europe/Berlin,USD,{}\n"


def found_two(data: Path) -> Settings:
    """The small firm, and a second source that has one client."""
    settings = found(data)
    (settings.data / "second").mkdir()
    write(settings, CLIENTS.format("true"))
    assert settings.config is not None
    settings.config.write_text(
        settings.config.read_text("utf-8")
        + '\n[sources.second]\nkind = "files"\nfolder = "second"\ntables.clients.glob = "clients.csv"\n',
        "utf-8",
    )
    return load(settings.data, settings.config, {})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both after a refresh that was good for both."""
    settings = found_two(tmp_path_factory.mktemp("good") / "data")
    assert shown(fresh(settings), NAMES) == [("Aster",), ("Birch",)]
    return settings.data


@pytest.fixture
def two(good: Path, tmp_path: Path) -> Settings:
    """A copy of them, to be spoiled."""
    shutil.copytree(good, tmp_path / "data")
    return load(tmp_path / "data", tmp_path / "data" / "milepost.toml", {})


def write(settings: Settings, text: str) -> None:
    (settings.data / "second" / "clients.csv").write_text(text, "utf-8")


def fresh(settings: Settings) -> Refresh:
    """A refresh that publishes and finds no source in trouble."""
    outcome = refreshing.refresh(settings, as_of=JUNE)
    assert (outcome.problems, outcome.stale) == ((), ())
    return outcome


def troubled(settings: Settings) -> Refresh:
    """A refresh that publishes although the second source, and no other, is in trouble."""
    outcome = refreshing.refresh(settings, as_of=JUNE)
    assert outcome.problems == ()
    (line,) = outcome.stale
    assert line.startswith("source second is not up to date")
    return outcome


def shown(outcome: Refresh, query: str) -> list[tuple[Any, ...]]:
    assert outcome.serving is not None
    with duckdb.connect(str(outcome.serving.path), read_only=True) as con:
        return con.execute(query).fetchall()


def missing_column(settings: Settings) -> None:
    write(settings, "source_key,label\nx1,Birch\n")


def unknown_value(settings: Settings) -> None:
    write(settings, CLIENTS.format("perhaps"))


def no_file(settings: Settings) -> None:
    (settings.data / "second" / "clients.csv").unlink()


TOLD = "select source, outcome from marts.source_pulls where is_latest order by source"
NAMES = "select client from marts.clients order by 1"


@pytest.mark.parametrize(
    ("spoil", "outcome", "words"),
    [
        (missing_column, "refused", "the column name is missing"),
        (unknown_value, "refused", "record x1, field is_active: 'perhaps' is not true or false"),
        (no_file, "failed", "clients.csv"),
    ],
)
def test_a_source_in_trouble_stays_at_its_last_good_records_while_another_goes_on(
    two: Settings, spoil: Callable[[Settings], None], outcome: str, words: str
) -> None:
    spoil(two)
    rewrite(two, "clients", "Aster", "Aster & Co")
    for again in (troubled(two), troubled(two)):
        assert words in again.stale[0]
        assert shown(again, NAMES) == [("Aster & Co",), ("Birch",)]
        assert shown(again, TOLD) == [("second", outcome), ("studio", "ok")]


def test_a_source_that_is_mended_is_fresh_again(two: Settings) -> None:
    unknown_value(two)
    troubled(two)
    write(two, CLIENTS.format("false"))
    mended = shown(fresh(two), "select client, is_active from marts.clients order by 1")
    assert mended == [("Aster", True), ("Birch", False)]


def test_a_source_that_was_never_good_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    two = found_two(tmp_path)
    unknown_value(two)
    outcome = troubled(two)
    assert shown(outcome, NAMES) == [("Aster",)]
    assert shown(outcome, TOLD) == [("second", "refused"), ("studio", "ok")]


def test_what_is_held_back_is_held_back_for_earlier_instants_too(two: Settings) -> None:
    write(two, CLIENTS.format("perhaps").replace("Birch", "Beech"))
    troubled(two)
    with warehouse.rebuilt(two, JUNE.replace(month=5)) as con:
        assert con.execute(NAMES).fetchall() == [("Aster",), ("Birch",)]


@pytest.mark.parametrize("spoil", [no_file, unknown_value])
def test_nothing_is_published_where_no_source_is_fresh(two: Settings, spoil: Callable[[Settings], None]) -> None:
    before = snapshots.newest(two.snapshots)
    assert before is not None
    spoil(two)
    (two.inbox / "clients.csv").unlink()
    if spoil is unknown_value:
        (two.inbox / "clients.csv").write_text("source_key,label\nc1,Aster\n", "utf-8")
    outcome = refreshing.refresh(two, as_of=JUNE)
    assert not outcome.ok
    assert outcome.serving == before
