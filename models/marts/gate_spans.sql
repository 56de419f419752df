/*
row: One row per gate with the instants its durations run between, each by a written rule.
key: [gate_id]
columns:
  gate_id: The gate, as source:key.
  project_id: The gate's project, as source:key.
  gate_label: The gate's name in its playbook, else in its tool.
  sequence: Place of the gate in its project.
  started_at: When work on the gate began; null while it has not.
  start_rule: How the start is known - started (recorded), previous approval, or kickoff.
  first_submitted_at: First submission for a decision.
  last_submitted_at: Latest submission for a decision.
  first_decided_at: First decision of any kind.
  first_approved_at: First approval, whatever came later.
  approved_at: Final approval - the last one that no reopening or refusal followed.
  waived_at: When the gate was waived, unless reopened or approved since.
  cancelled_at: When the gate was cancelled, unless reopened or approved since.
  last_reopened_at: When it was last reopened.
  is_auto_approved: True where the final approval was the system's, not a person's.
  has_gate_before: True where another gate has a lower place in the project, waived and cancelled ones passed over.
  previous_approved_at: Final approval of the gate before it, of parallel ones the last; null until all are approved.
fail:
  - approved_at is null or first_approved_at <= approved_at
*/
with facts as (
    select
        gate_id,
        min(case when type = 'started' then occurred_at end) as first_started_at,
        min(case when type = 'submitted' then occurred_at end) as first_submitted_at,
        max(case when type = 'submitted' then occurred_at end) as last_submitted_at,
        min(case when type in ('approved', 'changes_requested', 'rejected') then occurred_at end) as first_decided_at,
        min(case when type = 'approved' then occurred_at end) as first_approved_at,
        max(case when type = 'approved' then position end) as last_approval_position,
        max(case when is_reopening or type in ('changes_requested', 'rejected') then position end)
            as last_undo_position,
        max(case when type = 'approved' then occurred_at end) as last_approved_at,
        max(case when type = 'waived' then position end) as waiver_position,
        max(case when type = 'waived' then occurred_at end) as last_waived_at,
        max(case when type = 'cancelled' then position end) as cancellation_position,
        max(case when type = 'cancelled' then occurred_at end) as last_cancelled_at,
        max(case when is_reopening then position end) as reopening_position,
        max(case when is_reopening then occurred_at end) as last_reopened_at,
        max_by(actor_side, case when type = 'approved' then position else -1 end) as last_approver_side
    from marts.gate_events
    group by gate_id
),

ended as (
    select
        milestones.milestone_id as gate_id,
        milestones.project_id,
        named.gate_label,
        named.sequence,
        labels.kickoff_at,
        facts.first_started_at,
        facts.first_submitted_at,
        facts.last_submitted_at,
        facts.first_decided_at,
        facts.first_approved_at,
        least(facts.first_submitted_at, facts.first_decided_at) as first_active_at,
        case
            when facts.last_approval_position > coalesce(facts.last_undo_position, 0) then facts.last_approved_at
        end as approved_at,
        case
            when
                facts.waiver_position > coalesce(facts.reopening_position, 0)
                and facts.waiver_position > coalesce(facts.last_approval_position, 0) then facts.last_waived_at
        end as waived_at,
        case
            when
                facts.cancellation_position > coalesce(facts.reopening_position, 0)
                and facts.cancellation_position > coalesce(facts.last_approval_position, 0) then facts.last_cancelled_at
        end as cancelled_at,
        facts.last_reopened_at,
        facts.last_approver_side
    from staging.milestones as milestones
    left join facts on milestones.milestone_id = facts.gate_id
    left join marts.project_labels as labels on milestones.project_id = labels.project_id
    left join marts.gate_labels as named on milestones.milestone_id = named.gate_id
    where milestones.reject_reason is null
),

-- Gates of one place run in parallel, and the gates after them wait for the last of them. A gate that was waived
-- or cancelled hands nothing over, and a gate without a place stands before none and after none.
places as (
    select
        project_id,
        sequence,
        case when count(first_approved_at) = count(*) then max(first_approved_at) end as first_approved_at,
        case when count(approved_at) = count(*) then max(approved_at) end as approved_at
    from ended
    where waived_at is null and cancelled_at is null and sequence is not null
    group by project_id, sequence
),

passed as (
    select
        project_id,
        sequence,
        lag(sequence) over by_place as previous_sequence,
        lag(first_approved_at) over by_place as previous_first_approved_at,
        lag(approved_at) over by_place as previous_approved_at
    from places
    window by_place as (partition by project_id order by sequence)
),

looked_back as (
    select
        ended.*,
        passed.previous_sequence is not null as has_gate_before,
        passed.previous_approved_at,
        case
            when ended.first_active_at is null or passed.previous_first_approved_at <= ended.first_active_at
                then passed.previous_first_approved_at
        end as handed_over_at,
        case
            when
                ended.first_active_at is not null
                or (ended.sequence is not null and passed.previous_sequence is null)
                then ended.kickoff_at
        end as kicked_off_at
    from ended
    left join passed on ended.project_id = passed.project_id and ended.sequence = passed.sequence
)

select
    gate_id,
    project_id,
    gate_label,
    sequence,
    case
        when first_started_at is not null then first_started_at
        when waived_at is null and cancelled_at is null then coalesce(handed_over_at, kicked_off_at)
    end as started_at,
    case
        when first_started_at is not null then 'started'
        when waived_at is not null or cancelled_at is not null then null
        when handed_over_at is not null then 'previous approval'
        when kicked_off_at is not null then 'kickoff'
    end as start_rule,
    first_submitted_at,
    last_submitted_at,
    first_decided_at,
    first_approved_at,
    approved_at,
    waived_at,
    cancelled_at,
    last_reopened_at,
    approved_at is not null and coalesce(last_approver_side = 'system', false) as is_auto_approved,
    has_gate_before,
    previous_approved_at
from looked_back
