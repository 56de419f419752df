/*
row: One row per hand-over with its spans in working days of the team's calendar.
key: [handoff_id]
columns:
  handoff_id: The hand-over, as source:key.
  notify_working_days: From the approval that triggers it to notice.
  accept_working_days: From notice to acceptance.
  accept_age_working_days: From notice to the as-of instant.
  latency_working_days: From that approval to the next team's start; negative where it began before.
  age_working_days: From that approval to the as-of instant.
*/
with instants as (
    select
        handoffs.handoff_id,
        calendars.calendar,
        calendars.timezone,
        ends.name,
        case ends.name
            when 'approved' then spans.first_approved_at
            when 'notified' then handoffs.notified_at
            when 'accepted' then handoffs.accepted_at
            when 'started' then handoffs.started_at
            when 'now' then $as_of
        end as at
    from staging.handoffs as handoffs
    inner join marts.gate_spans as spans on handoffs.milestone_id = spans.gate_id
    inner join marts.project_calendars as calendars
        on spans.project_id = calendars.project_id and calendars.side = 'team'
    cross join (values ('approved'), ('notified'), ('accepted'), ('started'), ('now')) as ends (name)
    where handoffs.reject_reason is null
),

positions as (
    select
        instants.handoff_id,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        handoff_id,
        max(case when name = 'approved' then position end) as approved_position,
        max(case when name = 'notified' then position end) as notified_position,
        max(case when name = 'accepted' then position end) as accepted_position,
        max(case when name = 'started' then position end) as started_position,
        max(case when name = 'now' then position end) as now_position
    from positions
    group by handoff_id
)

select
    handoff_id,
    micros_to_days(notified_position - approved_position) as notify_working_days,
    micros_to_days(accepted_position - notified_position) as accept_working_days,
    micros_to_days(now_position - notified_position) as accept_age_working_days,
    micros_to_days(started_position - approved_position) as latency_working_days,
    micros_to_days(now_position - approved_position) as age_working_days
from placed
