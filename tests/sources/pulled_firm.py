"""A firm whose bills or projects are pulled from a tool that a test plays, and what its tables then say.

Tables are made anew only where something was pulled or asked otherwise since. What stays out: the tools (the fakes).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from pulled import Pulled

from models.faults import Fault
from pipelines import warehouse
from pipelines.pulling import PullReport, pull
from pipelines.settings import Settings
from pipelines.sources.door import Patience

HASTE = Patience(attempts=2, backoff_seconds=0.01, ceiling_seconds=0.02, timeout_seconds=3)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

# One project with an approved gate and an open one, as a project tool beside the books would have them.
GATES = {
    "clients": "source_key,name\nc1,Aster\n",
    "projects": (
        "source_key,client,name,contract_amount,currency,signed_at,kickoff_at,status\n"
        "p1,c1,Rebrand,1000.00,{currency},2026-02-01T12:00:00Z,2026-02-02T12:00:00Z,active\n"
    ),
    "milestones": (
        "source_key,project,name,number,sequence,approver_side,bills_pct,history_quality\n"
        "g1,p1,Concept,REB-1,1,client,40,log\ng2,p1,Launch,REB-2,2,client,60,log\n"
    ),
    "milestone_events": (
        "source_key,milestone,type,occurred_at,actor_side,origin\n"
        "e1,g1,started,2026-02-02T12:00:00Z,team,log\n"
        "e2,g1,submitted,2026-02-20T12:00:00Z,team,log\n"
        "e3,g1,approved,2026-02-26T12:00:00Z,client,log\n"
    ),
}


class Clock(Protocol):
    now: datetime


class PulledFirm(Pulled):
    """One firm. `tool` is the fake whose clock pulls go by; `name` its source, whose secret stands in SECRET."""

    currency = "USD"

    def __init__(self, data: Path, tool: Clock, name: str, block: dict[str, Any], secret: str) -> None:
        super().__init__(data, {name: block}, {"SECRET": secret}, HASTE)
        self.tool, self.name, self.secret = tool, name, secret
        self._made: tuple[Any, ...] = ()
        self._pulls = 0

    def with_gates(self) -> None:
        """A project tool beside it, of files."""
        (self.data / "inbox").mkdir()
        for name, text in GATES.items():
            (self.data / "inbox" / f"{name}.csv").write_text(text.replace("{currency}", self.currency), "utf-8")
        tables = {name: {"glob": f"{name}.csv"} for name in GATES}
        self.blocks = {
            "studio": {"kind": "files", "firm": self.blocks[self.name]["firm"], "tables": tables},
            **self.blocks,
        }
        self.pull(source="studio")

    @property
    def settings(self) -> Settings:
        told = {"data": self.data, "reporting_currency": self.currency, "sources": self.blocks}
        return Settings.model_validate(told)

    def pull(
        self, now: datetime | None = None, source: str | None = None, environ: Mapping[str, str] | None = None
    ) -> PullReport:
        """A pull, by default by a clock that goes as the tool's does."""
        self._pulls += 1
        told = self.environ if environ is None else environ
        return pull(self.settings, source or self.name, now or self.tool.now, told, self.patience)

    def refusal(self, now: datetime | None = None, source: str | None = None) -> str:
        """What a pull is refused with; it never repeats the secret."""
        with pytest.raises(Fault) as caught:
            self.pull(now, source)
        assert self.secret not in str(caught.value)
        return str(caught.value)

    def told(self, query: str, as_of: datetime | None = None) -> list[tuple[Any, ...]]:
        """What the tables say on a day, by default the next; where marts are asked, all that blocks a snapshot holds."""
        moment = as_of or self.tool.now + DAY
        asked = (self._pulls, moment, repr(self.blocks), "marts." in query)
        if asked not in (self._made, (*self._made[:3], False)):
            self._made = ()
            with self.built(moment) if asked[3] else self.staged(moment):
                self._made = asked
        with warehouse.open_warehouse(self.settings.warehouse) as con:
            return con.sql(query).fetchall()
