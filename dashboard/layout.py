"""What every page is built from: head, freshness, filters, tiles, charts with their data, ledgers, empty states.

Nothing here reads a snapshot or reckons. Text from records is escaped on its way into HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import export, filters
from dashboard.data import Reading, Store, catalogue, mart_columns
from dashboard.figures import Figure
from dashboard.filters import CHOICES, PARAMS, PERIODS, Filters, Options
from dashboard.numbers import ABSENT, absence, day, instant, interval, plain, plural, shown_unit, worded
from models.measure import Measure, Question

HERE = Path(__file__).resolve().parent
CUSTOM = "custom"
KEPT_FIGURES = 300
TALLEST = 423  # px, eleven rows and a half: the half says that there are more
_CHART = {"displayModeBar": False, "responsive": True, "scrollZoom": False, "showTips": False}
_ALL = {"firm": "All firms", "client": "All clients", "playbook": "All playbooks", "manager": "All managers"}


def html(body: str) -> None:
    st.html(f'<div class="mp">{body}</div>')


def style() -> None:
    """The house style, and the mark above the navigation."""
    st.html(HERE / "theme.css")
    st.logo(HERE / "logo.svg", size="medium")


# ---------------------------------------------------------------- head and filters


def head(reading: Reading, title: str, lead: str) -> None:
    """Title, what the page answers, which filters are on, and how fresh every source is."""
    st.title(title, anchor=False)
    html(f'<p class="mp-lead">{escape(lead)}</p>')
    html(_freshness(reading))


def _freshness(reading: Reading) -> str:
    store = reading.store
    health = f'<a href="data-health{link_query(reading.filters)}" target="_self">data health</a>'
    parts = [
        f"<span><b>As of {instant(store.as_of)}</b></span>",
        *(_source(row) for row in sources(store).to_dicts()),
        f"<span>{set_aside(store)} · {sound(store)} · {health}</span>",
    ]
    chosen = _chosen(reading)
    return f'<div class="mp-fresh">{"".join(parts)}</div><p class="mp-caption" style="margin-top:.5rem">{chosen}</p>'


def sources(store: Store) -> pl.DataFrame:
    """The latest pull of every source."""
    columns = ["source", "kind", "firm", "pulled_at", "outcome", "row_count", "newest_recorded_at", "message"]
    return store.table("source_pulls", columns, only=(("is_latest", "=", True),), order=("source",))


def set_aside(store: Store) -> str:
    """How much does not fit, in words: rows in no other table, gates whose history contradicts itself."""
    rejected = store.table("rejects", ["entity"]).height
    violations = store.table("gates", ["gate_id"], only=(("has_chronology_violation", "=", True),)).height
    return f"{plural(rejected, 'record')} set aside, {plural(violations, 'gate')} out of order in time"


def sound(store: Store) -> str:
    """The data-quality score with its n, whatever the filters."""
    found = store.answer(Question("M3")).row(0, named=True)
    if found["value"] is None:
        return "no gate received"
    return f"{worded(found['value'], '%', '')} of {plural(found['n'], 'gate')} without a fault in its data"


def _source(row: Mapping[str, Any]) -> str:
    name, at = escape(row["firm"] or row["source"]), instant(row["pulled_at"]).removesuffix(" UTC")
    more = f"{plural(row['row_count'] or 0, 'record')}, the newest of {instant(row['newest_recorded_at'])}"
    if row["outcome"] == "ok":
        return f'<span class="mp-ok" title="{more}">{name}, pulled {at}</span>'
    why = escape(row["message"] or "")
    return f'<span class="mp-warn" title="{why}">{name}: pull failed {at}, older records stand</span>'


def _chosen(reading: Reading) -> str:
    chosen = reading.filters
    words = [
        f"{len(values)} {name}s"
        if len(values) > 2
        else " and ".join(options_of(reading.store)[name][v] for v in values)
        for name in CHOICES
        if (values := getattr(chosen, name))
    ]
    since, until = chosen.span(reading.as_of.date())
    period = chosen.period_words()
    if since and until and chosen.period in PERIODS:
        period = f"{period} ({day(since)} to {day(until)})"
    who = escape(", ".join(words)) if words else "All firms, clients, playbooks and managers"
    return f"{who} · {period}, in each project's time zone"


def options_of(store: Store) -> Options:
    """What each filter offers: what a link says → what a reader sees."""
    projects = store.table("projects", ["firm", "client_id", "client", "playbook", "manager"], order=("client",))
    plain_names = {
        name: {value: value for value in sorted(projects[name].drop_nulls().unique().to_list())}
        for name in ("firm", "playbook", "manager")
    }
    plain_names["playbook"] = {code: code.replace("_", " ").capitalize() for code in plain_names["playbook"]}
    clients = dict(zip(projects["client_id"].to_list(), projects["client"].to_list(), strict=True))
    return {**plain_names, "client": clients}


def choose_filters(store: Store, extra: Sequence[str] = ()) -> Filters:
    """The filters in the side bar, kept in the link. A link that says otherwise than this session wins.

    `extra`: query parameters of the page's own that stay in the link.
    """
    options = options_of(store)
    linked = {name: st.query_params.get_all(name) for name in PARAMS if st.query_params.get_all(name)}
    if "link" not in st.session_state or (linked and linked != st.session_state["link"]):
        _adopt(filters.read(linked, options))
    with st.sidebar:
        chosen = _widgets(options, store.as_of.date())
        if not chosen.is_default:
            st.button("Reset filters", on_click=_adopt, args=(Filters(),), type="tertiary")
    st.session_state["link"] = chosen.params()
    kept = {name: st.query_params.get_all(name) for name in extra if name in st.query_params}
    wanted = {**chosen.params(), **kept}
    if wanted != {name: st.query_params.get_all(name) for name in st.query_params}:
        st.query_params.from_dict(wanted)
    return chosen


def _adopt(chosen: Filters) -> None:
    for name in CHOICES:
        st.session_state[f"pick_{name}"] = list(getattr(chosen, name))
    is_custom = chosen.period not in PERIODS
    st.session_state["pick_period"] = CUSTOM if is_custom else chosen.period
    if is_custom:
        st.session_state["pick_days"] = tuple(date.fromisoformat(part) for part in chosen.period.split(".."))


def _widgets(options: Options, today: date) -> Filters:
    st.caption("Filters")
    picked = {
        name: tuple(
            st.multiselect(
                name.capitalize(),
                list(options[name]),
                key=f"pick_{name}",
                format_func=options[name].__getitem__,
                placeholder=_ALL[name],
            )
        )
        for name in CHOICES
    }
    named = {**PERIODS, CUSTOM: "From … to …"}
    period = st.selectbox("Period", list(named), key="pick_period", format_func=named.__getitem__)
    if period == CUSTOM:
        st.session_state.setdefault("pick_days", (today.replace(day=1), today))
        days = st.date_input("From and to", key="pick_days", format="YYYY-MM-DD")
        ends = tuple(cast("Sequence[date]", days))  # one day only, while the second is being picked
        period = filters.custom_period(*ends) if len(ends) == 2 else filters.DEFAULT_PERIOD
    return Filters(**picked, period=period)


# ---------------------------------------------------------------- links


def link_query(chosen: Filters, **own: str) -> str:
    """The query that carries the filters to another page, with that page's own parameters first."""
    pairs = {**own, **chosen.params()}
    return f"?{urlencode(pairs, doseq=True)}" if pairs else ""


def project_link(reading: Reading, project_id: str) -> str:
    return f"project{link_query(reading.filters, project=project_id)}"


# ---------------------------------------------------------------- tiles and definitions


@dataclass(frozen=True, slots=True)
class Tile:
    """A measure's number: `answer` is the one row that `models.measure` gave for it."""

    measure: str
    answer: Mapping[str, Any]
    label: str = ""
    counted: str = "rows"


def tile(reading: Reading, measure: str, counted: str, label: str = "") -> Tile:
    return Tile(measure, reading.answer(measure).row(0, named=True), label, counted)


def tiles(reading: Reading, shown: Sequence[Tile]) -> None:
    html(f'<div class="mp-tiles">{"".join(_tile(reading, one) for one in shown)}</div>')


def _tile(reading: Reading, one: Tile) -> str:
    about = catalogue()[one.measure]
    value, currency = one.answer["value"], reading.store.currency
    if value is None:
        number = f'<div class="mp-value mp-absent">{escape(absence(one.answer["note"]))}</div>'
    else:
        unit = one.counted if about.unit == "count" else shown_unit(about.unit, currency)
        number = f'<div class="mp-value">{plain(value, about.unit)}<small>{escape(unit)}</small></div>'
    return (
        f'<section class="mp-tile" data-measure="{about.id}" data-value="{"" if value is None else value}">'
        f"<h3>{escape(one.label or about.label)}</h3>{number}"
        f'<p class="mp-basis">{escape(basis(one.answer, one.counted, about.unit))}</p>'
        f"{definition(reading, one.measure)}</section>"
    )


def basis(answer: Mapping[str, Any], counted: str, unit: str) -> str:
    """What a number rests on: "P85 41.0 · 95 % interval 20.1–26.0 · n = 312 gates · 40 open, counted so far"."""
    parts = []
    if answer.get("p85") is not None:
        parts.append(f"P85 {plain(answer['p85'], unit)}")
    if answer["value"] is not None and (bounds := interval(answer.get("low"), answer.get("high"), unit)):
        parts.append(bounds)
    if unit != "count":
        parts.append(f"n = {answer['n']:,} {counted}")
    if answer.get("open_n"):
        parts.append(f"{answer['open_n']:,} open{', counted so far' if 'p85_low' in answer else ''}")
    return " · ".join(parts)


def column_definition(mart: str, column: str) -> str:
    """What a mart's column means, in its header's words, folded away."""
    about = escape(mart_columns(mart)[column])
    return f'<details class="mp-def"><summary>Definition</summary><p>{about} <b>{mart}.{column}</b></p></details>'


def definition(reading: Reading, measure: str) -> str:
    """The measure's definition and what it leaves out, folded away."""
    about = catalogue()[measure]
    left_out = [f"{plain(n, 'count')} {escape(reason)}" for reason, n, _ in reading.left_out(measure)]
    more = f"<p>Left out: {', '.join(left_out)}.</p>" if left_out else ""
    period = "" if about.period else "<p>As it stands at the snapshot's clock: the period does not apply.</p>"
    return (
        f'<details class="mp-def"><summary>Definition</summary><p>{escape(about.definition)}'
        f" <b>{about.id}</b></p>{period}{more}</details>"
    )


# ---------------------------------------------------------------- charts and ledgers


def section(title: str, words: str = "", *defined: str) -> DeltaGenerator:
    """A heading, its caption (units, n) and definitions made below. Returns the place at its right for tools."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small", wrap=False)
    told = (f'<p class="mp-caption">{escape(words)}</p>' if words else "") + "".join(defined)
    row.html(f'<div class="mp mp-section"><h3>{escape(title)}</h3>{told}</div>')
    return row


def part(title: str) -> None:
    """A heading over several sections."""
    html(f'<div class="mp-part"><h2>{escape(title)}</h2></div>')


def caption(words: str) -> None:
    html(f'<p class="mp-caption">{escape(words)}</p>')


def chart(
    reading: Reading,
    key: str,
    frame: pl.DataFrame,
    draw: Callable[[pl.DataFrame], Figure],
    *,
    alt: str,
    about: object = (),
    at: DeltaGenerator | None = None,
) -> None:
    """A figure and, one click away in the heading's row `at`, its data (none where a ledger below shows the same).

    The figure is kept by (snapshot, key, filters, about): `about` holds whatever else it depends on.
    """
    if frame.is_empty():
        nothing(reading)
        return
    figure = _figure(reading.store.id, reading.store.firms, key, repr((reading.filters, about)), _Drawing(frame, draw))
    st.plotly_chart(figure, config=_CHART, key=f"chart_{key}", alt=alt)
    if at is not None:
        with at.popover("Data", type="tertiary", key=f"data_{key}", help="The figure's numbers as a table"):
            ledger(reading, frame, key=f"table_{key}", at=st.container())


@dataclass(frozen=True, slots=True)
class _Drawing:
    frame: pl.DataFrame
    draw: Callable[[pl.DataFrame], Figure]


@st.cache_resource(max_entries=KEPT_FIGURES, show_spinner=False, hash_funcs={_Drawing: lambda _: ""})
def _figure(snapshot: str, firms: tuple[str, ...], key: str, asked: str, drawing: _Drawing) -> Figure:  # noqa: ARG001
    return drawing.draw(drawing.frame)


def ledger(
    reading: Reading,
    frame: pl.DataFrame,
    *,
    key: str,
    mart: str = "",
    names: Mapping[str, str] | None = None,
    at: DeltaGenerator,
) -> None:
    """Rows as a table with units in the headings, the mart's own words as help, a link to each project; CSV in `at`."""
    shown = _with_links(reading, frame)
    columns = {column: _column(reading, column, frame, mart, names or {}) for column in shown.columns}
    columns |= {
        "open": st.column_config.LinkColumn("Page", display_text="Open", width="small", help="The project's page")
    }
    columns |= {"source_url": st.column_config.LinkColumn("Source", display_text="record", width="small")}
    hidden = ("project_id", "client_id", "gate_id")
    st.dataframe(
        shown.to_arrow(),
        column_order=sorted((c for c in shown.columns if c not in hidden), key=lambda c: c != "open"),
        column_config=columns,
        hide_index=True,
        key=key,
        height=min(35 * (frame.height + 1) + 3, TALLEST),
        placeholder=ABSENT,
    )
    at.download_button(
        "CSV", lambda: export.csv(frame), file_name=f"milepost-{key}.csv", mime="text/csv", key=f"csv_{key}",
        on_click="ignore", type="tertiary", help="These rows as a file, with the columns' own names.",
    )  # fmt: skip


def _with_links(reading: Reading, frame: pl.DataFrame) -> pl.DataFrame:
    if "project_id" not in frame.columns:
        return frame
    links = [project_link(reading, p) if p else None for p in frame["project_id"].to_list()]
    return frame.with_columns(pl.Series("open", links, dtype=pl.String))


def _column(reading: Reading, column: str, frame: pl.DataFrame, mart: str, names: Mapping[str, str]) -> Any:
    about = (mart_columns(mart).get(column) if mart else None) or None
    currency = reading.store.currency
    label = names.get(column) or _spoken(column, currency)
    dtype = frame.schema.get(column)
    if column.endswith("_at"):
        return st.column_config.DatetimeColumn(label, help=about, format="YYYY-MM-DD HH:mm", timezone="UTC")
    if column.endswith("_on") or dtype == pl.Date:
        return st.column_config.DateColumn(label, help=about, format="YYYY-MM-DD")
    if dtype is not None and dtype.is_numeric():
        is_days = column.endswith("_days") or column in ("value", "p85", "p95", "low", "high", "p85_low", "p85_high")
        is_money = column.endswith(("_amount", "_amount_local")) or column == "amount"
        form = "%.1f" if is_days else "accounting" if is_money else "localized"
        return st.column_config.NumberColumn(label, help=about, format=form)
    return st.column_config.Column(label, help=about)


_SPOKEN = {
    "value": "Value", "p85": "P85", "p95": "P95", "n": "n", "p85_low": "P85 from", "p85_high": "P85 to",
    "ended_n": "Ended otherwise", "note": "Note", "open_n": "Open", "low": "95 % from",
    "high": "95 % to", "gate_label": "Gate", "day": "Day", "label": "Label",
}  # fmt: skip


def _spoken(column: str, currency: str) -> str:
    """A column's name for a reader, with its unit: unbilled_amount → "Unbilled (USD)"."""
    if column in _SPOKEN:
        return _SPOKEN[column]
    for ending, unit in (("_amount_local", " (own currency)"), ("_amount", f" ({currency})"), ("_days", " (days)"),
                         ("_at", " (UTC)"), ("_on", ""), ("_count", "")):  # fmt: skip
        if column.endswith(ending):
            return column.removesuffix(ending).replace("_", " ").capitalize() + unit
    return f"Amount ({currency})" if column == "amount" else column.removeprefix("is_").replace("_", " ").capitalize()


# ---------------------------------------------------------------- lists, facts, grids


def project_list(reading: Reading, rows: Sequence[tuple[str, str, str, str, str]], total: str, *, none: str) -> None:
    """Rows (project_id, what, where, sum, since), each a link to its project, and of how many they are the first."""
    if not rows:
        empty(none, "There is nothing to do here.")
        return
    items = "".join(
        f'<a href="{escape(project_link(reading, project_id))}" target="_self">'
        f'<span class="mp-what" title="{escape(what)}">{escape(what)}</span>'
        f'<span class="mp-sum">{escape(amount)}</span>'
        f'<span class="mp-where" title="{escape(where)}">{escape(where)}</span>'
        f'<span class="mp-since">{escape(since)}</span></a>'
        for project_id, what, where, amount, since in rows
    )
    html(f'<div class="mp-list">{items}</div><p class="mp-caption">The first {len(rows)} {escape(total)}</p>')


def counts(pairs: Sequence[tuple[str, int]]) -> None:
    """Words and how often each occurs, on one line."""
    html('<p class="mp-caption">' + " · ".join(f"<b>{n:,}</b> {escape(word)}" for word, n in pairs) + "</p>")


def source_link(words: str, url: str) -> None:
    """A link out to a record, for addresses a browser may open; others are shown as text."""
    is_web = url.startswith(("https://", "http://"))
    html(
        f'<p class="mp-caption"><a class="mp-out" href="{escape(url)}" target="_blank" rel="noopener noreferrer">'
        f"{escape(words)} ↗</a></p>"
        if is_web
        else f'<p class="mp-caption">{escape(words)}: {escape(url)}</p>'
    )


def definitions(measures: Iterable[Measure]) -> None:
    """Every measure with its sentence, unit, table and smallest n."""
    items = "".join(
        f"<div><dt><b>{m.id}</b> {escape(m.label)}</dt>"
        f'<dd>{escape(m.definition)} <span class="mp-quiet">{escape(_terms(m))}</span></dd></div>'
        for m in measures
    )
    html(f'<dl class="mp-glossary">{items}</dl>')


def _terms(measure: Measure) -> str:
    """ "days · from gates, by approved_at · needs n ≥ 6" """
    when = f"by {measure.period}" if measure.period else "as it stands"
    when = f"over {measure.window} days" if measure.window else when
    least = f" · needs n ≥ {measure.min_n}" if measure.min_n > 1 else ""
    return f"{measure.unit} · from {measure.mart}, {when}{least}"


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    html(
        '<dl class="mp-facts">'
        + "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs)
        + "</dl>"
    )


def grid(frame: pl.DataFrame, single: pl.DataFrame, *, row: str, column: str, order: Sequence[str], unit: str) -> None:
    """Answers by two dimensions: value and n in each cell, shaded. Where n carries no value, the `single` rows' own.

    `frame`: row, column, value, n. `single`: row, column, value, a row each. `order`: the columns' order.
    """
    present = set(frame[column].to_list())
    columns = [name for name in order if name in present]
    cells = {(r[row], r[column]): r for r in frame.to_dicts()}
    own: dict[tuple[str, str], list[float]] = {}
    for r in single.to_dicts():
        own.setdefault((r[row], r[column]), []).append(r["value"])
    most = max((r["value"] for r in cells.values() if r["value"] is not None), default=0) or 1
    top = "".join(f'<th scope="col">{escape(str(c))}</th>' for c in columns)
    body = "".join(
        f'<tr><th scope="row" title="{escape(str(name))}">{escape(str(name))}</th>'
        + "".join(_cell(cells.get((name, c)), own.get((name, c), []), unit, most) for c in columns)
        + "</tr>"
        for name in sorted({r for r, _ in cells})
    )
    table = f"<table><thead><tr><td></td>{top}</tr></thead><tbody>{body}</tbody></table>"
    html(f'<div class="mp-grid" tabindex="0" role="region" aria-label="{row} by {column}">{table}</div>')


def _cell(answer: Mapping[str, Any] | None, own: Sequence[float], unit: str, most: float) -> str:
    if answer is None or not answer["n"]:
        return f'<td class="mp-few">{ABSENT}</td>'
    if answer["value"] is None:
        values = ", ".join(plain(value, unit) for value in own)
        return f'<td class="mp-few">{values} <small>n = {answer["n"]}</small></td>'
    heat = max(0.0, answer["value"]) / most
    return (
        f'<td style="--heat:{heat:.2f}"><b>{plain(answer["value"], unit)}</b> <small>n = {answer["n"]:,}</small></td>'
    )


# ---------------------------------------------------------------- nothing to show


def nothing(reading: Reading, what: str = "Nothing here matches the filters.") -> None:
    """An empty place says why, and what to do."""
    if reading.store.table("projects", ["project_id"], limit=1).is_empty():
        empty(
            "This snapshot holds no projects.",
            "Check that a source is set up and sends records: <code>milepost doctor</code>.",
        )
    elif reading.filters.is_default:
        empty(what, "There is nothing of the kind on record in the last 12 months; choose a longer period at the left.")
    else:
        empty(what, 'Choose more at the left, or <a href="?" target="_self">reset the filters</a>.')


def empty(why: str, cure: str) -> None:
    """`cure` is HTML of ours, never a record's text."""
    html(f'<div class="mp-empty"><b>{escape(why)}</b><p>{cure}</p></div>')


def money(value: Any, reading: Reading) -> str:
    return worded(value, "money", reading.store.currency)


def unpublished(title: str) -> None:
    """The page before the first refresh."""
    st.title(title, anchor=False)
    empty("No snapshot has been published yet.", "Run <code>milepost refresh</code>, then reload this page.")


def broken(title: str, what: str) -> None:
    """The page when the settings cannot be read; `what` names file, key and cure."""
    st.title(title, anchor=False)
    empty("The settings cannot be read.", escape(what))
