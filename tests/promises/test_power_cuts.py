"""A file cut off at any byte, as a power cut leaves it, or overwritten with zeros, as a bad disk does.

Readers are given the newest whole snapshot, the writer loses nothing. Snapshots are made durable step by step, so that
none is named before all of it is on the disk; the warehouse is the engine's to mend, by its log, and to notice, by the
checksum of each block.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import pytest
from warm_refreshes import WARM, warm_up

from models.faults import Fault
from pipelines import snapshots, warehouse

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
BLOCK = 4096


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as opened:
        opened.execute("create schema marts; create table marts.gates as select range as gate_id from range(1000)")
        yield opened


@pytest.fixture
def two(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> tuple[snapshots.Snapshot, snapshots.Snapshot]:
    """An older and a newer snapshot, the newer one serving."""
    folder = tmp_path / "snapshots"
    return publish(con, folder, 0), publish(con, folder, 1)


def publish(con: duckdb.DuckDBPyConnection, folder: Path, minutes: int) -> snapshots.Snapshot:
    at = AS_OF + timedelta(minutes=minutes)
    return snapshots.publish(con, folder, at, at, reporting_currency="USD", keep=5)


def served(folder: Path) -> str:
    """The snapshot that serves, which must be whole to its last row."""
    found = snapshots.newest(folder)
    assert found is not None
    with duckdb.connect(str(found.path), read_only=True) as reading:
        assert reading.execute("select count(*), sum(gate_id) from marts.gates").fetchall() == [(1000, 499_500)]
    return found.id


def named(folder: Path) -> str | None:
    """The snapshot that serves, unopened."""
    found = snapshots.newest(folder)
    return found and found.id


def cut(file: Path, whole: bytes, size: int) -> None:
    file.write_bytes(whole[:size])


def test_a_pointer_that_is_cut_anywhere_leads_to_the_newest_whole_snapshot(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    pointer = tmp_path / "snapshots" / snapshots.POINTER
    whole = pointer.read_bytes()
    for size in range(len(whole)):
        cut(pointer, whole, size)
        assert named(pointer.parent) == two[1].id
    assert served(pointer.parent) == two[1].id


def test_a_snapshot_whose_card_is_cut_anywhere_is_passed_over(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    card = two[1].path.with_suffix(".json")
    whole = card.read_bytes()
    for size in range(len(whole)):
        cut(card, whole, size)
        assert named(tmp_path / "snapshots") == two[0].id
    assert served(tmp_path / "snapshots") == two[0].id


def test_a_snapshot_that_is_cut_at_any_block_is_passed_over(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    whole = two[1].path.read_bytes()
    for size in range(0, len(whole), 16 * BLOCK):
        cut(two[1].path, whole, size)
        assert served(tmp_path / "snapshots") == two[0].id


def zeroed(file: Path, whole: bytes, at: int) -> None:
    """A file in which one block of the disk is zeros."""
    hole = bytes(len(whole[at : at + BLOCK]))
    file.write_bytes(whole[:at] + hole + whole[at + BLOCK :])


def test_a_snapshot_with_zeros_in_any_block_is_passed_over(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    file = two[1].path
    whole = file.read_bytes()
    holes = [at for at in range(0, len(whole), BLOCK) if whole[at : at + BLOCK].strip(b"\0")]
    assert len(holes) > 5
    for at in holes:
        zeroed(file, whole, at)
        assert served(tmp_path / "snapshots") == two[0].id
        assert [one.id for one in snapshots.available(tmp_path / "snapshots")] == [two[0].id]
        with pytest.raises(Fault, match="no whole snapshot"):
            snapshots.roll_back(tmp_path / "snapshots", two[1].id)
    file.write_bytes(whole)
    assert served(tmp_path / "snapshots") == two[1].id


def test_a_snapshot_that_is_spoilt_while_it_serves_is_passed_over_from_then_on(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    assert served(tmp_path / "snapshots") == two[1].id
    with two[1].path.open("r+b") as stream:
        stream.seek(-BLOCK, os.SEEK_END)
        stream.write(bytes([255]) * BLOCK)
    assert served(tmp_path / "snapshots") == two[0].id


def test_a_serving_snapshot_is_read_whole_once_and_not_by_every_page(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    snapshots._sha256.cache_clear()
    for _ in range(5):
        served(tmp_path / "snapshots")
    assert snapshots._sha256.cache_info().misses == 1


def test_a_snapshot_of_a_version_that_did_not_write_its_print_still_serves(
    two: tuple[snapshots.Snapshot, snapshots.Snapshot], tmp_path: Path
) -> None:
    card = two[1].path.with_suffix(".json")
    told = json.loads(card.read_text("utf-8"))
    card.write_text(json.dumps({name: value for name, value in told.items() if name != "sha256"}), "utf-8")
    assert served(tmp_path / "snapshots") == two[1].id


def test_nothing_is_named_before_it_is_on_the_disk(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "snapshots"
    steps: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, Path.rename, Path.replace

    def noted_fsync(handle: int) -> None:
        steps.append(("synced", Path(os.readlink(f"/proc/self/fd/{handle}")).name))
        fsync(handle)

    def noted_move(move: object, file: Path, target: Path) -> Path:
        steps.append((file.name, target.name))
        return move(file, target)  # type: ignore[operator,no-any-return]

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", lambda file, target: noted_move(rename, file, target))
    monkeypatch.setattr(Path, "replace", lambda file, target: noted_move(replace, file, target))
    made = publish(con, folder, 0)
    named = [(place, old, new) for place, (old, new) in enumerate(steps) if old != "synced"]
    assert [new for _, _, new in named] == [f"milepost-{made.id}.json", made.path.name, snapshots.POINTER]
    for place, old, _ in named:
        assert ("synced", old) in steps[:place]  # what is named is on the disk
        assert steps[place + 1] == ("synced", folder.name)  # and so is its name, before the next one is given


# --- the warehouse ---------------------------------------------------------------------------------------


def write_on(file: Path, telling: Connection) -> None:
    """Commits row after row and says so, for ever."""
    with warehouse.open_warehouse(file) as writing:
        writing.execute("create table if not exists ops.written (n integer)")
        (start,) = writing.execute("select count(*) from ops.written").fetchall()[0]
        for n in range(start, 1_000_000):
            writing.execute("insert into ops.written values (?)", [n])
            telling.send(n)


def killed_while_writing(file: Path, rows: int) -> int:
    """Kills a writer once it has committed so many rows; the last one it said was stored."""
    warm_up()
    heard, telling = WARM.Pipe(duplex=False)
    writer = WARM.Process(target=write_on, args=(file, telling), daemon=True)
    writer.start()
    telling.close()
    last = -1
    for _ in range(rows):
        last = heard.recv()
    writer.kill()
    writer.join()
    while heard.poll():
        try:
            last = heard.recv()
        except EOFError:
            break
    return last


def written(file: Path) -> list[int]:
    with warehouse.open_warehouse(file) as reading:
        return [n for (n,) in reading.execute("select n from ops.written order by n").fetchall()]


@pytest.mark.slow
def test_what_a_killed_writer_said_was_stored_is_there(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    logs = 0
    for round_ in range(8):
        last = killed_while_writing(file, 20 + 7 * round_)
        logs += file.with_name(f"{file.name}.wal").exists()
        found = written(file)
        assert found == list(range(len(found)))
        assert last + 1 <= len(found) <= last + 2  # one may be stored that it could not say any more
    assert logs == 8  # it is the engine's log that brings them back: nothing here may leave it behind


@pytest.mark.slow
def test_a_log_that_is_cut_short_costs_its_end_and_nothing_before_it(tmp_path: Path) -> None:
    file = tmp_path / "killed" / "warehouse.duckdb"
    with warehouse.open_warehouse(file) as con:
        con.execute("create table ops.written (n integer)")
    killed_while_writing(file, 60)
    log = file.with_name(f"{file.name}.wal")
    whole = log.read_bytes()
    counts = []
    for size in range(len(whole) // 2, len(whole), len(whole) // 12):
        copy = tmp_path / f"cut_{size}"
        shutil.copytree(file.parent, copy)
        cut(copy / log.name, whole, size)
        found = written(copy / file.name)
        assert found == list(range(len(found)))
        counts.append(len(found))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


@pytest.mark.slow
def test_a_warehouse_with_zeros_in_its_middle_publishes_the_right_rows_or_nothing(tmp_path: Path) -> None:
    file, copy, folder = tmp_path / "warehouse.duckdb", tmp_path / "spoilt" / "warehouse.duckdb", tmp_path / "snapshots"
    sums = "select count(*), sum(gate_id), sum(hash(name)) from marts.gates"
    with warehouse.open_warehouse(file) as con:
        con.execute("create schema if not exists marts")
        con.execute(
            "create table marts.gates as select range as gate_id, hash(range)::varchar as name from range(120000)"
        )
        right = con.execute(sums).fetchall()
    whole = file.read_bytes()
    outcomes = []
    for number, at in enumerate(range(3 * BLOCK, len(whole), 16 * BLOCK)):
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir()
        zeroed(copy, whole, at)
        told = published_or_refused(copy, folder, number)
        outcomes.append(told.split(" ")[0])
        if told != "published":
            assert "is damaged" in told
            assert "Restore a backup (milepost restore FILE)" in told
            continue
        serving = snapshots.newest(folder)
        assert serving is not None
        with duckdb.connect(str(serving.path), read_only=True) as reading:
            assert reading.execute(sums).fetchall() == right, at
    assert len(outcomes) - outcomes.count("published") > 5


def published_or_refused(file: Path, folder: Path, number: int) -> str:
    try:
        with warehouse.open_warehouse(file) as con:
            publish(con, folder, number)
    except Fault as error:
        return str(error)
    return "published"


@pytest.mark.slow
@pytest.mark.parametrize("left", [0.0, 0.3, 0.9], ids=["to nothing", "to a third", "at its end"])
def test_a_warehouse_that_is_cut_short_is_said_with_its_cure(tmp_path: Path, left: float) -> None:
    file = tmp_path / "warehouse.duckdb"
    with warehouse.open_warehouse(file) as con:
        con.execute("create table ops.many as select range as n, random()::varchar as r from range(200000)")
    whole = file.read_bytes()
    cut(file, whole, int(len(whole) * left))
    with pytest.raises(Fault) as caught, warehouse.open_warehouse(file) as con:
        con.execute("select max(r) from ops.many").fetchall()
    assert str(file) in str(caught.value)
    assert "Restore a backup (milepost restore FILE)" in str(caught.value)
