"""What can be broken in a model: one change of one clause of its SQL, or of one expression of a measure.

Each operator is a small, plausible mistake: a join of the other kind, a filter forgotten, one off, a sign turned.
What stays out: running what is broken (mutants.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlglot
import yaml
from sqlglot import exp

from models import catalog, metrics, yaml_text

Change = Callable[[exp.Expression], exp.Expression | None]  # what a clause becomes; None: it is taken away
_SWAPPED: Mapping[type[exp.Expression], type[exp.Expression]] = {
    exp.LT: exp.LTE, exp.LTE: exp.LT, exp.GT: exp.GTE, exp.GTE: exp.GT, exp.EQ: exp.NEQ, exp.NEQ: exp.EQ,
    exp.NullSafeEQ: exp.NullSafeNEQ, exp.NullSafeNEQ: exp.NullSafeEQ,
    exp.Min: exp.Max, exp.Max: exp.Min, exp.Sum: exp.Count, exp.Least: exp.Greatest, exp.Greatest: exp.Least,
    exp.ArgMax: exp.ArgMin, exp.ArgMin: exp.ArgMax, exp.Lag: exp.Lead, exp.Lead: exp.Lag,
    exp.FirstValue: exp.LastValue, exp.LastValue: exp.FirstValue,
    exp.And: exp.Or, exp.Or: exp.And, exp.Sub: exp.Add, exp.Add: exp.Sub, exp.Mul: exp.Div, exp.Div: exp.Mul,
    exp.LogicalAnd: exp.LogicalOr, exp.LogicalOr: exp.LogicalAnd,
}  # fmt: skip
_TOLD = ("value", "running", "open", "ended", "ended_value", "part", "whole", "weight", "enters", "leaves", "balance",
         "sales")  # fmt: skip
_SHOWN = 110


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken file: where, by which operator, the clause before and after, and the file's whole text."""

    path: Path
    part: str  # the model, or the measure of the catalogue
    operator: str
    place: int  # of the clause in the file, counted from its begin
    before: str
    after: str
    text: str

    @property
    def name(self) -> str:
        return _name(self)

    @property
    def told(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class Site:
    """A place where an operator applies; `made` writes the broken file."""

    path: Path
    part: str
    operator: str
    place: int
    made: Callable[[], Mutant | None]

    @property
    def name(self) -> str:
        return _name(self)


def _name(one: Mutant | Site) -> str:
    return f"{one.path.parent.name}/{one.part} {one.place} {one.operator}"


def sites() -> list[Site]:
    """Every place that can be broken: the marts, the portal's mapping, the measures."""
    files = sorted([*(catalog.FOLDER / "marts").glob("*.sql"), *(catalog.FOLDER / "staging" / "portal").glob("*.sql")])
    return [*(one for path in files for one in of_model(path)), *of_catalogue()]


def of_model(path: Path) -> Iterator[Site]:
    text = path.read_text("utf-8")
    header = text[: text.index("*/") + 2]
    tree = sqlglot.parse_one(text[len(header) :], dialect="duckdb")
    for place, operator in _places(tree):
        if operator != "column nulled" or path.parent.name == "portal":  # there nothing else can go wrong
            yield Site(path, path.stem, operator, place, _in_model(path, header, tree, place, operator))


def _in_model(path: Path, header: str, tree: exp.Expression, place: int, operator: str) -> Callable[[], Mutant | None]:
    def made() -> Mutant | None:
        changed = _changed(tree, place, operator)
        if changed is None:
            return None
        broken, before, after = changed
        text = f"{header}\n{broken.sql(dialect='duckdb', pretty=True)}\n"
        return Mutant(path, path.stem, operator, place, before, after, text)

    return made


def of_catalogue() -> Iterator[Site]:
    """The expressions of every measure, and its reasons to leave rows out."""
    path = metrics.FOLDER / "metrics.yml"
    for name, body in yaml_text.parsed(path.read_text("utf-8"))["measures"].items():
        for number, way in enumerate(_expressions(body)):
            tree = sqlglot.parse_one(str(_at(body, way)), dialect="duckdb")
            for place, operator in _places(tree):
                adds_nothing = operator == "else dropped" and way[-1] == "sum" and place == 0  # a sum adds null as 0
                if operator != "column nulled" and not adds_nothing:
                    made = _in_measure(path, name, way, (number, place), operator)
                    yield Site(path, name, operator, 1000 * number + place, made)
        for number, _ in enumerate(body.get("left_out") or ()):
            yield Site(path, name, "reason dropped", 100_000 + number, _without_reason(path, name, number))


def _expressions(body: Mapping[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """The ways to a measure's expressions that hold anything to break."""
    steps = enumerate(body.get("steps") or ())
    yield from ((key,) for key in _TOLD if key in body)
    yield from (("left_out", n, "when") for n, _ in enumerate(body.get("left_out") or ()))
    yield from (("steps", n, key) for n, step in steps for key in ("sum", "is") if key in step)
    if "from" in body:
        yield ("from",)


def _at(body: Any, way: tuple[str | int, ...]) -> Any:
    for step in way:
        body = body[step]
    return body


def _in_measure(
    path: Path, name: str, way: tuple[str | int, ...], at: tuple[int, int], operator: str
) -> Callable[[], Mutant | None]:
    def made() -> Mutant | None:
        written = copy.deepcopy(_written(path))
        *above, last = way
        holder = _at(written["measures"][name], tuple(above))
        changed = _changed(sqlglot.parse_one(str(holder[last]), dialect="duckdb"), at[1], operator)
        if changed is None:
            return None
        broken, before, after = changed
        holder[last] = broken.sql(dialect="duckdb")
        where = ".".join(map(str, way))
        text = yaml.safe_dump(written, sort_keys=False)
        return Mutant(path, name, operator, 1000 * at[0] + at[1], f"{where}: {before}", after, text)

    return made


def _without_reason(path: Path, name: str, number: int) -> Callable[[], Mutant | None]:
    def made() -> Mutant | None:
        written = copy.deepcopy(_written(path))
        taken = written["measures"][name]["left_out"].pop(number)
        text = yaml.safe_dump(written, sort_keys=False)
        before = f"left_out: {taken['when']}"[:_SHOWN]
        return Mutant(path, name, "reason dropped", 100_000 + number, before, "(nothing)", text)

    return made


@cache
def _written(path: Path) -> dict[str, Any]:
    written: dict[str, Any] = yaml_text.parsed(path.read_text("utf-8"))
    return written


# --- operators --------------------------------------------------------------------------------------------


def _places(tree: exp.Expression) -> Iterator[tuple[int, str]]:
    for place, node in enumerate(tree.walk()):
        for operator in _operators(node):
            yield place, operator


def _changed(tree: exp.Expression, place: int, operator: str) -> tuple[exp.Expression, str, str] | None:
    """The broken tree, and the clause before and after; None where nothing came of it."""
    broken = tree.copy()
    node = list(broken.walk())[place]
    shown = node.parent if isinstance(node, exp.Literal) and node.parent else node
    before = _short(shown)
    whole = broken.sql(dialect="duckdb")
    after = _operators(node)[operator](node)
    if after is not None and after is not node:
        if node.parent is None:
            broken = after
        else:
            node.replace(after)
        shown = after if shown is node else shown
    told = "(nothing)" if after is None else _short(shown)
    return None if broken.sql(dialect="duckdb") == whole else (broken, before, told)


def _short(node: exp.Expression) -> str:
    told = " ".join(node.sql(dialect="duckdb").split())
    return told if len(told) <= _SHOWN else f"{told[: _SHOWN - 1]}…"


def _operators(node: exp.Expression) -> dict[str, Change]:
    """The operators that apply to a clause, by name. What could change nothing by its form is not among them."""
    found: dict[str, Change] = {}
    if type(node) in _SWAPPED and not _joins(node) and not _pivots(node):
        found[f"{_word(node)} swapped"] = _swapped
    found |= {name: change for kind, name, change in _BY_KIND if isinstance(node, kind)}
    if isinstance(node, exp.Case):
        found["first case dropped"] = _first_arm_dropped
        if node.args.get("default") is not None and not isinstance(node.parent, exp.Sum):  # a sum adds null as 0
            found["else dropped"] = _without("default")
    if isinstance(node, exp.Round) and node.args.get("decimals") is not None and not _rounded_by_its_type(node):
        found["round removed"] = _inner  # without decimals it is a microsecond that rounds, which nothing tells
    if isinstance(node, exp.Literal) and not node.is_string and not node.find_ancestor(exp.DataType, exp.Round):
        found["off by one"] = _one_more
    if isinstance(node, exp.And):
        found |= {"condition dropped": _left, "first condition dropped": _right}
    if isinstance(node, exp.Join) and node.args.get("on") is not None and not node.method:
        found["join of the other kind"] = _other_join
    if isinstance(node, exp.Window) and node.args.get("partition_by"):
        found["partition column dropped"] = _one_partition_column_less
    if isinstance(node, exp.Ordered) and len(getattr(node.parent, "expressions", ())) > 1:
        found["order dropped"] = _popped
    if isinstance(node, exp.Column | exp.Alias) and _is_output(node):
        found["column nulled"] = _nulled
    return found


def _joins(node: exp.Expression) -> bool:
    """Whether it is the equality of a join, which nobody gets wrong unseen."""
    above = node.find_ancestor(exp.Join, exp.Select) if isinstance(node, exp.EQ) else None
    return isinstance(above, exp.Join)


def _rounded_by_its_type(node: exp.Expression) -> bool:
    """Whether what it gives is cast to cents as it is."""
    above = node.parent
    while isinstance(above, exp.Case | exp.If):
        above = above.parent
    return isinstance(above, exp.Cast)


def _pivots(node: exp.Expression) -> bool:
    """Whether it takes the one position of a name, `max(case when name = 'issued' then position end)`."""
    if not (isinstance(node, exp.Max) and isinstance(node.this, exp.Case)):
        return False
    (first, *others) = node.this.args["ifs"]
    return not others and isinstance(first.this, exp.EQ) and first.this.this.name == "name"


def _is_output(node: exp.Expression) -> bool:
    is_inner = node.find_ancestor(exp.CTE, exp.Subquery) is not None
    return isinstance(node.parent, exp.Select) and node.arg_key == "expressions" and not is_inner


def _nulled(node: exp.Expression) -> exp.Expression:
    return exp.alias_(exp.cast(exp.Null(), "varchar"), node.alias_or_name)


def _one_more(node: exp.Expression) -> exp.Expression:
    return exp.Literal.number(int(node.this) + 1 if node.is_int else float(node.this) * 2)


def _left(node: exp.Expression) -> exp.Expression:
    return node.left.copy()


def _right(node: exp.Expression) -> exp.Expression:
    return node.right.copy()


def _inner(node: exp.Expression) -> exp.Expression:
    return node.this.copy()


def _word(node: exp.Expression) -> str:
    return type(node).__name__.lower()


def _swapped(node: exp.Expression) -> exp.Expression:
    return _SWAPPED[type(node)](**{name: _copied(value) for name, value in node.args.items()})


def _copied(value: Any) -> Any:
    if isinstance(value, list):
        return [_copied(one) for one in value]
    return value.copy() if isinstance(value, exp.Expression) else value


def _popped(node: exp.Expression) -> None:
    node.pop()


def _other_join(node: exp.Expression) -> exp.Expression:
    node.set("side", None if node.args.get("side") else "LEFT")
    node.set("kind", None)
    return node


def _one_partition_column_less(node: exp.Expression) -> exp.Expression:
    node.set("partition_by", node.args["partition_by"][:-1] or None)
    return node


def _without(key: str) -> Change:
    def change(node: exp.Expression) -> exp.Expression:
        node.set(key, None)
        return node

    return change


def _reversed(node: exp.Expression) -> exp.Expression:
    node.set("desc", not node.args.get("desc"))
    return node


def _first_arm_dropped(node: exp.Expression) -> exp.Expression:
    node.set("ifs", node.args["ifs"][1:])
    return node if node.args["ifs"] else (node.args.get("default") or exp.Null()).copy()


def _undistinct(node: exp.Expression) -> exp.Expression | None:
    """`count(distinct x)` keeps its x; `select distinct` only loses the word."""
    if node.arg_key == "distinct":
        node.pop()
        return None
    return node.expressions[0].copy() if len(node.expressions) == 1 else node


def _second_half(node: exp.Expression) -> exp.Expression:
    return node if node.args.get("with_") else node.expression.copy()


_BY_KIND: tuple[tuple[type[exp.Expression], str, Change], ...] = (
    (exp.Where, "filter dropped", _popped),
    (exp.Qualify, "qualify dropped", _popped),
    (exp.Having, "having dropped", _popped),
    (exp.Filter, "filter of an aggregate dropped", _inner),
    (exp.Distinct, "distinct dropped", _undistinct),
    (exp.Coalesce, "coalesce removed", _inner),
    (exp.Neg, "sign dropped", _inner),
    (exp.Not, "not dropped", _inner),
    (exp.Ordered, "order turned", _reversed),
    (exp.Nullif, "nullif removed", _inner),
    (exp.Boolean, "flag turned", lambda one: exp.Boolean(this=not one.this)),
    (exp.Union, "second half dropped", _inner),
    (exp.Union, "first half dropped", _second_half),
    (exp.Abs, "abs removed", _inner),
)
