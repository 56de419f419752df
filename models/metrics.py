"""Reads what the house says about its measures: the entries of `metrics.yml`, the sections of `METRICS.md`.

Nothing here runs or writes SQL; `measure.py` does. An entry that does not fit is refused with a `Fault`
naming the entry and the key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from models import yaml_text
from models.faults import Fault, Problem

FOLDER = Path(__file__).resolve().parent
Kind = Literal["percentile", "duration", "mean", "share", "ratio", "sum", "count", "level", "steps", "count_back"]
Clock = Literal["elapsed", "working"]
Bucket = Literal["day", "week", "month"]
BUCKETS: tuple[Bucket, ...] = ("day", "week", "month")
COMMON = ("firm", "client", "client_id", "project", "project_id", "playbook", "manager")

# Smallest n whose extremes bound P50, P85 and P95 with 95 % confidence, whatever the distribution.
MIN_N, MIN_N_P85, MIN_N_P95 = 6, 19, 59


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that do not count: the SQL condition, its reason in a few words, and why that is right."""

    reason: str
    when: str
    why: str


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something to group or filter by. `empty` names rows without a value; values in `order` come first."""

    name: str
    column: str
    empty: str
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a waterfall: `sum` is added up over the rows, `becomes` is reckoned from earlier keys."""

    key: str
    label: str
    sum: str = ""
    becomes: str = ""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """A number that an asker may change, and what it does."""

    default: float | None
    about: str


@dataclass(frozen=True, slots=True)
class Measure:
    """One entry of the catalogue; `period` is None where it stands as it is at the snapshot's clock."""

    id: str
    label: str
    definition: str
    rule: str
    mart: str
    kind: Kind
    unit: str  # "days", "%", "count", "money" (reporting currency), "hours", "per 100k", …
    good: Literal["low", "high", "none"]
    dimensions: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    min_n: int
    period: str | None = None
    value: str = "1"
    weight: str = "1"
    part: str = ""
    whole: str = "1"
    scale: float = 100
    open: str | None = None
    running: str = ""
    ended: str | None = None
    ended_value: str = ""
    enters: str = ""
    leaves: str | None = None
    steps: tuple[Step, ...] = ()
    balance: str = ""
    sales: str = ""
    sales_at: str = ""
    window: int | None = None
    clock: Clock = "elapsed"
    working: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Setting] = field(default_factory=dict)
    source: str = ""
    needs_log: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """The expressions that must be known for a row to count."""
        match self.kind:
            case "share" | "ratio":
                return (self.part, self.whole)
            case "mean":
                return (self.value, self.weight)
            case "duration":
                return (self.length,)
            case "percentile" | "sum":
                return (self.value,)
            case "level":
                return (self.value,) if self.value != "1" else ()
            case _:
                return ()

    @property
    def length(self) -> str:
        """A duration's length in days: so far where it is open, until its end where it ended otherwise."""
        cases = [f"when {self.open} then {self.running}"] if self.open else []
        if self.ended:
            cases.append(f"when {self.ended} then {self.ended_value}")
        return f"case {' '.join(cases)} else {self.value} end" if cases else self.value

    @property
    def spans(self) -> bool:
        """Whether it is asked of a span of days: by its period column, or as a window, or at the end of one."""
        return self.period is not None or self.window is not None or self.kind in ("level", "count_back")


@cache
def catalogue(file: Path = FOLDER / "metrics.yml") -> Mapping[str, Measure]:
    """Every measure by id, in the catalogue's order. Raises `Fault` for entries that do not fit the grammar."""
    written = _written(file)["measures"]
    if problems := [problem for name, body in written.items() for problem in _problems(name, body, file)]:
        raise Fault(problems)
    return MappingProxyType({name: _measure(name, dict(body)) for name, body in written.items()})


@cache
def dimensions(file: Path = FOLDER / "metrics.yml") -> Mapping[str, Dimension]:
    """Every dimension but day, week and month, by name."""
    return MappingProxyType(
        {
            name: Dimension(name, body["column"], body["empty"], tuple(body.get("order", ())))
            for name, body in _written(file)["dimensions"].items()
        }
    )


@cache
def row_names(file: Path = FOLDER / "metrics.yml") -> Mapping[str, tuple[str, str]]:
    """How one row of a mart is named in a drawing: the expressions of its id and its label."""
    return MappingProxyType({mart: (named["id"], named["label"]) for mart, named in _written(file)["rows"].items()})


@cache
def rules(file: Path = FOLDER / "METRICS.md") -> Mapping[str, str]:
    """The sections of METRICS.md by rule id, headings left off."""
    sections = re.split(r"^### (\S+) .*\n", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
    bodies = (re.split(r"^## ", body, maxsplit=1, flags=re.MULTILINE)[0].strip() for body in sections[1::2])
    return MappingProxyType(dict(zip(sections[::2], bodies, strict=True)))


ALWAYS = ("label", "definition", "rule", "mart", "kind", "unit", "good", "left_out")
OFTEN = ("from", "dimensions", "period", "min_n", "open", "window", "clock", "working", "settings", "needs_log")
# What an entry of a kind must say beside `ALWAYS`, and what it may.
KEYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "percentile": (("value",), ()),
    "duration": (("value", "running", "open"), ("ended", "ended_value")),
    "mean": (("value",), ("weight",)),
    "share": (("part",), ("whole",)),
    "ratio": (("part", "whole"), ("scale",)),
    "sum": (("value",), ()),
    "count": ((), ()),
    "level": (("enters",), ("leaves", "value")),
    "steps": (("steps",), ("value",)),
    "count_back": (("balance", "sales", "sales_at"), ()),
}
Wrong = tuple[str, str, str]  # the key, what is wrong with it, and the cure


def _problems(name: str, body: Mapping[str, Any], file: Path) -> list[Problem]:
    """What is wrong with an entry."""
    kind = str(body.get("kind"))
    if kind not in KEYS:
        found: Iterator[Wrong] = iter([("kind", f"there is no kind {kind!r}.", f"There are: {', '.join(KEYS)}.")])
    else:
        found = chain(_wrong_keys(body, kind), _wrong_values(body), _wrong_names(body, file), _wrong_steps(body))
    return [Problem(f"{file.name}, measure {name}, {key}", what, cure) for key, what, cure in found]


def _wrong_keys(body: Mapping[str, Any], kind: str) -> Iterator[Wrong]:
    needed, allowed = KEYS[kind]
    known = (*ALWAYS, *OFTEN, *needed, *allowed)
    for key in (*ALWAYS, *needed):
        if key not in body:
            yield key, f"is missing; a {kind} needs it.", "Write it."
    for key in body:
        if key not in known:
            yield key, f"is no key of a {kind}.", f"There are: {', '.join(known)}."
    for one, other in (("ended", "ended_value"), ("ended_value", "ended")):
        if one in body and other not in body:
            yield other, f"is missing beside {one}.", "Write both or neither."
    if "period" in body and ("window" in body or kind in ("level", "count_back")):
        yield "period", "stands beside what looks at days of its own.", "Leave the period out."
    if body.get("clock") == "working" and not body.get("working"):
        yield "working", "is missing, and clock is working.", "Name the columns that stand in on the working clock."


def _wrong_values(body: Mapping[str, Any]) -> Iterator[Wrong]:
    for key, values in (("good", ("low", "high", "none")), ("clock", get_args(Clock))):
        if key in body and body[key] not in values:
            yield key, f"{body[key]!r} is none of its values.", f"There are: {', '.join(values)}."
    if not isinstance(body.get("needs_log", True), bool):
        yield "needs_log", f"{body['needs_log']!r} is none of its values.", "There are: true, false."
    for entry in body.get("left_out") or ():
        if set(entry) != {"reason", "when", "why"}:
            yield "left_out", f"{dict(entry)!r} is no reason.", "A reason has the keys reason, when and why."
    for setting, told in (body.get("settings") or {}).items():
        if set(told) != {"default", "about"}:
            yield "settings", f"{setting!r} has the keys {', '.join(told)}.", "A setting has a default and an about."


def _wrong_names(body: Mapping[str, Any], file: Path) -> Iterator[Wrong]:
    known = dimensions(file)
    for dimension in body.get("dimensions") or ():
        if dimension not in known:
            yield "dimensions", f"there is no dimension {dimension!r}.", "Write it under dimensions."
    if body.get("mart") not in row_names(file):
        yield "mart", f"{body.get('mart')!r} has no entry under rows.", "Say there how one row is named."
    days = ("since", "until", "days") if "window" in body else ("until",) if body.get("kind") == "count_back" else ()
    named = sorted({*days, *(body.get("settings") or {})})
    for name in sorted(set(re.findall(r"\$(\w+)", str(dict(body)))) - set(named)):
        yield f"${name}", "is neither a setting nor a day of a window.", f"There are: {', '.join(named) or 'none'}."


def _wrong_steps(body: Mapping[str, Any]) -> Iterator[Wrong]:
    keys: list[str] = []
    for step in body.get("steps") or ():
        if not {"key", "label"} <= set(step) or ("sum" in step) == ("is" in step):
            yield "steps", f"{dict(step)!r} is no step.", "A step has a key, a label, and either sum or is."
        if strange := sorted(set(step) - {"key", "label", "sum", "is", "unit"}):
            yield "steps", f"{strange[0]} is no key of a step.", "There are: key, label, sum, is, unit."
        if step.get("key") in keys:
            yield "steps", f"{step.get('key')!r} is there twice.", "Every step has a key of its own."
        if step.get("key") in (*dimensions(), "n", "matched_n", "step", "value"):
            yield "steps", f"{step.get('key')!r} means something else here.", "Choose another key."
        keys.append(str(step.get("key")))


def _measure(name: str, body: dict[str, Any]) -> Measure:
    return Measure(
        id=name,
        source=body.pop("from", "").strip(),
        dimensions=tuple(dict.fromkeys((*COMMON, *body.pop("dimensions", ()), *(BUCKETS if "period" in body else ())))),
        left_out=tuple(LeftOut(**entry) for entry in body.pop("left_out")),
        min_n=body.pop("min_n", MIN_N if body["kind"] in ("percentile", "duration") else 1),
        steps=tuple(
            Step(step["key"], step["label"], str(step.get("sum", "")), str(step.get("is", "")), step.get("unit"))
            for step in body.pop("steps", ())
        ),
        settings=MappingProxyType(
            {
                setting: Setting(None if told["default"] is None else float(told["default"]), told["about"])
                for setting, told in (body.pop("settings", None) or {}).items()
            }
        ),
        **body,
    )


@cache
def _written(file: Path) -> dict[str, Any]:
    written: dict[str, Any] = yaml_text.parsed(file.read_text("utf-8"))
    return written
