/*
row: One row per customer of a Stripe account; a deleted one stays as an inactive client, since its invoices stay.
*/
select
    id as source_key,
    'https://dashboard.stripe.com/customers/' || id as source_url,
    updated_at as recorded_at,
    coalesce(nullif(name, ''), email, id) as name,
    upper(currency) as currency,
    json_extract_string(address, '$.country') as country,
    deleted is null and gone_at is null as is_active
from raw.customers
