"""Where the bars of a waterfall begin: steps that a measure answered, laid end to end.

What stays out: the steps' values (models/measure.py) and drawing (figures.py).
"""

from __future__ import annotations

import polars as pl

# The steps of C11 in the order in which one leads to the next, and whether it adds, takes off, or stands by itself.
_CONTRACT = (
    ("original contract", 1), ("approved additions", 1), ("approved deductions", 1), ("contract now", 1),
    ("pending, apart", 1), ("left to invoice", -1), ("exchange differences", -1), ("invoiced, without tax", 1),
    ("tax", 1), ("invoiced, with tax", 1), ("paid", -1), ("retained", -1), ("written off", -1), ("open", 1),
)  # fmt: skip
_TOTALS = ("original contract", "contract now", "invoiced, without tax", "invoiced, with tax", "open")
_APART = ("pending, apart",)
# Each step's amount in a row of `contracts`.
AMOUNTS = {
    "original contract": "original_amount", "approved additions": "added_amount",
    "approved deductions": "deducted_amount", "contract now": "current_amount", "pending, apart": "pending_amount",
    "left to invoice": "left_to_invoice_amount", "exchange differences": "exchange_amount",
    "invoiced, without tax": "invoiced_amount", "tax": "tax_amount", "invoiced, with tax": "billed_amount",
    "paid": "paid_amount", "retained": "retained_amount", "written off": "written_off_amount", "open": "open_amount",
}  # fmt: skip


def contract(steps: pl.DataFrame) -> pl.DataFrame:
    """The steps of a contract from signature to what is open (`label`, `value`), placed; zeroes are left out."""
    order = pl.DataFrame(_CONTRACT, schema=["label", "sign"], orient="row")
    signed = order.join(steps, on="label", how="inner", maintain_order="left").with_columns(
        (pl.col("value") * pl.col("sign")).alias("value")
    )
    return placed(signed.drop("sign").filter((pl.col("value") != 0) | pl.col("label").is_in(_TOTALS)), _TOTALS, _APART)


def placed(steps: pl.DataFrame, totals: tuple[str, ...], apart: tuple[str, ...] = ()) -> pl.DataFrame:
    """Steps of a waterfall with where each bar begins: totals stand on the ground, the others on the step before."""
    starts: list[float] = []
    roles: list[str] = []
    reached = 0.0
    for label, value in steps.select("label", pl.col("value").fill_null(0.0)).rows():
        if str(label).lower() in totals:
            starts.append(0.0)
            roles.append("total")
            reached = value
        elif str(label).lower() in apart:
            starts.append(reached)
            roles.append("apart")
        else:
            starts.append(reached)
            roles.append("up" if value >= 0 else "down")
            reached += value
    return steps.with_columns(pl.Series("starts", starts, pl.Float64), pl.Series("role", roles, pl.String))
