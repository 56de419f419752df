/*
row: One row per calendar in use and local day, from a year before the records begin to the end of the next.
key: [calendar, day_on]
columns:
  calendar: The calendar, as zone|country|subdivision.
  timezone: IANA zone of its days.
  country: Country of its weekends and holidays; null where none is known, and Saturday and Sunday are the weekend.
  subdivision: State or region of its holidays.
  day_on: The local day.
  starts_at: When that day begins.
  ends_at: When it ends and the next begins; 23 or 25 hours later where the clocks change.
  is_working: True where it is neither a weekend day nor a public holiday.
  holiday: Name of the public holiday it is.
  working_before: Working days of the calendar before it, from the first day on record.
fail:
  - starts_at < ends_at or not is_working
*/
with calendars as (
    select
        calendar,
        timezone,
        country,
        subdivision
    from marts.client_calendars
    union
    select
        calendar,
        timezone,
        country,
        subdivision
    from marts.project_calendars
),

days as (
    select
        calendars.calendar,
        calendars.timezone,
        calendars.country,
        calendars.subdivision,
        days.day as day_on,
        start_of_day(days.day, calendars.timezone) as starts_at
    from calendars
    cross join reference.days as days
),

bounded as (
    select
        days.*,
        lead(days.starts_at) over (partition by days.calendar order by days.day_on) as ends_at
    from days
),

judged as (
    select
        bounded.*,
        holidays.name as holiday,
        -- a zone that crossed the date line has a date that nobody lived
        weekends.day is null and holidays.day is null and bounded.starts_at < bounded.ends_at as is_working
    from bounded
    left join reference.weekends as weekends
        on
            coalesce(bounded.country, '') = weekends.country
            and coalesce(bounded.subdivision, '') = weekends.subdivision
            and bounded.day_on = weekends.day
    left join reference.holidays as holidays
        on
            coalesce(bounded.country, '') = holidays.country
            and coalesce(bounded.subdivision, '') = holidays.subdivision
            and bounded.day_on = holidays.day
    where bounded.ends_at is not null
)

select
    calendar,
    timezone,
    country,
    subdivision,
    day_on,
    starts_at,
    ends_at,
    is_working,
    holiday,
    cast(
        coalesce(
            sum(case when is_working then 1 else 0 end)
                over (partition by calendar order by day_on rows between unbounded preceding and 1 preceding),
            0
        ) as integer
    ) as working_before
from judged
