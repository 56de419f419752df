/*
row: One row per record that stands in the tables and yet does not fit, with what is odd about it.
columns:
  entity: What it is a record of.
  reason: Kind of oddity - out of order in time, matched to nothing, or over-allocated.
  detail: What is wrong, in words.
  project_id: The project, as source:key.
  client_id: The client, as source:key.
  firm: The firm whose record it is.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  subject: What the record is called - a gate, an invoice, a change order.
  source: The source the record came from.
  source_key: The record's key in that source.
fail:
  - reason in ('out of order in time', 'matched to nothing', 'over-allocated')
*/
select
    'milestones' as entity,
    'out of order in time' as reason,
    chronology_note as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    gate_label as subject,
    source,
    source_key
from marts.gates
where has_chronology_violation
union all
select
    'payments' as entity,
    'out of order in time' as reason,
    'paid before the invoice was issued' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    number as subject,
    source,
    source_key
from marts.payments
where cash_days < 0
union all
select
    'change_orders' as entity,
    'out of order in time' as reason,
    'decided before it was submitted' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    coalesce(number, title) as subject,
    source,
    source_key
from marts.change_orders
where decided_at < submitted_at
union all
select
    'change_orders' as entity,
    'out of order in time' as reason,
    'submitted before it was asked for' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    coalesce(number, title) as subject,
    source,
    source_key
from marts.change_orders
where submitted_at < requested_at
union all
select
    'invoices' as entity,
    'out of order in time' as reason,
    'voided before it was issued' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    number as subject,
    source,
    source_key
from marts.invoices
where voided_at < issued_at
union all
select
    'handoffs' as entity,
    'out of order in time' as reason,
    'accepted before the next team was told' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    gate_label as subject,
    source,
    source_key
from marts.handoffs
where accepted_at < notified_at
union all
-- a deposit is billed ahead of every gate, and a release of retainage for all of them
select
    'invoice_lines' as entity,
    'matched to nothing' as reason,
    'the invoice line names no gate and no change order' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    number as subject,
    source,
    source_key
from marts.gate_billing
where is_billed and gate_id is null and change_order_id is null and kind not in ('deposit', 'retention_release')
union all
select
    'invoice_lines' as entity,
    'over-allocated' as reason,
    'the lines of its invoice add up to more than the invoice bills without tax' as detail,
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    number as subject,
    source,
    source_key
from marts.gate_billing
where is_billed and is_over_allocated
