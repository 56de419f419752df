"""What a reader has to be told about an answer: what was asked, which rows stand behind it, where tools differ.

Words only: the answer and its explanation come from `measure.py`. What stays out: how it is printed (the command
line) or laid out (a page).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from models.measure import Explanation, Question

CLOCKS = {
    "elapsed": "elapsed days of 86 400 seconds",
    "working": "working days of the project's calendar, fractions kept",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows as the dashboard shows them. `snapshot` is None where the marts were rebuilt for the question."""

    rows: list[dict[str, Any]]
    unit: str  # of `value`; the reporting currency's code for money
    as_of: datetime
    snapshot: str | None
    currency: str


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, what stands behind it, and a few of the rows it was made from."""

    answer: Answer
    explanation: Explanation
    sample: list[dict[str, Any]]


def asked(question: Question, told: Told) -> dict[str, str]:
    """What was asked, heading → words; what does not apply is left off."""
    why = told.explanation
    filters = "; ".join(f"{name} = {' or '.join(values)}" for name, values in question.where.items() if values)
    told_settings = ", ".join(
        f"{name} = {'not set' if value is None else f'{value:g}'} ({why.measure.settings[name].about})"
        for name, value in why.settings.items()
    )
    snapshot = f"snapshot {told.answer.snapshot}" if told.answer.snapshot else "rebuilt from the records"
    pairs = {
        "as of": f"{written(told.answer.as_of)}, {snapshot}",
        "period": why.period,
        "clock": CLOCKS[why.clock] if why.measure.unit == "days" else "",
        "currency": told.answer.currency if why.measure.unit == "money" else "",
        "by": ", ".join(question.by) or "nothing: one row",
        "filter": filters or "none",
        "settings": told_settings,
        "read from": ", ".join(dict.fromkeys(re.findall(r"marts\.\w+", why.measure.source)))
        or f"marts.{why.measure.mart}",
    }
    return {name: text for name, text in pairs.items() if text}


def used(why: Explanation) -> str:
    """How many rows count, and of a duration how many are not finished."""
    if why.measure.kind != "duration":
        return f"{why.counted_rows:,}"
    finished = why.counted_rows - why.open_rows - why.ended_rows
    ended = f" + {why.ended_rows:,} ended otherwise" if why.measure.ended else ""
    return f"{why.counted_rows:,} = {finished:,} finished + {why.open_rows:,} open{ended}"


def literal(value: Any) -> str:
    """A parameter as it would stand in the SQL."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    return f"date '{value}'" if isinstance(value, date) else f"'{value}'"


def written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def differences(measure: str) -> Mapping[str, str]:
    """Why other tools may show another number for this: tool → words. Empty where none is known."""
    return MappingProxyType({tool: text for ids, tool, text in _differences() if measure in ids})


@cache
def _differences() -> list[tuple[list[str], str, str]]:
    file = Path(__file__).resolve().parent / "differences.yml"
    return [
        (entry["measures"], tool, text)
        for entry in yaml.safe_load(file.read_text("utf-8"))
        for tool, text in entry["differs"].items()
    ]
