"""What surrounds every refresh, whoever starts it: its row is opened and completed, old rows go, people are told.

Opening or telling never stops a refresh that could otherwise go on, save where the warehouse itself cannot be opened.
What stays out: what the steps do (assets.py), and reading what became of them (refreshing.py).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from models.faults import Fault, Problem
from pipelines import alerting, holding, restoring, runs, tidying, versions, warehouse
from pipelines.alerting import Cause, Checked, Notice
from pipelines.runs import Ended, Outcome, Step
from pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a run's steps: `published` is the id of its snapshot, `checks` the blocking ones."""

    steps: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    checks: tuple[Checked, ...] = ()
    check_count: int = 0
    published: str | None = None
    was_interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """One refresh under way. `began` is its start by the clock it was given."""

    settings: Settings
    run_id: str
    started_by: str
    began: datetime
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def begin(self) -> list[str]:
        """Opens the row. Returns what went wrong with telling of refreshes that were cut short.

        Raises `Fault` where the warehouse cannot be opened, of which people are told too.
        """
        try:
            restoring.finish(self.settings)
            with warehouse.open_warehouse(self.settings.warehouse) as con:
                versions.drop_unknown(con)
                cut_short = runs.begin(con, self.run_id, self.started_by, self.began)
                runs.mirror(con, self.settings.data)
                alerting.take_over(con, self.settings, self.began)
                if cut_short:
                    told = f"The refresh of {cut_short[-1]:%Y-%m-%d %H:%M} UTC was interrupted before it ended."
                    alerting.note(con, [Cause(alerting.REFRESH, told)], set(), self.began)
                notices = alerting.untold(con, self.settings) if cut_short else []
        except Fault as error:
            wrong = alerting.without_warehouse(self.settings, self.began, self.environ)
            raise Fault([*error.problems, *(Problem("alerts", one, "") for one in wrong)]) from None
        return self._tell(notices, self.began)

    def end(self, found: Found, seconds: float) -> tuple[list[str], list[str]]:
        """Completes the row, tidies up and tells people. Returns a line for each stale source, and what went wrong."""
        at = self.began + timedelta(seconds=seconds)
        is_ok = not found.problems and not found.was_interrupted
        try:
            with warehouse.open_warehouse(self.settings.warehouse) as con:
                stale = holding.stale(con, self.settings)
                runs.end(con, self.run_id, _ended(found, at, is_ok, bool(stale)))
                if not found.was_interrupted:
                    causes = alerting.causes(con, self.settings, is_ok, found.checks)
                    alerting.note(con, causes, alerting.well(con, self.settings, is_ok, found.checks), at)
                tidying.warehouse(con, self.settings)
                notices = alerting.untold(con, self.settings)
                runs.mirror(con, self.settings.data)
        except Fault:  # a warehouse that cannot be opened stopped the run, which has said so
            return [], alerting.without_warehouse(self.settings, at, self.environ)
        except (duckdb.Error, OSError) as error:  # no room, say
            wrong = alerting.without_warehouse(self.settings, at, self.environ)
            return [], [f"the end of this refresh could not be noted ({str(error).splitlines()[0]}).", *wrong]
        return stale, self._tell(notices, at)

    def _tell(self, notices: list[Notice], at: datetime) -> list[str]:
        """The warehouse is closed while servers are waited for."""
        taken, wrong = alerting.deliver(self.settings, notices, at, self.environ)
        if taken:
            try:
                with warehouse.open_warehouse(self.settings.warehouse) as con:
                    alerting.mark(con, taken)
            except (Fault, duckdb.Error) as error:
                wrong.append(f"alerts were sent and could not be noted as sent ({str(error).splitlines()[0]}).")
        return wrong


def _ended(found: Found, at: datetime, is_ok: bool, is_stale: bool) -> Ended:
    outcome: Outcome = "stale" if is_stale else "ok"
    if not is_ok:
        outcome = "interrupted" if found.was_interrupted else "failed"
    return Ended(
        at,
        outcome,
        found.steps,
        found.check_count,
        len(found.warnings),
        found.published,
        "\n".join(found.problems) or None,
    )
