"""Hand-made records of one or two firms, small enough to see through, for tests of the portal and the pull."""

from __future__ import annotations

from typing import Any

from pipelines.sources.portal import FIELDS

Record = dict[str, Any]
Records = dict[str, list[Record]]


def row(entity: str, key: str, updated_at: str = "2026-03-01T09:00:00Z", firm: str = "relay", **values: Any) -> Record:
    """A record in wire form: every field of its entity, null where nothing is given."""
    blank = dict.fromkeys(FIELDS[entity])
    return {
        **blank,
        "id": key,
        "updated_at": updated_at,
        "url": f"https://portal.example/{key}",
        "firm": firm,
        **values,
    }


def event(key: str, milestone: str, kind: str, at: str, **values: Any) -> Record:
    """A gate event that was recorded when it occurred."""
    told = {"milestone": milestone, "type": kind, "occurred_at": at, "origin": "log", **values}
    return row("milestone_events", key, at, **told)


def migration() -> Records:
    """An implementer's project whose integrations engineer waits for two decisions, and another firm's gate."""
    gate = {"project": "prj_1", "owner_team": "integrations", "approver_side": "client", "history_quality": "log"}
    return {
        "projects": [row("projects", "prj_1", client="cli_1", name="Rollout", currency="USD", status="active")],
        "milestones": [
            row("milestones", "mil_1", name="Data migration verified", next_team="customer success", **gate),
            row(
                "milestones", "mil_2", name="Integrations connected", next_team="integrations", locks_scope=True, **gate
            ),
            row(
                "milestones", "mil_3", "2026-03-02T09:00:00Z", name="Dropped", deleted_at="2026-03-02T09:00:00Z", **gate
            ),
            row("milestones", "mil_9", firm="hearth", name="Framing", project="prj_9", history_quality="log"),
        ],
        "milestone_events": [
            event("evt_1", "mil_1", "started", "2026-03-01T10:00:00Z"),
            event("evt_2", "mil_2", "started", "2026-03-01T10:00:00Z"),
            event("evt_3", "mil_2", "submitted", "2026-03-01T11:00:00Z"),
        ],
    }
