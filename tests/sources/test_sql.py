"""Databases read as they are: exact values, versions or changes, deletions, and plain words for what is missing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import ValidationError

from models.faults import Fault
from pipelines import warehouse
from pipelines.pulling import PullReport, pull
from pipelines.settings import Settings
from pipelines.sources.door import Patience
from pipelines.sources.sql import probe, written

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HASTE = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=3)

pytestmark = pytest.mark.slow


class Books:
    """An SQLite file `books.db` in the data folder, and pulls from it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.url = "sqlite:///books.db"

    def run(self, *statements: str) -> None:
        with sqlite3.connect(self.data / "books.db") as con:
            for statement in statements:
                con.execute(statement)
        con.close()

    def pull(self, now: datetime = MONDAY, **tables: Any) -> PullReport:
        return pull(self.settings(**tables), "books", now, {"P": "wrong"}, HASTE)

    def settings(self, **tables: Any) -> Settings:
        block = {"kind": "sql", "url": self.url, "tables": tables}
        return Settings.model_validate({"data": self.data, "sources": {"books": block}})

    def stored(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.data / "warehouse.duckdb")) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.sql(query).fetchall()

    def refusal(self, **tables: Any) -> str:
        with pytest.raises(Fault) as caught:
            self.pull(**tables)
        return str(caught.value)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    made.run(
        "create table gates (id integer primary key, name text, changed_at text)",
        "insert into gates values (1, 'Kickoff', '2026-03-01 09:00:00'), (2, 'Concept', '2026-03-01T10:00:00+02:00')",
    )
    return made


WHOLE = {"table": "gates", "key": ["id"]}
BY_CURSOR = {**WHOLE, "cursor": "changed_at"}


def test_a_table_without_cursor_is_read_whole_and_keeps_every_version(books: Books) -> None:
    assert books.pull(gates=WHOLE).rows == {"gates": 2}
    again = books.pull(MONDAY + timedelta(hours=1), gates=WHOLE)
    assert (again.changed, dict(again.rows)) == (False, {})
    books.run("update gates set name = 'Kick-off' where id = 1", "delete from gates where id = 2")
    books.pull(MONDAY + DAY, gates=WHOLE)
    found = books.stored("select id, name, _dlt_valid_from::date::text, _dlt_valid_to::date::text from raw_books.gates")
    assert sorted(found, key=str) == [
        ("1", "Kick-off", "2026-03-03", None),
        ("1", "Kickoff", "2026-03-02", "2026-03-03"),
        ("2", "Concept", "2026-03-02", "2026-03-03"),
    ]


def test_by_cursor_only_changes_are_merged_whatever_form_the_texts_have(books: Books) -> None:
    assert books.pull(gates=BY_CURSOR).rows == {"gates": 2}
    assert not books.pull(gates=BY_CURSOR).changed
    books.run(
        "update gates set name = 'Kick-off', changed_at = '2026-03-01 09:00:30' where id = 1",
        "insert into gates values (3, 'Launch', '2026-03-01T13:00:00+04:00')",  # 09:00 UTC: a tie
    )
    assert books.pull(gates=BY_CURSOR).rows == {"gates": 2}
    found = books.stored("select id, name, updated_at, changed_at from raw_books.gates order by id")
    assert found == [
        ("1", "Kick-off", "2026-03-01T09:00:30.000000Z", "2026-03-01 09:00:30"),
        ("2", "Concept", "2026-03-01T08:00:00.000000Z", "2026-03-01T10:00:00+02:00"),
        ("3", "Launch", "2026-03-01T09:00:00.000000Z", "2026-03-01T13:00:00+04:00"),
    ]


def test_what_was_deleted_is_marked_by_a_sweep_of_composite_keys(books: Books) -> None:
    books.run(
        "create table lines (bill text, number integer, amount text, changed_at text)",
        "insert into lines values ('A|1', 1, '5', '2026-03-01'), ('A', 11, '6', '2026-03-01'), ('A', 2, '7', '2026-03-01')",
    )
    table = {"table": "lines", "key": ["bill", "number"], "cursor": "changed_at"}
    books.pull(lines=table)
    books.run("delete from lines where number = 2")
    books.pull(MONDAY + DAY, lines=table)
    found = books.stored("select id, bill, amount, gone_at is not null from raw_books.lines order by amount")
    assert found == [("A\\|1|1", "A|1", "5", False), ("A|11", "A", "6", False), ("A|2", "A", "7", True)]


def test_a_clock_that_is_put_back_hides_no_change(books: Books) -> None:
    """Between two and three in the night a timestamp without a zone is written twice."""
    books.run("update gates set changed_at = '2026-10-25 02:59:00' where id = 1")
    books.pull(gates=BY_CURSOR)
    books.run("update gates set name = 'Concepts', changed_at = '2026-10-25 02:01:00' where id = 2")
    books.pull(gates=BY_CURSOR)
    assert books.stored("select name from raw_books.gates where id = '2'") == [("Concepts",)]


def test_epochs_are_understood_in_their_unit_and_counts_are_refused(books: Books) -> None:
    books.run(
        "create table tickets (id integer, time integer, version integer)",
        "insert into tickets values (1, 1772355600000000, 1), (2, 1772355601000000, 2)",
    )
    told = {"table": "tickets", "key": ["id"]}
    books.pull(tickets={**told, "cursor": "time"})
    assert not books.pull(tickets={**told, "cursor": "time"}).changed
    assert books.stored("select max(updated_at) from raw_books.tickets") == [("2026-03-01T09:00:01.000000Z",)]
    assert "table tickets: its cursor version holds '2', which is no instant." in books.refusal(
        tickets={**told, "cursor": "version"}
    )


def test_a_query_may_hold_colons_percents_and_an_end(books: Books) -> None:
    query = "select id, name || ' :at 100%' as name from gates where name like 'K%' -- all;\n;"
    books.pull(gates={"query": query.replace(" -- all;\n", ""), "key": ["id"]})
    assert books.stored("select id, name from raw_books.gates") == [("1", "Kickoff :at 100%")]


def test_columns_that_would_meet_those_of_a_pull_are_kept_beside_them(books: Books) -> None:
    books.run(
        'create table bills (id text, nr text, updated_at text, gone_at text, "Größe (m)" text, changed text)',
        "insert into bills values ('x', '7', 'u', 'g', '3', '2026-03-01')",
    )
    books.pull(bills={"table": "bills", "key": ["nr"], "cursor": "changed"})
    found = books.stored("select id, nr, id_2, updated_at_2, gone_at, gone_at_2, gre_m from raw_books.bills")
    assert found == [("7", "7", "x", "u", None, "g", "3")]


def test_a_table_without_rows_is_there_with_its_columns(books: Books) -> None:
    books.run("delete from gates")
    books.pull(gates=WHOLE, by_cursor=BY_CURSOR)
    assert books.stored("select id, name from raw_books.gates union all select id, name from raw_books.by_cursor") == []
    books.run("insert into gates values (1, 'Kickoff', '2026-03-01 09:00:00')")
    books.pull(gates=WHOLE, by_cursor=BY_CURSOR)
    assert books.stored("select name from raw_books.by_cursor") == [("Kickoff",)]


def test_a_new_column_is_filled_for_old_rows_too(books: Books) -> None:
    books.pull(gates=BY_CURSOR)
    books.run("alter table gates add column owner text", "update gates set owner = 'Ida'")
    books.pull(gates=BY_CURSOR)
    assert books.stored("select distinct owner from raw_books.gates") == [("Ida",)]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"table": "gate", "key": ["id"]}, "the database has no table or view 'gate'. There are: gates;"),
        ({"table": "gates", "key": ["nr"]}, "has no column 'nr'. Its columns are: id, name, changed_at."),
        ({**WHOLE, "cursor": "at"}, "has no column 'at'. Its columns are: id, name, changed_at."),
        ({"table": "gates", "key": ["name"], "cursor": "id"}, "its cursor id holds '3', which is no instant."),
        ({"query": "select 1 as id from nowhere", "key": ["id"]}, "refuses what it was asked (no such table: nowhere)"),
        ({"query": "selec 1", "key": ["id"]}, 'refuses what it was asked (near "1": syntax error). Mend'),
        ({"table": "gates", "key": ["name", "id"]}, "a row has no key (name None, id '3'). Name columns as key"),
        (BY_CURSOR, "the row '3' has nothing in its cursor changed_at. Read the table by a query that fills it"),
    ],
)
def test_what_is_missing_is_named_with_what_there_is(books: Books, table: dict[str, Any], told: str) -> None:
    books.run("insert into gates values (3, null, null)")
    message = books.refusal(gates=table)
    assert message.startswith("source books, table gates: ")
    assert told in message


def test_a_row_that_loses_its_cursor_is_told_by_the_next_pull(books: Books) -> None:
    books.pull(gates=BY_CURSOR)
    books.run("update gates set changed_at = null where id = 1")
    assert "the row '1' has nothing in its cursor" in books.refusal(gates=BY_CURSOR)


def test_a_database_that_is_not_there_is_said_plainly(books: Books) -> None:
    books.url = "sqlite:///nowhere.db"
    assert "nowhere.db is not there. Mend the path in url" in books.refusal(gates=WHOLE)
    assert not (books.data / "nowhere.db").exists()
    books.url = "postgresql://ann@127.0.0.1:9/books"
    assert "cannot be read (connection" in books.refusal(gates=WHOLE)
    books.url = "nosuch://ann@127.0.0.1/books"
    assert "no database is called 'nosuch'." in books.refusal(gates=WHOLE)
    books.url = "mysql+pymysql://ann@127.0.0.1/books"
    assert "the driver pymysql of mysql+pymysql is missing. Install" in books.refusal(gates=WHOLE)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ann:sesame@db/books", "a password must not stand here"),
        ("postgresql://ann@db/books?password=sesame", "a password must not stand here"),
        ("sesame", "no address of a database such as"),
    ],
)
def test_a_url_with_a_password_is_refused_without_repeating_it(books: Books, url: str, told: str) -> None:
    books.url = url
    with pytest.raises(ValidationError, match=told) as caught:
        books.settings(gates=WHOLE)
    assert "sesame" not in caught.value.errors()[0]["msg"]


def test_a_probe_looks_for_tables_and_columns(books: Books) -> None:
    assert probe("books", books.settings(gates=WHOLE), {}, HASTE) is None
    with pytest.raises(Fault, match="no table or view 'gone'"):
        probe("books", books.settings(gone={"table": "gone", "key": ["id"]}), {}, HASTE)


@pytest.mark.parametrize("cursor", [None, "seen"])
def test_contract_columns_need_no_select_and_what_went_is_deleted(books: Books, cursor: str | None) -> None:
    books.run(
        "create table clients (source_key text, name text, seen text)",
        "insert into clients values ('c1', 'Aster', '2026-03-01'), ('c2', 'Birch', '2026-03-01')",
    )
    table = {"table": "clients", "key": ["source_key"], "cursor": cursor}
    books.pull(clients=table)
    books.run("update clients set name = 'Aster & Co', seen = '2026-03-02' where source_key = 'c1'")
    books.run("delete from clients where source_key = 'c2'")
    books.pull(MONDAY + DAY, clients=table)
    settings = books.settings(clients=table)
    with warehouse.open_warehouse(settings.warehouse) as con:
        warehouse.load_reference(con, settings)
        at = warehouse.moment(settings, MONDAY + 2 * DAY)
        told = warehouse.stage_all(con, warehouse.staged_sources(settings), at)
        found = con.sql("select client_id, name, reject_reason, deleted_at from staging.clients order by 1").fetchall()
    gone_at = datetime(2026, 3, 3, 12)
    assert found == [("books:c1", "Aster & Co", None, None), ("books:c2", "Birch", "deleted", gone_at)]
    assert [one.sample for one in told if one.sample] == [({"source": "books", "column": "seen"},)]


def test_values_of_every_kind_become_exact_text() -> None:
    from decimal import Decimal
    from uuid import UUID
    from zoneinfo import ZoneInfo

    berlin = datetime(2026, 3, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))
    given: list[Any] = [Decimal("1E+3"), Decimal("12345678901234567890.10"), True, 7, 0.1, b"\xff", berlin]
    given += [berlin.replace(tzinfo=None), berlin.date(), UUID(int=1), [Decimal("1.50"), berlin, [None]], None]
    assert [written(value) for value in given] == [
        "1000", "12345678901234567890.10", "true", "7", "0.1", "ff", "2026-03-01T08:00:00Z",
        "2026-03-01T09:00:00", "2026-03-01", str(UUID(int=1)), '[1.50, "2026-03-01T08:00:00Z", [null]]', None,
    ]  # fmt: skip
