"""Files of every kind become tables of text that say where each row stands, or a message that says what to mend."""

from __future__ import annotations

import datetime as dt
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import polars as pl
import pytest
import xlsxwriter

from models.faults import Fault
from pipelines import pulling
from pipelines.pulling import pull
from pipelines.settings import Settings
from pipelines.sources import files
from pipelines.sources.files import Whole, tables

NOW = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
Rows = list[dict[str, Any]]


def house(data: Path, max_megabytes: int = 256, **configured: dict[str, Any]) -> Settings:
    """Settings of one files source `books` over the inbox of a data folder."""
    inbox = data / "inbox"
    inbox.mkdir(exist_ok=True)
    block = {"kind": "files", "firm": "Own books", "max_megabytes": max_megabytes, "tables": configured}
    return Settings.model_validate({"data": data, "sources": {"books": block}})


def put(data: Path, name: str, content: str | bytes) -> Path:
    file = data / "inbox" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def read(data: Path, **table: Any) -> Rows:
    return tables("books", house(data, clients=table), {})["clients"].read().to_dicts()


def refusal(data: Path, **table: Any) -> str:
    with pytest.raises(Fault) as caught:
        read(data, **table)
    return str(caught.value)


def test_a_csv_becomes_text_with_clean_names_and_places(tmp_path: Path) -> None:
    put(tmp_path, "clients.csv", "\ufeffClient Name,clientID,Amount ($),,amount\nAda,007,1.50,x,2\n\n,,,,\nBo,8,,,\n")
    assert read(tmp_path, glob="*.csv") == [
        {"client_name": "Ada", "client_id": "007", "amount": "1.50", "column_4": "x", "amount_2": "2",
         "_file": "inbox/clients.csv", "_row": "2"},
        {"client_name": "Bo", "client_id": "8", "amount": None, "column_4": None, "amount_2": None,
         "_file": "inbox/clients.csv", "_row": "5"},
    ]  # fmt: skip


def test_a_quoted_field_may_hold_line_breaks_quotes_and_the_delimiter(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", 'id,note\r\n1,"two\r\nlines, and ""quotes"""\r\n2,plain\r\n')
    rows = read(tmp_path, glob="a.csv")
    assert [(one["note"], one["_row"]) for one in rows] == [('two\r\nlines, and "quotes"', "2"), ("plain", "3")]


def test_encoding_delimiter_null_tokens_header_row_and_rename_are_declared(tmp_path: Path) -> None:
    text = "Export vom 4.3.\n\nNr;Größe;Wert\n1;groß;n/a\n2;klein;- \n"
    put(tmp_path, "a.csv", text.encode("cp1252"))
    table = {"glob": "a.csv", "encoding": "cp1252", "delimiter": ";", "null_values": ["n/a", "-"], "header_row": 3}
    rows = read(tmp_path, **table, rename={"Nr": "id", "größe": "size"})
    assert [(one["id"], one["size"], one["wert"], one["_row"]) for one in rows] == [
        ("1", "groß", None, "4"),
        ("2", "klein", None, "5"),
    ]


def test_a_utf_16_file_is_read(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,name\n1,Zoë\n".encode("utf-16"))
    assert read(tmp_path, glob="a.csv", encoding="utf-16")[0]["name"] == "Zoë"


def test_a_header_without_rows_is_a_table_without_rows(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "id,name\n")
    frame = tables("books", house(tmp_path, clients={"glob": "a.csv"}), {})["clients"].read()
    assert (frame.height, frame.columns) == (0, ["id", "name", "_file", "_row"])
    assert set(frame.dtypes) == {pl.String}


def test_excel_dates_numbers_and_rows_are_written_as_a_person_sees_them(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    book = xlsxwriter.Workbook(tmp_path / "inbox" / "book.xlsx")
    book.add_worksheet("Read me")
    sheet = book.add_worksheet("Data")
    day, moment = book.add_format({"num_format": "dd/mm/yyyy"}), book.add_format({"num_format": "dd/mm/yyyy hh:mm"})
    sheet.write_row(1, 0, ["Id", "Due", "Seen", "Amount", "Paid", "Code"])
    sheet.write_row(3, 0, [1])
    sheet.write_datetime(3, 1, dt.datetime(2026, 1, 5), day)
    sheet.write_datetime(3, 2, dt.datetime(2026, 1, 5, 13, 5), moment)
    sheet.write_row(3, 3, [100.0, True, "007"])
    sheet.write_row(4, 0, [2, None, None, 0.1, False, "n/a"])
    book.close()
    rows = read(tmp_path, glob="*.xlsx", sheet="Data", header_row=2, null_values=["n/a"])
    place = {"_file": "inbox/book.xlsx"}
    assert rows == [
        {"id": "1", "due": "2026-01-05", "seen": "2026-01-05T13:05:00", "amount": "100", "paid": "true", "code": "007",
         **place, "_row": "4"},
        {"id": "2", "due": None, "seen": None, "amount": "0.1", "paid": "false", "code": None, **place, "_row": "5"},
    ]  # fmt: skip


def test_parquet_values_become_text_without_losing_digits_or_zones(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    moment = dt.datetime(2026, 1, 5, 13, 5, tzinfo=dt.UTC)
    frame = pl.DataFrame({
        "Id": [1, 2], "Amount": [Decimal("12500.00"), None], "share": [25.0, 12.5], "day": [dt.date(2026, 1, 5), None],
        "at": pl.Series([moment, None]).dt.convert_time_zone("Asia/Tokyo"), "ok": [True, None],
        "tags": [["a", "b"], None],
    })  # fmt: skip
    frame.write_parquet(tmp_path / "inbox" / "a.parquet")
    first, second = read(tmp_path, glob="*.parquet")
    assert first == {"id": "1", "amount": "12500.00", "share": "25", "day": "2026-01-05", "at": "2026-01-05T13:05:00Z",
                     "ok": "true", "tags": '["a", "b"]', "_file": "inbox/a.parquet", "_row": "1"}  # fmt: skip
    assert (second["share"], second["amount"], second["ok"], second["_row"]) == ("12.5", None, None, "2")


def test_json_lines_may_differ_in_their_fields(tmp_path: Path) -> None:
    put(
        tmp_path, "a.jsonl", '{"id": 1, "amount": 12500.00, "ok": true}\n\n{"id": 2, "of": {"name": "Zoë", "n": 1.5}}\n'
    )
    place = {"_file": "inbox/a.jsonl"}
    assert read(tmp_path, glob="*.jsonl") == [
        {"id": "1", "amount": "12500.00", "ok": "true", "of": None, **place, "_row": "1"},
        {"id": "2", "amount": None, "ok": None, "of": '{"name": "Zoë", "n": 1.5}', **place, "_row": "3"},
    ]


def test_several_files_make_one_table_and_half_copied_ones_wait(tmp_path: Path) -> None:
    put(tmp_path, "2025/a.csv", "id,name\n1,Ada\n")
    put(tmp_path, "2026/a.csv", "id,town\n2,Oslo\n")
    for name in (".hidden.csv", "~$a.csv", "b.csv.part", "b.csv.tmp", "b.csv.crdownload", "b.csv~"):
        put(tmp_path, f"2026/{name}", "id\n3\n")
    rows = read(tmp_path, glob="**/*.csv*", format="csv")
    assert [(one["id"], one["name"], one["town"], one["_file"]) for one in rows] == [
        ("1", "Ada", None, "inbox/2025/a.csv"),
        ("2", None, "Oslo", "inbox/2026/a.csv"),
    ]


@pytest.mark.parametrize(
    ("content", "table", "told"),
    [
        (b"", {}, "a.csv: the file is empty."),
        (b"\n\n", {}, "a.csv: row 1 is no header: it is blank or not there. Set header_row"),
        (b"id,n\n1,2\n", {"header_row": 9}, "a.csv: row 9 is no header"),
        (b"PK\x03\x04rest", {}, "a.csv: is no CSV but an Excel or zip file. Set format"),
        (b"id,n\n1,\x00\x01\n", {}, "a.csv: is no CSV: it holds bytes that are no text."),
        (b"<!DOCTYPE html><html>Log in</html>", {}, "a.csv: is no CSV but a web page."),
        (b"id,n\n1,2\n2,2,3\n3\n", {}, "a.csv, row 3: has 3 fields where the header has 2."),
        (b"id,n\n1,2\n2,2,3\n3\n", {}, "a.csv, row 4: has 1 fields where the header has 2."),
        ("id,n\n1,2\n2,é\n".encode("latin-1"), {}, "a.csv: line 3, byte 11: 0xe9 is not utf-8. Set encoding"),
        (b"id,n\n", {"encoding": "utf-9"}, "a.csv: the encoding 'utf-9' is not known."),
        (b'id,n\n1,"open\n2,3\n', {}, "a.csv: row 2 (line 3) is not CSV: unexpected end of data."),
        (b"id;n\n1;2\n", {}, "a.csv: its header is one column with ';' in it. Set delimiter to ';'."),
        (b"\xef\xbb\xbfid;n\n1;2\n", {}, "a.csv: its header is one column with ';' in it. Set delimiter to ';'."),
        (
            b"\xef\xbb\xbfNr;Name, Vorname;n\n1;Ida, Q;2\n2;Ben;3\n",
            {},
            "a.csv, row 3: has 1 fields where the header has 2. Set delimiter to ';', which its header holds 2 times.",
        ),
        (
            b"sep=;\nid;n\n1;2\n",
            {},
            "a.csv: row 1 only says which delimiter follows (sep=;). Set delimiter to ';' and header_row to 2.",
        ),
        (b"sep=;\nid;n\n1;2\n", {"delimiter": ";"}, "Set delimiter to ';' and header_row to 2."),
        (
            b"\xef\xbb\xbfid;n\n1;2\n",
            {"delimiter": ";", "encoding": "cp1252"},
            "a.csv: begins with the byte order mark of utf-8, but is read as cp1252. Set encoding to 'utf-8'.",
        ),
        (
            "id,n\n1,2\n".encode("utf-16"),
            {},
            "a.csv: begins with the byte order mark of utf-16, but is read as utf-8. Set encoding to 'utf-16'.",
        ),
        (
            b"id,n\n" + b"1,2\n" * 50_000 + b"2,\xe9\n",
            {},
            "a.csv: line 50002, byte 200007: 0xe9 is not utf-8. Set encoding",
        ),
        (b"id,n\n" + b"x" * 65_530 + "é,".encode() + b"\xe9\n", {}, "a.csv: line 2, byte 65538: 0xe9 is not utf-8."),
        (b"id,n\n1,\xc3", {}, "a.csv: ends in the middle of a letter of utf-8. Copy it again, whole."),
        (b"id,n\n1,2\n", {"delimiter": "||"}, "a.csv: the delimiter '||' is not one character."),
        (b"id,n\n1,2\n", {"rename": {"x": "y"}}, "a.csv: rename names the column 'x', which the file does not have."),
        (b"id,n\n1,2\n", {"rename": {"n": "id"}}, "a.csv: rename gives the name 'id' to two columns."),
        (b"id,n\n1,2\n", {"key": ["nr"]}, "table clients: the key names the column 'nr', which no file has."),
        (b"id,n\n1,2\n", {"format": "excel"}, "a.csv: is no Excel file"),
        (b"id,n\n1,2\n", {"format": "parquet"}, "a.csv: is no whole Parquet file"),
        (b'{"a": 1}\n{"a": \n', {"format": "jsonl"}, "a.csv, line 2: is not JSON"),
        (b'{"a": 1}\n[1]\n', {"format": "jsonl"}, "a.csv, line 2: is not a JSON object."),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_row_and_cure(
    tmp_path: Path, content: bytes, table: dict[str, Any], told: str
) -> None:
    put(tmp_path, "a.csv", content)
    assert told in refusal(tmp_path, glob="a.csv", **table)


def test_what_is_not_there_is_said_before_anything_is_read(tmp_path: Path) -> None:
    assert "source books, table clients: no file matches 'x*.csv' in" in refusal(tmp_path, glob="x*.csv")
    assert "the glob '/etc/*' is not one" in refusal(tmp_path, glob="/etc/*")
    put(tmp_path, "a.dat", "id\n1\n")
    assert "a.dat: the ending '.dat' does not say what it is." in refusal(tmp_path, glob="a.dat")
    gone = house(tmp_path, clients={"glob": "*"}).model_copy(update={"data": tmp_path / "gone"})
    with pytest.raises(Fault, match=r"the folder .*gone/inbox does not exist"):
        tables("books", gone, {})


def test_a_sheet_that_is_missing_is_named_beside_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    book = xlsxwriter.Workbook(tmp_path / "inbox" / "a.xlsx")
    book.add_worksheet("Jan")
    book.close()
    assert "inbox/a.xlsx: has no sheet 'Feb'. Set sheet to one of: Jan." in refusal(
        tmp_path, glob="a.xlsx", sheet="Feb"
    )
    assert "row 1 is no header" in refusal(tmp_path, glob="a.xlsx")


class TestMergedHeaders:
    """Headers of an Excel file whose cells are merged: read where the names are plain, else told by cell."""

    @staticmethod
    def book(data: Path, merged: dict[str, str], *rows: list[Any]) -> None:
        """A sheet of rows from A1 on, some of its cells merged under a name."""
        (data / "inbox").mkdir(exist_ok=True)
        with xlsxwriter.Workbook(data / "inbox" / "a.xlsx") as book:
            book.add_worksheet("Cover").merge_range("A1:Z1", "Not this one")
            sheet = book.add_worksheet("Data & more")
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
            for cells, name in merged.items():
                sheet.merge_range(cells, name)

    def test_a_name_over_several_columns_is_told_with_its_cells(self, tmp_path: Path) -> None:
        self.book(tmp_path, {"B1:C1": "Amount"}, ["Client"], ["Ada", 1, 2])
        told = refusal(tmp_path, glob="a.xlsx", sheet="Data & more")
        assert "inbox/a.xlsx: row 1: 'Amount' stands in merged cells (B1:C1): C have no name." in told
        assert "Set header_row to the row that names every column, or split the cell and name each." in told

    def test_a_title_over_the_table_is_no_header(self, tmp_path: Path) -> None:
        self.book(tmp_path, {"A1:C1": "March"}, [], ["Client", "Net", "Gross"], ["Ada", 1, 2])
        assert "'March' stands in merged cells (A1:C1): B, C have no name." in refusal(
            tmp_path, glob="a.xlsx", sheet="Data & more"
        )
        (row,) = read(tmp_path, glob="a.xlsx", sheet="Data & more", header_row=2)
        assert (row["client"], row["net"], row["gross"]) == ("Ada", "1", "2")

    def test_a_name_that_reaches_down_to_the_header_is_read(self, tmp_path: Path) -> None:
        merged = {"A1:A2": "Client", "B1:C1": "Amount"}
        self.book(tmp_path, merged, [], ["", "Net", "Gross"], ["Ada", 1, 2])
        assert "'Amount' stands in merged cells" in refusal(tmp_path, glob="a.xlsx", sheet="Data & more")
        (row,) = read(tmp_path, glob="a.xlsx", sheet="Data & more", header_row=2)
        assert (row["client"], row["net"], row["gross"], row["_row"]) == ("Ada", "1", "2", "3")

    def test_a_header_that_goes_on_below_is_told(self, tmp_path: Path) -> None:
        self.book(tmp_path, {"A1:A2": "Client"}, ["", "Amount"], ["", "EUR"], ["Ada", 1])
        told = refusal(tmp_path, glob="a.xlsx", sheet="Data & more")
        assert "row 1: the header goes on in row 2, since A1:A2 are one cell. Set header_row to 2, or split" in told

    def test_a_header_of_two_rows_that_names_each_column_once_is_read(self, tmp_path: Path) -> None:
        self.book(
            tmp_path, {"A1:A2": "Client", "B1:B2": "Amount", "A4:B4": "Ada Ltd"}, [], [], ["Bo", 1], [], ["Cy", 3]
        )
        rows = read(tmp_path, glob="a.xlsx", sheet="Data & more")
        assert [(row["client"], row["amount"]) for row in rows] == [("Bo", "1"), ("Ada Ltd", None), ("Cy", "3")]


class TestLargeFiles:
    """What would not fit into memory is not read; what is read is read piece by piece."""

    def test_two_gigabytes_are_refused_before_they_are_read(self, tmp_path: Path) -> None:
        with put(tmp_path, "old.csv", "id\n1\n").open("ab") as file:
            file.truncate(2_048_000_000)  # a hole: nothing of it is written
        put(tmp_path, "new.csv", "id\n2\n")
        told = refusal(tmp_path, glob="*.csv")
        assert told.startswith(
            "source books, table clients: holds 2,048 MB unpacked, more than the 256 MB that are read."
        )
        assert "The largest is inbox/old.csv. Take old files away, export fewer rows" in told
        assert "raise max_megabytes in the block of the source: reading takes about 7 times as much memory." in told

    def test_files_count_together_and_the_settings_say_how_much(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            put(tmp_path, name, "id\n" + "1234567\n" * 80_000)
        assert len(tables("books", house(tmp_path, 2, clients={"glob": "*.csv"}), {})["clients"].read()) == 160_000
        with pytest.raises(Fault, match=r"holds 1 MB unpacked, more than the 1 MB that are read"):
            tables("books", house(tmp_path, 1, clients={"glob": "*.csv"}), {})["clients"].read()

    @pytest.mark.parametrize("ending", ["xlsx", "parquet"])
    def test_packed_files_count_by_what_they_unpack_to(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / "inbox").mkdir()
        frame = pl.DataFrame({"id": [f"{number:060}" for number in range(30_000)]})
        file = tmp_path / "inbox" / f"a.{ending}"
        frame.write_parquet(file) if ending == "parquet" else frame.write_excel(file)
        assert file.stat().st_size < 1_000_000
        with pytest.raises(Fault, match="MB unpacked, more than the 1 MB that are read"):
            tables("books", house(tmp_path, 1, clients={"glob": f"a.{ending}"}), {})["clients"].read()
        assert len(tables("books", house(tmp_path, clients={"glob": f"a.{ending}"}), {})["clients"].read()) == 30_000

    @pytest.mark.parametrize("ending", ["csv", "jsonl"])
    def test_no_file_is_held_whole_beside_its_table(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
    ) -> None:
        monkeypatch.setattr(files, "CHUNK_ROWS", 100)
        line = "x" * 990 if ending == "csv" else json.dumps({"id": "x" * 980})
        put(tmp_path, f"a.{ending}", ("id\n" if ending == "csv" else "") + f"{line}\n" * 8_000)
        tracemalloc.start()
        try:
            frame = tables("books", house(tmp_path, clients={"glob": f"a.{ending}"}), {})["clients"].read()
            peak = tracemalloc.get_traced_memory()[1]  # of Python's own objects; the table is none
        finally:
            tracemalloc.stop()
        assert frame.height == 8_000
        assert peak < 3_000_000


def test_a_file_that_changes_while_it_is_read_is_not_taken(tmp_path: Path) -> None:
    file = put(tmp_path, "a.csv", "id\n1\n")
    found = tables("books", house(tmp_path, clients={"glob": "a.csv"}), {})
    file.write_text("id\n1\n2\n")
    with pytest.raises(Fault, match="changed while it was read"):
        found["clients"].read()


class TestPulled:
    """Tables in the warehouse follow the files."""

    @staticmethod
    def rows(data: Path, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(data / "warehouse.duckdb")) as con:
            return con.sql(query).fetchall()

    def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(self, tmp_path: Path) -> None:
        settings = house(tmp_path, clients={"glob": "c*.csv"}, projects={"glob": "p.csv"})
        put(tmp_path, "c1.csv", "id,recorded_at\n1,2026-03-01T10:00:00+02:00\n")
        put(tmp_path, "c2.csv", "id,extra\n2,x\n")
        put(tmp_path, "p.csv", "id\n7\n")
        first = pull(settings, "books", NOW)
        again = pull(settings, "books", NOW)
        assert (first.changed, dict(first.rows)) == (True, {"clients": 2, "projects": 1})
        assert (again.changed, dict(again.rows)) == (False, {"clients": 0, "projects": 0})
        assert again.newest_recorded_at == dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC)
        (tmp_path / "inbox" / "c2.csv").unlink()
        assert dict(pull(settings, "books", NOW).rows) == {"clients": 1, "projects": 0}
        assert self.rows(tmp_path, "select * from raw_books.clients") == [
            ("1", "2026-03-01T10:00:00+02:00", "inbox/c1.csv", "2")
        ]

    def test_another_setting_of_the_table_reads_the_same_file_anew(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "Nr\n1\n")
        pull(house(tmp_path, clients={"glob": "a.csv"}), "books", NOW)
        assert pull(house(tmp_path, clients={"glob": "a.csv", "rename": {"Nr": "id"}}), "books", NOW).changed
        assert self.rows(tmp_path, "select id from raw_books.clients") == [("1",)]

    def test_a_table_no_longer_configured_is_gone(self, tmp_path: Path) -> None:
        put(tmp_path, "a.csv", "id\n1\n")
        pull(house(tmp_path, clients={"glob": "a.csv"}, projects={"glob": "a.csv"}), "books", NOW)
        assert pull(house(tmp_path, clients={"glob": "a.csv"}), "books", NOW).changed
        query = "select table_name from information_schema.tables where table_schema = 'raw_books'"
        assert self.rows(tmp_path, query) == [("clients",)]

    def test_a_broken_file_leaves_the_last_good_tables_and_is_noted(self, tmp_path: Path) -> None:
        settings = house(tmp_path, clients={"glob": "a.csv"}, projects={"glob": "b.csv"})
        put(tmp_path, "a.csv", "id\n1\n")
        put(tmp_path, "b.csv", "id\n1\n")
        pull(settings, "books", NOW)
        put(tmp_path, "a.csv", "id\n2\n")
        put(tmp_path, "b.csv", "id\n2,3\n")
        with pytest.raises(Fault, match=r"inbox/b.csv, row 2"):
            pull(settings, "books", NOW)
        assert self.rows(
            tmp_path, "from (select id from raw_books.clients union all select id from raw_books.projects)"
        ) == [("1",), ("1",)]
        noted = self.rows(tmp_path, "select source, kind, firm, outcome, row_count, message from ops.pulls")
        assert noted[0] == ("books", "files", "Own books", "ok", 2, None)
        assert noted[1][:5] == ("books", "files", "Own books", "failed", 0)
        assert "inbox/b.csv, row 2" in noted[1][5]

    def test_tables_are_replaced_together_or_not_at_all(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = house(tmp_path, clients={"glob": "a.csv"})

        def tables_of(clients: pl.DataFrame, projects: pl.DataFrame) -> None:
            given = {"clients": clients, "projects": projects}
            made = {name: Whole(str(id(frame)), lambda frame=frame: frame) for name, frame in given.items()}
            monkeypatch.setattr(pulling, "kind", lambda _: SimpleNamespace(tables=lambda *_: made))

        tables_of(pl.DataFrame({"id": ["1"]}), pl.DataFrame({"id": ["1"]}))
        pull(settings, "books", NOW)
        tables_of(pl.DataFrame({"id": ["2"]}), pl.DataFrame())  # a table without a column cannot be made
        with pytest.raises(duckdb.Error):
            pull(settings, "books", NOW)
        assert self.rows(tmp_path, "select id from raw_books.clients") == [("1",)]

    def test_all_raw_columns_are_text(self, tmp_path: Path) -> None:
        put(tmp_path, "a.jsonl", json.dumps({"id": 1, "ok": True, "none": None, "x": 1.5}))
        pull(house(tmp_path, clients={"glob": "a.jsonl"}), "books", NOW)
        query = "select distinct data_type from information_schema.columns where table_schema = 'raw_books'"
        assert self.rows(tmp_path, query) == [("VARCHAR",)]
