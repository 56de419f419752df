/*
row: One row per attempt to pass a gate, from start, refusal or reopening to the decision.
key: [gate_id, attempt]
columns:
  gate_id: The gate, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  attempt: Number of the attempt, from 1.
  opened_by: What opened it - start, refusal or reopening.
  began_at: When the team began, or began again.
  submitted_at: First submission within the attempt.
  decided_at: When it was decided; null while open.
  decision: The decision - approved, changes_requested or rejected, else waived or cancelled.
  decided_by_side: Which side decided, or has to - client, team or authority.
  work_days: Elapsed days the team held the gate, from beginning to submission.
  wait_days: Elapsed days from submission to decision; null while undecided.
  is_auto_decided: True where the decision was the system's, not a person's.
  is_rework: True from the second attempt on.
fail:
  - attempt >= 1
warn:
  - work_days is null or work_days >= 0
  - wait_days is null or wait_days >= 0
*/
with openings as (
    select
        gate_id,
        cast(1 as integer) as attempt,
        'start' as opened_by,
        started_at as began_at
    from marts.gate_spans
    where started_at is not null
    union all
    select
        gate_id,
        attempt + 1,
        'refusal',
        occurred_at
    from marts.gate_events
    where type in ('changes_requested', 'rejected')
    union all
    select
        gate_id,
        attempt,
        'reopening',
        occurred_at
    from marts.gate_events
    where is_reopening
),

-- a waiver or cancellation ends an attempt only where nothing else decided it
endings as (
    select
        gate_id,
        attempt,
        type,
        occurred_at,
        actor_side,
        case when type in ('waived', 'cancelled') then 0 else 1 end as weight,
        position
    from marts.gate_events
    where type in ('approved', 'changes_requested', 'rejected', 'waived', 'cancelled')
),

decisions as (
    select
        gate_id,
        attempt,
        occurred_at as decided_at,
        type as decision,
        actor_side
    from endings
    qualify row_number() over (partition by gate_id, attempt order by weight desc, position desc) = 1
),

-- a submission that only follows the decision belongs to no attempt: it is a chronology violation of the gate
submissions as (
    select
        events.gate_id,
        events.attempt,
        min(events.occurred_at) as submitted_at
    from marts.gate_events as events
    left join decisions on events.gate_id = decisions.gate_id and events.attempt = decisions.attempt
    where events.type = 'submitted' and (decisions.decided_at is null or events.occurred_at <= decisions.decided_at)
    group by events.gate_id, events.attempt
)

select
    openings.gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    spans.gate_label,
    openings.attempt,
    openings.opened_by,
    openings.began_at,
    submissions.submitted_at,
    decisions.decided_at,
    decisions.decision,
    coalesce(nullif(decisions.actor_side, 'system'), milestones.approver_side, 'team') as decided_by_side,
    days_between(openings.began_at, coalesce(submissions.submitted_at, decisions.decided_at)) as work_days,
    days_between(submissions.submitted_at, decisions.decided_at) as wait_days,
    coalesce(decisions.actor_side = 'system', false) as is_auto_decided,
    openings.attempt > 1 as is_rework
from openings
left join submissions on openings.gate_id = submissions.gate_id and openings.attempt = submissions.attempt
left join decisions on openings.gate_id = decisions.gate_id and openings.attempt = decisions.attempt
left join marts.gate_spans as spans on openings.gate_id = spans.gate_id
left join staging.milestones as milestones
    on openings.gate_id = milestones.milestone_id and milestones.reject_reason is null
left join marts.project_labels as labels on milestones.project_id = labels.project_id
