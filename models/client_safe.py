"""What one client may see of the others: aliases instead of names, and a number beside the whole, never beside another.

An alias is made with a secret, so that nobody without it can tell whose it is, nor follow one from view to view
that was made with another. A benchmark pools all other clients, and only where there are enough of them that none
can be told apart. Who is asking, and where the secret lies, stays out.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import replace

import duckdb
import polars as pl

from models.faults import fault
from models.measure import Question, answer

LEAST_OTHERS = 5
TOO_FEW = "fewer than five other clients"
SECRET_BYTES = 16
_DIGITS = 4

# What tells whose a row is, and the word that its alias begins with; a name and its id are told by one alias.
_HIDDEN = {"client_id": "Client", "client": "Client", "project_id": "Project", "project": "Project"}
# Groupings that many clients share; any other text (a manager, a gate's id, words by hand) may tell whose it is.
SHARED = frozenset({
    "firm", "playbook", "gate", "owner_team", "approver_side", "history_quality", "start_rule", "status", "kind",
    "link_method", "aging_bucket", "document_type", "from_team", "to_team", "reason", "requested_by_side", "is_covered",
    "owed_for", "day", "week", "month",
})  # fmt: skip
_ANSWERED = frozenset({"step", "note", "period"})  # texts of an answer that are Milepost's own


def aliases(ids: Iterable[str], secret: str, word: str = "Client") -> dict[str, str]:
    """An alias such as "Client 7F3A" for each id: the same for the same ids and secret, and no two alike.

    Raises `Fault` for a secret too short to keep one.
    """
    if len(secret.encode()) < SECRET_BYTES:
        raise fault("client-safe view", f"its secret has fewer than {SECRET_BYTES} bytes.",
                    "Give it a random one: python -c 'import secrets; print(secrets.token_hex())'")  # fmt: skip
    told = {each: hmac.digest(secret.encode(), f"{word} {each}".encode(), "sha256").hex().upper() for each in ids}
    digits = _DIGITS
    while len({full[:digits] for full in told.values()}) < len(told):
        digits += 1
    return {each: f"{word} {full[:digits]}" for each, full in told.items()}


def hidden(frame: pl.DataFrame, secret: str, own: str | None = None) -> pl.DataFrame:
    """An answer with aliases for clients and projects; the rows of the client `own` (an id) keep theirs.

    A name needs its id beside it, for two clients may share one. Raises `Fault` for that, and for any text that
    may tell whose a row is.
    """
    strange = [
        name
        for name, kind in frame.schema.items()
        if not kind.is_numeric() and not kind.is_temporal() and name not in SHARED | _ANSWERED | _HIDDEN.keys()
    ]
    lacking = [name for name in ("client", "project") if name in frame.columns and f"{name}_id" not in frame.columns]
    if strange or lacking:
        what = (
            f"the column {strange[0]} may tell whose a row is." if strange else f"{lacking[0]} stands without its id."
        )
        raise fault(
            "client-safe view", what, f"Leave it out, or ask by {lacking[0]}_id too." if lacking else "Leave it out."
        )
    if own is not None and "client_id" not in frame.columns:
        raise fault("client-safe view", "nothing says which rows are its own.", "Ask by client_id too.")
    is_own = pl.col("client_id") == own if own is not None else pl.lit(value=False)
    made: dict[str, Mapping[str, str]] = {
        name: aliases(frame[name].drop_nulls().unique().sort(), secret, word)
        for name, word in _HIDDEN.items()
        if name.endswith("_id") and name in frame.columns
    }
    return frame.with_columns(
        pl.when(is_own).then(pl.col(name)).otherwise(pl.col(key).replace_strict(made[key], default=None)).alias(name)
        for name in _HIDDEN
        if name in frame.columns
        for key in (name if name.endswith("_id") else f"{name}_id",)
    )


def benchmark(con: duckdb.DuckDBPyConnection, question: Question, client_id: str) -> pl.DataFrame:
    """A client's own number beside that of all other clients together, for every group in which it has rows.

    The columns of its own answer, then `others_value`, `others_n`, `others_clients` (how many of them have rows that
    count) and `others_note`. Where fewer than five have, all of these are null but the note. Raises `Fault` for a
    grouping or filter that could tell another client's rows apart, and as `measure.answer` does.
    """
    named = {*question.by, *(name for name, values in question.where.items() if values)}
    if telling := sorted(named - SHARED):
        raise fault("benchmark", f"{telling[0]!r} could tell another client's rows apart.",
                    f"Group and filter by: {', '.join(sorted(SHARED))}.")  # fmt: skip
    own = answer(con, replace(question, where={**question.where, "client_id": (client_id,)}))
    keys = [name for name in (*dict.fromkeys(question.by), "step") if name in own.columns]
    each = answer(con, replace(question, by=(*question.by, "client_id")))
    behind = pl.col("n") > 0
    if "open_n" in each.columns:
        behind |= pl.col("open_n") > 0
    others = each.filter(behind & (pl.col("client_id") != client_id))
    ids = tuple(others["client_id"].unique().sort())
    if len(ids) < LEAST_OTHERS:
        return own.with_columns(*_nothing(own), pl.lit(TOO_FEW).alias("others_note"))
    pooled = answer(con, replace(question, where={**question.where, "client_id": ids}))
    counted = pl.col("client_id").n_unique().alias("others_clients")
    clients = others.group_by(keys).agg(counted) if keys else others.select(counted)
    compared = pooled.select(
        *keys, pl.col("value").alias("others_value"), pl.col("n").alias("others_n"), pl.col("note").alias("others_note")
    )
    if keys:
        found = own.join(compared, on=keys, how="left", maintain_order="left").join(
            clients, on=keys, how="left", maintain_order="left"
        )
    else:
        found = pl.concat([own, compared, clients], how="horizontal")
    enough = pl.col("others_clients").fill_null(0) >= LEAST_OTHERS
    return found.select(
        *own.columns,
        *(pl.when(enough).then(pl.col(name)).alias(name) for name in ("others_value", "others_n", "others_clients")),
        pl.when(enough).then(pl.col("others_note")).otherwise(pl.lit(TOO_FEW)).alias("others_note"),
    )


def _nothing(own: pl.DataFrame) -> list[pl.Expr]:
    return [
        pl.lit(None, dtype=pl.Float64).alias("others_value"),
        pl.lit(None, dtype=own.schema["n"]).alias("others_n"),
        pl.lit(None, dtype=pl.UInt32).alias("others_clients"),
    ]
