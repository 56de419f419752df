/*
row: One row per project, with the steps from its contract to the cash.
key: [project_id]
columns:
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  timezone: IANA zone in which the project's dates are taken.
  status: State on the as-of date - planned, active, on_hold, completed or cancelled.
  signed_at: When the contract was signed.
  kickoff_at: When work began.
  closed_at: When the project was closed.
  currency: Currency of the contract, ISO 4217.
  contract_amount_local: Original contract value, in that currency.
  contract_amount: Original contract value in the reporting currency, at the rate of the day of signature.
  scope_locked_at: First scope lock.
  gate_count: Gates of the project.
  required_gate_count: Gates neither waived nor cancelled.
  approved_gate_count: Gates finally approved.
  completed_at: Final approval of the last required gate; null while one is open, and where there is none.
  lead_days: Project lead time - elapsed days from signature to there.
  lead_age_days: Elapsed days since signature while a required gate is open.
  change_order_count: Change orders, drafts and voided ones left out.
  approved_change_amount: Net of approved change orders, in the reporting currency.
  churned_change_amount: Approved change orders with deductions counted as positive.
  pending_change_amount: Change orders asked for and not decided.
  rejected_change_amount: Change orders refused.
  late_change_amount: Net of approved change orders that were asked for after the scope lock.
  locked_contract_amount: Contract at the scope lock - as signed, with the approved change orders asked for before it.
  extra_work_amount: Work done after scope lock that no approved change order covers.
  invoiced_amount: Invoiced less credited, with tax, in the reporting currency.
  paid_amount: Paid, in the reporting currency.
  retained_amount: Retainage held back and not released.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - contract_amount_local is null or contract_amount is not null
*/
with gates as (
    select
        project_id,
        count(*) as gate_count,
        sum(case when status not in ('waived', 'cancelled') then 1 else 0 end) as required_gate_count,
        sum(case when status = 'approved' then 1 else 0 end) as approved_gate_count,
        max(approved_at) as last_approved_at,
        min(scope_locked_at) as scope_locked_at
    from marts.gates
    group by project_id
),

orders as (
    select
        project_id,
        count(*) as change_order_count
    from marts.change_orders
    where status not in ('draft', 'void')
    group by project_id
),

work as (
    select
        project_id,
        sum(amount) as amount
    from marts.extra_work
    where is_after_scope_lock and not is_covered
    group by project_id
)

select
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    labels.timezone,
    -- a status has no date but that of its record, save completion, which the closing date tells
    coalesce(
        case
            when projects.status = 'completed' and projects.closed_at is not null then 'completed'
            when projects.recorded_at is null or projects.recorded_at <= $as_of then projects.status
        end,
        case when labels.kickoff_at is null then 'planned' else 'active' end
    ) as status,
    labels.signed_at,
    labels.kickoff_at,
    projects.closed_at,
    labels.currency,
    labels.contract_amount_local,
    contracts.original_amount as contract_amount,
    gates.scope_locked_at,
    cast(coalesce(gates.gate_count, 0) as integer) as gate_count,
    cast(coalesce(gates.required_gate_count, 0) as integer) as required_gate_count,
    cast(coalesce(gates.approved_gate_count, 0) as integer) as approved_gate_count,
    case when gates.approved_gate_count = gates.required_gate_count then gates.last_approved_at end as completed_at,
    case
        when gates.approved_gate_count = gates.required_gate_count
            then days_between(labels.signed_at, gates.last_approved_at)
    end as lead_days,
    case
        when gates.approved_gate_count < gates.required_gate_count then days_between(labels.signed_at, $as_of)
    end as lead_age_days,
    cast(coalesce(orders.change_order_count, 0) as integer) as change_order_count,
    cast(contracts.added_amount + contracts.deducted_amount as decimal(18, 2)) as approved_change_amount,
    contracts.churned_amount as churned_change_amount,
    contracts.pending_amount as pending_change_amount,
    contracts.rejected_amount as rejected_change_amount,
    contracts.after_lock_amount as late_change_amount,
    contracts.locked_amount as locked_contract_amount,
    cast(coalesce(work.amount, 0) as decimal(18, 2)) as extra_work_amount,
    contracts.billed_amount as invoiced_amount,
    contracts.paid_amount,
    contracts.retained_amount,
    projects.source,
    projects.source_key,
    projects.source_url
from marts.project_labels as labels
left join staging.projects as projects
    on labels.project_id = projects.project_id and projects.reject_reason is null
left join gates on labels.project_id = gates.project_id
left join orders on labels.project_id = orders.project_id
left join work on labels.project_id = work.project_id
left join marts.contracts as contracts on labels.project_id = contracts.project_id
