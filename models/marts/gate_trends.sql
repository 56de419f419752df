/*
row: One row per gate - how its forecast date moved from report to report, until its actual date ended the line.
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
  gate_label: The gate's name in its playbook, else in its tool.
  owner_team: Team that brings the gate to approval.
  approver_side: Who decides - client, team or authority.
  status: State of the gate.
  history_quality: How much of its past the tool kept - log, timestamps or snapshot.
  first_reported_on: Date of the first report of a forecast, in the project's time zone.
  last_reported_on: Date of the last report that counts.
  first_forecast_on: Date first forecast.
  last_forecast_on: Date forecast last.
  actual_on: Date of the final approval, which ends the line.
  forecast_count: Report dates that count; of several forecasts on one day the last.
  slip_days: Days from the first forecast date to the last.
  slip_rate: Days of forecast per day of report, by least squares; 1.0 slides day for day, null under two report dates.
fail:
  - forecast_count > 0 or slip_days is null
*/
with reports as (
    select
        gate_id,
        recorded_on,
        max_by(due_on, version) as forecast_on
    from marts.gate_plans
    where not is_after_approval
    group by gate_id, recorded_on
),

-- whole days from the first report, so that the sums below are exact in any order
spread as (
    select
        gate_id,
        recorded_on,
        forecast_on,
        dates_between(min(recorded_on) over (partition by gate_id), recorded_on) as report_day,
        dates_between(min(forecast_on) over (partition by gate_id), forecast_on) as forecast_day
    from reports
),

lines as (
    select
        gate_id,
        count(*) as forecast_count,
        min(recorded_on) as first_reported_on,
        max(recorded_on) as last_reported_on,
        min_by(forecast_on, recorded_on) as first_forecast_on,
        max_by(forecast_on, recorded_on) as last_forecast_on,
        count(*) * sum(report_day * forecast_day) - sum(report_day) * sum(forecast_day) as rise,
        count(*) * sum(report_day * report_day) - sum(report_day) * sum(report_day) as run
    from spread
    group by gate_id
)

select
    gates.gate_id,
    gates.project_id,
    gates.client_id,
    gates.firm,
    gates.client,
    gates.project,
    gates.playbook,
    gates.manager,
    gates.gate_label,
    gates.owner_team,
    gates.approver_side,
    gates.status,
    gates.history_quality,
    lines.first_reported_on,
    lines.last_reported_on,
    lines.first_forecast_on,
    lines.last_forecast_on,
    local_day(gates.approved_at, labels.timezone) as actual_on,
    cast(coalesce(lines.forecast_count, 0) as integer) as forecast_count,
    dates_between(lines.first_forecast_on, lines.last_forecast_on) as slip_days,
    cast(lines.rise as double) / nullif(cast(lines.run as double), 0) as slip_rate
from marts.gates as gates
left join lines on gates.gate_id = lines.gate_id
left join marts.project_labels as labels on gates.project_id = labels.project_id
