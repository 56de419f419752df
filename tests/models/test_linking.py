"""Which client is which across tools, and what an invoice line bills where its own tool is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pytest
from small_worlds import CLIENT, GATE, PROJECT, Rows, prepare, receive, small, unfold

from models.admission import StagedSource

pytestmark = pytest.mark.slow

METHODS = ("manual", "native", "field", "number", "text")
AS_OF = datetime(2026, 6, 30)
GATES = [
    {**GATE, "source_key": "g1", "number": "REB-1", "name": "Final"},
    {**GATE, "source_key": "g2", "number": "REB-12", "name": "Final assets delivered"},
    {**GATE, "source_key": "g3", "number": "WEB-1", "name": "Final", "project": "p2"},
]
SECOND = {**PROJECT, "source_key": "p2", "name": "Website"}
ORDER = {
    "source_key": "o1",
    "project": "p1",
    "number": "CO-7",
    "title": "Extra logo",
    "status": "approved",
    "requested_at": "2026-02-01T00:00:00Z",
}
INVOICE = {"source_key": "i1", "client": "9", "number": "2026-001", "status": "open", "issued_at": "2026-03-01T12:00:00Z", "currency": "USD", "total": "400.00"}  # fmt: skip
LINE = {"source_key": "l1", "invoice": "i1", "amount": "400.00"}


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with small() as opened:
        yield opened


def linked(
    con: duckdb.DuckDBPyConnection,
    *lines: dict[str, Any],
    methods: Sequence[str] = METHODS,
    pattern: str | None = None,
    manual: Sequence[tuple[str, str | None, str | None, str | None]] = (),
    invoice: dict[str, Any] = INVOICE,
    books: Rows = ({**CLIENT, "source_key": "9"},),
    names: Sequence[tuple[str, str]] = (),
    gates: Rows = GATES,
) -> list[tuple[Any, ...]]:
    """Gates in a tool, invoices in the books, one firm: (line, gate, change order, method, confidence) after staging."""
    prepare(con, sources=("tool", "books"))
    con.execute("update reference.sources set firm = 'Studio', position = case source when 'tool' then 0 else 1 end")
    for place, method in enumerate(methods):
        con.execute("insert into reference.link_methods values (?, ?, ?)", [place, method, pattern])
    for row, told in enumerate(manual, 2):
        con.execute("insert into reference.manual_links values (?, ?, ?, ?, ?)", [row, *told])
    for pair in names:
        con.execute("insert into reference.client_names values (?, ?)", pair)
    receive(
        con, "tool", {"clients": [CLIENT], "projects": [PROJECT, SECOND], "milestones": gates, "change_orders": [ORDER]}
    )
    receive(
        con, "books", {"clients": books, "invoices": [invoice], "invoice_lines": [{**LINE, **line} for line in lines]}
    )
    unfold(
        con, [StagedSource("tool", None, "raw_tool"), StagedSource("books", None, "raw_books")], "2026-06-30T00:00:00"
    )
    return con.execute(
        "select invoice_line_id, milestone_id, change_order_id, link_method, link_confidence from staging.invoice_lines order by 1"
    ).fetchall()


def bills(con: duckdb.DuckDBPyConnection, **told: Any) -> tuple[Any, ...]:
    """What one line bills, by which method and how surely."""
    given = {key: told.pop(key) for key in ("methods", "pattern", "manual", "invoice", "books", "names") if key in told}
    ((_, gate, order, method, confidence),) = linked(con, told, **given)
    return gate or order, method, confidence


def test_clients_of_one_name_in_two_tools_are_one(con: duckdb.DuckDBPyConnection) -> None:
    linked(con, {"reference": "REB-12"})
    assert con.execute("select client_id, current_client_id from marts.clients order by 1").fetchall() == [
        ("books:9", "tool:c1"),
        ("tool:c1", "tool:c1"),
    ]
    assert con.execute("select client_id, gate_id from marts.gate_billing").fetchall() == [("tool:c1", "tool:g2")]


def test_a_client_by_another_name_is_one_where_the_file_says_so(con: duckdb.DuckDBPyConnection) -> None:
    renamed = ({**CLIENT, "source_key": "9", "name": "Aster Holding, Inc."},)
    assert bills(con, reference="REB-12", books=renamed, names=[("ASTER HOLDING INC", "aster")])[0] == "tool:g2"


def test_a_client_of_another_name_is_another_and_bills_nothing_here(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, reference="REB-12", books=({**CLIENT, "source_key": "9", "name": "Birch"},)) == (None, None, None)


def test_two_clients_of_one_name_in_one_tool_stay_two(con: duckdb.DuckDBPyConnection) -> None:
    linked(con, {}, books=({**CLIENT, "source_key": "9"}, {**CLIENT, "source_key": "10"}))
    assert con.execute("select count(distinct current_client_id) from marts.clients").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("project", "means"),
    [(" WEBSITE!", "tool:p2"), ("tool:p2", "tool:p2"), ("Shop", "books:Shop"), ("", None), (None, None)],
)
def test_a_bill_that_names_its_project_means_the_one_of_that_name(
    con: duckdb.DuckDBPyConnection, project: str | None, means: str | None
) -> None:
    found = bills(con, reference="Final", invoice={**INVOICE, "project": project})
    assert found == (("tool:g3", "field", 0.9) if means == "tool:p2" else (None, None, None))  # two gates are Final
    assert con.execute("select project_id from staging.invoices").fetchall() == [(means,)]


def test_a_name_that_two_projects_go_by_is_none_of_them(con: duckdb.DuckDBPyConnection) -> None:
    twins = [{**SECOND, "source_key": "p3"}, {**SECOND, "source_key": "p4"}]
    prepare(con, sources=("tool", "books"))
    con.execute("update reference.sources set firm = 'Studio'")
    receive(con, "tool", {"clients": [CLIENT], "projects": twins})
    receive(con, "books", {"clients": [CLIENT], "invoices": [{**INVOICE, "client": "c1", "project": "Website"}]})
    unfold(con, [StagedSource("tool", None, "raw_tool"), StagedSource("books", None, "raw_books")], "2026-06-30")
    assert con.execute("select project_id from staging.invoices").fetchall() == [("books:Website",)]


@pytest.mark.parametrize("reference", ["tool:g2", "g2", "reb-12 ", "REB-12"])
def test_a_field_that_names_a_gates_key_or_number_links_it(con: duckdb.DuckDBPyConnection, reference: str) -> None:
    assert bills(con, reference=reference) == ("tool:g2", "field", 0.95)


def test_an_invoice_of_one_line_that_a_gate_names_bills_that_gate(con: duckdb.DuckDBPyConnection) -> None:
    gates = [{**GATES[0], "invoice": " 2026-001 "}, *GATES[1:]]
    assert linked(con, {"description": "Second half"}, gates=gates) == [("books:l1", "tool:g1", None, "field", 0.95)]


def test_an_invoice_that_a_gate_names_decides_nothing_between_several_lines(con: duckdb.DuckDBPyConnection) -> None:
    gates = [{**GATES[0], "invoice": "2026-001"}, *GATES[1:]]
    lines = ({"source_key": "l1", "description": "For REB-12"}, {"source_key": "l2", "description": "Travel"})
    assert [row[1] for row in linked(con, *lines, gates=gates)] == ["tool:g2", None]


def test_an_invoice_that_several_gates_name_bills_none_of_them(con: duckdb.DuckDBPyConnection) -> None:
    gates = [{**gate, "invoice": "2026-001"} for gate in GATES]
    assert linked(con, {"description": "Both"}, gates=gates) == [("books:l1", None, None, None, None)]


def test_a_field_that_holds_a_gates_name_links_it_less_surely(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, reference="Final Assets - delivered") == ("tool:g2", "field", 0.9)


def test_a_name_that_two_projects_have_links_nothing_unless_the_project_is_told(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, reference="final") == (None, None, None)


def test_the_invoices_project_decides_between_gates_of_one_name(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, reference="final", invoice={**INVOICE, "project": "tool:p2"})[0] == "tool:g3"


def test_a_number_is_found_as_a_word_and_not_within_another(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, description="Milestone REB-12, second half") == ("tool:g2", "number", 0.85)


def test_a_number_of_a_change_order_bills_the_change_order(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, description="Per co-7") == ("tool:o1", "number", 0.85)


def test_a_pattern_says_what_numbers_look_like(con: duckdb.DuckDBPyConnection) -> None:
    told = {"description": "Ref:XREB-1Y", "methods": ("number",)}
    assert bills(con, **told, pattern="REB-[0-9]+")[0] == "tool:g1"


def test_the_longest_name_in_the_text_counts(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, description="Invoice for: final assets delivered.") == ("tool:g2", "text", 0.6)


def test_the_projects_name_in_the_text_decides_between_gates_of_one_name(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, description="Website, final") == ("tool:g3", "text", 0.6)


def test_a_text_that_names_two_gates_alike_links_neither(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, description="final") == (None, None, None)


def test_what_the_tool_links_itself_stands_before_what_words_say(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, milestone="tool:g1", reference="REB-12") == ("tool:g1", "native", 1.0)


def test_a_link_made_by_hand_outranks_the_tools_own(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, milestone="tool:g1", manual=[("2026-001", None, "REB-12", None)]) == ("tool:g2", "manual", 1.0)


def test_the_order_of_the_settings_decides(con: duckdb.DuckDBPyConnection) -> None:
    order = ("native", "text", "manual")
    told = {"description": "final assets delivered", "manual": [("2026-001", None, "REB-1", None)]}
    assert bills(con, methods=order, **told)[:2] == ("tool:g2", "text")


def test_a_method_that_is_left_out_is_not_tried(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, methods=("native", "field"), description="REB-12") == (None, None, None)


def test_a_hand_made_link_to_one_line_outranks_that_of_the_invoice(con: duckdb.DuckDBPyConnection) -> None:
    hand = [("books:i1", None, "tool:g1", None), ("books:i1", "l2", None, "CO-7")]
    rows = linked(con, {"source_key": "l1"}, {"source_key": "l2"}, manual=hand)
    assert [(line, gate or order) for line, gate, order, *_ in rows] == [
        ("books:l1", "tool:g1"),
        ("books:l2", "tool:o1"),
    ]


APPROVED = {"milestone_events": [
    {"source_key": "e1", "milestone": "g2", "type": "approved", "occurred_at": "2026-02-01T12:00:00Z", "origin": "log"},
]}  # fmt: skip
SUGGESTED = "select invoice_line_id, client, suggested_gate_id, fitting_gate_count from marts.unlinked_lines"


def test_what_is_linked_to_nothing_stands_on_the_worklist_with_the_gate_its_amount_fits(
    con: duckdb.DuckDBPyConnection,
) -> None:
    receive(con, "tool", APPROVED)
    linked(con, {"description": "As agreed"})
    assert con.execute(SUGGESTED).fetchall() == [("books:l1", "Aster", "tool:g2", 1)]


def test_a_gate_of_another_client_is_not_suggested_whatever_it_comes_to(con: duckdb.DuckDBPyConnection) -> None:
    receive(con, "tool", APPROVED)
    linked(con, {"description": "As agreed"}, books=({**CLIENT, "source_key": "9", "name": "Asters"},))
    assert con.execute(SUGGESTED).fetchall() == [("books:l1", "Asters", None, 0)]


def test_a_line_that_somebody_said_bills_nothing_leaves_the_worklist(con: duckdb.DuckDBPyConnection) -> None:
    assert bills(con, description="Hosting", manual=[("2026-001", None, "none", None)]) == (None, "manual", 1.0)
    assert con.execute("select count(*) from marts.unlinked_lines").fetchall() == [(0,)]


def test_a_linked_line_is_not_on_the_worklist(con: duckdb.DuckDBPyConnection) -> None:
    linked(con, {"reference": "REB-12"})
    assert con.execute("select count(*) from marts.unlinked_lines").fetchall() == [(0,)]
