/*
row: One row per milestone of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    project,
    name,
    number,
    gate,
    sequence,
    kind,
    owner_team,
    next_team,
    approver_side,
    approver,
    bills_amount,
    bills_pct,
    invoice,
    locks_scope,
    client_visible,
    acceptance_criterion,
    needs_documents,
    history_quality
from raw.milestones
