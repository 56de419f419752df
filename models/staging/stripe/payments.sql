/*
row: One row per payment or refund of a Stripe account, and per credit or balance that settles a bill.
*/
with paid as (
    select
        invoice,
        sum(try_cast(amount_paid as bigint)) as amount
    from raw.invoice_payments
    where status = 'paid' and gone_at is null
    group by invoice
),

bills as (
    select
        told.*,
        json_extract_string(told.status_transitions, '$.finalized_at') as finalized_at,
        json_extract_string(told.status_transitions, '$.paid_at') as paid_at,
        coalesce(try_cast(told.ending_balance as bigint) - try_cast(told.starting_balance as bigint), 0)
            as balance_used,
        coalesce(paid.amount, 0) as paid_amount
    from raw.invoices as told
    left join paid on told.id = paid.invoice
    where told.deleted is null and told.status not in ('draft', 'void')
),

notes as (
    select
        *,
        coalesce(try_cast(pre_payment_amount as bigint), 0) as pre_payment,
        coalesce(try_cast(post_payment_amount as bigint), 0) as post_payment,
        cast(coalesce(cast(refunds as json), '[]') as json[]) as refund_list
    from raw.credit_notes
    where status <> 'void'
),

refunded as (
    select
        id as credit_note,
        currency,
        created,
        updated_at,
        unnest(refund_list) as told
    from notes
),

note_refunds as (
    select
        *,
        coalesce(json_extract_string(told, '$.refund.id'), json_extract_string(told, '$.refund')) as refund,
        coalesce(try_cast(json_extract_string(told, '$.amount_refunded') as bigint), 0) as amount
    from refunded
),

note_sums as (
    select
        credit_note,
        sum(amount) as amount
    from note_refunds
    group by credit_note
),

refund_sums as (
    select
        refund,
        sum(amount) as amount
    from note_refunds
    group by refund
),

-- one payment may settle several invoices; a refund of it is taken from the first
refunded_invoices as (
    select
        coalesce(json_extract_string(payment, '$.payment_intent'), json_extract_string(payment, '$.charge')) as paid_by,
        min(invoice) as invoice
    from raw.invoice_payments
    where status = 'paid'
    group by paid_by
),

movements as (
    select
        id as source_key,
        updated_at,
        invoice,
        coalesce(json_extract_string(status_transitions, '$.paid_at'), created) as received_at,
        try_cast(amount_paid as bigint) as minor,
        currency,
        case status when 'paid' then 'received' else status end as status
    from raw.invoice_payments
    where status not in ('open', 'canceled') and gone_at is null
    union all
    select
        id || ':balance',
        updated_at,
        id as invoice,
        finalized_at,
        balance_used,
        currency,
        'received'
    from bills
    where balance_used <> 0 and finalized_at is not null
    union all
    -- Stripe holds it paid, and none of its payments says by what: it was settled elsewhere
    select
        id || ':elsewhere',
        updated_at,
        id as invoice,
        paid_at,
        try_cast(total as bigint) - balance_used - paid_amount
        - coalesce(try_cast(pre_payment_credit_notes_amount as bigint), 0),
        currency,
        'received'
    from bills
    where
        status = 'paid' and paid_at is not null
        and try_cast(total as bigint) - balance_used - paid_amount
        - coalesce(try_cast(pre_payment_credit_notes_amount as bigint), 0) > 0
    union all
    select
        id || ':applied',
        updated_at,
        invoice,
        created,
        pre_payment,
        currency,
        'received'
    from notes
    where pre_payment <> 0
    union all
    select
        id || ':set_off',
        updated_at,
        id as invoice,
        created,
        -pre_payment,
        currency,
        'received'
    from notes
    where pre_payment <> 0
    union all
    -- what is not refunded is paid out elsewhere, or left to the customer's balance, which later invoices use
    select
        notes.id || ':credited',
        notes.updated_at,
        notes.id as invoice,
        notes.created,
        coalesce(note_sums.amount, 0) - notes.post_payment,
        notes.currency,
        'received'
    from notes
    left join note_sums on notes.id = note_sums.credit_note
    where notes.post_payment - coalesce(note_sums.amount, 0) <> 0
    union all
    select
        note_refunds.credit_note || ':' || note_refunds.refund,
        note_refunds.updated_at,
        note_refunds.credit_note,
        coalesce(refunds.created, note_refunds.created),
        -note_refunds.amount,
        note_refunds.currency,
        case
            when refunds.status in ('failed', 'canceled') then 'failed'
            when refunds.status = 'succeeded' or refunds.status is null then 'received'
            else refunds.status
        end
    from note_refunds
    left join raw.refunds as refunds on note_refunds.refund = refunds.id
    where coalesce(refunds.status, '') not in ('pending', 'requires_action')
    union all
    -- money given back without a credit note is owed again
    select
        refunds.id,
        refunds.updated_at,
        refunded_invoices.invoice,
        refunds.created,
        coalesce(refund_sums.amount, 0) - try_cast(refunds.amount as bigint),
        refunds.currency,
        case
            when refunds.status in ('failed', 'canceled') then 'failed'
            when refunds.status = 'succeeded' then 'received'
            else refunds.status
        end
    from raw.refunds as refunds
    inner join refunded_invoices
        on coalesce(refunds.payment_intent, refunds.charge) = refunded_invoices.paid_by
    left join refund_sums on refunds.id = refund_sums.refund
    where
        refunds.status not in ('pending', 'requires_action')
        and try_cast(refunds.amount as bigint) > coalesce(refund_sums.amount, 0)
)

select
    source_key,
    updated_at as recorded_at,
    invoice,
    epoch_text(received_at, 1) as received_at,
    major_units(cast(minor as varchar), currency) as amount,
    upper(currency) as currency,
    status
from movements
