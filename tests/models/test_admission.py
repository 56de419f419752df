"""What the contract admits, sets aside and refuses, on small worlds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from small_worlds import CLIENT, GATE, PROJECT, World, events, make_all, prepare, receive, small, unfold

from models import build, catalog
from models.admission import StagedSource
from models.faults import Fault


def reasons(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return con.execute("select entity, source_key, reason from marts.rejects order by all").fetchall()


@pytest.mark.parametrize(
    ("entity", "row", "message"),
    [
        (
            "projects",
            {"contract_amount": "a lot"},
            r"projects: record p1, field contract_amount: 'a lot' is not an amount",
        ),
        ("projects", {"contract_amount": "10.005"}, r"'10\.005' is not an amount.*two decimals"),
        (
            "projects",
            {"signed_at": "31/31/2026"},
            r"record p1, field signed_at: '31/31/2026' is not an instant\. Write an",
        ),
        ("projects", {"currency": "dollars"}, r"'dollars' is not an ISO 4217 code"),
        ("projects", {"name": ""}, r"field name: is empty, but every row must have it"),
        ("projects", {"status": "paused"}, r"'paused' is unknown\. Known are: planned, active"),
        ("clients", {"timezone": "Mars/Base"}, r"'Mars/Base' is not an IANA time zone"),
        ("milestones", {"sequence": "3.7"}, r"'3\.7' is not a whole number"),
        ("milestones", {"locks_scope": "maybe"}, r"'maybe' is not true or false"),
        ("milestones", {"bills_pct": "nan"}, r"'nan' is not a number"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_record_field_and_cure(
    world: World, entity: str, row: dict[str, str], message: str
) -> None:
    whole = {"clients": CLIENT, "projects": PROJECT, "milestones": GATE}[entity]
    with pytest.raises(Fault, match=message):
        world(**{entity: [{**whole, **row}]})


def test_a_day_that_is_no_date_is_named(world: World) -> None:
    plan = {"source_key": "d1", "milestone": "g1", "recorded_at": "2026-01-01T00:00:00Z", "due_on": "2026-02-30"}
    with pytest.raises(
        Fault, match=r"record d1, field due_on: '2026-02-30' is not a date\. Write a date such as 2026-03-04"
    ):
        world(milestone_plans=[plan])


AT = {"recorded_at": "2026-02-01T12:00:00Z"}
STORY: dict[str, list[dict[str, Any]]] = {
    "clients": [CLIENT],
    "projects": [PROJECT],
    "milestones": [GATE, {**GATE, "source_key": "g2", "name": "Concept", "sequence": 2}],
    "milestone_plans": [{"source_key": "d1", "milestone": "g1", "due_on": "2026-02-02", **AT}],
    "milestone_events": events("g1", ("started", "2026-01-05T12:00:00Z"), ("approved", "2026-01-09T12:00:00Z")),
    "documents": [{"source_key": "f1", "milestone": "g1", "type": "report", "received_at": "2026-01-04T12:00:00Z"}],
    "handoffs": [{"source_key": "h1", "milestone": "g1", "to_team": "care", "started_at": "2026-01-12T12:00:00Z"}],
    "change_orders": [
        {
            "source_key": "o1", "project": "p1", "milestone": "g1", "status": "approved", "amount_approved": "80.00",
            "days_approved": 3, "submitted_at": "2026-01-05T12:00:00Z", "decided_at": "2026-01-10T12:00:00Z",
        }
    ],
    "invoices": [
        {
            "source_key": "i1", "client": "c1", "project": "p1", "status": "open", "currency": "USD", "kind": "progress",
            "issued_at": "2026-01-12T12:00:00Z", "due_on": "2026-02-11", "total": "400.00", "retained": "20.00",
        }
    ],
    "invoice_lines": [{"source_key": "l1", "invoice": "i1", "milestone": "g1", "amount": "400.00"}],
    "payments": [
        {"source_key": "y1", "invoice": "i1", "received_at": "2026-02-01T12:00:00Z", "amount": "100.00", "currency": "USD"}
    ],
    "extra_work": [{"source_key": "x1", "project": "p1", "milestone": "g1", "done_at": "2026-03-02T12:00:00Z", "hours": 3}],
}  # fmt: skip
LISTED = ("rejects", "gate_faults", "project_scopes")  # where what was set aside is told


def test_what_was_deleted_or_belongs_to_nothing_moves_no_other_mart(world: World) -> None:
    aside: dict[str, list[dict[str, Any]]] = {}
    for name, rows in STORY.items():
        gone = [
            {**row, "source_key": f"{row['source_key']}-gone", "deleted_at": "2026-03-01T12:00:00Z"} for row in rows
        ]
        parents = catalog.contract().entities[name].parents
        lost = [{**row, "source_key": f"{row['source_key']}-lost", **dict.fromkeys(parents, "none")} for row in rows]
        aside[name] = [*rows, *gone, *(lost if parents else [])]
    alone, among = world(**STORY), world(**aside)
    assert among.execute("select count(*), count(distinct entity) from marts.rejects").fetchall() == [(26, 12)]
    for name in [name for name in catalog.marts() if name not in LISTED]:
        every = f"select * from marts.{name} order by all"
        assert among.execute(every).fetchall() == alone.execute(every).fetchall(), name


def test_every_misfit_is_listed_not_only_the_first(world: World) -> None:
    with pytest.raises(Fault) as refused:
        world(projects=[{**PROJECT, "source_key": f"p{n}", "contract_amount": "x"} for n in range(3)], milestones=[])
    assert [f"record p{n}" in str(refused.value) for n in range(3)] == [True] * 3


def test_a_missing_required_column_is_named_with_the_cure(world: World) -> None:
    project = {key: value for key, value in PROJECT.items() if key != "currency"}
    with pytest.raises(
        Fault, match=r"t: projects: the column currency is missing.*or name the column .* under `rename`"
    ):
        world(projects=[project])


@pytest.mark.slow
def test_an_unknown_status_names_the_line_of_the_mapping_to_extend(tmp_path: Path) -> None:
    folder = tmp_path / "staging"
    folder.mkdir()
    (folder / "clients.sql").write_text("/* row: x */\nselect id as source_key, id as name from raw.people", "utf-8")
    (folder / "projects.sql").write_text(
        "/* row: x */\nselect\n  id as source_key, id as client, id as name, 'USD' as currency,\n"
        "  case state when 'on' then 'active' else state end as status\nfrom raw.people",
        "utf-8",
    )
    con = duckdb.connect()
    prepare(con)
    con.execute("create schema raw_t; create table raw_t.people as select 'k' as id, 'napping' as state")
    with pytest.raises(Fault, match=r"'napping' is unknown.*Extend the mapping at .*projects\.sql:4\."):
        make_all(con, [StagedSource("t", folder, "raw_t")], "2026-06-30T00:00:00")


@pytest.mark.slow
def test_a_mapping_that_names_a_column_the_tool_lost_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "clients.sql").write_text("/* row: x */ select id as source_key, nom as name from raw.people", "utf-8")
    con = duckdb.connect()
    prepare(con)
    con.execute("create schema raw_t; create table raw_t.people as select 'k' as id")
    with pytest.raises(Fault, match=r"clients\.sql, source t: .*nom.*give the file or the tool that column back"):
        make_all(con, [StagedSource("t", tmp_path, "raw_t")], "2026-06-30T00:00:00")


@pytest.mark.slow
def test_a_mapping_to_a_column_the_contract_lacks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clients.sql").write_text(
        "/* row: x */ select id as source_key, id as nickname from raw.people", "utf-8"
    )
    con = duckdb.connect()
    prepare(con)
    con.execute("create schema raw_t; create table raw_t.people as select 'k' as id")
    with pytest.raises(Fault, match=r"selects nickname, which clients of the contract does not have"):
        make_all(con, [StagedSource("t", tmp_path, "raw_t")], "2026-06-30T00:00:00")


def test_a_currency_without_a_rate_names_pair_and_date(world: World) -> None:
    with pytest.raises(Fault, match=r"record t:p1: there is no rate from CHF to USD for 2026-01-01"):
        world(projects=[{**PROJECT, "currency": "CHF"}])


def test_money_is_converted_at_the_rate_of_the_transactions_day_and_both_amounts_are_kept(world: World) -> None:
    rates = [
        {"day": "2026-01-01", "currency": "EUR", "rate": "1.10"},
        {"day": "2026-02-01", "currency": "EUR", "rate": "1.20"},
    ]
    order = {
        "source_key": "o1",
        "project": "p1",
        "status": "approved",
        "decided_at": "2026-02-01T12:00:00Z",
        "amount_approved": "100.00",
    }
    con = world(rates=rates, projects=[{**PROJECT, "currency": "EUR"}], change_orders=[order])
    project = con.execute("select contract_amount_local, contract_amount from marts.projects").fetchall()[0]
    change = con.execute("select currency, approved_amount_local, approved_amount from marts.change_orders").fetchall()[
        0
    ]
    assert [str(amount) for amount in project] == ["1000.00", "1100.00"]
    assert [str(value) for value in change] == ["EUR", "100.00", "120.00"]


def test_the_later_version_of_a_record_wins_and_the_older_is_listed(world: World) -> None:
    old = {**CLIENT, "name": "Old name", "recorded_at": "2026-01-01T00:00:00Z"}
    new = {**CLIENT, "name": "New name", "recorded_at": "2026-02-01T00:00:00Z"}
    for order in ([old, new], [new, old]):
        con = world(clients=order)
        assert con.execute("select client from marts.clients").fetchall() == [("New name",)]
        assert reasons(con) == [("clients", "c1", "duplicate")]


def test_a_deleted_record_leaves_with_all_that_hangs_on_it_and_is_listed(world: World) -> None:
    con = world(
        projects=[{**PROJECT, "deleted_at": "2026-05-01T00:00:00Z"}],
        milestone_events=events("g1", ("started", "2026-01-03T00:00:00Z")),
    )
    assert con.execute("select count(*) from marts.gates").fetchall() == [(0,)]
    assert reasons(con) == [
        ("milestone_events", "g1-1", "deleted"),
        ("milestones", "g1", "deleted"),
        ("projects", "p1", "deleted"),
    ]


def test_a_deletion_after_the_as_of_date_has_not_happened_yet(world: World) -> None:
    con = world("2026-04-01T00:00:00", projects=[{**PROJECT, "deleted_at": "2026-05-01T00:00:00Z"}])
    assert con.execute("select count(*) from marts.gates").fetchall() == [(1,)]


def test_an_orphan_is_listed_with_the_parent_it_names(world: World) -> None:
    con = world(milestones=[GATE, {**GATE, "source_key": "g2", "project": "gone"}])
    assert con.execute("select reason, detail from marts.rejects").fetchall() == [
        ("orphan", "its project t:gone was not received")
    ]


def test_a_document_needs_a_gate_or_a_project(world: World) -> None:
    documents = [
        {"source_key": "a", "milestone": "g1", "type": "permit"},
        {"source_key": "b", "project": "p1", "type": "permit"},
        {"source_key": "c", "type": "permit"},
        {"source_key": "d", "milestone": "gone", "type": "permit"},
    ]
    con = world(documents=documents)
    assert con.execute("select source_key from marts.gate_documents order by 1").fetchall() == [("a",), ("b",)]
    assert reasons(con) == [("documents", "c", "orphan"), ("documents", "d", "orphan")]


@pytest.mark.slow
def test_a_key_may_point_into_another_source() -> None:
    con = small()
    prepare(con, sources=("portal", "books"))
    receive(con, "portal", {"clients": [CLIENT], "projects": [PROJECT], "milestones": [GATE]})
    invoice = {
        "source_key": "i1",
        "client": "portal:c1",
        "project": "portal:p1",
        "status": "open",
        "currency": "USD",
        "total": 5,
    }
    receive(con, "books", {"invoices": [invoice]})
    unfold(con, [StagedSource(name, None, f"raw_{name}") for name in ("portal", "books")], "2026-06-30T00:00:00")
    assert con.execute("select invoice_id, project_id, client from marts.invoices").fetchall() == [
        ("books:i1", "portal:p1", "Aster")
    ]


def test_a_bare_date_is_taken_at_the_end_of_business_in_the_projects_zone(world: World) -> None:
    con = world(
        milestone_events=events("g1", ("started", "2026-01-05"), ("approved", "2026-07-01")),
        as_of="2026-12-01T00:00:00",
    )
    rows = con.execute("select occurred_at::varchar, is_day_only from staging.milestone_events order by 1").fetchall()
    # New York is five hours behind UTC in January and four in July
    assert rows == [("2026-01-05 22:00:00", True), ("2026-07-01 21:00:00", True)]


def test_an_offset_is_not_dropped_from_an_instant(world: World) -> None:
    con = world(milestone_events=events("g1", ("started", "2026-01-05T10:00:00+02:00")))
    assert con.execute("select occurred_at::varchar from marts.gate_events").fetchall() == [("2026-01-05 08:00:00",)]


def test_every_row_received_is_in_a_mart_or_in_the_rejects(world: World) -> None:
    con = world(
        milestones=[GATE, {**GATE, "source_key": "g2", "project": "gone"}],
        milestone_events=[
            *events("g1", ("started", "2026-01-03T00:00:00Z"), ("approved", "2027-01-01T00:00:00Z")),
            *events("g2", ("started", "2026-01-03T00:00:00Z")),
        ],
    )
    entities = catalog.contract().entities.values()
    assert [f.count for f in (build.reconcile(con, entity) for entity in entities)] == [0] * 12
    con.execute("delete from marts.gates")
    lost = build.reconcile(con, catalog.contract().entities["milestones"])
    assert (lost.count, lost.sample) == (1, ({"source": "t", "received": 2, "in_mart": 0, "in_rejects": 1},))


def test_what_rows_received_are_worth_is_in_a_mart_or_in_the_rejects(world: World) -> None:
    bill = {"source_key": "i1", "client": "c1", "status": "open", "currency": "USD", "total": "5.00"}
    paid = {
        "source_key": "y1",
        "invoice": "i1",
        "received_at": "2026-02-02T12:00:00Z",
        "amount": "2.50",
        "currency": "USD",
    }
    lost_with_its_invoice = {**paid, "source_key": "y2", "invoice": "gone", "amount": "0.40"}
    con = world(invoices=[{**bill, "issued_at": "2026-02-01T12:00:00Z"}], payments=[paid, lost_with_its_invoice])
    payments = catalog.contract().entities["payments"]
    assert build.reconcile(con, payments).count == 0
    con.execute("update marts.payments set amount_local = 2.51")
    wrong = build.reconcile(con, payments)
    assert (wrong.check, wrong.severity, wrong.count) == (
        "every row of staging.payments is here or in rejects, with its amount",
        "fail",
        1,
    )
    told = {name: str(value) for name, value in wrong.sample[0].items() if name.startswith("amount")}
    assert told == {"amount_received": "2.90", "amount_in_mart": "2.51", "amount_in_rejects": "0.40"}


@pytest.mark.slow
def test_columns_the_contract_does_not_know_are_told_not_taken() -> None:
    con = small()
    prepare(con)
    receive(con, "t", {"clients": [{**CLIENT, "nickname": "Ash"}]})
    warned = [f for f in unfold(con, [StagedSource("t", None, "raw_t")], "2026-06-30T00:00:00") if not f.passed]
    assert [(f.severity, f.sample) for f in warned] == [("warn", ({"source": "t", "column": "nickname"},))]


@pytest.mark.slow
def test_an_optional_reference_that_leads_nowhere_is_told() -> None:
    con = small()
    prepare(con)
    invoice = {"source_key": "i1", "client": "c1", "project": "gone", "status": "open", "currency": "USD", "total": 5}
    receive(con, "t", {"clients": [CLIENT], "invoices": [invoice]})
    warned = [f for f in unfold(con, [StagedSource("t", None, "raw_t")], "2026-06-30T00:00:00") if not f.passed]
    assert [(f.check, f.count) for f in warned] == [("every project it names is there", 1)]


def test_a_record_not_known_yet_says_so_though_its_parents_are_there(world: World) -> None:
    bill = {"source_key": "i1", "client": "c1", "status": "open", "currency": "USD", "total": "5.00"}
    con = world("2026-06-30T00:00:00", invoices=[{**bill, "issued_at": "2026-07-09T12:00:00Z"}])
    told = con.execute("select source_key, reason, detail from marts.rejects").fetchall()
    assert told == [("i1", "after as_of", "not known yet on that date")]


@pytest.mark.slow
def test_a_mapping_that_fails_on_the_data_is_told_with_the_entity(tmp_path: Path) -> None:
    (tmp_path / "clients.sql").write_text(
        "/* row: x */ select cast(id as date) as source_key, id as name from raw.people"
    )
    con = duckdb.connect()
    prepare(con)
    con.execute("create schema raw_t; create table raw_t.people as select 'A' as id")
    with pytest.raises(
        Fault, match=r'the SELECT that maps clients of source t: .*"A".* Pass on what does not fit as it is'
    ):
        make_all(con, [StagedSource("t", tmp_path, "raw_t")], "2026-06-30T00:00:00")
