"""Runs the models: `marts.<rows>` are made from staging, and checked.

Every function works on an open DuckDB connection whose session zone is UTC; no paths, no settings, no clock:
`as_of` is an argument. Records come into staging in `admission.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

import duckdb
import sqlglot
from sqlglot import exp

from models import catalog
from models.catalog import Entity, Model
from models.faults import fault

Connection = duckdb.DuckDBPyConnection
LISTED = 20  # how many offending rows a message or a check shows


@dataclass(frozen=True, slots=True)
class Finding:
    """A check's outcome: how many rows broke it, and the first of them."""

    table: str
    check: str
    severity: Literal["fail", "warn"]
    count: int
    sample: tuple[dict[str, Any], ...] = ()

    @property
    def passed(self) -> bool:
        return self.count == 0


@dataclass(frozen=True, slots=True)
class Moment:
    """When and in what terms tables are built.

    `as_of` is naive UTC: facts after it are invisible. `currency` is the reporting currency, `zone` the
    time zone of projects that name none, `country` and `subdivision` where those are whose client names no country.
    """

    as_of: datetime
    currency: str = "USD"
    zone: str = "UTC"
    country: str | None = None
    subdivision: str | None = None


def steady(con: Connection) -> None:
    """What every connection needs to answer rightly: instants in UTC, and one optimizer of DuckDB 2.0 left out.

    Where a CTE with a computed column and a row_number is used twice, it gives the column as it was before.
    """
    con.execute("set TimeZone = 'UTC'; set disabled_optimizers = 'top_n_window_elimination'")


def prelude(con: Connection) -> None:
    """Schemas, small functions, the tables models read beside records, and the session's settings. Idempotent."""
    steady(con)
    for schema in ("staging", "marts", "reference", "ops"):
        con.execute(f"create schema if not exists {schema}")
    con.execute(_prelude_sql())


@cache
def _prelude_sql() -> str:
    return (catalog.FOLDER / "prelude_duckdb.sql").read_text("utf-8")


def build(con: Connection, model: Model, moment: Moment) -> None:
    """Makes `marts.<model>`."""
    try:
        con.execute(f"create or replace table {model.table} as {model.sql}", parameters(model.sql, moment))
    except duckdb.Error as error:
        raise fault(str(model.path), str(error).splitlines()[0], "Mend the model.") from error


@contextmanager
def together(con: Connection) -> Iterator[None]:
    """One transaction: all or nothing, and one wait for the disk."""
    con.begin()
    try:
        yield
    except BaseException:
        con.rollback()
        raise
    con.commit()


def check(con: Connection, model: Model) -> list[Finding]:
    """The model's key and its `fail` and `warn` lines. As in a SQL check constraint, a condition that is null holds."""
    findings = []
    if model.key:
        key = ", ".join(model.key)
        nulls = " or ".join(f"{column} is null" for column in model.key)
        twice = (
            f"from (select {key}, count(*) as row_count from {model.table} group by all) where row_count > 1 or {nulls}"
        )
        findings.append(found(con, model.table, f"{key} is unique", "fail", twice, "*"))
    shown = ", ".join(model.key) or "*"
    lines: tuple[tuple[Literal["fail", "warn"], tuple[str, ...]], ...] = (("fail", model.fail), ("warn", model.warn))
    for severity, conditions in lines:
        for condition in conditions:
            used = sorted({c.name for c in sqlglot.parse_one(condition, dialect="duckdb").find_all(exp.Column)})
            columns = ", ".join(dict.fromkeys([*model.key, *(c for c in used if c in model.columns)])) or shown
            findings.append(
                found(con, model.table, condition, severity, f"from {model.table} where not ({condition})", columns)
            )
    return findings


def reconcile(con: Connection, entity: Entity) -> Finding:
    """Every staging row stands either in the entity's mart or in `marts.rejects`, by source and in total.

    So does what the rows are worth, by source, for the amounts that the contract says add up.
    """
    at_the_door = "".join(
        f", coalesce(sum({name}), 0) as {name}_received"
        f", coalesce(sum({name}) filter (where reject_reason is not null), 0) as {name}_in_rejects"
        for name in entity.adds_up
    )
    in_mart = "".join(f", sum({column}) as {name}_shown" for name, column in entity.adds_up.items())
    lost = "".join(f" or {name}_received <> coalesce({name}_shown, 0) + {name}_in_rejects" for name in entity.adds_up)
    condition = f"""
from (select source, count(*) as received{at_the_door} from staging.{entity.name} group by all) as door
left join (select source, count(*) as shown{in_mart} from marts.{entity.mart} group by all) as mart using (source)
left join (
  select source, count(*) as listed from marts.rejects where entity = '{entity.name}' group by all
) as rejects using (source)
where received <> coalesce(shown, 0) + coalesce(listed, 0){lost}"""
    columns = "source, received, coalesce(shown, 0) as in_mart, coalesce(listed, 0) as in_rejects" + "".join(
        f", {name}_received, coalesce({name}_shown, 0) as {name}_in_mart, {name}_in_rejects" for name in entity.adds_up
    )
    return found(con, f"marts.{entity.mart}", entity.reconciliation, "fail", condition, columns)


def found(  # noqa: PLR0917 - what, under which name, how grave, and the two halves of its query
    con: Connection, table: str, name: str, severity: Literal["fail", "warn"], condition: str, columns: str
) -> Finding:
    """The rows that break a check: `condition` is the query from "from" on, `columns` what of a row is shown."""
    count = int(first(con, f"select count(*) {condition}"))
    sample: list[dict[str, Any]] = []
    if count:
        sample = con.sql(f"select {columns} {condition} order by all limit {LISTED}").pl().to_dicts()
    return Finding(table, name, severity, count, tuple(sample))


def parameters(sql: str, moment: Moment) -> dict[str, Any]:
    """The parameters a statement names, and no others, as DuckDB wants it."""
    values = {
        "as_of": moment.as_of,
        "currency": moment.currency,
        "zone": moment.zone,
        "country": moment.country,
        "subdivision": moment.subdivision,
    }
    return {name: value for name, value in values.items() if f"${name}" in sql}


def first(con: Connection, sql: str) -> Any:
    # fetchall: DuckDB 2 holds the connection while a result is only half read
    rows = con.execute(sql).fetchall()
    return rows[0][0] if rows else None
