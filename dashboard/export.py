"""A frame as a file a spreadsheet opens. What stays out: choosing the rows."""

from __future__ import annotations

import polars as pl

_STARTS_A_FORMULA = r"^([=+\-@\t\r])"


def csv(frame: pl.DataFrame) -> bytes:
    """UTF-8 CSV with a byte-order mark. Text that a spreadsheet would run as a formula is neutralised."""
    safe = frame.with_columns(pl.col(pl.String).str.replace(_STARTS_A_FORMULA, "'$1"))
    return b"\xef\xbb\xbf" + safe.write_csv().encode("utf-8")
