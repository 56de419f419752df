/*
row: One row per report of a project that forecasts its completion.
*/
with reports as (
    select
        *,
        day_text(split_part(date_reported_as_of, ' ', 1), '%m/%d/%Y') as reported_on,
        max(case when current_phase = 'IT' then 1 else 0 end) over (partition by pid) as is_it
    from raw.reports
)

select
    pid || ' ' || reported_on as source_key,
    _file || ', row ' || _row as source_url,
    reported_on as recorded_at,
    pid || case when is_it = 1 then ' IT' else ' Construction' end as milestone,
    -- Project 649 said 10/21/2108 once, surely 2018: it is a date, so it stays what was reported, and the next
    -- report takes it back by 32,620 days.
    day_text(forecast_completion, '%m/%d/%Y') as due_on
from reports
-- a report without a forecast (122 of them) plans nothing
where forecast_completion is not null
