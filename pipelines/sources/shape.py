"""Holds what a tool answers against what its mapping stands on: a list of records, each with the fields that are read.

A vendor that renames a field or answers with another version of its API is told from a record that has nothing to say.
What stays out: what the fields mean (staging).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines.sources.door import Door
from pipelines.sources.landing import Record

CHANGED = "The tool has changed what it answers, or another version of it does: update Milepost, or check the url."


def records(door: Door, path: str, body: Any, within: str, fields: Sequence[str]) -> list[Record]:
    """The records of a page, which stand in its list `within`. Raises `Fault` for whatever else the page is."""
    held = body.get(within) if isinstance(body, dict) else None
    if not isinstance(held, list):
        there = f"the keys {', '.join(body) or 'none'}" if isinstance(body, dict) else f"a {type(body).__name__}"
        raise door.fault(path, f'answers a page without a list "{within}" (it holds {there}).', CHANGED)
    for place, record in enumerate(held):
        if not isinstance(record, dict):
            raise door.fault(path, f"holds something that is no record (place {place + 1} of a page).", CHANGED)
        refuse_lacking(door, path, record, fields, place)
    return held


def refuse_lacking(door: Door, path: str, record: Record, fields: Sequence[str], place: int = 0) -> None:
    """Raises `Fault` for a record without one of the fields; the first of them is its key."""
    lacking = [name for name in fields if name not in record]
    if lacking:
        key = record.get(fields[0])
        which = f"the record {key!r}" if key else f"a record (place {place + 1} of a page)"
        raise door.fault(path, f"holds {which} without the field {', '.join(lacking)}.", CHANGED)
