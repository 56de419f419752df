"""What every part of one simulated project's life shares: its draws, its clock, its contract and its rows.

A life is drawn whole, to its end, before it is cut at as_of: every part draws first and asks `seen` or
`cut` afterwards, so a later as_of only adds to what an earlier one showed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from pipelines.demo.firms import Firm
from pipelines.demo.hours import HOUR, Office
from pipelines.demo.records import ENTITIES, SECONDS_A_DAY, TRUTHS, DeletionTruth, Rows
from pipelines.playbooks import Playbook


@dataclass(frozen=True, slots=True)
class Customer:
    """A client of the pool. `habit` is how many days after the due date it usually pays."""

    key: str
    name: str
    renamed_from: str | None
    renamed_at: int
    since: int
    timezone: str
    country: str
    subdivision: str
    currency: str
    owner: str
    approver: str
    terms: int
    habit: float


@dataclass(slots=True)
class Scene:
    """One project while it is drawn.

    `now` is as_of; `until` is the last instant at which work goes on: as_of, or the project's early end.
    `contract` is in cents. `rows` and `truth` collect what is seen at as_of.
    """

    rng: Random
    office: Office
    now: int
    until: int
    firm: Firm
    customer: Customer
    playbook: Playbook
    number: int
    key: str
    manager: str
    contract: int
    signed: int
    kickoff: int
    rows: Rows = field(default_factory=lambda: {entity: [] for entity in ENTITIES})
    truth: Rows = field(default_factory=lambda: {quantity: [] for quantity in TRUTHS})

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def spread(self, width: float = 0.5) -> float:
        """A log-normal factor around 1."""
        return math.exp(self.rng.gauss(0, width))

    def after(self, moment: int, days: float) -> int:
        """An office-hours second at least `days` and at least an hour after the moment."""
        return self.office.open(moment + max(HOUR, int(days * SECONDS_A_DAY)), self.rng.random())

    def day(self, moment: int) -> int:
        return self.office.local_day(moment)

    def cut(self, moment: int | None) -> int | None:
        """The moment if as_of has seen it (and the project still ran), else None."""
        return moment if moment is not None and moment <= self.until else None

    def cut_days(self, day: int | None, known: int | None) -> int | None:
        return day if known is not None and known <= self.until else None

    def deletion(self, entity: str, key: str, moment: int | None) -> int | None:
        """The instant of deletion if as_of has seen it; plants it."""
        if moment is None or moment > self.now:
            return None
        self.truth["deletions"].append(DeletionTruth(entity, key, moment))
        return moment
