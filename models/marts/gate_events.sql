/*
row: One row per thing that happened to a gate, in order, with the attempt it belongs to.
key: [event_id]
columns:
  event_id: The event, as source:key.
  gate_id: The gate, as source:key.
  project_id: The gate's project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_name: The gate's name in its tool.
  attempt: Attempt the event belongs to, from 1; a rejection, a request for changes or a reopening ends one.
  is_reopening: True where it undoes what was decided - a reopening, or a refusal after an approval.
  position: Place of the event in the gate's history, from 1.
  type: What happened.
  occurred_at: When it happened.
  actor: Who did it.
  actor_side: Which side decided or acted - client, team, authority or system.
  origin: How the event is known - log, source_timestamp or snapshot_diff.
  source: The source the record came from.
  source_key: The record's key in that source.
fail:
  - attempt >= 1
  - occurred_at is not null
*/
with ranked as (
    select
        events.*,
        -- events of one instant are taken in the order in which they can follow each other
        case events.type
            when 'planned' then 0
            when 'rescheduled' then 1
            when 'reopened' then 2
            when 'started' then 3
            when 'submitted' then 4
            when 'changes_requested' then 5
            when 'rejected' then 5
            when 'approved' then 6
            else 7
        end as type_rank
    from staging.milestone_events as events
    where events.reject_reason is null
),

placed as (
    select
        ranked.*,
        row_number() over (
            partition by ranked.milestone_id order by ranked.occurred_at, ranked.type_rank, ranked.milestone_event_id
        ) as position
    from ranked
),

-- the last event before each that decided something, and the last that ended the gate
preceded as (
    select
        placed.*,
        max(case
            when placed.type in ('approved', 'waived', 'cancelled', 'changes_requested', 'rejected', 'reopened')
                then placed.position
        end) over before as last_turn,
        max(case when placed.type in ('approved', 'waived', 'cancelled') then placed.position end)
            over before
            as last_end,
        max(case when placed.type = 'approved' then placed.position end) over before as last_approval
    from placed
    window before as (
        partition by placed.milestone_id order by placed.position rows between unbounded preceding and 1 preceding
    )
),

turned as (
    select
        preceded.*,
        case
            when preceded.type = 'reopened' then coalesce(preceded.last_turn = preceded.last_end, false)
            when preceded.type in ('changes_requested', 'rejected')
                then coalesce(preceded.last_turn = preceded.last_approval, false)
            else false
        end as is_reopening
    from preceded
),

counted as (
    select
        turned.*,
        coalesce(
            sum(case when turned.type in ('changes_requested', 'rejected') or turned.is_reopening then 1 else 0 end)
                over (
                    partition by turned.milestone_id
                    order by turned.position rows between unbounded preceding and 1 preceding
                ), 0
        ) as ended_attempts
    from turned
)

select
    counted.milestone_event_id as event_id,
    counted.milestone_id as gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    milestones.name as gate_name,
    -- what undoes an approval opens the next attempt; a request for changes before one belongs to the one it ends
    cast(counted.ended_attempts + case when counted.is_reopening then 2 else 1 end as integer) as attempt,
    counted.is_reopening,
    cast(counted.position as integer) as position,
    counted.type,
    counted.occurred_at,
    counted.actor,
    counted.actor_side,
    counted.origin,
    counted.source,
    counted.source_key
from counted
left join staging.milestones as milestones
    on counted.milestone_id = milestones.milestone_id and milestones.reject_reason is null
left join marts.project_labels as labels on milestones.project_id = labels.project_id
