"""Two refreshes started at once: the second says who is at work and changes nothing; the first is not disturbed."""

from __future__ import annotations

from pathlib import Path

import pytest
from changing_firms import ENVIRON, changing_firms
from warm_refreshes import Attempt

from pipelines import snapshots, turns, warehouse

pytestmark = pytest.mark.slow


def test_a_second_refresh_says_who_is_at_work_and_the_first_ends_as_if_alone(tmp_path: Path) -> None:
    house = tmp_path / "house"
    with changing_firms(tmp_path) as firms:
        firms.settle(house)
        first = Attempt(house, firms.now, ENVIRON)
        assert first.until_said("Pulling")
        for step in ("Staging", "Publishing"):  # between steps the warehouse is closed: the turn must hold all the same
            second = Attempt(house, firms.now, ENVIRON)
            assert second.wait() is None
            assert second.refusal is not None
            assert f"{house}: milepost refresh, process {first.pid}, has been at work there since" in second.refusal
            assert "Wait until it has ended, or end it." in second.refusal
            assert second.said == ["Starting"]
            assert first.until_said(step)
        outcome = first.wait()
    assert outcome is not None
    assert (outcome.problems, outcome.stale) == ((), ())
    assert [one.id for one in snapshots.available(house / "snapshots")] == [outcome.serving and outcome.serving.id]
    with warehouse.open_warehouse(house / "warehouse.duckdb") as con:
        assert con.execute("select outcome from ops.runs").fetchall() == [("ok",)]
        assert con.execute("select count(*) from ops.pulls").fetchall() == [(2,)]


def test_what_goes_wrong_during_a_turn_is_not_laid_to_the_file_that_says_whose_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nonesuch"), turns.taken(tmp_path, "a test"):
        (tmp_path / "nonesuch").read_bytes()
    with turns.taken(tmp_path, "another"):
        pass
