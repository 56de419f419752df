"""Explain this number: what it means, how it was asked, its SQL, the rows behind it, the rows left out, and where
other tools differ. What stays out: any word of it (models/explaining.py).
"""

from __future__ import annotations

from html import escape

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.data import Reading, catalogue
from dashboard.layout import html
from dashboard.layout import section as heading
from dashboard.numbers import ABSENT, day, plain, plural, worded
from models import explaining
from models.explaining import Told
from models.measure import Question


def button(
    reading: Reading, measure: str, key: str, at: DeltaGenerator | None = None, *by: str, **where: tuple[str, ...]
) -> None:
    """A quiet button that opens the explanation of a measure's answer under the filters, grouped as a figure is."""
    question = reading.question(measure, *by, **where)
    place = at or st
    about = catalogue()[measure]
    if place.button("Explain", key=f"explain_{key}", type="tertiary", help=about.definition):
        show(reading, question)


def section(
    reading: Reading, title: str, words: str, measure: str, *by: str, key: str = "", **where: tuple[str, ...]
) -> DeltaGenerator:
    """A heading whose figure answers a measure, with its explanation at the right; returns the place for more tools."""
    row = heading(title, words)
    button(reading, measure, key or f"{measure}_{'_'.join(by)}", row, *by, **where)
    reading.define(measure)
    return row


def show(reading: Reading, question: Question) -> None:
    """The explanation, over the page."""
    about = catalogue()[question.measure]
    st.dialog(f"{about.id} · {about.label}", width="large")(_body)(reading, question)


def _body(reading: Reading, question: Question) -> None:
    told = reading.store.told(question)
    why, about = told.explanation, told.explanation.measure
    html(f'<p class="mp-lead">{escape(about.definition)}</p>{_asked(reading, question, told)}')
    left_out = why.matched_rows - why.counted_rows
    html(
        f'<h3 class="mp-h3">Rows used: {escape(explaining.used(why))}</h3>'
        f'<h3 class="mp-h3">Rows left out: {left_out:,} of the {why.matched_rows:,} that the filter lets through</h3>'
    )
    if why.left_out:
        rows = "".join(
            f"<tr><td>{n:,}</td><td>{escape(reason)}</td><td>{escape(text)}</td></tr>"
            for reason, n, text in why.left_out
        )
        html(f'<table class="mp-table"><thead><tr><th>Rows</th><th>Reason</th><th>Why</th></tr></thead>{rows}</table>')
    if reading.then is not None:
        _moved(reading, question)
    differs = explaining.differences(about.id)
    if differs:
        html('<h3 class="mp-h3">Why this may differ</h3>')
        html("".join(f"<p class='mp-differs'><b>{escape(t)}</b> {escape(text)}</p>" for t, text in differs.items()))
    with st.expander(f"Rule {about.rule}"):
        st.markdown(why.rule)
    with st.expander("SQL"):
        st.code(why.statement.sql, language="sql")
        given = "\n".join(f"${k} = {explaining.literal(v)}" for k, v in why.statement.parameters.items())
        if given:
            st.code(given, language="sql")
    if told.sample:
        with st.expander(f"The largest {plural(len(told.sample), 'row')}"):
            st.dataframe(pl.DataFrame(told.sample, infer_schema_length=None).to_arrow(), hide_index=True)


def _asked(reading: Reading, question: Question, told: Told) -> str:
    names = reading.names()
    pairs = explaining.asked(question, told)
    if pairs.get("filter", "none") != "none":
        pairs["filter"] = "; ".join(
            f"{name.removesuffix('_id')}: {' or '.join(names.get(value, value) for value in values)}"
            for name, values in question.where.items()
            if values
        )
    told_pairs = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs.items())
    return f'<dl class="mp-facts mp-asked">{told_pairs}</dl>'


def _moved(reading: Reading, question: Question) -> None:
    """The facts that moved the number since the day compared with."""
    then = reading.question_then(question.measure)
    if reading.then is None or then is None:
        return
    about = catalogue()[question.measure]
    found = reading.store.moved(reading.then, then, question)
    counts = f"{found.came:,} came, {found.went:,} went, {found.changed:,} count for another value"
    html(f'<h3 class="mp-h3">What changed since {day(reading.then.rewound_to)}: {counts}</h3>')
    unit = about.unit if about.kind not in ("share", "ratio", "steps") else "ratio"
    rows = "".join(
        f"<tr><td>{r['change']}</td><td>{escape(r['label'] or ABSENT)}</td><td>{plain(r['then'], unit)}</td>"
        f"<td>{plain(r['now'], unit)}</td></tr>"
        for r in found.rows.head(12).to_dicts()
    )
    if rows:
        html(
            '<table class="mp-table"><thead><tr><th>Fact</th><th>Row</th><th>Then</th><th>Now</th></tr></thead>'
            f"{rows}</table>"
        )


def value_words(reading: Reading, measure: str) -> str:
    """A measure's number in a sentence."""
    return worded(reading.row(measure)["value"], catalogue()[measure].unit, reading.currency)
