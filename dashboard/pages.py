"""The pages that there are: under which heading, what each is called, what it answers, and what draws it.

A script that Streamlit runs is run anew for every drawing; what stands here is made once. What stays out: every page's
own content (views/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dashboard.access import Sight
from dashboard.data import Reading
from dashboard.views import (
    billing,
    cash,
    client,
    compare,
    data_health,
    definitions,
    flow,
    handoffs,
    overview,
    project,
    schedule,
    scope,
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its name, what it answers, what draws it, and which query parameters of its own stay in its link."""

    title: str
    lead: str
    draw: Callable[[Reading], None]
    own: tuple[str, ...] = ()


PAGES: dict[str, dict[str, Page]] = {
    "": {"overview": Page("Overview", overview.LEAD, overview.page)},
    "Work": {
        "flow": Page("Flow", flow.LEAD, flow.page),
        "schedule": Page("Schedule", schedule.LEAD, schedule.page),
        "scope": Page("Scope", scope.LEAD, scope.page),
        "handoffs": Page("Hand-offs and documents", handoffs.LEAD, handoffs.page),
        "compare": Page("Compare", compare.LEAD, compare.page, ("cell",)),
    },
    "Money": {
        "billing": Page("Billing", billing.LEAD, billing.page),
        "cash": Page("Cash", cash.LEAD, cash.page),
    },
    "One by one": {
        "project": Page("Project", project.LEAD, project.page, ("project",)),
        "client": Page("Client view", client.LEAD, client.page, ("of",)),
    },
    "Trust": {
        "data-health": Page("Data health", data_health.LEAD, data_health.page),
        "definitions": Page("Definitions", definitions.LEAD, definitions.page),
    },
}

OF_A_CLIENT = Page("Your projects", "Milestones, what is waited for, papers, the next payment.", client.page, ("of",))


def offered(sight: Sight) -> dict[str, dict[str, Page]]:
    """The pages that are there for a viewer; a client has one, under a name of its own."""
    if sight.role == "client":
        return {"": {"client": OF_A_CLIENT}}
    found = {
        heading: {path: page for path, page in listed.items() if sight.may_open(path, heading)}
        for heading, listed in PAGES.items()
    }
    return {heading: listed for heading, listed in found.items() if listed}
