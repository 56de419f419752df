"""Durations whose clock may still be running: Kaplan–Meier, Aalen–Johansen, the log-rank test, in SQL.

Rows are taken one by one in the order of their length, at equal length finished ones first, then those ended
otherwise, then open ones. Taking k finished rows of a tie one after the other multiplies (r-1)/r, ..., which is
the product limit's (r-k)/r, and adds Greenwood's k/(r(r-k)) in parts; so no tie has to be grouped. Bounds
are read at the last row of a tie only. A tie's rows are put in order once, by counting who is still at risk: sorted
anew they may come in another order, and the last one would not be the last to be multiplied. Nothing here runs SQL.
"""

from __future__ import annotations

from models.estimators import (
    IS_PARTIAL,
    PARTIAL,
    PARTIAL_N,
    QUANTILES,
    Estimate,
    Z,
    few,
    matching,
    nothing_matches,
    summed,
)
from models.metrics import MIN_N_P85, MIN_N_P95, Measure

FINISHED, ENDED, OPEN = 0, 1, 2
# A share that is exactly p in arithmetic may miss it by a rounding in a sum of logarithms.
NOISE = 1e-12


def outcome(measure: Measure) -> str:
    """Whether a row finished, ended otherwise, or is open."""
    cases = [f"when {measure.open} then {OPEN}"] if measure.open else []
    if measure.ended:
        cases.append(f"when {measure.ended} then {ENDED}")
    return f"case {' '.join(cases)} else {FINISHED} end" if cases else str(FINISHED)


def row_columns(measure: Measure) -> tuple[str, ...]:
    return f"cast({measure.length} as double) as days", f"{outcome(measure)} as outcome"


def estimate(measure: Measure, by: tuple[str, ...]) -> Estimate:
    """Percentiles with their bounds: exact where nothing is open or ended, else the smallest time at which the share
    finished reaches them.
    """
    finished = f"filter (where left_out is null and outcome = {FINISHED})"
    aggregates = [
        *(f"percentile_cont({q}) within group (order by days) {finished} as exact_{name}" for q, name in QUANTILES),
        f"count(*) {finished} as n",
        f"count(*) filter (where left_out is null and outcome = {OPEN}) as open_n",
        f"count(*) filter (where left_out is null and outcome = {ENDED}) as ended_n",
        "count(*) as matched_n",
        *([PARTIAL_N] if measure.needs_log else []),
    ]
    reached = [
        f"min(days) filter (where is_last and {column} >= {q - NOISE!r}) as {name}{ending}"
        for q, name in QUANTILES
        for column, ending in (("share", ""), ("share_high", "_low"), ("share_low", "_high"))
        if not (ending and name == "p95")
    ]
    least = {"p50": measure.min_n, "p85": max(MIN_N_P85, measure.min_n), "p95": max(MIN_N_P95, measure.min_n)}
    best = {name: f"case when open_n + ended_n > 0 then {name} else exact_{name} end" for _, name in QUANTILES}
    shown = [
        f"case when n >= {least[name]} then {best[name]} end as {shown}"
        for name, shown in (("p50", "value"), ("p85", "p85"), ("p95", "p95"))
    ]
    shown += [
        f"case when n >= {least[name]} then {name}_{bound} end as {shown}"
        for name, bound, shown in (
            ("p50", "low", "low"),
            ("p50", "high", "high"),
            ("p85", "low", "p85_low"),
            ("p85", "high", "p85_high"),
        )
    ]
    unreached = [
        (f"n >= {least[name]} and {best[name]} is null", f"'{words} not reached'")
        for name, words in (("p50", "P50"), ("p85", "P85"), ("p95", "P95"))
    ]
    joined = f"select *\n  from counts left join reached {matching(by)}"
    return Estimate(
        (*row_columns(measure), *([IS_PARTIAL] if measure.needs_log else [])),
        (
            ("counts", summed(by, aggregates)),
            *curve_queries(measure, by),
            ("reached", summed(by, reached, "curve")),
            ("measured", joined),
        ),
        (*shown, "n", "open_n", *(["ended_n"] if measure.ended else [])),
        (
            (nothing_matches, few(measure.min_n), few(least["p85"], " for P85"), few(least["p95"], " for P95")),
            tuple(unreached),
            *([PARTIAL] if measure.needs_log else []),
        ),
        kept="n + open_n + ended_n > 0",
    )


def curve_queries(measure: Measure, by: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The queries from `matched` to `curve`: one row per counted row, with the share finished
    by its time and its bounds.

    `survival` is the share neither finished nor ended. Where rows may end otherwise, the share finished is
    Aalen–Johansen's, its variance after Collett (Modelling Survival Data, delta method on log(-log)).
    """
    keyed = "".join(f"{name}, " for name in by)
    partition = f"partition by {', '.join(by)} " if by else ""
    rows = f"window run as ({partition}order by at_risk desc rows between unbounded preceding and current row)"
    ranked = f"""select {keyed}days, outcome,
    count(*) over ({partition}order by days, outcome rows between current row and unbounded following) as at_risk
  from matched
  where left_out is null"""
    product = f"""select *,
    lead(days) over run is distinct from days as is_last,
    coalesce(sum(case when outcome < {OPEN} and at_risk > 1 then ln((at_risk - 1) / at_risk) end) over run, 0)
      as log_survival,
    coalesce(sum(case when outcome < {OPEN} and at_risk > 1 then 1 / (at_risk * (at_risk - 1.0)) end) over run, 0)
      as greenwood
  from ranked
  {rows}"""
    survived = f"""select *,
    case when at_risk = 1 and outcome < {OPEN} then 0 else exp(log_survival) end as survival
  from product"""
    queries = [("ranked", ranked), ("product", product), ("survived", survived)]
    spread = f"{Z} * sqrt(greenwood) / -log_survival"
    bounds = [
        f"case when survival = 0 then 1 when log_survival = 0 then 0 "
        f"else 1 - exp(log_survival * exp({sign}{spread})) end"
        for sign in ("-", "")
    ]
    if not measure.ended:
        low, high = bounds
        shares = f"select *, 1 - survival as share,\n    {low} as share_low,\n    {high} as share_high\n  from survived"
        return (*queries, ("curve", shares))
    # Before a row, `at_risk` rows were left, and the share still running was its survival before the row.
    before = f"""case
      when at_risk = 1 then exp(log_survival)
      when outcome < {OPEN} then survival * at_risk / (at_risk - 1)
      else survival
    end"""
    entered = f"select *, {before} as before\n  from survived"
    shared = f"""select *,
    coalesce(sum(case when outcome = {FINISHED} then before / at_risk end) over run, 0) as incidence,
    count(case when outcome = {ENDED} then 1 end) over ({partition.strip()}) as group_ended_n
  from entered
  {rows}"""
    terms = f"""select *,
    sum(step_a) over run as a, sum(step_a * incidence) over run as b, sum(step_a * incidence * incidence) over run as c,
    sum(step_d) over run as d, sum(step_e) over run as e, sum(step_e * incidence) over run as f
  from (
    select *,
      case when outcome < {OPEN} and at_risk > 1 then 1 / (at_risk * (at_risk - 1.0)) else 0 end as step_a,
      case when outcome = {FINISHED} then pow(before, 2) * (at_risk - 1) / pow(at_risk, 3) else 0 end as step_d,
      case when outcome = {FINISHED} then before / pow(at_risk, 2) else 0 end as step_e
    from shared
  )
  {rows}"""
    variance = "incidence * incidence * a - 2 * incidence * b + c + d - 2 * (incidence * e - f)"
    spread = f"{Z} * sqrt(greatest({variance}, 0)) / (incidence * -ln(incidence))"
    aalen = [
        f"case when incidence <= 0 then 0 when incidence >= 1 then 1 else exp(ln(incidence) * exp({sign}{spread})) end"
        for sign in ("", "-")
    ]
    alone = "group_ended_n = 0"  # then Kaplan–Meier's share is the same, and its bounds are the better known
    shares = f"""select *, case when {alone} then 1 - survival else incidence end as share,
    case when {alone} then {bounds[0]} else {aalen[0]} end as share_low,
    case when {alone} then {bounds[1]} else {aalen[1]} end as share_high
  from terms"""
    return (*queries, ("entered", entered), ("shared", shared), ("terms", terms), ("curve", shares))


def steps_of_curve(measure: Measure, by: tuple[str, ...]) -> str:
    """The SELECT that draws a curve: one row per group and time."""
    keys = [*by, "days as time"]
    drawn = [
        "max(at_risk) as at_risk",
        f"count(*) filter (where outcome = {FINISHED}) as finished",
        f"count(*) filter (where outcome = {OPEN}) as censored",
        f"count(*) filter (where outcome = {ENDED}) as ended",
        "max(survival) filter (where is_last) as survival",
    ]
    if measure.ended:
        drawn += [
            "max(share) filter (where is_last) as finished_share",
            "max(share_low) filter (where is_last) as low",
            "max(share_high) filter (where is_last) as high",
        ]
    else:
        drawn += [
            "1 - max(share_high) filter (where is_last) as low",
            "1 - max(share_low) filter (where is_last) as high",
        ]
    return summed(keys, drawn, "curve")


def log_rank_queries(group: str) -> tuple[tuple[str, str], ...]:
    """The queries from `matched` (with the column `group`) to `compared`: a row of sums for the first of two groups."""
    counts = f"count(*) filter (where {group} = $first)"
    event = f"outcome = {FINISHED}"
    times = f"""select days, count(*) as m, {counts} as m1,
    count(*) filter (where {event}) as d, count(*) filter (where {event} and {group} = $first) as d1
  from matched
  where left_out is null
  group by days"""
    risk = """select cast(d as double) as d, d1, sum(m) over later as r, sum(m1) over later as r1
  from times
  window later as (order by days desc rows between unbounded preceding and current row)"""
    compared = """select coalesce(sum(d1), 0) as observed, coalesce(sum(d * r1 / r), 0) as expected,
    coalesce(sum(d), 0) as events,
    coalesce(sum(case when r > 1 then d * (r1 / r) * (1 - r1 / r) * (r - d) / (r - 1) end), 0) as variance
  from risk
  where d > 0"""
    return ("times", times), ("risk", risk), ("compared", compared)
