/*
row: One row per payment, refund and set-off of a Xero organisation; a credit is set off where it is allocated.
*/
with allocations as (
    select
        id as credit_note,
        updated_at,
        status,
        currency_code,
        unnest(cast(coalesce(cast(allocations as json), '[]') as json[])) as told
    from raw.credit_notes
),

set_off as (
    select
        credit_note,
        updated_at,
        currency_code,
        json_extract_string(told, '$.Invoice.InvoiceID') as invoice,
        credit_note || ':' || coalesce(
            json_extract_string(told, '$.AllocationID'), json_extract_string(told, '$.Invoice.InvoiceID')
        ) as source_key,
        json_extract_string(told, '$.Date') as allocated_on,
        try_cast(json_extract_string(told, '$.Amount') as decimal(18, 4)) as amount
    from allocations
    where
        status not in ('VOIDED', 'DELETED')
        and coalesce(json_extract_string(told, '$.IsDeleted'), 'false') <> 'true'
),

prepaid as (
    select
        id as invoice,
        updated_at,
        currency_code,
        unnest(list_concat(
            cast(coalesce(cast(prepayments as json), '[]') as json[]),
            cast(coalesce(cast(overpayments as json), '[]') as json[])
        )) as told
    from raw.invoices
),

bills as (
    select
        id,
        currency_code
    from raw.invoices
    union all
    select
        id,
        currency_code
    from raw.credit_notes
),

paid as (
    select
        *,
        coalesce(
            json_extract_string(credit_note, '$.CreditNoteID'), json_extract_string(invoice, '$.InvoiceID')
        ) as bill
    from raw.payments
),

movements as (
    select
        paid.id as source_key,
        paid.updated_at,
        case when paid.status = 'DELETED' then paid.updated_at else paid.gone_at end as deleted_at,
        paid.bill as invoice,
        paid.date as received_on,
        case paid.payment_type when 'ARCREDITPAYMENT' then -1 else 1 end
        * try_cast(paid.amount as decimal(18, 4)) as amount,
        bills.currency_code,
        case paid.status when 'AUTHORISED' then 'received' else paid.status end as status
    from paid
    left join bills on paid.bill = bills.id
    union all
    select
        source_key || ':applied',
        updated_at,
        null,
        invoice,
        allocated_on,
        amount,
        currency_code,
        'received'
    from set_off
    union all
    select
        source_key || ':set_off',
        updated_at,
        null,
        credit_note,
        allocated_on,
        -amount,
        currency_code,
        'received'
    from set_off
    union all
    -- money that came before its invoice, or beyond another
    select
        invoice || ':' || coalesce(
            json_extract_string(told, '$.PrepaymentID'), json_extract_string(told, '$.OverpaymentID')
        ),
        updated_at,
        null,
        invoice,
        json_extract_string(told, '$.Date'),
        try_cast(json_extract_string(told, '$.AppliedAmount') as decimal(18, 4)),
        currency_code,
        'received'
    from prepaid
)

select
    movements.source_key,
    movements.updated_at as recorded_at,
    movements.deleted_at,
    movements.invoice,
    left(epoch_text(movements.received_on, 1000), 10) as received_at,
    cast(movements.amount as varchar) as amount,
    coalesce(movements.currency_code, sources.currency) as currency,
    movements.status
from movements
left join reference.sources as sources on sources.source = $source
