/*
row: One row per milestone event of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    milestone,
    type,
    occurred_at,
    actor,
    actor_side,
    origin
from raw.milestone_events
