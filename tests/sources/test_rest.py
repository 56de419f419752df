"""Any API that lists JSON: every way of paging and of proving who asks, nothing lost, and plain words for what is wrong."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from loopback import Loopback, Reply, Request, serving
from pydantic import ValidationError

from models.faults import Fault
from pipelines import warehouse
from pipelines.pulling import PullReport, pull
from pipelines.settings import Settings
from pipelines.sources import landing
from pipelines.sources.door import Patience
from pipelines.sources.rest import opened, probe

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
HASTE = Patience(attempts=2, backoff_seconds=0.01, ceiling_seconds=0.05, timeout_seconds=3)
SECRET = "sesame-0815"

pytestmark = pytest.mark.slow

Row = dict[str, Any]


def gate(number: int, at: datetime = MONDAY, **more: Any) -> Row:
    return {"id": number, "name": f"Gate {number}", "changed": at.isoformat(), **more}


@dataclass
class Desk:
    """A tool of one list, which pages in every way there is: how, its path says. `meanwhile` happens after each answer."""

    rows: list[Row] = field(default_factory=lambda: [gate(number) for number in range(1, 6)])
    meanwhile: Callable[[], None] = lambda: None
    date: datetime | None = None
    first: int = 1
    loopback: Loopback | None = None

    def answer(self, request: Request) -> Reply:
        reply = self._page(request)
        self.meanwhile()
        return Reply(
            reply.body, headers={**reply.headers, **({"Date": format_datetime(self.date, True)} if self.date else {})}
        )

    def _page(self, request: Request) -> Reply:
        told, way = request.query, request.path.rpartition("/")[2]
        since = told.get("since")
        rows = [
            row for row in self.rows if not since or row["changed"] >= since.removeprefix(">=").replace("Z", "+00:00")
        ]
        size = int(told.get("size", 2))
        if way == "none":
            return Reply(rows)
        if way == "keyset":
            rows = [row for row in rows if row["id"] > int(told.get("after", 0))]
            return Reply({"data": rows[:size], "has_more": len(rows) > size})
        start = int(told.get("start", 0)) or (int(told.get("page", self.first)) - self.first) * size
        page, is_last = rows[start : start + size], start + size >= len(rows)
        further = f"{self.url}/{way}?start={start + size}&size={size}" + (f"&since={since}" if since else "")
        if way == "link":
            return Reply(
                page, headers={} if is_last else {"Link": f'<{self.url}>; rel="first", <{further}>; rel="next"'}
            )
        following = {"cursor": str(start + size), "url": further, "path": further.removeprefix(self.url)}.get(way)
        return Reply({"data": {"items": page}, "meta": {"next": None if is_last else following, "more": not is_last}})

    @property
    def url(self) -> str:
        assert self.loopback is not None
        return self.loopback.url


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    with serving(made.answer) as made.loopback:
        yield made


def block(url: str, **more: Any) -> Row:
    table = {"path": "/none", **more.pop("table", {})}
    return {"kind": "rest", "url": url, "token_env": "T", "tables": {"gates": table}, **more}


def house(data: Path, **sources: Row) -> Settings:
    return Settings.model_validate({"data": data, "sources": sources})


def read(told: Row, since: str | None = None, table: str = "gates") -> list[Row]:
    """All records of a table, as they would land."""
    settings = house(Path("nowhere"), desk=told)
    pages = opened("desk", settings, {"T": SECRET}, HASTE)[table].pages(since)
    return [dict(record) for page in pages for record in page]


def refusal(told: Row, table: str = "gates") -> str:
    with pytest.raises(Fault) as caught:
        read(told, table=table)
    return str(caught.value)


def ids(records: list[Row]) -> list[str]:
    return [record["id"] for record in records]


# --- pages -----------------------------------------------------------------------------------------------


ITEMS = {"records": "data.items"}
WAYS: dict[str, tuple[Row, Row]] = {
    "/none": ({}, {}),
    "/page": ({"by": "page", "size_parameter": "size", "size": 2}, ITEMS),
    "/offset": ({"by": "offset", "parameter": "start"}, ITEMS),
    "/cursor": ({"by": "cursor", "parameter": "start", "next": "meta.next"}, ITEMS),
    "/keyset": ({"by": "cursor", "parameter": "after", "next": "data.-1.id", "more": "has_more"}, {"records": "data"}),
    "/url": ({"by": "cursor", "next": "meta.next"}, ITEMS),
    "/path": ({"by": "cursor", "next": "meta.next"}, ITEMS),
    "/link": ({"by": "link"}, {}),
}


def paged(desk: Desk, way: str, paging: Row | None = None, **table: Any) -> Row:
    told, where = WAYS[way]
    return block(desk.url, paging={**told, **(paging or {})}, table={"path": way, **where, **table})


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_paging_brings_every_record_once(desk: Desk, way: str) -> None:
    assert ids(read(paged(desk, way))) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_list_has_no_record(desk: Desk, way: str) -> None:
    desk.rows = []
    assert read(paged(desk, way)) == []


@pytest.mark.parametrize(
    ("way", "paging", "asked"),
    [
        ("/page", {}, 4),  # a page may be short of what was asked for: only an empty one is the last
        ("/page", {"more": "meta.more"}, 3),
        ("/offset", {"more": "meta.more"}, 3),
        ("/cursor", {}, 3),
        ("/link", {}, 3),
    ],
)
def test_a_list_whose_pages_stay_in_place_is_read_once(desk: Desk, way: str, paging: Row, asked: int) -> None:
    read(paged(desk, way, {**paging, "stable": True}))
    assert desk.loopback is not None
    assert len(desk.loopback.asked) == asked


@pytest.mark.parametrize("way", ["/page", "/offset", "/link", "/cursor"])
def test_records_that_slip_to_the_page_before_are_found_all_the_same(desk: Desk, way: str) -> None:
    first = gate(1)

    def deleted() -> None:
        desk.rows = [row for row in desk.rows if row["id"] != first["id"]]

    desk.meanwhile = deleted
    assert ids(read(paged(desk, way, {"stable": True}))) == ["1", "2", "4", "5"]  # what would be lost
    desk.rows = [gate(number) for number in range(1, 6)]
    assert ids(read(paged(desk, way, {"stable": False}))) == ["1", "2", "4", "5", "3"]


def test_a_record_that_moves_to_the_end_while_a_list_is_read_comes_in_its_new_state(desk: Desk) -> None:
    def changed() -> None:
        desk.rows = [row for row in desk.rows if row["id"] != 1] + [gate(1, MONDAY + HOUR, name="Kick-off")]

    desk.meanwhile = changed
    records = read(paged(desk, "/page"))
    assert set(ids(records)) == {"1", "2", "3", "4", "5"}
    assert next(one["name"] for one in reversed(records) if one["id"] == "1") == "Kick-off"


def test_first_pages_and_offsets_may_count_otherwise(desk: Desk) -> None:
    desk.first = 0
    assert ids(read(paged(desk, "/page", {"first": 0, "stable": True}))) == ["1", "2", "3", "4", "5"]
    assert desk.loopback is not None
    assert [one.query["page"] for one in desk.loopback.asked] == ["0", "1", "2", "3"]


def test_parameters_are_sent_with_every_page(desk: Desk) -> None:
    read(paged(desk, "/cursor", parameters={"state": "all", "deep": True, "limit": 9, "with": ["a", "b"]}))
    assert desk.loopback is not None
    for request in desk.loopback.asked:
        assert {**request.queries, "start": []} == {
            "state": ["all"], "deep": ["true"], "limit": ["9"], "with": ["a", "b"], "start": [],
        }  # fmt: skip


@pytest.mark.parametrize(
    ("paging", "body", "told"),
    [
        ({"by": "page"}, [gate(1)], "gives the same page again, so its pages never end. Check paging of table gates"),
        ({"by": "offset"}, [gate(1)], "gives the same page again"),
        ({"by": "cursor", "next": "next"}, {"next": "x", "items": []}, "gives a page it gave before"),
        ({"by": "cursor", "next": "next"}, {"next": "/gates", "items": []}, "gives a page it gave before"),
        ({"by": "cursor", "next": "next"}, {"next": "http://elsewhere.example/?page=2", "items": []},
         "leads to another host for its next page (elsewhere.example)."),
    ],
)  # fmt: skip
def test_pages_that_never_end_or_lead_elsewhere_are_refused(paging: Row, body: Any, told: str) -> None:
    where = {"path": "/gates", "records": "" if isinstance(body, list) else "items"}
    with serving(lambda _: Reply(body)) as loopback:
        message = refusal(block(loopback.url, paging=paging, table=where))
        assert message.startswith(f"source desk, GET {loopback.url}/gates: ")
    assert told in message


def test_cursors_that_come_round_after_several_pages_are_noticed() -> None:
    answers = {"": "a", "a": "b", "b": "a"}
    with serving(lambda one: Reply({"next": answers[one.query.get("cursor", "")], "items": []})) as loopback:
        told = block(loopback.url, paging={"by": "cursor", "next": "next"}, table={"records": "items"})
        assert "gives a page it gave before" in refusal(told)
        assert len(loopback.asked) == 3


# --- who asks --------------------------------------------------------------------------------------------


PROOFS: dict[str, tuple[Row, Callable[[Request], Any], str]] = {
    "bearer": ({}, lambda one: one.headers.get("authorization"), f"Bearer {SECRET}"),
    "basic": (
        {"auth": "basic", "auth_name": "ann"},
        lambda one: one.headers.get("authorization"),
        f"Basic {b64encode(f'ann:{SECRET}'.encode()).decode()}",
    ),
    "basic with the key as user": (
        {"auth": "basic", "auth_name": "{token}", "auth_value": "x"},
        lambda one: one.headers.get("authorization"),
        f"Basic {b64encode(f'{SECRET}:x'.encode()).decode()}",
    ),
    "header": ({"auth": "header", "auth_name": "X-Api-Key"}, lambda one: one.headers.get("x-api-key"), SECRET),
    "header with a word before": (
        {"auth": "header", "auth_name": "Authorization", "auth_value": "Token {token}"},
        lambda one: one.headers.get("authorization"),
        f"Token {SECRET}",
    ),
    "query": ({"auth": "query", "auth_name": "key"}, lambda one: one.queries.get("key"), [SECRET]),
    "none": ({"auth": "none", "token_env": None}, lambda one: one.headers.get("authorization"), None),
}


@pytest.mark.parametrize("way", PROOFS)
def test_every_way_of_proving_who_asks_is_sent_with_every_page(desk: Desk, way: str) -> None:
    told, proof, wanted = PROOFS[way]
    assert len(read({**paged(desk, "/url"), **told})) == 5
    assert desk.loopback is not None
    assert [proof(one) for one in desk.loopback.asked] == [wanted] * 3


@pytest.mark.parametrize("way", PROOFS)
@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_a_secret_shows_in_no_message_though_the_tool_repeats_it(way: str, status: int) -> None:
    def echo(request: Request) -> Reply:
        said = " and ".join([*request.headers.values(), *(one for each in request.queries.values() for one in each)])
        return Reply({"ok": False, "error": f"{'x' * 180} {said}"}, status)

    with serving(echo) as loopback:
        message = refusal(block(loopback.url, **PROOFS[way][0]))
    assert "sesame" not in message
    assert b64encode(SECRET.encode()).decode()[:8] not in message
    assert b64encode(f"ann:{SECRET}".encode()).decode()[:12] not in message


def test_a_link_that_repeats_the_token_is_followed_without_it(desk: Desk) -> None:
    def answer(request: Request) -> Reply:
        following = f"/gates?page=2&key={request.query['key']}" if "page" not in request.query else None
        return Reply({"items": [gate(1)], "next": following}) if following else Reply({}, 404)

    with serving(answer) as loopback:
        paging = {"by": "cursor", "next": "next"}
        told = block(loopback.url, auth="query", auth_name="key", paging=paging, table={"records": "items"})
        assert "sesame" not in refusal(told)
        assert [one.queries["key"] for one in loopback.asked] == [[SECRET], [SECRET]]


@pytest.mark.parametrize("way", ["bearer", "header", "basic"])
def test_a_redirect_to_another_host_does_not_take_the_token_along(desk: Desk, way: str) -> None:
    assert desk.loopback is not None
    with serving(lambda _: Reply(status=302, headers={"Location": f"{desk.url}/none"})) as loopback:
        assert len(read(block(loopback.url, **PROOFS[way][0]))) == 5
        assert PROOFS[way][1](loopback.asked[0]) is not None
    assert SECRET not in str(desk.loopback.asked[0].headers)
    assert PROOFS[way][1](desk.loopback.asked[0]) is None


def test_the_token_stands_in_a_file_or_is_missed_by_name(tmp_path: Path, desk: Desk) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n", "utf-8")
    (tmp_path / "token").chmod(0o600)
    assert len(read({**block(desk.url), "token_env": None, "token_file": str(tmp_path / "token")})) == 5
    assert "the environment variable GONE is not set" in refusal({**block(desk.url), "token_env": "GONE"})


def test_a_token_with_letters_that_no_header_holds_is_told(desk: Desk) -> None:
    with pytest.raises(Fault, match=r"a header cannot hold such letters\. Check the token"):
        next(opened("desk", house(Path("nowhere"), desk=block(desk.url)), {"T": "…"}, HASTE)["gates"].pages(None))


def test_extra_headers_are_sent(desk: Desk) -> None:
    read(block(desk.url, headers={"Account-Id": "7", "User-Agent": "Milepost (ann@example.com)"}))
    assert desk.loopback is not None
    sent = desk.loopback.asked[0].headers
    assert (sent["account-id"], sent["user-agent"]) == ("7", "Milepost (ann@example.com)")


# --- troubles --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [Reply({}, 429, {"Retry-After": "0"}), Reply({}, 503), "cut", "drop"])
def test_what_passes_is_asked_for_again(desk: Desk, trouble: Any) -> None:
    assert desk.loopback is not None
    desk.loopback.troubles.append(trouble)
    assert len(read(block(desk.url))) == 5
    assert len(desk.loopback.asked) == 2


def test_a_tool_says_in_its_own_header_and_unit_how_long_to_wait(desk: Desk) -> None:
    assert desk.loopback is not None
    slept: list[float] = []
    at = {"Date": format_datetime(MONDAY, True), "X-Wait": str(int((MONDAY + timedelta(seconds=4)).timestamp() * 1000))}
    desk.loopback.troubles.append(Reply({}, 429, at))
    told = house(Path("nowhere"), desk=block(desk.url, wait_header="X-Wait", wait_unit="epoch_ms"))
    gates = opened("desk", told, {"T": SECRET}, Patience(attempts=2, ceiling_seconds=60))["gates"]
    gates.door._sleep = slept.append
    assert len([one for page in gates.pages(None) for one in page]) == 5
    assert slept == [4.0]


def test_with_no_request_left_the_next_waits_until_there_are_more(desk: Desk) -> None:
    slept: list[float] = []
    reset = int((MONDAY + timedelta(seconds=9)).timestamp())
    used_up = {"Date": format_datetime(MONDAY, True), "X-Left": "0", "X-Reset": str(reset)}
    with serving(lambda _: Reply([gate(1)], headers=used_up)) as loopback:
        told = block(loopback.url, left_header="X-Left", reset_header="X-Reset")
        gates = opened("desk", house(Path("nowhere"), desk=told), {"T": SECRET}, Patience(ceiling_seconds=60))["gates"]
        gates.door._sleep = slept.append
        list(gates.pages(None))
        list(gates.pages(None))
    assert (slept, gates.door.headroom) == ([9.0], "0 requests left")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Reply({"message": "Bad credentials"}, 401), "refuses the token (401). Set the token of source desk anew"),
        (Reply({"message": "no scope"}, 403), "refuses the token (403): no scope. Give the account of source desk the right"),
        (Reply({}, 429, {"Retry-After": "3600"}), "asked too often (429, Retry-After: 3600). Pull again later."),
        (Reply({"error": "down"}, 502), "answers 502: down. Pull again later."),
        (Reply({"error": "gone"}, 410), "answers 410: gone. Check the url and the settings"),
        (Reply("<html>Log in</html>"), "answers an HTML page instead of JSON."),
        (Reply(b'[{"id": 1, "na'), "answers a page that is not whole JSON"),
        (Reply({"errors": [{"message": "no such field"}]}), "answers with an error: no such field."),
        (Reply({"ok": False, "error": "not_authed", "items": []}), "answers with an error: not_authed."),
        (Reply({"success": False}), "answers with an error: it did not succeed, and does not say why."),
        (Reply({"error": "maintenance"}), "answers no list (it holds the fields error) and says: maintenance."),
        (Reply({"data": []}), "answers no list (it holds the fields data). Set records of table gates to the path"),
        (Reply(7), "answers no list (it holds a int)."),
        (Reply([7]), "holds a int where a record should be (place 1 of a page). Check records."),
        (Reply([gate(1), {"name": "x"}]), "holds a record without key: nothing at 'id' (place 2 of a page; it holds the fields name)."),
        (Reply([{"id": {"no": 1}}]), "holds a record without key: nothing at 'id'"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_list_of_records_is_named_with_its_cure(answer: Reply, told: str) -> None:
    with serving(lambda _: answer) as loopback:
        message = refusal(block(loopback.url))
        assert message.startswith(f"source desk, GET {loopback.url}/none: ")
    assert told in message


def test_a_list_that_is_null_is_empty_and_one_that_is_not_there_is_told() -> None:
    with serving(lambda _: Reply({"data": {"items": None}})) as loopback:
        assert read(block(loopback.url, table={"records": "data.items"})) == []
        told = refusal(block(loopback.url, table={"records": "data.rows"}))
    assert "answers no list at 'data.rows' (it holds the fields data)." in told


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            "last week",
            "record '1', field changed: 'last week' is not an instant. Table gates must name a field such as",
        ),
        (None, "record '1', field changed: None is not an instant."),
        (12, "record '1', field changed: '12' is not an instant."),
        ("2026-03-02T12:00:00", "record '1', field changed: '2026-03-02T12:00:00' names no zone. Set updated_zone"),
    ],
)
def test_an_instant_that_is_none_is_named_with_its_record(desk: Desk, changed: Any, told: str) -> None:
    desk.rows = [{**gate(1), "changed": changed}]
    assert told in refusal(block(desk.url, table={"updated": "changed"}))


# --- records ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2026-03-02T14:00:00+02:00", "2026-03-02T12:00:00.000000Z"),
        ("2026-03-02 13:00:00", "2026-03-02T12:00:00.000000Z"),
        ("2026-03-02", "2026-03-01T23:00:00.000000Z"),
        ("20260302", "2026-03-01T23:00:00.000000Z"),
        (1772452800, "2026-03-02T12:00:00.000000Z"),
        ("1772452800123", "2026-03-02T12:00:00.123000Z"),
        (1772452800.25, "2026-03-02T12:00:00.250000Z"),
        (1772452800123456, "2026-03-02T12:00:00.123456Z"),
    ],
)
def test_instants_are_understood_as_tools_write_them(desk: Desk, written: Any, read_as: str) -> None:
    desk.rows = [{**gate(1), "changed": written}]
    (record,) = read(block(desk.url, table={"updated": "changed", "updated_zone": "Europe/Berlin"}))
    assert record["updated_at"] == read_as


def test_what_the_settings_point_at_stands_beside_the_record_as_received() -> None:
    row = {"uuid": "u1", "id": 7, "updated_at": "n/a", "meta": {"at": "2026-03-02T12:00:00Z"}, "of": {"name": "Aster"},
           "name": "Kickoff", "gone_at": "x", "people": [{"name": "Ida"}, {"name": "Ben"}], "due.on": "2026-04-01"}  # fmt: skip
    columns = {
        "name": "of.name",
        "lead": "people.0.name",
        "last": "people.-1.name",
        "missing": "of.name.x",
        "due": "due.on",
    }
    with serving(lambda _: Reply([row])) as loopback:
        (record,) = read(block(loopback.url, table={"key": "uuid", "updated": "meta.at", "columns": columns}))
    assert record == {
        "id": "u1", "updated_at": "2026-03-02T12:00:00.000000Z", "name": "Aster", "lead": "Ida", "last": "Ben", "missing": None,
        "due": "2026-04-01", "uuid": "u1", "id 2": 7, "updated_at 2": "n/a", "meta": row["meta"], "of": row["of"],
        "name 2": "Kickoff", "gone_at 2": "x", "people": row["people"], "due.on": "2026-04-01",
    }  # fmt: skip


def test_a_list_for_each_record_of_another_names_whose_it_is() -> None:
    lists = {"/repos": [{"full_name": "acme/site"}, {"full_name": "acme/shop"}],
             "/repos/acme/site/gates": [gate(1), gate(2)], "/repos/acme/shop/gates": [gate(3), gate(2)]}  # fmt: skip
    tables = {
        "gates": {"path": "/repos/{id}/gates", "each": "repos", "columns": {"project": "id"}},
        "repos": {"path": "/repos", "key": "full_name"},
    }
    with serving(lambda one: Reply(lists[one.path])) as loopback:
        told = {**block(loopback.url), "tables": tables}
        assert [(one["id"], one["of_repos"]) for one in read(told)] == [
            ("1", "acme/site"), ("2", "acme/site"), ("3", "acme/shop"), ("2", "acme/shop"),  # both list the second
        ]  # fmt: skip
        lists["/repos/acme/shop/gates"][1]["name"] = "Another"
        message = refusal(told)
    assert (
        f"GET {loopback.url}/repos/acme/shop/gates: the key '2' stands for another record of 'acme/site' too."
        in message
    )


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ({}, "2026-03-02T11:59:30Z"),
        ({"since_format": "epoch"}, "1772452770"),
        ({"since_format": "epoch_ms"}, "1772452770000"),
        ({"since_format": "date"}, "2026-03-01"),  # the day before: the tool may count days in another zone
        ({"since_value": ">={since}"}, ">=2026-03-02T11:59:30Z"),
    ],
)
def test_changes_are_asked_for_in_the_tools_own_way(desk: Desk, told: Row, asked: str) -> None:
    table = {"updated": "changed", "since_parameter": "from", **told}
    read(block(desk.url, table=table), since="2026-03-02T11:59:30.750000Z")
    assert desk.loopback is not None
    assert desk.loopback.asked[0].query["from"] == asked


# --- pulled ----------------------------------------------------------------------------------------------


class Home:
    """A data folder, and pulls into it."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def pull(self, told: Row, now: datetime = MONDAY, name: str = "desk") -> PullReport:
        return pull(house(self.data, **{name: told}), name, now, {"T": SECRET}, HASTE)

    def stored(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.data / "warehouse.duckdb")) as con:
            con.execute("set TimeZone = 'UTC'")
            return con.sql(query).fetchall()

    def names(self) -> list[tuple[Any, ...]]:
        return self.stored("select id, name from raw_desk.gates order by id, name")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


CHANGES = {"updated": "changed", "since_parameter": "since"}


def since_of(desk: Desk) -> list[str | None]:
    assert desk.loopback is not None
    return [one.query.get("since") for one in desk.loopback.asked]


def test_changes_are_merged_and_equal_instants_at_the_cursor_are_not_lost(desk: Desk, home: Home) -> None:
    desk.rows = [gate(1), gate(2)]
    told = block(desk.url, table=CHANGES)
    assert home.pull(told).rows == {"gates": 2}
    assert not home.pull(told).changed
    late = MONDAY - timedelta(seconds=40)  # written late, stamped before the newest
    desk.rows = [gate(1, name="Kick-off"), gate(2), gate(3), gate(4, late)]
    assert home.pull(told).rows == {"gates": 3}
    assert home.names() == [("1", "Kick-off"), ("2", "Gate 2"), ("3", "Gate 3"), ("4", "Gate 4")]
    assert since_of(desk) == [None, None, "2026-03-02T11:59:00Z", "2026-03-02T11:59:00Z"]  # the second is the sweep


def test_another_choice_in_the_settings_asks_for_everything_again(desk: Desk, home: Home) -> None:
    desk.rows = [gate(1)]
    home.pull(block(desk.url, table={**CHANGES, "columns": {"label": "name"}}))
    home.pull(block(desk.url, table={**CHANGES, "columns": {"label": "changed"}}))
    assert home.stored("select label from raw_desk.gates") == [(MONDAY.isoformat(),)]


@pytest.mark.parametrize("skew", [-5, 0, 5])
def test_what_changes_while_a_long_list_is_read_is_asked_for_again(desk: Desk, home: Home, skew: int) -> None:
    """The list is in no order of time: a record already read changes, and one read later has changed after it. Whatever
    its clock says beside ours, it is the tool's own."""
    clock = MONDAY + timedelta(minutes=skew)
    desk.date = clock
    desk.rows = [gate(number, clock - DAY) for number in range(1, 5)]
    told = paged(desk, "/cursor", **CHANGES)
    changes = {1: (gate(1, clock + timedelta(minutes=1), name="Kick-off")), 4: gate(4, clock + timedelta(minutes=9))}

    def changed() -> None:
        desk.rows = [changes.get(row["id"], row) for row in desk.rows]

    desk.meanwhile = changed
    home.pull({**told, "sweep_hours": 999})
    desk.date, desk.meanwhile = clock + HOUR, lambda: None
    home.pull({**told, "sweep_hours": 999}, MONDAY + HOUR)
    assert home.names()[0] == ("1", "Kick-off")
    assert not home.pull({**told, "sweep_hours": 999}, MONDAY + 2 * HOUR).changed


def test_what_is_not_listed_any_more_is_marked_by_the_sweep_and_what_is_flagged_at_its_last_change(
    desk: Desk, home: Home
) -> None:
    told = block(desk.url, table={**CHANGES, "deleted": "trashed"})
    desk.rows = [gate(1), gate(2), gate(3, trashed=False)]
    home.pull(told)
    desk.rows = [gate(2, MONDAY + HOUR, trashed=True), gate(3, MONDAY + HOUR, trashed="2026-03-02T12:30:00Z")]
    home.pull(told, MONDAY + DAY)
    assert home.stored("select id, deleted_at, gone_at from raw_desk.gates order by id") == [
        ("1", None, "2026-03-03T12:00:00.000000Z"),
        ("2", "2026-03-02T13:00:00.000000Z", None),
        ("3", "2026-03-02T12:30:00.000000Z", None),
    ]


def test_without_a_since_parameter_every_version_is_kept_and_a_flagged_record_counts_as_gone(
    desk: Desk, home: Home
) -> None:
    told = block(desk.url, table={"deleted": "trashed"})
    desk.rows = [gate(1), gate(2)]
    home.pull(told)
    assert not home.pull(told, MONDAY + HOUR).changed
    desk.rows = [gate(1, name="Kick-off"), gate(2, trashed=1)]
    home.pull(told, MONDAY + DAY)
    versions = (
        "select id, name, _dlt_valid_from::date::text, _dlt_valid_to::date::text from raw_desk.gates order by all"
    )
    assert home.stored(versions) == [
        ("1", "Gate 1", "2026-03-02", "2026-03-03"),
        ("1", "Kick-off", "2026-03-03", None),
        ("2", "Gate 2", "2026-03-02", "2026-03-03"),
    ]


def test_versions_may_be_kept_of_changes_too(desk: Desk, home: Home) -> None:
    told = block(desk.url, table={**CHANGES, "versions": True})
    desk.rows = [gate(1, due="2026-04-01"), gate(2)]
    home.pull(told)
    desk.rows = [gate(1, MONDAY + HOUR, due="2026-05-01"), gate(2)]
    home.pull(told, MONDAY + DAY)
    dues = "select due, _dlt_valid_to is null from raw_desk.gates where id = '1' order by due"
    assert home.stored(dues) == [("2026-04-01", False), ("2026-05-01", True)]


def test_two_sources_of_the_kind_stand_side_by_side(tmp_path: Path, desk: Desk, home: Home) -> None:
    home.pull(block(desk.url))
    with serving(lambda _: Reply([gate(1, name="Another firm's")])) as loopback:
        home.pull(block(loopback.url), name="bench")
    assert home.stored("select id, name from raw_bench.gates") == [("1", "Another firm's")]
    assert len(home.names()) == 5


def test_a_pull_that_breaks_leaves_what_was_there_and_the_next_makes_it_whole(desk: Desk, home: Home) -> None:
    told = paged(desk, "/cursor", **CHANGES)
    home.pull(told)
    desk.rows = [gate(number, MONDAY + HOUR, name="new") for number in range(1, 6)]
    assert desk.loopback is not None
    stop = len(desk.loopback.asked) + 2
    desk.meanwhile = lambda: (
        desk.loopback.troubles.extend([Reply({}, 503)] * 2) if len(desk.loopback.asked) == stop else None
    )  # type: ignore[union-attr]
    with pytest.raises(Fault, match="answers 503"):
        home.pull(told, MONDAY + DAY)
    assert home.names()[0] == ("1", "Gate 1")
    home.pull(told, MONDAY + DAY)
    assert {name for _, name in home.names()} == {"new"}


def test_a_long_list_in_order_of_time_goes_on_where_it_broke(
    desk: Desk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing, "COMMIT_ROWS", 3)
    monkeypatch.setattr(landing, "BATCH_ROWS", 2)
    desk.rows = [gate(number, MONDAY + number * HOUR) for number in range(1, 6)]
    told = paged(desk, "/cursor", ascending=True, **CHANGES)
    stop = 2  # two pages are stored before the third fails
    desk.meanwhile = lambda: (
        desk.loopback.troubles.extend([Reply({}, 503)] * 2) if len(desk.loopback.asked) == stop else None
    )  # type: ignore[union-attr]
    with pytest.raises(Fault, match="answers 503"):
        home.pull(told)
    assert len(home.names()) == 4
    home.pull(told)
    assert len(home.names()) == 5
    assert since_of(desk)[4] == "2026-03-02T15:59:00Z"  # after two pages and one page asked for twice in vain


def test_a_list_that_is_not_in_the_order_it_is_said_to_have_is_refused(desk: Desk) -> None:
    desk.rows = [gate(1, MONDAY + HOUR), gate(2)]
    told = refusal(block(desk.url, table={**CHANGES, "ascending": True}))
    assert "record '2' was changed before the one ahead of it, so records are not ascending." in told


def test_a_clock_that_is_put_back_hides_no_change(desk: Desk, home: Home) -> None:
    """Between two and three in the night a clock without a zone shows every time twice."""
    told = block(desk.url, table={**CHANGES, "updated_zone": "Europe/Berlin"})
    desk.date = MONDAY + 300 * DAY
    desk.rows = [{**gate(1), "changed": "2026-10-25T02:59:00"}]
    home.pull(told)
    home.pull(told)
    assert since_of(desk)[-1] == "2026-10-24T23:58:00Z"


def test_a_probe_asks_for_one_page_of_every_list(desk: Desk) -> None:
    told = paged(desk, "/cursor")
    assert probe("desk", house(Path("nowhere"), desk=told), {"T": SECRET}, HASTE) is None
    assert desk.loopback is not None
    assert desk.loopback.paths() == ["/cursor"]
    desk.loopback.troubles.append(Reply([], headers={"X-RateLimit-Remaining": "41"}))
    assert probe("desk", house(Path("nowhere"), desk=block(desk.url)), {"T": SECRET}, HASTE) == "41 requests left"


# --- in the contract's columns ---------------------------------------------------------------------------


def contract(url: str) -> Row:
    """Tables that need no SELECT, since their columns are pointed at."""
    key = {"source_key": "id", "recorded_at": "updated"}
    columns: dict[str, Row] = {
        "clients": {**key, "name": "name"},
        "projects": {**key, "client": "account.id", "name": "title", "currency": "money.currency", "signed_at": "signed"},
        "milestones": {**key, "project": "project.id", "name": "title", "history_quality": "quality"},
        "milestone_events": {**key, "milestone": "gate", "type": "what", "occurred_at": "when", "origin": "how"},
        "invoices": {**key, "client": "account.id", "project": "project.id", "status": "state", "issued_at": "sent",
                     "currency": "money.currency", "total": "money.total"},
        "invoice_lines": {**key, "invoice": "bill", "milestone": "gate", "amount": "amount"},
    }  # fmt: skip
    tables = {name: {"path": f"/{name}", "columns": told, "updated": "updated", "since_parameter": "since"}
              for name, told in columns.items()}  # fmt: skip
    return {"kind": "rest", "url": url, "token_env": "T", "tables": tables}


def records() -> dict[str, list[Row]]:
    at = {"updated": "2026-03-01T12:00:00Z"}
    event = {**at, "gate": "g1", "how": "log"}
    return {
        "clients": [{**at, "id": "c1", "name": "Aster"}],
        "projects": [{**at, "id": "p1", "account": {"id": "c1"}, "title": "Rebrand", "money": {"currency": "USD"}, "signed": "2026-01-01T12:00:00Z"}],
        "milestones": [{**at, "id": "g1", "project": {"id": "p1"}, "title": "Concept", "quality": "log"}],
        "milestone_events": [{**event, "id": 1, "what": "started", "when": "2026-01-02T12:00:00Z"},
                             {**event, "id": 2, "what": "submitted", "when": "2026-01-05T12:00:00Z"},
                             {**event, "id": 3, "what": "approved", "when": "2026-01-07T12:00:00Z"}],
        "invoices": [{**at, "id": "i1", "account": {"id": "c1"}, "project": {"id": "p1"}, "state": "open", "sent": "2026-01-11T12:00:00Z", "money": {"currency": "USD", "total": 400.10}}],
        "invoice_lines": [{**at, "id": "l1", "bill": "i1", "gate": "g1", "amount": 400.10}],
    }  # fmt: skip


def built(home: Home, told: Row, query: str) -> list[tuple[Any, ...]]:
    """An answer from the marts, after a pull; every blocking check holds."""
    home.pull(told)
    settings = house(home.data, desk=told)
    with warehouse.open_warehouse(settings.warehouse) as con:
        warehouse.load_reference(con, settings)
        at = warehouse.moment(settings, MONDAY)
        warehouse.stage_all(con, warehouse.staged_sources(settings), at)
        warehouse.build_all(con, at)
        assert [one for one in warehouse.check_all(con) if one.severity == "fail" and one.count] == []
        return con.sql(query).fetchall()


def test_an_api_pointed_into_the_contract_reaches_the_marts_without_a_select(home: Home) -> None:
    told = records()
    with serving(lambda one: Reply(told[one.path[1:]])) as loopback:
        billed = "select gate_id, status, cycle_days, cast(invoiced_amount as varchar) from marts.gates"
        assert built(home, contract(loopback.url), billed) == [("desk:g1", "approved", 5.0, "400.10")]
        lag = "select number, billing_lag_days, link_method from marts.gate_billing"
        assert home.stored(lag) == [(None, 4.0, "native")]
        told["milestones"][0]["quality"] = "hearsay"
        told["milestones"][0]["updated"] = "2026-03-01T13:00:00Z"
        with pytest.raises(
            Fault, match=r"milestones: record g1, field history_quality: 'hearsay' is unknown\. Known are: log"
        ):
            built(home, contract(loopback.url), "select 1")
        del told["milestones"][0]["quality"]
        with pytest.raises(Fault, match=r"record g1, field history_quality: is empty, but every row must have it"):
            built(home, contract(loopback.url), "select 1")


# --- settings --------------------------------------------------------------------------------------------


GATES: Row = {"path": "/gates"}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"auth": "basic"}, "auth = basic needs auth_name, the user"),
        ({"auth": "header"}, "auth = header needs auth_name, the name of the header"),
        ({"auth": "query"}, "auth = query needs auth_name, the name of the parameter"),
        ({"auth": "bearer", "auth_name": "ann"}, "auth_name has no meaning with auth = bearer"),
        ({"auth": "none"}, "auth = none sends no token: leave out token_env"),
        ({"token_env": None}, "auth = bearer needs token_env or token_file; without a token it is auth = none"),
        ({"auth": "header", "auth_name": "X-Key", "auth_value": "abc"}, "{token} must stand in auth_value"),
        ({"headers": {"Authorization": "Bearer sesame"}}, "Authorization is a secret and must not stand here: use auth = header"),
        ({"headers": {"X-Api-Key": "sesame"}}, "X-Api-Key is a secret"),
        ({"url": "https://ann:sesame@api.example.com"}, "a password must not stand here"),
        ({"url": "https://api.example.com?key=sesame"}, "the address ends before the ?"),
        ({"url": "api.example.com"}, "this is no address such as https://api.example.com/v2"),
        ({"paging": {"by": "cursor"}}, "paging by cursor needs next, the path in the answer to the next one"),
        ({"paging": {"by": "page", "next": "x"}}, "next has no meaning where paging is by page"),
        ({"paging": {"by": "link", "parameter": "x"}}, "parameter has no meaning where paging is by link"),
        ({"paging": {"more": "x"}}, "more has no meaning where paging is by none"),
        ({"paging": {"by": "page", "size": 50}}, "size needs size_parameter"),
        ({"paging": {"by": "cursor", "next": "a..b"}}, "'a..b' is no path such as data.items"),
        ({"tables": {"gates": {**GATES, "since_parameter": "since"}}}, "since_parameter needs updated"),
        ({"tables": {"gates": {**GATES, "since_format": "date"}}}, "since_format has no meaning without since_parameter"),
        ({"tables": {"gates": {**GATES, **CHANGES, "since_value": "now"}}}, "must have {since} where the instant goes"),
        ({"tables": {"gates": {**GATES, "updated_zone": "UTC"}}}, "updated_zone has no meaning without updated"),
        ({"tables": {"gates": {**GATES, "updated": "at", "updated_zone": "CET+1"}}}, "'CET+1' is no IANA time zone"),
        ({"tables": {"gates": {"path": "gates"}}}, "'gates' must begin with /"),
        ({"tables": {"gates": {"path": "/gates?state=all"}}}, "write what stands behind the ? under parameters"),
        ({"tables": {"gates": {**GATES, "key": ""}}}, "key must say where a record's key stands"),
        ({"tables": {"gates": {**GATES, "key": ".id"}}}, "'.id' is no path"),
        ({"tables": {"gates": {**GATES, "parameters": {"api_key": "sesame"}}}}, "api_key is a secret and must not stand here: use auth = query"),
        ({"tables": {"gates": {**GATES, "columns": {"Name": "x"}}}}, "'Name' must be lower-case letters"),
        ({"tables": {"gates": {**GATES, "columns": {"gone_at": "x"}}}}, "and none of id, updated_at"),
        ({"tables": {"gates": {**GATES, "each": "gates"}}}, "each names the table whose keys stand for {id} in path"),
        ({"tables": {"gates": {"path": "/p/{id}"}}}, "each names the table whose keys stand for {id} in path"),
        ({"tables": {"gates": {"path": "/p/{id}", "each": "teams"}, "people": GATES}}, "gates: each names 'teams', which can be one of: people"),
        ({"tables": {"Gates": GATES}}, "the table name 'Gates' must be lower-case"),
        ({"paging": {"by": "page"}, "tables": {"gates": {**GATES, **CHANGES, "ascending": True}}}, "gates: ascending needs one list whose pages do not move"),
    ],
)  # fmt: skip
def test_a_block_that_does_not_fit_together_says_what_it_needs(tmp_path: Path, told: Row, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        house(tmp_path, desk={**block("https://api.example.com"), **told})
    (problem,) = caught.value.errors()
    assert message in problem["msg"]
    assert "sesame" not in problem["msg"]
