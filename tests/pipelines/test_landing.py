"""How rows land: versions are kept, what a tool deletes is noticed, what was lost is read again, a long pull goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from models.faults import Fault, fault
from pipelines import pulling
from pipelines.settings import Settings
from pipelines.sources import landing
from pipelines.sources.landing import Record, Table

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)

pytestmark = pytest.mark.slow


class Tool:
    """A tool of one table, whose rows and whose keys a test sets; it notes since when it was asked."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch, **table: Any) -> None:
        self.rows: list[Record] = []
        self.hidden: set[str] = set()  # keys that lists of rows leave out
        self.fails_after: int | None = None
        self.asked: list[str | None] = []
        self._told = {"whole": False, "columns": ("name",), **table}
        self.data = data
        block = {"kind": "portal", "url": "http://127.0.0.1:9", "lookback_seconds": 0}
        self.settings = Settings.model_validate({"data": data, "sources": {"desk": block}})
        monkeypatch.setattr(pulling, "kind", lambda _: SimpleNamespace(source=self.source))

    def source(self, name: str, settings: Any, environ: Any, terms: landing.Terms, patience: Any) -> Any:
        present = self.keys if self._told.get("is_swept") else None
        told = {key: value for key, value in self._told.items() if key != "is_swept"}
        return landing.land(name, [Table("gates", self.pages, present=present, **told)], terms)

    def pages(self, since: str | None) -> Iterator[Sequence[Record]]:
        self.asked.append(since)
        told = [row for row in self.rows if row["id"] not in self.hidden]
        for number, row in enumerate(told):
            if self.fails_after is not None and number >= self.fails_after:
                raise fault("source desk", "goes down.", "Start it.")
            if since is None or datetime.fromisoformat(row["updated_at"]) >= datetime.fromisoformat(since):
                yield [row]

    def keys(self) -> Iterator[list[str]]:
        yield [row["id"] for row in self.rows]

    def pull(self, now: datetime) -> pulling.PullReport:
        return pulling.pull(self.settings, "desk", now, {})

    def stored(self, columns: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.settings.warehouse)) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.sql(f"select {columns} from raw_desk.gates order by all").fetchall()


def gate(key: str, name: str, at: datetime = MONDAY) -> Record:
    return {"id": key, "name": name, "updated_at": at.isoformat()}


VERSIONS = "id, name, _dlt_valid_from::date::text, _dlt_valid_to::date::text"


def test_a_table_read_whole_keeps_every_version_and_closes_what_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Tool(tmp_path, monkeypatch, whole=True)
    tool.rows = [{"id": "g1", "name": "Kickoff"}, {"id": "g2", "name": "Concept"}]
    tool.pull(MONDAY)
    tool.rows = [{"id": "g1", "name": "Kick-off"}]
    tool.pull(MONDAY + DAY)
    tool.rows = []
    tool.pull(MONDAY + 2 * DAY)
    assert tool.stored(VERSIONS) == [
        ("g1", "Kick-off", "2026-03-03", "2026-03-04"),
        ("g1", "Kickoff", "2026-03-02", "2026-03-03"),
        ("g2", "Concept", "2026-03-02", "2026-03-03"),
    ]


def test_a_table_read_whole_that_is_the_same_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool(tmp_path, monkeypatch, whole=True)
    tool.rows = [{"id": "g1", "name": "Kickoff"}, {"id": "g2", "name": "Concept"}]
    assert tool.pull(MONDAY).changed
    tool.rows.reverse()
    assert not tool.pull(MONDAY + DAY).changed
    assert len(tool.stored("id")) == 2


def test_versions_by_cursor_are_kept_beside_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool(tmp_path, monkeypatch, versions=True)
    tool.rows = [gate("g1", "Kickoff"), gate("g2", "Concept")]
    tool.pull(MONDAY)
    later = MONDAY + timedelta(hours=1)
    tool.rows = [gate("g1", "Kick", later), gate("g1", "Kick-off", later + timedelta(hours=1)), gate("g2", "Concept")]
    tool.pull(MONDAY + DAY)
    assert tool.stored(VERSIONS) == [
        ("g1", "Kick-off", "2026-03-03", None),
        ("g1", "Kickoff", "2026-03-02", "2026-03-03"),
        ("g2", "Concept", "2026-03-02", None),
    ]


def test_what_the_tool_deleted_is_marked_once_and_unmarked_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Tool(tmp_path, monkeypatch, is_swept=True)
    both = [gate("g1", "Kickoff"), gate("g2", "Concept")]
    tool.rows = both
    tool.pull(MONDAY)
    tool.rows = both[:1]
    tool.pull(MONDAY + timedelta(hours=23))
    assert tool.stored("id, gone_at") == [("g1", None), ("g2", None)]  # no sweep is due yet
    tool.pull(MONDAY + DAY)
    tool.pull(MONDAY + 3 * DAY)
    assert tool.stored("id, gone_at") == [("g1", None), ("g2", "2026-03-03T12:00:00.000000Z")]
    tool.rows = both
    tool.pull(MONDAY + 5 * DAY)
    assert tool.stored("id, gone_at") == [("g1", None), ("g2", None)]


def test_a_tool_that_has_lost_everything_leaves_nothing_standing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Tool(tmp_path, monkeypatch, is_swept=True)
    tool.rows = [gate("g1", "Kickoff")]
    tool.pull(MONDAY)
    tool.rows = []
    tool.pull(MONDAY + DAY)
    assert tool.stored("id, gone_at") == [("g1", "2026-03-03T12:00:00.000000Z")]


def test_a_row_that_paging_lost_is_found_by_the_sweep_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool(tmp_path, monkeypatch, is_swept=True)
    tool.rows = [gate("g1", "Kickoff"), gate("g2", "Concept", MONDAY + timedelta(hours=1))]
    tool.hidden = {"g1"}
    tool.pull(MONDAY)
    assert tool.stored("id") == [("g2",)]
    tool.hidden = set()
    tool.pull(MONDAY + DAY)
    assert tool.stored("id, gone_at") == [("g1", None), ("g2", None)]
    assert tool.asked == [None, None, "2026-03-02T13:00:00.000000Z", None]


@pytest.mark.parametrize("limits", [{"COMMIT_ROWS": 10}, {"BATCH_ROWS": 10, "COMMIT_BYTES": 500}])
def test_a_long_pull_that_breaks_off_goes_on_from_what_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    for name, limit in limits.items():
        monkeypatch.setattr(landing, name, limit)
    tool = Tool(tmp_path, monkeypatch, ascending=True)
    tool.rows = [gate(f"g{n:02}", "x", MONDAY + timedelta(minutes=n)) for n in range(25)]
    tool.fails_after = 15
    with pytest.raises(Fault, match="goes down"):
        tool.pull(MONDAY + DAY)
    assert len(tool.stored("id")) == 10
    tool.fails_after = None
    tool.pull(MONDAY + DAY)
    assert tool.stored("count(*), count(distinct id)") == [(25, 25)]
    assert tool.asked[2] == "2026-03-02T12:09:00.000000Z"


def test_rows_that_all_changed_at_one_instant_are_stored_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "COMMIT_ROWS", 10)
    tool = Tool(tmp_path, monkeypatch, ascending=True)
    tool.rows = [gate(f"g{n:02}", "x") for n in range(25)]
    tool.pull(MONDAY)
    assert tool.stored("count(*), count(distinct id)") == [(25, 25)]


def test_money_within_a_nested_record_keeps_its_digits() -> None:
    from decimal import Decimal

    from pipelines.sources.text import text

    assert (
        text({"lines": [{"amount": Decimal("12345678901234567.10")}]})
        == '{"lines": [{"amount": 12345678901234567.10}]}'
    )


def test_another_choice_in_the_settings_reads_everything_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Tool(tmp_path, monkeypatch, asked=("kickoffs",))
    tool.rows = [gate("g1", "Kickoff")]
    tool.pull(MONDAY)
    tool.pull(MONDAY + DAY)
    tool._told["asked"] = ("kickoffs", "concepts")
    tool.pull(MONDAY + 2 * DAY)
    assert [since is None for since in tool.asked] == [True, False, True]
