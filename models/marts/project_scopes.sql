/*
row: One row per project, with what became of the gates it was kicked off with.
key: [project_id]
columns:
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  signed_at: When the contract was signed.
  settled_on: Day by whose end they count - kickoff, else signature; that of the first plan on record if later.
  baseline_gate_count: Gates planned by then; gates of which no plan is on record are among them.
  added_gate_count: Gates first planned later.
  changed_gate_count: Gates of the baseline, still there, whose scope an approved change order touched.
  deleted_gate_count: Gates cancelled, or deleted in their tool, after that day.
fail:
  - changed_gate_count <= baseline_gate_count
*/
with planned as (
    select
        milestone_id,
        min(recorded_at) as first_planned_at
    from staging.milestone_plans
    where reject_reason is null or reject_reason = 'deleted'
    group by milestone_id
),

touched as (
    select distinct gate_id
    from marts.change_orders
    where status = 'approved'
),

-- deleted gates stand in no other mart, and count here
kept as (
    select
        milestones.milestone_id as gate_id,
        labels.project_id,
        local_day(planned.first_planned_at, labels.timezone) as planned_on,
        local_day(
            case when milestones.reject_reason = 'deleted' then milestones.deleted_at else spans.cancelled_at end,
            labels.timezone
        ) as dropped_on,
        local_day(coalesce(labels.kickoff_at, labels.signed_at), labels.timezone) as kickoff_on
    from staging.milestones as milestones
    inner join marts.project_labels as labels on milestones.project_id = labels.project_id
    left join marts.gate_spans as spans on milestones.milestone_id = spans.gate_id
    left join planned on milestones.milestone_id = planned.milestone_id
    where
        milestones.reject_reason is null
        or (milestones.reject_reason = 'deleted' and milestones.deleted_at is not null)
),

settled as (
    select
        kept.*,
        greatest(kept.kickoff_on, min(kept.planned_on) over (partition by kept.project_id)) as settled_on
    from kept
    where kept.kickoff_on is not null
),

judged as (
    select
        settled.*,
        coalesce(settled.planned_on > settled.settled_on, false) as is_added,
        coalesce(settled.dropped_on > settled.settled_on, false) as is_deleted,
        coalesce(settled.dropped_on <= settled.settled_on, false) as was_dropped_before
    from settled
),

counted as (
    select
        judged.project_id,
        max(judged.settled_on) as settled_on,
        count(*) filter (where not judged.is_added and not judged.was_dropped_before) as baseline_count,
        count(*) filter (where judged.is_added) as added_count,
        count(*) filter (
            where
            not judged.is_added and not judged.was_dropped_before and not judged.is_deleted
            and touched.gate_id is not null
        ) as changed_count,
        count(*) filter (where judged.is_deleted) as deleted_count
    from judged
    left join touched on judged.gate_id = touched.gate_id
    group by judged.project_id
)

select
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    labels.signed_at,
    counted.settled_on,
    cast(coalesce(counted.baseline_count, 0) as integer) as baseline_gate_count,
    cast(coalesce(counted.added_count, 0) as integer) as added_gate_count,
    cast(coalesce(counted.changed_count, 0) as integer) as changed_gate_count,
    cast(coalesce(counted.deleted_count, 0) as integer) as deleted_gate_count
from marts.project_labels as labels
left join counted on labels.project_id = counted.project_id
