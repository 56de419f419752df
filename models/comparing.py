"""Which rows moved a number between two days: those that came, went, or count for another value.

Two answers of one measure, asked of the marts of two instants, differ because of rows; this names them. What stays
out: where the marts of another instant come from (rewinding.py), and how rows are shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import polars as pl

from models.measure import Question, catalogue, sample

MOST_ROWS = 1_000_000
LISTED = 500


@dataclass(frozen=True, slots=True)
class Moved:
    """`rows`: id, label, `change` (came, went, changed), `then`, `now`, the largest difference first.

    `came`, `went` and `changed` are how many there are of each, listed or not.
    """

    rows: pl.DataFrame
    came: int
    went: int
    changed: int


def standing(con: duckdb.DuckDBPyConnection, question: Question) -> pl.DataFrame:
    """Every row that an answer is made from, with its own value, and its state where it has one."""
    found = sample(con, question, MOST_ROWS)
    return found.select("id", "label", "value", *(["state"] if "state" in found.columns else []))


def moved(then: pl.DataFrame, now: pl.DataFrame, question: Question) -> Moved:
    """What `standing` gave for the two days, held against each other by id.

    A duration that runs on is no change of the facts: of rows open on both days none is listed.
    """
    joined = now.join(then, on="id", how="full", suffix="_then", coalesce=True)
    change = (
        pl.when(pl.col("label_then").is_null())
        .then(pl.lit("came"))
        .when(pl.col("label").is_null())
        .then(pl.lit("went"))
        .when(pl.col("value").ne_missing(pl.col("value_then")))
        .then(pl.lit("changed"))
        .otherwise(pl.lit("same"))
    )
    told = joined.with_columns(change.alias("change"))
    if catalogue()[question.measure].kind == "duration":
        runs_on = (pl.col("state") == "open") & (pl.col("state_then") == "open")
        told = told.filter(~runs_on.fill_null(value=False))
    told = told.filter(pl.col("change") != "same")
    size = (pl.col("value").fill_null(0) - pl.col("value_then").fill_null(0)).abs()
    counts = dict(told["change"].value_counts().rows())
    listed = told.select(
        "id",
        pl.coalesce("label", "label_then").alias("label"),
        "change",
        pl.col("value_then").alias("then"),
        pl.col("value").alias("now"),
        size.alias("size"),
    ).sort(["size", "id"], descending=[True, False], nulls_last=True)
    return Moved(
        listed.drop("size").head(LISTED), counts.get("came", 0), counts.get("went", 0), counts.get("changed", 0)
    )
