"""How each kind of measure makes its number: the columns it takes from a row, and the SQL that sums groups up.

Every estimator reads the query `matched` (one row per record that the filters let through, `left_out` null where
it counts) and names the queries that follow it, the columns it shows and the note that says why a value is
missing. Durations, which know open rows, stand in `durations.py`. Nothing here runs SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.metrics import MIN_N_P85, MIN_N_P95, Measure

Z = 1.959963984540054  # of a 95 % interval
QUANTILES = ((0.5, "p50"), (0.85, "p85"), (0.95, "p95"))
COUNTED = "filter (where left_out is null)"
# Of a measure that needs a tool's log: which rows come without one, how many they are, and the words that tell of it.
IS_PARTIAL = "history_quality in ('timestamps', 'snapshot') as is_partial"
PARTIAL_N = "count(*) filter (where left_out is null and is_partial) as partial_n"
PARTIAL = (("partial_n > 0", "partial_n || ' without a log of events'"),)
_NL = "\n    "


@dataclass(frozen=True, slots=True)
class Estimate:
    """The parts of a statement that depend on the kind of a measure.

    `columns`: what `matched` takes from a row; `queries`: (name, SELECT) after it, the last with a row per
    group (and step); `shown`: columns of the answer beside the groups; `notes`: conditions and their words,
    the first that holds is told; each tuple of them adds one note; `kept`: the groups that are listed;
    `order`: columns that order rows within a group.
    """

    columns: tuple[str, ...]
    queries: tuple[tuple[str, str], ...]
    shown: tuple[str, ...]
    notes: tuple[tuple[tuple[str, str], ...], ...]
    kept: str = "n > 0"
    order: tuple[str, ...] = ()


def lines(items: Sequence[str]) -> str:
    return f",{_NL}".join(items)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def few(least: int, what: str = "") -> tuple[str, str]:
    """The note that n is too small."""
    return f"n < {least}", f"'n = ' || n || ': too few{what}'"


def summed(by: Sequence[str], aggregates: Sequence[str], source: str = "matched") -> str:
    """A SELECT with one row per group; one row where nothing is grouped."""
    return f"select {lines([*by, *aggregates])}\n  from {source}" + ("\n  group by all" if by else "")


def matching(by: Sequence[str]) -> str:
    """How two queries with a row per group are joined."""
    return f"using ({', '.join(by)})" if by else "on true"


def estimate(measure: Measure, by: tuple[str, ...], has_open: bool) -> Estimate:
    """The estimate of every kind but duration. `has_open`: open rows are counted beside as `open_n`."""
    if measure.kind == "steps":
        return _steps(measure, by)
    if measure.kind == "count_back":
        return _count_back(measure, by)
    columns = row_columns(measure)
    aggregates = [*_aggregates(measure), "count(*) as matched_n"]
    shown, kept = [*_results(measure), "n"], "n > 0"
    if has_open:
        columns = (*columns, f"({measure.open}) as is_open")
        aggregates.append("count(*) filter (where is_open) as open_n")
        shown.append("open_n")
        kept = "n > 0 or open_n > 0"
    notes: tuple[tuple[tuple[str, str], ...], ...] = (_notes(measure),)
    if measure.needs_log:
        columns, notes = (*columns, IS_PARTIAL), (*notes, PARTIAL)
        aggregates.append(PARTIAL_N)
    queries = (("measured", summed(by, aggregates)),)
    return Estimate(columns, queries, tuple(shown), notes, kept)


def row_columns(measure: Measure) -> tuple[str, ...]:
    """What `matched` takes from a row for the measure's number."""
    match measure.kind:
        case "share" | "ratio":
            return (f"cast({measure.part} as double) as part", f"cast({measure.whole} as double) as whole")
        case "mean":
            return (f"cast({measure.value} as double) as value", f"cast({measure.weight} as double) as weight")
        case "sum" | "level":  # exact decimals until they are added up
            return (f"{measure.value} as value",)
        case "steps":
            return tuple(f"{step.sum} as own_{step.key}" for step in measure.steps if step.sum)
        case "count_back":
            day = measure.sales_at if measure.sales_at.endswith("_on") else f"local_day({measure.sales_at})"
            return (f"{measure.balance} as balance", f"{measure.sales} as sales", f"{day} as sold_on")
        case _:
            return (f"cast({measure.value} as double) as value",)


def _aggregates(measure: Measure) -> list[str]:
    n = f"count(*) {COUNTED} as n"
    match measure.kind:
        case "percentile":
            own = [f"percentile_cont({q}) within group (order by value) {COUNTED} as {name}" for q, name in QUANTILES]
        case "mean":
            own = [f"sum(value * weight) {COUNTED} / nullif(sum(weight) {COUNTED}, 0) as quotient"]
        case "share" | "ratio":
            own = [f"sum(part) {COUNTED} / nullif(sum(whole) {COUNTED}, 0) as quotient"]
        case "sum" | "level":
            own = [f"cast(sum(value) {COUNTED} as double) as total"]
        case _:
            own = []
    if measure.kind == "share":
        n = f"cast(coalesce(sum(whole) {COUNTED}, 0) as bigint) as n"
    return [*own, n]


def _results(measure: Measure) -> list[str]:
    enough = f"case when n >= {measure.min_n} then"
    match measure.kind:
        case "percentile":
            n_p85, n_p95 = max(MIN_N_P85, measure.min_n), max(MIN_N_P95, measure.min_n)
            return [
                f"{enough} p50 end as value",
                f"case when n >= {n_p85} then p85 end as p85",
                f"case when n >= {n_p95} then p95 end as p95",
            ]
        case "share":
            bounds = [f"{enough} {_wilson(sign)} end as {name}" for sign, name in (("-", "low"), ("+", "high"))]
            return [f"{enough} 100 * quotient end as value", *bounds]
        case "ratio":
            return [f"{enough} {measure.scale} * quotient end as value"]
        case "mean":
            return [f"{enough} quotient end as value"]
        case "count":
            return ["case when matched_n > 0 then cast(n as double) end as value"]
        case _:
            return ["case when matched_n > 0 then coalesce(total, 0) end as value"]


def _wilson(sign: str) -> str:
    """One bound of the 95 % interval of a proportion by Wilson, in percent."""
    half = f"{Z} * sqrt(quotient * (1 - quotient) / n + {Z * Z / 4} / (n * n))"
    return f"100 * (quotient + {Z * Z / 2} / n {sign} {half}) / (1 + {Z * Z} / n)"


def _notes(measure: Measure) -> tuple[tuple[str, str], ...]:
    notes = [nothing_matches]
    if measure.kind not in ("sum", "count", "level"):
        notes.append(few(measure.min_n))
    if measure.kind == "percentile":
        notes += [few(MIN_N_P85, " for P85"), few(MIN_N_P95, " for P95")]
    if measure.kind in ("mean", "share", "ratio"):
        notes.append(("quotient is null", "'nothing to divide by'"))
    return tuple(notes)


nothing_matches = ("matched_n = 0", "'nothing matches the filter'")


def _steps(measure: Measure, by: tuple[str, ...]) -> Estimate:
    """One row per group and step: sums over the rows, then what is reckoned from the steps before."""
    sums = [f"coalesce(sum(own_{step.key}) {COUNTED}, 0) as {step.key}" for step in measure.steps if step.sum]
    counts = [f"count(*) {COUNTED} as n", "count(*) as matched_n"]
    queries = [("summed", summed(by, [*sums, *counts]))]
    for step in measure.steps:  # one query each, so that a step may use every key before it
        if step.becomes:
            queries.append((f"with_{step.key}", f"select *, {step.becomes} as {step.key}\n  from {queries[-1][0]}"))
    labels = ", ".join(f"({place}, {quoted(step.label)})" for place, step in enumerate(measure.steps))
    cases = [f"when {place} then cast({step.key} as double)" for place, step in enumerate(measure.steps)]
    chosen = " ".join(["case step_place", *cases, "end as step_value"])
    stepped = f"select *, {chosen}\n  from {queries[-1][0]} cross join (values {labels}) as steps(step_place, step)"
    shown = ["step", "case when matched_n > 0 then step_value end as value"]
    if any(step.unit for step in measure.steps):
        units = [f"when {place} then {quoted(step.unit or measure.unit)}" for place, step in enumerate(measure.steps)]
        shown.append(f"case step_place {' '.join(units)} end as unit")
    return Estimate(
        row_columns(measure),
        (*queries, ("measured", stepped)),
        (*shown, "n"),
        ((nothing_matches, few(measure.min_n)),) if measure.min_n > 1 else ((nothing_matches,),),
        order=("step_place",),
    )


def _count_back(measure: Measure, by: tuple[str, ...]) -> Estimate:
    """Days whose sales, newest first, add up to the balance; the oldest period counts in part.

    Period 0 is the running month up to `$until`, or, with the setting block_days, the newest block of that
    many days. Days of whole periods follow from the calendar, so periods without sales add theirs too.
    """
    grouped = ", ".join(by)
    keyed = f"{grouped}, " if by else ""
    over = f"partition by {grouped} order by period" if by else "order by period"
    block = "coalesce(cast($block_days as integer), 0)" if "block_days" in measure.settings else "0"
    periods = f"""select {keyed}sales, case
      when {block} > 0 then cast(($until - sold_on) // greatest({block}, 1) as integer)
      else cast((year($until) - year(sold_on)) * 12 + month($until) - month(sold_on) as integer)
    end as period
  from matched
  where left_out is null and sold_on <= $until and sales is not null"""
    dated = f"""select {keyed}period, sum(sales) as sold, case
      when {block} > 0 then -period * {block}
      when period = 0 then 0
      else cast(date_trunc('month', $until) - to_months(period - 1) as date) - 1 - $until
    end as ends_before, case
      when {block} > 0 then {block}
      when period = 0 then day($until)
      else day(last_day(cast(date_trunc('month', $until) - to_months(period) as date)))
    end as period_days
  from periods
  group by all"""
    running = f"select *, sum(sold) over ({over}) as sold_so_far\n  from dated"
    return Estimate(
        row_columns(measure),
        (
            ("periods", periods),
            ("dated", dated),
            ("running", running),
            (
                "balances",
                summed(
                    by,
                    [
                        f"coalesce(sum(balance) {COUNTED}, 0) as balance",
                        "count(*) filter (where left_out is null and balance <> 0) as n",
                        "count(*) as matched_n",
                    ],
                ),
            ),
            (
                "measured",
                f"""select {keyed}any_value(balance) as balance, any_value(n) as n, any_value(matched_n) as matched_n,
    max(period_days - ends_before) as history_days,
    min_by(
      cast(-ends_before as double)
        + cast(balance - (sold_so_far - sold) as double) / cast(sold as double) * period_days,
      period
    ) filter (where sold_so_far >= balance and sold > 0) as days
  from balances left join running {matching(by)}
  {f"group by {grouped}" if by else ""}""",
            ),
        ),
        (
            "cast(case when balance <= 0 and matched_n > 0 then 0 else coalesce(days, history_days) end as double)"
            " as value",
            "n",
        ),
        (
            (
                nothing_matches,
                ("balance > 0 and history_days is null", "'no sales on record'"),
                ("balance > 0 and days is null", "'≥ ' || history_days || ' days: more than all sales on record'"),
            ),
        ),
        kept="n > 0 or history_days is not null",
    )
