"""Column lineage of the marts, read from their SELECTs by sqlglot: which columns each column is made from.

What stays out: which tables a model reads at all (models/catalog.py says), and conditions: a column that only
decides which rows count is no part of another column's lineage.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import dagster as dg
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.scope import Scope, build_scope

from models import catalog
from models.catalog import Model

Column = tuple[str, str]  # ("staging.invoices", "issued_at")


def columns(model: Model) -> dg.TableColumnLineage:
    """For every column of a mart, the columns of other assets it is computed from."""
    return dg.TableColumnLineage(
        {
            name: [dg.TableColumnDep(dg.AssetKey(table.split(".")), column) for table, column in sorted(made_from)]
            for name, made_from in origins(model.sql).items()
        }
    )


@cache
def origins(sql: str) -> dict[str, frozenset[Column]]:
    """By output column of a SELECT, the columns of staging tables and marts that its value is computed from."""
    root = build_scope(sqlglot.parse_one(sql, dialect="duckdb"))
    if root is None:
        return {}
    return {name: frozenset(_trace(root, name)) for name in root.expression.named_selects}


def _trace(scope: Scope, name: str, place: int | None = None) -> Iterator[Column]:
    """Where the column of that name comes from; in the branches of a union columns meet by place instead."""
    if scope.set_operation_scopes:
        selects = scope.expression.selects
        names = [select.alias_or_name for select in selects]
        if place is None and name in names and not scope.expression.is_star:
            place = names.index(name)
        for branch in scope.set_operation_scopes:
            yield from _trace(branch, name, place)
        return
    selects = scope.expression.selects
    if place is not None and not scope.expression.is_star:
        chosen = [selects[place]]
    else:
        chosen = [select for select in selects if select.alias_or_name == name]
    for select in chosen:
        for column in select.find_all(exp.Column):
            yield from _found(scope, column.table, column.name)
    if not chosen and scope.expression.is_star:
        yield from _found(scope, "", name)


def _found(scope: Scope, table: str, name: str) -> Iterator[Column]:
    """Where a column comes from: by its qualifier, else from whichever source has a column of that name."""
    for alias, (_, source) in scope.selected_sources.items():
        if table not in ("", alias):
            continue
        if isinstance(source, exp.Table):
            if name in _known(f"{source.db}.{source.name}"):
                yield f"{source.db}.{source.name}", name
        elif name in source.expression.named_selects or source.expression.is_star:
            yield from _trace(source, name)


@cache
def _known(table: str) -> frozenset[str]:
    """The columns of an asset's table; none for tables that are no assets."""
    schema, _, name = table.partition(".")
    if schema == "marts" and name in catalog.marts():
        return frozenset(catalog.marts()[name].columns)
    if schema == "staging" and name in catalog.contract().entities:
        entity = catalog.contract().entities[name]
        written = {field.column for field in entity.columns.values()}
        return frozenset(
            {*written, entity.id, "source", "timezone", "currency", "rate", "reject_reason", "reject_detail"}
        )
    return frozenset()
