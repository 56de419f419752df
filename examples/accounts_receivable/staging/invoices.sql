/*
row: One row per invoice.
*/
select
    -- text throughout: 266 numbers open with zeros
    invoice_number as source_key,
    _file || ', row ' || _row as source_url,
    customer_id as client,
    invoice_number as number,
    case when settled_date is null then 'open' else 'paid' end as status,
    day_text(invoice_date, '%m/%d/%Y') as issued_at,
    day_text(due_date, '%m/%d/%Y') as due_on,
    'USD' as currency, -- the file names no currency
    invoice_amount as total,
    -- said once per invoice, without from when till when, so it is taken to hold all along
    disputed
from raw.invoices
