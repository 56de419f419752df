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
  cash_days: Elapsed days from issue to receipt.
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
    invoices.project_id,
    invoices.client_id,
    invoices.firm,
    invoices.client,
    invoices.project,
    invoices.playbook,
    invoices.manager,
    invoices.number,
    coalesce(payments.status, 'received') as status,
    payments.received_at,
    payments.currency,
    payments.amount as amount_local,
    cast(round(payments.amount * payments.rate, 2) as decimal(18, 2)) as amount,
    days_between(invoices.issued_at, payments.received_at) as cash_days,
    cast(dates_between(invoices.due_on, local_day(payments.received_at, payments.timezone)) as double) as late_days,
    payments.source,
    payments.source_key
from staging.payments as payments
left join marts.invoices as invoices on payments.invoice_id = invoices.invoice_id
where payments.reject_reason is null
