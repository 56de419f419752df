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
  owner_team: Team that brings the gate to approval.
  history_quality: How much of the gate's past the tool kept - log, timestamps or snapshot.
  attempt: Number of the attempt, from 1.
  opened_by: What opened it - start, refusal or reopening.
  began_at: When the team began, or began again.
  submitted_at: First submission within the attempt.
  decided_at: When it was decided; null while open.
  decision: The decision - approved, changes_requested or rejected, else waived or cancelled.
  decided_by_side: Which side decided, or has to - client, team or authority.
  work_days: Elapsed days the team held the gate, from beginning to submission, else to the decision.
  work_working_days: The same in working days of the team's calendar.
  work_age_days: Elapsed days the team has held it so far, while it is open and not submitted.
  work_age_working_days: The same in working days of the team's calendar.
  wait_days: Elapsed days from submission to decision; null while undecided.
  wait_working_days: The same in working days of whoever decides.
  wait_age_days: Elapsed days since submission, while a decision is awaited.
  wait_age_working_days: The same in working days of whoever decides.
  is_open: True while it is undecided and its gate is neither approved, waived nor cancelled.
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
    where type in ('changes_requested', 'rejected') and not is_reopening
    union all
    -- what was waived or cancelled before it began is not begun again by a reopening, only by its start
    select
        events.gate_id,
        events.attempt,
        'reopening',
        greatest(events.occurred_at, coalesce(spans.started_at, events.occurred_at))
    from marts.gate_events as events
    inner join marts.gate_spans as spans on events.gate_id = spans.gate_id
    where
        events.is_reopening
        and coalesce(spans.started_at, spans.first_submitted_at, spans.first_decided_at) is not null
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
    where type in ('approved', 'changes_requested', 'rejected', 'waived', 'cancelled') and not is_reopening
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
),

attempted as (
    select
        openings.*,
        submissions.submitted_at,
        decisions.decided_at,
        decisions.decision,
        decisions.actor_side,
        coalesce(nullif(decisions.actor_side, 'system'), milestones.approver_side, 'team') as decided_by_side,
        milestones.project_id,
        milestones.owner_team,
        milestones.history_quality,
        spans.gate_label,
        decisions.decided_at is null and coalesce(spans.approved_at, spans.waived_at, spans.cancelled_at) is null
            as is_open
    from openings
    left join submissions on openings.gate_id = submissions.gate_id and openings.attempt = submissions.attempt
    left join decisions on openings.gate_id = decisions.gate_id and openings.attempt = decisions.attempt
    left join marts.gate_spans as spans on openings.gate_id = spans.gate_id
    left join staging.milestones as milestones
        on openings.gate_id = milestones.milestone_id and milestones.reject_reason is null
    where not coalesce(decisions.decision in ('waived', 'cancelled') and decisions.decided_at < spans.started_at, false)
),

instants as (
    select
        attempts.gate_id,
        attempts.attempt,
        case when ends.side = 'team' then teams.calendar else deciders.calendar end as calendar,
        case when ends.side = 'team' then teams.timezone else deciders.timezone end as timezone,
        ends.name,
        case ends.name
            when 'began' then attempts.began_at
            when 'handed' then coalesce(attempts.submitted_at, attempts.decided_at)
            when 'team_now' then $as_of
            when 'submitted' then attempts.submitted_at
            when 'decided' then attempts.decided_at
            when 'decider_now' then $as_of
        end as at
    from attempted as attempts
    inner join marts.project_calendars as teams on attempts.project_id = teams.project_id and teams.side = 'team'
    inner join marts.project_calendars as deciders
        on attempts.project_id = deciders.project_id and attempts.decided_by_side = deciders.side
    cross join (
        values
        ('team', 'began'), ('team', 'handed'), ('team', 'team_now'),
        ('decider', 'submitted'), ('decider', 'decided'), ('decider', 'decider_now')
    ) as ends (side, name)
),

positions as (
    select
        instants.gate_id,
        instants.attempt,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        gate_id,
        attempt,
        max(case when name = 'began' then position end) as began_position,
        max(case when name = 'handed' then position end) as handed_position,
        max(case when name = 'team_now' then position end) as team_now_position,
        max(case when name = 'submitted' then position end) as submitted_position,
        max(case when name = 'decided' then position end) as decided_position,
        max(case when name = 'decider_now' then position end) as decider_now_position
    from positions
    group by gate_id, attempt
),

clocks as (
    select
        gate_id,
        attempt,
        micros_to_days(handed_position - began_position) as work_working_days,
        micros_to_days(team_now_position - began_position) as work_age_working_days,
        micros_to_days(decided_position - submitted_position) as wait_working_days,
        micros_to_days(decider_now_position - submitted_position) as wait_age_working_days
    from placed
)

select
    attempted.gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    attempted.gate_label,
    attempted.owner_team,
    attempted.history_quality,
    attempted.attempt,
    attempted.opened_by,
    attempted.began_at,
    attempted.submitted_at,
    attempted.decided_at,
    attempted.decision,
    attempted.decided_by_side,
    days_between(attempted.began_at, coalesce(attempted.submitted_at, attempted.decided_at)) as work_days,
    clocks.work_working_days,
    case
        when attempted.is_open and attempted.submitted_at is null then days_between(attempted.began_at, $as_of)
    end as work_age_days,
    case when attempted.is_open and attempted.submitted_at is null then clocks.work_age_working_days end
        as work_age_working_days,
    days_between(attempted.submitted_at, attempted.decided_at) as wait_days,
    clocks.wait_working_days,
    case when attempted.is_open then days_between(attempted.submitted_at, $as_of) end as wait_age_days,
    case when attempted.is_open then clocks.wait_age_working_days end as wait_age_working_days,
    attempted.is_open,
    coalesce(attempted.actor_side = 'system', false) as is_auto_decided,
    attempted.attempt > 1 as is_rework
from attempted
left join clocks on attempted.gate_id = clocks.gate_id and attempted.attempt = clocks.attempt
left join marts.project_labels as labels on attempted.project_id = labels.project_id
