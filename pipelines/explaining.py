"""Words an explained answer: rule, definition, clock, currency, SQL, rows used, rows left out and why, and the answer.

What stays out: what any of it is (models/measure.py, asking.py) and how it is printed (cli.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.explaining import Answer, Told, asked, literal, used, written
from models.measure import Question, catalogue


@dataclass(frozen=True, slots=True)
class Part:
    """A heading, lines of text, and a table."""

    title: str
    lines: tuple[str, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


def parts(question: Question, told: Told) -> list[Part]:
    """The explanation in the order in which a reader wants it."""
    why, measure = told.explanation, told.explanation.measure
    rule = tuple(line for line in why.rule.splitlines())
    left_out = tuple({"rows": f"{rows:,}", "reason": reason, "why": text} for reason, rows, text in why.left_out)
    left_out_n = why.matched_rows - why.counted_rows
    return [
        Part(f"{measure.id} {measure.label}", (measure.definition,)),
        Part("Asked", tuple(f"{name + ':':<11}{text}" for name, text in asked(question, told).items())),
        Part(f"Rule {measure.rule} (models/METRICS.md)", rule),
        Part("SQL", tuple(why.statement.sql.splitlines())),
        Part(
            "Parameters",
            tuple(f"${name} = {literal(value)}" for name, value in why.statement.parameters.items()) or ("none",),
        ),
        Part(
            f"Rows used: {used(why)}",
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
        "as_of": written(answered.as_of),
        "snapshot": answered.snapshot,
        "by": question.by,
        "where": question.where,
        "since": question.since,
        "until": question.until,
        "settings": settings,
        "rows": answered.rows,
    }


def as_json(question: Question, told: Told) -> dict[str, Any]:
    """An explained answer, whole."""
    why = told.explanation
    return {
        **answer_as_json(question, told.answer),
        "rule": {"id": why.measure.rule, "text": why.rule},
        "period": why.period,
        "sql": why.statement.sql,
        "parameters": {name: literal(value) for name, value in why.statement.parameters.items()},
        "rows_matched": why.matched_rows,
        "rows_used": {
            "count": why.counted_rows,
            "open": why.open_rows,
            "ended": why.ended_rows,
            "largest": told.sample,
        },
        "rows_left_out": [{"reason": reason, "rows": rows, "why": text} for reason, rows, text in why.left_out],
    }
