/*
row: One row per client, project and currency in which retainage was ever held back, with what is still held.
key: [balance_id]
columns:
  balance_id: Client, project and currency.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  currency: Currency of the invoices, ISO 4217.
  first_retained_at: When retainage was first held back.
  retained_amount_local: Held back by invoices that stand, in their currency.
  released_amount_local: Made payable by release invoices that stand, up to what was held.
  held_amount_local: Still held back, in the invoices' currency.
  held_amount: Still held back, in the reporting currency at the mean rate of what was held back.
fail:
  - held_amount_local = retained_amount_local - released_amount_local
  - held_amount_local <> 0 or held_amount = 0
warn:
  - held_amount_local >= 0
*/
with entries as (
    select
        entries.client_id,
        entries.project_id,
        entries.currency,
        any_value(entries.firm) as firm,
        any_value(entries.client) as client,
        any_value(entries.project) as project,
        any_value(entries.playbook) as playbook,
        any_value(entries.manager) as manager,
        min(entries.occurred_at) as first_retained_at,
        -sum(case when entries.kind = 'released' and invoices.status <> 'void' then entries.amount_local else 0 end)
            as released_local,
        sum(entries.amount_local) as held_local,
        sum(entries.amount) as held_amount
    from marts.receivable_entries as entries
    left join marts.invoices as invoices on entries.invoice_id = invoices.invoice_id
    where entries.account = 'retained'
    group by entries.client_id, entries.project_id, entries.currency
),

retained as (
    select
        client_id,
        project_id,
        currency,
        sum(retained_amount_local) as retained_local
    from marts.invoices
    where is_billed
    group by client_id, project_id, currency
)

select
    concat_ws(' ', entries.client_id, entries.project_id, entries.currency) as balance_id,
    entries.project_id,
    entries.client_id,
    entries.firm,
    entries.client,
    entries.project,
    entries.playbook,
    entries.manager,
    entries.currency,
    entries.first_retained_at,
    cast(coalesce(retained.retained_local, 0) as decimal(18, 2)) as retained_amount_local,
    cast(entries.released_local as decimal(18, 2)) as released_amount_local,
    cast(entries.held_local as decimal(18, 2)) as held_amount_local,
    cast(entries.held_amount as decimal(18, 2)) as held_amount
from entries
left join retained
    on
        entries.client_id = retained.client_id
        and entries.project_id is not distinct from retained.project_id
        and entries.currency = retained.currency
