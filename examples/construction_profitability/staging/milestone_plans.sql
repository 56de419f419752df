/*
row: One row per completion date planned - the baseline, and each monthly report's forecast.
*/
-- When the baseline was made is not told; it was there when work was to begin, or began if that was earlier.
-- P013's 8/10/2023 is 10 August: 8/31/2024 elsewhere in the files can only be month first.
select
    project_id || ' baseline' as source_key,
    _file || ', row ' || _row as source_url,
    least(day_text(baseline_start_date, '%m/%d/%Y'), day_text(actual_start_date, '%m/%d/%Y')) as recorded_at,
    project_id as milestone,
    day_text(baseline_completion_date, '%m/%d/%Y') as due_on,
    'true' as is_baseline,
    cast(null as varchar) as reason
from raw.projects
union all
select
    update_id as source_key,
    _file || ', row ' || _row as source_url,
    day_text(report_date, '%m/%d/%Y') as recorded_at,
    project_id as milestone,
    day_text(forecast_completion_date, '%m/%d/%Y') as due_on,
    'false' as is_baseline,
    nullif(primary_delay_reason, 'None') as reason
from raw.updates
-- UPD00664 forecasts nothing, so it is a report but no plan
where forecast_completion_date is not null
