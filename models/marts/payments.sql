/*
row: One row per payment received against an invoice.
key: [payment_id]
columns:
  payment_id: The payment, as source:key.
  invoice_id: The invoice it pays, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  number: The invoice's number.
  status: State of the payment - received, failed or reversed; only received ones pay.
  received_at: When the money arrived.
  currency: Currency of the payment, ISO 4217.
  amount_local: Amount in that currency; negative for a refund.
  amount: Amount in the reporting currency, at the rate of the day it arrived.
  applied_amount_local: Amount it takes off its invoice, in the invoice's currency; zero unless received.
  cash_days: Elapsed days from issue to receipt.
  cash_working_days: The same in working days of the project's calendar, or the client's where there is no project.
  late_days: Days from the due date to receipt; negative where early.
  source: The source the record came from.
  source_key: The record's key in that source.
fail:
  - amount is not null
warn:
  - cash_days is null or cash_days >= 0
*/
select
    payments.payment_id,
    payments.invoice_id,
    labels.project_id,
    invoices.client_id,
    clients.firm,
    clients.client,
    labels.project,
    labels.playbook,
    labels.manager,
    invoices.number,
    coalesce(payments.status, 'received') as status,
    payments.received_at,
    payments.currency,
    payments.amount as amount_local,
    cast(round(payments.amount * payments.rate, 2) as decimal(18, 2)) as amount,
    case
        when coalesce(payments.status, 'received') <> 'received' then cast(0 as decimal(18, 2))
        when payments.currency = invoices.currency then payments.amount
        -- money that arrived in another currency is taken at the rates of both days
        else
            cast(
                round(cast(payments.amount * payments.rate as double) / cast(invoices.rate as double), 2)
                as decimal(18, 2)
            )
    end as applied_amount_local,
    days_between(coalesce(invoices.sent_at, invoices.issued_at), payments.received_at) as cash_days,
    clocks.cash_working_days,
    case
        when coalesce(invoices.sent_at, invoices.issued_at) is not null
            then cast(dates_between(invoices.due_on, local_day(payments.received_at, payments.timezone)) as double)
    end as late_days,
    payments.source,
    payments.source_key
from staging.payments as payments
left join staging.invoices as invoices
    on payments.invoice_id = invoices.invoice_id and invoices.reject_reason is null
left join marts.clients as clients on invoices.client_id = clients.client_id
left join marts.project_labels as labels on invoices.project_id = labels.project_id
left join marts.payment_clocks as clocks on payments.payment_id = clocks.payment_id
where payments.reject_reason is null
