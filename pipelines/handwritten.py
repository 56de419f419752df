"""Reads what people write by hand beside the records: words for reasons, other names of clients, links to gates.

Each is a small CSV in the data folder that need not be there. What stays out: loading them into the warehouse, and
what follows from them (models/linking.py).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from models.faults import Fault, Problem, fault


def read_reasons(file: Path) -> pl.DataFrame:
    """The vocabulary of reasons, columns row (in the file), written and reason (null: the words give none).

    No file: no rows. Raises `Fault` naming the file for one that has not these columns.
    """
    header = "Its first line must be written,reason; each further line is one way of putting a reason."
    return _read(file, ("written", "reason"), header).with_columns(pl.col("written").fill_null(""))


def read_client_names(file: Path) -> pl.DataFrame:
    """Other names of clients, columns client and same_as: the first is the second by another name."""
    header = "Its first line must be client,same_as; each further line is a client's name and the one it counts under."
    frame = _read(file, ("client", "same_as"), header)
    _refuse_blank(file, frame, pl.any_horizontal(pl.col("client", "same_as").is_null()), "Write both names.")
    return frame.select("client", "same_as").unique()


def read_links(file: Path) -> pl.DataFrame:
    """Links made by hand, columns row, invoice, line, gate and change_order.

    An invoice is told by id, key or number; a line by id, key or label, all lines where it is empty; a gate or change
    order by id, number or name, `none` where the line bills neither. Raises `Fault` for rows that name no
    invoice, or not exactly one of gate and change order.
    """
    header = "Its first line must be invoice,line,gate,change_order; the others link an invoice, or a line of it."
    frame = _read(file, ("invoice", "line", "gate", "change_order"), header)
    is_unclear = pl.col("invoice").is_null() | (pl.col("gate").is_null() == pl.col("change_order").is_null())
    _refuse_blank(file, frame, is_unclear, "Name an invoice, and either a gate or a change order.")
    return frame.with_columns(pl.col("row").cast(pl.Int32))


def _read(file: Path, columns: tuple[str, ...], header: str) -> pl.DataFrame:
    """The columns as text, trimmed, blanks as null, and `row` as the file numbers it. No file: no rows."""
    if not file.is_file():
        return pl.DataFrame(schema={"row": pl.UInt32, **dict.fromkeys(columns, pl.String)})
    try:
        text = pl.read_csv(file, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise fault(str(file), f"is no CSV file ({str(error).splitlines()[0]}).", header) from None
    if missing := [name for name in columns if name not in text.columns]:
        raise fault(str(file), f"the column {', '.join(missing)} is missing.", header)
    return text.with_row_index("row", offset=2).select("row", pl.col(*columns).str.strip_chars().replace("", None))


def _refuse_blank(file: Path, frame: pl.DataFrame, is_wrong: pl.Expr, cure: str) -> None:
    wrong = frame.filter(is_wrong)
    if wrong.height:
        raise Fault([
            Problem(f"{file}, row {row['row']}", "says too little or too much.", cure)
            for row in wrong.iter_rows(named=True)
        ])  # fmt: skip
