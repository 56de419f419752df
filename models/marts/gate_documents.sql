/*
row: One row per document that a gate or a project calls for.
key: [document_id]
columns:
  document_id: The document, as source:key.
  gate_id: The gate that calls for it, as source:key; null where the project does.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  type: What it is, such as lien waiver.
  is_required: True where the gate may not be approved without it.
  submitted_at: First submission of the gate, by which it has to be there.
  received_at: When it arrived.
  accepted_at: When it was found in order.
  expires_on: Last day it is valid.
  is_ready: True where it was there and valid at the first submission, or is so now where the gate is not submitted.
  is_missing: True where the gate was submitted and it never came, or had expired when it was due or came.
  late_days: Elapsed days it came, or is missing so far, after the first submission; zero where ready.
  document_url: Where the document itself lies.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
*/
with judged as (
    select
        documents.*,
        coalesce(documents.project_id, milestones.project_id) as owner_project_id,
        milestones.milestone_id as found_gate_id,
        spans.gate_label,
        spans.first_submitted_at,
        coalesce(spans.first_submitted_at, $as_of) as needed_at,
        -- what has expired by the day it is needed is missing, whenever it came
        case
            when
                documents.expires_on is null
                or documents.expires_on >= local_day(
                    greatest(documents.received_at, coalesce(spans.first_submitted_at, $as_of)), documents.timezone
                ) then documents.received_at
        end as valid_at
    from staging.documents as documents
    left join staging.milestones as milestones
        on documents.milestone_id = milestones.milestone_id and milestones.reject_reason is null
    left join marts.gate_spans as spans on milestones.milestone_id = spans.gate_id
    where documents.reject_reason is null
)

select
    judged.document_id,
    judged.found_gate_id as gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    judged.gate_label,
    judged.type,
    coalesce(judged.required, true) as is_required,
    judged.first_submitted_at as submitted_at,
    judged.received_at,
    judged.accepted_at,
    case when judged.received_at is not null then judged.expires_on end as expires_on,
    coalesce(judged.valid_at <= judged.needed_at, false) as is_ready,
    judged.first_submitted_at is not null and judged.valid_at is null as is_missing,
    case
        when judged.first_submitted_at is not null
            then greatest(0, days_between(judged.first_submitted_at, coalesce(judged.valid_at, $as_of)))
    end as late_days,
    case when judged.received_at is not null then judged.url end as document_url,
    judged.source,
    judged.source_key,
    judged.source_url
from judged
left join marts.project_labels as labels on judged.owner_project_id = labels.project_id
