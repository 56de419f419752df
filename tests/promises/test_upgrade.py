"""What an older version left is brought up or refused, what a newer one left is refused; nothing is misread."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from compared import differences
from small_firm import found
from streamlit.testing.v1 import AppTest

from dashboard import saved_views
from dashboard.saved_views import View
from models import catalog
from models.faults import Fault
from models.measure import Question
from pipelines import asking, refreshing, snapshots, versions, warehouse
from pipelines.settings import PROJECT, Settings
from pipelines.snapshots import UnlikeSnapshot

pytestmark = pytest.mark.slow

OLDER = Path(__file__).parent / "older"
JUNE = datetime(2026, 6, 30, 12, tzinfo=UTC)
NOW = datetime(2026, 12, 1, 5, tzinfo=UTC)  # after the pulls that the older versions noted
ALL = [file.stem for file in sorted(OLDER.glob("*.sql"))]
OPS = "select table_name from duckdb_tables() where schema_name = 'ops' order by 1"


def left_by(version: str, file: Path) -> None:
    """The warehouse that a version left, from its SQL."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(file)) as con:
        con.execute((OLDER / f"{version}.sql").read_text("utf-8"))


def columns(con: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    sql = "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'ops' order by all"
    return con.execute(sql).fetchall()


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, refreshing.Refresh]:
    """The small firm, refreshed by this version alone; not to be changed."""
    settings = found(tmp_path_factory.mktemp("fresh") / "data")
    return settings, refreshing.refresh(settings, as_of=JUNE, now=NOW)


def test_a_warehouse_of_the_first_version_gives_the_numbers_of_a_fresh_one(
    fresh: tuple[Settings, refreshing.Refresh], tmp_path: Path
) -> None:
    settings = found(tmp_path / "data")
    left_by("first_version", settings.warehouse)
    upgraded = refreshing.refresh(settings, as_of=JUNE, now=NOW)
    assert upgraded.problems == ()
    assert upgraded.serving is not None
    assert fresh[1].serving is not None
    told = differences(upgraded.serving.path, fresh[1].serving.path)
    assert [line for line in told if not line.startswith("ops.pulls")] == []  # the old pull is remembered


@pytest.mark.parametrize("version", ALL)
def test_an_older_warehouse_keeps_its_records_and_what_is_remembered(version: str, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    left_by(version, file)
    carried = ["ops.pulls", "ops.whole_tables", *(f"raw_studio.{name}" for name in ("clients", "milestone_events"))]
    with duckdb.connect(str(file)) as con:
        there = [table for (table,) in con.execute(OPS).fetchall()]
        carried += [f"ops.{name}" for name in ("gate_terms_seen", "gate_documents_seen") if name in there]
        before = {table: con.execute(f"from {table} order by all").fetchall() for table in carried}
    assert before["ops.pulls"]
    with warehouse.open_warehouse(file) as con:
        assert {table: con.execute(f"from {table} order by all").fetchall() for table in carried} == before
        assert versions.of(con) == versions.NEWEST


@pytest.mark.parametrize("version", ALL)
def test_an_older_warehouse_comes_to_the_shape_of_a_new_one(version: str, tmp_path: Path) -> None:
    left_by(version, tmp_path / "old.duckdb")
    with (
        warehouse.open_warehouse(tmp_path / "old.duckdb") as old,
        warehouse.open_warehouse(tmp_path / "new.duckdb") as new,
    ):
        assert columns(old) == columns(new)
        marts = "select table_name from duckdb_tables() where schema_name in ('marts', 'staging')"
        assert old.execute(marts).fetchall() == []  # made by older rules: all are made anew


@pytest.mark.parametrize("broken_at", range(1, versions.NEWEST + 1))
def test_an_upgrade_that_is_cut_short_is_taken_up_again(
    broken_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "warehouse.duckdb"
    left_by("first_version", file)

    def cut(con: duckdb.DuckDBPyConnection) -> None:
        whole[broken_at - 1].take(con)
        raise KeyboardInterrupt

    whole = versions.STEPS
    step = versions.Step("cut short", cut)
    with monkeypatch.context() as patched:
        patched.setattr(versions, "STEPS", (*whole[: broken_at - 1], step, *whole[broken_at:]))
        with pytest.raises(KeyboardInterrupt), warehouse.open_warehouse(file):
            pass
    with duckdb.connect(str(file)) as con:
        assert versions.of(con) == broken_at - 1
    with warehouse.open_warehouse(file) as con:
        assert versions.of(con) == versions.NEWEST
        assert con.execute("select count(*) from ops.pulls").fetchall() == [(1,)]


def test_a_warehouse_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    settings = found(tmp_path / "data")
    with warehouse.open_warehouse(settings.warehouse) as con:
        con.execute(f"insert into {versions.TABLE} values (?, 'from the future')", [versions.NEWEST + 1])
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        before = con.execute("select schema_name, table_name from duckdb_tables() order by all").fetchall()
    outcome = refreshing.refresh(settings, as_of=JUNE)
    assert len(outcome.problems) == 1
    assert "was written by a newer version of Milepost (shape 3; this one knows up to 2)" in outcome.problems[0]
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        assert con.execute("select schema_name, table_name from duckdb_tables() order by all").fetchall() == before


def test_a_past_day_is_not_rebuilt_from_a_warehouse_of_another_version(tmp_path: Path) -> None:
    settings = found(tmp_path / "data")
    left_by("before_numbers", settings.warehouse)
    with (
        pytest.raises(Fault, match=r"older version of Milepost.*Run `milepost refresh`"),
        warehouse.rebuilt(settings, JUNE),
    ):
        pass


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda whole: b"<html>" * 4000, "is damaged or no warehouse"),
        (lambda whole: whole[:5000], "is damaged or no warehouse"),
        (lambda whole: whole[:12] + b"\xff" + whole[13:], "is damaged or no warehouse"),
    ],
    ids=["no warehouse", "cut short", "overwritten"],
)
def test_a_file_that_is_no_warehouse_is_said_to_be_none(spoil: object, words: str, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    with warehouse.open_warehouse(file):
        pass
    file.write_bytes(spoil(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(Fault, match=words), warehouse.open_warehouse(file):
        pass


def test_a_mart_that_this_version_no_longer_has_goes_out_of_the_warehouse(tmp_path: Path) -> None:
    with warehouse.open_warehouse(tmp_path / "warehouse.duckdb") as con:
        con.execute("create table marts.gates as select 1 as x; create table marts.moods as select 1 as x")
        assert versions.drop_unknown(con) == ["moods"]
        rows = con.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
    assert rows == [("gates",)]


# --- snapshots --------------------------------------------------------------------------------------------


def of_shape(settings: Settings, fresh: tuple[Settings, refreshing.Refresh], shape: int | None, lacking: str) -> Path:
    """A copy of the fresh snapshot as another version would have published it."""
    assert fresh[1].serving is not None
    source, target = fresh[1].serving.path, settings.snapshots / fresh[1].serving.path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())
    if lacking:
        with duckdb.connect(str(target)) as con:
            con.execute(lacking)
    card = json.loads(source.with_suffix(".json").read_text("utf-8"))
    prints = {"head_sha256": snapshots._head_sha256(target), "sha256": snapshots._sha256(target, ())}
    card |= {"bytes": target.stat().st_size, "shape": shape, **prints}
    target.with_suffix(".json").write_text(json.dumps({k: v for k, v in card.items() if v is not None}), "utf-8")
    return target


@pytest.mark.parametrize(
    ("shape", "lacking", "words"),
    [
        (snapshots.SHAPE + 1, "", "newer version of Milepost"),
        (snapshots.SHAPE - 1, "", "older version of Milepost"),
        (None, "alter table marts.gates drop column cycle_days", r"older version.*gates\.cycle_days"),
        (None, "drop table marts.billable_gates", r"older version.*billable_gates\."),
    ],
)
def test_a_snapshot_of_another_version_is_refused_by_command_line_and_dashboard(
    shape: int | None,
    lacking: str,
    words: str,
    fresh: tuple[Settings, refreshing.Refresh],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = found(tmp_path / "data")
    of_shape(settings, fresh, shape, lacking)
    with pytest.raises(UnlikeSnapshot, match=words):
        asking.ask(settings, Question("F8"))
    monkeypatch.setenv("MILEPOST_DATA", str(settings.data))
    page = AppTest.from_file(str(PROJECT / "dashboard" / "app.py"), default_timeout=60).run()
    assert not page.exception
    shown = " ".join(str(block.value) for block in [*page.markdown, *page.get("html")])
    assert "published by another version of Milepost" in shown


def test_a_snapshot_from_before_shapes_is_read_where_it_has_all_columns(
    fresh: tuple[Settings, refreshing.Refresh], tmp_path: Path
) -> None:
    settings = found(tmp_path / "data")
    of_shape(settings, fresh, None, "")
    assert asking.ask(settings, Question("F8")).rows


def test_every_snapshot_says_of_which_shape_it_is(fresh: tuple[Settings, refreshing.Refresh]) -> None:
    assert fresh[1].serving is not None
    card = json.loads(fresh[1].serving.path.with_suffix(".json").read_text("utf-8"))
    assert card["shape"] == snapshots.SHAPE
    assert set(catalog.marts()) >= {"gates", "billable_gates"}


# --- saved views ------------------------------------------------------------------------------------------

VIEW = View("Owed", "billing", {"firm": ["abc"]})
BARE = [{"name": "Owed", "page": "billing", "params": {"firm": ["abc"]}}]


def test_views_that_an_older_version_kept_are_read_and_kept_on(tmp_path: Path) -> None:
    (tmp_path / saved_views.FILE).write_text(json.dumps(BARE), "utf-8")
    assert saved_views.kept(tmp_path) == [VIEW]
    assert saved_views.keep(tmp_path, View("Cash", "cash", {})) == ""
    assert [view.name for view in saved_views.kept(tmp_path)] == ["Cash", "Owed"]
    assert json.loads((tmp_path / saved_views.FILE).read_text("utf-8"))["version"] == saved_views.VERSION


@pytest.mark.parametrize("text", [json.dumps({"version": 99, "views": BARE}), "{", json.dumps({"views": 1})])
def test_views_that_are_not_understood_are_not_shown_and_not_written_over(text: str, tmp_path: Path) -> None:
    (tmp_path / saved_views.FILE).write_text(text, "utf-8")
    assert saved_views.kept(tmp_path) == []
    for wrong in (saved_views.keep(tmp_path, VIEW), saved_views.remove(tmp_path, "Owed")):
        assert "was left as it is" in wrong
    assert (tmp_path / saved_views.FILE).read_text("utf-8") == text
