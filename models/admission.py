"""Admits records: what sources sent, mapped to contract columns, becomes `staging.<entity>`, typed and judged.

All of it follows from `contract.yml`: types, required fields, vocabularies, parents, zones and rates. A value
that does not fit stops everything with its record and field; a record that has no place (a duplicate, an
orphan, a deleted one, one not known yet) stays in staging with the reason. Metrics stay out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from models import catalog, linking, terms_seen
from models.build import LISTED, Connection, Finding, Moment, first, found, parameters, together
from models.catalog import Entity, Field
from models.faults import Fault, Problem

_EXPECTED = {
    "text": "a text", "integer": "a whole number such as 3",
    "decimal": "an amount such as 1250.00, with at most two decimals",
    "number": "a number such as 12.5", "boolean": "true or false", "zone": "an IANA time zone such as Europe/Berlin",
    "currency": "an ISO 4217 code such as EUR", "instant": "an instant such as 2026-03-04T15:12:00Z",
    "day": "a date such as 2026-03-04", "reference": "a key",
}  # fmt: skip

_LANDED = ("id", "updated_at", "gone_at", "row_print")  # columns of its own that a pull adds
# What no letter is but a command: control characters, tabs and line breaks aside, and marks that turn all that follows.
_COMMANDS = (
    r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\x{2028}-\x{202E}\x{2066}-\x{2069}\x{FFF9}-\x{FFFB}\x{FFFE}\x{FFFF}]"
)
_WENT = {"gone_at", "_dlt_valid_to"}  # one of which every table has that was pulled in contract columns


@dataclass(frozen=True, slots=True)
class StagedSource:
    """A source as the models see it: its name and where the SELECTs that map it lie.

    `staging` None means that its tables are named and shaped like the contract already.
    `raw` is the schema of its records, "raw_<name>", with a catalog before it where they lie in another file.
    `takes` names the entities that are taken from it; empty means all.
    """

    name: str
    staging: Path | None
    raw: str
    takes: tuple[str, ...] = ()

    def brings(self, entity: Entity) -> bool:
        return not self.takes or entity.name in self.takes


def stage(con: Connection, entity: Entity, sources: Sequence[StagedSource], moment: Moment) -> list[Finding]:
    """Makes `staging.<entity>` from all sources; entities must come in the contract's order.

    One row per record received, each with `reject_reason` null (admitted) or duplicate, deleted, orphan or
    after as_of. Raises `Fault` listing every value the contract does not allow, with record, field and cure.
    Returns warnings: columns the contract does not know, optional references that lead nowhere.
    """
    with together(con):
        _receive(con, entity, _pieces(con, entity, sources))
        if entity.name in ("change_orders", "invoices"):
            linking.name_projects(con)
        _refuse_misfits(con, entity, sources)
        making = _staging_sql(con, entity)
        con.execute(making, parameters(making, moment))
        con.execute("drop table incoming")
        _refuse_missing_rates(con, entity, moment)
        terms_seen.remember(con, entity, moment)
        if entity.name == "clients":
            linking.merge_clients(con)
        if entity.name == "invoice_lines":
            linking.link_lines(con)
    return warnings(con, entity, sources)


def received(con: Connection, entity: Entity, sources: Sequence[StagedSource]) -> str:
    """SQL yielding every source's records of an entity as text in contract columns, with their `source`."""
    return _union(entity, _pieces(con, entity, sources))


def _pieces(con: Connection, entity: Entity, sources: Sequence[StagedSource]) -> dict[str, str]:
    return {source.name: piece for source in sources if (piece := _mapped(con, entity, source))}


def _union(entity: Entity, pieces: Mapping[str, str]) -> str:
    return " union all by name ".join(pieces.values()) if pieces else _no_rows(entity)


def _receive(con: Connection, entity: Entity, pieces: Mapping[str, str]) -> None:
    """The table `incoming`: what the SELECTs of all sources give. Raises `Fault` about the source of one that fails."""
    try:
        con.execute(f"create or replace temp table incoming as {_union(entity, pieces)}")
    except duckdb.Error as error:
        source = next((name for name, piece in pieces.items() if _fails(con, piece)), None)
        where = f"the SELECT that maps {entity.name}{f' of source {source}' if source else ''}"
        cure = "Pass on what does not fit as it is, with try_cast or day_text: the contract will name it."
        raise Fault(Problem(where, f"{str(error).splitlines()[0]}.", cure, source)) from None


def _fails(con: Connection, piece: str) -> bool:
    try:
        con.sql(piece).fetchall()
    except duckdb.Error:
        return True
    return False


def warnings(con: Connection, entity: Entity, sources: Sequence[StagedSource]) -> list[Finding]:
    """What is told of a staged entity: columns the contract does not know, optional references that lead nowhere."""
    return _unknown_columns(con, entity, sources) + _dangling(con, entity)


def _mapped(con: Connection, entity: Entity, source: StagedSource) -> str | None:
    """SQL yielding one source's records of an entity as text in contract columns; None where it has none."""
    if not source.brings(entity):
        return None
    if source.staging is None:
        found = _raw_columns(con, source, entity.name)
        if not found:
            return None
        where, select = f"{source.name}: {entity.name}", f"select * from {source.raw}.{entity.name}"
        if "_file" in found and "source_url" not in found:
            select = f"select *, _file || ', row ' || _row as source_url from {source.raw}.{entity.name}"
            found = (*found, "source_url")
        if _WENT & {*found}:
            select, found = _last_versions(f"{source.raw}.{entity.name}", found)
        if "_file" in found:
            where = f"{first(con, f'select min(_file) from {source.raw}.{entity.name}') or source.name}"
    else:
        model = catalog.staging(source.staging).get(entity.name)
        if model is None:
            return None
        where = str(model.path)
        tree = sqlglot.parse_one(model.sql, dialect="duckdb")
        found = catalog.outputs(tree)
        if unknown := [name for name in found if name not in entity.columns]:
            raise _of_source(source, where,
                             f"selects {', '.join(unknown)}, which {entity.name} of the contract does not have.",
                             f"Rename it to one of: {', '.join(entity.columns)}.")  # fmt: skip
        select = _from_source(tree, source)
    missing = [name for name, field in entity.columns.items() if field.required and name not in found]
    if missing:
        what = f"the column {', '.join(missing)} is missing, which every row of {entity.name} must have."
        cure = "Add it to the file or the SELECT, or name the column that holds it under `rename`."
        raise _of_source(source, where, what, cure)
    columns = [
        f"cast({n} as varchar) as {n}" if n in found else f"cast(null as varchar) as {n}" for n in entity.columns
    ]
    sql = f"select '{source.name}' as source, {', '.join(columns)} from ({select})"
    try:
        con.execute(f"explain {sql}", {"source": source.name} if "$source" in sql else None)
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise _of_source(source, f"{where}, source {source.name}", str(error).splitlines()[0],
                         "Mend the SELECT, or give the file or the tool that column back.") from None  # fmt: skip
    return sql.replace("$source", f"'{source.name}'")


def _of_source(source: StagedSource, where: str, what: str, cure: str) -> Fault:
    return Fault(Problem(where, what, cure, source.name))


def _last_versions(table: str, found: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A table that was pulled in contract columns: of a row's versions the last; what went counts as deleted then."""
    own = [f"nullif({name}, '')" for name in ("deleted_at", "gone_at") if name in found]
    is_kept = "_dlt_valid_to" in found
    went = ", ".join([*own, *(["cast(_dlt_valid_to as varchar)"] if is_kept else []), "null"])
    last = " qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1" if is_kept else ""
    rest = "* replace" if "deleted_at" in found else "*,"
    deleted = f"coalesce({went}) as deleted_at"
    select = f"select {rest} {f'({deleted})' if 'deleted_at' in found else deleted} from {table}{last}"
    return select, (*found, "deleted_at")


def _from_source(tree: exp.Expression, source: StagedSource) -> str:
    tree = tree.copy()
    for table in tree.find_all(exp.Table):
        if table.db == "raw":
            parts = source.raw.split(".")
            table.set("db", exp.to_identifier(parts[-1]))
            if len(parts) == 2:
                table.set("catalog", exp.to_identifier(parts[0]))
    return str(tree.sql(dialect="duckdb"))


def _no_rows(entity: Entity) -> str:
    columns = ", ".join(f"cast(null as varchar) as {name}" for name in ("source", *entity.columns))
    return f"select {columns} where false"


def _raw_columns(con: Connection, source: StagedSource, table: str) -> tuple[str, ...]:
    *database, schema = source.raw.split(".")
    rows = con.execute(
        "select column_name from duckdb_columns() where schema_name = ? and table_name = ? "
        "and database_name = coalesce(?, current_database()) order by column_index",
        [schema, table, database[0] if database else None],
    ).fetchall()
    return tuple(str(name) for (name,) in rows)


def _refuse_misfits(con: Connection, entity: Entity, sources: Sequence[StagedSource]) -> None:
    """Raises `Fault` for every value that does not fit its column; one scan when all is well."""
    tests = {name: test for name, field in entity.columns.items() if (test := _misfit(field))}
    alive = _alive(entity)
    counts = con.execute(
        "select "
        + ", ".join(f"count(*) filter (where {alive} and ({test}))" for test in tests.values())
        + " from incoming"
    ).fetchall()[0]
    broken = [name for name, count in zip(tests, counts, strict=True) if count]
    folders = {source.name: source.staging for source in sources}
    problems = [
        _problem(entity, entity.columns[name], row, folders)
        for name in broken
        for row in con.execute(
            f"select source, source_key, source_url, {name} from incoming where {alive} and ({tests[name]}) "
            f"order by all limit {Fault.SHOWN + 1}"
        ).fetchall()
    ]
    if problems:
        raise Fault(problems)


def _alive(entity: Entity) -> str:
    """Rows whose values must fit: those not deleted, and those that live on in another row."""
    merged = f" or coalesce({entity.merged_by.name}, '') <> ''" if entity.merged_by else ""
    return f"(coalesce(deleted_at, '') = ''{merged})"


def _misfit(field: Field) -> str | None:
    """A condition that is true where a text value does not fit its field; None where all texts do."""
    name, empty = field.name, f"{field.name} is null or {field.name} = ''"
    if field.values:
        vocabulary = ", ".join(f"'{value}'" for value in field.values)
        wrong = f"not ({empty}) and {name} not in ({vocabulary})"
    elif field.type in ("text", "reference"):
        wrong = None
    else:
        wrong = f"not ({empty}) and {_cast(field, 'zone')} is null"
    if field.required:
        return f"({empty}) or ({wrong})" if wrong else empty
    return wrong


def _cast(field: Field, zone: str) -> str:
    """SQL that turns a text column into its type, null where it does not fit. `zone` names a column or literal."""
    name = field.name
    if field.type == "instant":
        zone = "'UTC'" if zone == "zone" else zone
        return (
            f"case when length({name}) = 10 then end_of_business(try_cast({name} as date), {zone}) "
            f"else cast(try_cast({name} as timestamptz) as timestamp) end"
        )
    return {
        "text": f"nullif({name}, '')",
        "reference": f"nullif({name}, '')",
        "integer": f"case when regexp_matches({name}, '^[+-]?[0-9]+([.]0+)?$') then try_cast({name} as bigint) end",
        "decimal": f"case when try_cast({name} as decimal(38, 6)) = try_cast({name} as decimal(18, 2)) "
        f"then try_cast({name} as decimal(18, 2)) end",
        "number": f"case when isfinite(try_cast({name} as double)) then try_cast({name} as double) end",
        "boolean": f"case when lower({name}) in ('true', 't', 'yes', 'y', '1') then true "
        f"when lower({name}) in ('false', 'f', 'no', 'n', '0') then false end",
        "zone": f"case when {name} in (select name from pg_timezone_names()) then {name} end",
        "currency": f"case when regexp_matches({name}, '^[A-Z]{{3}}$') then {name} end",
        "day": f"case when regexp_matches({name}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]00:00:00([.]0+)?Z?)?$') "
        f"then try_cast(left({name}, 10) as date) end",
    }[field.type]


def _problem(entity: Entity, field: Field, row: tuple[Any, ...], folders: dict[str, Path | None]) -> Problem:
    source, key, url, value = row
    place = f"{url}, " if url and "://" not in url else ""
    where = f"source {source}, {entity.name}: {place}record {key or '(without a key)'}, field {field.name}"
    if value is None or value == "":
        return Problem(where, "is empty, but every row must have it.", "Fill it in the tool or the file.", source)
    mapping = _line(folders.get(source), entity, field)
    if field.values:
        cure = f"Known are: {', '.join(field.values)}. " + _extended(mapping)
        return Problem(where, f"{value!r} is unknown.", cure, source)
    cure = f"Write {_EXPECTED[field.type]}" + (f", or mend the mapping at {mapping}." if mapping else ".")
    return Problem(where, f"{value!r} is not {_EXPECTED[field.type].split(' such as')[0]}.", cure, source)


def _extended(mapping: str | None) -> str:
    """How to have a word understood that is in no vocabulary."""
    if mapping is None:
        return "Write one of them in the file."
    is_told = "source_statuses" in Path(mapping.rpartition(":")[0] or mapping).read_text("utf-8")
    how = "Add it to statuses in the block of the source, or extend" if is_told else "Extend"
    return f"{how} the mapping at {mapping}."


def _line(folder: Path | None, entity: Entity, field: Field) -> str | None:
    """The file and line of the staging SELECT that makes a column, for a message."""
    if folder is None:
        return None
    path = folder / f"{entity.name}.sql"
    lines = path.read_text("utf-8").splitlines()
    at = [number for number, line in enumerate(lines, 1) if field.name in line.replace(",", " ").split()]
    return f"{path}:{at[-1]}" if at else str(path)


def _staging_sql(con: Connection, entity: Entity) -> str:
    """The statement that makes staging.<entity> from the table `incoming`, one thought per CTE."""
    thoughts = {
        "keyed": _keyed(con, entity),
        "placed": _placed(entity),
        "typed": _typed(entity),
        "known": _known(entity),
        "masked": _masked(entity),
        "dated": _dated(entity),
    }
    written = ",\n".join(f"{name} as (\n{sql}\n)" for name, sql in thoughts.items())
    return f"create or replace table staging.{entity.name} as\nwith {written}\n{_admitted(entity)}"


def _keyed(con: Connection, entity: Entity) -> str:
    """Ids instead of keys, empty texts as null, and the place of a record among its versions."""
    columns = ["source", f"source || ':' || source_key as {entity.id}"]
    commanding = _commanding(con, entity)
    for f in entity.columns.values():
        told = f"regexp_replace({f.name}, '{_COMMANDS}', '', 'g')" if f in commanding else f.name
        columns.append(f"{_qualified(f)} as {f.column}" if f.type == "reference" else f"nullif({told}, '') as {f.name}")
    # Order of arrival must not matter: the latest version wins, and ties break on the content itself.
    version = (
        "row_number() over (partition by source, source_key order by try_cast(recorded_at as timestamptz) "
        f"desc nulls last, md5(concat_ws('|', {', '.join(entity.columns)})))"
    )
    is_repeated = first(con, "select count(*) <> count(distinct source || ':' || source_key) from incoming")
    return f"select {', '.join(columns)}, {version if is_repeated else '1'} as version from incoming"


def _commanding(con: Connection, entity: Entity) -> list[Field]:
    """The fields of free text in which a record holds commands to whoever shows it; one scan when there are none."""
    told = [f for f in entity.columns.values() if f.type == "text" and not f.values and f.name != "source_key"]
    every = ", ".join(f.name for f in told)
    if not first(con, f"select bool_or(regexp_matches(concat_ws(' ', {every}), '{_COMMANDS}')) from incoming"):
        return []
    return [f for f in told if first(con, f"select bool_or(regexp_matches({f.name}, '{_COMMANDS}')) from incoming")]


def _placed(entity: Entity) -> str:
    """Zone, currency and rate from the row itself or its nearest parent; what a parent's own state means for it."""
    # a client is the farthest parent
    parents = [ref for ref in entity.references if ref is not entity.merged_by]
    references = sorted(parents, key=lambda ref: ref.to == "clients")
    joins = [
        f"left join staging.{ref.to} as {ref.name}_row on {ref.name}_row.{_id(ref)} = keyed.{ref.column} "
        f"and {ref.name}_row.reject_reason is distinct from 'duplicate'"
        for ref in references
    ]

    def inherited(column: str, last: str) -> str:
        own = [f"keyed.{column}"] if column in entity.columns else []
        parents = [f"{ref.name}_row.{column}" for ref in references]
        return f"coalesce({', '.join([*own, *parents, last])}) as {column}"

    replaced = [name for name in ("timezone", "currency") if name in entity.columns]
    return f"""select keyed.*{f" exclude ({', '.join(replaced)})" if replaced else ""},
  {inherited("timezone", "$zone")}, {inherited("currency", "cast(null as varchar)")},
  {inherited("rate", _NO_RATE) if references else f"{_NO_RATE} as rate"},
  {_parent_reason(entity)} as parent_reason, {_parent_detail(entity)} as parent_detail
from keyed {" ".join(joins)}"""


def _typed(entity: Entity) -> str:
    """Every value in its type; `is_day_only` where an instant was given as a bare date."""
    fields = entity.columns.values()
    typed = [f"{_cast(f, 'timezone')} as {f.name}" for f in fields if f.type not in ("reference", "zone", "currency")]
    bare = [f"coalesce(length({f.name}) = 10, false)" for f in fields if f.type == "instant"]
    return f"""select source, {entity.id}, {", ".join([*typed, *(f.column for f in entity.references)])},
  timezone, currency, rate, version, parent_reason, parent_detail, {" or ".join(bare)} as is_day_only
from placed"""


def _known(entity: Entity) -> str:
    """When the row became known, and when it will next look different: its earliest instant after $as_of."""
    known_at = f"least({', '.join(entity.known_at)})" if entity.known_at else "cast(null as timestamp)"
    later = [f"case when {f.name} > $as_of then {f.name} end" for f in _instants(entity) if f.name != "recorded_at"]
    if "recorded_at" in entity.known_at:
        later.append("case when recorded_at > $as_of then recorded_at end")
    if entity.rate_at:  # a row that names no day is rated by the clock, and so looks different at any other
        later.append(f"case when coalesce({', '.join(entity.rate_at)}) is null then cast($as_of as timestamp) end")
    changes_at = f"least({', '.join([*later, 'cast(null as timestamp)'])})"
    return f"select *, {known_at} as known_at, {changes_at} as changes_at from typed"


def _masked(entity: Entity) -> str:
    """Whatever happens after $as_of is null; the reason for which a row is set aside."""
    # a client that its tool deleted in a merge lives on in another: its projects and bills must not go with it
    kept = f" and {entity.merged_by.column} is null" if entity.merged_by else ""
    masked = [
        f"case when {f.name} <= $as_of then {f.name} end as {f.name}"
        for f in _instants(entity)
        if not f.required and f.name not in ("recorded_at", "deleted_at")
    ]
    return f"""select *{f" replace ({', '.join(masked)})" if masked else ""},
  case when version > 1 then 'duplicate'
    when deleted_at <= $as_of{kept} then 'deleted'
    when known_at > $as_of then 'after as_of'
    else parent_reason end as reject_reason
from known"""


def _dated(entity: Entity) -> str:
    """The day whose exchange rate the row's money has, by the calendar of its zone."""
    instant = f"coalesce({', '.join([*entity.rate_at, '$as_of'])})"
    rate_on = f"local_day({instant}, timezone)" if entity.rate_at else "cast(null as date)"
    return f"select *, {rate_on} as rate_on from masked"


def _admitted(entity: Entity) -> str:
    """The row with its rate, and the reason in words."""
    own = "case when dated.currency = $currency then cast(1 as decimal(18, 8)) else rates.rate end"
    # 20 digits: DuckDB would keep a product of two decimals of 18 in 18, too few for a hundred million
    return f"""select dated.* exclude (rate, version, parent_reason, parent_detail),
  cast({own if entity.rate_at else "dated.rate"} as decimal(20, 8)) as rate,
  case reject_reason
    when 'duplicate' then 'a later version of the same record was received'
    when 'deleted' then case when parent_reason = 'deleted' and deleted_at is null then parent_detail
      else 'deleted in the tool' end
    when 'after as_of' then case when parent_reason is null then 'not known yet on that date' else parent_detail end
    else parent_detail end as reject_detail
from dated
{_RATES if entity.rate_at else ""}"""


def _instants(entity: Entity) -> list[Field]:
    return [field for field in entity.columns.values() if field.type == "instant"]


_NO_RATE = "cast(null as decimal(20, 8))"
_RATES = "left join reference.rates as rates on rates.day = dated.rate_on and rates.currency = dated.currency"


def _id(reference: Field) -> str:
    return catalog.contract().entities[str(reference.to)].id


def _qualified(reference: Field) -> str:
    """A reference as an id. A key that opens with another source's name and a colon points into that source."""
    name = reference.name
    return (
        f"case when {name} = '' then null when contains({name}, ':') and split_part({name}, ':', 1) in "
        f"(select s.source from reference.sources as s) then {name} else source || ':' || {name} end"
    )


def _parent_reason(entity: Entity) -> str:
    if entity.one_of:
        found = " or ".join(f"({n}_row.source is not null and {n}_row.reject_reason is null)" for n in entity.one_of)
        inherited = ", ".join(f"{name}_row.reject_reason" for name in entity.one_of)
        return f"case when {found} then null else coalesce({inherited}, 'orphan') end"
    if not entity.parents:
        return "cast(null as varchar)"
    reasons = [
        f"case when {name}_row.source is null then 'orphan' else {name}_row.reject_reason end"
        for name in entity.parents
    ]
    return f"coalesce({', '.join(reasons)})"


def _parent_detail(entity: Entity) -> str:
    names = entity.one_of or entity.parents
    if not names:
        return "cast(null as varchar)"
    return "coalesce(" + ", ".join(
        f"case when {name}_row.source is null and keyed.{name}_id is not null then 'its {name} ' || keyed.{name}_id "
        f"|| ' was not received' when {name}_row.reject_reason is not null then 'its {name} ' || keyed.{name}_id "
        f"|| ' was set aside: ' || {name}_row.reject_reason end"
        for name in names
    ) + f", 'it names no {' or '.join(names)}')"  # fmt: skip


def _refuse_missing_rates(con: Connection, entity: Entity, moment: Moment) -> None:
    if not entity.rate_at:
        return
    rows = con.execute(
        f"select currency, rate_on, count(*), min({entity.id}), source from staging.{entity.name} "
        "where reject_reason is null and currency is not null and rate is null group by all order by all"
    ).fetchall()
    if rows:
        raise Fault([
            Problem(f"{entity.name}: record {key}" + (f" and {n - 1} more" if n > 1 else ""),
                    f"there is no rate from {currency} to {moment.currency} for {day} or the week before.",
                    f"Add the line {day},{currency},<{moment.currency} for 1 {currency}> to the rates file.", source)
            for currency, day, n, key, source in rows
        ])  # fmt: skip


def _unknown_columns(con: Connection, entity: Entity, sources: Sequence[StagedSource]) -> list[Finding]:
    findings = []
    for source in sources:
        if source.staging is None and source.brings(entity):
            there = _raw_columns(con, source, entity.name)
            known = {*entity.columns, *(_LANDED if _WENT & {*there} else ())}
            unknown = [name for name in there if name not in known and name[0] != "_"]
            if unknown:
                sample = tuple({"source": source.name, "column": column} for column in unknown[:LISTED])
                name = f"the contract knows every column of {source.name}"
                findings.append(Finding(f"staging.{entity.name}", name, "warn", len(unknown), sample))
    return findings


def _dangling(con: Connection, entity: Entity) -> list[Finding]:
    findings = []
    for ref in entity.references:
        if ref.name in entity.parents:
            continue
        condition = (
            f"from staging.{entity.name} as child where child.reject_reason is null and child.{ref.column} is not null "
            f"and not exists (select 1 from staging.{ref.to} as parent "
            f"where parent.{_id(ref)} = child.{ref.column} and parent.reject_reason is null)"
        )
        findings.append(found(con, f"staging.{entity.name}", f"every {ref.name} it names is there", "warn",
                               condition, f"child.{entity.id}, child.{ref.column}"))  # fmt: skip
    return findings
