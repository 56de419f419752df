/*
row: One row per change order that was billed - the bill's only line.
*/
select
    change_order_id as source_key,
    _file || ', row ' || _row as source_url,
    change_order_id as invoice,
    change_order_id as change_order,
    billed_amount as amount,
    'native' as link_method,
    '1' as link_confidence
from raw.change_orders
where billed_amount <> '0'
