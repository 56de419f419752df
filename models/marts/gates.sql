/*
row: One row per gate of a project, with its state, durations, dates and money on the as-of date.
key: [gate_id]
columns:
  gate_id: The gate, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate: Code of the gate in its playbook; null where it is mapped to none.
  gate_name: The gate's name in its tool.
  gate_label: The gate's name in its playbook, else in its tool.
  sequence: Place of the gate in its project, from 1.
  kind: What passing it takes - gate, inspection or approval.
  owner_team: Team that brings it to approval.
  next_team: Team that takes over once it is approved.
  approver_side: Who decides - client, team or authority.
  status: State - not_started, in_progress, awaiting_decision, changes_requested, approved, waived or cancelled.
  started_at: When work on it began.
  start_rule: How the start is known - started (recorded), previous approval, or kickoff.
  submitted_at: Latest submission for a decision.
  first_submitted_at: First submission for a decision.
  first_approved_at: First approval, whatever came later.
  approved_at: Final approval; null where reopened since.
  cycle_days: Gate cycle time - elapsed days from start to final approval; null unless approved.
  cycle_working_days: The same in working days of the project's calendar.
  age_days: Elapsed days since start while open; an open gate has no cycle time.
  age_working_days: The same in working days of the project's calendar.
  lead_from_at: When its lead time begins - the contract's signature, else the gate's creation.
  lead_rule: Which of the two - contract signature or gate creation.
  lead_days: Gate lead time - elapsed days from there to final approval; null unless approved.
  lead_age_days: Elapsed days since there while open, started or not.
  service_days: Days in which its playbook expects it to pass, from its start.
  ended_days: Elapsed days from start to where it was waived or cancelled instead of approved; null otherwise.
  waiting_days: Elapsed days since submission while a decision is awaited.
  waiting_working_days: The same in working days of whoever decides.
  work_days: Elapsed days the team held it, over all decided attempts.
  work_working_days: The same in working days of the team's calendar.
  wait_days: Elapsed days it waited for decisions.
  client_wait_days: Elapsed days it waited for the client.
  client_wait_working_days: The same in working days of the client's calendar.
  team_wait_days: Elapsed days it waited for a decider of the firm.
  authority_wait_days: Elapsed days it waited for an authority.
  idle_days: Elapsed days between an approval, a waiver or a cancellation and the reopening that undid it.
  rework_days: Elapsed days of work and wait after the first attempt.
  attempt_count: Attempts begun.
  rework_count: Attempts begun after the first.
  is_first_pass: True where a person, not the system, approved it on the first attempt; null before any decision.
  is_reopened: True where it was reopened after an approval.
  is_auto_approved: True where the final approval was the system's.
  previous_approved_at: Final approval of the gate before it, of parallel ones the last; null until all are approved.
  has_gate_before: True where another gate has a lower place in the project, waived and cancelled ones passed over.
  phase_days: Elapsed days from the previous gate's final approval; null where either is missing or out of order.
  phase_working_days: The same in working days of the project's calendar.
  phase_age_days: Elapsed days since the previous gate's final approval while open.
  phase_age_working_days: The same in working days of the project's calendar.
  baseline_on: Date planned when the contract was signed, else the first date planned.
  due_on: Date planned now.
  plan_change_count: Times the planned date was changed after the first.
  schedule_variance_days: Days from the baseline date to the approval, or to the as-of date while open and past it.
  is_on_time: True where approved by the date planned now, false where approved later or overdue; null otherwise.
  is_overdue: True where open after the date planned now.
  bills_amount_local: Amount its approval releases, in the contract's currency.
  currency: Currency of the contract, ISO 4217.
  bills_amount: Amount its approval releases, in the reporting currency at the rate of the contract's signature.
  invoiced_amount: Invoiced for it so far, in the reporting currency at the same rate.
  unbilled_amount_local: Approved and not invoiced, in the contract's currency; zero unless approved.
  unbilled_amount: Approved and not invoiced, in the reporting currency.
  unbilled_days: Elapsed days since approval while something of it is not invoiced.
  unbilled_working_days: The same in working days of the project's calendar.
  first_invoiced_at: When it was first invoiced.
  fully_invoiced_at: When invoices first reached its amount.
  billing_lag_days: Amount-weighted mean of elapsed days from final approval to invoice; negative where early.
  billing_lag_working_days: The same in working days of the project's calendar.
  locks_scope: True where its approval locks the scope before it.
  scope_locked_at: When it locked the scope - its first approval.
  required_document_count: Documents it requires.
  ready_document_count: Of those, there and valid at the first submission.
  late_document_days: Elapsed days from first submission until the last one was there; zero where all were ready.
  missing_document_days: Elapsed days since first submission while one of them is still missing.
  is_client_visible: True where the client sees it in the tool; null where the tool does not say.
  history_quality: How much of its past the tool kept - log, timestamps or snapshot.
  has_chronology_violation: True where its events contradict each other.
  chronology_note: How they do.
  is_out_of_order: True where it is approved and the gate before it was approved later or is not yet; no contradiction.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - cycle_days is null or status = 'approved'
  - bills_amount_local is null or bills_amount is not null
  - has_chronology_violation or cycle_days is null or cycle_days >= 0
  - has_chronology_violation or cycle_days is null or abs(work_days + wait_days + idle_days - cycle_days) < 0.00001
warn:
  - not has_chronology_violation
  - status = 'cancelled' or due_on is not null
  - status <> 'approved' or started_at is not null
*/
with attempts as (
    select
        gate_id,
        count(*) as attempt_count,
        micros_to_days(sum(micros_between(began_at, coalesce(submitted_at, decided_at)))) as work_days,
        micros_to_days(sum(days_to_micros(work_working_days))) as work_working_days,
        micros_to_days(sum(micros_between(submitted_at, decided_at))) as wait_days,
        micros_to_days(sum(case when decided_by_side = 'client' then micros_between(submitted_at, decided_at) end))
            as client_wait_days,
        micros_to_days(sum(case when decided_by_side = 'client' then days_to_micros(wait_working_days) end))
            as client_wait_working_days,
        micros_to_days(sum(case when decided_by_side = 'team' then micros_between(submitted_at, decided_at) end))
            as team_wait_days,
        micros_to_days(sum(case when decided_by_side = 'authority' then micros_between(submitted_at, decided_at) end))
            as authority_wait_days,
        micros_to_days(sum(case when is_rework then micros_between(began_at, coalesce(decided_at, submitted_at)) end))
            as rework_days,
        max(attempt) as last_attempt,
        min(case when attempt = 1 and not is_auto_decided then decision end) as first_decision
    from marts.gate_attempts
    group by gate_id
),

latest as (
    select
        attempts.gate_id,
        current_attempt.submitted_at,
        current_attempt.decided_at,
        current_attempt.wait_age_working_days
    from attempts
    left join marts.gate_attempts as current_attempt
        on attempts.gate_id = current_attempt.gate_id and attempts.last_attempt = current_attempt.attempt
),

-- a gate that stood waived or cancelled when its time began has no attempt before the reopening: idle from its start
gaps as (
    select
        attempts.gate_id,
        attempts.opened_by,
        micros_between(
            coalesce(
                lag(attempts.decided_at) over (partition by attempts.gate_id order by attempts.attempt),
                spans.started_at
            ),
            attempts.began_at
        ) as idle_micros
    from marts.gate_attempts as attempts
    left join marts.gate_spans as spans on attempts.gate_id = spans.gate_id
),

idle as (
    select
        gate_id,
        micros_to_days(sum(idle_micros)) as idle_days
    from gaps
    where opened_by = 'reopening'
    group by gate_id
),

plans as (
    select
        gate_id,
        max(case when is_baseline then due_on end) as baseline_on,
        max(case when is_current then due_on end) as due_on,
        -- a report that repeats the date changes nothing
        count(*) filter (where moved_days <> 0) as plan_change_count,
        min(recorded_at) as first_planned_at
    from marts.gate_plans
    group by gate_id
),

created as (
    select
        gate_id,
        min(occurred_at) as created_at
    from marts.gate_events
    where type = 'planned'
    group by gate_id
),

billing as (
    select
        gate_id,
        sum(contract_amount_local) as invoiced_local,
        min(issued_at) as first_invoiced_at,
        sum(case
            when billing_lag_days is not null then micros_between(approved_at, issued_at) * contract_amount_local
        end) as weighted_micros,
        sum(days_to_micros(billing_lag_working_days) * contract_amount_local) as weighted_working_micros,
        sum(case when billing_lag_days is not null then contract_amount_local end) as lag_weight
    from marts.gate_billing
    where is_counted and change_order_id is null
    group by gate_id
),

running as (
    select
        gate_id,
        issued_at,
        sum(contract_amount_local) over (
            partition by gate_id order by issued_at, invoice_line_id
            rows between unbounded preceding and current row
        ) as invoiced_local
    from marts.gate_billing
    where is_counted and change_order_id is null
),

documents as (
    select
        gate_id,
        count(*) as required_count,
        sum(case when is_ready then 1 else 0 end) as ready_count,
        max(late_days) as late_days,
        coalesce(bool_or(is_missing), false) as is_one_missing
    from marts.gate_documents
    where is_required
    group by gate_id
),

stray_submissions as (
    select
        events.gate_id,
        min(events.occurred_at) as submitted_at
    from marts.gate_events as events
    inner join marts.gate_attempts as attempts
        on events.gate_id = attempts.gate_id and events.attempt = attempts.attempt
    where events.type = 'submitted' and events.occurred_at > attempts.decided_at
    group by events.gate_id
),

stray_reopenings as (
    select
        gate_id,
        min(occurred_at) as reopened_at
    from marts.gate_events
    where type = 'reopened' and not is_reopening
    group by gate_id
),

valued as (
    select
        milestones.*,
        coalesce(
            milestones.bills_amount,
            cast(round(labels.contract_amount_local * milestones.bills_pct / 100, 2) as decimal(18, 2))
        ) as bills_local,
        labels.client_id,
        labels.firm,
        labels.client,
        labels.project,
        labels.playbook,
        labels.manager,
        labels.currency as contract_currency,
        labels.rate as contract_rate,
        labels.signed_at
    from staging.milestones as milestones
    left join marts.project_labels as labels on milestones.project_id = labels.project_id
    where milestones.reject_reason is null
),

full_at as (
    select
        running.gate_id,
        min(running.issued_at) as fully_invoiced_at
    from running
    inner join valued on running.gate_id = valued.milestone_id
    where running.invoiced_local >= valued.bills_local
    group by running.gate_id
),

stated as (
    select
        valued.*,
        spans.gate_label,
        spans.started_at,
        spans.start_rule,
        spans.last_submitted_at,
        spans.first_submitted_at,
        spans.first_decided_at,
        spans.first_approved_at,
        spans.approved_at,
        spans.last_reopened_at,
        spans.waived_at,
        spans.cancelled_at,
        spans.is_auto_approved,
        spans.previous_approved_at,
        coalesce(spans.has_gate_before, false) as has_gate_before,
        case
            when spans.approved_at is not null then 'approved'
            when spans.waived_at is not null then 'waived'
            when spans.cancelled_at is not null then 'cancelled'
            when latest.submitted_at is not null and latest.decided_at is null then 'awaiting_decision'
            when attempts.last_attempt > 1 and latest.submitted_at is null then 'changes_requested'
            when spans.started_at is not null then 'in_progress'
            else 'not_started'
        end as status,
        coalesce(attempts.attempt_count, 0) as attempt_count,
        attempts.first_decision,
        coalesce(attempts.work_days, 0) as work_days,
        coalesce(attempts.work_working_days, 0) as work_working_days,
        coalesce(attempts.wait_days, 0) as wait_days,
        coalesce(attempts.client_wait_days, 0) as client_wait_days,
        coalesce(attempts.client_wait_working_days, 0) as client_wait_working_days,
        coalesce(attempts.team_wait_days, 0) as team_wait_days,
        coalesce(attempts.authority_wait_days, 0) as authority_wait_days,
        coalesce(attempts.rework_days, 0) as rework_days,
        coalesce(idle.idle_days, 0) as idle_days,
        latest.submitted_at as waiting_since,
        latest.wait_age_working_days as waiting_working_days,
        plans.baseline_on,
        plans.due_on,
        coalesce(plans.plan_change_count, 0) as plan_change_count,
        coalesce(billing.invoiced_local, 0) as invoiced_local,
        billing.first_invoiced_at,
        micros_to_days(cast(billing.weighted_micros as double) / nullif(cast(billing.lag_weight as double), 0))
            as billing_lag_days,
        micros_to_days(
            cast(billing.weighted_working_micros as double) / nullif(cast(billing.lag_weight as double), 0)
        ) as billing_lag_working_days,
        full_at.fully_invoiced_at,
        coalesce(documents.required_count, 0) as required_count,
        coalesce(documents.ready_count, 0) as ready_count,
        case when not documents.is_one_missing then documents.late_days end as late_document_days,
        case when documents.is_one_missing then documents.late_days end as missing_document_days,
        local_day(spans.approved_at, valued.timezone) as approved_on,
        local_day($as_of, valued.timezone) as as_of_on,
        case
            when stray_submissions.submitted_at is not null then 'submitted after its decision'
            when stray_reopenings.reopened_at is not null then 'reopened while nothing was decided'
            when spans.approved_at < spans.started_at then 'approved before it started'
            when spans.first_submitted_at < spans.started_at then 'submitted before it started'
            when spans.first_decided_at < spans.started_at then 'decided before it started'
        end as chronology_note,
        spans.approved_at is not null
        and spans.has_gate_before
        and coalesce(spans.approved_at < spans.previous_approved_at, true) as is_out_of_order,
        coalesce(valued.signed_at, least(created.created_at, plans.first_planned_at)) as lead_from_at
    from valued
    left join marts.gate_spans as spans on valued.milestone_id = spans.gate_id
    left join attempts on valued.milestone_id = attempts.gate_id
    left join latest on valued.milestone_id = latest.gate_id
    left join idle on valued.milestone_id = idle.gate_id
    left join plans on valued.milestone_id = plans.gate_id
    left join created on valued.milestone_id = created.gate_id
    left join billing on valued.milestone_id = billing.gate_id
    left join full_at on valued.milestone_id = full_at.gate_id
    left join documents on valued.milestone_id = documents.gate_id
    left join stray_submissions on valued.milestone_id = stray_submissions.gate_id
    left join stray_reopenings on valued.milestone_id = stray_reopenings.gate_id
),

measured as (
    select
        stated.*,
        stated.status in ('not_started', 'in_progress', 'awaiting_decision', 'changes_requested') as is_open,
        case
            when stated.status = 'approved' then greatest(coalesce(stated.bills_local - stated.invoiced_local, 0), 0)
            else 0
        end as unbilled_local
    from stated
)

select
    measured.milestone_id as gate_id,
    measured.project_id,
    measured.client_id,
    measured.firm,
    measured.client,
    measured.project,
    measured.playbook,
    measured.manager,
    named.gate,
    measured.name as gate_name,
    measured.gate_label,
    named.sequence,
    coalesce(measured.kind, 'gate') as kind,
    measured.owner_team,
    measured.next_team,
    measured.approver_side,
    measured.status,
    measured.started_at,
    measured.start_rule,
    measured.last_submitted_at as submitted_at,
    measured.first_submitted_at,
    measured.first_approved_at,
    measured.approved_at,
    case when measured.status = 'approved' then days_between(measured.started_at, measured.approved_at) end
        as cycle_days,
    case when measured.status = 'approved' then clocks.cycle_working_days end as cycle_working_days,
    case when measured.is_open then days_between(measured.started_at, $as_of) end as age_days,
    case when measured.is_open then clocks.age_working_days end as age_working_days,
    measured.lead_from_at,
    case
        when measured.lead_from_at is null then null
        when measured.signed_at is not null then 'contract signature'
        else 'gate creation'
    end as lead_rule,
    case when measured.status = 'approved' then days_between(measured.lead_from_at, measured.approved_at) end
        as lead_days,
    case when measured.is_open then days_between(measured.lead_from_at, $as_of) end as lead_age_days,
    playbook_gates.typical_days as service_days,
    case measured.status
        when 'waived' then days_between(measured.started_at, measured.waived_at)
        when 'cancelled' then days_between(measured.started_at, measured.cancelled_at)
    end as ended_days,
    case
        when measured.status = 'awaiting_decision' then days_between(measured.waiting_since, $as_of)
    end as waiting_days,
    case when measured.status = 'awaiting_decision' then measured.waiting_working_days end as waiting_working_days,
    measured.work_days,
    measured.work_working_days,
    measured.wait_days,
    measured.client_wait_days,
    measured.client_wait_working_days,
    measured.team_wait_days,
    measured.authority_wait_days,
    measured.idle_days,
    measured.rework_days,
    cast(measured.attempt_count as integer) as attempt_count,
    cast(greatest(measured.attempt_count - 1, 0) as integer) as rework_count,
    case when measured.first_decided_at is not null then coalesce(measured.first_decision = 'approved', false) end
        as is_first_pass,
    coalesce(measured.last_reopened_at > measured.first_approved_at, false) as is_reopened,
    measured.is_auto_approved,
    measured.previous_approved_at,
    measured.has_gate_before,
    case
        when measured.approved_at >= measured.previous_approved_at
            then days_between(measured.previous_approved_at, measured.approved_at)
    end as phase_days,
    case
        when measured.approved_at >= measured.previous_approved_at
            then clocks.phase_working_days
    end as phase_working_days,
    case when measured.is_open then days_between(measured.previous_approved_at, $as_of) end as phase_age_days,
    case when measured.is_open then clocks.phase_age_working_days end as phase_age_working_days,
    measured.baseline_on,
    measured.due_on,
    cast(measured.plan_change_count as integer) as plan_change_count,
    case
        when measured.status = 'approved' then dates_between(measured.baseline_on, measured.approved_on)
        when measured.is_open and measured.baseline_on < measured.as_of_on
            then dates_between(measured.baseline_on, measured.as_of_on)
    end as schedule_variance_days,
    case
        when measured.status = 'approved' then measured.approved_on <= measured.due_on
        when measured.is_open and measured.due_on < measured.as_of_on then false
    end as is_on_time,
    coalesce(measured.is_open and measured.due_on < measured.as_of_on, false) as is_overdue,
    measured.bills_local as bills_amount_local,
    measured.contract_currency as currency,
    cast(round(measured.bills_local * measured.contract_rate, 2) as decimal(18, 2)) as bills_amount,
    cast(round(measured.invoiced_local * measured.contract_rate, 2) as decimal(18, 2)) as invoiced_amount,
    cast(measured.unbilled_local as decimal(18, 2)) as unbilled_amount_local,
    cast(round(measured.unbilled_local * measured.contract_rate, 2) as decimal(18, 2)) as unbilled_amount,
    case when measured.unbilled_local > 0 then days_between(measured.approved_at, $as_of) end as unbilled_days,
    case when measured.unbilled_local > 0 then clocks.unbilled_working_days end as unbilled_working_days,
    measured.first_invoiced_at,
    measured.fully_invoiced_at,
    measured.billing_lag_days,
    measured.billing_lag_working_days,
    coalesce(measured.locks_scope, false) as locks_scope,
    case when measured.locks_scope then measured.first_approved_at end as scope_locked_at,
    cast(measured.required_count as integer) as required_document_count,
    cast(measured.ready_count as integer) as ready_document_count,
    measured.late_document_days,
    measured.missing_document_days,
    measured.client_visible as is_client_visible,
    measured.history_quality,
    measured.chronology_note is not null as has_chronology_violation,
    measured.chronology_note,
    measured.is_out_of_order,
    measured.source,
    measured.source_key,
    measured.source_url
from measured
left join marts.gate_labels as named on measured.milestone_id = named.gate_id
left join marts.gate_clocks as clocks on measured.milestone_id = clocks.gate_id
left join reference.playbook_gates as playbook_gates
    on measured.playbook = playbook_gates.playbook and named.gate = playbook_gates.gate
