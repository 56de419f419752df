/*
row: One row per line of a customer invoice in a Tryton and gate it bills; a line that bills none is one row.
*/
-- Billed by progress, effort or hours, Tryton knows the tasks behind a line; a credit note names the lines that it
-- credits. A line for several tasks of one name and price is shared out by their parts in it.
with recursive works as (
    select
        *,
        coalesce(try_cast(revenue as decimal(18, 2)), 0) - coalesce(
            list_sum(list_transform(
                from_json(children_revenue, '["VARCHAR"]'), lambda one: cast(one as decimal(18, 2))
            )), 0
        ) as worth
    from raw.works
    where _dlt_valid_to is null
),

tree as (
    select
        works.id,
        works.type,
        cast(null as varchar) as gate,
        works.party as client
    from works
    left join works as parents on works.parent = parents.id
    where parents.id is null
    union all
    select
        works.id,
        works.type,
        case
            when works.type = 'project' then null
            when tree.type = 'project' then works.id
            else tree.gate
        end,
        coalesce(works.party, tree.client)
    from works
    inner join tree on works.parent = tree.id
),

billed as (
    select
        invoice_line,
        work,
        cast(progress as double) as weight
    from raw.progresses
    where gone_at is null
    union all
    select
        invoice_line,
        id,
        cast(worth as double)
    from works
    where invoice_line is not null
    union all
    select
        invoice_line,
        replace(work_origin, 'project.work,', ''),
        cast(duration as double)
    from raw.hours
    where gone_at is null and work_origin like 'project.work,%'
),

parts as (
    select
        billed.invoice_line,
        case when tree.client is not null then tree.gate end as gate,
        sum(billed.weight) as weight
    from billed
    inner join tree on billed.work = tree.id
    group by all
),

lines as (
    select
        told.*,
        bills.reference as bill_reference,
        bills.web as bill_web,
        cast(told.amount as decimal(18, 2)) as whole,
        case
            when told.id in (select invoice_line from parts) then told.id
            when told.origin like 'account.invoice.line,%' then replace(told.origin, 'account.invoice.line,', '')
        end as billed_line
    from raw.invoice_lines as told
    inner join raw.invoices as bills on told.invoice = bills.id
),

shared as (
    select
        lines.*,
        parts.gate,
        count(*) over (partition by lines.id) as part_count,
        sum(parts.weight) over (partition by lines.id order by cast(parts.gate as integer) nulls last) as weight_so_far,
        coalesce(
            sum(parts.weight) over (
                partition by lines.id order by cast(parts.gate as integer) nulls last
                rows between unbounded preceding and 1 preceding
            ), 0
        ) as weight_before,
        nullif(sum(parts.weight) over (partition by lines.id), 0) as weight_in_all
    from lines
    left join parts on lines.billed_line = parts.invoice_line
)

select
    case when part_count = 1 then id else id || ' ' || coalesce(gate, 'rest') end as source_key,
    bill_web as source_url,
    updated_at as recorded_at,
    gone_at as deleted_at,
    invoice,
    gate as milestone,
    case
        when part_count = 1 then amount
        -- rounded where the parts end, so that they come to the whole
        else cast(
            cast(round(cast(whole as double) * weight_so_far / weight_in_all, 2) as decimal(18, 2))
            - cast(round(cast(whole as double) * weight_before / weight_in_all, 2) as decimal(18, 2)) as varchar
        )
    end as amount,
    coalesce(nullif(description, ''), product_rec_name) as description,
    bill_reference as reference,
    case when part_count > 1 then id end as line,
    case when part_count > 1 then amount end as line_amount
from shared
