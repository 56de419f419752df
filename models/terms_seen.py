"""Remembers the terms of gates as they were first told, since tools overwrite what they say of a gate.

Whenever milestones or documents are staged, what differs from what was last seen is added to
`ops.gate_terms_seen` and `ops.gate_documents_seen`, in staging's own transaction: a refresh that is killed keeps
both or neither, and one that is repeated adds nothing. Rows are ordered by when the tool wrote them, so the order of
arrival does not matter; a tool that does not say is taken at the clock. What the terms are worth stays out
(`marts/gate_terms.sql`).
"""

from __future__ import annotations

from models.build import Connection, Moment, parameters
from models.catalog import Entity

TABLES = ("gate_terms_seen", "gate_documents_seen")
TERMS = (
    "approver",
    "acceptance_criterion",
    "bills_amount",
    "bills_pct",
    "needs_documents",
    "locks_scope",
    "client_visible",
)


def remember(con: Connection, entity: Entity, moment: Moment) -> None:
    """Adds what staging has just told of gates; other entities tell nothing of them."""
    statement = {"milestones": _TERMS, "documents": _DOCUMENTS}.get(entity.name)
    if statement:
        con.execute(statement, parameters(statement, moment))


_PRINT = f"md5(to_json(struct_pack({', '.join(f'{name} := {name}' for name in TERMS)})))"

# A version is new where the one written just before it says otherwise. Versions that staging set aside as
# superseded were in force once, and count where they say when.
_TERMS = f"""
insert into ops.gate_terms_seen by name
with latest as (
  select gate_id, max(recorded_at) as recorded_at, arg_max(print, (recorded_at, print)) as print
  from ops.gate_terms_seen
  group by gate_id
), told as (
  select milestones.milestone_id as gate_id, {", ".join(f"milestones.{name}" for name in TERMS)},
    coalesce(milestones.recorded_at, greatest($as_of, latest.recorded_at + interval 1 microsecond)) as recorded_at,
    {_PRINT} as print, latest.recorded_at as latest_at, latest.print as latest_print
  from staging.milestones as milestones
  left join latest on milestones.milestone_id = latest.gate_id
  where milestones.deleted_at is null
    and (milestones.reject_reason is distinct from 'duplicate' or milestones.recorded_at is not null)
), unlike as (
  select * exclude (latest_at, latest_print), true as is_told
  from told
  where latest_at is null or recorded_at < latest_at or print <> latest_print
), placed as (
  select *, lag(print) over (partition by gate_id order by recorded_at, print, is_told) as print_before
  from (
    select * from unlike
    union all by name
    select * exclude (seen_at), false as is_told from ops.gate_terms_seen
    where gate_id in (select unlike.gate_id from unlike)
  )
)
select * exclude (is_told, print_before), cast($as_of as timestamp) as seen_at
from placed
where is_told and print is distinct from print_before
"""

# Only that a document was asked for is remembered: receiving it makes its record look later than it is.
_DOCUMENTS = """
insert into ops.gate_documents_seen by name
with told as (
  select milestone_id as gate_id, document_id, min(recorded_at) as recorded_at
  from staging.documents
  where milestone_id is not null and coalesce(required, true) and deleted_at is null
  group by milestone_id, document_id
), known as (
  select gate_id, document_id, min(recorded_at) as recorded_at
  from ops.gate_documents_seen
  group by gate_id, document_id
)
select told.gate_id, told.document_id, coalesce(told.recorded_at, $as_of) as recorded_at,
  cast($as_of as timestamp) as seen_at
from told
left join known on told.gate_id = known.gate_id and told.document_id = known.document_id
where known.gate_id is null or told.recorded_at < known.recorded_at
"""
