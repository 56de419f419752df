/*
row: One row per planned date ever recorded for a gate, in the order recorded.
key: [plan_id]
columns:
  plan_id: The planned date, as source:key.
  gate_id: The gate, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  owner_team: Team that brings the gate to approval.
  approver_side: Who decides - client, team or authority.
  version: Number of the plan, from 1.
  recorded_at: When this date was put on record.
  recorded_on: The same as a date in the project's time zone.
  replaced_on: Date on which the next plan was put on record; null for the last.
  project_planned_on: Date on which the project's first plan was put on record.
  due_on: Planned date of approval.
  is_baseline: True for the plan in force when the contract was signed, else the first one seen.
  is_after_baseline: True for plans recorded after the baseline.
  is_after_approval: True for plans recorded after the gate's final approval, which move nothing.
  is_current: True for the plan in force now, or at the gate's final approval; the first one where all came later.
  reason: Why the date was changed.
  moved_days: Days later than the plan before it; negative where pulled forward.
  source: The source the record came from.
  source_key: The record's key in that source.
fail:
  - >-
    version = 1
    or exists (select 1 from marts.gate_plans as b
    where b.gate_id = gate_plans.gate_id and b.version = gate_plans.version - 1)
*/
with versions as (
    select
        plans.milestone_plan_id,
        plans.milestone_id,
        plans.recorded_at,
        plans.due_on,
        plans.reason,
        plans.timezone,
        plans.source,
        plans.source_key,
        row_number() over recorded as version,
        lag(plans.due_on) over recorded as previous_due_on,
        lead(plans.recorded_at) over recorded as next_recorded_at
    from staging.milestone_plans as plans
    where plans.reject_reason is null
    window recorded as (partition by plans.milestone_id order by plans.recorded_at, plans.milestone_plan_id)
),

-- a date written after the approval is no plan, and must not make a late gate one that came on time
turns as (
    select
        versions.milestone_id,
        greatest(1, sum(case when versions.recorded_at <= labels.signed_at then 1 else 0 end)) as baseline_version,
        greatest(
            1,
            sum(case
                when spans.approved_at is null or versions.recorded_at <= spans.approved_at then 1 else 0
            end)
        ) as current_version
    from versions
    left join marts.gate_spans as spans on versions.milestone_id = spans.gate_id
    left join marts.project_labels as labels on spans.project_id = labels.project_id
    group by versions.milestone_id
)

select
    versions.milestone_plan_id as plan_id,
    versions.milestone_id as gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    spans.gate_label,
    milestones.owner_team,
    milestones.approver_side,
    cast(versions.version as integer) as version,
    versions.recorded_at,
    local_day(versions.recorded_at, versions.timezone) as recorded_on,
    local_day(versions.next_recorded_at, versions.timezone) as replaced_on,
    min(local_day(versions.recorded_at, versions.timezone)) over (partition by labels.project_id) as project_planned_on,
    versions.due_on,
    versions.version = turns.baseline_version as is_baseline,
    versions.version > turns.baseline_version as is_after_baseline,
    coalesce(versions.recorded_at > spans.approved_at, false) as is_after_approval,
    versions.version = turns.current_version as is_current,
    versions.reason,
    dates_between(versions.previous_due_on, versions.due_on) as moved_days,
    versions.source,
    versions.source_key
from versions
left join turns on versions.milestone_id = turns.milestone_id
left join staging.milestones as milestones
    on versions.milestone_id = milestones.milestone_id and milestones.reject_reason is null
left join marts.gate_spans as spans on versions.milestone_id = spans.gate_id
left join marts.project_labels as labels on spans.project_id = labels.project_id
