"""The one error Milepost shows a person: what is wrong, where it was seen, and what to do about it.

Everything that stops a refresh because of its input raises `Fault`; anything else that escapes is a defect.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing found wrong, told so that a person can find and mend it."""

    where: str  # file and row, endpoint, or setting
    what: str  # what was found there, with the offending value
    cure: str  # what to do about it
    source: str | None = None  # the configured source whose records are at fault, where it is one's

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.cure}".strip()


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
