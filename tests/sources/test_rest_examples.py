"""The examples of docs/sources/rest.md, as they stand there: their blocks load, pull, and end in numbers that are right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, serving
from rest_fakes import GitHubFake, HarvestFake

from models.faults import Fault
from pipelines import warehouse
from pipelines.pulling import pull
from pipelines.settings import PROJECT, Settings, load
from pipelines.sources.door import Patience

PAGE = (PROJECT / "docs" / "sources" / "rest.md").read_text("utf-8")
MONDAY = datetime(2026, 6, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)
HASTE = Patience(attempts=2, backoff_seconds=0.01, ceiling_seconds=0.01, timeout_seconds=3)
TOKENS = {"HARVEST_TOKEN": "harvest-token", "GITHUB_TOKEN": "github-token"}

_SAVED = re.compile(r"^Save as `~/(?P<path>[^`]+)`:\n\n```\w+\n(?P<content>.*?)^```$", re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.slow

Rows = list[tuple[Any, ...]]


def house(folder: Path, example: str, there: str, here: str) -> Settings:
    """The settings of an example, saved as its page says, but for the host it asks."""
    for piece in _SAVED.finditer(PAGE):
        if piece["path"].startswith(f"{example}/"):
            file = folder / piece["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(piece["content"].replace(there, here), "utf-8")
    return load(folder / example, folder / example / "milepost.toml", {})


def built(settings: Settings, now: datetime, *queries: str) -> list[Rows]:
    """Answers from the marts after a pull; every blocking check holds."""
    (name,) = settings.sources
    pull(settings, name, now, TOKENS, HASTE)
    with warehouse.open_warehouse(settings.warehouse) as con:
        warehouse.load_reference(con, settings)
        at = warehouse.moment(settings, now)
        warehouse.stage_all(con, warehouse.staged_sources(settings), at)
        warehouse.build_all(con, at)
        assert [one for one in warehouse.check_all(con) if one.severity == "fail" and one.count] == []
        return [con.sql(query).fetchall() for query in queries]


# --- Harvest ---------------------------------------------------------------------------------------------


def bill(number: int, lines: list[float], *, state: str = "open", tax: float | None = None, discount: float | None = None,
         at: str = "2026-04-10T09:00:00Z") -> dict[str, Any]:  # fmt: skip
    amount = round(sum(lines) + (tax or 0) - (discount or 0), 2)
    return {
        "id": 13150400 + number, "client_key": "9e97", "number": str(1000 + number), "purchase_order": "", "amount": amount, "due_amount": amount,
        "tax": None, "tax_amount": tax, "tax2": None, "tax2_amount": None, "discount": None, "discount_amount": discount,
        "subject": "", "notes": "", "state": state, "issue_date": "2026-04-09", "due_date": "2026-05-09", "payment_term": "net 30",
        "sent_at": at if state != "draft" else None, "paid_at": None, "paid_date": None, "closed_at": None, "currency": "USD",
        "created_at": "2026-04-09T08:00:00Z", "updated_at": at, "client": {"id": 5735776, "name": "Aster"},
        "line_items": [{"id": 53341900 + 10 * number + place, "kind": "Service", "description": f"Step {place}", "quantity": 1.0, "unit_price": line,
                        "amount": line, "taxed": tax is not None, "taxed2": False, "project": {"id": 14308069, "name": "Rebrand", "code": "REB"}}
                       for place, line in enumerate(lines)],
    }  # fmt: skip


def payment(key: int, amount: float, at: str) -> dict[str, Any]:
    return {"id": key, "amount": amount, "paid_at": at, "paid_date": at[:10], "recorded_by": "Ida", "recorded_by_email": "ida@example.com",
            "notes": "", "transaction_id": None, "payment_gateway": {"id": None, "name": None}, "created_at": at, "updated_at": at}  # fmt: skip


@pytest.fixture
def harvest() -> Iterator[tuple[HarvestFake, Loopback]]:
    at = {"created_at": "2026-01-02T09:00:00Z", "updated_at": "2026-01-02T09:00:00Z"}
    fake = HarvestFake({
        "clients": [{**at, "id": 5735776, "name": "Aster", "is_active": True, "address": None, "statement_key": "0a39", "currency": "USD"}],
        "projects": [{**at, "id": 14308069, "name": "Rebrand", "code": "REB", "is_active": True, "is_billable": True, "is_fixed_fee": True, "fee": 20000.5,
                      "notes": None, "starts_on": "2026-01-05", "ends_on": None, "client": {"id": 5735776, "name": "Aster", "currency": "USD"}}],
        "invoices": [bill(1, [100.1, 900.0], tax=50.05, discount=10.02), bill(2, [400.0], state="closed"), bill(3, [75.0], state="draft")],
        "payments/13150401": [payment(77, 500.0, "2026-05-01T10:00:00Z")],
    })  # fmt: skip
    with serving(fake.answer) as loopback:
        yield fake, loopback


BILLS = (
    "select number, status, cast(total_amount as varchar), cast(open_amount as varchar) from marts.invoices order by 1"
)


def test_harvest_invoices_are_billed_paid_and_written_off(
    tmp_path: Path, harvest: tuple[HarvestFake, Loopback]
) -> None:
    fake, loopback = harvest
    settings = house(tmp_path, "harvest", "https://api.harvestapp.com", loopback.url)
    lines = "select cast(amount_local as varchar) from marts.gate_billing where number = '1001' order by amount_local"
    over = "select count(*) from marts.gate_billing where is_over_allocated"
    fees = "select cast(contract_amount as varchar), status from marts.projects"
    first, told, too_much, project = built(settings, MONDAY, BILLS, lines, over, fees)
    assert first == [
        ("1001", "open", "1040.13", "540.13"),
        ("1002", "uncollectible", "400.00", "0.00"),
        ("1003", "draft", "75.00", "0.00"),
    ]
    assert told == [("-10.02",), ("100.10",), ("900.00",)]
    assert (too_much, project) == ([(0,)], [("20000.50", "active")])
    later = "2026-06-01T12:00:00Z"
    fake.records["invoices"] = [
        bill(1, [100.1, 900.0], tax=50.05, discount=10.02, state="paid", at=later),
        bill(2, [400.0], state="closed"),
    ]
    fake.records["payments/13150401"].append(payment(78, 540.13, later))
    fake.records["payments/13150402"] = []
    (second,) = built(settings, MONDAY + 2 * DAY, BILLS)
    assert second == [("1001", "paid", "1040.13", "0.00"), ("1002", "uncollectible", "400.00", "0.00")]
    asked = [one.query.get("updated_since") for one in loopback.asked if one.path == "/v2/invoices"]
    assert "2026-04-10T08:59:00Z" in asked


def test_harvest_refuses_another_account_and_a_word_it_does_not_know_yet(
    tmp_path: Path, harvest: tuple[HarvestFake, Loopback]
) -> None:
    fake, loopback = harvest
    settings = house(tmp_path, "harvest", "https://api.harvestapp.com", loopback.url)
    fake.account = "7"
    with pytest.raises(Fault, match=r"GET http://127\.0\.0\.1:\d+/v2/clients: answers 400: bad_request\."):
        built(settings, MONDAY)
    fake.account = "123456"
    mapping = settings.staging_of(settings.sources["harvest"])
    assert mapping is not None
    invoices = mapping / "invoices.sql"
    invoices.write_text(
        invoices.read_text("utf-8").replace("case state when 'closed' then 'uncollectible' else state end", "state"),
        "utf-8",
    )
    with pytest.raises(
        Fault,
        match=r"invoices: record 13150402, field status: 'closed' is unknown\..*Extend the mapping at .*invoices\.sql:\d+",
    ):
        built(settings, MONDAY)


# --- GitHub ----------------------------------------------------------------------------------------------


USER = {
    "login": "acme",
    "id": 1,
    "node_id": "MDQ6",
    "type": "Organization",
    "site_admin": False,
    "html_url": "https://github.com/acme",
}


def repo(key: int, name: str) -> dict[str, Any]:
    at = "2026-01-02T09:00:00Z"
    return {"id": key, "node_id": "MDEw", "name": name, "full_name": f"acme/{name}", "owner": USER, "private": True, "html_url": f"https://github.com/acme/{name}",
            "description": None, "archived": False, "created_at": at, "updated_at": at}  # fmt: skip


def milestone(key: int, title: str, due_on: str | None = None, closed_at: str | None = None) -> dict[str, Any]:
    url = f"https://api.github.com/repos/acme/site/milestones/{key}"
    return {"url": url, "html_url": f"https://github.com/acme/site/milestone/{key}", "labels_url": f"{url}/labels", "id": 1002600 + key, "node_id": "MDk6",
            "number": key, "state": "closed" if closed_at else "open", "title": title, "description": "Signed by all", "creator": USER, "open_issues": 4,
            "closed_issues": 8, "created_at": "2026-03-02T09:00:00Z", "updated_at": "2026-03-02T09:00:00Z", "closed_at": closed_at, "due_on": due_on}  # fmt: skip


@pytest.fixture
def github() -> Iterator[tuple[GitHubFake, Loopback]]:
    fake = GitHubFake(repos=[repo(11, "app"), repo(12, "shop"), repo(13, "site")])
    fake.milestones = {"acme/site": [milestone(1, "Concept", "2026-06-30T07:00:00Z"), milestone(2, "Build"), milestone(3, "Launch")],
                       "acme/shop": [milestone(4, "Concept")]}  # fmt: skip
    with serving(fake.answer) as loopback:
        fake.url = loopback.url
        yield fake, loopback


def test_github_milestones_become_gates_whose_dates_and_states_are_remembered(
    tmp_path: Path, github: tuple[GitHubFake, Loopback]
) -> None:
    fake, loopback = github
    settings = house(tmp_path, "github", "https://api.github.com", loopback.url)
    gates = "select source_key, project, status, cast(due_on as varchar) from marts.gates order by 1"
    (first,) = built(settings, MONDAY, gates)
    assert first == [("1002601", "site", "in_progress", "2026-06-30"), ("1002602", "site", "in_progress", None),
                     ("1002603", "site", "in_progress", None), ("1002604", "shop", "in_progress", None)]  # fmt: skip
    fake.milestones["acme/site"] = [
        milestone(1, "Concept", "2026-07-15T07:00:00Z"),
        milestone(2, "Build", None, "2026-06-01T10:00:00Z"),
    ]
    plans = "select cast(due_on as varchar) from marts.gate_plans order by recorded_at"
    events = "select type, origin from marts.gate_events where gate_id = 'github:1002602' order by occurred_at"
    rejects = "select source_key, reason from marts.rejects where entity = 'milestones'"
    second, moved, _, gone = built(settings, MONDAY + DAY, gates, plans, events, rejects)
    assert second[0][3] == "2026-07-15"
    assert second[1][2] == "approved"
    assert moved == [("2026-06-30",), ("2026-07-15",)]
    assert gone == [("1002603", "deleted")]
    fake.milestones["acme/site"][1] = milestone(2, "Build")
    third, history = built(settings, MONDAY + 2 * DAY, gates, events)
    assert third[1][2] == "changes_requested"  # what was approved and opened again waits for work
    assert history == [("started", "source_timestamp"), ("approved", "source_timestamp"), ("reopened", "snapshot_diff")]


def test_github_says_what_is_wrong_with_the_token_and_the_limit(
    tmp_path: Path, github: tuple[GitHubFake, Loopback]
) -> None:
    fake, loopback = github
    settings = house(tmp_path, "github", "https://api.github.com", loopback.url)
    with pytest.raises(
        Fault, match=r"/orgs/acme/repos: refuses the token \(401\)\. Set the token of source github anew"
    ):
        pull(settings, "github", MONDAY, {"GITHUB_TOKEN": "expired"}, HASTE)
    fake.left = 1
    with pytest.raises(Fault, match=r"refuses the token \(403\): API rate limit exceeded"):
        pull(settings, "github", MONDAY, TOKENS, HASTE)
