"""Reads records from files: CSV, Excel, Parquet and JSON lines become tables of text with clean column names.

A table is read whole and anew when any of its files or its settings changed, so a removed file's rows
vanish. Every row says where it stands: `_file` (from the data folder) and `_row` (in the file, from 1). Files are read
piece by piece, and not at all where they are larger together than the settings allow.
What stays out: what the columns mean (staging), and where the tables are stored.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import IO, cast

import fastexcel
import polars as pl
from pyarrow import ArrowException, parquet

from models.faults import Fault, Problem, fault
from pipelines.settings import Settings
from pipelines.source_blocks import FilesSource, FileTable
from pipelines.sources.measuring import Bomb, NoWorkbook, unpacked_bytes
from pipelines.sources.text import column, text, unlike
from pipelines.sources.workbook import Merged, letters, merged_cells

MEMORY_PER_BYTE = 7  # measured, of a CSV of 100 MB from reading to storing
CHUNK_ROWS = 20_000  # rows held as Python objects before they become columns
READER = 1  # raise it when the same file is read otherwise: every table is then read anew
_FORMATS = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), "excel"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
}
_HALF_COPIED = (".part", ".tmp", ".crdownload", "~")
_BINARY = {b"PK\x03\x04": "an Excel or zip file", b"\xd0\xcf\x11\xe0": "an old Excel file", b"%PDF": "a PDF",
           b"\x1f\x8b": "a gzip file", b"PAR1": "a Parquet file"}  # fmt: skip
# what a file begins with where its first letters are a byte order mark, and the encodings that write it
_MARKS = {codecs.BOM_UTF8: ("utf-8",), codecs.BOM_UTF16_LE: ("utf-16", "utf-32"), codecs.BOM_UTF16_BE: ("utf-16",)}
_PARQUET_CELL = 4  # bytes of a value at the least: one that is repeated a billion times takes none in the file
_HEAD = 65_536  # bytes looked at to tell what a file is
_MIDNIGHT = re.compile(r"^(\d{4}-\d{2}-\d{2}) 00:00:00$")
_MOMENT = re.compile(r"^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2}(?:\.\d+)?)$")
_TIME_ONLY = re.compile(r"^1899-12-3[01][ T](\d{2}:\d{2}:\d{2})")

_FILE, _ROW = "\0file", "\0row"  # what no field of a record is called

Cells = list[str | None]
Grid = Iterator[tuple[int, Cells]]  # (row in the file from 1, its cells); the header is a row like any other


@dataclass(frozen=True, slots=True)
class Whole:
    """A table that is replaced whole. `print` differs whenever `read` would bring something else."""

    print: str
    read: Callable[[], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class _Found:
    """One file of a table: its path, how messages name it, and the state it was seen in."""

    path: Path
    label: str
    seen: tuple[int, int]  # size in bytes, mtime in ns


def tables(name: str, settings: Settings, environ: Mapping[str, str]) -> dict[str, Whole]:  # noqa: ARG001 - kinds share it
    """The configured tables of a files source.

    Raises `Fault` where a table has no file; `Whole.read` raises it for whatever is wrong in a file.
    """
    source = cast(FilesSource, settings.sources[name])
    folder = settings.folder_of(source)
    if not folder.is_dir():
        raise fault(f"source {name}", f"the folder {folder} does not exist.", "Make it, or set folder in its block.")
    most = source.max_megabytes
    return {
        key: _whole(f"source {name}, table {key}", table, folder, settings.data, most)
        for key, table in source.tables.items()
    }


def _whole(where: str, table: FileTable, folder: Path, data: Path, most: int) -> Whole:
    found = _files(where, table, folder, data)
    seen = [[one.label, *one.seen] for one in found]
    return Whole(
        json.dumps({"reader": READER, "files": seen, "table": table.model_dump(mode="json")}, sort_keys=True),
        lambda: _read(where, table, found, most),
    )


def _files(where: str, table: FileTable, folder: Path, data: Path) -> list[_Found]:
    try:
        paths = sorted(path for path in folder.glob(table.glob) if path.is_file() and not _is_half_copied(path))
    except (NotImplementedError, ValueError):  # what pathlib raises for an absolute and for an empty pattern
        raise fault(
            where, f"the glob {table.glob!r} is not one.", "Write it from the folder on, such as *.csv."
        ) from None
    if outside := next((path for path in paths if not _is_within(path, folder)), None):
        what = f"{_label(outside, data)} leads out of the folder {folder}."
        raise fault(where, what, "Put the file itself there, or set folder to where it is.")
    if not paths:
        raise fault(where, f"no file matches {table.glob!r} in {folder}.", "Put the file there, or mend glob.")
    return [_Found(path, _label(path, data), _stamp(path)) for path in paths]


def _is_half_copied(path: Path) -> bool:
    return path.name.startswith((".", "~$")) or path.name.lower().endswith(_HALF_COPIED)


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a file truly lies in the folder, whatever its links and dots say."""
    return path.resolve().is_relative_to(folder.resolve())


def _label(path: Path, data: Path) -> str:
    """How messages and rows name a file: from the data folder on, with what no printer prints written out."""
    told = path.relative_to(data).as_posix() if path.is_relative_to(data) else path.as_posix()
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in told)


def _stamp(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


def _read(where: str, table: FileTable, found: list[_Found], most: int) -> pl.DataFrame:
    """All files of a table as one frame; a column that a file does not have is null in its rows."""
    _refuse_too_much(where, table, found, most)
    frames = [_read_file(table, one) for one in found]
    frame = pl.concat(frames, how="diagonal")
    if strange := [key for key in table.key if key not in frame.columns]:
        raise fault(where, f"the key names the column {strange[0]!r}, which no file has.",
                    f"The columns are: {', '.join(frame.columns[:-2])}.")  # fmt: skip
    return frame


def _refuse_too_much(where: str, table: FileTable, found: list[_Found], most: int) -> None:
    """A table is held in memory before it is stored: what would not fit is told before any of it is read."""
    sizes = {one.label: _bytes(table, one, most * 1_000_000) for one in found}
    if sum(sizes.values()) > most * 1_000_000:
        largest = max(sizes, key=lambda label: sizes[label])
        what = f"holds {sum(sizes.values()) / 1_000_000:,.0f} MB unpacked, more than the {most:,} MB that are read."
        cure = (
            f"The largest is {largest}. Take old files away, export fewer rows or columns, or raise max_megabytes in "
            f"the block of the source: reading takes about {MEMORY_PER_BYTE} times as much memory."
        )
        raise fault(where, what, cure)


def _bytes(table: FileTable, one: _Found, most: int) -> int:
    """How large a file is once it is unpacked: counted for a workbook, as far as it says so for Parquet."""
    kind = _kind(table, one)
    if one.seen[0] == 0:
        return 0  # reading it will say so
    try:
        if kind == "excel":
            return unpacked_bytes(one.path, most)
        if kind == "parquet":
            told = parquet.read_metadata(one.path)
            said = sum(int(told.row_group(number).total_byte_size) for number in range(told.num_row_groups))
            return max(said, int(told.num_rows * told.num_columns) * _PARQUET_CELL)
    except Bomb as error:
        raise fault(one.label, f"is not read: it {error}.", "Save it as .xlsx again, from what made it.") from None
    except NoWorkbook as error:
        raise fault(one.label, f"is no Excel file ({error}).", "Save it as .xlsx again.") from None
    except (ArrowException, OSError):
        pass  # reading it will say what is wrong
    return one.seen[0]


def _kind(table: FileTable, one: _Found) -> str:
    kind = table.format or _FORMATS.get(one.path.suffix.lower())
    if kind is None:
        raise fault(one.label, f"the ending {one.path.suffix!r} does not say what it is.",
                    "Set format to csv, excel, parquet or jsonl.")  # fmt: skip
    return kind


def _read_file(table: FileTable, one: _Found) -> pl.DataFrame:
    kind = _kind(table, one)
    try:
        if one.path.stat().st_size == 0:
            raise fault(one.label, "the file is empty.", "Export it again, or take it away.")
        frame = _READERS[kind](table, one)
        if _stamp(one.path) != one.seen:
            raise fault(
                one.label, "the file changed while it was read.", "Wait until it is copied whole, and pull again."
            )
    except OSError as error:
        raise fault(one.label, f"cannot be read ({error.strerror or error}).", "Check the file's rights.") from None
    return frame


def _read_csv(table: FileTable, one: _Found) -> pl.DataFrame:
    with one.path.open("rb") as stream:
        return _framed(_csv_rows(_decoded(stream, table.encoding, one.label), table, one), table, one.label)


def _decoded(stream: IO[bytes], encoding: str, label: str, newline: str = "") -> io.TextIOWrapper:
    """The text of a file, its line breaks as they are. Raises `Fault` where its first bytes show something else."""
    head = stream.read(_HEAD)
    stream.seek(0)
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            raise fault(label, f"is no CSV but {what}.", "Set format, or save it as CSV.")
    try:
        codec = codecs.lookup(encoding).name
    except LookupError:
        raise fault(
            label, f"the encoding {encoding!r} is not known.", "Use utf-8, cp1252, utf-16 or another."
        ) from None
    for mark, written in _MARKS.items():
        if head.startswith(mark) and not codec.startswith(written):
            what = f"begins with the byte order mark of {written[0]}, but is read as {encoding}."
            raise fault(label, what, f"Set encoding to {written[0]!r}.")
    if b"\0" in head and not codec.startswith(("utf-16", "utf-32")):
        raise fault(label, "is no CSV: it holds bytes that are no text.", "Set encoding, or export it as CSV again.")
    if head.decode(codec, "ignore").lstrip("\ufeff \t\r\n").lower().startswith(("<!doctype", "<html", "<?xml")):
        raise fault(label, "is no CSV but a web page.", "Download it again while logged in, and save it as CSV.")
    return io.TextIOWrapper(stream, "utf-8-sig" if codec == "utf-8" else codec, newline=newline)


def _undecodable(one: _Found, encoding: str) -> Fault:
    """Where the first byte stands that is no letter in an encoding."""
    decoder, place, line = codecs.getincrementaldecoder(encoding)(), 0, 1
    with one.path.open("rb") as stream:
        while piece := stream.read(_HEAD):
            held = decoder.getstate()[0]
            try:
                decoder.decode(piece)
            except UnicodeDecodeError as error:
                at = error.start - len(held)
                line += (held + piece).count(b"\n", 0, error.start)
                what = f"line {line}, byte {place + at}: {(held + piece)[error.start]:#04x} is not {encoding}."
                return fault(one.label, what, "Set encoding to what the file was saved in, often cp1252.")
            place += len(piece)
            line += piece.count(b"\n")
    return fault(one.label, f"ends in the middle of a letter of {encoding}.", "Copy it again, whole.")


def _csv_rows(content: io.TextIOWrapper, table: FileTable, one: _Found) -> Grid:
    """The rows of a CSV; quoted fields may hold line breaks. Null tokens are taken out where the rows are framed."""
    if len(table.delimiter) != 1:
        what = f"the delimiter {table.delimiter!r} is not one character."
        raise fault(one.label, what, 'Use "," or ";" or "\\t".')
    reader = csv.reader(content, delimiter=table.delimiter, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            yield number, cast(Cells, cells)
    except UnicodeDecodeError:
        raise _undecodable(one, table.encoding) from None
    except csv.Error as error:
        raise fault(one.label, f"row {number + 1} (line {reader.line_num}) is not CSV: {error}.",
                    "Look for a quote that is not closed or not doubled.") from None  # fmt: skip


def _read_excel(table: FileTable, one: _Found) -> pl.DataFrame:
    try:
        book = fastexcel.read_excel(one.path)
    except fastexcel.FastExcelError as error:
        raise fault(one.label, f"is no Excel file ({str(error).splitlines()[0]}).", "Save it as .xlsx again.") from None
    if not book.sheet_names:
        raise fault(one.label, "has no sheet.", "Save it as .xlsx again.")
    name = table.sheet or book.sheet_names[0]
    if name not in book.sheet_names:
        raise fault(one.label, f"has no sheet {name!r}.", f"Set sheet to one of: {', '.join(book.sheet_names)}.")
    # skip_rows=0 keeps blank rows at the top, so that rows are numbered as Excel numbers them
    sheet = book.load_sheet(name, header_row=None, skip_rows=0, dtypes="string").to_polars()
    rows = ((number, [_excel_text(cell) for cell in cells]) for number, cells in enumerate(sheet.iter_rows(), 1))
    return _framed(_without_merged_header(rows, table, one, merged_cells(one.path, name)), table, one.label)


def _without_merged_header(rows: Grid, table: FileTable, one: _Found, regions: list[Merged]) -> Grid:
    """The rows; in the header, names that reach down to it from merged cells above.

    Raises `Fault` for a header whose columns have no names of their own, or that goes on below.
    """
    at = table.header_row
    heads = [region for region in regions if region.top <= at <= region.bottom]
    names: dict[int, str | None] = {}  # column -> what stands in the merged cells that it lies in
    for number, cells in rows:
        names |= {one.left: cells[one.left - 1] for one in heads if one.top == number and one.left <= len(cells)}
        if number == at:
            for region in heads:
                _refuse_wide(one.label, at, region, names.get(region.left))
            yield number, [names.get(place) or cell for place, cell in enumerate(cells, 1)]
            continue
        below = next((region for region in heads if at < number <= region.bottom), None)
        if below and any(cells):
            what = f"row {at}: the header goes on in row {number}, since {below.label} are one cell."
            raise fault(one.label, what, f"Set header_row to {below.bottom}, or split the cell.")
        yield number, cells


def _refuse_wide(label: str, row: int, region: Merged, name: str | None) -> None:
    if region.right > region.left and name:
        nameless = [letters(number) for number in range(region.left + 1, region.right + 1)]
        what = f"row {row}: {name!r} stands in merged cells ({region.label}): {', '.join(nameless[:5])} have no name."
        cure = "Set header_row to the row that names every column, or split the cell and name each."
        raise fault(label, what, cure)


def _excel_text(cell: str | None) -> str | None:
    """Excel's own `2026-01-05 00:00:00` for a date is written as a date, moments as ISO 8601."""
    if cell is None or len(cell) < 19:
        return cell
    if only := _TIME_ONLY.match(cell):
        return only[1]
    return _MOMENT.sub(r"\1T\2", _MIDNIGHT.sub(r"\1", cell))


def _framed(rows: Grid, table: FileTable, label: str) -> pl.DataFrame:
    """A frame from rows of cells: the header named, blank rows left out, rows of another width refused."""
    header = next((cells for number, cells in rows if number == table.header_row), None)
    if header is None or not any(cell and cell.strip() for cell in header):
        raise fault(label, f"row {table.header_row} is no header: it is blank or not there.",
                    "Set header_row to the row that holds the column names.")  # fmt: skip
    _refuse_delimiter(header, table, label)
    names = _names([cell or "" for cell in header], table, label)
    schema = dict.fromkeys([*names, "_file", "_row"], pl.String)
    nulls = {"", *table.null_values}
    frames = [pl.DataFrame(schema=schema)]
    kept: list[tuple[str | None, ...]] = []
    ragged: list[Problem] = []
    for number, cells in rows:
        if any(cells):
            if len(cells) != len(header):
                what = f"has {len(cells)} fields where the header has {len(header)}."
                cure = _cure_of_ragged(header, table)
                ragged.append(Problem(f"{label}, row {number}", what, cure))
                continue
            values = [None if cell is None or cell.strip() in nulls else cell for cell in cells]
            if any(value is not None for value in values):
                kept.append((*values, label, str(number)))
        if len(kept) >= CHUNK_ROWS:
            frames.append(pl.DataFrame(kept, schema=schema, orient="row"))
            kept = []
    if ragged:
        raise Fault(ragged)
    frame = pl.concat([*frames, pl.DataFrame(kept, schema=schema, orient="row")])
    unnamed = [name for name, cell in zip(names, header, strict=True) if not (cell or "").strip()]
    return frame.drop(name for name in unnamed if frame[name].null_count() == frame.height)  # a margin, no column


def _cure_of_ragged(header: Cells, table: FileTable) -> str:
    """What to do about rows of different widths: a header that holds more of another delimiter was written with it."""
    written = table.delimiter.join(cell or "" for cell in header)
    for other in ";\t|":
        if written.count(other) >= len(header) and other != table.delimiter:
            return f"Set delimiter to {other!r}, which its header holds {written.count(other)} times."
    return "Quote fields that hold the delimiter, or mend the row."


def _refuse_delimiter(header: Cells, table: FileTable, label: str) -> None:
    """A header of one name that holds another delimiter was written with that one; Excel's own first line says so."""
    first = header[0] or ""
    if first.lower().startswith("sep=") and not any(header[1:]):
        what, told = f"row {table.header_row} only says which delimiter follows ({first}).", first[4:5]
        cure = f"Set delimiter to {told or table.delimiter!r} and header_row to {table.header_row + 1}."
        raise fault(label, what, cure)
    if len(header) == 1 and table.sheet is None:
        for other in ";\t|,":
            if other != table.delimiter and other in first:
                raise fault(label, f"its header is one column with {other!r} in it.", f"Set delimiter to {other!r}.")


def _names(header: list[str], table: FileTable, label: str) -> list[str]:
    """Column names: renamed where the settings say so, else cleaned; blanks by place, twins numbered."""
    unused = set(table.rename)
    names: list[str] = []
    for place, written in enumerate(header, 1):
        clean = column(written) or f"column_{place}"
        chosen = next((key for key in (written.strip(), clean) if key in table.rename), None)
        if chosen is not None:
            unused.discard(chosen)
            clean = table.rename[chosen]
            if clean in names:
                raise fault(label, f"rename gives the name {clean!r} to two columns.", "Give each its own.")
        names.append(unlike(clean, names))
    if unused:
        raise fault(label, f"rename names the column {min(unused)!r}, which the file does not have.",
                    f"Its columns are: {', '.join(header)}.")  # fmt: skip
    return names


def _read_jsonl(table: FileTable, one: _Found) -> pl.DataFrame:
    wire: dict[str, None] = {}
    rows: list[dict[str, str | None]] = []
    frames: list[pl.DataFrame] = []
    with one.path.open("rb") as stream:
        content = _decoded(stream, table.encoding, one.label, newline="\n")
        try:
            for number, line in enumerate(content, 1):
                if line.strip():
                    record = _json_line(line, number, one.label)
                    wire |= dict.fromkeys(record)
                    rows.append({**{key: _null(value, table) for key, value in record.items()}, _ROW: str(number)})
                if len(rows) >= CHUNK_ROWS:
                    frames.append(pl.from_dicts(rows, schema=dict.fromkeys([*wire, _ROW], pl.String)))
                    rows = []
        except UnicodeDecodeError:
            raise _undecodable(one, table.encoding) from None
    frames.append(pl.from_dicts(rows, schema=dict.fromkeys([*wire, _ROW], pl.String)))
    names = _names(list(wire), table, one.label)
    frame = pl.concat(frames, how="diagonal").select(*wire, pl.lit(one.label).alias(_FILE), _ROW)
    return frame.rename({**dict(zip(wire, names, strict=True)), _FILE: "_file", _ROW: "_row"})


def _json_line(line: str, number: int, label: str) -> dict[str, str | None]:
    try:
        record = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise fault(
            f"{label}, line {number}", f"is not JSON ({error}).", "Every line must be one JSON object."
        ) from None
    if not isinstance(record, dict):
        raise fault(f"{label}, line {number}", "is not a JSON object.", "Every line must be one JSON object.")
    return {key: text(value) for key, value in record.items()}


def _null(cell: str | None, table: FileTable) -> str | None:
    return None if cell is None or cell.strip() in table.null_values else cell


def _read_parquet(table: FileTable, one: _Found) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(one.path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise fault(one.label, f"is no whole Parquet file ({str(error).splitlines()[0]}).", "Write it again.") from None
    names = _names(frame.columns, table, one.label)
    columns = [_as_text(frame[old]).alias(new) for old, new in zip(frame.columns, names, strict=True)]
    numbers = pl.int_range(1, frame.height + 1, eager=True).cast(pl.String).alias("_row")
    return pl.DataFrame(
        [*columns, pl.repeat(one.label, frame.height, dtype=pl.String, eager=True).alias("_file"), numbers]
    )


def _as_text(values: pl.Series) -> pl.Series:
    """A typed column as text: ISO dates and instants (UTC with Z), whole numbers without a fraction."""
    kind = values.dtype
    if isinstance(kind, pl.Datetime):
        form = "%Y-%m-%dT%H:%M:%S%.f"
        return (
            (values.dt.convert_time_zone("UTC").dt.strftime(form + "Z")) if kind.time_zone else values.dt.strftime(form)
        )
    if (
        kind == pl.Boolean
        or kind.is_integer()
        or kind.is_decimal()
        or kind in (pl.String, pl.Date, pl.Time, pl.Categorical)
    ):
        return values.cast(pl.String)
    if kind.is_float():
        return values.cast(pl.String).str.replace(r"\.0$", "")
    return pl.Series([text(_plain(value)) for value in values.to_list()], dtype=pl.String)


def _plain(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


_READERS: Mapping[str, Callable[[FileTable, _Found], pl.DataFrame]] = {
    "csv": _read_csv,
    "excel": _read_excel,
    "parquet": _read_parquet,
    "jsonl": _read_jsonl,
}
