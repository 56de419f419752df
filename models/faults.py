"""The one error Milepost shows a person: what is wrong, where it was seen, and what to do about it.

Everything that stops a refresh because of its input raises `Fault`; anything else that escapes is a defect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What would do more to a terminal or a log than stand in it: control characters, and marks that turn the direction.
_COMMANDS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_LONGEST = 600  # letters of each part of a message: a record's text can have ten thousand


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found wrong, told so that a person can find and mend it."""

    where: str  # file and row, endpoint, or setting
    what: str  # what was found there, with the offending value
    cure: str  # what to do about it
    source: str | None = None  # the configured source whose records are at fault, where it is one's

    def __str__(self) -> str:
        where = _readable(self.where).replace("\n", " ")  # a key must not begin a line of its own
        return f"{where}: {_readable(self.what)} {_readable(self.cure)}".strip()


def _readable(words: str) -> str:
    plain = _COMMANDS.sub(" ", words)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"


class Fault(Exception):
    """Input that Milepost refuses. `problems` holds every finding, most telling first."""

    SHOWN = 20

    def __init__(self, problems: Problem | list[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else problems
        shown = [str(problem) for problem in self.problems[: self.SHOWN]]
        if len(self.problems) > self.SHOWN:
            shown.append(f"… and {len(self.problems) - self.SHOWN} more of the kind.")
        super().__init__("\n".join(shown))


def fault(where: str, what: str, cure: str) -> Fault:
    """A `Fault` of a single problem."""
    return Fault(Problem(where, what, cure))
