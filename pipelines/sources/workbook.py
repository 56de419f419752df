"""What the reader of Excel files does not tell of a workbook: merged cells.

Only .xlsx and .xlsm are looked into. What stays out: how large a workbook is (measuring.py), the cells' values
(files.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from pipelines.sources.measuring import column_number

_CHUNK = 1 << 20
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
    return Merged(int(top), column_number(left), int(bottom), column_number(right))


def letters(number: int) -> str:
    """A column's number as its letters."""
    told = ""
    while number:
        number, place = divmod(number - 1, 26)
        told = chr(65 + place) + told
    return told
