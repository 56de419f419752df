/*
row: One row per line of an invoice of a Rocketlane account.
*/
with lines as (
    select
        id as invoice,
        updated_at,
        unnest(cast(cast(lines as json) as json[])) as line
    from raw.invoice_details
)

select
    json_extract_string(line, '$.invoiceLineItemId') as source_key,
    updated_at as recorded_at,
    invoice,
    json_extract_string(line, '$.amount') as amount,
    json_extract_string(line, '$.description') as description
from lines
