/*
row: One row per invoice line of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    invoice,
    milestone,
    change_order,
    amount,
    description,
    reference,
    line,
    line_amount,
    link_method,
    link_confidence
from raw.invoice_lines
