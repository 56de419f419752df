"""A page as a file: what it holds, and that the text of records can neither run nor become markup."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from io import BytesIO

import polars as pl

from dashboard import export
from dashboard.export import Sheets, Table

ROWS = pl.DataFrame(
    {
        "client": ["=HYPERLINK(1)", "<script>alert(1)</script>"],
        "amount": [Decimal("12.50"), None],
        "count": [3, -4],
        "is_open": [True, False],
        "due_on": [date(2026, 6, 30), None],
        "approved_at": [datetime(2026, 6, 30, 12, 5), None],
    }
)


def sheets() -> Sheets:
    return Sheets(
        title="Billing",
        about=[("as of", "30 Jun 2026, 12:00 UTC"), ("filters", "@firm")],
        tiles=[("B10 Approved, not billed", "USD 2.02 M", "n = 131")],
        tables=[Table("Not billed: each [USD]/?", "Oldest first", ROWS), Table("Not billed: each  USD   ", "", ROWS)],
        definitions={"B10": ("Approved, not billed", "Approved less invoiced.", "Left out: 5 billed in full.")},
    )


def test_a_workbook_holds_definitions_filters_and_day_beside_the_rows() -> None:
    read = pl.read_excel(BytesIO(export.excel(sheets())), sheet_id=0)
    assert list(read)[:3] == ["About", "Definitions", "Tiles"]
    assert dict(read["About"].rows())["as of"] == "30 Jun 2026, 12:00 UTC"
    assert read["Definitions"].row(0) == (
        "B10", "Approved, not billed", "Approved less invoiced.", "Left out: 5 billed in full.",
    )  # fmt: skip
    rows = read[list(read)[3]]
    assert rows["amount"].to_list() == [12.5, None]
    assert rows["count"].to_list() == [3, -4]
    assert rows["due_on"].to_list() == [date(2026, 6, 30), None]
    assert rows["approved_at"].to_list() == [datetime(2026, 6, 30, 12, 5), None]


def test_two_tables_of_one_name_get_two_sheets() -> None:
    read = pl.read_excel(BytesIO(export.excel(sheets())), sheet_id=0)
    assert len(read) == 5
    assert all(len(name) <= 31 for name in read)


def test_text_that_starts_like_a_formula_is_neutralised_in_a_workbook() -> None:
    read = pl.read_excel(BytesIO(export.excel(sheets())), sheet_id=0)
    assert read[list(read)[3]]["client"][0] == "'=HYPERLINK(1)"
    assert dict(read["About"].rows())["filters"] == "'@firm"


def test_a_report_to_print_holds_tiles_and_tables_and_no_markup_of_records() -> None:
    page = export.page(sheets()).decode()
    assert "USD 2.02 M" in page
    assert "Approved less invoiced. Left out: 5 billed in full." in page
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "http" not in page  # it needs no other file


def test_a_long_table_is_cut_on_paper_and_says_so() -> None:
    long = Sheets(title="x", tables=[Table("Rows", "All.", pl.DataFrame({"n": list(range(500))}))])
    page = export.page(long).decode()
    assert page.count("<tr>") == 201
    assert "The first 200 of 500 rows." in page


def test_a_report_is_written_as_its_reader_writes_and_leaves_keys_out() -> None:
    rows = pl.DataFrame({"project_id": ["relay:prj_1"], "source_url": ["https://x"], "due_on": [date(2026, 6, 30)]})
    page = export.page(Sheets(title="x", format="de", tables=[Table("Rows", "", rows)])).decode()
    assert "30.06.2026" in page
    assert "prj_1" not in page
    export.page(sheets())  # sets the format back
