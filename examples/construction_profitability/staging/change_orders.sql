/*
row: One row per change order.
*/
-- CO0013 stands in the file twice, word for word: a duplicate. CO9999 belongs to P994, which is no project: an orphan.
select
    change_order_id as source_key,
    _file || ', row ' || _row as source_url,
    project_id as project,
    change_order_id as number,
    reason,
    lower(trim(status)) as status, -- "Approved" and "PENDING " too
    day_text(requested_date, '%m/%d/%Y') as requested_at,
    -- a price is asked for on that day, so it is also the day it was put to the owner
    day_text(requested_date, '%m/%d/%Y') as submitted_at,
    -- Empty for CO0001, though it is approved and billed: it has no decision time. The file dates no refusals.
    day_text(approval_date, '%m/%d/%Y') as decided_at,
    -- "$43,428.72" is 43428.72; anything else that is no number is passed on for the contract to name
    case
        when regexp_matches(requested_revenue_change, '^-?[$][0-9]{1,3}(,[0-9]{3})*([.][0-9]{2})?$')
            then regexp_replace(requested_revenue_change, '[$,]', '', 'g')
        else requested_revenue_change
    end as amount_requested,
    approved_revenue_change as amount_approved,
    'USD' as currency
from raw.change_orders
