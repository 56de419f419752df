/*
row: One row per change order, with its state on the as-of date and what of it is invoiced.
key: [change_order_id]
columns:
  change_order_id: The change order, as source:key.
  gate_id: The gate whose scope it changes, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  number: The number on the paper.
  title: What is changed.
  reason: Why, by the firm's vocabulary where the words stand in it, else as written; no reason where none is given.
  requested_by_side: Who asked for it - client, team or authority.
  status: State on the as-of date - draft, pending, approved, rejected, withdrawn or void.
  requested_at: When it was first asked for.
  submitted_at: When it was put to the decider.
  decided_at: When it was decided.
  decision_days: Elapsed days from submission to decision; null while pending.
  decision_working_days: The same in working days of the project's calendar.
  age_days: Elapsed days since submission while pending.
  age_working_days: The same in working days of the project's calendar.
  currency: Its currency, ISO 4217.
  requested_amount_local: Amount asked for, in that currency; negative for a deduction.
  requested_amount: Amount asked for, in the reporting currency.
  approved_amount_local: Amount approved; null unless approved.
  approved_amount: Amount approved in the reporting currency, at the rate of the decision's day.
  invoiced_amount: Invoiced against it, in the reporting currency at the same rate.
  unbilled_amount: Approved and not invoiced; zero unless approved.
  unbilled_days: Elapsed days since the decision while something of it is not invoiced.
  requested_days: Extra days asked for.
  granted_days: Extra days granted; null unless approved.
  is_after_scope_lock: True where asked for after the project's first scope lock; null where no lock is recorded.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - status <> 'approved' or approved_amount is not null
warn:
  - decision_days is null or decision_days >= 0
*/
with invoiced as (
    select
        change_order_id,
        sum(contract_amount_local) as amount
    from marts.gate_billing
    where is_counted
    group by change_order_id
),

stated as (
    select
        orders.*,
        case
            -- a decision counts from its own date, or where the tool keeps none, from the record's
            when orders.status in ('draft', 'pending') or orders.decided_at is not null then orders.status
            when orders.recorded_at is null or orders.recorded_at <= $as_of then orders.status
            else 'pending'
        end as status_then
    from staging.change_orders as orders
    where orders.reject_reason is null
),

locks as (
    select
        spans.project_id,
        min(spans.first_approved_at) as locked_at
    from marts.gate_spans as spans
    left join staging.milestones as milestones
        on spans.gate_id = milestones.milestone_id and milestones.reject_reason is null
    where milestones.locks_scope
    group by spans.project_id
),

valued as (
    select
        stated.*,
        case when stated.status_then = 'approved' then coalesce(stated.amount_approved, stated.amount_requested) end
            as approved_local,
        coalesce(invoiced.amount, 0) as invoiced_local,
        locks.locked_at
    from stated
    left join invoiced on stated.change_order_id = invoiced.change_order_id
    left join locks on stated.project_id = locks.project_id
)

select
    valued.change_order_id,
    spans.gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    spans.gate_label,
    valued.number,
    valued.title,
    coalesce(case when reasons.written is null then valued.reason else reasons.reason end, 'no reason') as reason,
    valued.requested_by_side,
    valued.status_then as status,
    valued.requested_at,
    valued.submitted_at,
    case when valued.status_then not in ('draft', 'pending') then valued.decided_at end as decided_at,
    case
        when valued.status_then not in ('draft', 'pending') then days_between(valued.submitted_at, valued.decided_at)
    end as decision_days,
    case when valued.status_then not in ('draft', 'pending') then clocks.decision_working_days end
        as decision_working_days,
    case when valued.status_then = 'pending' then days_between(valued.submitted_at, $as_of) end as age_days,
    case when valued.status_then = 'pending' then clocks.age_working_days end as age_working_days,
    valued.currency,
    valued.amount_requested as requested_amount_local,
    cast(round(valued.amount_requested * valued.rate, 2) as decimal(18, 2)) as requested_amount,
    valued.approved_local as approved_amount_local,
    cast(round(valued.approved_local * valued.rate, 2) as decimal(18, 2)) as approved_amount,
    cast(round(valued.invoiced_local * valued.rate, 2) as decimal(18, 2)) as invoiced_amount,
    cast(
        round(greatest(coalesce(valued.approved_local - valued.invoiced_local, 0), 0) * valued.rate, 2)
        as decimal(18, 2)
    ) as unbilled_amount,
    case
        when valued.approved_local > valued.invoiced_local then days_between(valued.decided_at, $as_of)
    end as unbilled_days,
    valued.days_requested as requested_days,
    case when valued.status_then = 'approved' then valued.days_approved end as granted_days,
    coalesce(valued.requested_at, valued.submitted_at, valued.decided_at) > valued.locked_at as is_after_scope_lock,
    valued.source,
    valued.source_key,
    valued.source_url
from valued
left join reference.change_reasons as reasons on normal_name(valued.reason) = reasons.written
left join marts.gate_spans as spans on valued.milestone_id = spans.gate_id
left join marts.project_labels as labels on valued.project_id = labels.project_id
left join marts.change_order_clocks as clocks on valued.change_order_id = clocks.change_order_id
