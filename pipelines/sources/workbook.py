"""What the reader of Excel files does not tell of a workbook: merged cells, and how much memory it comes to.

Only the zipped formats say so (.xlsx, .xlsm). A workbook is measured before its reader opens it, and not by what it
says of itself: a few kilobytes can unpack to more than a machine holds. What stays out: the cells' values (files.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

_CHUNK = 1 << 20
_PARTS = 10_000
_CELL_BYTES = 8  # of an empty cell, at the least
_HEADER = struct.Struct("<4s5H3I2H")  # before a part's own bytes; its last two numbers are lengths of what follows
_DECLARES = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml$", re.IGNORECASE)
_CELL = re.compile(rb"""<(?:\w+:)?c\s[^>]{0,400}?\br\s*=\s*["']([A-Z]+)([0-9]+)""", re.IGNORECASE)
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell [^>]*?ref="([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)"')
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


@dataclass(frozen=True, slots=True)
class Merged:
    """Cells that are one: rows and columns from 1, the last ones within."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def label(self) -> str:
        return f"{letters(self.left)}{self.top}:{letters(self.right)}{self.bottom}"


class Bomb(Exception):
    """A workbook that is not what it says it is; the words are the end of a sentence about it."""


def unpacked_bytes(path: Path, most: int) -> int:
    """How many bytes a zipped file takes once it is read, counted until there are more than `most`; else its own size.

    Raises `Bomb` where a part unpacks to more than it says, where parts lie over one another, hold declarations, or are
    packed in a way whose size cannot be counted.
    """
    try:
        with ZipFile(path) as book, path.open("rb") as stream:
            parts = book.infolist()
            told = sum(part.file_size for part in parts)
            if told > most:
                return told
            if len(parts) > _PARTS:
                raise Bomb(f"holds {len(parts):,} parts, as no workbook does")
            _refuse_overlaps(parts)
            unpacked = sum(_unpacked(stream, part) for part in parts)
            return max(unpacked, *(_grid_bytes(book, part, most) for part in parts), 0)
    except (BadZipFile, zlib.error, struct.error, RuntimeError, NotImplementedError):
        return path.stat().st_size  # its reader says what is wrong


def _refuse_overlaps(parts: Sequence[ZipInfo]) -> None:
    ends = 0
    for part in sorted(parts, key=lambda part: part.header_offset):
        if part.header_offset < ends:
            raise Bomb(f"holds parts that lie over one another, such as {part.filename[:60]!r}")
        ends = part.header_offset + _HEADER.size + part.compress_size


def _unpacked(stream: IO[bytes], part: ZipInfo) -> int:
    """How much a part truly unpacks to; nothing of it is kept."""
    stream.seek(part.header_offset)
    header = _HEADER.unpack(stream.read(_HEADER.size))
    stream.seek(part.header_offset + _HEADER.size + header[-2] + header[-1])
    pieces = _pieces(stream, part)
    count = 0
    head = b""
    for piece in pieces:
        head = head or piece[:_CHUNK]
        count += len(piece)
        if count > part.file_size:
            raise Bomb(f"unpacks to more than it says, in {part.filename[:60]!r}")
    if part.filename.lower().endswith((".xml", ".rels")) and _DECLARES.search(head.replace(b"\0", b"")):
        raise Bomb(f"declares entities in {part.filename[:60]!r}, which no workbook does")
    return count


def _pieces(stream: IO[bytes], part: ZipInfo) -> Iterator[bytes]:
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


def _grid_bytes(book: ZipFile, part: ZipInfo, most: int) -> int:
    """What the reader takes for a sheet: a cell for every place up to the last row and column, filled or not."""
    if not _SHEET.match(part.filename):
        return 0
    rows, widest, rest = 0, 0, b""
    with book.open(part) as stream:
        while piece := stream.read(_CHUNK):
            window = rest + piece
            cells = set(_CELL.findall(window))
            rows = max([rows, *(int(row) for _, row in cells if len(row) < 9)])
            widest = max(
                [widest, *(_number(column.upper()) for column in {column for column, _ in cells} if len(column) < 5)]
            )
            if rows * widest * _CELL_BYTES > most:
                break
            rest = window[-512:]  # a cell may lie across two pieces
    return rows * widest * _CELL_BYTES


def merged_cells(path: Path, sheet: str) -> list[Merged]:
    """Every region of merged cells of a sheet; none where the file does not say so."""
    try:
        with ZipFile(path) as book:
            part = _part_of(book, sheet)
            if part is None:
                return []
            with book.open(part) as stream:
                return [_merged(*found) for found in _regions(stream)]
    except (BadZipFile, KeyError, ElementTree.ParseError):
        return []


def _part_of(book: ZipFile, sheet: str) -> str | None:
    """The part that holds a sheet, by the workbook's own table of contents."""
    told = ElementTree.fromstring(book.read("xl/workbook.xml"))
    link = next((one.get(_LINK) for one in told.iter(f"{_MAIN}sheet") if one.get("name") == sheet), None)
    targets = ElementTree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    target = next((one.get("Target", "") for one in targets if one.get("Id") == link), "")
    return (target.removeprefix("/") if target.startswith("/") else f"xl/{target}") if target else None


def _regions(stream: IO[bytes]) -> list[tuple[bytes, ...]]:
    """Regions as written; they stand behind all cells, so the stream is gone through piece by piece."""
    found: list[tuple[bytes, ...]] = []
    rest = b""
    while piece := stream.read(_CHUNK):
        window = rest + piece
        last = 0
        for match in _MERGED.finditer(window):
            found.append(match.groups())
            last = match.end()
        rest = window[max(last, len(window) - 200) :]  # a region may lie across two pieces
    return found


def _merged(left: bytes, top: bytes, right: bytes, bottom: bytes) -> Merged:
    return Merged(int(top), _number(left), int(bottom), _number(right))


def _number(column: bytes) -> int:
    """A column's letters as its number: A is 1, AA is 27."""
    number = 0
    for letter in column:
        number = number * 26 + letter - 64
    return number


def letters(number: int) -> str:
    """A column's number as its letters."""
    told = ""
    while number:
        number, place = divmod(number - 1, 26)
        told = chr(65 + place) + told
    return told
