"""Pulling from a portal over HTTP: nothing lost, nothing twice, nothing stale, and plain words when it fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb
import httpx
import pytest
from hand_made_portal import Record, Records, migration, row

from models.faults import Fault
from pipelines import warehouse
from pipelines.demo.portal import Hurry, create_app, running
from pipelines.pulling import PullReport, pull
from pipelines.settings import Settings
from pipelines.sources.door import Patience
from pipelines.sources.landing import Reach
from pipelines.sources.portal import FIELDS, opened, pages
from pipelines.sources.text import sortable

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HASTE = Patience(attempts=3, backoff_seconds=0.05, ceiling_seconds=2, timeout_seconds=5)
PROJECT = Path(__file__).resolve().parents[2]
Answer = tuple[int, dict[str, str], bytes]

pytestmark = pytest.mark.slow


class Script:
    """A portal that gives each entity the answers of a script, one after the other; the last one for ever."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, list[str]], float]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        entity = scope["path"].rsplit("/", 1)[1]
        self.asked.append((entity, parse_qs(scope["query_string"].decode()), time.monotonic()))
        script = self.answers.get(entity, [page()])
        status, headers, body = script.pop(0) if len(script) > 1 else script[0]
        told = [(key.encode(), value.encode()) for key, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": told})
        await send({"type": "http.response.body", "body": body})

    def times(self, entity: str) -> list[float]:
        return [at for asked, _, at in self.asked if asked == entity]


def page(*records: Record, following: str | None = None) -> Answer:
    body = json.dumps({"data": records, "next_cursor": following}).encode()
    return 200, {"content-type": "application/json"}, body


def person(key: str, at: str = "2026-03-01T09:00:00Z", **values: Any) -> Record:
    wire = row("clients", key, at, **{"name": key, **values})
    del wire["firm"]
    return wire


def house(data: Path, url: str, **more: Any) -> Settings:
    portal = {"kind": "portal", "firm": "Relay Onboarding", "url": url, "token_env": "T", **more}
    return Settings.model_validate({"data": data, "sources": {"relay": portal}})


def take(data: Path, url: str, token: str = "relay-token", now: datetime = NOW, **more: Any) -> PullReport:
    return pull(house(data, url, **more), "relay", now, {"T": token}, patience=HASTE)


def rows(data: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(data / "warehouse.duckdb")) as con:
        return con.sql(query).fetchall()


def names(data: Path) -> list[tuple[Any, ...]]:
    return rows(data, "select id, name from raw_relay.clients order by id")


@contextmanager
def portal_of(records: Records, hurry: Hurry | None = None) -> Iterator[str]:
    tokens = {"relay-token": "relay", "hearth-token": "hearth"}
    with running(create_app(records, tokens, lambda: NOW, hurry)) as url:
        yield url


def ask(url: str) -> list[Any]:
    """All pages of clients, asked for without storing them."""
    configured = house(Path(), url).sources["relay"]
    assert configured.kind == "portal"
    return list(pages(opened("relay", configured, {"T": "token"}, HASTE), "clients", 500, None))


def test_the_first_pull_makes_every_table_with_every_column_as_text(tmp_path: Path) -> None:
    with portal_of(migration()) as url:
        report = take(tmp_path, url)
    assert {name: count for name, count in report.rows.items() if count} == {
        "projects": 1,
        "milestones": 3,
        "milestone_events": 3,
    }
    assert (report.changed, report.newest_recorded_at) == (True, datetime(2026, 3, 2, 9, tzinfo=UTC))
    found = rows(tmp_path, "select table_name, column_name, data_type from information_schema.columns "
                           "where table_schema = 'raw_relay' and not starts_with(table_name, '_dlt')")  # fmt: skip
    wanted = {(entity, field, "VARCHAR") for entity, fields in FIELDS.items() for field in fields}
    assert set(found) == wanted
    noted = rows(
        tmp_path, "select source, kind, firm, pulled_at, outcome, row_count, newest_recorded_at, message from ops.pulls"
    )
    at, newest = NOW.replace(tzinfo=None), datetime(2026, 3, 2, 9)
    assert noted == [("relay", "portal", "Relay Onboarding", at, "ok", 7, newest, None)]


def test_values_keep_their_digits_and_a_field_nobody_knows_is_kept(tmp_path: Path) -> None:
    body = page(person("c1"))[2].replace(
        b'"is_active": null', b'"is_active": true, "creditLimit": 12500.00, "credit_limit": 3, "tags": [{"a": 1.5}]'
    )
    with running(Script(clients=[(200, {}, body)])) as url:
        take(tmp_path, url)
    query = "select is_active, credit_limit, credit_limit_2, tags, owner from raw_relay.clients"
    assert rows(tmp_path, query) == [("true", "12500.00", "3", '[{"a": 1.5}]', None)]


def test_small_pages_bring_what_one_large_page_brings(tmp_path: Path) -> None:
    records = {"clients": [row("clients", f"c{n:02}", name=str(n)) for n in range(23)]}
    with portal_of(records) as url:
        assert take(tmp_path, url, page_size=3).rows["clients"] == 23
    assert names(tmp_path) == [(f"c{n:02}", str(n)) for n in range(23)]


def test_a_pull_without_news_changes_nothing(tmp_path: Path) -> None:
    with portal_of(migration()) as url:
        take(tmp_path, url)
        loads = rows(tmp_path, "select count(*) from raw_relay._dlt_loads")
        again = take(tmp_path, url)
    assert (again.changed, sum(again.rows.values())) == (False, 0)
    assert rows(tmp_path, "select count(*) from raw_relay._dlt_loads") == loads
    assert rows(tmp_path, "select outcome, row_count from ops.pulls") == [("ok", 7), ("ok", 0)]


def test_a_portal_without_any_row_gives_empty_tables_once(tmp_path: Path) -> None:
    with portal_of({}) as url:
        first, again = take(tmp_path, url), take(tmp_path, url)
    assert (first.changed, again.changed, again.newest_recorded_at) == (True, False, None)
    assert rows(tmp_path, "select count(*) from raw_relay.extra_work") == [(0,)]


def test_a_decision_posted_between_pulls_is_all_that_the_next_pull_brings(tmp_path: Path) -> None:
    with portal_of(migration()) as url:
        take(tmp_path, url)
        head = {"Authorization": "Bearer relay-token"}
        for kind in ("submit", "approve"):
            httpx.post(f"{url}/v1/milestones/mil_1/events", json={"type": kind}, headers=head).raise_for_status()
        brought = {name: count for name, count in take(tmp_path, url).rows.items() if count}
    assert brought == {"milestones": 1, "milestone_events": 2, "handoffs": 1}
    handed = rows(tmp_path, "select milestone, from_team, to_team, notified_at, accepted_at from raw_relay.handoffs")
    assert handed == [("mil_1", "integrations", "customer success", "2026-03-04T12:00:00Z", None)]


def test_a_renamed_and_a_deleted_row_replace_what_was_there(tmp_path: Path) -> None:
    day = "2026-03-02T09:00:00Z"
    later = page(person("c1", day, name="new"), person("c2", day, deleted_at=day))
    with running(Script(clients=[page(person("c1"), person("c2")), later])) as url:
        take(tmp_path, url)
        take(tmp_path, url)
    query = "select id, name, deleted_at from raw_relay.clients order by id"
    assert rows(tmp_path, query) == [("c1", "new", None), ("c2", "c2", "2026-03-02T09:00:00Z")]


def test_the_next_pull_asks_from_before_the_newest_row_so_that_a_late_row_is_not_lost(tmp_path: Path) -> None:
    late = person("late", "2026-03-01T08:59:30Z")  # committed after the pull, stamped before its newest row
    script = Script(clients=[page(person("c1")), page(late, person("c1"))])
    with running(script) as url:
        take(tmp_path, url, lookback_seconds=60)
        assert take(tmp_path, url, lookback_seconds=60).rows["clients"] == 1
    asked = [query.get("updated_since") for entity, query, _ in script.asked if entity == "clients"]
    assert asked == [None, ["2026-03-01T08:59:00.000000Z"]]
    assert names(tmp_path) == [("c1", "c1"), ("late", "late")]


def test_an_old_version_that_is_sent_again_changes_nothing(tmp_path: Path) -> None:
    old, new = person("c1", name="old"), person("c1", "2026-03-01T09:00:20Z", name="new")
    with running(Script(clients=[page(new), page(old)])) as url:
        take(tmp_path, url)
        assert not take(tmp_path, url).changed
    assert names(tmp_path) == [("c1", "new")]


def test_a_row_changed_twice_in_the_same_second_is_taken_again(tmp_path: Path) -> None:
    with running(Script(clients=[page(person("c1", name="first")), page(person("c1", name="second"))])) as url:
        take(tmp_path, url)
        take(tmp_path, url)
    assert names(tmp_path) == [("c1", "second")]


@pytest.mark.parametrize("newer_first", [True, False])
@pytest.mark.parametrize("apart", ["one page", "two pages"])
def test_of_two_versions_in_one_pull_the_newer_stays(tmp_path: Path, newer_first: bool, apart: str) -> None:
    versions = [person("c1", name="old"), person("c1", "2026-03-01T09:00:00.5Z", name="new")]
    if newer_first:
        versions.reverse()
    pages = [page(*versions)] if apart == "one page" else [page(versions[0], following="x"), page(versions[1])]
    with running(Script(clients=pages)) as url:
        take(tmp_path, url)
    assert names(tmp_path) == [("c1", "new")]


def test_each_token_fills_only_its_own_schema(tmp_path: Path) -> None:
    with portal_of(migration()) as url:
        take(tmp_path, url, "hearth-token")
    assert rows(tmp_path, "select id from raw_relay.milestones") == [("mil_9",)]


def test_a_hurried_portal_is_given_the_time_it_asks_for(tmp_path: Path) -> None:
    script = Script(clients=[(429, {"retry-after": "1"}, b""), page(person("c1"))])
    with running(script) as url:
        take(tmp_path, url)
    first, second = script.times("clients")
    assert 1.0 <= second - first < 1.6
    assert names(tmp_path) == [("c1", "c1")]


def test_the_wait_that_is_asked_for_has_a_ceiling_and_an_end(tmp_path: Path) -> None:
    brief = Patience(attempts=3, backoff_seconds=0.01, ceiling_seconds=0.1)
    script = Script(clients=[(429, {"retry-after": "3600"}, b"")])
    told = r"asked too often \(429, Retry-After: 3600\)"
    with running(script) as url, pytest.raises(Fault, match=told):
        pull(house(tmp_path, url), "relay", NOW, {"T": "t"}, patience=brief)
    assert len(script.times("clients")) == 3


def test_the_demo_portal_in_a_hurry_still_gives_every_row(tmp_path: Path) -> None:
    records = {"clients": [row("clients", f"c{n:02}", name=str(n)) for n in range(12)]}
    with portal_of(records, hurry=Hurry(per_second=15, burst=5)) as url:
        assert take(tmp_path, url, page_size=2).rows["clients"] == 12


def test_a_portal_that_fails_twice_is_asked_a_third_time(tmp_path: Path) -> None:
    script = Script(clients=[(503, {}, b""), (500, {}, b""), page(person("c1"))])
    with running(script) as url:
        take(tmp_path, url)
    assert len(script.times("clients")) == 3
    assert names(tmp_path) == [("c1", "c1")]


def test_a_wrong_token_is_told_at_once(tmp_path: Path) -> None:
    with (
        portal_of(migration()) as url,
        pytest.raises(Fault, match=r"refuses the token \(401\)\. Set the token of source relay"),
    ):
        take(tmp_path, url, "wrong")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, {"content-type": "text/html"}, b"<html>Log in</html>"), "answers an HTML page instead of JSON. Check"),
        ((200, {}, b'{"data": [{"id": "c1", "na'), "answers a page that is not whole JSON"),
        ((200, {}, b'{"data": [], "total": NaN}'), "answers a page that is not whole JSON (NaN is not JSON"),
        ((200, {}, b'{"items": []}'), 'answers a page without a list "data" (it holds the keys items).'),
        ((200, {}, b"[]"), 'answers a page without a list "data" (it holds a list).'),
        ((200, {}, b'{"data": [7]}'), "holds something that is no record (place 1 of a page)"),
        ((200, {}, b'{"data": [{"id": "c1", "name": "n"}]}'), "the record 'c1' without updated_at"),
        ((200, {}, b'{"data": [{"updated_at": "2026-03-01T09:00:00Z"}]}'), "a record without id"),
        (page(person("c1", "last week")), "record 'c1', field updated_at: 'last week' is not an instant."),
        ((200, {}, b'{"data": [{"id": "c1", "updated_at": "2026-03-01T09:00:00Z"}]}'), "'c1' has no field name."),
        ((404, {}, b'{"detail": "no such entity"}'), "answers 404: no such entity."),
        ((503, {}, b""), "answers 503."),
        (page(person("c1"), following="again"), "gives the cursor 'again' again"),
        ((200, {"content-length": "999"}, b'{"data": ['), "breaks off in the middle of a page"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_page_is_named_with_its_endpoint(answer: Answer, told: str) -> None:
    with running(Script(clients=[answer])) as url, pytest.raises(Fault) as caught:
        ask(url)
    assert str(caught.value).startswith(f"source relay, GET {url}/v1/clients: ")
    assert told in str(caught.value)


def test_a_deleted_record_may_have_lost_its_fields(tmp_path: Path) -> None:
    gone = {"id": "c1", "updated_at": "2026-03-01T09:00:00Z", "deleted_at": "2026-03-01T09:00:00Z"}
    with running(Script(clients=[page(gone)])) as url:
        take(tmp_path, url)
    assert names(tmp_path) == [("c1", None)]


def test_a_portal_that_is_not_there_is_said_plainly() -> None:
    with pytest.raises(Fault, match=r"cannot be reached \(connection refused\)"):
        ask("http://127.0.0.1:9")


def test_a_failed_pull_leaves_the_rows_and_the_place_of_the_last_good_one(tmp_path: Path) -> None:
    script = Script(
        clients=[page(person("c1")), page(person("c2", "2026-03-02T09:00:00Z"))],
        projects=[page(), *[(200, {}, b"<html>")] * HASTE.attempts, page()],
    )
    with running(script) as url:
        take(tmp_path, url)
        with pytest.raises(Fault, match="HTML") as caught:
            take(tmp_path, url)
        assert names(tmp_path) == [("c1", "c1")]
        take(tmp_path, url)
    noted = rows(tmp_path, "select outcome, row_count, message from ops.pulls")
    assert noted == [("ok", 1, None), ("failed", 0, str(caught.value)), ("ok", 1, None)]
    assert names(tmp_path) == [("c1", "c1"), ("c2", "c2")]


@pytest.mark.parametrize("lost", ["warehouse.duckdb", ".pull"])
def test_whatever_was_deleted_the_next_pull_makes_it_whole(tmp_path: Path, lost: str) -> None:
    with portal_of(migration()) as url:
        take(tmp_path, url)
        for path in (
            [tmp_path / lost] if lost.endswith("duckdb") else sorted((tmp_path / lost).rglob("*"), reverse=True)
        ):
            path.rmdir() if path.is_dir() else path.unlink()
        again = take(tmp_path, url)
    assert again.changed is lost.endswith("duckdb")
    assert rows(tmp_path, "select count(*) from raw_relay.milestones") == [(3,)]


def test_a_warehouse_from_a_backup_catches_up(tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    script = Script(clients=[page(person("c1")), page(person("c2", "2026-03-02T09:00:00Z"))])
    with running(script) as url:
        take(tmp_path, url)
        backup = file.read_bytes()
        take(tmp_path, url)
        file.write_bytes(backup)
        take(tmp_path, url)
    assert names(tmp_path) == [("c1", "c1"), ("c2", "c2")]


def test_a_warehouse_that_another_program_holds_is_said_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warehouse, "PATIENCE_SECONDS", 0.1)
    hold = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(tmp_path / "warehouse.duckdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(Fault, match="another process is writing to the warehouse"):
            take(tmp_path, "http://127.0.0.1:9")
        holder.communicate()


def test_a_source_that_is_not_configured_is_named_beside_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(Fault, match=r"source books: is not in the settings\. There are: relay"):
        pull(house(tmp_path, "http://127.0.0.1:9"), "books", NOW, {})


PULLING = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from pipelines.pulling import pull
from pipelines.settings import Settings
portal = {"kind": "portal", "url": sys.argv[2], "token_env": "T"}
settings = Settings.model_validate({"data": Path(sys.argv[1]), "sources": {"relay": portal}})
pull(settings, "relay", datetime(2026, 3, 4, tzinfo=UTC), {"T": "relay-token"})
"""


@pytest.mark.parametrize(
    "stage",
    ["normalize/extracted/*/new_jobs/*", "load/normalized/*/new_jobs/*", "load/normalized/*/completed_jobs/*.sql"],
    ids=["while asking", "before loading", "while merging"],
)
def test_a_pull_that_is_killed_is_made_good_by_the_next(tmp_path: Path, stage: str) -> None:
    entities = ("clients", "invoices", "milestones", "projects")
    records = {entity: [many(entity, n) for n in range(1500)] for entity in entities}
    data, home = tmp_path / "data", tmp_path / "home"
    data.mkdir()
    home.mkdir()
    environ = {**os.environ, "HOME": str(home), "PYTHONPATH": str(PROJECT)}
    with portal_of(records) as url:
        with subprocess.Popen([sys.executable, "-c", PULLING, str(data), url], env=environ) as pulling:
            while not any((data / ".pull" / "relay").glob(stage)):
                assert pulling.poll() is None, "the pull ended before it could be killed"
                time.sleep(0.001)
            pulling.send_signal(signal.SIGKILL)
        take(data, url)
        assert not take(data, url).changed
    for entity in entities:
        found = rows(data, f"select count(*), count(distinct id), min(id), max(id) from raw_relay.{entity}")
        assert found == [(1500, 1500, f"{entity}_0000", f"{entity}_1499")]
    assert list(home.iterdir()) == []


def many(entity: str, number: int) -> Record:
    """One of many rows, all updated at different times."""
    required = {name: "x" for name, field in FIELDS[entity].items() if field.required}
    at = (datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {**row(entity, ""), **required, "id": f"{entity}_{number:04}", "updated_at": at}


class TestReach:
    """What counts as news, row by row."""

    @staticmethod
    def news(reach: Reach, *given: tuple[str, str, str]) -> list[str | None]:
        base = datetime(2026, 3, 1, 9, tzinfo=UTC)
        at = {seconds: sortable(base + timedelta(seconds=int(seconds))) for _, seconds, _ in given}
        made = [{"id": key, "updated_at": at[seconds], "name": name} for key, seconds, name in given]
        return [one["id"] for one in reach.news(made)]

    def test_only_rows_within_the_lookback_are_remembered(self) -> None:
        reach = Reach(timedelta(seconds=60))
        self.news(reach, ("a", "0", "x"), ("b", "50", "x"), ("c", "100", "x"))
        assert sorted(reach.recent) == ["b", "c"]

    def test_the_newer_of_two_versions_in_a_page_is_the_one_remembered(self) -> None:
        reach = Reach(timedelta(seconds=60))
        self.news(reach, ("a", "20", "new"), ("a", "0", "old"))
        again = Reach(reach.lookback, reach.newest, reach.recent)
        assert self.news(again, ("a", "10", "between"), ("a", "20", "new")) == []

    def test_a_lookback_of_nothing_still_tells_ties_apart(self) -> None:
        reach = Reach(timedelta(0))
        self.news(reach, ("a", "0", "x"))
        again = Reach(reach.lookback, reach.newest, reach.recent)
        assert self.news(again, ("a", "0", "x"), ("b", "0", "x")) == ["b"]
