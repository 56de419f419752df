/*
row: One row per amount by which a customer invoice or credit note in a Tryton was settled.
*/
-- Money that was entered as a payment of an invoice is that invoice's. Whatever else it was reconciled with settles it
-- in the order of their dates: money in the account of the client, and credit notes, which are set off on both sides.
-- Neither write-offs nor moves that cancel an invoice settle it.
with lines as (
    select
        told.*,
        coalesce(told.second_currency_code, told.account_company_currency_code) as currency,
        coalesce(
            try_cast(told.amount_second_currency as decimal(18, 2)),
            try_cast(told.debit as decimal(18, 2)) - try_cast(told.credit as decimal(18, 2))
        ) as amount
    from raw.receivables as told
    where told.gone_at is null
),

moves as (
    select
        id as invoice,
        move
    from raw.invoices
    where move is not null
    union all
    select
        invoice,
        move
    from raw.additional_moves
    where gone_at is null
),

cancelling as (
    select cancel_move as move from raw.invoices
    where cancel_move is not null and cancel_move not in (select move from moves)
),

entered as (
    select
        told.invoice,
        lines.id as line,
        told.gone_at,
        lines.reconciliation,
        lines.currency,
        -lines.amount as amount,
        lines.date,
        lines.create_date,
        told.updated_at
    from raw.payment_lines as told
    inner join lines on told.line = lines.id
    where lines.move_id not in (select move from moves)
),

paid as (
    select
        invoice,
        reconciliation,
        currency,
        sum(amount) as amount
    from entered
    where gone_at is null and reconciliation is not null
    group by all
),

-- of each reconciliation: what is still to be settled of a bill, and what else is in it
sides as (
    select
        moves.invoice,
        lines.reconciliation,
        lines.currency,
        sum(lines.amount) - coalesce(any_value(paid.amount), 0) as amount,
        max(lines.date) as date,
        max(lines.create_date) as create_date,
        max(lines.updated_at) as updated_at,
        'invoice ' || moves.invoice as key
    from lines
    inner join moves on lines.move_id = moves.move
    left join paid
        on
            moves.invoice = paid.invoice
            and lines.reconciliation = paid.reconciliation
            and lines.currency = paid.currency
    where lines.reconciliation is not null
    group by moves.invoice, lines.reconciliation, lines.currency
    union all
    select
        null,
        lines.reconciliation,
        lines.currency,
        lines.amount,
        lines.date,
        lines.create_date,
        lines.updated_at,
        'line ' || lines.id
    from lines
    where
        lines.reconciliation is not null
        and lines.move_journal_type is distinct from 'write-off'
        and lines.move_id not in (select move from moves)
        and lines.move_id not in (select move from cancelling)
        and lines.id not in (select line from entered where gone_at is null)
),

spans as (
    select
        *,
        abs(amount) as size,
        sum(abs(amount)) over (
            partition by reconciliation, currency, amount > 0 order by date, key rows unbounded preceding
        ) as ends
    from sides
    where amount <> 0
),

met as (
    select
        debits.invoice as debit_invoice,
        credits.invoice as credit_invoice,
        debits.key as debit_key,
        credits.key as credit_key,
        debits.currency,
        debits.reconciliation,
        least(debits.ends, credits.ends) - greatest(debits.ends - debits.size, credits.ends - credits.size) as amount,
        greatest(debits.date, credits.date) as date,
        greatest(debits.create_date, credits.create_date) as create_date,
        greatest(debits.updated_at, credits.updated_at) as updated_at
    from spans as debits
    inner join spans as credits
        on
            debits.reconciliation = credits.reconciliation
            and debits.currency = credits.currency
            and debits.ends - debits.size < credits.ends
            and credits.ends - credits.size < debits.ends
    where debits.amount > 0 and credits.amount < 0
),

settled as (
    select
        'line ' || line as source_key,
        updated_at,
        gone_at,
        invoice,
        date,
        create_date,
        amount,
        currency
    from entered
    union all
    select
        reconciliation || ' ' || debit_key || ' ' || credit_key,
        updated_at,
        null,
        debit_invoice,
        date,
        create_date,
        amount,
        currency
    from met
    where debit_invoice is not null
    union all
    select
        reconciliation || ' ' || credit_key || ' ' || debit_key,
        updated_at,
        null,
        credit_invoice,
        date,
        create_date,
        -amount,
        currency
    from met
    where credit_invoice is not null
)

select
    settled.source_key,
    bills.web as source_url,
    settled.updated_at as recorded_at,
    settled.gone_at as deleted_at,
    settled.invoice,
    -- the day of the books; on that day the hour at which it was entered
    case
        when
            cast(
                local_day(
                    cast(try_cast(settled.create_date as timestamptz) as timestamp),
                    coalesce(companies.timezone, sources.timezone, 'UTC')
                ) as varchar
            ) = settled.date
            then settled.create_date
        else settled.date
    end as received_at,
    settled.amount,
    settled.currency
from settled
inner join raw.invoices as bills on settled.invoice = bills.id
left join raw.companies as companies on bills.company = companies.id and companies._dlt_valid_to is null
left join reference.sources as sources on sources.source = $source
