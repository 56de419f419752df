"""How a tool's values and names become raw text and column names.

Raw tables hold text alone, so that a mapping can be mended without asking the tool again. What stays
out: what any of it means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import count

import simplejson

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def text(value: object) -> str | None:
    """A value as text: null stays null, numbers keep their digits, nesting becomes JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return str(simplejson.dumps(value, ensure_ascii=False))  # keeps a decimal's digits, which json would not
    return str(value)


def column(name: str) -> str:
    """A name as a column: `Client name` and `clientName` become `client_name`; "" where nothing is left."""
    plain = re.sub(r"[\W_]+", "_", _WORDS.sub("_", name)).strip("_").lower()
    return f"_{plain}" if plain[:1].isdigit() else plain


def unlike(name: str, taken: Iterable[str]) -> str:
    """The name itself, or with `_2`, `_3` and so on where it is taken."""
    known = set(taken)
    candidates = (name if number == 1 else f"{name}_{number}" for number in count(1))
    return next(one for one in candidates if one not in known)


def sortable(moment: datetime) -> str:
    """An instant in the one form whose order as text is its order in time: UTC, microseconds."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
