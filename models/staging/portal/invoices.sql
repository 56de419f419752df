/*
row: One row per invoice or credit note of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    client,
    project,
    number,
    kind,
    status,
    drafted_at,
    issued_at,
    sent_at,
    due_on,
    voided_at,
    currency,
    total,
    tax,
    retained,
    disputed,
    disputed_at,
    settled_at
from raw.invoices
