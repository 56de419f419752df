/*
row: One row per client company of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    name,
    timezone,
    currency,
    country,
    subdivision,
    owner,
    is_active,
    merged_into
from raw.clients
