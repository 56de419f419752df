/*
row: One row per piece of work done beside the agreed scope.
key: [extra_work_id]
columns:
  extra_work_id: The entry, as source:key.
  gate_id: The gate whose scope it touches, as source:key.
  change_order_id: The change order that it is booked on, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  done_at: When it was done.
  hours: Hours spent.
  currency: Currency of its value, ISO 4217.
  amount_local: What it is worth, in that currency.
  amount: What it is worth in the reporting currency, at the rate of the day it was done.
  description: What was done.
  scope_locked_at: The scope lock it is held against - its gate's where that locks scope, else the project's first.
  is_after_scope_lock: True where done after that lock; null where no lock is recorded.
  is_after_approval: True where done after its gate's first approval; where it names no gate, after the lock.
  covered_at: When the change order that covers it was approved; null while none is.
  was_covered: True where a change order that covers it was approved when it was done.
  is_covered: True where a change order that covers it is approved on the as-of date.
  is_free_rework: True where done after that approval and covered by no change order - nobody pays for it.
  exposed_days: Elapsed days it was, or still is, done without an approved change order; null before a lock.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - amount_local is null or amount is not null
*/
with locks as (
    select
        spans.gate_id,
        spans.project_id,
        spans.first_approved_at as locked_at
    from marts.gate_spans as spans
    left join staging.milestones as milestones
        on spans.gate_id = milestones.milestone_id and milestones.reject_reason is null
    where milestones.locks_scope
),

first_locks as (
    select
        project_id,
        min(locked_at) as locked_at
    from locks
    group by project_id
),

held as (
    select
        work.*,
        coalesce(locks.locked_at, first_locks.locked_at) as locked_at,
        orders.change_order_id as known_order_id,
        gates.gate_id,
        gates.gate_label,
        case
            when gates.gate_id is null then work.done_at > first_locks.locked_at
            else coalesce(work.done_at > gates.first_approved_at, false)
        end as is_after_approval,
        case when orders.status = 'approved' then coalesce(orders.decided_at, orders.requested_at) end as covered_at,
        coalesce(orders.status = 'approved', false) as is_covered
    from staging.extra_work as work
    left join marts.gate_spans as gates on work.milestone_id = gates.gate_id
    left join locks on work.milestone_id = locks.gate_id
    left join first_locks on work.project_id = first_locks.project_id
    left join marts.change_orders as orders on work.change_order_id = orders.change_order_id
    where work.reject_reason is null
)

select
    held.extra_work_id,
    held.gate_id,
    held.known_order_id as change_order_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    held.gate_label,
    held.done_at,
    held.hours,
    held.currency,
    held.amount as amount_local,
    cast(round(held.amount * held.rate, 2) as decimal(18, 2)) as amount,
    held.description,
    held.locked_at as scope_locked_at,
    held.done_at > held.locked_at as is_after_scope_lock,
    held.is_after_approval,
    held.covered_at,
    held.is_covered and coalesce(held.covered_at <= held.done_at, false) as was_covered,
    held.is_covered,
    held.is_after_approval and not held.is_covered as is_free_rework,
    case
        when held.done_at > held.locked_at
            then greatest(0, days_between(held.done_at, coalesce(held.covered_at, $as_of)))
    end as exposed_days,
    held.source,
    held.source_key,
    held.source_url
from held
left join marts.project_labels as labels on held.project_id = labels.project_id
