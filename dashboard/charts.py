"""A figure with its data beside it, what a reader picks in it, and rows as a table that leads to projects.

What stays out: how a figure is drawn (figures.py, timelines.py) and which rows it shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import export
from dashboard.chart_template import Figure
from dashboard.data import Reading, catalogue, mart_columns
from dashboard.drawn import Drawn, Ids, parted
from dashboard.export import Table
from dashboard.figures import parts_of
from dashboard.keeping import Kept
from dashboard.layout import caption, nothing, project_link, section
from dashboard.numbers import ABSENT, current, day, of_locale, plural
from models.measure import Bucket, Clock, Measure

KEPT_FIGURES, KEPT_FIGURES_BYTES = 400, 48 * 2**20
ROW = 32.8125  # px, a table's row: 2.1875 rem of the theme's 15 px
LISTED = 150  # rows of a table that are sent to the browser
TALLEST = 413  # px, eleven rows and a half: the half says that there are more
_CHART = {"displayModeBar": False, "responsive": True, "scrollZoom": False, "showTips": False}
# Vocabularies, written_so.
_CODED = ("status", "playbook", "history_quality", "type", "decision", "kind", "entity", "table")
_LONGEST = 200  # letters of a text in a figure
_MARKUP = re.compile(r"<(?!/?b>|br>|/?extra>)")
_HIDDEN = ("project_id", "client_id", "gate_id", "id")


_figures = Kept(KEPT_FIGURES, KEPT_FIGURES_BYTES)


def chart(
    reading: Reading,
    key: str,
    frame: pl.DataFrame,
    draw: Callable[[pl.DataFrame], Figure],
    *,
    alt: str,
    about: object = (),
    at: DeltaGenerator | None = None,
) -> list[str]:
    """A figure and, one click away in the heading's row `at`, its data (none where a ledger below shows the same).

    The figure is kept by (snapshot, page, key, filters, about): `about` holds whatever else it depends on. Returns the
    ids of the marks that a reader chose, as they were given: no id is ever sent.
    """
    if frame.is_empty() or (
        "n" in frame.columns and not (frame["n"].fill_null(0) > 0).any()
    ):  # axes alone tell nothing
        nothing(reading)
        return []
    asked = repr((draw.__module__, reading.filters, about, current().code))  # a page's keys are its own
    kept_by = (reading.store.id, reading.store.sight, key, asked)
    figure = Drawn(*_figures.get(kept_by, lambda: _parted(draw(frame))))
    if at is not None:
        reading.sheets.tables.append(Table(alt, "", frame))
    chosen = choose(figure, key, alt)
    if at is not None:
        told = "The figure's numbers as a table"
        beside = at.popover("Data", type="tertiary", key=f"data_{key}", help=told, on_change="rerun")
        if beside.open:  # a table nobody opened is not sent
            with beside:
                ledger(reading, frame, key=f"table_{key}", at=st.container(), title="")
    return chosen


def choose(figure: Drawn, key: str, alt: str) -> list[str]:
    """Draws a figure; the ids of the marks chosen in it."""
    picked: Any = st.plotly_chart(
        figure, config=_CHART, key=f"chart_{key}", alt=alt, on_select="rerun", selection_mode="points"
    )
    return figure.chosen(picked["selection"]["points"])


def _parted(figure: Figure) -> tuple[Figure, Ids]:
    shown, ids = parted(figure)
    return inert(shown), ids


def inert(drawn: Any) -> Any:
    """A figure whose words hold no more markup than the figures' own, and none longer than a line can bear.

    Plotly reads some HTML in every text: a record's link or image would be one. What is written so is shown as it is.
    """
    if isinstance(drawn, dict):
        return {name: inert(value) for name, value in drawn.items()}
    if isinstance(drawn, list | tuple):
        return [inert(value) for value in drawn]
    if isinstance(drawn, str):
        short = drawn if len(drawn) <= _LONGEST else f"{drawn[: _LONGEST - 20]}…{drawn[-19:]}"
        return _MARKUP.sub("&lt;", short)
    return drawn


# What of a row is shown when it is asked for by a mark: where it stands, and what it is called.
_ROW = (
    "project_id", "gate_label", "number", "title", "description", "type", "owed_for", "from_team", "to_team", "client",
    "project", "manager", "owner_team", "status", "decision", "reason", "kind", "attempt", "started_at", "began_at",
    "submitted_at", "approved_at", "issued_at", "due_on", "requested_at", "decided_at", "done_at", "occurred_on",
    "received_at", "amount", "source_url",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mark:
    """The rows a mark stands for: those of a measure with `where` more, between two days if given, and `only` those.

    `words` names it to a reader; `first` are columns that lead the list, beside the measure's own.
    """

    measure: str
    words: str
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    span: tuple[date | None, date | None] | None = None
    only: pl.Expr | None = None
    first: tuple[str, ...] = ()


def rows_behind(reading: Reading, key: str, marks: Sequence[Mark]) -> None:
    """The rows that marks stand for, their own number first, each leading to its project. Of marks of several measures
    only those of the first are listed: their rows have nothing in common.
    """
    marks = [mark for mark in marks if mark.measure == marks[0].measure]
    if not marks:
        return
    about, first = catalogue()[marks[0].measure], marks[0].first
    rows = pl.concat([_rows_of(reading, mark) for mark in marks]).unique(maintain_order=True)
    own = [own_column(reading, about, name) for name in (about.value, about.running, about.part)]
    names = [name for name in dict.fromkeys((*first, *own, *_ROW)) if name in rows.columns]
    shown = rows.select(names)
    leading = [name for name in (*first, *own) if name in names and shown.schema[name].is_numeric()]
    if leading:
        shown = shown.sort(leading[0], descending=True, nulls_last=True)
    named = " and ".join(dict.fromkeys(mark.words for mark in marks))
    row = section(f"Behind {named}", f"{plural(rows.height, 'row')}. Double-click the figure to let go")
    if rows.is_empty():
        nothing(reading, "No row stands behind this mark.")
        return
    ledger(reading, shown, key=f"behind_{key}", mart=about.mart, at=row, title="")


def _rows_of(reading: Reading, mark: Mark) -> pl.DataFrame:
    question = reading.question(mark.measure, **mark.where)
    if mark.span is not None:
        question = replace(question, since=mark.span[0], until=mark.span[1])
    rows = reading.store.rows(question)
    return rows if mark.only is None else rows.filter(mark.only)


def own_column(reading: Reading, about: Measure, column: str) -> str:
    """A measure's column, or the one in its stead on the clock that is asked for."""
    return about.working.get(column, column) if clock(reading, about.id) == "working" else column


def clock(reading: Reading, measure: str) -> Clock:
    """The clock on which a measure is told under the filters."""
    return reading.question(measure).clock or catalogue()[measure].clock


def bucket(reading: Reading, first: str, size: Bucket) -> tuple[date | None, date | None]:
    """From the first to the last day of the week or month that a mark stands for, within the period."""
    begins = date.fromisoformat(first[:10])
    ends = begins + timedelta(days=6)
    if size == "month":
        ends = (begins.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    since, until = reading.span()
    return max(begins, since) if since else begins, min(ends, until) if until else ends


def buckets(measure: str, chosen: Sequence[str], size: Bucket, reading: Reading) -> list[Mark]:
    """The marks of bars by week or month."""
    spans = [bucket(reading, first, size) for first in chosen]
    return [Mark(measure, f"{day(span[0])} to {day(span[1])}", span=span) for span in spans]


def months(reading: Reading, chosen: Sequence[str], measures: Mapping[str, tuple[str, str]]) -> list[Mark]:
    """The marks of lines by month; `measures`: the line's column → measure and words."""
    marks = []
    for column, first in map(parts_of, chosen):
        measure, words = measures[column]
        since, until = bucket(reading, first, "month")
        marks.append(Mark(measure, f"{words}, {day(since)} to {day(until)}", span=(since, until)))
    return marks


def of_values(measure: str, dimension: str, chosen: Sequence[str]) -> list[Mark]:
    """The marks of a figure with a mark for each value of a dimension."""
    return [Mark(measure, one, {dimension: (one,)}) for one in chosen]


def gates_behind(reading: Reading, key: str, ids: Sequence[str]) -> None:
    """The gates that marks stand for, whatever the filters."""
    if not ids:
        return
    rows = reading.store.table("gates", _GATE, only=(("gate_id", "in", tuple(ids)),), order=("client", "project"))
    row = section("Chosen in the figure", f"{plural(rows.height, 'gate')}. Double-click the figure to let go")
    ledger(reading, rows, key=f"picked_{key}", mart="gates", at=row, title="")


_GATE = [
    "project_id", "gate_label", "client", "project", "status", "started_at", "approved_at", "baseline_on", "due_on",
    "cycle_days", "age_days", "rework_count", "bills_amount", "source_url",
]  # fmt: skip


def thinned(curve: pl.DataFrame, group: str, along: str, most: int = 240) -> pl.DataFrame:
    """Every k-th step of each group's curve, its last always, so that a browser draws it at once."""
    counted = curve.sort(group, along).with_columns(
        pl.int_range(pl.len()).over(group).alias("place"), pl.len().over(group).alias("steps")
    )
    step = pl.max_horizontal(pl.lit(1), pl.col("steps") // most)
    kept = counted.filter((pl.col("place") % step == 0) | (pl.col("place") == pl.col("steps") - 1))
    return kept.drop("place", "steps")


def told_apart(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with a `label`, the project's name; projects of one name get a number, so that each is drawn apart."""
    seen: dict[str, list[str]] = {}
    for name, project in rows.select("project", "project_id").unique(maintain_order=True).rows():
        seen.setdefault(name, []).append(project)
    labels = {
        project: f"{name} ({place})" if len(ids) > 1 else name
        for name, ids in seen.items()
        for place, project in enumerate(ids, 1)
    }
    return rows.with_columns(pl.col("project_id").replace_strict(labels, default=None).alias("label"))


def ledger(
    reading: Reading,
    frame: pl.DataFrame,
    *,
    key: str,
    mart: str = "",
    names: Mapping[str, str] | None = None,
    at: DeltaGenerator,
    title: str | None = None,
    projects: pl.Series | None = None,
    most: int | None = None,
) -> None:
    """Rows as a table with units in the headings, the mart's own words as help, a link to each project; CSV in `at`.

    `title` names the table in the page's files; "" leaves it out of them. `projects` are the ids of the rows' projects
    where they lead there and no file may name them. `most` rows are sent to the browser, `LISTED` where it is not told.
    """
    if title != "":
        reading.sheets.tables.append(Table(title or key.replace("_", " ").capitalize(), "", frame))
    listed = frame.head(min(most or LISTED, LISTED))
    shown = _with_links(reading, listed.with_columns(_as_written(listed)), projects)
    shown = shown.drop(name for name in _HIDDEN if name in shown.columns)
    columns = {column: _column(reading, column, frame, mart, names or {}) for column in shown.columns}
    columns |= {
        "open": st.column_config.LinkColumn("Page", display_text="open", width="small", help="The project's page")
    }
    columns |= {"source_url": st.column_config.LinkColumn("Source", display_text="record", width="small")}
    columns |= {"source_place": st.column_config.Column("Source", width="small")}
    st.dataframe(
        shown.to_arrow(),
        column_order=sorted(shown.columns, key=lambda c: (c != "open") if projects is None else c == "open"),
        column_config=columns,
        hide_index=True,
        key=key,
        height=min(round(ROW * (listed.height + 1)) + 3, TALLEST),
        alt=title or key.replace("_", " "),
        placeholder=ABSENT,
    )
    if listed.height < frame.height:
        whole = plural(frame.height, "row")
        caption(f"The first {listed.height:,} of {whole} as they are sorted; all of them in the files.")
    as_csv(frame, key=key, at=at)


def as_csv(frame: pl.DataFrame, *, key: str, at: DeltaGenerator) -> None:
    at.download_button(
        "CSV", lambda: export.csv(frame), file_name=f"milepost-{key}.csv", mime="text/csv", key=f"csv_{key}",
        on_click="ignore", type="tertiary", help="These rows as a file, with the columns' own names.",
    )  # fmt: skip


def _as_written(frame: pl.DataFrame) -> list[pl.Expr]:
    """Columns as a table shows them: words for codes, yes and no, days to a tenth."""
    written = [pl.col(name).str.replace_all("_", " ") for name in _CODED if frame.schema.get(name) == pl.String]
    written += [pl.col(name).replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
                for name, kind in frame.schema.items() if kind == pl.Boolean]  # fmt: skip
    return written + [
        pl.col(name).round(1) + 0.0 for name, kind in frame.schema.items() if _is_days(name) and kind.is_float()
    ]


def _is_days(column: str) -> bool:
    return column.endswith("_days") or column in ("value", "p85", "p95", "low", "high", "p85_low", "p85_high")


def _with_links(reading: Reading, frame: pl.DataFrame, projects: pl.Series | None = None) -> pl.DataFrame:
    frame = _with_places(frame)
    if projects is None and "project_id" not in frame.columns:
        return frame
    ids = frame["project_id"] if projects is None else projects.head(frame.height)
    links = [project_link(reading, p) if p else None for p in ids.to_list()]
    return frame.with_columns(pl.Series("open", links, dtype=pl.String))


def _with_places(frame: pl.DataFrame) -> pl.DataFrame:
    """Only an address of the web is a link; a file and row, or whatever else a record gives for one, is text."""
    if frame.schema.get("source_url") != pl.String:
        return frame
    is_web = pl.col("source_url").str.contains(r"^https?://")
    placed = frame.with_columns(pl.when(~is_web).then("source_url").alias("source_place"))
    if placed["source_place"].null_count() == placed.height:
        return frame
    linked = placed.with_columns(pl.when(is_web).then("source_url").alias("source_url"))
    return linked.drop("source_url") if linked["source_url"].null_count() == linked.height else linked


def _column(reading: Reading, column: str, frame: pl.DataFrame, mart: str, names: Mapping[str, str]) -> Any:
    about = (mart_columns(mart).get(column) if mart else None) or None
    label = names.get(column) or spoken(column, reading.currency)
    dtype = frame.schema.get(column)
    if column.endswith("_at"):
        return st.column_config.DatetimeColumn(label, help=about, format=f"{current().table} HH:mm", timezone="UTC")
    if column.endswith("_on") or dtype == pl.Date:
        return st.column_config.DateColumn(label, help=about, format=current().table)
    if dtype is not None and dtype.is_numeric():
        is_days = _is_days(column)
        is_money = column.endswith(("_amount", "_amount_local")) or column == "amount"
        places = 1 if is_days else 2 if is_money else 0 if dtype.is_integer() else None
        return st.column_config.NumberColumn(
            label, help=about, format=_signs(places), step=None if places is None else 10.0**-places
        )
    return st.column_config.Column(label, help=about)


def _signs(places: int | None) -> str:
    """How a table writes numbers: with the reader's signs, as far as a browser can be told which."""
    form = current().code
    if form != of_locale(st.context.locale) and places is not None and form in ("en", "us"):
        return f"%,.{places}f"
    return "localized"  # with the browser's own signs


_SPOKEN = {
    "value": "Value", "p85": "P85", "p95": "P95", "n": "n", "p85_low": "P85 from", "p85_high": "P85 to",
    "ended_n": "Ended otherwise", "note": "Note", "open_n": "Open", "low": "95 % from",
    "high": "95 % to", "gate_label": "Gate", "day": "Day", "label": "Label", "amount_local": "Amount (own currency)",
}  # fmt: skip


def spoken(column: str, currency: str) -> str:
    """A column's name for a reader, with its unit: unbilled_amount → "Unbilled (USD)"."""
    if column in _SPOKEN:
        return _SPOKEN[column]
    for ending, unit in (("_amount_local", " (own currency)"), ("_amount", f" ({currency})"), ("_days", " (days)"),
                         ("_at", " (UTC)"), ("_on", ""), ("_count", "")):  # fmt: skip
        if column.endswith(ending):
            return column.removesuffix(ending).replace("_", " ").capitalize() + unit
    return f"Amount ({currency})" if column == "amount" else column.removeprefix("is_").replace("_", " ").capitalize()
