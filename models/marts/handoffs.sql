/*
row: One row per hand-over of work that a gate's approval triggers.
key: [handoff_id]
columns:
  handoff_id: The hand-over, as source:key.
  gate_id: The gate whose approval triggers it, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  from_team: Team that is freed.
  to_team: Team that takes over.
  approved_at: First approval of the gate, which triggers the hand-over.
  notified_at: When the next team was told.
  accepted_at: When the next team took it on.
  started_at: When the next team's work began.
  notify_days: Elapsed days from approval to notice.
  notify_working_days: The same in working days of the team's calendar.
  notify_age_days: Elapsed days since approval while the next team has not been told.
  notify_age_working_days: The same in working days of the team's calendar.
  accept_days: Elapsed days from notice to acceptance.
  accept_working_days: The same in working days of the team's calendar.
  accept_age_days: Elapsed days since notice while the next team has not taken it on.
  accept_age_working_days: The same in working days of the team's calendar.
  latency_days: Elapsed days from approval to the next team's start; negative where it began before.
  latency_working_days: The same in working days of the team's calendar.
  is_open: True while approved and not started.
  age_days: Elapsed days since approval while open.
  age_working_days: The same in working days of the team's calendar.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
warn:
  - latency_days is null or latency_days >= 0
*/
select
    handoffs.handoff_id,
    handoffs.milestone_id as gate_id,
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    spans.gate_label,
    coalesce(handoffs.from_team, milestones.owner_team) as from_team,
    handoffs.to_team,
    spans.first_approved_at as approved_at,
    handoffs.notified_at,
    handoffs.accepted_at,
    handoffs.started_at,
    days_between(spans.first_approved_at, handoffs.notified_at) as notify_days,
    clocks.notify_working_days,
    case when handoffs.notified_at is null then days_between(spans.first_approved_at, $as_of) end as notify_age_days,
    case when handoffs.notified_at is null then clocks.age_working_days end as notify_age_working_days,
    days_between(handoffs.notified_at, handoffs.accepted_at) as accept_days,
    clocks.accept_working_days,
    case when handoffs.accepted_at is null then days_between(handoffs.notified_at, $as_of) end as accept_age_days,
    case when handoffs.accepted_at is null then clocks.accept_age_working_days end as accept_age_working_days,
    days_between(spans.first_approved_at, handoffs.started_at) as latency_days,
    clocks.latency_working_days,
    spans.first_approved_at is not null and handoffs.started_at is null as is_open,
    case when handoffs.started_at is null then days_between(spans.first_approved_at, $as_of) end as age_days,
    case when handoffs.started_at is null then clocks.age_working_days end as age_working_days,
    handoffs.source,
    handoffs.source_key,
    handoffs.source_url
from staging.handoffs as handoffs
left join marts.gate_spans as spans on handoffs.milestone_id = spans.gate_id
left join staging.milestones as milestones
    on handoffs.milestone_id = milestones.milestone_id and milestones.reject_reason is null
left join marts.project_labels as labels on milestones.project_id = labels.project_id
left join marts.handoff_clocks as clocks on handoffs.handoff_id = clocks.handoff_id
where handoffs.reject_reason is null
