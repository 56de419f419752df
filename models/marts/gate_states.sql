/*
row: One row per stay of a gate in a state, from entering it to leaving it; a gate's stays never overlap.
key: [gate_id, position]
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
  kind: What passing it takes - gate, inspection or approval.
  owner_team: Team that brings the gate to approval.
  approver_side: Who decides - client, team or authority.
  history_quality: How much of the gate's past the tool kept - log, timestamps or snapshot.
  position: Place of the stay in the gate's history, from 1.
  state: The state - in_progress, awaiting_decision, changes_requested, approved, waived or cancelled.
  entered_at: When the gate entered it.
  entered_on: That day in the project's zone.
  left_at: When the gate left it; null while it is there.
  left_on: That day in the project's zone.
  next_state: The state it went to; null while it is there.
  is_first_entry: True where the gate had never been in this state before.
  is_work_in_progress: True for the open states - in progress, awaiting a decision, changes requested.
  is_arrival: True where it entered work in progress, from not being started or from a state that had ended it.
  is_departure: True where it left work in progress - approved, waived or cancelled.
  arrived_on: Day in the project's zone on which its present spell of work in progress began; null for ended states.
fail:
  - >-
    position = 1
    or exists (select 1 from marts.gate_states as b
    where b.gate_id = gate_states.gate_id and b.position = gate_states.position - 1)
  - left_at is null or entered_at <= left_at
  - (left_at is null) = (next_state is null)
*/
with final as (
    select
        gate_id,
        coalesce(approved_at, waived_at, cancelled_at) as ended_at,
        case
            when approved_at is not null then 'approved'
            when waived_at is not null then 'waived'
            when cancelled_at is not null then 'cancelled'
        end as state
    from marts.gate_spans
),

-- An attempt whose start was recorded too late counts as begun when it was first acted upon.
turns as (
    select
        gate_id,
        attempt,
        0 as step,
        case when attempt = 1 then 'in_progress' else 'changes_requested' end as state,
        least(began_at, submitted_at, decided_at) as entered_at
    from marts.gate_attempts
    union all
    select
        gate_id,
        attempt,
        1,
        'awaiting_decision',
        submitted_at
    from marts.gate_attempts
    where submitted_at is not null
    union all
    select
        gate_id,
        attempt,
        2,
        decision,
        decided_at
    from marts.gate_attempts
    where decision in ('approved', 'waived', 'cancelled')
    union all
    -- what ended a gate whose start nobody knows
    select
        events.gate_id,
        events.attempt,
        2,
        events.type,
        events.occurred_at
    from marts.gate_events as events
    left join marts.gate_attempts as attempts
        on events.gate_id = attempts.gate_id and events.attempt = attempts.attempt
    where events.type in ('approved', 'waived', 'cancelled') and attempts.gate_id is null
    qualify
        row_number() over (
            partition by events.gate_id, events.attempt
            order by case when events.type = 'approved' then 0 else 1 end, events.position desc
        ) = 1
),

-- nothing follows the end that stands
told as (
    select turns.*
    from turns
    left join final on turns.gate_id = final.gate_id
    where
        final.ended_at is null
        or turns.entered_at < final.ended_at
        or (turns.entered_at = final.ended_at and turns.step < 2)
    union all
    select
        gate_id,
        1000000,
        3,
        state,
        ended_at
    from final
    where ended_at is not null
),

changed as (
    select *
    from told
    qualify state is distinct from lag(state) over (partition by gate_id order by entered_at, attempt, step)
),

stays as (
    select
        gate_id,
        state,
        state in ('in_progress', 'awaiting_decision', 'changes_requested') as is_work_in_progress,
        entered_at,
        row_number() over in_order as position,
        lag(state) over in_order as last_state,
        lead(state) over in_order as next_state,
        lead(entered_at) over in_order as left_at
    from changed
    window in_order as (partition by gate_id order by entered_at, attempt, step)
),

moved as (
    select
        stays.*,
        is_work_in_progress and coalesce(last_state in ('approved', 'waived', 'cancelled'), true) as is_arrival
    from stays
),

arrived as (
    select
        moved.*,
        max(case when is_arrival then entered_at end) over (
            partition by gate_id order by position rows between unbounded preceding and current row
        ) as arrived_at
    from moved
)

select
    arrived.gate_id,
    milestones.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    spans.gate_label,
    coalesce(milestones.kind, 'gate') as kind,
    milestones.owner_team,
    milestones.approver_side,
    milestones.history_quality,
    cast(arrived.position as integer) as position,
    arrived.state,
    arrived.entered_at,
    local_day(arrived.entered_at, milestones.timezone) as entered_on,
    arrived.left_at,
    local_day(arrived.left_at, milestones.timezone) as left_on,
    arrived.next_state,
    row_number() over (partition by arrived.gate_id, arrived.state order by arrived.position) = 1 as is_first_entry,
    arrived.is_work_in_progress,
    arrived.is_arrival,
    arrived.is_work_in_progress and coalesce(arrived.next_state in ('approved', 'waived', 'cancelled'), false)
        as is_departure,
    case when arrived.is_work_in_progress then local_day(arrived.arrived_at, milestones.timezone) end as arrived_on
from arrived
left join marts.gate_spans as spans on arrived.gate_id = spans.gate_id
left join staging.milestones as milestones
    on arrived.gate_id = milestones.milestone_id and milestones.reject_reason is null
left join marts.project_labels as labels on milestones.project_id = labels.project_id
