"""Asset checks, made from the model headers and the contract: their specs, and a finding as a result.

A `fail` line blocks the snapshot, a `warn` line is reported. Every staging table has two checks: `contract`
(whatever the contract refuses; blocking) and `oddities` (what it lets through with a word).
What stays out: looking for the offending rows (models/build.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from models import audit
from models.build import Finding
from models.catalog import Contract, Entity, Model
from models.faults import Fault

_LONGEST = 300  # letters of a value in a list of offending rows
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>()#+!|~$&:@-]")  # addresses too: a viewer makes links of them
CONTRACT, ODDITIES, PULLED = "contract", "oddities", "pulled"


def specs(contract: Contract, marts: Mapping[str, Model]) -> list[dg.AssetCheckSpec]:
    """Every check of every table, in the order of the tables."""
    staged = [spec for entity in contract.entities.values() for spec in _staging_specs(entity)]
    return staged + [spec for model in marts.values() for spec in _mart_specs(model, contract)]


def _staging_specs(entity: Entity) -> list[dg.AssetCheckSpec]:
    asset = ["staging", entity.name]
    return [
        dg.AssetCheckSpec(
            CONTRACT, asset=asset, blocking=True,
            description=f"Every value of {entity.name} fits the contract, and every amount has a rate.",
        ),
        dg.AssetCheckSpec(
            ODDITIES, asset=asset,
            description="Columns the contract does not know, and optional references that lead nowhere.",
        ),
    ]  # fmt: skip


def _mart_specs(model: Model, contract: Contract) -> list[dg.AssetCheckSpec]:
    blocking = [f"{', '.join(model.key)} is unique"] if model.key else []
    blocking += model.fail
    blocking += [one.reconciliation for one in contract.entities.values() if one.mart == model.name]
    blocking += audit.checks(model)
    said = [(text, True) for text in blocking] + [(text, False) for text in model.warn]
    return [
        dg.AssetCheckSpec(name(text), asset=["marts", model.name], blocking=is_blocking, description=text)
        for text, is_blocking in said
    ]


def name(text: str) -> str:
    """A condition as a check's name: comparison signs become words, all else that is no letter an underscore."""
    for sign, word in (("<=", " at most "), (">=", " at least "), ("<>", " not "), ("!=", " not "),
                       ("<", " below "), (">", " above "), ("=", " is ")):  # fmt: skip
        text = text.replace(sign, word)
    return re.sub(r"\W+", "_", text.lower()).strip("_")


def results(findings: Iterable[Finding]) -> list[dg.AssetCheckResult]:
    """Findings about a mart, as the results of its checks."""
    return [_result(one.table, name(one.check), one.check, [one]) for one in findings]


def staged(entity: Entity, findings: Iterable[Finding]) -> list[dg.AssetCheckResult]:
    """The two results of a staging table that was made."""
    table = f"staging.{entity.name}"
    return [
        _result(table, CONTRACT, "every value fits", []),
        _result(table, ODDITIES, "nothing odd", list(findings)),
    ]


def not_pulled(asset: dg.AssetKey, fault: Fault) -> dg.AssetCheckResult:
    """The result of a source that could not be pulled."""
    return dg.AssetCheckResult(
        asset_key=asset, check_name=PULLED, passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(fault)
    )


def refused(entity: Entity, fault: Fault) -> dg.AssetCheckResult:
    """The result of a staging table that could not be made, with every problem listed."""
    listed = "\n".join(f"- {_literal(problem)}" for problem in fault.problems[: Fault.SHOWN])
    return dg.AssetCheckResult(
        asset_key=["staging", entity.name],
        check_name=CONTRACT,
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(fault.problems[0]),
        metadata={"count": len(fault.problems), "problems": dg.MetadataValue.md(listed)},
    )


def _result(table: str, check: str, said: str, findings: list[Finding]) -> dg.AssetCheckResult:
    broken = [one for one in findings if not one.passed]
    metadata: dict[str, Any] = {"count": sum(one.count for one in broken)}
    if broken:
        metadata["rows"] = dg.MetadataValue.md(_listed([row for one in broken for row in one.sample]))
    is_grave = any(one.severity == "fail" for one in broken)
    return dg.AssetCheckResult(
        asset_key=table.split("."),
        check_name=check,
        passed=not broken,
        severity=dg.AssetCheckSeverity.ERROR if is_grave else dg.AssetCheckSeverity.WARN,
        description="; ".join(map(_told, broken)) or said,
        metadata=metadata,
    )


def _told(finding: Finding) -> str:
    rows = "1 row breaks it" if finding.count == 1 else f"{finding.count} rows break it"
    if not finding.sample:
        return f"{finding.check}: {rows}"
    example = ", ".join(f"{name} {_short(value)}" for name, value in finding.sample[0].items())
    return f"{finding.check}: {rows}, such as {example}"


def _short(value: object) -> str:
    told = " ".join(str(value).split())
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _listed(rows: list[dict[str, Any]]) -> str:
    """Offending rows as Markdown tables, one for each set of columns."""
    lines: list[str] = []
    columns: list[str] = []
    for row in rows:
        if list(row) != columns:
            columns = list(row)
            lines += ["", f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines.append("| " + " | ".join(_literal(value) for value in row.values()) + " |")
    return "\n".join(lines)


def _literal(value: object) -> str:
    """A record's value as Markdown that shows it as it is: no link, no image, no markup, nothing longer than a line."""
    return _MARKDOWN.sub(lambda sign: f"&#{ord(sign[0])};", _short(value))
