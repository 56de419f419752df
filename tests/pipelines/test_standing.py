"""A refresh makes anew only what would come out different, and comes out the same as making everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import small_firm
from small_firm import found, rewrite

from models import catalog
from pipelines import refreshing, warehouse
from pipelines.settings import Settings, load

pytestmark = pytest.mark.slow

JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)


def marts(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    # when each source was pulled is no part of what its records mean
    return {
        name: con.execute(f"select * from marts.{name} order by all").fetchall()
        for name in catalog.marts()
        if name != "source_pulls"
    }


def refreshed(settings: Settings, as_of: datetime) -> set[str]:
    """Refreshes, compares every mart with one made from scratch, and returns the tables made anew."""
    outcome = refreshing.refresh(settings, as_of=as_of)
    assert outcome.problems == ()
    return compared(settings, as_of)


def compared(settings: Settings, as_of: datetime) -> set[str]:
    """Compares every mart with one made from scratch, and returns the tables that were made for that instant."""
    with warehouse.rebuilt(settings, as_of) as scratch:
        expected = marts(scratch)
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        assert marts(con) == expected
        rows = con.execute("select table_name from ops.builds where made_for = ?", [as_of.replace(tzinfo=None)])
        return {table for (table,) in rows.fetchall()}


def with_clock() -> set[str]:
    return {model.table for model in catalog.marts().values() if "$as_of" in model.sql}


def test_a_day_on_which_nothing_changed_makes_only_what_the_clock_moves(tmp_path: Path) -> None:
    settings = small_firm.refreshed(tmp_path, JUNE)
    assert len(compared(settings, JUNE)) == 12 + len(catalog.marts())
    later = refreshed(settings, JUNE + timedelta(days=1))
    assert "staging.milestones" not in later
    assert with_clock() <= later
    assert {"marts.gate_spans", "marts.working_days", "marts.clients"}.isdisjoint(later)


def test_the_same_instant_again_makes_nothing(tmp_path: Path) -> None:
    settings = small_firm.refreshed(tmp_path, JUNE)
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute("comment on table marts.gates is 'not made since'")
    refreshed(settings, JUNE)
    with duckdb.connect(str(settings.warehouse)) as con:
        assert con.execute("select comment from duckdb_tables() where table_name = 'gates'").fetchall() == [
            ("not made since",)
        ]


def changed_file(settings: Settings) -> Settings:
    rewrite(settings, "milestone_events", "2026-01-07T12:00:00Z", "2026-01-06T12:00:00Z")
    return settings


def removed_rows(settings: Settings) -> Settings:
    file = settings.inbox / "invoice_lines.csv"
    file.write_text(file.read_text().splitlines()[0] + "\n")
    return settings


def another_currency(settings: Settings) -> Settings:
    (settings.data / "rates").mkdir()
    (settings.data / "rates" / "rates.csv").write_text("day,currency,rate\n2026-01-01,USD,0.9\n2026-01-11,USD,0.8\n")
    assert settings.config is not None
    settings.config.write_text('reporting_currency = "EUR"\n' + settings.config.read_text())
    return load(settings.data, settings.config, {})


@pytest.mark.parametrize("change", [changed_file, removed_rows, another_currency])
def test_whatever_changes_the_refresh_comes_out_as_if_made_from_scratch(
    tmp_path: Path, change: Callable[[Settings], Settings]
) -> None:
    settings = small_firm.refreshed(tmp_path, JUNE)
    assert "staging.milestone_events" in refreshed(change(settings), JUNE + timedelta(days=1))


def test_an_event_of_the_future_is_seen_once_its_time_has_come(tmp_path: Path) -> None:
    settings = found(tmp_path)
    before = datetime(2026, 1, 6, tzinfo=UTC)
    refreshed(settings, before)
    assert "staging.milestone_events" in refreshed(settings, before + timedelta(days=3))
    assert "staging.milestone_events" not in refreshed(settings, before + timedelta(days=9))


def test_going_back_in_time_makes_everything_anew(tmp_path: Path) -> None:
    settings = small_firm.refreshed(tmp_path, JUNE)
    assert "staging.milestone_events" in refreshed(settings, datetime(2026, 1, 6, tzinfo=UTC))


def test_a_table_that_was_lost_is_made_anew(tmp_path: Path) -> None:
    settings = small_firm.refreshed(tmp_path, JUNE)
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute("drop table marts.gate_spans")
    assert "marts.gate_spans" in refreshed(settings, JUNE + timedelta(days=1))
