/*
row: One row per invoice or credit note, with what is paid and open.
key: [invoice_id]
columns:
  invoice_id: The invoice, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  number: The number on the paper.
  kind: What sort of bill it is - invoice, progress, deposit, retention_release or credit_note.
  status: State on the as-of date - draft, open, paid, void or uncollectible.
  is_billed: True once issued; drafts and voided invoices bill nothing.
  issued_at: When it was sent, or issued where sending is not recorded.
  due_on: Date it is due.
  voided_at: When it was voided.
  currency: Currency of the invoice, ISO 4217.
  total_amount_local: Total with tax, in the invoice's currency; negative for a credit note.
  total_amount: Total in the reporting currency, at the rate of the day of issue.
  tax_amount: Tax within the total, in the reporting currency.
  retained_amount_local: Retainage held back from the total, in the invoice's currency.
  retained_amount: Retainage held back, in the reporting currency - the total less what of it is payable, each rounded.
  paid_amount_local: Paid so far, in the invoice's currency.
  paid_amount: Paid so far, in the reporting currency at the invoice's rate.
  open_amount_local: Still payable - total less retainage and payments; negative where money is not set off.
  open_amount: Still payable, in the reporting currency at the invoice's rate; a settled invoice shows exactly zero.
  left_at: When it stopped being owed without being paid - voided or written off.
  cash_days: Elapsed days from issue to payment, weighted by amount, of what has been paid.
  cash_working_days: The same in working days of the project's calendar, or the client's where there is no project.
  waiting_days: The same while something is open, with the open part counted up to the as-of instant.
  waiting_working_days: The same in working days of the project's calendar, or the client's where there is no project.
  lost_days: Elapsed days from issue to the day it was voided or written off.
  lost_working_days: The same in working days of the project's calendar, or the client's where there is no project.
  days_past_due: Days the open balance is past due on the as-of date; negative while not due.
  aging_bucket: Bucket of the open balance - not due, 1–30, 31–60, 61–90, over 90, or unapplied for credits.
  is_disputed: True while the client disputes it.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - client is not null
  - total_amount is not null
  - status <> 'draft' or open_amount = 0
warn:
  - kind = 'credit_note' or open_amount_local >= 0
*/
with paid as (
    select
        payments.invoice_id,
        sum(payments.applied_amount_local) as amount,
        sum(
            micros_between(coalesce(invoices.sent_at, invoices.issued_at), payments.received_at)
            * payments.applied_amount_local
        ) as weighted_micros,
        sum(days_to_micros(payments.cash_working_days) * payments.applied_amount_local) as weighted_working_micros
    from marts.payments as payments
    left join staging.invoices as invoices
        on payments.invoice_id = invoices.invoice_id and invoices.reject_reason is null
    group by payments.invoice_id
),

stated as (
    select
        invoices.*,
        coalesce(invoices.sent_at, invoices.issued_at) as billed_at,
        coalesce(paid.amount, 0) as paid_local,
        invoices.total - coalesce(invoices.retained, 0) as payable_local,
        paid.weighted_micros,
        paid.weighted_working_micros,
        case
            when invoices.status = 'draft' or coalesce(invoices.sent_at, invoices.issued_at) is null then 'draft'
            -- a void counts from its own date, or where the tool keeps none, from the record's
            when
                invoices.status = 'void'
                and (
                    invoices.voided_at is not null
                    or (coalesce(invoices.recorded_at <= $as_of, true) and invoices.changes_at is null)
                ) then 'void'
            when invoices.status = 'uncollectible' and coalesce(invoices.recorded_at <= $as_of, true)
                then 'uncollectible'
            when coalesce(paid.amount, 0) >= invoices.total - coalesce(invoices.retained, 0) and invoices.total > 0
                then 'paid'
            else 'open'
        end as status_then
    from staging.invoices as invoices
    left join paid on invoices.invoice_id = paid.invoice_id
    where invoices.reject_reason is null
),

balanced as (
    select
        stated.*,
        stated.status_then not in ('draft', 'void') as is_billed,
        case
            when stated.status_then in ('void', 'uncollectible')
                then greatest(stated.billed_at, coalesce(stated.voided_at, stated.recorded_at))
        end as left_at,
        stated.payable_local - stated.paid_local as due_local,
        case
            when stated.status_then = 'draft' then 0
            -- money received for a voided invoice stands against nothing, and is owed back
            when stated.status_then = 'void' then -stated.paid_local
            when stated.status_then = 'uncollectible' then least(stated.payable_local - stated.paid_local, 0)
            else stated.payable_local - stated.paid_local
        end as open_local,
        cast(round(stated.total * stated.rate, 2) as decimal(18, 2)) as total_amount,
        cast(round(stated.payable_local * stated.rate, 2) as decimal(18, 2)) as payable_amount,
        cast(round(stated.paid_local * stated.rate, 2) as decimal(18, 2)) as paid_amount,
        micros_between(stated.billed_at, $as_of) as open_micros,
        dates_between(stated.due_on, local_day($as_of, stated.timezone)) as past_due
    from stated
)

select
    balanced.invoice_id,
    labels.project_id,
    clients.current_client_id as client_id,
    clients.firm,
    clients.current_client as client,
    labels.project,
    labels.playbook,
    labels.manager,
    balanced.number,
    coalesce(balanced.kind, 'invoice') as kind,
    balanced.status_then as status,
    balanced.is_billed,
    balanced.billed_at as issued_at,
    case when balanced.billed_at is not null then balanced.due_on end as due_on,
    balanced.voided_at,
    balanced.currency,
    balanced.total as total_amount_local,
    balanced.total_amount,
    cast(round(coalesce(balanced.tax, 0) * balanced.rate, 2) as decimal(18, 2)) as tax_amount,
    cast(coalesce(balanced.retained, 0) as decimal(18, 2)) as retained_amount_local,
    cast(balanced.total_amount - balanced.payable_amount as decimal(18, 2)) as retained_amount,
    cast(balanced.paid_local as decimal(18, 2)) as paid_amount_local,
    balanced.paid_amount,
    cast(balanced.open_local as decimal(18, 2)) as open_amount_local,
    cast(case
        when balanced.status_then = 'draft' then 0
        when balanced.status_then = 'void' then -balanced.paid_amount
        when balanced.status_then = 'uncollectible' then least(balanced.payable_amount - balanced.paid_amount, 0)
        else balanced.payable_amount - balanced.paid_amount
    end as decimal(18, 2)) as open_amount,
    balanced.left_at,
    micros_to_days(round(cast(balanced.weighted_micros as double) / nullif(cast(balanced.paid_local as double), 0)))
        as cash_days,
    micros_to_days(
        round(cast(balanced.weighted_working_micros as double) / nullif(cast(balanced.paid_local as double), 0))
    ) as cash_working_days,
    case
        when balanced.status_then = 'open' and balanced.due_local > 0
            then
                micros_to_days(round(
                    cast(coalesce(balanced.weighted_micros, 0) + balanced.open_micros * balanced.due_local as double)
                    / nullif(cast(balanced.payable_local as double), 0)
                ))
    end as waiting_days,
    case
        when balanced.status_then = 'open' and balanced.due_local > 0
            then
                micros_to_days(round(
                    cast(
                        coalesce(balanced.weighted_working_micros, 0)
                        + days_to_micros(clocks.open_working_days) * balanced.due_local as double
                    ) / nullif(cast(balanced.payable_local as double), 0)
                ))
    end as waiting_working_days,
    days_between(balanced.billed_at, balanced.left_at) as lost_days,
    case when balanced.left_at is not null then clocks.lost_working_days end as lost_working_days,
    case when balanced.open_local <> 0 then balanced.past_due end as days_past_due,
    case
        when balanced.open_local = 0 then null
        when balanced.open_local < 0 then 'unapplied'
        when coalesce(balanced.past_due, 0) <= 0 then 'not due'
        when balanced.past_due <= 30 then '1–30'
        when balanced.past_due <= 60 then '31–60'
        when balanced.past_due <= 90 then '61–90'
        else 'over 90'
    end as aging_bucket,
    -- a dispute has its own dates; where the tool keeps none, it counts from the record's
    coalesce(
        case
            when balanced.disputed_at is not null then balanced.settled_at is null
            else balanced.disputed and (balanced.recorded_at is null or balanced.recorded_at <= $as_of)
        end, false
    ) as is_disputed,
    balanced.source,
    balanced.source_key,
    balanced.source_url
from balanced
left join marts.clients as clients on balanced.client_id = clients.client_id
left join marts.project_labels as labels on balanced.project_id = labels.project_id
left join marts.invoice_clocks as clocks on balanced.invoice_id = clocks.invoice_id
