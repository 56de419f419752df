"""A backup holds all that cannot be had again, is read back before it is said to be made, and comes back whole or not.

The folders here are small: records laid into the warehouse by hand, snapshots of one mart. One test backs up and
restores a real firm while a refresh of it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from compared import differences, tables_differ
from small_firm import found, rewrite
from typer.testing import CliRunner

from models.faults import Fault
from pipelines import backing_up, backup_file, refreshing, restoring, runs, snapshots, turns, versions, warehouse
from pipelines.backing_up import back_up
from pipelines.cli import app
from pipelines.restoring import restore
from pipelines.settings import Settings, load
from pipelines.supervising import Watch

pytestmark = pytest.mark.slow

JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)
ALL = ("ops", "raw_studio", "marts", "staging", "reference")
HOLD = """
import sys, duckdb
con = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
con.execute("create table raw_studio.late as select 1 as x")
con.close()
"""


@pytest.fixture
def kept(tmp_path: Path) -> Settings:
    """A data folder with records, what is remembered of a gate, a run, two snapshots (the older serves), files by hand."""
    settings = found(tmp_path / "kept")
    for file in settings.inbox.glob("[!c]*.csv"):
        file.unlink()
    with warehouse.open_warehouse(settings.warehouse) as con:
        con.execute("create schema raw_studio")
        con.execute(
            "create table raw_studio.clients as select 'c' || range as source_key, 'Ä 😀' as name from range(5000)"
        )
        con.execute("create table marts.gates as select range as gate_id, 0.1 * range as cycle_days from range(3)")
        con.execute("insert into ops.gate_terms_seen (gate_id, print) values ('g1', 'p')")
        runs.begin(con, "r1", "milepost refresh", JUNE)
        for minute in (0, 1):
            at = JUNE + timedelta(minutes=minute)
            snapshots.publish(con, settings.snapshots, JUNE, at, reporting_currency="USD", keep=7)
        runs.mirror(con, settings.data)
    snapshots.roll_back(settings.snapshots, snapshots.available(settings.snapshots)[1].id)
    for name, text in BY_HAND.items():
        (settings.data / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.data / name).write_text(text, "utf-8")
    return settings


BY_HAND = {
    "links.csv": "invoice,line,gate,change_order\ni1,l1,g1,\n",
    "client_names.csv": "client,same_as\nAster,Aster & Co\n",
    "reasons.csv": "written,reason\nclient wish,client\n",
    "rates/rates.csv": "day,currency,rate\n2026-01-02,EUR,1.1\n",
    "views.json": '{"version": 2, "views": []}',
    "views/someone/views.json": '{"version": 2, "views": []}',
    "playbooks/own.yml": "code: own\n",
}


def elsewhere(tmp_path: Path, name: str = "elsewhere") -> Settings:
    return load(tmp_path / name, environ={"MILEPOST_CONFIG": ""})


def state(folder: Path) -> dict[str, str]:
    """What is in a folder, byte for byte, but for the marks of who is at work."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (turns.TURN, turns.BACKUP)
    }


# --- there and back -----------------------------------------------------------------------------------------


def test_a_restored_folder_holds_every_row_every_snapshot_and_every_file_by_hand(
    kept: Settings, tmp_path: Path
) -> None:
    made = back_up(kept, tmp_path / "b.milepost", JUNE)
    assert made.contents.rows > 5000
    target = elsewhere(tmp_path)
    assert restore(target, made.path) == made.contents
    assert tables_differ(kept.warehouse, target.warehouse, ALL) == []
    before, after = state(kept.data), state(target.data)
    assert {name for name in before if name not in after} == set()
    assert {name for name in before if before[name] != after[name]} == {"warehouse.duckdb"}  # its copy is compact
    assert snapshots.newest(target.snapshots) == snapshots.newest(kept.snapshots) or (
        snapshots.newest(target.snapshots).id == snapshots.newest(kept.snapshots).id  # type: ignore[union-attr]
    )
    assert [run.run_id for run in runs.newest(target.data)] == ["r1"]
    with warehouse.open_warehouse(target.warehouse) as con:  # keys of tables that are upserted came along
        assert versions.of(con) == versions.NEWEST


def test_a_backup_made_while_a_refresh_runs_comes_back_as_a_folder_that_refreshes_to_the_same_numbers(
    tmp_path: Path,
) -> None:
    settings = found(tmp_path / "data")
    assert refreshing.refresh(settings, as_of=JUNE, now=JUNE).ok
    serving = snapshots.newest(settings.snapshots)
    rewrite(settings, "clients", "Aster", "Aster & Co")
    command = [sys.executable, "-m", "pipelines.cli", "refresh", "--as-of", JUNE.isoformat(), "--data"]
    with subprocess.Popen([*command, str(settings.data)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        wait(lambda: runs.newest(settings.data)[0].outcome == "running")
        made = back_up(settings, tmp_path / "b.milepost", JUNE)
        assert runs.newest(settings.data)[0].outcome == "running", "the refresh had ended before the backup was made"
        told, _ = running.communicate()
    assert running.returncode == 0, told
    target = elsewhere(tmp_path)
    restore(target, made.path)
    assert snapshots.newest(target.snapshots) is not None
    assert snapshots.newest(target.snapshots).id == serving.id  # type: ignore[union-attr]
    again = refreshing.refresh(load(target.data, environ={}), as_of=JUNE)
    assert again.problems == ()
    assert [run.outcome for run in runs.newest(target.data)] == ["ok", "interrupted", "ok"]
    undisturbed = snapshots.newest(settings.snapshots)
    assert undisturbed is not None
    assert again.serving is not None
    told_apart = [line for line in differences(again.serving.path, undisturbed.path) if "as_of" not in line]
    assert [line for line in told_apart if not line.startswith(("marts.snapshot", "marts.source_pulls"))] == []


def test_the_command_line_says_what_was_backed_up_and_restored(kept: Settings, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["backup", str(tmp_path / "b"), "--data", str(kept.data)], env=QUIET)
    assert told.exit_code == 0, told.output
    assert "2 snapshots, 9 files by hand" in " ".join(told.output.split())  # long paths break lines anywhere
    assert "All read back." in " ".join(told.output.split())
    told = CliRunner().invoke(app, ["restore", str(tmp_path / "b"), "--data", str(tmp_path / "new")], env=QUIET)
    assert told.exit_code == 0, told.output
    assert "Restored into" in told.output
    again = CliRunner().invoke(app, ["backup", str(tmp_path / "b"), "--data", str(kept.data)], env=QUIET)
    assert again.exit_code == 1
    assert "is there already" in again.output


QUIET = {"MILEPOST_DATA": "", "MILEPOST_CONFIG": ""}


# --- who waits for whom -------------------------------------------------------------------------------------


@contextmanager
def held(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The warehouse, held by another process as by a step of a refresh; it writes a table before it lets go."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as one:
        assert one.stdout is not None
        assert one.stdout.readline() == b"held\n"
        yield one
        one.communicate()


def wait(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_backup_waits_for_a_step_of_a_refresh_and_holds_what_it_stored(kept: Settings, tmp_path: Path) -> None:
    with held(kept.warehouse) as step:

        def let_go(said: str) -> None:
            if said == "Waiting for the warehouse":
                assert step.stdin is not None
                step.stdin.write(b"\n")
                step.stdin.flush()

        made = back_up(kept, tmp_path / "b", JUNE, saying=let_go)
    assert made.contents.tables["raw_studio.late"][0] == 1


def test_a_backup_that_waits_in_vain_says_so_and_leaves_nothing(kept: Settings, tmp_path: Path) -> None:
    with held(kept.warehouse), pytest.raises(Fault, match="another process"):
        back_up(kept, tmp_path / "b", JUNE, patience_seconds=0.1)
    assert not (tmp_path / "b").exists()
    assert [name for name in os.listdir(kept.data) if name.startswith(backing_up._COPYING)] == []


def test_no_two_backups_are_made_at_once_and_no_restore_during_a_refresh(kept: Settings, tmp_path: Path) -> None:
    made = back_up(kept, tmp_path / "b", JUNE)
    for name, act in (
        (turns.BACKUP, lambda: back_up(kept, tmp_path / "c", JUNE)),
        (turns.TURN, lambda: restore(kept, made.path, force=True)),
    ):
        with (
            locked(kept.data / name),
            pytest.raises(Fault, match=r"another at work, process 1, has been at work there"),
        ):
            act()
    assert not (tmp_path / "c").exists()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    code = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); "
        "f.write('another at work, process 1'); f.flush(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as one:
        assert one.stdout is not None
        one.stdout.readline()
        yield
        one.communicate()


# --- what is refused ----------------------------------------------------------------------------------------


def test_a_folder_that_holds_something_is_replaced_only_when_told_to(kept: Settings, tmp_path: Path) -> None:
    made = back_up(kept, tmp_path / "b", JUNE)
    with warehouse.open_warehouse(kept.warehouse) as con:
        con.execute("delete from raw_studio.clients")
        newest = snapshots.publish(
            con, kept.snapshots, JUNE, JUNE + timedelta(hours=1), reporting_currency="USD", keep=7
        )
    (kept.data / "links.csv").write_text("invoice,line,gate,change_order\n", "utf-8")
    (kept.data / "playbooks" / "since.yml").write_text("code: since\n", "utf-8")
    before = state(kept.data)
    with pytest.raises(Fault, match=r"is not empty: it holds warehouse\.duckdb.*--force"):
        restore(kept, made.path)
    assert state(kept.data) == before
    restore(kept, made.path, force=True)
    with warehouse.open_warehouse(kept.warehouse) as con:
        assert con.execute("select count(*) from raw_studio.clients").fetchall() == [(5000,)]
    assert (kept.data / "links.csv").read_text("utf-8") == BY_HAND["links.csv"]
    assert not (kept.data / "playbooks" / "since.yml").exists()
    assert newest.id not in {one.id for one in snapshots.available(kept.snapshots)}


def rezipped(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(file) as zipped:
        members = {name: zipped.read(name) for name in zipped.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return file


def listing(change: Callable[[dict[str, object]], None]) -> Callable[[dict[str, bytes]], None]:
    def changed(members: dict[str, bytes]) -> None:
        told = json.loads(members[backup_file.LIST])
        change(told)
        members[backup_file.LIST] = json.dumps(told).encode()

    return changed


def other_rows(members: dict[str, bytes]) -> None:
    """The warehouse of the backup has a row more than the list says, and the list knows its digest."""
    path = Path(os.environ["PYTEST_SCRATCH"]) / "changed.duckdb"
    path.write_bytes(members["warehouse.duckdb"])
    with duckdb.connect(str(path)) as con:
        con.execute("update raw_studio.clients set name = 'B' where source_key = 'c7'")
    members["warehouse.duckdb"] = path.read_bytes()
    of = [len(members["warehouse.duckdb"]), hashlib.sha256(members["warehouse.duckdb"]).hexdigest()]
    listing(lambda told: told["files"].update({"warehouse.duckdb": of}))(members)  # type: ignore[attr-defined]


def climbing(members: dict[str, bytes]) -> None:
    members["by_hand/../../out.csv"] = b"x"
    of = [1, hashlib.sha256(b"x").hexdigest()]
    listing(lambda told: told["files"].update({"by_hand/../../out.csv": of}))(members)  # type: ignore[attr-defined]


SPOILT: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "a file more": (lambda members: members.update({"by_hand/x.csv": b""}), "not those of its list"),
    "a file less": (lambda members: members.pop("by_hand/links.csv") and None, "not those of its list"),
    "another file": (lambda members: members.update({"by_hand/links.csv": b"x"}), r"links\.csv is not what it was"),
    "other rows": (other_rows, r"table raw_studio\.clients is not what it was"),
    "no list": (lambda members: members.pop(backup_file.LIST) and None, "no list"),
    "out of its folder": (climbing, "outside its folder"),
    "a newer shape": (listing(lambda told: told.update(shape=99)), "newer version of Milepost"),
    "a newer warehouse": (listing(lambda told: told.update(warehouse_version=99)), "newer version of Milepost"),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_backup_that_is_not_what_it_was_is_refused_and_changes_nothing(
    spoil: str, kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_SCRATCH", str(tmp_path))
    change, words = SPOILT[spoil]
    made = rezipped(back_up(kept, tmp_path / "b", JUNE).path, change)
    before = state(kept.data)
    with pytest.raises(Fault, match=words):
        restore(kept, made, force=True)
    assert state(kept.data) == before


def test_a_backup_that_is_cut_short_or_has_one_wrong_byte_is_refused(kept: Settings, tmp_path: Path) -> None:
    made = back_up(kept, tmp_path / "b", JUNE)
    whole, before = made.path.read_bytes(), state(kept.data)
    middle = len(whole) // 2
    for spoilt in (b"", whole[:100], whole[:middle], whole[:-1], whole[:middle] + b"\0\1\2\3" + whole[middle + 4 :]):
        made.path.write_bytes(spoilt)
        with pytest.raises(Fault, match="is no whole backup"):
            restore(kept, made.path, force=True)
    assert state(kept.data) == before


def test_a_backup_holds_no_secret_and_nothing_from_outside_its_folder(kept: Settings, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("CANARY", "utf-8")
    (kept.data / "inbox" / "link.csv").symlink_to(tmp_path / "secret.csv")
    (kept.data / "portal.token").write_text("CANARY", "utf-8")
    (kept.data / ".hidden").write_text("CANARY", "utf-8")
    made = back_up(kept, tmp_path / "b", JUNE)
    with zipfile.ZipFile(made.path) as zipped:
        assert all(b"CANARY" not in zipped.read(name) for name in zipped.namelist())
    assert made.path.stat().st_mode & 0o077 == 0


# --- kills --------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for a SIGKILL: nothing is done after it."""


def test_a_restore_that_is_killed_anywhere_shows_the_old_or_the_new_and_is_finished_by_the_next(
    kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(kept, tmp_path / "b", JUNE)
    wanted = {one.id for one in snapshots.available(kept.snapshots)}
    moves, steps = os.replace, 0
    while True:
        steps += 1
        target = elsewhere(tmp_path, f"target{steps}")
        with warehouse.open_warehouse(target.warehouse) as con:
            con.execute("create table marts.gates as select 9 as gate_id, 9.0 as cycle_days")
            old = snapshots.publish(con, target.snapshots, JUNE, JUNE, reporting_currency="USD", keep=7)
        left = [steps]

        def move(source: str, destination: str, left: list[int] = left, target: Settings = target) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            moves(source, destination)
            served = snapshots.newest(target.snapshots)
            assert served is not None
            assert served.id in {old.id, *wanted}  # noqa: B023 - looked at within the turn of the loop

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", move)
            try:
                restore(target, made.path, force=True)
            except Killed:
                is_whole = False
            else:
                is_whole = True
        begun = (target.data / restoring.NOTE).exists()
        restoring.finish(target)
        found_ids = {one.id for one in snapshots.available(target.snapshots)}
        assert found_ids in (({old.id}, wanted) if not begun and not is_whole else (wanted,))
        if is_whole:
            break
        if begun:
            assert tables_differ(kept.warehouse, target.warehouse, ("raw_studio", "ops")) == []
            assert (target.data / "links.csv").read_text("utf-8") == BY_HAND["links.csv"]
    assert steps > 12  # a move for each thing that was put in place


def test_the_next_refresh_puts_in_place_what_a_killed_restore_had_begun(
    kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = back_up(kept, tmp_path / "b", JUNE)
    target = elsewhere(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_place_warehouse", killed)
        with pytest.raises(Killed):
            restore(target, made.path)
    Watch(target, "r2", "milepost refresh", JUNE + timedelta(hours=1)).begin()
    assert {one.id for one in snapshots.available(target.snapshots)} == {
        one.id for one in snapshots.available(kept.snapshots)
    }
    assert [(run.run_id, run.outcome) for run in runs.newest(target.data)] == [("r2", "running"), ("r1", "interrupted")]


def killed(*_: object) -> None:
    raise Killed


def test_what_a_killed_backup_left_goes_with_the_next(kept: Settings, tmp_path: Path) -> None:
    (kept.data / f"{backing_up._COPYING}dead").mkdir()
    (kept.data / f"{backing_up._COPYING}dead" / "warehouse.duckdb").write_text("half", "utf-8")
    back_up(kept, tmp_path / "b", JUNE)
    assert [name for name in os.listdir(kept.data) if name.startswith(backing_up._COPYING)] == []
    assert os.listdir(tmp_path) != []
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []
