"""How much memory a workbook comes to, counted before its reader opens it, and not by what it says of itself.

A few hundred bytes can unpack to more than a machine holds: by zip, by one cell in the farthest corner, by a cell that
is repeated, by a long text that a million cells share. Zipped workbooks of XML are measured (.xlsx, .xlsm, .ods);
binary ones (.xls, .xlsb) are not, and so not opened. What stays out: what the cells say (files.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar
from xml.parsers import expat
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

_CHUNK = 1 << 20
_PARTS = 10_000
_CELL_BYTES = 8  # of an empty cell, at the least
_HEADER = struct.Struct("<4s5H3I2H")  # before a part's own bytes; its last two numbers are lengths of what follows
_OLD = b"\xd0\xcf\x11\xe0"  # what .xls begins with, and any workbook that has a password
_DECLARES = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_IS_SHEET = b"sheetData"  # wherever a part lies and whatever it is called
_CELL = re.compile(r"([A-Za-z]{1,4})([0-9]{1,9})")
_ENDLESS = 10**9  # a number of more digits
_LOOKS = ("style-name", "content-validation-name", "number-columns-repeated", "number-columns-spanned",
          "number-rows-spanned")  # fmt: skip


class Bomb(Exception):
    """A workbook that is not what it says it is; the words are the end of a sentence about it."""


class NoWorkbook(Exception):
    """A file that is none; the words say why."""


def unpacked_bytes(path: Path, most: int) -> int:
    """How many bytes a workbook takes once it is read, counted until there are more than `most`.

    Raises `NoWorkbook` for a file that is none, and `Bomb` for one that is binary, or where a part unpacks to more than
    it says, lies over another, holds declarations, is no XML, or is packed in a way whose size cannot be counted.
    """
    with path.open("rb") as stream:
        if stream.read(len(_OLD)) == _OLD:
            raise Bomb("is a binary workbook (.xls) or has a password, so its size cannot be told beforehand")
        try:
            with ZipFile(path) as book:
                return _measured(stream, book.infolist(), most)
        except (BadZipFile, zlib.error, struct.error, RuntimeError, NotImplementedError) as error:
            raise NoWorkbook(str(error) or type(error).__name__) from None


def _measured(stream: IO[bytes], parts: Sequence[ZipInfo], most: int) -> int:
    told = sum(part.file_size for part in parts)
    if told > most:
        return told
    if len(parts) > _PARTS:
        raise Bomb(f"holds {len(parts):,} parts, as no workbook does")
    _refuse_overlaps(parts)
    unpacked, sheets, texts = 0, list[ZipInfo](), list[int]()
    for part in parts:
        count, is_sheet = _unpacked(stream, part)
        unpacked += count
        sheets += [part] if is_sheet else []
        if _file_of(part) == "workbook.bin":
            raise Bomb("is a binary workbook (.xlsb), so its size cannot be told beforehand")
        if _file_of(part) == "sharedstrings.xml":
            shared = _fed(_Texts(), stream, part, most)
            texts = [max(pair) for pair in zip(_padded(texts, shared.sizes), _padded(shared.sizes, texts), strict=True)]
    largest = max((_fed(_Sheet(texts), stream, part, most).bytes for part in sheets), default=0)
    open_documents = (part for part in parts if _file_of(part) == "content.xml")
    repeated = max((_fed(_Repeats(), stream, part, most).bytes for part in open_documents), default=0)
    return max(unpacked, largest, repeated)


def _file_of(part: ZipInfo) -> str:
    return part.filename.replace("\\", "/").rpartition("/")[2].lower()


def _padded(sizes: list[int], other: list[int]) -> list[int]:
    return sizes + [0] * (len(other) - len(sizes))


def _refuse_overlaps(parts: Sequence[ZipInfo]) -> None:
    ends = 0
    for part in sorted(parts, key=lambda part: part.header_offset):
        if part.header_offset < ends:
            raise Bomb(f"holds parts that lie over one another, such as {part.filename[:60]!r}")
        ends = part.header_offset + _HEADER.size + part.compress_size


def _unpacked(stream: IO[bytes], part: ZipInfo) -> tuple[int, bool]:
    """How much a part truly unpacks to, and whether a sheet is in it; nothing of it is kept."""
    count, head, rest, is_sheet = 0, b"", b"", False
    for piece in _pieces(stream, part):
        head = head or piece
        count += len(piece)
        if count > part.file_size:
            raise Bomb(f"unpacks to more than it says, in {part.filename[:60]!r}")
        window = (rest + piece).replace(b"\0", b"")
        is_sheet = is_sheet or _IS_SHEET in window
        rest = window[-len(_IS_SHEET) :]
    if part.filename.lower().endswith((".xml", ".rels")) and _DECLARES.search(head.replace(b"\0", b"")):
        raise _declaring(part)
    return count, is_sheet


def _declaring(part: ZipInfo) -> Bomb:
    return Bomb(f"declares entities in {part.filename[:60]!r}, which no workbook does")


def _pieces(stream: IO[bytes], part: ZipInfo) -> Iterator[bytes]:
    """What a part unpacks to, piece by piece."""
    stream.seek(part.header_offset)
    header = _HEADER.unpack(stream.read(_HEADER.size))
    stream.seek(part.header_offset + _HEADER.size + header[-2] + header[-1])
    left = part.compress_size
    if part.compress_type == ZIP_STORED:
        while left > 0 and (piece := stream.read(min(_CHUNK, left))):
            left -= len(piece)
            yield piece
        return
    if part.compress_type != ZIP_DEFLATED:
        raise Bomb(f"packs {part.filename[:60]!r} in a way that no workbook does")  # so its size cannot be counted
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    while left > 0 and (piece := stream.read(min(_CHUNK, left))):
        left -= len(piece)
        while piece and not unpacking.eof:
            yield unpacking.decompress(piece, _CHUNK)
            piece = unpacking.unconsumed_tail


class _Counter:
    """Counts in one part of XML while it streams by: `bytes` is what its reader would take for it."""

    bytes = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins, by its name without a prefix."""

    def end(self, name: str) -> None:
        """It ends."""

    def words(self, text: str) -> None:
        """A text within."""


_Some = TypeVar("_Some", bound=_Counter)


def _fed(counter: _Some, stream: IO[bytes], part: ZipInfo, most: int) -> _Some:
    """A counter that has seen a part, or as much of it as is more than `most`."""

    def declared(*_: object) -> None:
        raise _declaring(part)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler = lambda name, told: counter.begin(name[name.find(":") + 1 :], told)
    parser.EndElementHandler = lambda name: counter.end(name[name.find(":") + 1 :])
    parser.CharacterDataHandler = counter.words
    try:
        for piece in _pieces(stream, part):
            parser.Parse(piece, False)
            if counter.bytes > most:
                return counter
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Bomb(f"holds {part.filename[:60]!r}, which is no XML ({error})") from None
    return counter


class _Texts(_Counter):
    """The texts that cells share, each with its size."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def begin(self, name: str, _: dict[str, str]) -> None:
        if name == "si":
            self.sizes.append(0)

    def words(self, text: str) -> None:
        if self.sizes:
            self.sizes[-1] += len(text.encode())


class _Sheet(_Counter):
    """A sheet of .xlsx: a cell for every place up to the last row and column that hold something, and all texts."""

    def __init__(self, texts: Sequence[int]) -> None:
        self._texts = texts
        self._row = self._column = self._rows = self._widest = self._shared = 0
        self._number = ""
        self._is_shared = self._is_within = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._column += 1
            if place := attributes.get("r"):
                found = _CELL.fullmatch(place)
                if not found:
                    raise Bomb(f"has a cell {place[:20]!r}, which no sheet has")
                self._column, self._row = column_number(found[1].upper().encode()), int(found[2])
            self._is_shared = attributes.get("t") == "s"
        elif name == "row":
            self._row = _whole(attributes.get("r"), self._row + 1)
            self._column = 0
        elif name in ("v", "is"):  # one without is not kept
            self._rows, self._widest = max(self._rows, self._row), max(self._widest, self._column)
            self.bytes = self._rows * self._widest * _CELL_BYTES + self._shared
            self._is_within, self._number = name == "v" and self._is_shared, ""

    def words(self, text: str) -> None:
        if self._is_within:
            self._number += text

    def end(self, name: str) -> None:
        if self._is_within and name == "v":
            self._is_within = False
            at = _whole(self._number.strip(), 0)
            size = self._texts[at] if at < len(self._texts) else 0
            self._shared += size
            self.bytes += size


class _Repeats(_Counter):
    """The tables of .ods, which say how often a cell and a row come again; empty ones at the end are not kept."""

    def __init__(self) -> None:
        self._before = 0  # bytes of the tables before
        self._rows = self._widest = self._texts = 0
        self._row = self._again = self._column = self._cells = self._of_row = 0
        self._has_more = self._is_cell = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        told = {key[key.find(":") + 1 :]: value for key, value in attributes.items()}
        if name == "table":
            self._before, self._rows, self._widest, self._texts, self._row = self.bytes, 0, 0, 0, 0
        elif name == "table-row":
            self._again = _whole(told.get("number-rows-repeated"), 1)
            self._row += self._again
            self._column = self._of_row = 0
        elif name in ("table-cell", "covered-table-cell"):
            self._cells = _whole(told.get("number-columns-repeated"), 1)
            self._column += self._cells
            self._is_cell = True
            if told.keys() - _LOOKS:
                self._hold(len(told.get("string-value", "").encode()))
        elif self._is_cell:
            self._hold(0)

    def words(self, text: str) -> None:
        if self._is_cell:
            self._hold(len(text.encode()))

    def end(self, name: str) -> None:
        if name in ("table-cell", "covered-table-cell"):
            self._is_cell = False

    def _hold(self, size: int) -> None:
        """Something stands in the cell, as often as it is repeated."""
        self._rows, self._widest = max(self._rows, self._row), max(self._widest, self._column)
        self._texts += size * self._cells * self._again
        self.bytes = self._before + self._rows * self._widest * _CELL_BYTES + self._texts


def _whole(told: str | None, otherwise: int) -> int:
    if told is None or not (told.isascii() and told.isdigit()):
        return otherwise
    return int(told) if len(told) < 10 else _ENDLESS


def column_number(letters: bytes) -> int:
    """A column's letters as its number: A is 1, AA is 27."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
