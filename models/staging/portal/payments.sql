/*
row: One row per payment of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    invoice,
    received_at,
    amount,
    currency,
    status
from raw.payments
