/*
row: One row per change order that was billed.
*/
-- Nothing is told of payments, so every bill is open, and what the open receivables say of this source is only that.
with clients as (
    select
        project_id,
        min(trim(client_name)) as client
    from raw.projects
    group by project_id
)

select
    orders.change_order_id as source_key,
    orders._file || ', row ' || orders._row as source_url,
    -- a bill of a project that is not there leads to no client, and is listed as an orphan
    coalesce(clients.client, 'client of ' || orders.project_id) as client,
    orders.project_id as project,
    orders.change_order_id as number, -- it has no other
    case when starts_with(orders.billed_amount, '-') then 'credit_note' else 'invoice' end as kind,
    'open' as status,
    day_text(orders.billed_date, '%m/%d/%Y') as issued_at,
    'USD' as currency,
    orders.billed_amount as total
from raw.change_orders as orders
left join clients on orders.project_id = clients.project_id
-- 43 are not approved and have no amount, 24 are approved and billed 0 so far: neither is a bill
where orders.billed_amount <> '0'
