"""Snapshots are whole, newly named and kept; readers never see a half, and there is a way back."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from models import catalog
from models.faults import Fault
from pipelines import snapshots

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(str(tmp_path / "warehouse.duckdb"))
    con.execute("create schema marts")
    con.execute("create table marts.gates as select 1 as gate_id, 3.5 as cycle_days")
    con.execute("create schema staging")
    con.execute("create table staging.milestones as select 1 as x")
    yield con
    con.close()


def publish(con: duckdb.DuckDBPyConnection, folder: Path, minutes: int = 0, keep: int = 7) -> snapshots.Snapshot:
    return snapshots.publish(
        con, folder, AS_OF, AS_OF + timedelta(minutes=minutes), reporting_currency="USD", keep=keep
    )


def gates_in(file: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(file), read_only=True) as con:
        return con.execute("select gate_id from marts.gates order by 1").fetchall()


def test_a_snapshot_holds_the_marts_alone_and_one_row_about_itself(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    made = publish(warehouse, tmp_path / "snapshots")
    with duckdb.connect(str(made.path), read_only=True) as con:
        assert con.execute("select schema_name, table_name from duckdb_tables() order by 2").fetchall() == [
            ("marts", "gates"),
            ("marts", "snapshot"),
        ]
        row = con.sql("select snapshot_id, as_of, reporting_currency from marts.snapshot").pl().row(0)
    assert row == (made.id, AS_OF.replace(tzinfo=None), "USD")
    assert made.path.name.startswith("milepost-20260630T120000Z-")


def test_tables_and_columns_carry_their_headers_words_as_comments(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    made = publish(warehouse, tmp_path / "snapshots")
    with duckdb.connect(str(made.path), read_only=True) as con:
        tables = con.execute("select comment from duckdb_tables() where table_name = 'gates'").fetchall()
        columns = con.execute("select comment from duckdb_columns() where column_name = 'cycle_days'").fetchall()
    header = catalog.marts()["gates"]
    assert tables == [(header.about,)]
    assert columns == [(header.columns["cycle_days"],)]


def test_the_newest_publish_serves_and_the_warehouse_stays_usable(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots"
    publish(warehouse, folder)
    warehouse.execute("insert into marts.gates values (2, 1.0)")
    second = publish(warehouse, folder, minutes=1)
    assert snapshots.newest(folder) == second
    assert gates_in(second.path) == [(1,), (2,)]
    assert not list(folder.glob("*.wal"))


def test_two_publishes_in_the_same_second_get_two_names(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert publish(warehouse, tmp_path).path != publish(warehouse, tmp_path).path


def test_a_reader_of_the_previous_snapshot_keeps_its_numbers(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots"
    first = publish(warehouse, folder, keep=1)
    with duckdb.connect(str(first.path), read_only=True) as reader:
        warehouse.execute("insert into marts.gates values (2, 1.0)")
        publish(warehouse, folder, minutes=1, keep=1)
        assert reader.execute("select count(*) from marts.gates").fetchall() == [(1,)]


def test_only_the_last_few_are_kept(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = [publish(warehouse, tmp_path / "s", minutes=m, keep=2) for m in range(4)]
    assert [one.id for one in snapshots.available(tmp_path / "s")] == [made[3].id, made[2].id]
    assert len(list((tmp_path / "s").iterdir())) == 5  # two files, two cards, the pointer


def test_a_roll_back_serves_the_older_one_until_the_next_publish(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots"
    first, second = publish(warehouse, folder), publish(warehouse, folder, minutes=1)
    assert snapshots.roll_back(folder, first.id) == first
    assert [(one.id, one.is_current) for one in snapshots.available(folder)] == [
        (second.id, False),
        (first.id, True),
    ]
    third = publish(warehouse, folder, minutes=2)
    assert snapshots.newest(folder) == third


def test_a_roll_back_to_an_unknown_snapshot_names_those_there_are(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    made = publish(warehouse, tmp_path / "s")
    with pytest.raises(Fault, match=f"'nonesuch'.*{made.id}"):
        snapshots.roll_back(tmp_path / "s", "nonesuch")
    assert snapshots.newest(tmp_path / "s") == made


@pytest.mark.parametrize("damage", ["cut short", "overwritten", "gone", "card gone", "card garbled", "pointer garbled"])
def test_a_damaged_snapshot_is_passed_over_for_the_newest_whole_one(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "snapshots"
    first, second = publish(warehouse, folder), publish(warehouse, folder, minutes=1)
    file, card = second.path, second.path.with_suffix(".json")
    match damage:
        case "cut short":
            file.write_bytes(file.read_bytes()[:-4096])
        case "overwritten":
            file.write_bytes(b"<html>" + file.read_bytes()[6:])
        case "gone":
            file.unlink()
        case "card gone":
            card.unlink()
        case "card garbled":
            card.write_text('{"as_of": 7')
        case "pointer garbled":
            (folder / "current").write_bytes(b"\xff../../etc")
    expected = second.id if damage == "pointer garbled" else first.id
    served = snapshots.newest(folder)
    assert served is not None
    assert (served.id, served.is_current) == (expected, True)
    assert snapshots.available(folder)[0].id == expected


def test_no_snapshot_yet_is_an_answer(tmp_path: Path) -> None:
    assert snapshots.newest(tmp_path / "none") is None
    assert snapshots.available(tmp_path / "none") == []
    assert snapshots.sweep(tmp_path / "none") == []


def test_leftovers_are_swept_and_nothing_else(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = publish(warehouse, tmp_path / "s")
    leftovers = [
        tmp_path / "s" / name
        for name in (
            "20260630T130000Z-0badf00d.duckdb.tmp",
            "20260630T130000Z-0badf00d.duckdb.tmp.wal",
            "current.0badf00d.tmp",
            "milepost-20260630T130000Z-0badf00d.json",
        )
    ]
    for path in leftovers:
        path.write_text("half")
    assert sorted(snapshots.sweep(tmp_path / "s")) == sorted(leftovers)
    assert snapshots.newest(tmp_path / "s") == made


def test_a_publish_that_fails_leaves_no_trace(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = publish(warehouse, tmp_path / "s")
    warehouse.execute("create table marts.snapshot as select 1 as x")  # the name is taken
    with pytest.raises(duckdb.Error):
        publish(warehouse, tmp_path / "s", minutes=1)
    warehouse.execute("drop table marts.snapshot")
    assert snapshots.newest(tmp_path / "s") == made
    assert len(list((tmp_path / "s").iterdir())) == 3
    publish(warehouse, tmp_path / "s", minutes=2)


PUBLISHER = """
import sys, duckdb
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pipelines import snapshots
con = duckdb.connect(sys.argv[1])
at = datetime(2026, 7, 1, tzinfo=UTC)
for turn in range(10_000):
    published_at = at + timedelta(seconds=turn)
    snapshots.publish(con, Path(sys.argv[2]), at, published_at, reporting_currency="USD", keep=3)
    print(turn, flush=True)
"""


@pytest.mark.slow
def test_a_kill_during_publish_never_leaves_a_half_snapshot(tmp_path: Path) -> None:
    folder, file = tmp_path / "snapshots", tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(file)) as con:
        con.execute("create schema marts")
        con.execute("create table marts.gates as select range as gate_id, random() as r from range(20000)")
    for round_ in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, str(file), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.011 * round_)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        served = snapshots.newest(folder)
        assert served is not None
        for one in snapshots.available(folder):
            assert len(gates_in(one.path)) == 20000
    snapshots.sweep(folder)
    assert {path.suffix for path in folder.iterdir()} == {".duckdb", ".json", ""}
