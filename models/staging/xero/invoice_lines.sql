/*
row: One row per line of a sales invoice or credit note of a Xero organisation, without tax.
*/
with tracked as (
    select
        max(case when role = 'milestone' then normal_name(field) end) as milestone,
        max(case when role = 'change_order' then normal_name(field) end) as change_order
    from reference.source_fields
    where source = $source
),

lines as (
    select
        id as invoice,
        updated_at,
        reference,
        line_amount_types,
        1 as sign,
        unnest(cast(cast(line_items as json) as json[])) as line
    from raw.invoices
    union all
    select
        id,
        updated_at,
        reference,
        line_amount_types,
        -1,
        unnest(cast(cast(line_items as json) as json[]))
    from raw.credit_notes
),

tagged as (
    select
        lines.*,
        json_extract_string(list_filter(
            cast(coalesce(json_extract(lines.line, '$.Tracking'), '[]') as json[]),
            lambda tag:
            normal_name(json_extract_string(tag, '$.Name')) in (tracked.milestone, tracked.change_order)
        )[1], '$.Option') as option,
        coalesce(try_cast(json_extract_string(lines.line, '$.LineAmount') as decimal(18, 4)), 0) as amount,
        case
            when upper(lines.line_amount_types) = 'INCLUSIVE'
                then coalesce(try_cast(json_extract_string(lines.line, '$.TaxAmount') as decimal(18, 4)), 0)
            else 0
        end as tax
    from lines
    cross join tracked
)

select
    -- a line that was never saved by itself has no key
    coalesce(
        json_extract_string(line, '$.LineItemID'),
        invoice || ':' || row_number() over (partition by invoice order by cast(line as varchar))
    ) as source_key,
    updated_at as recorded_at,
    invoice,
    cast(sign * (amount - tax) as varchar) as amount,
    json_extract_string(line, '$.Description') as description,
    coalesce(option, nullif(reference, '')) as reference
from tagged
