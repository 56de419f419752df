/*
row: One row per gate, fault in its data, and record at fault - the list to mend.
key: [gate_id, fault, entity, record_id]
columns:
  gate_id: The gate, as source:key; one that is itself an orphan stands in no other table.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  fault: Missing start or baseline, chronology violation, orphan, duplicate, future date or currency mismatch.
  entity: What the record at fault is a record of.
  record_id: The record at fault, as source:key.
  record_count: How many times it is at fault, such as versions received beside the one that stands.
  detail: What is wrong, in words.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - record_count >= 1
*/
with own_faults as (
    select
        gates.gate_id,
        'missing start' as fault,
        'it was submitted or decided, and no start, earlier approval or kickoff is known' as detail
    from marts.gates as gates
    inner join marts.gate_spans as spans on gates.gate_id = spans.gate_id
    where
        gates.started_at is null and gates.status not in ('waived', 'cancelled')
        and coalesce(spans.first_submitted_at, spans.first_decided_at) is not null
    union all
    select
        gate_id,
        'missing baseline' as fault,
        'no planned date was ever recorded' as detail
    from marts.gates
    where baseline_on is null and status not in ('waived', 'cancelled')
    union all
    select
        gate_id,
        'chronology violation' as fault,
        chronology_note as detail
    from marts.gates
    where has_chronology_violation
),

-- records set aside although their time had come, by the gate that they are of or name
set_aside as (
    select
        milestone_id as gate_id,
        'milestones' as entity,
        milestone_id as record_id,
        cast(null as timestamp) as known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.milestones
    union all
    select
        milestone_id as gate_id,
        'milestone_plans' as entity,
        milestone_plan_id as record_id,
        known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.milestone_plans
    union all
    select
        milestone_id as gate_id,
        'milestone_events' as entity,
        milestone_event_id as record_id,
        known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.milestone_events
    union all
    select
        milestone_id as gate_id,
        'documents' as entity,
        document_id as record_id,
        known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.documents
    union all
    select
        milestone_id as gate_id,
        'handoffs' as entity,
        handoff_id as record_id,
        known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.handoffs
    union all
    select
        milestone_id as gate_id,
        'change_orders' as entity,
        change_order_id as record_id,
        known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.change_orders
    union all
    select
        milestone_id as gate_id,
        'extra_work' as entity,
        extra_work_id as record_id,
        known_at,
        reject_reason,
        reject_detail,
        source,
        source_key,
        source_url
    from staging.extra_work
    union all
    select
        lines.milestone_id as gate_id,
        'invoice_lines' as entity,
        lines.invoice_line_id as record_id,
        invoices.known_at,
        lines.reject_reason,
        lines.reject_detail,
        lines.source,
        lines.source_key,
        lines.source_url
    from staging.invoice_lines as lines
    left join staging.invoices as invoices
        on lines.invoice_id = invoices.invoice_id and invoices.reject_reason is distinct from 'duplicate'
),

-- only what had been recorded by then: a later resend must not change an earlier report
resent as (
    select
        gate_id,
        reject_reason as fault,
        entity,
        record_id,
        count(*) as record_count,
        min(reject_detail) as detail,
        source,
        source_key,
        min(source_url) as source_url
    from set_aside
    where reject_reason in ('orphan', 'duplicate') and (known_at is null or known_at <= $as_of)
    group by gate_id, reject_reason, entity, record_id, source, source_key
),

last_pulls as (
    select
        source,
        max(pulled_at) as pulled_at
    from ops.pulls
    where outcome = 'ok'
    group by source
),

-- a tool that does not say when it wrote an event is taken at its last pull, unless the clock is an earlier one
ahead as (
    select
        events.milestone_id as gate_id,
        events.milestone_event_id as record_id,
        events.type,
        local_day(events.occurred_at, events.timezone) as happened_on,
        local_day(
            coalesce(events.recorded_at, case when last_pulls.pulled_at <= $as_of then $as_of end), events.timezone
        ) as written_on,
        events.source,
        events.source_key,
        events.source_url
    from staging.milestone_events as events
    left join last_pulls on events.source = last_pulls.source
    where
        (events.reject_reason is null or events.reject_reason = 'after as_of')
        and (events.recorded_at is null or events.recorded_at <= $as_of)
),

mismatched as (
    select
        billing.gate_id,
        billing.invoice_line_id as record_id,
        'billed in ' || billing.currency || ', the contract is in ' || labels.currency as detail,
        lines.source,
        lines.source_key,
        lines.source_url
    from marts.gate_billing as billing
    inner join marts.gates as gates on billing.gate_id = gates.gate_id
    inner join marts.project_labels as labels on gates.project_id = labels.project_id
    inner join staging.invoice_lines as lines
        on billing.invoice_line_id = lines.invoice_line_id and lines.reject_reason is null
    where billing.is_billed and billing.currency <> labels.currency
),

faults as (
    select
        own_faults.gate_id,
        own_faults.fault,
        'milestones' as entity,
        own_faults.gate_id as record_id,
        1 as record_count,
        own_faults.detail,
        milestones.source,
        milestones.source_key,
        milestones.source_url
    from own_faults
    inner join staging.milestones as milestones
        on own_faults.gate_id = milestones.milestone_id and milestones.reject_reason is null
    union all
    select
        resent.gate_id,
        resent.fault,
        resent.entity,
        resent.record_id,
        resent.record_count,
        resent.detail,
        resent.source,
        resent.source_key,
        resent.source_url
    from resent
    union all
    select
        ahead.gate_id,
        'future date' as fault,
        'milestone_events' as entity,
        ahead.record_id,
        1 as record_count,
        ahead.type || ' dated ' || cast(ahead.happened_on as varchar) || ', before that day had come' as detail,
        ahead.source,
        ahead.source_key,
        ahead.source_url
    from ahead
    where ahead.happened_on > ahead.written_on
    union all
    select
        mismatched.gate_id,
        'currency mismatch' as fault,
        'invoice_lines' as entity,
        mismatched.record_id,
        1 as record_count,
        mismatched.detail,
        mismatched.source,
        mismatched.source_key,
        mismatched.source_url
    from mismatched
)

select
    faults.gate_id,
    labels.project_id,
    labels.client_id,
    coalesce(labels.firm, sources.firm) as firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    coalesce(spans.gate_label, names.name) as gate_label,
    faults.fault,
    faults.entity,
    faults.record_id,
    cast(faults.record_count as integer) as record_count,
    faults.detail,
    faults.source,
    faults.source_key,
    faults.source_url
from faults
left join marts.gate_spans as spans on faults.gate_id = spans.gate_id
left join marts.project_labels as labels on spans.project_id = labels.project_id
left join staging.milestones as names
    on faults.gate_id = names.milestone_id and names.reject_reason is distinct from 'duplicate'
left join reference.sources as sources on faults.source = sources.source
-- what names a gate that was never received, or one set aside, is an orphan's own affair
where spans.gate_id is not null or (faults.entity = 'milestones' and faults.fault = 'orphan')
