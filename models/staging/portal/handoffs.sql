/*
row: One row per hand-off of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    milestone,
    from_team,
    to_team,
    notified_at,
    accepted_at,
    started_at
from raw.handoffs
