/*
row: One row per record received that stands in no other table, with the reason.
columns:
  entity: What it is a record of.
  source: The source it came from.
  source_key: Its key in that source.
  source_url: Where it can be looked at.
  recorded_at: When the tool last wrote it.
  reason: Why it is set aside - duplicate, deleted, orphan or after as_of.
  detail: The same in words.
fail:
  - reason in ('duplicate', 'deleted', 'orphan', 'after as_of')
warn:
  - reason <> 'orphan'
*/
select
    'clients' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.clients
where reject_reason is not null
union all
select
    'projects' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.projects
where reject_reason is not null
union all
select
    'milestones' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.milestones
where reject_reason is not null
union all
select
    'milestone_plans' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.milestone_plans
where reject_reason is not null
union all
select
    'milestone_events' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.milestone_events
where reject_reason is not null
union all
select
    'change_orders' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.change_orders
where reject_reason is not null
union all
select
    'invoices' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.invoices
where reject_reason is not null
union all
select
    'invoice_lines' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.invoice_lines
where reject_reason is not null
union all
select
    'payments' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.payments
where reject_reason is not null
union all
select
    'documents' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.documents
where reject_reason is not null
union all
select
    'handoffs' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.handoffs
where reject_reason is not null
union all
select
    'extra_work' as entity,
    source,
    source_key,
    source_url,
    recorded_at,
    reject_reason as reason,
    reject_detail as detail
from staging.extra_work
where reject_reason is not null
