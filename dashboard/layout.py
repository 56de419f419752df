"""What every page is built from: head, freshness, headings, lists, grids, empty places.

Nothing here reads a snapshot or reckons. Text from records is escaped on its way into HTML. Tiles stand in tiles.py,
figures and tables in charts.py, filters in controls.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import polars as pl
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import first_paint
from dashboard.data import Reading, Store
from dashboard.filters import CHOICES, CLOCKS, PERIODS, Filters, Options, code
from dashboard.numbers import ABSENT, day, grouped, instant, plain, plural, worded
from models.measure import Measure, Question

HERE = Path(__file__).resolve().parent
GRID_ROWS = 80


def html(body: str) -> None:
    st.html(f'<div class="mp">{body}</div>')


def style() -> None:
    """The house style, and the mark above the navigation."""
    if not first_paint.stands():  # `streamlit run` by hand: as HTML it would wait for a script of Streamlit's
        with st.container(height=1, border=False, key="style"):
            st.markdown(f"<style>{first_paint.style()}</style>", unsafe_allow_html=True)
    st.logo(HERE / "logo.svg", size="medium")


# ---------------------------------------------------------------- head


def head(reading: Reading, lead: str) -> None:
    """What the page answers, as of when, which filters are on, and how fresh every source is."""
    html(f'<p class="mp-lead">{escape(lead)}</p>')
    if reading.store.rewound_to:
        back = escape(link_query(replace(reading.filters, as_of=None)) or "?")
        html(
            f'<p class="mp-rewound"><b>Rewound to {day(reading.store.rewound_to)}.</b> Every number stands as it did '
            f'at the end of that day, UTC. <a href="{back}" target="_self">Back to {day(reading.store.latest)}</a></p>'
        )
    html(_freshness(reading))
    about(reading, lead)


def about(reading: Reading, lead: str) -> None:
    """Notes down, for the page as a file, what it shows and of when."""
    reading.sheets.about += [
        ("answers", lead),
        ("as of", instant(reading.as_of)),
        ("snapshot", reading.store.id + (" rewound" if reading.store.rewound_to else "")),
        ("filters", _who(reading)),
        ("period", _period(reading)),
        ("currency", reading.currency),
        ("durations", CLOCKS[reading.filters.clock] if reading.filters.clock else "each as it is defined"),
    ]


def _freshness(reading: Reading) -> str:
    store = reading.store
    pulls = sources(store).to_dicts()
    failed = [row for row in pulls if row["outcome"] != "ok"]
    fresh = plural(len(pulls), "source") if not failed else f"{len(pulls) - len(failed)} of {len(pulls)} sources"
    listed = "".join(f"<li>{_source(row)}</li>" for row in pulls)
    health = f'<a href="data-health{escape(link_query(reading.filters))}" target="_self">data health</a>'
    return (
        f'<div class="mp-fresh" data-snapshot="{escape(store.id)}">'
        f"<details><summary><b>As of {instant(store.as_of)}</b></summary><ul>{listed}</ul></details>"
        f'<span class="{"mp-warn" if failed else "mp-ok"}">{fresh} pulled</span>'
        + "".join(f'<span class="mp-quiet">{_source(row)}</span>' for row in failed)
        + f"<span>{set_aside(store)}</span><span>{sound(store)} · {health}</span></div>"
        f'<p class="mp-caption mp-chosen">{escape(_who(reading))} · {escape(_period(reading))}'
        f"{f' · durations in {CLOCKS[reading.filters.clock]}' if reading.filters.clock else ''}</p>"
    )


def sources(store: Store) -> pl.DataFrame:
    """The latest pull of every source."""
    columns = ["source", "kind", "firm", "pulled_at", "outcome", "row_count", "newest_recorded_at", "message"]
    return store.table("source_pulls", columns, only=(("is_latest", "=", True),), order=("source",))


def set_aside(store: Store) -> str:
    """How much does not fit, in words: rows in no other table, gates whose history contradicts itself.

    What the day could not know yet is no fault of the records, and is not counted.
    """
    rejected = store.table("rejects", ["entity"], only=(("reason", "<>", "after as_of"),)).height
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
    if row["outcome"] == "ok":
        count = "" if row["row_count"] is None else f"{plural(row['row_count'], 'record')}, "
        more = f"{count}the newest of {instant(row['newest_recorded_at'])}"
        return f"{name}, pulled {at} ({more})"
    why = escape(row["message"] or "")
    what = "pull failed" if row["outcome"] == "failed" else "what was pulled does not fit, as of"
    return f"{name}: {what} {at}, older records stand. {why}"


def _who(reading: Reading) -> str:
    words = [
        f"{len(values)} {name}s"
        if len(values) > 2
        else " and ".join(options_of(reading.store)[name].get(v, "a choice unknown then") for v in values)
        for name in CHOICES
        if (values := getattr(reading.filters, name))
    ]
    return ", ".join(words) or "All firms, clients, playbooks and managers"


def _period(reading: Reading) -> str:
    chosen = reading.filters
    since, until = reading.span()
    period = chosen.period_words()
    if since and until and chosen.period in PERIODS:
        period = f"{period} ({day(since)} to {day(until)})"
    return f"{period}, in each project's time zone"


def options_of(store: Store) -> Options:
    """What each filter offers: value → what a reader sees."""
    return store.options()


# ---------------------------------------------------------------- links


def link_query(chosen: Filters, **own: str) -> str:
    """The query that carries the filters to another page, with that page's own parameters first."""
    pairs = {**own, **chosen.params()}
    return f"?{urlencode(pairs, doseq=True)}" if pairs else ""


def project_link(reading: Reading, project_id: str) -> str:
    return f"project{link_query(reading.filters, project=code(project_id))}"


# ---------------------------------------------------------------- headings


def section(title: str, words: str = "", *defined: str) -> DeltaGenerator:
    """A heading, its caption (units, n) and definitions made below. Returns the place at its right for tools."""
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    told = (f'<p class="mp-caption">{escape(words)}</p>' if words else "") + "".join(defined)
    row.html(f'<div class="mp mp-section"><h2>{escape(title)}</h2>{told}</div>')
    return row


def tools() -> DeltaGenerator:
    """A place for tools at the right of a list that has no heading of its own."""
    return st.container(horizontal=True, horizontal_alignment="right", gap="small")


def part(title: str, mark: str = "") -> None:
    """A heading over several sections; `mark` is a class that the style sheet knows."""
    html(f'<div class="mp-part {mark}"><h2>{escape(title)}</h2></div>')


def caption(words: str) -> None:
    html(f'<p class="mp-caption">{escape(words)}</p>')


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


def grid(
    frame: pl.DataFrame,
    single: pl.DataFrame,
    *,
    row: str,
    column: str,
    order: Sequence[str],
    unit: str,
    link: Callable[[str, str], str] | None = None,
) -> None:
    """Answers by two dimensions: value and n in each cell, shaded. Where n carries no value, the `single` rows' own.

    `frame`: row, column, value, n. `single`: row, column, value, a row each. `order`: the columns' order. `link` gives
    the address of what stands behind a cell.
    """
    present = set(frame[column].unique().to_list())
    columns = [name for name in order if name in present]
    longest: list[Any] = [frame["value"].max(), single["value"].max()]
    most = max((value for value in longest if value is not None), default=0) or 1
    counted = frame.group_by(row).agg(pl.col("n").sum()).sort(["n", row], descending=[True, False])[row]
    listed = counted.head(GRID_ROWS).sort().to_list()
    cells = {(r[row], r[column]): r for r in frame.filter(pl.col(row).is_in(listed)).to_dicts()}
    own: dict[tuple[str, str], list[float]] = {}
    for r in single.filter(pl.col(row).is_in(listed)).to_dicts():
        own.setdefault((r[row], r[column]), []).append(r["value"])
    top = "".join(f'<th scope="col">{escape(str(c))}</th>' for c in columns)
    body = "".join(
        f'<tr><th scope="row" title="{escape(str(name))}">{escape(str(name))}</th>'
        + "".join(
            _cell(cells.get((name, c)), own.get((name, c), []), unit, most, link and link(name, c)) for c in columns
        )
        + "</tr>"
        for name in listed
    )
    table = f"<table><thead><tr><td></td>{top}</tr></thead><tbody>{body}</tbody></table>"
    html(f'<div class="mp-grid" tabindex="0" role="region" aria-label="{row} by {column}">{table}</div>')
    if len(listed) < len(counted):
        caption(f"The {GRID_ROWS} of {len(counted):,} with the most behind them; all of them in the files.")


def _cell(
    answer: Mapping[str, Any] | None, own: Sequence[float], unit: str, most: float, link: str | None = None
) -> str:
    if answer is None or not answer["n"]:
        return f'<td class="mp-few">{ABSENT}</td>'
    if answer["value"] is None:
        values = " ".join(
            f'<i style="--heat:{min(1.0, max(0.0, value) / most):.2f}">{plain(value, unit)}</i>' for value in own
        )
        told = f"{values} <small>n = {answer['n']}</small>"
        return f'<td class="mp-few">{_linked(told, link)}</td>'
    heat = max(0.0, answer["value"]) / most
    told = f"<b>{plain(answer['value'], unit)}</b> <small>n = {grouped(answer['n'], 0)}</small>"
    return f'<td style="--heat:{heat:.2f}">{_linked(told, link)}</td>'


def _linked(told: str, link: str | None) -> str:
    return f'<a href="{escape(link)}" target="_self">{told}</a>' if link else told


def multiples(
    frame: pl.DataFrame,
    *,
    panel: str,
    row: str,
    order: Sequence[str],
    unit: str,
    most: int,
    link: Callable[[str, str], str],
) -> None:
    """Small panels of bars on one scale: `value` as a bar, `p85` as a tick, `n`; as many beside one another as fit.

    `link` gives the address of what stands behind a line.
    """
    rows = frame.to_dicts()
    longest = max((r["p85"] or r["value"] for r in rows), default=1.0) or 1.0
    panels = ""
    for name in [one for one in order if any(r[panel] == one for r in rows)]:
        mine = sorted((r for r in rows if r[panel] == name), key=lambda r: -r["value"])[:most]
        lines = "".join(_panel_line(r, row, unit, longest, link(r[row], name)) for r in mine)
        panels += f"<section><h3>{escape(name)}</h3><ul>{lines}</ul></section>"
    html(f'<div class="mp-multiples">{panels}</div>')


def _panel_line(r: Mapping[str, Any], row: str, unit: str, longest: float, link: str) -> str:
    tick = f'<i style="left:{100 * r["p85"] / longest:.1f}%"></i>' if r["p85"] is not None else ""
    bar = f'<span class="mp-bar"><b style="width:{max(0.0, 100 * r["value"] / longest):.1f}%"></b>{tick}</span>'
    told = f"{plain(r['value'], unit)} <small><b>{grouped(r['n'], 0)}</b></small>"
    name = f'<span title="{escape(str(r[row]))}">{escape(str(r[row]))}</span>'
    return f'<li><a href="{escape(link)}" target="_self">{name}{bar}<em>{told}</em></a></li>'


def side_by_side(frame: pl.DataFrame, one: str, other: str) -> None:
    """Measures in words for two sides: `measure`, `one`, `one_n`, `other`, `other_n`."""
    rows = "".join(
        f'<tr><th scope="row">{escape(r["measure"])}</th>'
        f"<td>{escape(r['one'])} <small>n = {grouped(r['one_n'], 0)}</small></td>"
        f"<td>{escape(r['other'])} <small>n = {grouped(r['other_n'], 0)}</small></td></tr>"
        for r in frame.to_dicts()
    )
    top = f'<tr><td></td><th scope="col">{escape(one)}</th><th scope="col">{escape(other)}</th></tr>'
    html(f'<table class="mp-table mp-sides"><thead>{top}</thead><tbody>{rows}</tbody></table>')


def benchmark(frame: pl.DataFrame) -> None:
    """A client's own numbers beside those of all others: `measure`, `yours`, `others`, `your_n`, `others_n`."""
    rows = "".join(
        f'<tr><th scope="row">{escape(r["measure"])}</th>'
        f"<td>{escape(r['yours'] or ABSENT)} <small>n = {r['your_n'] or 0}</small></td>"
        f"<td>{escape(r['others'] or ABSENT)} <small>n = {r['others_n'] or 0}</small></td></tr>"
        for r in frame.to_dicts()
    )
    top = '<tr><td></td><th scope="col">Yours</th><th scope="col">All others together</th></tr>'
    html(f'<table class="mp-table mp-sides"><thead>{top}</thead><tbody>{rows}</tbody></table>')


# ---------------------------------------------------------------- nothing to show


def nothing(reading: Reading, what: str = "Nothing here matches the filters.") -> None:
    """An empty place says why, and what to do."""
    if reading.store.table("projects", ["project_id"], limit=1).is_empty():
        empty(
            "This snapshot holds no projects.",
            "Check that a source is set up and sends records: <code>milepost doctor</code>.",
        )
    elif reading.filters.is_default:
        empty(what, "There is nothing of the kind on record in the last 12 months; choose a longer period above.")
    else:
        empty(what, 'Choose more above, or <a href="?" target="_self">reset the filters</a>.')


def empty(why: str, cure: str) -> None:
    """`cure` is HTML of ours, never a record's text."""
    html(f'<div class="mp-empty"><b>{escape(why)}</b><p>{cure}</p></div>')


def money(value: Any, reading: Reading) -> str:
    return worded(value, "money", reading.store.currency)


def unpublished() -> None:
    """The page before the first refresh."""
    empty("No snapshot has been published yet.", "Run <code>milepost refresh</code>, then reload this page.")


def of_another_version() -> None:
    """The page over a snapshot that this version would misread."""
    why = "The numbers that serve were published by another version of Milepost, and would be misread by this one."
    empty(why, "Run <code>milepost refresh</code>, then reload this page.")


def broken(what: str) -> None:
    """The page when the settings cannot be read; `what` names file, key and cure; "" for outsiders."""
    empty("The settings cannot be read.", escape(what) or "Whoever runs Milepost is told why by: milepost doctor")


def not_rebuilt(what: str) -> None:
    """The page when the day asked for cannot be rebuilt; `what` says why."""
    empty("This day cannot be rebuilt.", f'{escape(what)} <a href="?" target="_self">Back to the newest numbers</a>')
