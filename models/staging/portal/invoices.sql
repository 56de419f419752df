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
    issued_at,
    sent_at,
    due_on,
    voided_at,
    currency,
    total,
    tax,
    retained,
    disputed
from raw.invoices
