"""Change orders, scope locks, unapproved work, delays, reasons, rework, volatility and the contract: a test per rule."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_worlds import CLIENT, GATE, PROJECT, World, events, one, prepare, receive, small, unfold

from models import build, catalog
from models.admission import StagedSource
from models.faults import Fault
from models.measure import Question, answer, explain
from pipelines import warehouse
from pipelines.settings import load

LOCK = {**GATE, "locks_scope": "true"}
LOCKED = events(
    "g1",
    ("started", "2026-01-03T12:00:00Z"),
    ("submitted", "2026-01-05T12:00:00Z"),
    ("approved", "2026-01-09T12:00:00Z"),
)


def order(key: str, status: str = "approved", amount: str | None = "100.00", **more: Any) -> dict[str, Any]:
    decided = {"decided_at": "2026-01-20T12:00:00Z"} if status not in ("draft", "pending") else {}
    return {
        "source_key": key,
        "project": "p1",
        "status": status,
        "requested_at": "2026-01-15T12:00:00Z",
        "submitted_at": "2026-01-16T12:00:00Z",
        "amount_requested": amount,
        "amount_approved": amount if status == "approved" else None,
        **decided,
        **more,
    }


def work(key: str, at: str, **more: Any) -> dict[str, Any]:
    return {"source_key": key, "project": "p1", "milestone": "g1", "done_at": at, **more}


def bill(key: str, total: str, **more: Any) -> dict[str, Any]:
    return {
        "source_key": key,
        "client": "c1",
        "project": "p1",
        "status": "open",
        "currency": "USD",
        "issued_at": "2026-01-12T12:00:00Z",
        "due_on": "2026-02-11",
        "total": total,
        "recorded_at": "2026-01-12T12:00:00Z",
        **more,
    }


def value(con: duckdb.DuckDBPyConnection, measure: str, **asked: Any) -> float | None:
    return answer(con, Question(measure, **asked))["value"].item()


def values(con: duckdb.DuckDBPyConnection, measure: str, by: str) -> dict[str, float]:
    return dict(answer(con, Question(measure, by=(by,))).select(by, "value").rows())


def left_out(con: duckdb.DuckDBPyConnection, measure: str) -> dict[str, int]:
    return {reason: n for reason, n, _ in explain(con, Question(measure)).left_out}


def test_change_orders_are_counted_per_100k_and_per_project(world: World) -> None:
    projects = [
        {**PROJECT, "contract_amount": "100000.00"},
        {**PROJECT, "source_key": "p2", "contract_amount": "300000.00"},
        {**PROJECT, "source_key": "p3", "contract_amount": None},
    ]
    orders = [
        *(order(f"o{n}", status) for n, status in enumerate(("approved", "pending", "rejected", "draft", "void"))),
        order("p", project="p2"),
        order("q", project="p3"),
        order("r", project="p3"),
    ]
    con = world(projects=projects, change_orders=orders)
    assert (value(con, "C1"), value(con, "C1p")) == (1.0, 2.0)
    assert left_out(con, "C1") == {"no contract amount": 1}


def test_change_is_net_gross_pending_and_rejected_against_the_contract(world: World) -> None:
    project = {**PROJECT, "contract_amount": "200000.00"}
    orders = [
        order("a", amount="10000.00"),
        order("b", amount="-6000.00"),
        order("c", "pending", "4000.00"),
        order("d", "rejected", "1000.00"),
        order("e", "withdrawn", "999.00"),
    ]
    con = world(projects=[project], change_orders=orders)
    assert [value(con, measure) for measure in ("C2", "C2g", "C2p", "C2r")] == [2.0, 8.0, 2.0, 0.5]


def test_creep_is_what_was_agreed_after_the_lock_and_what_was_not(world: World) -> None:
    project = {**PROJECT, "contract_amount": "100000.00"}
    early = {"requested_at": "2026-01-04T12:00:00Z", "submitted_at": None}
    orders = [
        order("before", amount="25000.00", **early),
        order("after", amount="20000.00"),
        order("open", "pending", "7000.00"),
        order("undated", amount="0.00", requested_at=None, submitted_at=None),
    ]
    done = [
        work("free", "2026-02-01T12:00:00Z", amount="5000.00"),
        work("before", "2026-01-08T12:00:00Z", amount="900.00"),
        work("covered", "2026-02-01T12:00:00Z", amount="800.00", change_order="after"),
    ]
    con = world(projects=[project], milestones=[LOCK], milestone_events=LOCKED, change_orders=orders, extra_work=done)
    assert (value(con, "C3"), value(con, "C3a"), value(con, "C3b")) == (20.0, 16.0, 4.0)
    assert one(con, "change_orders", "source_key = 'undated'")["is_after_scope_lock"] is True
    unlocked = world(projects=[project], milestone_events=LOCKED, change_orders=orders, extra_work=done)
    assert (value(unlocked, "C3"), left_out(unlocked, "C3")) == (None, {"no scope lock recorded": 1})


def test_the_two_parts_of_creep_add_up_over_every_grouping(world: World) -> None:
    projects = [PROJECT, {**PROJECT, "source_key": "p2", "manager": "Max", "contract_amount": "777.77"}]
    gates = [LOCK, {**LOCK, "source_key": "g2", "project": "p2"}]
    happened = [*LOCKED, *events("g2", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-01-06T12:00:00Z"))]
    orders = [order("a", amount="33.33"), order("b", amount="-11.11", project="p2", milestone="g2")]
    done = [work("x", "2026-02-01T12:00:00Z", amount="7.07", project="p2", milestone="g2")]
    con = world(projects=projects, milestones=gates, milestone_events=happened, change_orders=orders, extra_work=done)
    for by in ((), ("manager",)):
        whole, agreed, free = (answer(con, Question(m, by=by))["value"].to_list() for m in ("C3", "C3a", "C3b"))
        assert [a + b for a, b in zip(agreed, free, strict=True)] == pytest.approx(whole, abs=1e-12)


def test_a_decision_takes_from_submission_to_verdict_and_pending_ones_run_on(world: World) -> None:
    decided = [order(f"o{n}", submitted_at="2026-05-01T12:00:00Z", decided_at="2026-05-04T12:00:00Z") for n in range(5)]
    refused = order("no", "rejected", submitted_at="2026-05-01T12:00:00Z", decided_at="2026-05-06T12:00:00Z")
    waiting = order("wait", "pending", submitted_at="2026-05-02T12:00:00Z")
    con = world(change_orders=[*decided, refused, waiting, order("gone", "withdrawn"), order("draft", "draft")])
    row = answer(con, Question("C4")).row(0, named=True)
    assert (row["value"], row["n"], row["open_n"]) == (3.0, 6, 1)
    assert left_out(con, "C4") == {"draft or void": 1, "withdrawn": 1}


REOPENED = [
    *LOCKED,
    {
        "source_key": "again",
        "milestone": "g1",
        "type": "reopened",
        "occurred_at": "2026-05-10T12:00:00Z",
        "origin": "log",
    },
]


def test_unapproved_work_after_lock_is_work_and_revisions_without_a_change_order_at_that_date(world: World) -> None:
    cover = order("o1", decided_at="2026-05-20T12:00:00Z")
    done = [
        work("caught", "2026-05-04T12:00:00Z", hours=2.5, amount="300.00", change_order="o1"),
        work("before", "2026-01-08T12:00:00Z", hours=9, amount="90.00"),
        work("agreed", "2026-05-21T12:00:00Z", hours=7, amount="70.00", change_order="o1"),
    ]
    con = world(milestones=[LOCK], milestone_events=REOPENED, change_orders=[cover], extra_work=done)
    assert (value(con, "C5"), value(con, "C5h"), value(con, "C5n")) == (300.0, 2.5, 2.0)
    assert values(con, "C5n", "kind") == {"extra work": 1.0, "revision": 1.0}
    assert left_out(con, "C5") == {
        "done before the lock": 1,
        "covered when it was done": 1,
        "value not known": 1,
    }
    exposed = answer(con, Question("C5d")).row(0, named=True)
    assert (exposed["n"], exposed["open_n"]) == (1, 1)
    assert one(con, "unplanned_work", "work_id = 't:caught'")["uncovered_days"] == 16.0
    revision = one(con, "unplanned_work", "kind = 'revision'")
    assert (revision["exposed_days"], revision["uncovered_days"], revision["is_covered"]) == (50.5, None, False)


@pytest.mark.parametrize(
    ("decided", "was_covered", "is_covered"),
    [("2026-05-09T12:00:00Z", True, True), ("2026-05-11T12:00:00Z", False, True), (None, False, False)],
)
def test_a_change_order_for_its_gate_covers_a_revision_from_its_approval_on(
    world: World, decided: str | None, was_covered: bool, is_covered: bool
) -> None:
    status = "approved" if decided else "pending"
    cover = order("o1", status, milestone="g1", **({"decided_at": decided} if decided else {}))
    elsewhere = order("o2", decided_at="2026-01-20T12:00:00Z")
    con = world(milestones=[LOCK], milestone_events=REOPENED, change_orders=[cover, elsewhere])
    revision = one(con, "unplanned_work")
    assert (revision["was_covered"], revision["is_covered"]) == (was_covered, is_covered)
    assert value(con, "C5n") == (0.0 if was_covered else 1.0)


def test_a_refusal_within_a_revision_is_no_further_revision(world: World) -> None:
    refused = events("g1", *[("submitted", "2026-05-12T12:00:00Z"), ("changes_requested", "2026-05-13T12:00:00Z")])
    told = [{**event, "source_key": f"again-{n}"} for n, event in enumerate(refused)]
    con = world(milestones=[LOCK], milestone_events=[*REOPENED, *told])
    assert one(con, "gates")["attempt_count"] == 3
    assert one(con, "unplanned_work")["kind"] == "revision"


def test_of_several_change_orders_for_a_gate_the_first_covers_its_revision(world: World) -> None:
    covers = [
        order("o1", milestone="g1", decided_at="2026-05-20T12:00:00Z"),
        order("o2", milestone="g1", decided_at="2026-05-10T18:00:00Z"),
    ]
    revision = one(world(milestones=[LOCK], milestone_events=REOPENED, change_orders=covers), "unplanned_work")
    assert (str(revision["covered_at"]), revision["uncovered_days"]) == ("2026-05-10 18:00:00", 0.25)


def test_a_gate_that_locks_nothing_is_held_against_its_projects_first_lock(world: World) -> None:
    gates = [LOCK, {**GATE, "source_key": "g2", "sequence": 2}]
    again = {**REOPENED[-1], "milestone": "g2", "source_key": "again2"}
    happened = [
        *LOCKED,
        *events("g2", ("started", "2026-01-10T12:00:00Z"), ("approved", "2026-01-12T12:00:00Z")),
        again,
    ]
    con = world(milestones=gates, milestone_events=happened)
    revision = one(con, "unplanned_work")
    assert (str(revision["scope_locked_at"]), revision["is_after_scope_lock"]) == ("2026-01-09 12:00:00", True)


def test_where_no_lock_is_recorded_work_is_left_out_and_says_so(world: World) -> None:
    done = [work("w", "2026-05-04T12:00:00Z", hours=1, amount="10.00")]
    con = world(milestone_events=REOPENED, extra_work=done)
    assert (value(con, "C5"), value(con, "C5n")) == (0.0, 0.0)
    assert left_out(con, "C5n") == {"no scope lock recorded": 2}


def test_reopening_a_waived_gate_is_no_revision(world: World) -> None:
    gates = [LOCK, {**GATE, "source_key": "g2", "sequence": 2}]
    waived = events(
        "g2",
        ("waived", "2026-01-10T12:00:00Z"),
        ("reopened", "2026-01-12T12:00:00Z"),
        ("started", "2026-01-13T12:00:00Z"),
    )
    con = world(milestones=gates, milestone_events=[*LOCKED, *waived])
    assert con.execute("select count(*) from marts.unplanned_work").fetchall() == [(0,)]


def test_change_orders_not_invoiced_are_the_change_orders_part_of_what_is_approved_and_not_billed(world: World) -> None:
    orders = [order("o1", amount="500.00"), order("o2", amount="80.00"), order("o3", "pending", "70.00")]
    lines = [
        {"source_key": "l1", "invoice": "i1", "change_order": "o1", "amount": "200.00", "link_method": "native"},
        {"source_key": "l2", "invoice": "i1", "change_order": "o2", "amount": "80.00", "link_method": "native"},
    ]
    con = world(milestone_events=LOCKED, change_orders=orders, invoices=[bill("i1", "280.00")], invoice_lines=lines)
    assert value(con, "C6") == 300.0
    assert values(con, "B10", "owed_for")["change order"] == 300.0
    assert left_out(con, "C6") == {"billed in full": 1, "not approved": 1}


def granting(*grants: tuple[str, float | None]) -> list[dict[str, Any]]:
    return [order(f"o{n}", amount="0.00", decided_at=at, days_approved=days) for n, (at, days) in enumerate(grants, 1)]


@pytest.mark.parametrize(
    ("grants", "days"),
    [
        ([("2026-05-01T12:00:00Z", 10), ("2026-05-04T12:00:00Z", 5), ("2026-05-20T12:00:00Z", 4)], 14.0),
        ([("2026-05-01T12:00:00Z", 10), ("2026-05-11T12:00:00Z", 5)], 15.0),
        ([("2026-05-01T12:00:00Z", 10), ("2026-05-08T12:00:00Z", 5)], 12.0),
        ([("2026-05-01T12:00:00Z", 2.5), ("2026-05-01T15:00:00Z", 1)], 2.5),
        ([("2026-05-01T12:00:00Z", 3), ("2026-05-02T12:00:00Z", -2)], 3.0),
        # 03:00 UTC on the 5th is the evening of the 4th in New York: one day of the five is shared
        ([("2026-05-01T12:00:00Z", 4), ("2026-05-05T03:00:00Z", 4)], 7.0),
    ],
)
def test_delays_that_overlap_are_not_added(world: World, grants: list[tuple[str, float]], days: float) -> None:
    con = world(change_orders=granting(*grants))
    assert value(con, "C7") == days


def test_projects_that_were_granted_no_days_are_left_out(world: World) -> None:
    taken = order("o3", days_approved=-4)
    con = world(change_orders=[order("o1"), order("o2", "rejected", days_requested=9), taken])
    assert (value(con, "C7"), left_out(con, "C7")) == (0.0, {"no days granted": 1})


def planned(gate: str, *due: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"source_key": f"{gate}-p{n}", "milestone": gate, "recorded_at": at, "due_on": on}
        for n, (at, on) in enumerate(due, 1)
    ]


def test_slip_is_the_last_required_gates_date_against_its_baseline(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2}, {**GATE, "source_key": "g3", "sequence": 3}]
    plans = [
        *planned("g1", ("2025-12-20T12:00:00Z", "2026-05-01")),
        *planned("g2", ("2025-12-20T12:00:00Z", "2026-05-15"), ("2026-04-01T12:00:00Z", "2026-05-22")),
        *planned("g3", ("2025-12-20T12:00:00Z", "2026-06-15")),
    ]
    happened = [
        *events("g1", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-06-09T12:00:00Z")),
        *events("g2", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-05-22T12:00:00Z")),
        *events("g3", ("waived", "2026-05-01T12:00:00Z")),
    ]
    row = one(world(milestones=gates, milestone_plans=plans, milestone_events=happened), "project_delays")
    assert (str(row["completion_baseline_on"]), row["slipped_days"]) == ("2026-05-15", 7.0)
    late = one(
        world("2026-05-25T20:00:00", milestones=gates, milestone_plans=plans, milestone_events=happened[:3]),
        "project_delays",
    )
    assert late["slipped_days"] is None
    overdue = one(world(milestones=gates, milestone_plans=plans, milestone_events=happened[:3]), "project_delays")
    assert (str(overdue["completion_baseline_on"]), overdue["slipped_days"]) == ("2026-06-15", 14.0)


def test_of_last_gates_in_one_place_the_one_not_through_decides(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2"}]
    plans = [row for gate in ("g1", "g2") for row in planned(gate, ("2025-12-20T12:00:00Z", "2026-07-15"))]
    happened = events("g2", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-05-22T12:00:00Z"))
    con = world(milestones=gates, milestone_plans=plans, milestone_events=happened)
    assert one(con, "project_delays")["slipped_days"] is None
    assert left_out(con, "C7s") == {"not finished and not overdue": 1}


def vocabulary(tmp_path: Path, text: str) -> Any:
    (tmp_path / "reasons.csv").write_text(text, "utf-8")

    def before(con: duckdb.DuckDBPyConnection) -> None:
        con.execute("create temp table kept as select * from reference.sources")
        warehouse.load_reference(con, load(tmp_path, environ={}))
        con.execute("insert into reference.sources select * from kept")

    return before


def test_reasons_are_the_firms_own_with_no_reason_first(world: World, tmp_path: Path) -> None:
    text = "written,reason\nclient wish,client request\nClient asked,client request\nn/a,\n"
    orders = [
        order("a", amount="1.00", reason="CLIENT  wish!"),
        order("b", amount="2.00", reason="client asked"),
        order("c", amount="4.00", reason="Site access"),
        order("d", amount="8.00", reason="N/A"),
        order("e", amount="16.00", reason=None),
        order("f", "pending", "32.00", reason="Site access"),
    ]
    con = world(before=vocabulary(tmp_path, text), change_orders=orders)
    assert answer(con, Question("C8", by=("reason",))).select("reason", "value").rows() == [
        ("no reason", 2.0),
        ("Site access", 2.0),
        ("client request", 2.0),
    ]
    assert values(con, "C8v", "reason") == {"no reason": 24.0, "Site access": 4.0, "client request": 3.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("word,reason\na,b\n", r"reasons\.csv: the column written is missing"),
        ("written,reason\na,b\n,c\n", r"reasons\.csv, row 3: the words are empty"),
        ("written,reason\nOwner wish,b\nc,d\nowner  WISH,e\n", r"reasons\.csv, row 4: 'owner wish' stands in it more"),
        ("written,reason\na,b,c\n", r"reasons\.csv: is no CSV file"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_named_by_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    con = duckdb.connect()
    build.prelude(con)
    with pytest.raises(Fault, match=message):
        vocabulary(tmp_path, text)(con)


def test_free_rework_is_what_a_reopening_began_and_no_change_order_covers(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2}]
    happened = [
        *REOPENED,
        *events("g2", ("started", "2026-01-10T12:00:00Z"), ("approved", "2026-01-12T12:00:00Z")),
        {**REOPENED[-1], "milestone": "g2", "source_key": "again2"},
    ]
    cover = order("o1", milestone="g2", decided_at="2026-06-01T12:00:00Z")
    con = world(milestones=gates, milestone_events=happened, change_orders=[cover])
    # two first attempts and two revisions, one of them covered since
    assert answer(con, Question("C9")).select("value", "n").row(0) == (25.0, 4)


def test_free_rework_in_hours_is_uncovered_work_after_its_gates_approval(world: World) -> None:
    done = [
        work("free", "2026-01-10T12:00:00Z", hours=6, amount="720.00"),
        work("paid", "2026-01-10T12:00:00Z", hours=14, amount="140.00", change_order="o1"),
        work("before", "2026-01-08T12:00:00Z", hours=20, amount="200.00"),
        work("nowhere", "2026-01-10T12:00:00Z", hours=99, amount="990.00", milestone=None),
    ]
    con = world(milestone_events=LOCKED, change_orders=[order("o1")], extra_work=done)
    assert (value(con, "C9h"), value(con, "C9v")) == (15.0, 720.0)
    assert left_out(con, "C9h") == {"no approval to hold it against": 1}
    locked = world(milestones=[LOCK], milestone_events=LOCKED, change_orders=[order("o1")], extra_work=done)
    assert one(locked, "extra_work", "source_key = 'nowhere'")["is_free_rework"] is True


def test_a_hundred_requirements_with_twenty_added_and_ten_deleted_are_thirty_percent_volatile(world: World) -> None:
    """The worked answer of METRICS §4: 100 requirements, +20, −10 → 30 %."""
    gates = [{**GATE, "source_key": f"g{n}", "sequence": n} for n in range(120)]
    for gate in gates[:4]:
        gate["deleted_at"] = "2026-03-01T00:00:00Z"
    plans = [
        row
        for n in range(5, 120)  # of some no plan is on record
        for row in planned(f"g{n}", ("2025-12-20T12:00:00Z" if n < 100 else "2026-02-01T12:00:00Z", "2026-06-01"))
    ]
    cancelled = [row for n in range(4, 10) for row in events(f"g{n}", ("cancelled", "2026-03-01T12:00:00Z"))]
    con = world(milestones=gates, milestone_plans=plans, milestone_events=cancelled)
    assert value(con, "C10") == 30.0
    row = one(con, "project_scopes")
    counts = [row[f"{name}_gate_count"] for name in ("baseline", "added", "changed", "deleted")]
    assert counts == [100, 20, 0, 10]


def test_a_gate_is_changed_once_by_approved_change_orders_and_not_where_it_was_added_or_deleted(world: World) -> None:
    gates = [{**GATE, "source_key": f"g{n}", "sequence": n} for n in range(1, 5)]
    plans = [
        *planned("g1", ("2025-12-20T12:00:00Z", "2026-06-01")),
        *planned("g2", ("2025-12-20T12:00:00Z", "2026-06-01")),
        *planned("g3", ("2026-02-01T12:00:00Z", "2026-06-01")),
        *planned("g4", ("2025-12-20T12:00:00Z", "2026-06-01")),
    ]
    orders = [
        order("a", milestone="g1"),
        order("b", milestone="g1"),
        order("c", "pending", milestone="g2"),
        order("d", milestone="g3"),
        order("e", milestone="g4"),
    ]
    dropped = events("g4", ("cancelled", "2026-03-01T12:00:00Z"))
    con = world(milestones=gates, milestone_plans=plans, milestone_events=dropped, change_orders=orders)
    row = one(con, "project_scopes")
    counts = [row[f"{name}_gate_count"] for name in ("baseline", "added", "changed", "deleted")]
    assert (counts, value(con, "C10")) == ([3, 1, 1, 1], 100.0)


def test_a_gate_added_and_deleted_again_is_two_changes(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2, "deleted_at": "2026-03-01T00:00:00Z"}]
    plans = [
        *planned("g1", ("2025-12-20T12:00:00Z", "2026-06-01")),
        *planned("g2", ("2026-02-01T12:00:00Z", "2026-06-01")),
    ]
    row = one(world(milestones=gates, milestone_plans=plans), "project_scopes")
    counts = [row[f"{name}_gate_count"] for name in ("baseline", "added", "changed", "deleted")]
    assert counts == [1, 1, 0, 1]


def test_a_gate_dropped_before_the_kickoff_never_counted(world: World) -> None:
    gates = [GATE, {**GATE, "source_key": "g2", "sequence": 2}]
    con = world(milestones=gates, milestone_events=events("g2", ("cancelled", "2026-01-01T12:00:00Z")))
    row = one(con, "project_scopes")
    assert (row["baseline_gate_count"], row["deleted_gate_count"]) == (1, 0)


def test_plans_that_begin_after_the_kickoff_are_the_first_ones_known_not_additions(world: World) -> None:
    gates = [{**GATE, "source_key": f"g{n}", "sequence": n} for n in range(1, 4)]
    plans = [
        *planned("g1", ("2026-04-01T12:00:00Z", "2026-06-01")),
        *planned("g2", ("2026-04-01T15:00:00Z", "2026-06-01")),
        *planned("g3", ("2026-04-09T12:00:00Z", "2026-06-01")),
    ]
    row = one(world(milestones=gates, milestone_plans=plans), "project_scopes")
    assert (str(row["settled_on"]), row["baseline_gate_count"], row["added_gate_count"]) == ("2026-04-01", 2, 1)


def test_a_project_without_gates_added_and_deleted_none(world: World) -> None:
    row = one(world(milestones=[]), "project_scopes")
    counts = [row[f"{name}_gate_count"] for name in ("baseline", "added", "changed", "deleted")]
    assert counts == [0, 0, 0, 0]


def test_without_kickoff_and_signature_volatility_is_not_known(world: World) -> None:
    con = world(projects=[{**PROJECT, "kickoff_at": None, "signed_at": None}])
    assert (value(con, "C10"), left_out(con, "C10")) == (None, {"no kickoff recorded": 1})


def steps(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    return dict(answer(con, Question("C11")).select("step", "value").rows())


def test_every_step_from_contract_to_cash_sums(world: World) -> None:
    project = {**PROJECT, "contract_amount": "100000.00"}
    orders = [
        order("a", amount="8000.00"),
        order("b", amount="-3000.00"),
        order("c", "pending", "5000.00"),
        order("d", "rejected", "700.00"),
    ]
    invoices = [
        bill("i1", "36000.00", tax="6000.00", retained="3000.00"),
        bill("i2", "12000.00", tax="2000.00"),
        bill("i3", "1000.00", kind="retention_release"),
        bill("i4", "1800.00", tax="300.00", status="uncollectible"),
        bill("i5", "-1800.00", tax="-300.00", kind="credit_note"),
        bill("i6", "9999.00", status="draft", issued_at=None),
    ]
    payments = [
        {
            "source_key": "y1",
            "invoice": "i1",
            "received_at": "2026-02-01T12:00:00Z",
            "amount": "30000.00",
            "currency": "USD",
        },
        {
            "source_key": "y2",
            "invoice": "i4",
            "received_at": "2026-02-01T12:00:00Z",
            "amount": "800.00",
            "currency": "USD",
        },
    ]
    con = world(projects=[project], change_orders=orders, invoices=invoices, payments=payments)
    assert steps(con) == {
        "original contract": 100000.0,
        "approved additions": 8000.0,
        "approved deductions": -3000.0,
        "contract now": 105000.0,
        "pending, apart": 5000.0,
        "invoiced, without tax": 40000.0,
        "left to invoice": 65000.0,
        "exchange differences": 0.0,
        "tax": 8000.0,
        "invoiced, with tax": 48000.0,
        "paid": 30800.0,
        "retained": 2000.0,
        "written off": 1000.0,
        "open": 14200.0,
    }
    assert sum(steps(con)[name] for name in ("paid", "retained", "written off", "open")) == 48000.0


def test_rates_of_other_days_are_a_step_of_their_own_and_never_left_to_invoice(world: World) -> None:
    rates = [
        {"day": "2026-01-01", "currency": "EUR", "rate": "1.10"},
        {"day": "2026-01-12", "currency": "EUR", "rate": "1.25"},
        {"day": "2026-01-20", "currency": "EUR", "rate": "1.20"},
    ]
    project = {**PROJECT, "currency": "EUR", "contract_amount": "1000.00"}
    con = world(
        rates=rates,
        projects=[project],
        change_orders=[order("a", currency="EUR")],
        invoices=[bill("i1", "1320.00", tax="220.00", currency="EUR")],
    )
    row = one(con, "contracts")
    told = {name: str(row[f"{name}_amount"]) for name in ("current", "invoiced", "left_to_invoice", "exchange")}
    # 1000 at 1.10 and 100 at 1.20; invoiced in full at 1.25
    assert told == {"current": "1220.00", "invoiced": "1375.00", "left_to_invoice": "0.00", "exchange": "-155.00"}


money = st.integers(-50_000, 90_000).map(lambda cents: f"{cents / 100:.2f}")
currencies = st.sampled_from(("USD", "EUR"))


@st.composite
def contracts(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """A contract in some currency with change orders, bills of every kind and state, and payments against them."""
    project = {
        **PROJECT,
        "currency": draw(currencies),
        "contract_amount": draw(st.sampled_from(("1000.01", "0.00", None))),
    }
    statuses = st.sampled_from(("draft", "pending", "approved", "rejected", "withdrawn", "void"))
    orders = [
        order(f"o{n}", draw(statuses), draw(money), currency=draw(currencies)) for n in range(draw(st.integers(0, 4)))
    ]
    kinds = st.sampled_from(("invoice", "progress", "deposit", "retention_release", "credit_note"))
    invoices, payments = [], []
    for n in range(draw(st.integers(0, 5))):
        status = draw(st.sampled_from(("draft", "open", "paid", "void", "uncollectible")))
        invoices.append(
            bill(
                f"i{n}",
                draw(money),
                kind=draw(kinds),
                tax=draw(money),
                retained=draw(money),
                status=status,
                currency=draw(currencies),
            )
        )
        payments += [
            {
                "source_key": f"y{n}-{k}",
                "invoice": f"i{n}",
                "received_at": "2026-02-01T12:00:00Z",
                "amount": draw(money),
                "currency": draw(currencies),
            }
            for k in range(draw(st.integers(0, 2)))
        ]
    return {
        "clients": [CLIENT],
        "projects": [project],
        "milestones": [GATE],
        "change_orders": orders,
        "invoices": invoices,
        "payments": payments,
    }


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(contracts())
def test_whatever_is_agreed_billed_and_paid_the_steps_sum_to_the_cent(records: dict[str, Any]) -> None:
    con = small()
    days = ("2026-01-01", "2026-01-12", "2026-01-15", "2026-01-16", "2026-01-20", "2026-02-01")
    rates = [{"day": day, "currency": "EUR", "rate": f"1.{17 + 31 * n % 83:02}3"} for n, day in enumerate(days)]
    prepare(con, rates)
    receive(con, "t", records)
    unfold(con, [StagedSource("t", None, "raw_t")], "2026-06-30T00:00:00")
    assert [found for found in build.check(con, catalog.marts()["contracts"]) if not found.passed] == []
    row = one(con, "contracts")
    if row["original_amount"] is not None:
        whole = {"original", "added", "deducted", "invoiced", "left_to_invoice", "exchange", "tax", "paid", "retained"}
        part = {name: Decimal(row[f"{name}_amount"]) for name in whole | {"written_off", "open"}}
        assert part["original"] + part["added"] + part["deducted"] == (
            part["invoiced"] + part["left_to_invoice"] + part["exchange"]
        )
        assert part["invoiced"] + part["tax"] == (part["paid"] + part["retained"] + part["written_off"] + part["open"])
    (open_,) = con.execute(
        "select coalesce(sum(open_amount), 0) from marts.invoices where project_id is not null"
    ).fetchall()[0]
    assert row["open_amount"] == open_
    if all(invoice["status"] != "uncollectible" for invoice in records["invoices"]):
        assert row["written_off_amount"] == 0
