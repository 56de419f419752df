/*
row: One row per gate with its spans in working days of the project's calendar, whatever its state.
key: [gate_id]
columns:
  gate_id: The gate, as source:key.
  cycle_working_days: From its start to its final approval.
  age_working_days: From its start to the as-of instant.
  phase_working_days: From the final approval of the gate before to its own; negative where out of order.
  phase_age_working_days: From the final approval of the gate before to the as-of instant.
  unbilled_working_days: From its final approval to the as-of instant.
*/
with instants as (
    select
        spans.gate_id,
        calendars.calendar,
        calendars.timezone,
        ends.name,
        case ends.name
            when 'started' then spans.started_at
            when 'approved' then spans.approved_at
            when 'previous' then spans.previous_approved_at
            when 'now' then $as_of
        end as at
    from marts.gate_spans as spans
    inner join marts.project_calendars as calendars
        on spans.project_id = calendars.project_id and calendars.side = 'project'
    cross join (values ('started'), ('approved'), ('previous'), ('now')) as ends (name)
),

positions as (
    select
        instants.gate_id,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        gate_id,
        max(case when name = 'started' then position end) as started_position,
        max(case when name = 'approved' then position end) as approved_position,
        max(case when name = 'previous' then position end) as previous_position,
        max(case when name = 'now' then position end) as now_position
    from positions
    group by gate_id
)

select
    gate_id,
    micros_to_days(approved_position - started_position) as cycle_working_days,
    micros_to_days(now_position - started_position) as age_working_days,
    micros_to_days(approved_position - previous_position) as phase_working_days,
    micros_to_days(now_position - previous_position) as phase_age_working_days,
    micros_to_days(now_position - approved_position) as unbilled_working_days
from placed
