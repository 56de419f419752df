"""A snapshot rewound to an earlier instant holds what the warehouse gives for it, row for row."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from published import AS_OF, settings_of

from models import catalog, rewinding
from models.faults import Fault
from pipelines import snapshots, warehouse

pytestmark = pytest.mark.slow  # they build whole portfolios

THEN = datetime(2026, 2, 14, 23, 59, 59, 999999, tzinfo=UTC)
AHEAD = "where day_on < '2027-12-31'"  # the kept calendars run on to the end of the year after the snapshot's


def test_a_rewound_snapshot_is_what_the_warehouse_gives_for_that_instant(full: Path) -> None:
    serving = snapshots.newest(settings_of(full).snapshots)
    assert serving is not None
    with warehouse.rebuilt(settings_of(full), THEN) as asked, rewinding.rewound(serving.path, THEN) as kept:
        for name in catalog.marts():
            only = AHEAD if name == "working_days" else ""
            sql = f"from marts.{name} {only} order by all"
            assert kept.execute(sql).fetchall() == asked.execute(sql).fetchall(), name
        assert kept.execute("select as_of from marts.snapshot").fetchall() == [(THEN.replace(tzinfo=None),)]
        tables = kept.execute("select distinct schema_name from duckdb_tables()").fetchall()
        assert tables == [("marts",)]


def test_a_snapshot_rewound_to_its_own_instant_is_itself(full: Path) -> None:
    serving = snapshots.newest(settings_of(full).snapshots)
    assert serving is not None
    with duckdb.connect(str(serving.path), read_only=True) as con, rewinding.rewound(serving.path, AS_OF) as kept:
        for name in catalog.marts():
            sql = f"from marts.{name} order by all"
            assert kept.execute(sql).fetchall() == con.execute(sql).fetchall(), name


def test_a_snapshot_without_records_says_how_to_get_some(tmp_path: Path) -> None:
    file = tmp_path / "bare.duckdb"
    with duckdb.connect(str(file)) as con:
        con.execute("create schema marts")
    with pytest.raises(Fault, match="keeps no records to rewind"):
        rewinding.rewound(file, THEN)
