"""Answers a question about a measure: catalogue entry + grouping + filters + period → one SELECT → one frame.

The catalogue is `metrics.yml`, the rules are `METRICS.md`. Every identifier in the SQL comes from the
catalogue; what a caller gives is bound as a parameter or refused. Knows DuckDB connections with a schema
`marts` (a snapshot or the warehouse) and polars frames; where connections come from, and how numbers
are drawn or printed, stays out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import duckdb
import polars as pl
import yaml

from models.faults import fault

FOLDER = Path(__file__).resolve().parent
Kind = Literal["percentile", "mean", "share", "ratio", "sum", "count"]
Bucket = Literal["month", "week"]
BUCKETS: tuple[Bucket, ...] = ("week", "month")
COMMON = ("firm", "client", "client_id", "project", "project_id", "playbook", "manager")

# Smallest n whose extremes bound the percentile with 95 % confidence, whatever the distribution.
MIN_N = {"percentile": 6}
MIN_N_P85 = 19
Z = 1.959963984540054  # of a 95 % interval


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
class Measure:
    """One entry of the catalogue; `period` is None where it stands as it is at the snapshot's clock."""

    id: str
    label: str
    definition: str
    rule: str
    mart: str
    kind: Kind
    unit: str  # "days", "%", "count", "money" (reporting currency), "hours", "per 100k"
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
    source: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The expressions that must be known for a row to count."""
        if self.kind in ("share", "ratio"):
            return (self.part, self.whole)
        return (self.value, self.weight) if self.kind == "mean" else (self.value,)


@dataclass(frozen=True, slots=True)
class Question:
    """A measure, grouped and filtered; `since` and `until` are days in the project's zone, both included.

    `where` maps a dimension to the values kept; a dimension with no values is not filtered.
    """

    measure: str
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and the values bound to its parameters."""

    sql: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What stands behind an answer. `left_out` holds (reason, rows, why) for every reason with rows.

    `counted_rows` + the rows left out = `matched_rows`, the rows that the filters let through.
    """

    measure: Measure
    rule: str  # the rule's section of METRICS.md
    period: str
    statement: Statement
    matched_rows: int
    counted_rows: int
    left_out: tuple[tuple[str, int, str], ...]


@cache
def catalogue(file: Path = FOLDER / "metrics.yml") -> Mapping[str, Measure]:
    """Every measure by id, in the catalogue's order."""
    return MappingProxyType({name: _measure(name, dict(body)) for name, body in _written(file)["measures"].items()})


@cache
def dimensions(file: Path = FOLDER / "metrics.yml") -> Mapping[str, Dimension]:
    """Every dimension but week and month, by name."""
    return MappingProxyType(
        {
            name: Dimension(name, body["column"], body["empty"], tuple(body.get("order", ())))
            for name, body in _written(file)["dimensions"].items()
        }
    )


@cache
def rules(file: Path = FOLDER / "METRICS.md") -> Mapping[str, str]:
    """The sections of METRICS.md by rule id, headings left off."""
    sections = re.split(r"^### (\S+) .*\n", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
    bodies = (re.split(r"^## ", body, maxsplit=1, flags=re.MULTILINE)[0].strip() for body in sections[1::2])
    return MappingProxyType(dict(zip(sections[::2], bodies, strict=True)))


def answer(con: duckdb.DuckDBPyConnection, question: Question) -> pl.DataFrame:
    """The value of a measure: one row per group, ordered; one row where nothing is grouped.

    Columns: the dimensions asked for (text; week and month are dates), `value`, `p85` (percentiles only),
    `low` and `high` (95 % interval of shares only), `n`, `open_n` (measures with open rows, unless grouped
    by week or month), `note` (null, or why a value is missing or limited). Shares and ratios in % are 0–100.
    Raises `Fault` for an unknown measure or dimension and for a period that ends before it begins.
    """
    return _frame(con, statement(question))


def series(con: duckdb.DuckDBPyConnection, question: Question, bucket: Bucket = "month") -> pl.DataFrame:
    """`answer` per month or week: the dimensions, `period` (its first day; weeks begin on Monday), the rest.

    Every group has every bucket of the period asked for, else from the first one seen, up to the clock of the
    marts; an empty one has n = 0 and value 0 for counts and sums, null otherwise. A group without any row is
    not listed. Raises `Fault` for a measure without a period.
    """
    by = [name for name in dict.fromkeys(question.by) if name != bucket]
    found = answer(con, replace(question, by=(*by, bucket))).rename({bucket: "period"})
    days = _span(con, question, found["period"])
    if days is None or (by and found.is_empty()):
        return found
    start, end = (_first_day(day, bucket) for day in days)
    step = "1mo" if bucket == "month" else "1w"
    every = pl.DataFrame({"period": pl.date_range(start, end, step, eager=True)})
    if by:
        every = found.select(by).unique(maintain_order=True).join(every, how="cross")
    filled = every.join(found, on=[*by, "period"], how="left", maintain_order="left")
    added = catalogue()[question.measure].kind in ("sum", "count")
    is_empty = pl.col("n").is_null()
    return filled.with_columns(
        pl.when(is_empty & added).then(0.0).otherwise("value").alias("value"),
        pl.when(is_empty & (not added)).then(pl.lit("n = 0")).otherwise("note").alias("note"),
        pl.col("n").fill_null(0),
    ).select(found.columns)


def distribution(con: duckdb.DuckDBPyConnection, question: Question, limit: int = 500) -> pl.DataFrame:
    """The single rows behind an answer, for drawing dots: `id`, `label`, the dimensions, `day`, `value`, `n`.

    `value` is the row's own: days, an amount, 1 or 0 for a share, its own ratio for a ratio; `day` is its
    date in the period. `n` is how many rows there are; above `limit` every k-th by value is kept, the
    largest always, so that the shape stays. Ordered by value. Raises `Fault` as `answer` does.
    """
    measure, by = _checked(question)
    value = {"share": "part / whole", "ratio": f"{measure.scale} * part / whole"}.get(measure.kind, "value")
    row_id, label = _row(measure)
    named = (f"{row_id} as id", f"{label} as label", *_keys(measure, by), f"{_day(measure)} as day")
    matched, parameters = _matched(measure, question, (*named, *_values(measure)))
    sql = f"""with matched as (
{matched}
), ranked as (
  select {", ".join(("id", "label", *by, "day"))}, cast({value} as double) as value, count(*) over () as n,
    row_number() over (order by {value}, id) as place
  from matched
  where left_out is null
)
select * exclude (place)
from ranked
where place * $limit // n > (place - 1) * $limit // n
order by value, id"""
    return _frame(con, Statement(sql, {**parameters, "limit": limit}))


def rows(con: duckdb.DuckDBPyConnection, question: Question, *, left_out: bool = False) -> pl.DataFrame:
    """The rows the answer was made from, or those left out with the reason in `left_out`; every column."""
    measure, _ = _checked(question)
    matched, parameters = _matched(measure, question, ("m.*",))
    shown, kept = ("*", "is not null") if left_out else ("* exclude (left_out)", "is null")
    sql = f"""with matched as (
{matched}
)
select {shown}
from matched
where left_out {kept}
order by {_row(measure)[0]}"""
    return _frame(con, Statement(sql, parameters))


def explain(con: duckdb.DuckDBPyConnection, question: Question) -> Explanation:
    """The rule, the definition, the SQL with its parameters, and what was left out for which reason."""
    measure, _ = _checked(question)
    matched, parameters = _matched(measure, question, ())
    sql = f"with matched as (\n{matched}\n)\nselect left_out, count(*) from matched group by left_out"
    reasons = _left_out(measure, question)
    counts: dict[str | None, int] = dict(con.execute(sql, dict(parameters)).fetchall())
    return Explanation(
        measure=measure,
        rule=rules()[measure.rule],
        period=_period_text(measure, question),
        statement=statement(question),
        matched_rows=sum(counts.values()),
        counted_rows=counts.get(None, 0),
        left_out=tuple((each.reason, counts[each.reason], each.why) for each in reasons if each.reason in counts),
    )


def statement(question: Question) -> Statement:
    """The one SELECT that answers a question, and its parameters. Raises `Fault` as `answer` does."""
    measure, by = _checked(question)
    # An open row has no date of its own yet, so it stands in no week or month.
    opened = measure.open if not set(by) & set(BUCKETS) else None
    columns = (*_keys(measure, by), *_values(measure), *([f"({opened}) as is_open"] if opened else []))
    matched, parameters = _matched(measure, question, columns)
    measured, shown = [*by, *_aggregates(measure)], [*by, *_results(measure), "n"]
    if opened:
        measured.append("count(*) filter (where is_open) as open_n")
        shown.append("open_n")
    shown.append(_note(measure, question))
    sql = f"""with matched as (
{matched}
), measured as (
  select {_lines(measured)}
  from matched{_NL[:-2] + "group by all" if by else ""}
)
select {_lines(shown)}
from measured"""
    if by:
        sql += f"\nwhere n > 0{' or open_n > 0' if opened else ''}\norder by {', '.join(map(_ordered, by))}"
    return Statement(sql, parameters)


_NL = "\n    "


def _lines(items: list[str]) -> str:
    return f",{_NL}".join(items)


def _matched(measure: Measure, question: Question, columns: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The SELECT of the rows that the filters let through, with `left_out` null for those that count."""
    cases = [f"when {entry.when} then {_quoted(entry.reason)}" for entry in _left_out(measure, question)]
    body = _lines([*columns, f"case{_NL}  " + f"{_NL}  ".join(cases) + f"{_NL}end as left_out"])
    source = f"(\n{measure.source}\n)" if measure.source else f"marts.{measure.mart}"
    conditions, parameters = _filters(question)
    body, source = _clocked(body), _clocked(source)
    sql = f"  select {body}\n  from {source} as m{_ZONES if _ZONE in body else ''}"
    if conditions:
        sql += f"\n  where {' and '.join(conditions)}"
    used = {"since": question.since, "until": question.until} if measure.period else {}
    return sql, parameters | {name: day for name, day in used.items() if day}


def _left_out(measure: Measure, question: Question) -> list[LeftOut]:
    """The catalogue's reasons, then an unknown value, then the period."""
    unknown = " or ".join(f"({needed}) is null" for needed in measure.needs)
    entries = [*measure.left_out]
    if measure.kind != "count":
        entries.append(LeftOut("value not known", unknown, "The tool did not say, and unknown is not zero."))
    if not measure.period:
        return entries
    dated = bool(question.since or question.until or set(question.by) & set(BUCKETS))
    if dated:
        entries.append(LeftOut("no date", f"{measure.period} is null", "It cannot be placed in a period."))
    if question.since:
        entries.append(LeftOut("before the period", f"{_day(measure)} < $since", "The period begins later."))
    if question.until:
        entries.append(LeftOut("after the period", f"{_day(measure)} > $until", "The period ends earlier."))
    return entries


def _keys(measure: Measure, by: tuple[str, ...]) -> list[str]:
    return [f"{_key(measure, name)} as {name}" for name in by]


def _key(measure: Measure, name: str) -> str:
    if name in BUCKETS:
        return f"cast(date_trunc('{name}', {_day(measure)}) as date)"
    return _text(dimensions()[name])


def _text(dimension: Dimension) -> str:
    return f"coalesce(cast(m.{dimension.column} as varchar), {_quoted(dimension.empty)})"


def _day(measure: Measure) -> str:
    """The row's date in the period: days as they are, instants in the project's time zone."""
    if measure.period is None:
        return "cast(null as date)"
    return measure.period if measure.period.endswith("_on") else f"local_day({measure.period})"


# Independent of the connection's own time zone, and of whether instants are stored with or without one.
_ZONE = "coalesce(project_zone, client_zone, 'UTC')"
_LOCAL_DAY = rf"cast(timezone({_ZONE}, make_timestamptz(epoch_us(\1))) as date)"
_AS_OF = "(select make_timestamptz(epoch_us(as_of_at)) from marts.clock)"
_ZONES = """
  left join (select project_id as zone_project_id, timezone as project_zone from marts.projects)
    on m.project_id = zone_project_id
  left join (select client_id as zone_client_id, timezone as client_zone from marts.clients)
    on m.client_id = zone_client_id"""


def _clocked(sql: str) -> str:
    sql = re.sub(r"local_day\((\w+|as_of\(\))\)", _LOCAL_DAY, sql)
    return sql.replace("as_of()", _AS_OF)


def _filters(question: Question) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for name, values in question.where.items():
        if values:
            names = [f"{name}_{place}" for place in range(len(values))]
            conditions.append(f"{_text(dimensions()[name])} in ({', '.join('$' + each for each in names)})")
            parameters.update(zip(names, values, strict=True))
    return conditions, parameters


def _values(measure: Measure) -> list[str]:
    if measure.kind in ("share", "ratio"):
        return [f"cast({measure.part} as double) as part", f"cast({measure.whole} as double) as whole"]
    if measure.kind == "mean":
        return [f"cast({measure.value} as double) as value", f"cast({measure.weight} as double) as weight"]
    if measure.kind == "sum":  # exact decimals until they are added up
        return [f"{measure.value} as value"]
    return [f"cast({measure.value} as double) as value"]


def _aggregates(measure: Measure) -> list[str]:
    counted = "filter (where left_out is null)"
    n = f"count(*) {counted} as n"
    match measure.kind:
        case "percentile":
            percentile = "percentile_cont({}) within group (order by value) {}"
            own = [f"{percentile.format(q, counted)} as {name}" for q, name in ((0.5, "p50"), (0.85, "p85"))]
        case "mean":
            own = [f"sum(value * weight) {counted} / nullif(sum(weight) {counted}, 0) as quotient"]
        case "share" | "ratio":
            own = [f"sum(part) {counted} / nullif(sum(whole) {counted}, 0) as quotient"]
        case "sum":
            own = [f"cast(sum(value) {counted} as double) as total"]
        case "count":
            own = []
    if measure.kind == "share":
        n = f"cast(coalesce(sum(whole) {counted}, 0) as bigint) as n"
    return [*own, n, "count(*) as matched_n"]


def _results(measure: Measure) -> list[str]:
    enough = f"case when n >= {measure.min_n} then"
    match measure.kind:
        case "percentile":
            n_p85 = max(MIN_N_P85, measure.min_n)
            return [f"{enough} p50 end as value", f"case when n >= {n_p85} then p85 end as p85"]
        case "share":
            bounds = [f"{enough} {_wilson(sign)} end as {name}" for sign, name in (("-", "low"), ("+", "high"))]
            return [f"{enough} 100 * quotient end as value", *bounds]
        case "ratio":
            return [f"{enough} {measure.scale} * quotient end as value"]
        case "mean":
            return [f"{enough} quotient end as value"]
        case "sum":
            return ["case when matched_n > 0 then coalesce(total, 0) end as value"]
        case "count":
            return ["case when matched_n > 0 then cast(n as double) end as value"]


def _wilson(sign: str) -> str:
    """One bound of the 95 % interval of a proportion by Wilson, in percent."""
    half = f"{Z} * sqrt(quotient * (1 - quotient) / n + {Z * Z / 4} / (n * n))"
    return f"100 * (quotient + {Z * Z / 2} / n {sign} {half}) / (1 + {Z * Z} / n)"


def _note(measure: Measure, question: Question) -> str:
    cases = ["when matched_n = 0 then 'nothing matches the filter'"]
    if measure.kind not in ("sum", "count"):
        cases.append(f"when n < {measure.min_n} then 'n = ' || n || ': too few'")
    if measure.kind == "percentile":
        cases.append(f"when n < {MIN_N_P85} then 'n = ' || n || ': too few for P85'")
    if measure.kind in ("mean", "share", "ratio"):
        cases.append("when quotient is null then 'nothing to divide by'")
    notes = [f"case {' '.join(cases)} end"]
    if measure.period is None and (question.since or question.until):
        notes.append(_quoted("the period does not apply: as it stands"))
    return f"nullif(concat_ws('; ', {', '.join(notes)}), '') as note"


def _ordered(name: str) -> str:
    first = dimensions()[name].order if name not in BUCKETS else ()
    listed = ", ".join(map(_quoted, first))
    return f"list_position([{listed}], {name}) nulls last, {name}" if first else name


def _row(measure: Measure) -> tuple[str, str]:
    named = _written(FOLDER / "metrics.yml")["rows"][measure.mart]
    return named["id"], named["label"]


def _period_text(measure: Measure, question: Question) -> str:
    if measure.period is None:
        return "as it stands at the snapshot's clock; a period does not apply"
    if not (question.since or question.until):
        return f"all time, by {measure.period}"
    span = f"from {question.since or 'the beginning'} to {question.until or 'the snapshot'}"
    return f"{measure.period} {span}, both days included, in the project's time zone"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_day(day: date, bucket: Bucket) -> date:
    return day.replace(day=1) if bucket == "month" else day - timedelta(days=day.weekday())


def _span(con: duckdb.DuckDBPyConnection, question: Question, seen: pl.Series) -> tuple[date, date] | None:
    """The first and last day a series covers: a quiet end is shown up to the clock, the future is not."""
    (clock,) = con.execute(f"select cast(timezone('UTC', {_AS_OF}) as date)").fetchall()[0]
    ends = [day for day in (question.until, clock) if day]
    starts, latest = [day for day in (question.since, seen.min()) if day], seen.max()
    last = max([day for day in (min(ends, default=None), latest) if isinstance(day, date)], default=None)
    return (starts[0], last) if starts and last and isinstance(starts[0], date) and starts[0] <= last else None


def _frame(con: duckdb.DuckDBPyConnection, made: Statement) -> pl.DataFrame:
    frame: pl.DataFrame = con.sql(made.sql, params=dict(made.parameters)).pl()
    return frame.with_columns(pl.col(pl.Decimal).cast(pl.Float64))


def _checked(question: Question) -> tuple[Measure, tuple[str, ...]]:
    """The measure and the grouping, each dimension once; refuses what does not exist."""
    place = f"measure {question.measure}"
    measure = catalogue().get(question.measure)
    if measure is None:
        raise fault(place, "is not in the catalogue.", f"There are: {', '.join(catalogue())}.")
    for name in (*question.by, *question.where):
        if name not in measure.dimensions or (name in BUCKETS and name in question.where):
            known = ", ".join(measure.dimensions)
            raise fault(place, f"cannot be grouped or filtered by {name!r}.", f"It can by: {known}.")
    since, until = question.since, question.until
    if since and until and until < since:
        raise fault(place, f"the period ends on {until}, before it begins on {since}.", "Swap the two.")
    return measure, tuple(dict.fromkeys(question.by))


def _measure(name: str, body: dict[str, Any]) -> Measure:
    return Measure(
        id=name,
        source=body.pop("from", "").strip(),
        dimensions=(*COMMON, *body.pop("dimensions", ()), *(BUCKETS if "period" in body else ())),
        left_out=tuple(LeftOut(**entry) for entry in body.pop("left_out")),
        min_n=body.pop("min_n", MIN_N.get(body["kind"], 1)),
        **body,
    )


@cache
def _written(file: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster, where it is built in
    written: dict[str, Any] = yaml.load(file.read_text("utf-8"), loader)
    return written
