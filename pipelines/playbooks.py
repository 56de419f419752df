"""Playbooks: the gate templates in `data/playbooks/*.yml` become frozen, checked values.

What stays out: when anything happens. A playbook says what a project should go through, never what it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from models.faults import Fault, Problem, fault

Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RequiredDocument(_Frozen):
    """A document a gate calls for; `valid_days` where it expires."""

    type: Text
    required: bool = True
    valid_days: int | None = Field(default=None, gt=0)


class HandOff(_Frozen):
    """The hand-over of work that the gate's approval triggers."""

    from_team: Text
    to_team: Text


class Gate(_Frozen):
    """One gate of a playbook. `bills_pct` is the share of the contract its approval releases, 0 to 100."""

    code: Code
    label: Text
    aliases: tuple[Text, ...] = ()
    typical_days: float = Field(gt=0)
    bills_pct: float = Field(ge=0, le=100)
    locks_scope: bool = False
    kind: Literal["gate", "inspection", "approval"] = "gate"
    owner_team: Text
    next_team: Text
    approver_side: Literal["client", "team", "authority"]
    client_visible: bool = True
    acceptance_criterion: Text
    documents: tuple[RequiredDocument, ...] = ()
    handoff: HandOff | None = None


class Playbook(_Frozen):
    """A gate template: its gates in order, and the share of each progress bill held back to the end."""

    code: Code
    label: Text
    firm_kind: Text
    retainage_pct: float = Field(default=0, ge=0, lt=100)
    gates: tuple[Gate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _gates_fit_together(self) -> Playbook:
        twice = [code for code, count in Counter(gate.code for gate in self.gates).items() if count > 1]
        if twice:
            raise ValueError(f"gates: the code {twice[0]!r} stands twice")
        billed = sum(gate.bills_pct for gate in self.gates)
        if abs(billed - 100) > 1e-9:
            raise ValueError(f"gates: bills_pct adds up to {billed:g}, not to 100")
        return self


def load_playbooks(folder: Path) -> dict[str, Playbook]:
    """Every `*.yml` in the folder by its code, in order of file name.

    Raises `Fault` naming file and key for a file that is no YAML or does not fit, for a code that two
    files use, and for a folder without a playbook.
    """
    found: dict[str, Playbook] = {}
    problems: list[Problem] = []
    for file in sorted(folder.glob("*.yml")):
        try:
            playbook = Playbook.model_validate(_read(file))
        except ValidationError as error:
            problems += [_problem(file, detail) for detail in error.errors()]
            continue
        if playbook.code in found:
            problems.append(Problem(f"{file}, key code", f"{playbook.code!r} is used by another file.", "Rename one."))
        found[playbook.code] = playbook
    if problems:
        raise Fault(problems)
    if not found:
        raise fault(str(folder), "holds no playbook (*.yml).", "Copy one from data/playbooks there.")
    return found


def _read(file: Path) -> object:
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise fault(str(file), f"cannot be read ({error}).", "Save it as UTF-8 text, readable by you.") from None
    except yaml.YAMLError as error:
        raise fault(
            str(file), f"is not valid YAML: {' '.join(str(error).split())}.", "Mend the line it names."
        ) from None


def _problem(file: Path, detail: Mapping[str, object]) -> Problem:
    place = detail["loc"]
    key = ".".join(str(part) for part in place) if isinstance(place, tuple) else str(place)
    where = f"{file}, key {key}" if key else str(file)
    return Problem(where, f"{detail['msg']}.", "Compare it with a playbook that ships with Milepost.")
