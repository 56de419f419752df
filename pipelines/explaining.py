"""Words an explained answer: rule, definition, clock, currency, SQL, rows used, rows left out and why, and the answer.

What stays out: what any of it is (models/measure.py, asking.py) and how it is printed (cli.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from models.measure import Question, catalogue
from pipelines.asking import Answer, Explained

CLOCKS = {
    "elapsed": "elapsed days of 86 400 seconds",
    "working": "working days of the project's calendar, fractions kept",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A heading, lines of text, and a table."""

    title: str
    lines: tuple[str, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


def parts(question: Question, told: Explained) -> list[Part]:
    """The explanation in the order in which a reader wants it."""
    why, measure = told.explanation, told.explanation.measure
    rule = tuple(line for line in why.rule.splitlines())
    left_out = tuple({"rows": f"{rows:,}", "reason": reason, "why": text} for reason, rows, text in why.left_out)
    left_out_n = why.matched_rows - why.counted_rows
    return [
        Part(f"{measure.id} {measure.label}", (measure.definition,)),
        Part("Asked", _asked(question, told)),
        Part(f"Rule {measure.rule} (models/METRICS.md)", rule),
        Part("SQL", tuple(why.statement.sql.splitlines())),
        Part(
            "Parameters",
            tuple(f"${name} = {_literal(value)}" for name, value in why.statement.parameters.items()) or ("none",),
        ),
        Part(
            f"Rows used: {_used(told)}",
            (f"the {len(told.sample)} with the largest value:",) if len(told.sample) < why.counted_rows else (),
            tuple(told.sample),
        ),
        Part(f"Rows left out: {left_out_n:,} of the {why.matched_rows:,} that the filter lets through", (), left_out),
        Part(f"Answer ({told.answer.unit})", (), tuple(told.answer.rows)),
    ]


def answer_as_json(question: Question, answered: Answer) -> dict[str, Any]:
    """An answer with what one has to know to read it."""
    described = catalogue()[question.measure]
    settings = {name: each.default for name, each in described.settings.items()} | dict(question.settings)
    return {
        "measure": question.measure,
        "label": described.label,
        "definition": described.definition,
        "unit": answered.unit,
        "clock": question.clock or described.clock,
        "currency": answered.currency,
        "as_of": _written(answered.as_of),
        "snapshot": answered.snapshot,
        "by": question.by,
        "where": question.where,
        "since": question.since,
        "until": question.until,
        "settings": settings,
        "rows": answered.rows,
    }


def as_json(question: Question, told: Explained) -> dict[str, Any]:
    """An explained answer, whole."""
    why = told.explanation
    return {
        **answer_as_json(question, told.answer),
        "rule": {"id": why.measure.rule, "text": why.rule},
        "period": why.period,
        "sql": why.statement.sql,
        "parameters": {name: _literal(value) for name, value in why.statement.parameters.items()},
        "rows_matched": why.matched_rows,
        "rows_used": {
            "count": why.counted_rows,
            "open": why.open_rows,
            "ended": why.ended_rows,
            "largest": told.sample,
        },
        "rows_left_out": [{"reason": reason, "rows": rows, "why": text} for reason, rows, text in why.left_out],
    }


def _asked(question: Question, told: Explained) -> tuple[str, ...]:
    why = told.explanation
    filters = "; ".join(f"{name} = {' or '.join(values)}" for name, values in question.where.items() if values)
    told_settings = ", ".join(
        f"{name} = {'not set' if value is None else f'{value:g}'} ({why.measure.settings[name].about})"
        for name, value in why.settings.items()
    )
    snapshot = f"snapshot {told.answer.snapshot}" if told.answer.snapshot else "rebuilt from the warehouse"
    pairs = {
        "as of": f"{_written(told.answer.as_of)}, {snapshot}",
        "period": why.period,
        "clock": CLOCKS[why.clock] if why.measure.unit == "days" else "",
        "currency": told.answer.currency if why.measure.unit == "money" else "",
        "by": ", ".join(question.by) or "nothing: one row",
        "filter": filters or "none",
        "settings": told_settings,
        "read from": ", ".join(dict.fromkeys(re.findall(r"marts\.\w+", why.measure.source)))
        or f"marts.{why.measure.mart}",
    }
    return tuple(f"{name + ':':<11}{text}" for name, text in pairs.items() if text)


def _used(told: Explained) -> str:
    why = told.explanation
    if why.measure.kind != "duration":
        return f"{why.counted_rows:,}"
    finished = why.counted_rows - why.open_rows - why.ended_rows
    ended = f" + {why.ended_rows:,} ended otherwise" if why.measure.ended else ""
    return f"{why.counted_rows:,} = {finished:,} finished + {why.open_rows:,} open{ended}"


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    return f"date '{value}'" if isinstance(value, date) else f"'{value}'"


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
