"""One source in trouble stays at its last good records, is said to be stale, and does not stop the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small_firm import found, rewrite

from pipelines import refreshing, warehouse
from pipelines.settings import Settings, load

pytestmark = pytest.mark.slow

JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)
CLIENTS = "source_key,name,timezone,currency,is_active\nx1,Birch,Europe/Berlin,USD,{}\n"


@pytest.fixture
def two(tmp_path: Path) -> Settings:
    """The small firm, and a second source that has one client."""
    settings = found(tmp_path)
    (settings.data / "second").mkdir()
    write(settings, CLIENTS.format("true"))
    assert settings.config is not None
    settings.config.write_text(
        settings.config.read_text("utf-8")
        + '\n[sources.second]\nkind = "files"\nfolder = "second"\ntables.clients.glob = "clients.csv"\n',
        "utf-8",
    )
    return load(settings.data, settings.config, {})


def write(settings: Settings, text: str) -> None:
    (settings.data / "second" / "clients.csv").write_text(text, "utf-8")


def shown(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    outcome = refreshing.refresh(settings, as_of=JUNE)
    assert outcome.problems == ()
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
    assert shown(two, NAMES) == [("Aster",), ("Birch",)]
    spoil(two)
    rewrite(two, "clients", "Aster", "Aster & Co")
    refreshed = refreshing.refresh(two, as_of=JUNE)
    assert refreshed.problems == ()
    (line,) = refreshed.stale
    assert line.startswith("source second is not up to date")
    assert words in line
    assert shown(two, NAMES) == [("Aster & Co",), ("Birch",)]
    assert shown(two, TOLD) == [("second", outcome), ("studio", "ok")]


def test_a_source_that_is_mended_is_fresh_again(two: Settings) -> None:
    shown(two, NAMES)
    unknown_value(two)
    assert refreshing.refresh(two, as_of=JUNE).stale
    write(two, CLIENTS.format("false"))
    assert shown(two, "select client, is_active from marts.clients order by 1") == [("Aster", True), ("Birch", False)]
    assert refreshing.refresh(two, as_of=JUNE).stale == ()


def test_a_source_that_was_never_good_is_left_out_and_said_to_be(two: Settings) -> None:
    unknown_value(two)
    assert shown(two, NAMES) == [("Aster",)]
    assert shown(two, TOLD) == [("second", "refused"), ("studio", "ok")]


def test_what_is_held_back_is_held_back_for_earlier_instants_too(two: Settings) -> None:
    shown(two, NAMES)
    write(two, CLIENTS.format("perhaps").replace("Birch", "Beech"))
    refreshing.refresh(two, as_of=JUNE)
    with warehouse.rebuilt(two, JUNE.replace(month=5)) as con:
        assert con.execute(NAMES).fetchall() == [("Aster",), ("Birch",)]


@pytest.mark.parametrize("spoil", [no_file, unknown_value])
def test_nothing_is_published_where_no_source_is_fresh(two: Settings, spoil: Callable[[Settings], None]) -> None:
    before = refreshing.refresh(two, as_of=JUNE).serving
    spoil(two)
    (two.inbox / "clients.csv").unlink()
    if spoil is unknown_value:
        (two.inbox / "clients.csv").write_text("source_key,label\nc1,Aster\n", "utf-8")
    outcome = refreshing.refresh(two, as_of=JUNE)
    assert not outcome.ok
    assert outcome.serving == before
