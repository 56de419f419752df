/*
row: One row per entry of extra work of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    project,
    milestone,
    done_at,
    hours,
    amount,
    currency,
    description,
    change_order
from raw.extra_work
