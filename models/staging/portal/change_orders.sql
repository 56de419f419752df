/*
row: One row per change order of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    project,
    milestone,
    number,
    title,
    reason,
    requested_by_side,
    status,
    requested_at,
    submitted_at,
    decided_at,
    amount_requested,
    amount_approved,
    currency,
    days_requested,
    days_approved
from raw.change_orders
