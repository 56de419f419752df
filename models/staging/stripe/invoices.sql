/*
row: One row per invoice and one per credit note of a Stripe account.
*/
with metadata_keys as (
    select max(case when role = 'project' then field end) as project
    from reference.source_fields
    where source = $source
),

firm as (
    select coalesce(max(timezone), 'UTC') as zone
    from reference.sources
    where source = $source
),

bills as (
    select
        told.*,
        json_extract_string(told.status_transitions, '$.finalized_at') as finalized_at,
        json_extract_string(told.status_transitions, '$.voided_at') as voided_at,
        json_extract_string(told.status_transitions, '$.marked_uncollectible_at') as given_up_at
    from raw.invoices as told
)

select
    bills.id as source_key,
    coalesce(bills.hosted_invoice_url, 'https://dashboard.stripe.com/invoices/' || bills.id)
        as source_url,
    bills.updated_at as recorded_at,
    case when bills.deleted = 'true' then bills.updated_at else bills.gone_at end as deleted_at,
    bills.customer as client,
    json_extract_string(bills.metadata, '$."' || metadata_keys.project || '"') as project,
    bills.number,
    'invoice' as kind,
    -- the contract's words for an invoice's status are Stripe's own
    bills.status,
    epoch_text(bills.created, 1) as drafted_at,
    -- the date on the paper, which a draft may bear already
    case
        when bills.finalized_at is not null then epoch_text(coalesce(bills.effective_at, bills.finalized_at), 1)
    end as issued_at,
    coalesce(
        cast(local_day(try_cast(epoch_text(bills.due_date, 1) as timestamp), firm.zone) as varchar),
        bills.due_date
    ) as due_on,
    -- an invoice that was given up left the books when it was marked so
    epoch_text(
        coalesce(bills.voided_at, case when bills.status = 'uncollectible' then bills.given_up_at end), 1
    ) as voided_at,
    upper(bills.currency) as currency,
    major_units(bills.total, bills.currency) as total,
    major_units(
        cast(try_cast(bills.total as bigint) - try_cast(bills.total_excluding_tax as bigint) as varchar),
        bills.currency
    ) as tax
from bills
cross join metadata_keys
cross join firm
union all
select
    credit_notes.id,
    'https://dashboard.stripe.com/credit_notes/' || credit_notes.id,
    credit_notes.updated_at,
    credit_notes.gone_at,
    credit_notes.customer,
    coalesce(
        json_extract_string(credit_notes.metadata, '$."' || metadata_keys.project || '"'),
        json_extract_string(invoices.metadata, '$."' || metadata_keys.project || '"')
    ),
    credit_notes.number,
    'credit_note',
    case credit_notes.status when 'issued' then 'open' else credit_notes.status end,
    epoch_text(credit_notes.created, 1),
    epoch_text(coalesce(credit_notes.effective_at, credit_notes.created), 1),
    null,
    epoch_text(credit_notes.voided_at, 1),
    upper(credit_notes.currency),
    major_units(cast(-try_cast(credit_notes.total as bigint) as varchar), credit_notes.currency),
    major_units(
        cast(
            try_cast(credit_notes.total_excluding_tax as bigint) - try_cast(credit_notes.total as bigint)
            as varchar
        ), credit_notes.currency
    )
from raw.credit_notes as credit_notes
left join raw.invoices as invoices on credit_notes.invoice = invoices.id
cross join metadata_keys
