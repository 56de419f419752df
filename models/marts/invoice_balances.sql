/*
row: One row per invoice, its movements of receivables added up beside the balance that its own totals give.
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
  status: State on the as-of date - draft, open, paid, void or uncollectible.
  currency: Currency of the invoice, ISO 4217.
  entries_amount_local: All its movements on payable and unapplied, in the invoice's currency.
  entries_amount: The same in the reporting currency.
  open_amount_local: Its total less retainage and payments, in the invoice's currency.
  open_amount: The same in the reporting currency.
fail:
  - entries_amount_local = open_amount_local
  - entries_amount = open_amount
*/
with entries as (
    select
        invoice_id,
        sum(amount_local) as amount_local,
        sum(amount) as amount
    from marts.receivable_entries
    where account <> 'retained'
    group by invoice_id
)

select
    invoices.invoice_id,
    invoices.project_id,
    invoices.client_id,
    invoices.firm,
    invoices.client,
    invoices.project,
    invoices.playbook,
    invoices.manager,
    invoices.number,
    invoices.status,
    invoices.currency,
    cast(coalesce(entries.amount_local, 0) as decimal(18, 2)) as entries_amount_local,
    cast(coalesce(entries.amount, 0) as decimal(18, 2)) as entries_amount,
    invoices.open_amount_local,
    invoices.open_amount
from marts.invoices as invoices
left join entries on invoices.invoice_id = entries.invoice_id
