"""Reads what the house says about its tables: the contract, and the header of every SQL model.

Nothing here runs SQL or knows an engine; `build.py` does. A model is one SELECT whose leading comment
is YAML: what a row is, its key, every column, and the `fail` and `warn` conditions all rows must meet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import sqlglot
import yaml
from sqlglot import exp
from sqlglot.errors import ParseError

from models import yaml_text
from models.faults import fault

FOLDER = Path(__file__).resolve().parent
_HEADER = re.compile(r"\A\s*/\*(?P<yaml>.*?)\*/", re.DOTALL)
# The clock is the parameter $as_of; a model that asks the engine for the time cannot rebuild the past.
CLOCKS = frozenset({
    "now", "today", "current_date", "current_time", "current_timestamp", "currentdate", "currenttime",
    "currenttimestamp", "localtime", "localtimestamp", "get_current_time", "get_current_timestamp",
    "transaction_timestamp", "getdate",
})  # fmt: skip

FieldType = Literal[
    "text", "integer", "decimal", "number", "boolean", "zone", "currency", "instant", "day", "reference"
]


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a contract entity."""

    name: str
    type: FieldType
    about: str
    required: bool = False
    values: tuple[str, ...] = ()
    to: str | None = None

    @property
    def column(self) -> str:
        """The column's name in the staging table: references become ids."""
        return f"{self.name}_id" if self.type == "reference" else self.name


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity of the contract; `columns` includes the columns common to all."""

    name: str
    about: str
    id: str
    mart: str
    columns: Mapping[str, Field]
    known_at: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    rate_at: tuple[str, ...] = ()
    adds_up: Mapping[str, str] = field(default_factory=dict)

    @property
    def reconciliation(self) -> str:
        """What the check is called that nothing got lost between staging and the mart."""
        money = f", with its {' and '.join(self.adds_up)}" if self.adds_up else ""
        return f"every row of staging.{self.name} is here or in rejects{money}"

    @property
    def worth(self) -> str:
        """What the check is called that its amounts are the same in the mart, whichever currency they are told in."""
        return f"{' and '.join(self.adds_up)} of staging.{self.name} come to the same here in every currency"

    @property
    def references(self) -> tuple[Field, ...]:
        return tuple(column for column in self.columns.values() if column.type == "reference")

    @property
    def merged_by(self) -> Field | None:
        """The reference to its own kind: into which row a row was merged."""
        return next((field for field in self.references if field.to == self.name), None)

    @property
    def needs(self) -> tuple[str, ...]:
        """The other entities it refers to, sorted."""
        return tuple(sorted({str(field.to) for field in self.references} - {self.name}))


@dataclass(frozen=True, slots=True)
class Contract:
    """The entities in an order in which every parent stands before its children."""

    common: Mapping[str, Field]
    entities: Mapping[str, Entity]


@dataclass(frozen=True, slots=True)
class Model:
    """One SQL model: what its header says and the SELECT below it."""

    name: str
    schema: str
    path: Path
    about: str
    sql: str
    key: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    fail: tuple[str, ...] = ()
    warn: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()  # "schema.table", sorted

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"


@cache
def contract(file: Path = FOLDER / "contract.yml") -> Contract:
    """The contract, parents first."""
    written = yaml_text.parsed(file.read_text("utf-8"))
    common = _fields(written["common"])
    entities = {name: _entity(name, body, common) for name, body in written["entities"].items()}
    graph = {name: entity.needs for name, entity in entities.items()}
    return Contract(common, {name: entities[name] for name in TopologicalSorter(graph).static_order()})


def _entity(name: str, body: dict[str, Any], common: Mapping[str, Field]) -> Entity:
    return Entity(
        name=name,
        about=body["about"],
        id=body["id"],
        mart=body["mart"],
        columns={**common, **_fields(body["columns"])},
        adds_up=body.get("adds_up", {}),
        **{word: tuple(body.get(word, ())) for word in ("known_at", "parents", "one_of", "rate_at")},
    )


def _fields(columns: dict[str, dict[str, Any]]) -> dict[str, Field]:
    return {
        name: Field(name=name, **{**body, "values": tuple(body.get("values", ()))}) for name, body in columns.items()
    }


@cache
def marts(folder: Path = FOLDER / "marts") -> Mapping[str, Model]:
    """Every mart by name, in an order in which each stands after the marts it reads."""
    models = {path.stem: read_model(path, "marts") for path in sorted(folder.glob("*.sql"))}
    return {name: models[name] for name in _order(models.values())}


def staging(folder: Path) -> Mapping[str, Model]:
    """The staging SELECTs of one kind of tool, by entity.

    Raises `Fault` for a file that is no entity of the contract or reads anything but `raw` and `reference`.
    """
    models = {}
    for path in sorted(folder.glob("*.sql")):
        model = _read_once(path, "staging", path.stat().st_mtime_ns)
        if model.name not in contract().entities:
            raise fault(str(path), f"{model.name!r} is no entity of the contract.",
                        f"Name the file after one of: {', '.join(contract().entities)}.")  # fmt: skip
        if strange := [table for table in model.reads if not table.startswith(("raw.", "reference."))]:
            raise fault(str(path), f"a staging SELECT reads {strange[0]}.", "Read the tool's own tables, raw.<table>.")
        models[model.name] = model
    return models


@cache
def _read_once(path: Path, schema: str, written: int) -> Model:  # noqa: ARG001 - a file written anew is read anew
    return read_model(path, schema)


def read_model(path: Path, schema: str) -> Model:
    """One model file.

    Raises `Fault` naming the file for a missing header, SQL that is not one SELECT, a call to the clock,
    and, for marts, output columns that differ from the header's.
    """
    text = path.read_text("utf-8")
    match = _HEADER.match(text)
    if not match:
        raise fault(
            str(path), "the header is missing.", "Open the file with a /* … */ comment that says what a row is."
        )
    try:
        header = yaml_text.parsed(match["yaml"])
    except yaml.YAMLError as error:
        raise fault(str(path), f"the header is not YAML: {error}", "Mend the line it names.") from None
    if not isinstance(header, dict) or "row" not in header:
        raise fault(str(path), "the header does not say what a row is.", "Add a line 'row: One row per …'.")
    tree = parse(path, text)
    model = Model(
        name=path.stem,
        schema=schema,
        path=path,
        about=str(header["row"]).strip(),
        sql=text[match.end() :].strip().rstrip(";"),
        key=tuple(header.get("key") or ()),
        columns={name: str(about).strip() for name, about in (header.get("columns") or {}).items()},
        fail=tuple(header.get("fail") or ()),
        warn=tuple(header.get("warn") or ()),
        reads=tables(tree),
    )
    if schema == "marts":
        _refuse_undeclared(model, tree)
    return model


def parse(path: Path, text: str) -> exp.Query:
    """The file's single SELECT as a tree; refuses anything else, and clocks."""
    try:
        statements = [tree for tree in sqlglot.parse(text, dialect="duckdb") if tree is not None]
    except ParseError as error:
        raise fault(str(path), f"is not valid SQL: {str(error).splitlines()[0]}", "Mend the line it names.") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise fault(str(path), "is not one SELECT.", "Keep one SELECT per file.")
    if clock := next((name for name in _functions(statements[0]) if name in CLOCKS), None):
        raise fault(str(path), f"asks the engine for the time ({clock}).", "Use the parameter $as_of.")
    return statements[0]


def tables(tree: exp.Query) -> tuple[str, ...]:
    """The "schema.table" names a query reads, sorted; names of its own CTEs left out."""
    return tuple(sorted({f"{table.db}.{table.name}" for table in tree.find_all(exp.Table) if table.db}))


def outputs(tree: exp.Query) -> tuple[str, ...]:
    """Names of a query's output columns; "*" where it selects a star."""
    return tuple(tree.named_selects)


def _functions(tree: exp.Query) -> Iterable[str]:
    for call in tree.find_all(exp.Func):
        yield (call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()
    for column in tree.find_all(exp.Column):  # DuckDB takes current_date and the like without parentheses
        if not column.table:
            yield column.name.lower()


def _refuse_undeclared(model: Model, tree: exp.Query) -> None:
    found, declared = outputs(tree), tuple(model.columns)
    if "*" in found:
        raise fault(str(model.path), "selects a star.", "Name every column.")
    if missing := [name for name in found if name not in declared]:
        raise fault(
            str(model.path), f"columns without a description: {', '.join(missing)}.", "Describe them in the header."
        )
    if extra := [name for name in declared if name not in found]:
        raise fault(
            str(model.path), f"described columns that it does not select: {', '.join(extra)}.", "Remove or select them."
        )
    if strange := [name for name in model.key if name not in found]:
        raise fault(str(model.path), f"the key names {strange[0]}, which is no column.", "Mend the key.")


def _order(models: Iterable[Model]) -> Iterable[str]:
    graph = {
        model.name: {table.split(".")[1] for table in model.reads if table.startswith("marts.")} for model in models
    }
    for name, read in graph.items():
        if unknown := read - graph.keys():
            raise fault(
                f"models/marts/{name}.sql", f"reads marts.{min(unknown)}, which no file makes.", "Mend the name."
            )
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise fault(
            "models/marts", f"models read each other in a circle: {' → '.join(error.args[1])}.", "Break it."
        ) from None
