"""A page or a table as a file: CSV and Excel for a spreadsheet, HTML for paper. What stays out: choosing the rows.

Text that a spreadsheet would run as a formula is neutralised; text that a browser would read as markup is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from html import escape
from io import BytesIO
from typing import Any

import polars as pl
from xlsxwriter import Workbook  # type: ignore[import-untyped]

from dashboard.numbers import day, grouped, instant, use

_STARTS_A_FORMULA = r"^(\s*[=+\-@＝＋－＠\t\r\n])"  # in the wide letters of Japan too
_CELL = 32_767  # characters that Excel allows a cell
_SHEET = 31  # characters that Excel allows a sheet's name
_PRINTED = 200  # rows of a table on paper


LeftOut = str | Callable[[], str]  # what a measure leaves out, or how to find it once a file is asked for


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a page: `rows` as they are, `words` its caption."""

    title: str
    words: str
    rows: pl.DataFrame


@dataclass(slots=True)
class Sheets:
    """What a page showed, gathered while it is drawn: tiles as (label, number, what it rests on), and tables."""

    title: str = ""
    format: str = "en"  # how the reader writes numbers and dates (numbers.py)
    about: list[tuple[str, str]] = field(default_factory=list)
    tiles: list[tuple[str, str, str]] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    definitions: dict[str, tuple[str, str, LeftOut]] = field(default_factory=dict)  # id → label, definition, left out


def csv(frame: pl.DataFrame) -> bytes:
    """UTF-8 CSV with a byte-order mark."""
    return b"\xef\xbb\xbf" + _neutral(frame).write_csv().encode("utf-8")


def excel(sheets: Sheets) -> bytes:
    """A workbook: what was asked, the definitions, the tiles, and a sheet for each table."""
    kept = BytesIO()
    with Workbook(kept, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        bold = book.add_format({"bold": True, "bottom": 1})
        styles = {
            "wrap": book.add_format({"text_wrap": True, "valign": "top"}),
            "instant": book.add_format({"num_format": "yyyy-mm-dd hh:mm"}),
            "day": book.add_format({"num_format": "yyyy-mm-dd"}),
        }
        told = pl.DataFrame([*sheets.about], schema=["what", "value"], orient="row")
        meanings = pl.DataFrame(
            [(name, label, text, _words(left)) for name, (label, text, left) in sheets.definitions.items()],
            schema=dict.fromkeys(["measure", "label", "definition", "left out"], pl.String),
            orient="row",
        )
        tiles = pl.DataFrame(
            sheets.tiles, schema=dict.fromkeys(["measure", "value", "rests on"], pl.String), orient="row"
        )
        named = [("About", told), ("Definitions", meanings), *([("Tiles", tiles)] if sheets.tiles else [])]
        named += [(table.title, table.rows) for table in sheets.tables]
        taken: set[str] = set()
        for title, frame in named:
            _write(book, _sheet_name(title, taken), frame, bold, styles)
    return kept.getvalue()


def _write(book: Workbook, title: str, frame: pl.DataFrame, bold: Any, styles: dict[str, Any]) -> None:
    sheet = book.add_worksheet(title)
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(frame.columns):
        sheet.write_string(0, column, name[:_CELL], bold)
        longest = max((len(str(value)) for value in frame[name].head(200).to_list()), default=0)
        sheet.set_column(column, column, min(70, max(len(name), longest) + 2))
        for row, value in enumerate(_neutral(frame.select(name)).to_series().to_list(), 1):
            _cell(sheet, row, column, value, styles)


def _cell(sheet: Any, row: int, column: int, value: Any, styles: dict[str, Any]) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float | Decimal):
        sheet.write_number(row, column, float(value))
    elif isinstance(value, datetime):
        plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        sheet.write_datetime(row, column, plain, styles["instant"])
    elif isinstance(value, date):
        sheet.write_datetime(row, column, value, styles["day"])
    else:
        sheet.write_string(row, column, str(value) if len(str(value)) <= _CELL else f"{str(value)[: _CELL - 1]}…")


def _sheet_name(title: str, taken: set[str]) -> str:
    """A name that Excel takes, and no two alike."""
    name = "".join(" " if letter in "[]:*?/\\'" else letter for letter in title).strip()[:_SHEET] or "Table"
    number = 2
    unique = name
    while unique.lower() in taken:
        unique = f"{name[: _SHEET - 3]} {number}"
        number += 1
    taken.add(unique.lower())
    return unique


def page(sheets: Sheets) -> bytes:
    """The page for paper: its filters, tiles, tables and definitions, in one HTML file that needs no other."""
    use(sheets.format)  # it is made when it is asked for, not while the page is drawn
    about = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in sheets.about)
    tiles = "".join(
        f"<div><h3>{escape(label)}</h3><p class=n>{escape(number)}</p><p>{escape(rests)}</p></div>"
        for label, number, rests in sheets.tiles
    )
    tables = "".join(_printed(table) for table in sheets.tables)
    meanings = "".join(
        f"<dt>{escape(name)} {escape(label)}</dt><dd>{escape(text)} {escape(_words(left))}</dd>"
        for name, (label, text, left) in sheets.definitions.items()
    )
    body = f"<h1>{escape(sheets.title)}</h1><dl class=about>{about}</dl><section class=tiles>{tiles}</section>{tables}"
    if meanings:
        body += f"<h2>What the measures mean</h2><dl>{meanings}</dl>"
    title = escape(sheets.title)
    head = f'<meta charset="utf-8"><title>{title} · Milepost</title><style>{_PAPER}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'.encode()


def _words(left_out: LeftOut) -> str:
    return left_out if isinstance(left_out, str) else left_out()


def _printed(table: Table) -> str:
    keys = [name for name in table.rows.columns if name == "id" or name.endswith(("_id", "_url"))]
    shown = table.rows.head(_PRINTED).drop(keys)  # keys and links are of no use on paper
    top = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in shown.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td{_side(value)}>{escape(_text(value))}</td>' for value in row)}</tr>" for row in shown.rows()
    )
    more = table.rows.height - shown.height
    words = escape(table.words) + (f" The first {_PRINTED} of {table.rows.height:,} rows." if more else "")
    head = f"<h2>{escape(table.title)}</h2><p>{words}</p>"
    return f"<section>{head}<table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></section>"


def _side(value: Any) -> str:
    return " class=r" if isinstance(value, int | float | Decimal) and not isinstance(value, bool) else ""


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return day(value)
    if isinstance(value, int):
        return grouped(value, 0)
    return grouped(float(value), 2) if isinstance(value, float | Decimal) else str(value)


def _neutral(frame: pl.DataFrame) -> pl.DataFrame:
    neutral = frame.with_columns(pl.col(pl.String).str.replace(_STARTS_A_FORMULA, "'$1"))
    return neutral.rename({name: f"'{name}" for name in frame.columns if re.match(_STARTS_A_FORMULA, name)})


_PAPER = """
body{font:13px/1.45 Inter,"Segoe UI",system-ui,sans-serif;color:#18212d;background:#fff;max-width:1000px;
margin:2rem auto;padding:0 1rem;font-variant-numeric:tabular-nums}h1{font-size:24px;margin:0 0 .6rem}
h2{font-size:16px;margin:1.6rem 0 .2rem}h3{font-size:12px;margin:0;color:#4c5765}p{margin:.1rem 0}
.about{display:flex;flex-wrap:wrap;gap:.3rem 1.6rem;margin:0 0 1rem;padding:.6rem 0;border-block:1px solid #dfe4ea}
.about dt{font-size:11px;color:#4c5765}.about dd{margin:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:1rem}
.tiles .n{font-size:22px;font-weight:650}table{border-collapse:collapse;width:100%;font-size:11.5px}
th,td{text-align:left;padding:.25rem .5rem .25rem 0;border-bottom:1px solid #dfe4ea;vertical-align:top}
th{font-weight:600}.r{text-align:right;white-space:nowrap}dl dt{font-weight:600;margin-top:.4rem}dl dd{margin:0}
th,td,dd,h1,h2{overflow-wrap:anywhere}tr{break-inside:avoid}@media print{body{margin:0;max-width:none}}
"""
