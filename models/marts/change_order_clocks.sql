/*
row: One row per change order with its spans in working days of the project's calendar.
key: [change_order_id]
columns:
  change_order_id: The change order, as source:key.
  decision_working_days: From submission to decision.
  age_working_days: From submission to the as-of instant.
*/
with instants as (
    select
        orders.change_order_id,
        calendars.calendar,
        calendars.timezone,
        ends.name,
        case ends.name
            when 'submitted' then orders.submitted_at
            when 'decided' then orders.decided_at
            when 'now' then $as_of
        end as at
    from staging.change_orders as orders
    inner join marts.project_calendars as calendars
        on orders.project_id = calendars.project_id and calendars.side = 'project'
    cross join (values ('submitted'), ('decided'), ('now')) as ends (name)
    where orders.reject_reason is null
),

positions as (
    select
        instants.change_order_id,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        change_order_id,
        max(case when name = 'submitted' then position end) as submitted_position,
        max(case when name = 'decided' then position end) as decided_position,
        max(case when name = 'now' then position end) as now_position
    from positions
    group by change_order_id
)

select
    change_order_id,
    micros_to_days(decided_position - submitted_position) as decision_working_days,
    micros_to_days(now_position - submitted_position) as age_working_days
from placed
