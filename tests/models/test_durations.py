"""Durations with open rows, against lifelines and against answers worked out in books."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hand_made_marts import AS_OF, hand_made
from lifelines import KaplanMeierFitter
from lifelines.utils import qth_survival_times

from models.measure import Question, answer, curve, distribution, log_rank

# Gehan (1965), Freireich et al. (1963): weeks of remission, "+" still in remission. 6-mercaptopurine against placebo.
MERCAPTOPURINE = [
    *(6, 6, 6, 7, 10, 13, 16, 22, 23),
    *["6+", "9+", "10+", "11+", "17+", "19+", "20+", "25+", "32+", "32+", "34+", "35+"],
]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def gates(lengths: Iterable[Any], **columns: Any) -> list[dict[str, Any]]:
    """A gate per length in days; one that ends in "+" is open."""
    made = []
    for place, length in enumerate(lengths):
        days, is_open = float(str(length).rstrip("+")), str(length).endswith("+")
        state = {"status": "in_progress", "age_days": days} if is_open else {"status": "approved", "cycle_days": days}
        gate_id = f"{columns.get('client', '')}{place}"
        made.append(
            {"gate_id": gate_id, "gate_label": "Concept", "started_at": AS_OF - timedelta(days=99), **state, **columns}
        )
    return made


def one(con: duckdb.DuckDBPyConnection, **question: Any) -> dict[str, Any]:
    return answer(con, Question("F1", **question)).row(0, named=True)


def many(days: np.ndarray, outcome: np.ndarray, groups: np.ndarray | None = None) -> duckdb.DuckDBPyConnection:
    """Gates in their thousands: outcome 0 approved, 1 cancelled, 2 in progress."""
    con = hand_made()
    frame = pl.DataFrame({
        "place": np.arange(len(days)), "days": days, "outcome": outcome,
        "client": groups if groups is not None else np.repeat("Acme", len(days)),
    })  # fmt: skip
    con.register("made", frame)
    con.execute("""
        insert into marts.gates by name
        select place as gate_id, 'northlight:p1' as project_id, client, timestamp '2026-01-01' as started_at,
          case outcome when 0 then 'approved' when 1 then 'cancelled' else 'in_progress' end as status,
          case when outcome = 0 then days end as cycle_days, case when outcome = 2 then days end as age_days
        from made""")
    return con


def test_gehan_s_remissions_have_the_book_s_survival_and_errors():
    """Gehan (1965) as in Collett and in Kleinbaum & Klein: S and Greenwood's standard error, each to four places."""
    drawn = curve(hand_made(gates=gates(MERCAPTOPURINE)), Question("F1"))
    events = drawn.filter(pl.col("finished") > 0)
    assert events["time"].to_list() == [6, 7, 10, 13, 16, 22, 23]
    assert events["at_risk"].to_list() == [21, 17, 15, 12, 11, 7, 6]
    assert [round(s, 4) for s in events["survival"]] == [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    # the interval is log(-log): its half width on that scale is 1.96 standard errors of ln(-ln S)
    inner = np.log(-np.log(events["low"].to_numpy())) - np.log(-np.log(events["high"].to_numpy()))
    survival = events["survival"].to_numpy()
    errors = inner / 2 / 1.959963984540054 * survival * -np.log(survival)
    assert [round(e, 4) for e in errors] == [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346]


def test_gehan_s_median_is_23_and_would_be_10_without_the_open_ones():
    con = hand_made(gates=gates(MERCAPTOPURINE))
    found = one(con)
    assert (found["value"], found["n"], found["open_n"]) == (23, 9, 12)
    assert found["note"] == "n = 9: too few for P85"
    assert distribution(con, Question("F1"))["value"].median() == 10


def test_gehan_s_arms_differ_by_a_log_rank_of_16_793():
    con = hand_made(gates=[*gates(MERCAPTOPURINE, client="Treated"), *gates(PLACEBO, client="Placebo")])
    found = log_rank(con, Question("F1"), "client")
    assert found.chi_square == pytest.approx(16.793, abs=0.0005)
    assert found.p == pytest.approx(4.17e-5, rel=0.01)
    assert (found.groups, found.observed, found.events) == (("Placebo", "Treated"), 21, 30)
    assert one(con, where={"client": ("Placebo",)})["value"] == 8


def fitted(days: np.ndarray, outcome: np.ndarray) -> KaplanMeierFitter:
    return KaplanMeierFitter().fit(days, event_observed=outcome == 0)


@pytest.mark.parametrize("seed", range(12))
def test_curves_and_percentiles_agree_with_lifelines_on_ties_and_open_rows(seed: int):
    draw = np.random.default_rng(seed)
    size = int(draw.choice([7, 20, 61, 150, 900]))
    days = np.round(draw.gamma(2, 9, size), int(draw.integers(0, 2)))  # whole days or tenths: many ties
    days -= draw.choice([0, 5])  # early ones are negative
    outcome = np.where(draw.random(size) < draw.choice([0.1, 0.35, 0.6]), 2, 0)
    con, theirs = many(days, outcome), fitted(days, outcome)
    ours = curve(con, Question("F1"))
    at = ours["time"].to_numpy()
    table = theirs.event_table.loc[at]
    assert ours["at_risk"].to_list() == table["at_risk"].to_list()
    assert ours["finished"].to_list() == table["observed"].to_list()
    assert ours["censored"].to_list() == table["censored"].to_list()
    assert ours["survival"].to_numpy() == pytest.approx(theirs.survival_function_.loc[at].to_numpy().ravel(), abs=1e-9)
    interval = theirs.confidence_interval_.loc[at].to_numpy()
    assert ours["low"].to_numpy() == pytest.approx(interval[:, 0], abs=1e-9)
    assert ours["high"].to_numpy() == pytest.approx(interval[:, 1], abs=1e-9)
    found = one(con)
    for column, q, least in (("value", 0.5, 6), ("p85", 0.85, 19), ("p95", 0.95, 59)):
        reached = theirs.percentile(1 - q)
        expected = None if np.isinf(reached) or found["n"] < least else reached
        if (outcome == 2).any():
            assert found[column] == expected
        elif expected is not None:
            assert found[column] == pytest.approx(np.quantile(days, q))
    bounds = qth_survival_times(0.5, theirs.confidence_interval_)
    low, high = (None if np.isinf(bound) else bound for bound in bounds.to_numpy().ravel())
    if found["n"] >= 6:
        assert (found["low"], found["high"]) == (low, high)
