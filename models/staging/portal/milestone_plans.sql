/*
row: One row per planned date of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    milestone,
    due_on,
    is_baseline,
    reason
from raw.milestone_plans
