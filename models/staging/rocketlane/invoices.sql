/*
row: One row per invoice of a Rocketlane account, latest version; one that left the list was deleted.
*/
with latest as (
    select *
    from raw.invoices
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

placed as (
    select
        *,
        normal_name(status) as said
    from latest
),

-- when it was voided no list says: at the latest when it was first seen so
voids as (
    select
        id,
        min(updated_at) as voided_at
    from raw.invoices
    where normal_name(status) in ('void', 'voided')
    group by id
),

records as (
    select
        id,
        unnest(cast(cast(payments as json) as json[])) as told
    from raw.invoice_details
),

write_offs as (
    select
        id,
        max(json_extract_string(told, '$.paymentDate')) as written_off_on
    from records
    where json_extract_string(told, '$.paymentRecordType') = 'WRITE_OFF'
    group by id
)

select
    placed.id as source_key,
    epoch_text(placed.updated_at, 1000) as recorded_at,
    cast(placed._dlt_valid_to as varchar) as deleted_at,
    coalesce(json_extract_string(placed.company, '$.companyId'), 'none') as client,
    case
        when json_array_length(placed.projects) = 1 then json_extract_string(placed.projects, '$[0].projectId')
    end as project,
    placed.invoice_number as number,
    'invoice' as kind,
    case
        when
            try_cast(placed.amount_written_off as decimal(18, 4)) > 0
            and try_cast(placed.amount_outstanding as decimal(18, 4)) = 0 then 'uncollectible'
        when placed.said in ('draft', 'in review') then 'draft'
        when placed.said in ('approved', 'sent', 'partially paid', 'overdue') then 'open'
        when placed.said = 'paid' then 'paid'
        when placed.said in ('void', 'voided') then 'void'
        when placed.said = 'written off' then 'uncollectible'
        else placed.status
    end as status,
    epoch_text(placed.created_at, 1000) as drafted_at,
    case when placed.said not in ('draft', 'in review') then placed.date_of_issue end as issued_at,
    placed.due_date as due_on,
    case
        when placed.said in ('void', 'voided') then epoch_text(voids.voided_at, 1000)
        when try_cast(placed.amount_outstanding as decimal(18, 4)) = 0 then write_offs.written_off_on
    end as voided_at,
    coalesce(placed.currency, sources.currency) as currency,
    placed.amount as total,
    placed.tax
from placed
left join voids on placed.id = voids.id
left join write_offs on placed.id = write_offs.id
left join reference.sources as sources on sources.source = $source
