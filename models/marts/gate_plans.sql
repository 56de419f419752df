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
  version: Number of the plan, from 1.
  recorded_at: When this date was put on record.
  due_on: Planned date of approval.
  is_baseline: True for the plan in force when the contract was signed, else the first one seen.
  is_current: True for the latest plan.
  reason: Why the date was changed.
  moved_days: Days later than the plan before it; negative where pulled forward.
  source: The source the record came from.
  source_key: The record's key in that source.
*/
with versions as (
    select
        plans.milestone_plan_id,
        plans.milestone_id,
        plans.recorded_at,
        plans.due_on,
        plans.reason,
        plans.source,
        plans.source_key,
        row_number() over recorded as version,
        lag(plans.due_on) over recorded as previous_due_on,
        count(*) over (partition by plans.milestone_id) as version_count
    from staging.milestone_plans as plans
    where plans.reject_reason is null
    window recorded as (partition by plans.milestone_id order by plans.recorded_at, plans.milestone_plan_id)
),

baselines as (
    select
        versions.milestone_id,
        greatest(1, sum(case when versions.recorded_at <= labels.signed_at then 1 else 0 end)) as version
    from versions
    left join staging.milestones as milestones
        on versions.milestone_id = milestones.milestone_id and milestones.reject_reason is null
    left join marts.project_labels as labels on milestones.project_id = labels.project_id
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
    cast(versions.version as integer) as version,
    versions.recorded_at,
    versions.due_on,
    versions.version = baselines.version as is_baseline,
    versions.version = versions.version_count as is_current,
    versions.reason,
    dates_between(versions.previous_due_on, versions.due_on) as moved_days,
    versions.source,
    versions.source_key
from versions
left join baselines on versions.milestone_id = baselines.milestone_id
left join marts.gate_spans as spans on versions.milestone_id = spans.gate_id
left join marts.project_labels as labels on spans.project_id = labels.project_id
