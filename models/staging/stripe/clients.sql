/*
row: One row per customer of a Stripe account; a deleted one stays as an inactive client, since its invoices stay.
*/
with billed as (
    select
        customer,
        max(updated_at) as updated_at,
        coalesce(max_by(customer_name, updated_at), customer) as name
    from raw.invoices
    where deleted is null
    group by customer
)

select
    id as source_key,
    'https://dashboard.stripe.com/customers/' || id as source_url,
    updated_at as recorded_at,
    coalesce(nullif(name, ''), email, id) as name,
    upper(currency) as currency,
    json_extract_string(address, '$.country') as country,
    deleted is null and gone_at is null as is_active
from raw.customers
union all
-- deleted before it was ever seen: only its invoices still tell of it
select
    billed.customer,
    null,
    billed.updated_at,
    billed.name,
    null,
    null,
    false
from billed
where billed.customer not in (select customers.id from raw.customers as customers)
