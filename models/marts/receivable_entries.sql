/*
row: One row per movement of receivables - what an invoice, payment, void or write-off adds to or takes off an account.
key: [entry_id]
columns:
  entry_id: The movement's event, record, kind and account.
  invoice_id: The invoice that it moves, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  number: The invoice's number.
  invoice_kind: What sort of bill it is - invoice, progress, deposit, retention_release or credit_note.
  kind: The movement - invoiced, credited, paid, written_off, voided, retained, released or revalued.
  account: Where it stands - payable, unapplied (money and credits not set off) or retained (held back).
  occurred_at: When it happened; a payment counts from the issue of its invoice at the earliest.
  occurred_on: The same as a date in the project's time zone, else the client's.
  due_on: Date the payable part is due.
  is_sale: True for what was billed, credited or voided; a release of retainage was sold when it was first billed.
  currency: Currency of the invoice, ISO 4217.
  amount_local: What it adds, in that currency; negative where it takes off.
  amount: What it adds, in the reporting currency at the invoice's rate; an invoice's add up to its open amount.
fail:
  - occurred_at is not null and amount is not null
  - kind <> 'revalued' or amount_local = 0
*/
with bills as (
    select
        invoices.invoice_id,
        invoices.client_id,
        invoices.project_id,
        invoices.kind,
        invoices.status,
        invoices.issued_at,
        invoices.left_at,
        invoices.currency,
        invoices.total_amount_local as total_local,
        invoices.total_amount,
        invoices.retained_amount_local as retained_local,
        invoices.retained_amount,
        invoices.total_amount_local - invoices.retained_amount_local as payable_local,
        invoices.total_amount - invoices.retained_amount as payable_amount,
        staged.rate,
        staged.timezone
    from marts.invoices as invoices
    left join staging.invoices as staged
        on invoices.invoice_id = staged.invoice_id and staged.reject_reason is null
    where invoices.status <> 'draft'
),

movements as (
    select
        invoice_id,
        'issue' as event,
        invoice_id as record_id,
        issued_at as occurred_at,
        1 as phase,
        payable_local as billed_local,
        cast(0 as decimal(18, 2)) as paid_local,
        0 as is_write_off
    from bills
    union all
    select
        bills.invoice_id,
        'payment',
        payments.payment_id,
        greatest(payments.received_at, bills.issued_at),
        2,
        cast(0 as decimal(18, 2)),
        payments.applied_amount_local,
        0
    from bills
    inner join marts.payments as payments on bills.invoice_id = payments.invoice_id
    where payments.status = 'received'
    union all
    select
        invoice_id,
        'void',
        invoice_id as record_id,
        left_at,
        3,
        -payable_local,
        cast(0 as decimal(18, 2)),
        0
    from bills
    where status = 'void'
    union all
    select
        invoice_id,
        'write-off',
        invoice_id as record_id,
        left_at,
        3,
        cast(0 as decimal(18, 2)),
        cast(0 as decimal(18, 2)),
        1
    from bills
    where status = 'uncollectible'
),

lined_up as (
    select
        *,
        row_number() over (partition by invoice_id order by occurred_at, phase, record_id) as place
    from movements
),

running as (
    select
        invoice_id,
        event,
        record_id,
        occurred_at,
        place,
        sum(billed_local) over so_far as billed_local,
        sum(paid_local) over so_far as paid_local,
        max(is_write_off) over so_far as is_written_off
    from lined_up
    window so_far as (partition by invoice_id order by place rows between unbounded preceding and current row)
),

-- rounding the sums and not the parts: what is settled comes to exactly nothing
owed as (
    select
        running.*,
        running.billed_local - running.paid_local as owed_local,
        round(running.billed_local * bills.rate, 2) - round(running.paid_local * bills.rate, 2) as owed_amount
    from running
    left join bills on running.invoice_id = bills.invoice_id
),

standing as (
    select
        owed.*,
        case when is_written_off = 0 then greatest(owed_local, 0) else 0 end as payable_local,
        case when is_written_off = 0 then greatest(owed_amount, 0) else 0 end as payable_amount,
        least(owed_local, 0) as unapplied_local,
        least(owed_amount, 0) as unapplied_amount,
        -- what comes in after a write-off is a recovery, and makes the write-off smaller
        case when is_written_off = 1 then -greatest(owed_local, 0) else 0 end as written_off_local,
        case when is_written_off = 1 then -greatest(owed_amount, 0) else 0 end as written_off_amount
    from owed
),

changed as (
    select
        invoice_id,
        event,
        record_id,
        occurred_at,
        payable_local - coalesce(lag(payable_local) over before, 0) as payable_local,
        payable_amount - coalesce(lag(payable_amount) over before, 0) as payable_amount,
        unapplied_local - coalesce(lag(unapplied_local) over before, 0) as unapplied_local,
        unapplied_amount - coalesce(lag(unapplied_amount) over before, 0) as unapplied_amount,
        written_off_local - coalesce(lag(written_off_local) over before, 0) as written_off_local,
        written_off_amount - coalesce(lag(written_off_amount) over before, 0) as written_off_amount
    from standing
    window before as (partition by invoice_id order by place)
),

-- what is held back stands with the project: a release invoice names no invoice that it releases
retaining as (
    select
        *,
        'issue' as event,
        issued_at as occurred_at,
        1 as sign
    from bills
    where retained_local <> 0 or kind = 'retention_release'
    union all
    select
        *,
        'void',
        left_at,
        -1
    from bills
    where status = 'void' and (retained_local <> 0 or kind = 'retention_release')
),

retaining_in_turn as (
    select
        *,
        row_number() over (
            partition by client_id, project_id, currency
            order by occurred_at, sign desc, kind = 'retention_release', invoice_id
        ) as place
    from retaining
),

held_before as (
    select
        *,
        coalesce(
            sum(sign * (retained_local - case when kind = 'retention_release' then total_local else 0 end)) over (
                partition by client_id, project_id, currency
                order by place rows between unbounded preceding and 1 preceding
            ), 0
        ) as held_local
    from retaining_in_turn
),

-- a release of more than is held is a bill like any other
released as (
    select
        *,
        max(case
            when event = 'issue' and kind = 'retention_release'
                then least(total_local, greatest(held_local + retained_local, 0))
            else 0
        end) over (partition by invoice_id) as released_local
    from held_before
),

valued as (
    select
        *,
        case
            when released_local = total_local then total_amount
            else cast(round(released_local * rate, 2) as decimal(18, 2))
        end as released_amount,
        sum(sign * (retained_local - released_local)) over so_far as held_now,
        sum(sign * retained_local) over so_far as retained_ever_local,
        sum(sign * retained_amount) over so_far as retained_ever_amount
    from released
    window so_far as (
        partition by client_id, project_id, currency
        order by place rows between unbounded preceding and current row
    )
),

-- of what was held back at several rates, what is left has their mean
held as (
    select
        *,
        case
            when held_now = 0 then cast(0 as decimal(18, 2))
            when held_now = retained_ever_local then cast(retained_ever_amount as decimal(18, 2))
            else
                cast(
                    round(
                        cast(held_now as double) * coalesce(
                            cast(retained_ever_amount as double) / nullif(cast(retained_ever_local as double), 0),
                            cast(rate as double)
                        ), 2
                    ) as decimal(18, 2)
                )
        end as held_amount
    from valued
),

held_changes as (
    select
        *,
        held_amount - lag(held_amount, 1, 0) over (partition by client_id, project_id, currency order by place)
            as change_amount
    from held
),

entries as (
    select
        changed.invoice_id,
        changed.event,
        changed.record_id,
        changed.occurred_at,
        case
            when changed.event = 'payment' then 'paid'
            when changed.event = 'void' then 'voided'
            when bills.kind = 'credit_note' or bills.total_local < 0 then 'credited'
            else 'invoiced'
        end as kind,
        'payable' as account,
        changed.payable_local - changed.written_off_local
        + case when changed.event = 'issue' then bills.retained_local - coalesce(held.released_local, 0) else 0 end
            as amount_local,
        changed.payable_amount - changed.written_off_amount
        + case when changed.event = 'issue' then bills.retained_amount - coalesce(held.released_amount, 0) else 0 end
            as amount
    from changed
    left join bills on changed.invoice_id = bills.invoice_id
    left join held on changed.invoice_id = held.invoice_id and held.event = 'issue'
    union all
    select
        changed.invoice_id,
        changed.event,
        changed.record_id,
        changed.occurred_at,
        case
            when changed.event = 'payment' then 'paid'
            when changed.event = 'void' then 'voided'
            when bills.kind = 'credit_note' or bills.total_local < 0 then 'credited'
            else 'invoiced'
        end,
        'unapplied',
        changed.unapplied_local,
        changed.unapplied_amount
    from changed
    left join bills on changed.invoice_id = bills.invoice_id
    union all
    select
        invoice_id,
        event,
        record_id,
        occurred_at,
        'written_off',
        'payable',
        written_off_local,
        written_off_amount
    from changed
    union all
    select
        invoice_id,
        event,
        invoice_id as record_id,
        occurred_at,
        'retained',
        'payable',
        -retained_local,
        -retained_amount
    from held_changes
    where event = 'issue'
    union all
    select
        invoice_id,
        event,
        invoice_id as record_id,
        occurred_at,
        'retained',
        'retained',
        retained_local,
        retained_amount
    from held_changes
    where event = 'issue'
    union all
    select
        invoice_id,
        event,
        invoice_id as record_id,
        occurred_at,
        'released',
        'payable',
        released_local,
        released_amount
    from held_changes
    where event = 'issue'
    union all
    select
        invoice_id,
        event,
        invoice_id as record_id,
        occurred_at,
        'released',
        'retained',
        -released_local,
        -released_amount
    from held_changes
    where event = 'issue'
    union all
    select
        invoice_id,
        event,
        invoice_id as record_id,
        occurred_at,
        'revalued',
        'retained',
        cast(0 as decimal(18, 2)),
        change_amount - retained_amount + released_amount
    from held_changes
    where event = 'issue'
    union all
    select
        invoice_id,
        event,
        invoice_id as record_id,
        occurred_at,
        'voided',
        'retained',
        released_local - retained_local,
        change_amount
    from held_changes
    where event = 'void'
)

select
    concat_ws(' ', entries.event, entries.record_id, entries.kind, entries.account) as entry_id,
    entries.invoice_id,
    invoices.project_id,
    invoices.client_id,
    invoices.firm,
    invoices.client,
    invoices.project,
    invoices.playbook,
    invoices.manager,
    invoices.number,
    invoices.kind as invoice_kind,
    entries.kind,
    entries.account,
    entries.occurred_at,
    local_day(entries.occurred_at, bills.timezone) as occurred_on,
    case when entries.account = 'payable' then invoices.due_on end as due_on,
    entries.kind in ('invoiced', 'credited', 'voided') as is_sale,
    invoices.currency,
    cast(entries.amount_local as decimal(18, 2)) as amount_local,
    cast(entries.amount as decimal(18, 2)) as amount
from entries
left join bills on entries.invoice_id = bills.invoice_id
left join marts.invoices as invoices on entries.invoice_id = invoices.invoice_id
where entries.amount_local <> 0 or entries.amount <> 0
