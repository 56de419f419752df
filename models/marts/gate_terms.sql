/*
row: One row per gate and term that a clear gate has, as it stood at the project's kickoff.
key: [gate_id, term]
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
  approver_side: Who decides - client, team or authority.
  term: The term - named approver, due date, acceptance criterion, invoice trigger, documents, scope lock or visibility.
  is_set: True where the term was set, "none" said in so many words included.
  is_frozen: True once the project has been kicked off; until then the terms stand as they are.
  is_added_later: True where the gate was first seen after the kickoff, and after other gates of its project.
  kickoff_on: Date of the kickoff, in the project's time zone.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
*/
with gates as (
    select
        milestones.milestone_id as gate_id,
        milestones.owner_team,
        milestones.approver_side,
        milestones.source,
        milestones.source_key,
        milestones.source_url,
        labels.project_id,
        labels.client_id,
        labels.firm,
        labels.client,
        labels.project,
        labels.playbook,
        labels.manager,
        labels.timezone,
        labels.kickoff_at,
        coalesce(labels.kickoff_at, $as_of) as frozen_at
    from staging.milestones as milestones
    left join marts.project_labels as labels on milestones.project_id = labels.project_id
    where milestones.reject_reason is null
),

versions as (
    select
        gates.gate_id,
        gates.project_id,
        gates.frozen_at,
        seen.recorded_at,
        seen.seen_at,
        seen.print,
        seen.approver,
        seen.acceptance_criterion,
        seen.bills_amount,
        seen.bills_pct,
        seen.needs_documents,
        seen.locks_scope,
        seen.client_visible,
        case when seen.recorded_at <= gates.frozen_at then seen.recorded_at end as in_time_at
    from gates
    inner join ops.gate_terms_seen as seen on gates.gate_id = seen.gate_id
),

-- the last version written by the kickoff, else the first that was ever written
frozen as (
    select *
    from versions
    qualify row_number() over (partition by gate_id order by in_time_at desc nulls last, recorded_at, print) = 1
),

first_seen as (
    select
        gate_id,
        project_id,
        min(recorded_at) as recorded_at,
        min(seen_at) as seen_at,
        min(frozen_at) as frozen_at
    from versions
    group by gate_id, project_id
),

projects_seen as (
    select
        project_id,
        min(seen_at) as seen_at
    from first_seen
    group by project_id
),

documents as (
    select
        first_seen.gate_id,
        count(*) as document_count
    from first_seen
    inner join ops.gate_documents_seen as seen
        on
            first_seen.gate_id = seen.gate_id
            -- a document's record is written anew when it arrives: what came with the gate was asked for with it
            and (first_seen.frozen_at >= seen.recorded_at or first_seen.seen_at >= seen.seen_at)
    group by first_seen.gate_id
),

plans as (
    select
        gate_id,
        min(recorded_at) as first_recorded_at
    from marts.gate_plans
    group by gate_id
),

stated as (
    select
        gates.*,
        spans.gate_label,
        coalesce(trim(frozen.approver), '') <> '' as has_approver,
        coalesce(plans.first_recorded_at <= gates.frozen_at, false) as has_due_date,
        coalesce(trim(frozen.acceptance_criterion), '') <> '' as has_criterion,
        coalesce(frozen.bills_amount, frozen.bills_pct) is not null as has_trigger,
        coalesce(documents.document_count > 0 or not frozen.needs_documents, false) as has_documents,
        frozen.locks_scope is not null as has_scope_lock,
        frozen.client_visible is not null as has_visibility,
        coalesce(
            first_seen.recorded_at > gates.kickoff_at and first_seen.seen_at > projects_seen.seen_at, false
        ) as is_added_later
    from gates
    left join frozen on gates.gate_id = frozen.gate_id
    left join first_seen on gates.gate_id = first_seen.gate_id
    left join projects_seen on gates.project_id = projects_seen.project_id
    left join documents on gates.gate_id = documents.gate_id
    left join plans on gates.gate_id = plans.gate_id
    left join marts.gate_spans as spans on gates.gate_id = spans.gate_id
),

terms as (
    select 'named approver' as term
    union all
    select 'due date' as term
    union all
    select 'acceptance criterion' as term
    union all
    select 'invoice trigger' as term
    union all
    select 'documents' as term
    union all
    select 'scope lock' as term
    union all
    select 'visibility' as term
)

select
    stated.gate_id,
    stated.project_id,
    stated.client_id,
    stated.firm,
    stated.client,
    stated.project,
    stated.playbook,
    stated.manager,
    stated.gate_label,
    stated.owner_team,
    stated.approver_side,
    terms.term,
    case terms.term
        when 'named approver' then stated.has_approver
        when 'due date' then stated.has_due_date
        when 'acceptance criterion' then stated.has_criterion
        when 'invoice trigger' then stated.has_trigger
        when 'documents' then stated.has_documents
        when 'scope lock' then stated.has_scope_lock
        when 'visibility' then stated.has_visibility
    end as is_set,
    stated.kickoff_at is not null as is_frozen,
    stated.is_added_later,
    local_day(stated.kickoff_at, stated.timezone) as kickoff_on,
    stated.source,
    stated.source_key,
    stated.source_url
from stated
cross join terms
