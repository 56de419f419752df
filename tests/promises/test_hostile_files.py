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
