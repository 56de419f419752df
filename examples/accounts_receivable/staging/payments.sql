/*
row: One row per settled invoice.
*/
-- The file knows one day of settlement and no amounts, so an invoice is paid at once and whole. DaysToSettle and
-- DaysLate are not read: they follow from the dates, in all 2,466 rows.
select
    invoice_number as source_key,
    _file || ', row ' || _row as source_url,
    invoice_number as invoice,
    day_text(settled_date, '%m/%d/%Y') as received_at,
    invoice_amount as amount,
    'USD' as currency
from raw.invoices
where settled_date is not null
