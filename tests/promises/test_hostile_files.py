"""A file that somebody drops stays in its folder, and one that would burst the machine is refused before it is opened."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import fastexcel
import polars as pl
import pytest
import xlsxwriter

from models.faults import Fault
from pipelines import inbox
from pipelines import settings as milepost_settings
from pipelines.settings import Settings
from pipelines.sources import files

SHEET = (
    '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
    "<sheetData>{rows}</sheetData></worksheet>"
)
ROW = '<row r="{row}"><c r="{cell}" t="inlineStr"><is><t>name</t></is></c></row>'
CELL = '<c{} t="inlineStr"><is><t>name</t></is></c>'
OPEN_ROW = "<table:table-row{}><table:table-cell office:value-type='string'{}><text:p>{}</text:p></table:table-cell></table:table-row>"
EMPTY_ROWS = (
    "<table:table-row table:number-rows-repeated='1000000'>"
    "<table:table-cell table:style-name='s' table:number-columns-repeated='16384'/></table:table-row>"
)


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of one files source that reads what a glob finds in the inbox, at most so many megabytes."""

    def make(glob: str = "*", most: int = 4) -> Settings:
        (tmp_path / "data" / "inbox").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "milepost.toml").write_text(
            f'[sources.sheet]\nkind = "files"\nmax_megabytes = {most}\n[sources.sheet.tables.clients]\nglob = "{glob}"\n'
        )
        return milepost_settings.load(tmp_path / "data")

    return make


def dropped(settings: Settings) -> Path:
    return settings.data / "inbox"


def read(settings: Settings) -> pl.DataFrame:
    return files.tables("sheet", settings, {})["clients"].read()


def refused(settings: Settings) -> str:
    with pytest.raises(Fault) as caught:
        read(settings)
    return str(caught.value)


@pytest.fixture
def unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader may open a file: whatever is refused must be refused before."""

    def opened(path: object, *_: object, **__: object) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(fastexcel, "read_excel", opened)
    monkeypatch.setattr(pl, "read_parquet", opened)


# --- out of the folder --------------------------------------------------------------------------------------


@pytest.mark.parametrize("glob", ["../*.csv", "../../*.csv", "sub/../../*.csv"])
def test_a_glob_cannot_climb_out_of_the_folder(told: Callable[..., Settings], tmp_path: Path, glob: str) -> None:
    settings = told(glob)
    (dropped(settings) / "sub").mkdir()
    for place in (tmp_path / "data", tmp_path):
        (place / "secret.csv").write_text("name\nsecret\n")
    assert "leads out of the folder" in refused(settings)
    assert inbox.fingerprint(settings) == ""


def test_an_absolute_glob_is_none(told: Callable[..., Settings], tmp_path: Path) -> None:
    assert "is not one" in refused(told(f"{tmp_path}/*.csv"))


@pytest.mark.parametrize("how", ["a link", "a link through a folder", "a relative link"])
def test_a_link_that_leads_out_of_the_folder_is_refused(
    told: Callable[..., Settings], tmp_path: Path, how: str
) -> None:
    settings = told("**/*.csv")
    (tmp_path / "outside").mkdir()
    secret = tmp_path / "outside" / "secret.csv"
    secret.write_text("name\nsecret\n")
    if how == "a link through a folder":
        (dropped(settings) / "sub").symlink_to(tmp_path / "outside", target_is_directory=True)
        settings = told("sub/*.csv")
    else:
        target = secret if how == "a link" else Path("../../outside/secret.csv")
        (dropped(settings) / "here.csv").symlink_to(target)
    said = refused(settings)
    assert "leads out of the folder" in said
    assert "source sheet, table clients" in said
    before = inbox.fingerprint(settings)
    secret.write_text("name\nanother secret\n")
    assert inbox.fingerprint(settings) == before, "nor is it looked at"


def test_a_link_within_the_folder_and_a_folder_that_is_a_link_are_read(
    told: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = told("*.csv")
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "clients.csv").write_text("name\nAster\n")
    (real / "also.csv").symlink_to(real / "clients.csv")
    dropped(settings).rmdir()
    dropped(settings).symlink_to(real, target_is_directory=True)
    assert read(settings)["name"].to_list() == ["Aster", "Aster"]


def test_what_is_no_file_is_not_waited_for(told: Callable[..., Settings]) -> None:
    settings = told("*.csv")
    os.mkfifo(dropped(settings) / "pipe.csv")
    (dropped(settings) / "endless.csv").symlink_to("/dev/zero")
    assert "no file matches" in refused(settings)


@pytest.mark.parametrize(
    "name",
    [b"a\nERROR forged line.csv", b"a\x1b[31m.csv", "a\u202egpj.csv".encode(), b"a\xff\xfe.csv", b"=cmd|' calc'!A1.csv",
     b"-rf.csv", "naïve 🦊.csv".encode(), b"<img src=x onerror=alert(1)>.csv", b"a'; drop table clients;--.csv"],
)  # fmt: skip
def test_odd_names_of_files_are_read_and_named_in_one_printable_line(
    told: Callable[..., Settings], name: bytes
) -> None:
    settings = told("*.csv")
    path = os.fsencode(dropped(settings)) + b"/" + name
    with open(path, "wb") as stream:
        stream.write(b"name\nAster\n")
    frame = read(settings)
    (label,) = frame["_file"].to_list()
    assert frame["name"].to_list() == ["Aster"]
    assert label.isprintable()
    assert inbox.fingerprint(settings)
    with open(path, "wb") as stream:
        stream.write(b'name\n"Aster\n')
    assert refused(settings).isprintable()


# --- bombs --------------------------------------------------------------------------------------------------


def workbook(path: Path, parts: dict[str, bytes]) -> Path:
    """A workbook of one sheet, in which some parts are others."""
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("Sheet1").write_string(0, 0, "name")
    with zipfile.ZipFile(path) as made:
        whole = {name: made.read(name) for name in made.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in {**whole, **parts}.items():
            book.writestr(name, content)
    return path


def open_document(path: Path, *tables: str) -> Path:
    """An .ods of tables of such rows."""
    oasis = "urn:oasis:names:tc:opendocument:xmlns"
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    spaces = "".join(f' xmlns:{name}="{oasis}:{name}:1.0"' for name in ("office", "table", "text"))
    told = "".join(f'<table:table table:name="T{n}">{rows}</table:table>' for n, rows in enumerate(tables))
    body = f"<office:body><office:spreadsheet>{told}</office:spreadsheet></office:body>"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr(zipfile.ZipInfo("mimetype"), kind)
        book.writestr("META-INF/manifest.xml", f"<m:manifest xmlns:m='{oasis}:manifest:1.0'/>")
        book.writestr(
            "content.xml", f"<?xml version='1.0'?><office:document-content{spaces}>{body}</office:document-content>"
        )
    return path


def test_a_workbook_that_unpacks_to_more_than_is_allowed_is_refused_unopened(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.xlsx")
    path = workbook(dropped(settings) / "bomb.xlsx", {"xl/media/image1.png": bytes(5_000_000)})
    assert path.stat().st_size < 20_000
    assert "5 MB unpacked, more than the 4 MB that are read" in refused(settings)


def test_a_workbook_that_says_less_than_it_unpacks_to_is_refused_unopened(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.xlsx")
    path = workbook(
        dropped(settings) / "liar.xlsx", {"xl/worksheets/sheet1.xml": SHEET.format(rows=" " * 900_000).encode()}
    )
    content = path.read_bytes()
    size = struct.pack("<I", len(SHEET.format(rows=" " * 900_000)))
    assert content.count(size) == 2  # before the part, and in the list of parts
    path.write_bytes(content.replace(size, struct.pack("<I", 400)))
    assert "unpacks to more than it says, in 'xl/worksheets/sheet1.xml'" in refused(settings)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_workbook_packed_so_that_its_size_cannot_be_counted_is_refused_unopened(
    told: Callable[..., Settings], unopened: None, packing: int
) -> None:
    settings = told("*.xlsx")
    path = workbook(dropped(settings) / "odd.xlsx", {})
    with zipfile.ZipFile(path, "a", packing) as book:
        book.writestr("xl/media/image1.png", b"a")
    assert "packs 'xl/media/image1.png' in a way that no workbook does" in refused(settings)


def test_parts_that_lie_over_one_another_are_refused_unopened(told: Callable[..., Settings], unopened: None) -> None:
    settings = told("*.xlsx")
    path = dropped(settings) / "overlap.xlsx"
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    kernel = squeezed.compress(bytes(100_000)) + squeezed.flush()
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, zlib.crc32(bytes(100_000)), len(kernel), 100_000, 1, 0)
    body = local + b"a" + kernel
    listed = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, zlib.crc32(bytes(100_000)), len(kernel), 100_000,
                    len(name), 0, 0, 0, 0, 0, 0) + name
        for name in (b"a", b"b", b"c")
    )  # fmt: skip
    path.write_bytes(body + listed + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, len(listed), len(body), 0))
    assert "parts that lie over one another" in refused(settings)


def test_a_sheet_with_one_cell_in_its_farthest_corner_is_refused_unopened(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.xlsx")
    rows = ROW.format(row=1, cell="A1") + ROW.format(row=1048576, cell="XFD1048576")
    path = workbook(dropped(settings) / "corner.xlsx", {"xl/worksheets/sheet1.xml": SHEET.format(rows=rows).encode()})
    assert path.stat().st_size < 20_000
    assert "more than the 4 MB that are read" in refused(settings)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_workbook_whose_xml_declares_entities_is_refused_unopened(
    told: Callable[..., Settings], unopened: None, encoding: str
) -> None:
    settings = told("*.xlsx")
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
    declared = f'<!DOCTYPE w [<!ENTITY l0 "ha">{laughs}]>'
    xml = SHEET.format(rows="&l8;").replace("<worksheet", f"{declared}<worksheet", 1)
    workbook(dropped(settings) / "laughs.xlsx", {"xl/worksheets/sheet1.xml": xml.encode(encoding)})
    assert "declares entities in 'xl/worksheets/sheet1.xml'" in refused(settings)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (CELL.format(' r="A1"') + '</row><row r="90000">' + CELL.format(' x=">" r="CV90000"'), "a sign within"),
        (CELL.format("") * 100 + '</row><row r="90000">' + CELL.format(""), "cells without a place"),
        (CELL.format(f' x="{"y" * 500}" r="CV90000"'), "far within its element"),
    ],
)
def test_a_cell_far_out_is_counted_however_it_is_written(
    told: Callable[..., Settings], unopened: None, rows: str, why: str
) -> None:
    settings = told("*.xlsx")
    sheet = SHEET.format(rows=f'<row r="1">{rows}</row>').encode()
    workbook(dropped(settings) / "corner.xlsx", {"xl/worksheets/sheet1.xml": sheet})
    assert "72 MB unpacked, more than the 4 MB that are read" in refused(settings), why


def test_a_sheet_is_counted_wherever_it_lies_in_its_workbook(told: Callable[..., Settings], unopened: None) -> None:
    settings = told("*.xlsx")
    rows = ROW.format(row=1, cell="A1") + ROW.format(row=1048576, cell="XFD1048576")
    links = b"""<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
        <Relationship Id="rId1" Target="media/picture.png"
        Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/></Relationships>"""
    parts = {"xl/_rels/workbook.xml.rels": links, "xl/media/picture.png": SHEET.format(rows=rows).encode()}
    workbook(dropped(settings) / "elsewhere.xlsx", parts)
    assert "more than the 4 MB that are read" in refused(settings)


def test_a_long_text_that_many_cells_share_counts_with_each_of_them(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.xlsx")
    rows = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 2_001))
    path = dropped(settings) / "shared.xlsx"
    texts = (
        f'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>{"x" * 30_000}</t></si></sst>'
    )
    workbook(
        path, {"xl/worksheets/sheet1.xml": SHEET.format(rows=rows).encode(), "xl/sharedStrings.xml": texts.encode()}
    )
    assert path.stat().st_size < 20_000
    assert "60 MB unpacked, more than the 4 MB that are read" in refused(settings)


@pytest.mark.parametrize(
    ("rows", "megabytes"),
    [
        (OPEN_ROW.format(" table:number-rows-repeated='200000'", " table:number-columns-repeated='20'", "name"), 48),
        (
            OPEN_ROW.format("", "", "name")
            + EMPTY_ROWS
            + OPEN_ROW.format("", " table:number-columns-repeated='9'", "x"),
            72,
        ),
        (OPEN_ROW.format("", f" office:string-value='{'x' * 9_000}' table:number-columns-repeated='2000'", ""), 18),
        (OPEN_ROW.format("", " table:number-columns-repeated='2000'", "x" * 9_000), 18),
    ],
)
def test_an_open_document_whose_cells_are_repeated_counts_with_all_of_them(
    told: Callable[..., Settings], unopened: None, rows: str, megabytes: int
) -> None:
    settings = told("*.ods")
    path = open_document(dropped(settings) / "again.ods", rows)
    assert path.stat().st_size < 2_000
    assert f"{megabytes} MB unpacked, more than the 4 MB that are read" in refused(settings)


def test_the_tables_of_an_open_document_count_together_since_all_are_read(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.ods")
    table = OPEN_ROW.format(" table:number-rows-repeated='200000'", "", "x")
    open_document(dropped(settings) / "many.ods", *([table] * 4))
    assert "more than the 4 MB that are read" in refused(settings)


def test_an_open_document_that_unpacks_to_more_than_is_allowed_is_refused_unopened(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.ods")
    open_document(dropped(settings) / "bomb.ods", f"<!--{' ' * 5_000_000}-->")
    assert "5 MB unpacked, more than the 4 MB that are read" in refused(settings)


def test_an_honest_open_document_is_read_whatever_empty_rows_it_ends_in(told: Callable[..., Settings]) -> None:
    settings = told("*.ods")
    open_document(dropped(settings) / "clients.ods", OPEN_ROW.format("", "", "name") + OPEN_ROW.format("", "", "Aster")
                  + EMPTY_ROWS)  # fmt: skip
    assert read(settings)["name"].to_list() == ["Aster"]


@pytest.mark.parametrize("glob", ["*.xls", "*.xlsx", "*.ods"])
def test_a_binary_workbook_is_refused_unopened_whatever_it_is_called(
    told: Callable[..., Settings], unopened: None, glob: str
) -> None:
    settings = told(glob)
    path = dropped(settings) / f"old{glob[1:]}"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504))
    assert "is a binary workbook (.xls) or has a password, so its size cannot be told beforehand" in refused(settings)
    assert "Save it as .xlsx" in refused(settings)
    workbook(path, {"xl/workbook.bin": b"\x83\x01\0"})
    assert "is a binary workbook (.xlsb), so its size cannot be told beforehand" in refused(settings)


def test_a_workbook_that_cannot_be_unpacked_or_parsed_beforehand_is_not_opened(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.xlsx")
    (dropped(settings) / "none.xlsx").write_bytes(b"PK\3\4 and no more")
    assert "none.xlsx: is no Excel file" in refused(settings)
    (dropped(settings) / "none.xlsx").unlink()
    broken = SHEET.format(rows="<row></c>").encode()
    workbook(dropped(settings) / "broken.xlsx", {"xl/worksheets/sheet1.xml": broken})
    assert "holds 'xl/worksheets/sheet1.xml', which is no XML" in refused(settings)


def test_a_zip_within_a_zip_stays_closed_and_counts_as_it_is(told: Callable[..., Settings]) -> None:
    settings = told("*.xlsx")
    inner = workbook(dropped(settings) / "inner.xlsx", {"xl/media/image1.png": bytes(50_000_000)})
    content = inner.read_bytes()
    inner.unlink()
    workbook(dropped(settings) / "outer.xlsx", {"xl/embeddings/inner.xlsx": content})
    assert read(settings).columns == ["name", "_file", "_row"]


def test_a_parquet_file_that_repeats_one_value_a_million_times_counts_with_all_of_them(
    told: Callable[..., Settings], unopened: None
) -> None:
    settings = told("*.parquet")
    pl.DataFrame({"name": pl.repeat("Aster", 2_000_000, eager=True)}).write_parquet(dropped(settings) / "many.parquet")
    assert (dropped(settings) / "many.parquet").stat().st_size < 100_000
    assert "more than the 4 MB that are read" in refused(settings)


def test_an_honest_workbook_is_read(told: Callable[..., Settings]) -> None:
    settings = told("*.xlsx")
    rows = ROW.format(row=1, cell="A1") + ROW.format(row=900, cell="A900")
    workbook(dropped(settings) / "clients.xlsx", {"xl/worksheets/sheet1.xml": SHEET.format(rows=rows).encode()})
    assert read(settings)["name"].to_list() == ["name"]
