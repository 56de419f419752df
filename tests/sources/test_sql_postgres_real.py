"""The kind `sql` on a real PostgreSQL: exact values, late commits, deletions, rights, a server that goes down, and the marts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from postgres_server import SECRET, Postgres

from models.faults import Fault
from pipelines import refreshing, snapshots
from pipelines.pulling import PullReport, pull
from pipelines.settings import Settings, load
from pipelines.sources import sql
from pipelines.sources.door import Patience
from pipelines.sources.landing import Record

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HASTE = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=3)
KEYED = {"table": "gates", "key": ["id"]}
BY_CURSOR = {**KEYED, "cursor": "changed_at"}
GATES = (
    "create table gates (id int primary key, name text, changed_at timestamptz)",
    "insert into gates values (1, 'Kickoff', '2026-03-01 09:00Z'), (2, 'Concept', '2026-03-01 10:00Z')",
)
_NUMBERS = count(1)

pytestmark = pytest.mark.slow


class Erp:
    """A database of its own on the server, and pulls from it."""

    def __init__(self, server: Postgres, name: str, data: Path) -> None:
        self.server, self.name, self.data = server, name, data
        self.url = server.database(name, *GATES)
        self.more: dict[str, Any] = {}  # of the block

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        return self.server.run(self.name, *statements)

    def settings(self, **tables: Any) -> Settings:
        block = {"kind": "sql", "url": self.url, "token_env": "ERP_PASSWORD", "tables": tables, **self.more}
        return Settings.model_validate({"data": self.data, "sources": {"erp": block}})

    def pull(self, now: datetime = MONDAY, password: str = SECRET, **tables: Any) -> PullReport:
        return pull(self.settings(**tables), "erp", now, {"ERP_PASSWORD": password}, HASTE)

    def refusal(self, password: str = SECRET, **tables: Any) -> str:
        with pytest.raises(Fault) as caught:
            self.pull(password=password, **tables)
        assert SECRET not in str(caught.value)
        return str(caught.value)

    def stored(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.data / "warehouse.duckdb")) as con:
            return con.sql(query).fetchall()


@pytest.fixture
def erp(postgres: Postgres, tmp_path: Path) -> Iterator[Erp]:
    made = Erp(postgres, f"erp_{next(_NUMBERS)}", tmp_path)
    yield made
    postgres.run("postgres", f"drop database {made.name} with (force)")


def test_values_land_with_every_digit_and_instants_in_utc(erp: Erp) -> None:
    digits = "1234567890123456789012345678.901234567890"  # forty: more than Arrow's decimals have
    erp.run(
        f"alter database {erp.name} set timezone to 'America/New_York'",
        "create type mood as enum ('calm', 'tense')",
        "create table kinds (id uuid primary key, amount numeric, price numeric(12, 2), share double precision, aware timestamptz, "
        "naive timestamp, day date, at time, span interval, doc jsonb, plain json, tags text[], parts numeric[], raw bytea, "
        "ok boolean, feeling mood, host inet, nothing text, big bigint, money_in money)",
    )
    erp.run(
        f"insert into kinds values ('00000000-0000-0000-0000-000000000001', {digits}, 1500, 0.1, '2026-03-01 09:00:00.123456', "
        "'2026-03-01 09:00', '2026-03-01', '09:30', '1 day 02:00', '{\"a\": 12345678901234567.10, \"b\": [null]}', '{\"x\":1}', "
        "array['a', null, 'c,\"d\"'], array[1.50, 2], '\\xff00', true, 'tense', '10.0.0.1', null, 9223372036854775807, '12.50')",
    )
    erp.pull(kinds={"table": "kinds", "key": ["id"]})
    (row,) = erp.stored("select columns(* exclude (row_print, _dlt_valid_from, _dlt_valid_to)) from raw_erp.kinds")
    assert row == (
        "00000000-0000-0000-0000-000000000001", digits, "1500.00", "0.1", "2026-03-01T14:00:00.123456Z",
        "2026-03-01T09:00:00", "2026-03-01", "09:30:00", "1 day, 2:00:00", '{"a": 12345678901234567.10, "b": [null]}', '{"x":1}',
        '["a", null, "c,\\"d\\""]', "[1.50, 2]", "ff00", "true", "tense", "10.0.0.1", None, "9223372036854775807", "$12.50",
    )  # fmt: skip


def test_what_is_not_a_number_or_an_instant_is_passed_on_or_named(erp: Erp) -> None:
    erp.run("create table odd (id int, amount numeric, at timestamptz)", "insert into odd values (1, 'NaN', null)")
    erp.pull(odd={"table": "odd", "key": ["id"]})
    assert erp.stored("select amount from raw_erp.odd") == [("NaN",)]
    erp.run("update odd set at = 'infinity'")
    message = erp.refusal(odd={"table": "odd", "key": ["id"]})
    assert message.startswith("source erp, table odd: ")
    assert "infinity" in message


def test_by_cursor_ties_are_found_and_nothing_is_loaded_when_nothing_changed(erp: Erp) -> None:
    erp.more = {"lookback_seconds": 0, "sweep_hours": 999}
    assert erp.pull(gates=BY_CURSOR).rows == {"gates": 2}
    assert not erp.pull(gates=BY_CURSOR).changed
    erp.run("insert into gates values (3, 'Launch', '2026-03-01 10:00Z')")  # the very instant of the newest
    assert erp.pull(gates=BY_CURSOR).rows == {"gates": 1}


def test_a_transaction_that_commits_late_is_found_within_the_lookback_and_by_the_sweep_beyond(erp: Erp) -> None:
    with erp.server.connect(erp.name) as late, erp.server.connect(erp.name) as slow:
        late.autocommit = slow.autocommit = False
        late.execute("insert into gates values (3, 'Late', '2026-03-01 11:59:30Z')")
        slow.execute("insert into gates values (4, 'Slow', '2026-03-01 11:00:00Z')")
        erp.run("insert into gates values (5, 'Launch', '2026-03-01 12:00Z')")
        assert erp.pull(gates=BY_CURSOR).rows == {"gates": 3}
        late.commit()
        slow.commit()
    assert erp.pull(gates=BY_CURSOR).rows == {"gates": 1}
    assert erp.stored("select name from raw_erp.gates where id in ('3', '4')") == [("Late",)]
    erp.pull(MONDAY + DAY, gates=BY_CURSOR)
    assert erp.stored("select name from raw_erp.gates where id = '4'") == [("Slow",)]


def test_what_was_deleted_is_marked_and_what_came_back_is_not(erp: Erp) -> None:
    erp.pull(gates=BY_CURSOR)
    erp.run("delete from gates where id = 1")
    erp.pull(MONDAY + DAY, gates=BY_CURSOR)
    assert erp.stored("select id from raw_erp.gates where gone_at is not null") == [("1",)]
    erp.run("insert into gates values (1, 'Kickoff', '2026-03-01 09:00Z')")
    erp.pull(MONDAY + 2 * DAY, gates=BY_CURSOR)
    assert erp.stored("select id from raw_erp.gates where gone_at is not null") == []


def test_a_table_that_lost_all_its_rows_is_read_on(erp: Erp) -> None:
    erp.pull(gates=BY_CURSOR)
    erp.run("delete from gates")
    erp.pull(MONDAY + DAY, gates=BY_CURSOR)
    assert erp.stored("select count(*) from raw_erp.gates where gone_at is not null") == [(2,)]


def test_a_column_may_change_its_type_and_an_older_version_replaces_no_newer_one(erp: Erp) -> None:
    erp.run("alter table gates add size int default 5")
    erp.pull(gates=BY_CURSOR)
    erp.run(
        "alter table gates alter size type text using size || ' pieces'",
        "update gates set name = 'Older', changed_at = changed_at - interval '1 second' where id = 2",
        "update gates set changed_at = '2026-03-02 10:00Z' where id = 1",
    )
    erp.pull(gates=BY_CURSOR)
    assert erp.stored("select name, size from raw_erp.gates order by id") == [("Kickoff", "5 pieces"), ("Concept", "5")]


def test_views_schemas_and_queries_are_read_like_tables(erp: Erp) -> None:
    erp.run(
        "create schema books",
        "create view books.bills as select 'B-' || id as nr, name, changed_at from gates",
        'create table books."Old Bills" (nr text, "Betrag (EUR)" numeric(10, 2))',
        "insert into books.\"Old Bills\" values ('B-0', 7.10)",
        "grant usage on schema books to milepost",
        "grant select on all tables in schema books to milepost",
    )
    query = "select nr, \"Betrag (EUR)\"::text || ' at 100%' as told from books.\"Old Bills\" where nr like 'B%';"
    erp.pull(
        bills={"table": "books.bills", "key": ["nr"], "cursor": "changed_at"},
        old={"table": "books.Old Bills", "key": ["nr"]},
        asked={"query": query, "key": ["nr"]},
    )
    assert erp.stored("select id, name, updated_at from raw_erp.bills order by id") == [
        ("B-1", "Kickoff", "2026-03-01T09:00:00.000000Z"),
        ("B-2", "Concept", "2026-03-01T10:00:00.000000Z"),
    ]
    assert erp.stored("select nr, betrag_eur from raw_erp.old") == [("B-0", "7.10")]
    assert erp.stored("select told from raw_erp.asked") == [("7.10 at 100%",)]


def test_a_query_in_the_settings_cannot_change_the_database(erp: Erp) -> None:
    erp.run("grant all on gates to milepost")
    changing = {"query": "with gone as (delete from gates returning id) select id from gone", "key": ["id"]}
    assert "refuses what it was asked" in erp.refusal(gates=changing)
    erp.run("create function wipe() returns int language sql as 'delete from gates; select 1'")
    message = erp.refusal(gates={"query": "select wipe() as id", "key": ["id"]})
    assert "cannot execute DELETE in a read-only transaction" in message
    assert erp.run("select count(*) from gates") == [(2,)]


def test_a_wrong_password_is_told_at_once_and_never_repeated(erp: Erp) -> None:
    message = erp.refusal(password="sesame-street", gates=KEYED)
    assert "does not let us in (" in message
    assert "Check the user in url, and the password that token_env or token_file names." in message
    assert "sesame" not in message


def test_a_user_or_a_database_that_is_not_there_is_named(erp: Erp) -> None:
    erp.url = erp.server.url(erp.name, "nobody")
    assert "does not let us in (" in erp.refusal(gates=KEYED)
    erp.url = erp.server.url("nowhere")
    assert 'database "nowhere" does not exist' in erp.refusal(gates=KEYED)


def test_a_right_that_was_taken_away_is_told_with_its_cure(erp: Erp) -> None:
    erp.pull(gates=KEYED)
    erp.run("revoke select on gates from milepost")
    message = erp.refusal(gates=KEYED)
    assert message.startswith("source erp, table gates: ")
    assert (
        "refuses to be read (permission denied for table gates). Give the user the right to select from it." in message
    )
    assert erp.stored("select count(*) from raw_erp.gates") == [(2,)]


def test_a_column_that_was_removed_is_named_with_those_that_are_there(erp: Erp) -> None:
    erp.pull(gates=BY_CURSOR)
    erp.run("alter table gates drop column changed_at")
    assert "has no column 'changed_at'. Its columns are: id, name." in erp.refusal(gates=BY_CURSOR)


def test_a_server_that_stops_in_the_middle_of_a_pull_is_told_and_the_next_pull_makes_it_whole(
    erp: Erp, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp.pull(gates=BY_CURSOR)
    erp.run("insert into gates select n, 'Gate ' || n, '2026-03-01 11:00Z' from generate_series(3, 3000) n")
    pages, monkeypatched = sql._Reading.pages, monkeypatch.context()

    def stopping(reading: sql._Reading, since: str | None) -> Iterator[Sequence[Record]]:
        for page in pages(reading, since):
            yield page
            erp.server.stop()

    monkeypatch.setattr(sql, "PAGE_ROWS", 500)
    try:
        with monkeypatched as within:
            within.setattr(sql._Reading, "pages", stopping)
            message = erp.refusal(gates=BY_CURSOR)
    finally:
        erp.server.start()
    assert "cannot be read (" in message
    assert "Check that it runs, and the url of the source." in message
    assert erp.stored("select count(*) from raw_erp.gates") == [(2,)]
    assert erp.pull(gates=BY_CURSOR).rows == {"gates": 2998}


def test_two_databases_stand_side_by_side(postgres: Postgres, erp: Erp) -> None:
    other = Erp(postgres, f"{erp.name}_other", erp.data)
    other.run("update gates set name = 'Another firm''s'")
    erp.pull(gates=KEYED)
    block = {"kind": "sql", "url": other.url, "token_env": "P", "tables": {"gates": KEYED}}
    settings = Settings.model_validate({"data": erp.data, "sources": {"books": block}})
    pull(settings, "books", MONDAY, {"P": SECRET}, HASTE)
    assert erp.stored("select id, name from raw_erp.gates order by id") == [("1", "Kickoff"), ("2", "Concept")]
    assert erp.stored("select distinct name from raw_books.gates") == [("Another firm's",)]
    postgres.run("postgres", f"drop database {other.name} with (force)")


CONTRACT = (
    "create table clients (source_key text primary key, name text, timezone text, recorded_at timestamptz)",
    "create table projects (source_key text primary key, client text, name text, currency text, contract_amount numeric(18, 2), "
    "signed_at timestamptz, recorded_at timestamptz)",
    "create table milestones (source_key text primary key, project text, name text, bills_pct int, history_quality text, recorded_at timestamptz)",
    "create table milestone_events (source_key int primary key, milestone text, type text, occurred_at timestamptz, origin text, recorded_at timestamptz)",
    "create table invoices (source_key text primary key, client text, project text, number text, status text, issued_at timestamptz, "
    "currency text, total numeric(18, 2), recorded_at timestamptz)",
    "create table invoice_lines (source_key text primary key, invoice text, milestone text, amount numeric(18, 2), recorded_at timestamptz)",
    "insert into clients values ('c1', 'Aster', 'Europe/Berlin', '2026-03-01 09:00Z')",
    "insert into projects values ('p1', 'c1', 'Rebrand', 'USD', 10000.10, '2026-01-01 12:00Z', '2026-03-01 09:00Z')",
    "insert into milestones values ('g1', 'p1', 'Concept', 40, 'log', '2026-03-01 09:00Z'), ('g2', 'p1', 'Build', 60, 'log', '2026-03-01 09:00Z')",
    "insert into milestone_events values (1, 'g1', 'started', '2026-01-02 12:00Z', 'log', '2026-03-01 09:00Z'), "
    "(2, 'g1', 'approved', '2026-01-07 12:00Z', 'log', '2026-03-01 09:00Z'), (3, 'g2', 'started', '2026-01-08 12:00Z', 'log', '2026-03-01 09:00Z')",
    "insert into invoices values ('i1', 'c1', 'p1', '1001', 'open', '2026-01-11 12:00Z', 'USD', 4000.04, '2026-03-01 09:00Z')",
    "insert into invoice_lines values ('l1', 'i1', 'g1', 4000.04, '2026-03-01 09:00Z')",
)  # fmt: skip


def test_a_database_in_contract_columns_ends_in_the_snapshot(erp: Erp, monkeypatch: pytest.MonkeyPatch) -> None:
    erp.run(*CONTRACT)
    monkeypatch.setenv("ERP_PASSWORD", SECRET)
    entities = ("clients", "projects", "milestones", "milestone_events", "invoices", "invoice_lines")
    cursor = {"clients": None, "invoices": "recorded_at"}  # read whole, by cursor
    tables = {one: {"table": one, "key": ["source_key"], "cursor": cursor.get(one, "recorded_at")} for one in entities}
    block = {"kind": "sql", "url": erp.url, "token_env": "ERP_PASSWORD", "tables": tables, "sweep_hours": 0}
    file = erp.data / "milepost.toml"
    file.write_text("[sources]\nerp = " + _toml(block), "utf-8")
    settings = load(erp.data, file, {})

    def seen() -> list[tuple[Any, ...]]:
        outcome = refreshing.refresh(settings)
        assert outcome.problems == ()
        serving = snapshots.newest(settings.snapshots)
        assert serving is not None
        query = "select gate_id, status, cycle_days, cast(bills_amount as varchar), cast(unbilled_amount as varchar) from marts.gates order by 1"
        with duckdb.connect(str(serving.path), read_only=True) as con:
            return con.execute(query).fetchall()

    assert seen() == [
        ("erp:g1", "approved", 5.0, "4000.04", "0.00"),
        ("erp:g2", "in_progress", None, "6000.06", "0.00"),
    ]
    erp.run(
        "insert into milestone_events values (4, 'g2', 'approved', '2026-02-01 12:00Z', 'log', '2026-03-02 09:00Z')",
        "delete from invoice_lines",
    )
    assert seen() == [
        ("erp:g1", "approved", 5.0, "4000.04", "4000.04"),
        ("erp:g2", "approved", 24.0, "6000.06", "6000.06"),
    ]


def _toml(told: Any) -> str:
    """A value as TOML writes it within one line."""
    if isinstance(told, dict):
        return "{" + ", ".join(f"{key} = {_toml(value)}" for key, value in told.items() if value is not None) + "}"
    if isinstance(told, list):
        return "[" + ", ".join(_toml(one) for one in told) + "]"
    return json.dumps(told)
