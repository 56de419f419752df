"""Clarity frozen at kickoff, and faults in the data: one test per rule, over a few rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import permutations
from typing import Any

import duckdb
import pytest
from small_worlds import CLIENT, GATE, PROJECT, Rows, World, events, one, prepare, receive, small, unfold

from models import admission, audit, build, catalog, terms_seen
from models.admission import StagedSource
from models.measure import Question, answer, explain

pytestmark = pytest.mark.slow

CLEAR = {
    **GATE,
    "recorded_at": "2025-12-20T12:00:00Z",
    "approver": "Rosa Delgado",
    "acceptance_criterion": "The client signs the concept.",
    "needs_documents": "false",
    "locks_scope": "false",
    "client_visible": "true",
}
PLAN = {"source_key": "a", "milestone": "g1", "recorded_at": "2025-12-20T12:00:00Z", "due_on": "2026-02-01"}
KICKED_OFF = "2026-01-02T12:00:00Z"  # PROJECT's


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse that several refreshes follow each other in."""
    with small() as opened:
        prepare(opened)
        yield opened


def refresh(con: duckdb.DuckDBPyConnection, as_of: str, **records: Rows) -> None:
    told = {"clients": [CLIENT], "projects": [PROJECT], "milestones": [CLEAR], "milestone_plans": [PLAN], **records}
    receive(con, "t", told)
    unfold(con, [StagedSource("t", None, "raw_t")], as_of)


def unset(con: duckdb.DuckDBPyConnection, gate: str = "t:g1") -> set[str]:
    rows = con.execute("select term from marts.gate_terms where not is_set and gate_id = ?", [gate]).fetchall()
    return {term for (term,) in rows}


def score(con: duckdb.DuckDBPyConnection, measure: str = "M1") -> float | None:
    found: float | None = answer(con, Question(measure)).row(0, named=True)["value"]
    return found


def seen(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return [
        row for table in terms_seen.TABLES for row in con.execute(f"select * from ops.{table} order by all").fetchall()
    ]


# M1


def test_clarity_is_the_share_of_seven_terms_that_were_set(world: World) -> None:
    # the example of METRICS.md, M1
    vague = {**CLEAR, "source_key": "g2", "acceptance_criterion": " ", "approver": None}
    con = world(milestones=[CLEAR, vague], milestone_plans=[PLAN, {**PLAN, "source_key": "b", "milestone": "g2"}])
    assert score(con) == pytest.approx(100 * 12 / 14)
    assert (unset(con), unset(con, "t:g2")) == (set(), {"named approver", "acceptance criterion"})
    by_term = answer(con, Question("M1", by=("term",)))
    assert dict(zip(by_term["term"], by_term["value"], strict=True))["acceptance criterion"] == 50


@pytest.mark.parametrize(
    ("change", "term"),
    [
        ({"approver": None}, "named approver"),
        ({"acceptance_criterion": ""}, "acceptance criterion"),
        ({"bills_pct": None}, "invoice trigger"),
        ({"needs_documents": None}, "documents"),
        ({"needs_documents": "true"}, "documents"),
        ({"locks_scope": None}, "scope lock"),
        ({"client_visible": None}, "visibility"),
    ],
)
def test_each_term_that_nobody_set_is_missed(world: World, change: dict[str, Any], term: str) -> None:
    assert unset(world(milestones=[{**CLEAR, **change}], milestone_plans=[PLAN])) == {term}


def test_no_bill_is_an_invoice_trigger_and_a_side_is_no_name(world: World) -> None:
    gate = {**CLEAR, "bills_pct": 0, "approver": None, "approver_side": "client"}
    assert unset(world(milestones=[gate], milestone_plans=[PLAN])) == {"named approver"}


def test_a_due_date_counts_only_where_it_was_on_record_by_the_kickoff(world: World) -> None:
    late = {**PLAN, "recorded_at": "2026-01-02T12:00:01Z"}
    assert unset(world(milestones=[CLEAR], milestone_plans=[late])) == {"due date"}


def test_a_required_document_says_what_a_gate_needs_and_an_optional_one_does_not(world: World) -> None:
    gate = {**CLEAR, "needs_documents": None}
    paper = {"source_key": "d1", "milestone": "g1", "type": "permit", "recorded_at": "2025-12-20T12:00:00Z"}
    asked = world(milestones=[gate], milestone_plans=[PLAN], documents=[paper])
    optional = world(milestones=[gate], milestone_plans=[PLAN], documents=[{**paper, "required": "false"}])
    assert (unset(asked), unset(optional)) == (set(), {"documents"})


def test_a_score_is_frozen_at_kickoff_whatever_is_edited_later(con: duckdb.DuckDBPyConnection) -> None:
    vague = {**CLEAR, "acceptance_criterion": None, "approver": None}
    refresh(con, "2026-01-01T18:00:00", milestones=[vague])
    assert (score(con), score(con, "M1n")) == (None, pytest.approx(100 * 5 / 7))
    refresh(con, "2026-01-05T00:00:00", milestones=[vague])
    frozen = {**vague, "recorded_at": "2026-01-02T11:00:00Z", "approver": "Rosa Delgado"}
    refresh(con, "2026-01-09T00:00:00", milestones=[frozen])
    before = score(con)
    assert before == pytest.approx(100 * 6 / 7)  # written an hour before the kickoff, though seen a week after
    mended = {**CLEAR, "recorded_at": "2026-02-01T12:00:00Z"}
    refresh(con, "2026-03-01T00:00:00", milestones=[mended])
    assert (score(con), unset(con)) == (before, {"acceptance criterion"})
    emptied = {**GATE, "recorded_at": "2026-04-01T12:00:00Z"}
    refresh(con, "2026-05-01T00:00:00", milestones=[emptied])
    assert score(con) == before


def test_a_gate_first_seen_after_the_kickoff_is_scored_as_it_was_first_seen(con: duckdb.DuckDBPyConnection) -> None:
    first = {**CLEAR, "recorded_at": "2026-02-01T12:00:00Z", "approver": None}
    refresh(con, "2026-02-02T00:00:00", milestones=[first])
    refresh(con, "2026-03-02T00:00:00", milestones=[{**CLEAR, "recorded_at": "2026-03-01T12:00:00Z"}])
    assert unset(con) == {"named approver"}


def test_a_tool_that_does_not_say_when_it_wrote_is_taken_at_the_refresh(con: duckdb.DuckDBPyConnection) -> None:
    bare = {name: value for name, value in CLEAR.items() if name != "recorded_at"}
    refresh(con, "2026-01-05T00:00:00", milestones=[{**bare, "approver": None}])
    refresh(con, "2026-02-02T00:00:00", milestones=[bare])
    assert unset(con) == {"named approver"}
    refresh(con, "2026-01-01T18:00:00", milestones=[bare])  # an earlier day rebuilt afterwards changes nothing
    refresh(con, "2026-03-02T00:00:00", milestones=[bare])
    assert unset(con) == {"named approver"}


def test_a_document_asked_for_after_the_kickoff_clears_nothing_and_receiving_one_unclears_nothing(
    con: duckdb.DuckDBPyConnection,
) -> None:
    gates = [{**CLEAR, "needs_documents": None, "source_key": key} for key in ("g1", "g2")]
    paper = {"source_key": "d1", "milestone": "g1", "type": "permit", "recorded_at": "2025-12-20T12:00:00Z"}
    refresh(con, "2026-01-02T00:00:00", milestones=gates, documents=[paper])
    received = {**paper, "recorded_at": "2026-01-20T12:00:00Z", "received_at": "2026-01-20T12:00:00Z"}
    later = {**paper, "source_key": "d2", "milestone": "g2", "recorded_at": "2026-01-20T12:00:00Z"}
    refresh(con, "2026-02-02T00:00:00", milestones=gates, documents=[received, later])
    assert ("documents" in unset(con), "documents" in unset(con, "t:g2")) == (False, True)


def test_a_gate_added_after_the_kickoff_leaves_the_score_alone(con: duckdb.DuckDBPyConnection) -> None:
    refresh(con, "2026-01-02T00:00:00")
    added = {**GATE, "source_key": "g2", "recorded_at": "2026-02-01T12:00:00Z"}
    refresh(con, "2026-02-02T00:00:00", milestones=[CLEAR, added])
    assert score(con) == 100
    assert [(reason, n) for reason, n, _ in explain(con, Question("M1")).left_out] == [("added after kickoff", 7)]


VERSIONS = [
    {**CLEAR, "recorded_at": "2025-12-10T12:00:00Z", "approver": None},
    {**CLEAR, "recorded_at": "2025-12-20T12:00:00Z", "client_visible": None},
    {**CLEAR, "recorded_at": "2026-02-01T12:00:00Z"},
]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_source_that_resends_old_records_changes_no_frozen_score(
    con: duckdb.DuckDBPyConnection, order: tuple[int, ...]
) -> None:
    for number, place in enumerate(order):
        refresh(con, f"2026-03-0{number + 1}T00:00:00", milestones=[VERSIONS[place]])
    assert unset(con) == {"visibility"}  # the version in force at kickoff, whenever it came


def test_two_versions_of_one_instant_come_out_the_same_whichever_came_first() -> None:
    told = []
    for order in ((0, 1), (1, 0)):
        with small() as con:
            prepare(con)
            for number, place in enumerate(order):
                version = {**VERSIONS[place], "recorded_at": "2025-12-20T12:00:00Z"}
                refresh(con, f"2026-03-0{number + 1}T00:00:00", milestones=[version])
            told.append((unset(con), len(seen(con))))
    assert told[0] == told[1]
    assert told[0][1] == 2


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_old_versions_sent_together_are_remembered_and_the_newest_stands(world: World, order: tuple[int, ...]) -> None:
    con = world(milestones=[VERSIONS[place] for place in order], milestone_plans=[PLAN])
    assert unset(con) == {"visibility"}
    assert con.execute(
        "select count(*), max(recorded_at)::varchar from staging.milestones where reject_reason is null"
    ).fetchall() == [(1, "2026-02-01 12:00:00")]
    assert con.execute("select count(*) from marts.rejects where reason = 'duplicate'").fetchall() == [(2,)]


def test_what_was_seen_is_remembered_once_however_often_it_is_loaded(con: duckdb.DuckDBPyConnection) -> None:
    paper = {"source_key": "d1", "milestone": "g1", "type": "permit"}
    refresh(con, "2026-01-05T00:00:00", documents=[paper])
    before = seen(con)
    assert len(before) == 2
    touched = {**CLEAR, "recorded_at": "2026-02-01T12:00:00Z"}  # written anew, saying the same
    refresh(con, "2026-02-05T00:00:00", milestones=[touched, CLEAR, touched], documents=[paper, paper])
    assert seen(con) == before


def test_a_killed_refresh_neither_loses_nor_doubles_what_it_saw(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(con, "2026-01-01T18:00:00")
    before = seen(con), con.execute("from staging.milestones").fetchall()
    changed = {**CLEAR, "recorded_at": "2026-01-02T10:00:00Z", "approver": None}
    receive(con, "t", {"milestones": [changed]})

    class Killed(BaseException):
        """Stands for a kill right after what was seen has been written down, before the transaction ends."""

    def killed(*given: Any) -> None:
        remembered(*given)
        raise Killed

    remembered = terms_seen.remember
    monkeypatch.setattr(terms_seen, "remember", killed)
    at = build.Moment(as_of=datetime(2026, 1, 3))
    entity = catalog.contract().entities["milestones"]
    with pytest.raises(Killed):
        admission.stage(con, entity, [StagedSource("t", None, "raw_t")], at)
    assert (seen(con), con.execute("from staging.milestones").fetchall()) == before
    monkeypatch.undo()
    refresh(con, "2026-01-03T00:00:00", milestones=[changed])
    assert len(seen(con)) == len(before[0]) + 1
    assert unset(con) == {"named approver"}


# M3


def faults(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    rows = con.execute("select gate_id, fault, record_id from marts.gate_faults order by all").fetchall()
    return [(gate, fault, record) for gate, fault, record in rows]


def test_data_quality_is_the_share_of_gates_without_any_fault(world: World) -> None:
    # the example of METRICS.md, M3
    gates = [{**CLEAR, "source_key": f"g{n}", "sequence": n} for n in range(10)]
    plans = [{**PLAN, "source_key": f"a{n}", "milestone": f"g{n}"} for n in range(1, 10)]
    told = events("g1", ("approved", "2026-01-05T12:00:00Z"), ("submitted", "2026-01-06T12:00:00Z"))
    con = world(milestones=[*gates, gates[1]], milestone_plans=plans, milestone_events=told)
    found = answer(con, Question("M3")).row(0, named=True)
    assert (found["value"], found["n"]) == (80, 10)
    assert (found["low"], found["high"]) == (pytest.approx(49.02, abs=0.005), pytest.approx(94.33, abs=0.005))
    assert faults(con) == [
        ("t:g0", "missing baseline", "t:g0"),
        ("t:g1", "chronology violation", "t:g1"),
        ("t:g1", "duplicate", "t:g1"),
    ]
    by_fault = answer(con, Question("M3f", by=("fault",)))
    assert by_fault["fault"].to_list() == ["missing baseline", "chronology violation", "duplicate"]


def test_a_gate_that_has_not_begun_misses_no_start(world: World) -> None:
    gates = [{**CLEAR, "source_key": key, "sequence": n} for n, key in enumerate(("g1", "g2"), 1)]
    plans = [{**PLAN, "source_key": key, "milestone": key} for key in ("g1", "g2")]
    unstarted = {**PROJECT, "kickoff_at": None}
    told = events("g1", ("submitted", "2026-01-05T12:00:00Z"))
    con = world(projects=[unstarted], milestones=gates, milestone_plans=plans, milestone_events=told)
    assert faults(con) == [("t:g1", "missing start", "t:g1")]


def test_orphans_are_faults_of_their_gate_and_an_orphaned_gate_is_one_too(world: World) -> None:
    con = world(
        milestones=[CLEAR, {**CLEAR, "source_key": "g9", "project": "lost"}],
        milestone_plans=[PLAN],
        extra_work=[{"source_key": "w1", "project": "lost", "milestone": "g1", "done_at": KICKED_OFF}],
        documents=[{"source_key": "d1", "milestone": "never sent", "type": "permit"}],
    )
    assert faults(con) == [("t:g1", "orphan", "t:w1"), ("t:g9", "orphan", "t:g9")]
    found = answer(con, Question("M3")).row(0, named=True)
    assert (found["value"], found["n"]) == (0, 2)
    assert answer(con, Question("M3", by=("firm",)))["firm"].to_list() == ["Firm t"]
    findings = audit.check(con, catalog.marts()["gate_faults"], catalog.marts())
    assert [each.check for each in findings if not each.passed] == []  # it is to be mended, and stops no refresh


def test_a_fault_of_a_gate_that_was_never_there_stops_the_refresh(world: World) -> None:
    con = world(
        milestones=[CLEAR],
        extra_work=[{"source_key": "w1", "project": "lost", "milestone": "g1", "done_at": KICKED_OFF}],
    )
    assert ("t:g1", "orphan", "t:w1") in faults(con)
    con.execute("update marts.gate_faults set gate_id = 't:gone' where fault = 'orphan'")
    findings = audit.check(con, catalog.marts()["gate_faults"], catalog.marts())
    assert [each.check for each in findings if not each.passed] == [audit.THERE]


def test_an_event_written_before_its_day_is_a_future_date_and_one_of_later_is_not(world: World) -> None:
    told = events("g1", *[("started", f"2026-01-{day:02}T12:00:00Z") for day in (5, 6, 7)])
    told[0]["recorded_at"] = "2026-01-05T11:00:00Z"  # the same day: a clock that runs late
    told[1]["recorded_at"] = "2026-01-03T12:00:00Z"
    records = {"milestones": [CLEAR], "milestone_plans": [PLAN], "milestone_events": told}
    for as_of, expected in (("2026-01-04", ["t:g1-2"]), ("2026-02-01", ["t:g1-2"]), ("2026-01-02", [])):
        assert [record for _, _, record in faults(world(f"{as_of}T18:00:00", **records))] == expected


def test_where_a_tool_does_not_say_when_it_wrote_the_last_pull_tells_a_future_date(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute("insert into ops.pulls (source, pulled_at, outcome) values ('t', '2026-02-01T12:00:00', 'ok')")
    told = events("g1", ("started", "2062-01-05T12:00:00Z"))
    refresh(con, "2026-02-01T12:00:00", milestone_events=told)
    assert faults(con) == [("t:g1", "future date", "t:g1-1")]
    refresh(con, "2026-01-20T12:00:00", milestone_events=told)  # an earlier day: it is not known yet, and no fault
    assert faults(con) == []


def test_a_line_in_another_currency_than_the_contract_is_a_mismatch(world: World) -> None:
    invoice = {"source_key": "i1", "client": "c1", "project": "p1", "status": "open", "total": "40.00"}
    lines = [{"source_key": f"l{n}", "invoice": f"i{n}", "milestone": "g1", "amount": "40.00"} for n in (1, 2, 3)]
    con = world(
        rates=[{"day": "2026-01-20", "currency": "EUR", "rate": "1.1"}],
        milestones=[CLEAR],
        milestone_plans=[PLAN],
        invoices=[
            {**invoice, "currency": "EUR", "issued_at": "2026-01-20T12:00:00Z"},
            {**invoice, "source_key": "i2", "currency": "USD", "issued_at": "2026-01-20T12:00:00Z"},
            {
                **invoice,
                "source_key": "i3",
                "currency": "EUR",
                "status": "draft",
                "recorded_at": "2026-01-20T12:00:00Z",
            },
        ],
        invoice_lines=lines,
    )
    assert faults(con) == [("t:g1", "currency mismatch", "t:l1")]
    assert one(con, "gate_faults")["detail"] == "billed in EUR, the contract is in USD"


def test_a_deleted_gate_leaves_every_count_and_is_listed_once(world: World) -> None:
    gone = {**CLEAR, "source_key": "g2", "deleted_at": "2026-02-01T12:00:00Z"}
    told = events("g2", ("approved", "2026-01-20T12:00:00Z"))
    records = {"milestones": [CLEAR, gone], "milestone_plans": [PLAN], "milestone_events": told}
    con = world(**records)
    for mart in ("gates", "gate_trends", "earned_schedules", "gate_terms"):
        assert {
            gate
            for (gate,) in con.execute(
                f"select distinct {'project_id' if mart == 'earned_schedules' else 'gate_id'} from marts.{mart}"
            ).fetchall()
        } <= {"t:g1", "t:p1"}
    assert con.execute("select entity, source_key, reason from marts.rejects order by all").fetchall() == [
        ("milestone_events", "g2-1", "deleted"),
        ("milestones", "g2", "deleted"),
    ]
    assert faults(con) == []
    then = world("2026-01-25T12:00:00", **records)  # before the deletion it stood
    assert one(then, "gates", "gate_id = 't:g2'")["status"] == "approved"
