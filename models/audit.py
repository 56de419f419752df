"""What every mart must hold besides what its header says, found from the columns it has.

Nothing in it lies after the clock; every project, gate, bill or client it names is there; and what the rows of an
entity come to, in each currency and in the reporting one, is what was admitted. `refuse_vanished` looks at the records:
a source that had some and has none any more is in trouble, not empty. What stays out: a model's own conditions
(build.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from models import catalog
from models.admission import StagedSource
from models.build import Connection, Finding, first, found
from models.catalog import Entity, Model
from models.faults import Fault, Problem

PAST, THERE = "nothing lies after the clock", "whatever it names is there"
_NAMED = {"client_id": "clients", "project_id": "projects", "gate_id": "gates", "invoice_id": "invoices",
          "change_order_id": "change_orders"}  # fmt: skip
# A gate that is itself an orphan stands in no other table than the list of what is to be mended.
_NOWHERE_ELSE = {"gate_faults": "entity = 'milestones' and fault = 'orphan'"}
_AHEAD = ("working_days", "source_pulls", "rejects")  # calendars, and what is said of records, may reach beyond it
_REMAINDERS = ("retained_amount",)  # the total less what is payable, each rounded: no rounding of its own to hold it to
_MANY = 20  # records of one kind, which do not all go at once

Counts = Mapping[tuple[str, str], int]  # (source, entity) → records that are there


def checks(model: Model) -> list[str]:
    """What the checks of a mart are called."""
    named = [PAST] if _instants(model) else []
    named += [THERE] if _names(model) else []
    return named + [one.worth for one in catalog.contract().entities.values() if one.mart == model.name and one.adds_up]


def check(con: Connection, model: Model, there: Collection[str]) -> list[Finding]:
    """The findings of those checks; `there` are the marts that are made: none of the others is asked anything of."""
    findings = []
    if (instants := _instants(model)) and "clock" in there:
        clock = first(con, "select as_of_at from marts.clock")
        late = " or ".join(f"{name} > timestamp '{clock}'" for name in instants)
        shown = ", ".join(dict.fromkeys([*model.key, *instants]))
        findings.append(found(con, model.table, PAST, "fail", f"from {model.table} where {late}", shown))
    elif instants:
        findings.append(Finding(model.table, PAST, "fail", 0))
    if names := _names(model):
        lost = [
            f"({name} is not null and {name} not in (select {name} from marts.{to}))"  # null is not in what is empty
            for name, to in names.items()
            if to in there
        ]
        shown = ", ".join(dict.fromkeys([*model.key, *names]))
        spared = _NOWHERE_ELSE.get(model.name, "false")
        condition = f"from {model.table} where ({' or '.join(lost) or 'false'}) and not ({spared})"
        findings.append(found(con, model.table, THERE, "fail", condition, shown))
    entities = [one for one in catalog.contract().entities.values() if one.mart == model.name and one.adds_up]
    return findings + [_worth(con, model, entity) for entity in entities]


def _instants(model: Model) -> list[str]:
    return [] if model.name in (*_AHEAD, "clock") else [name for name in model.columns if name.endswith("_at")]


def _names(model: Model) -> dict[str, str]:
    return {name: to for name, to in _NAMED.items() if name in model.columns and to != model.name}


def made(con: Connection) -> set[str]:
    """The marts that are there."""
    sql = "select table_name from duckdb_tables() where schema_name = 'marts' and database_name = current_database()"
    return {name for (name,) in con.execute(sql).fetchall()}


def _worth(con: Connection, model: Model, entity: Entity) -> Finding:
    """Rows whose amounts, by source and currency, are not those admitted: as written, and in the reporting currency."""
    by = "source, currency" if "currency" in model.columns else "source"
    admitted, shown, differs = [], [], []
    for name, column in entity.adds_up.items():
        pairs = [(f"sum({name})", column)]
        converted = column.removesuffix("_local")
        if converted != column and converted in model.columns and converted not in _REMAINDERS:
            pairs.append((f"sum(cast(round({name} * rate, 2) as decimal(18, 2)))", converted))
        for sum_, own in pairs:
            admitted.append(f"{sum_} as {own}_admitted")
            shown.append(f"sum({own}) as {own}_shown")
            differs.append(f"coalesce({own}_admitted, 0) <> coalesce({own}_shown, 0)")
    same = "door.source = mart.source" + (
        " and door.currency is not distinct from mart.currency" if "currency" in by else ""
    )
    condition = f"""
from (select {by}, {", ".join(admitted)} from staging.{entity.name} where reject_reason is null group by all) as door
full join (select {by}, {", ".join(shown)} from {model.table} group by all) as mart on {same}
where {" or ".join(differs)}"""
    return found(con, model.table, entity.worth, "fail", condition, "*")


def records(con: Connection) -> Counts:
    """How many records of each source are there, whatever else is said of them, as the tables were last made."""
    there = con.execute("select table_name from duckdb_tables() where schema_name = 'staging'").fetchall()
    counts: dict[tuple[str, str], int] = {}
    for (name,) in there:
        rows = con.execute(
            f"select source, count(*) from staging.{name} where reject_reason is distinct from 'deleted' group by all"
        ).fetchall()
        counts |= {(source, name): count for source, count in rows}
    return counts


def refuse_vanished(con: Connection, before: Counts, names: Collection[str], sources: Collection[StagedSource]) -> None:
    """Raises `Fault` about each source that had records and has none, or had many of one kind and has none of it.

    `names` are all sources of the settings, `sources` those that records were taken from, which say what they bring.
    """
    now = records(con)
    problems = []
    for name in names:
        had = {entity: count for (source, entity), count in before.items() if source == name and count}
        has = {entity for (source, entity), count in now.items() if source == name and count}
        if had and not has:
            problems.append(_gone(name, f"all of its {sum(had.values()):,} records are gone."))
            continue
        brought = {entity for one in sources if one.name == name for entity in had if _brings(one, entity)}
        problems += [
            _gone(name, f"all of its {had[entity]:,} {entity.replace('_', ' ')} are gone.")
            for entity in had
            if had[entity] >= _MANY and entity in brought - has
        ]
    if problems:
        raise Fault(problems)


def _brings(source: StagedSource, entity: str) -> bool:
    """Whether the settings and the mapping still mean it to bring such records."""
    is_mapped = source.staging is None or entity in catalog.staging(source.staging)
    return is_mapped and source.brings(catalog.contract().entities[entity])


def _gone(source: str, what: str) -> Problem:
    cure = "Check what its account may see; where it is meant, name the source anew, or what it still has under takes."
    return Problem(f"source {source}", what, cure, source)
