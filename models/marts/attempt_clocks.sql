/*
row: One row per attempt with its work in working days of the team's calendar and its wait in those of whoever decides.
key: [gate_id, attempt]
columns:
  gate_id: The gate, as source:key.
  attempt: Number of the attempt, from 1.
  work_working_days: Work, from beginning to submission, else to the decision.
  work_age_working_days: From beginning to the as-of instant.
  wait_working_days: Wait, from submission to decision.
  wait_age_working_days: From submission to the as-of instant.
*/
with instants as (
    select
        attempts.gate_id,
        attempts.attempt,
        case when ends.side = 'team' then teams.calendar else deciders.calendar end as calendar,
        case when ends.side = 'team' then teams.timezone else deciders.timezone end as timezone,
        ends.name,
        case ends.name
            when 'began' then attempts.began_at
            when 'handed' then coalesce(attempts.submitted_at, attempts.decided_at)
            when 'team_now' then $as_of
            when 'submitted' then attempts.submitted_at
            when 'decided' then attempts.decided_at
            when 'decider_now' then $as_of
        end as at
    from marts.gate_attempts as attempts
    inner join marts.project_calendars as teams on attempts.project_id = teams.project_id and teams.side = 'team'
    inner join marts.project_calendars as deciders
        on attempts.project_id = deciders.project_id and attempts.decided_by_side = deciders.side
    cross join (
        values
        ('team', 'began'), ('team', 'handed'), ('team', 'team_now'),
        ('decider', 'submitted'), ('decider', 'decided'), ('decider', 'decider_now')
    ) as ends (side, name)
),

positions as (
    select
        instants.gate_id,
        instants.attempt,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        gate_id,
        attempt,
        max(case when name = 'began' then position end) as began_position,
        max(case when name = 'handed' then position end) as handed_position,
        max(case when name = 'team_now' then position end) as team_now_position,
        max(case when name = 'submitted' then position end) as submitted_position,
        max(case when name = 'decided' then position end) as decided_position,
        max(case when name = 'decider_now' then position end) as decider_now_position
    from positions
    group by gate_id, attempt
)

select
    gate_id,
    attempt,
    micros_to_days(handed_position - began_position) as work_working_days,
    micros_to_days(team_now_position - began_position) as work_age_working_days,
    micros_to_days(decided_position - submitted_position) as wait_working_days,
    micros_to_days(decider_now_position - submitted_position) as wait_age_working_days
from placed
