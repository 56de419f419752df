"""Durations with open rows, against lifelines and against answers worked out in books."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hand_made_marts import AS_OF, hand_made
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.statistics import logrank_test
from lifelines.utils import qth_survival_times

from models.faults import Fault
from models.measure import Question, answer, curve, distribution, explain, log_rank, rows

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
          case when outcome = 0 then days end as cycle_days, case when outcome = 2 then days end as age_days,
          case when outcome = 1 then days end as ended_days
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


def test_a_filter_changes_nothing_about_ties():
    """Rows of one length are multiplied in the order in which they were numbered, however the engine sorts them."""
    rng = np.random.default_rng(0)
    groups = rng.choice(["Acme", "Birch", "Cedar", "Dune"], 300)
    days = np.where(rng.random(300) < 0.8, 0.0, rng.random(300) * 9)
    outcome = np.where((days > 0) & (rng.random(300) < 0.7), 2, 0)
    con = many(days, outcome, groups)
    for client in ("Acme", "Birch", "Cedar", "Dune"):
        mine = groups == client
        fitted = KaplanMeierFitter().fit(days[mine], outcome[mine] == 0).survival_function_["KM_estimate"]
        drawn = curve(con, Question("F1", where={"client": (client,)}))
        assert drawn["survival"].to_list() == pytest.approx(fitted[drawn["time"].to_list()].tolist())
        assert one(con, where={"client": (client,)})["value"] == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_competing_end_agrees_with_lifelines_aalen_johansen(seed: int):
    """On times without ties, as lifelines shakes tied ones at random."""
    draw = np.random.default_rng(100 + seed)
    size = int(draw.choice([12, 60, 300]))
    days = draw.gamma(2, 9, size)
    outcome = draw.choice([0, 1, 2], size, p=[0.55, 0.2, 0.25])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # its bounds where nothing has finished yet
        theirs = AalenJohansenFitter(calculate_variance=True).fit(
            days, np.array([1, 2, 0])[outcome], event_of_interest=1
        )
    ours = curve(many(days, outcome), Question("F18"))
    at = ours["time"].to_numpy()
    share = theirs.cumulative_density_.loc[at].to_numpy().ravel()
    assert ours["finished_share"].to_numpy() == pytest.approx(share, abs=1e-9)
    bounds = theirs.confidence_interval_.loc[at].to_numpy()
    known = np.isfinite(bounds).all(axis=1) & (share > 0)
    assert known.sum() > size / 3
    assert ours["low"].to_numpy()[known] == pytest.approx(bounds[known].min(axis=1), abs=1e-9)
    assert ours["high"].to_numpy()[known] == pytest.approx(bounds[known].max(axis=1), abs=1e-9)
    found = answer(many(days, outcome), Question("F18")).row(0, named=True)
    reached = at[share >= 0.5 - 1e-12]  # half in arithmetic may be a rounding below it in theirs
    if found["n"] >= 6:
        assert found["value"] == (reached.min() if len(reached) else None)
        assert ("P50 not reached" in (found["note"] or "")) == (not len(reached))
    assert (found["n"], found["open_n"], found["ended_n"]) == tuple((outcome == kind).sum() for kind in (0, 2, 1))


def test_without_a_competing_end_the_two_estimators_are_one():
    con = hand_made(gates=gates([*range(1, 30), *(f"{day}+" for day in range(5, 25, 3))]))
    alone, competing = (answer(con, Question(name)).row(0, named=True) for name in ("F1", "F18"))
    assert competing.pop("ended_n") == 0
    assert alone == competing
    assert curve(con, Question("F1"))["low"].to_numpy() == pytest.approx(
        1 - curve(con, Question("F18"))["high"].to_numpy(), abs=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_log_rank_test_agrees_with_lifelines(seed: int):
    draw = np.random.default_rng(200 + seed)
    size = int(draw.choice([30, 200, 1000]))
    group = draw.integers(0, 2, size)
    days = np.round(draw.gamma(2, 9 + 3 * group), 0)
    outcome = np.where(draw.random(size) < 0.3, 2, 0)
    con = many(days, outcome, np.where(group == 0, "Acme", "Beta"))
    theirs = logrank_test(days[group == 0], days[group == 1], outcome[group == 0] == 0, outcome[group == 1] == 0)
    ours = log_rank(con, Question("F1"), "client")
    assert ours.chi_square == pytest.approx(theirs.test_statistic, abs=1e-9)
    assert ours.p == pytest.approx(theirs.p_value, abs=1e-9)


def test_the_log_rank_test_refuses_other_than_two_groups():
    con = hand_made(gates=gates([1, 2, 3]))
    with pytest.raises(Fault, match="client has 1 groups"):
        log_rank(con, Question("F1"), "client")
    with pytest.raises(Fault, match="is no duration"):
        log_rank(con, Question("F10"), "client")
    with pytest.raises(Fault, match=r"is no duration.*F1"):
        curve(con, Question("F10"))


def test_a_median_that_is_not_reached_is_said_and_has_no_number():
    found = one(hand_made(gates=gates([*range(1, 8), *["9+"] * 8])))
    assert (found["value"], found["n"], found["open_n"]) == (None, 7, 8)
    assert found["note"] == "n = 7: too few for P85; P50 not reached"
    assert found["low"] is not None  # half may have been reached, and no earlier than this
    assert found["high"] is None


@pytest.mark.parametrize("count", [6, 8, 10, 14, 30, 90, 1000])
def test_a_share_of_exactly_half_is_reached_in_spite_of_rounding(count: int):
    """Of n rows, half finish and half stay open later: S is a product of logarithms, and exactly ½ in arithmetic."""
    con = hand_made(gates=gates([*range(1, count + 1), *[f"{count + 5}+"] * count]))
    assert one(con)["value"] == count


def test_each_group_is_judged_by_itself_whether_it_has_open_rows():
    con = hand_made(gates=[
        *gates([1, 2, 3, 4, 5, 6], client="All finished"),
        *gates([1, 2, 3, 4, 5, 6, "9+"], client="One open"),
        *gates(["2+", "3+"], client="None finished"),
    ])  # fmt: skip
    found = answer(con, Question("F1", by=("client",)))
    assert found.select("client", "value", "n", "open_n", "note").rows() == [
        ("All finished", 3.5, 6, 0, "n = 6: too few for P85"),
        ("None finished", None, 0, 2, "n = 0: too few"),
        ("One open", 4, 6, 1, "n = 6: too few for P85"),
    ]


def test_rows_of_a_duration_are_finished_and_open_ones_and_dots_the_finished():
    con = hand_made(gates=[*gates([1, 2, "3+"]), *gates([4], client="Beta", status="cancelled", ended_days=4.0)])
    assert rows(con, Question("F1")).select("gate_id", "is_open").rows() == [("0", False), ("1", False), ("2", True)]
    assert rows(con, Question("F18"))["is_ended"].to_list() == [False, False, False, True]
    assert distribution(con, Question("F1"))["value"].to_list() == [1, 2]
    told = explain(con, Question("F18"))
    assert (told.counted_rows, told.open_rows, told.ended_rows) == (4, 1, 1)
    assert {reason for reason, _, _ in explain(con, Question("F1")).left_out} == {"cancelled"}


def test_open_gates_belong_to_the_period_in_which_they_began():
    early, late = AS_OF - timedelta(days=99), AS_OF - timedelta(days=3)
    con = hand_made(gates=[*gates([5] * 6), *gates(["3+", "2+"], client="Beta")])
    con.execute("update marts.gates set started_at = $late where client = 'Beta'", {"late": late})
    assert (one(con, until=early.date())["n"], one(con, until=early.date())["open_n"]) == (6, 0)
    assert (one(con, since=late.date())["n"], one(con, since=late.date())["open_n"]) == (0, 2)


def test_durations_before_zero_are_kept():
    found = one(hand_made(gates=gates([-6, -4, -2, 1, 3, 5, "9+"])))
    assert (found["value"], found["low"]) == (1, -6)
