/*
row: One row per start and per completion of a project.
*/
select
    project_id || ' started' as source_key,
    _file || ', row ' || _row as source_url,
    project_id as milestone,
    'started' as type,
    day_text(actual_start_date, '%m/%d/%Y') as occurred_at,
    'source_timestamp' as origin
from raw.projects
where actual_start_date is not null
union all
select
    project_id || ' approved' as source_key,
    _file || ', row ' || _row as source_url,
    project_id as milestone,
    'approved' as type,
    day_text(actual_completion_date, '%m/%d/%Y') as occurred_at,
    'source_timestamp' as origin
from raw.projects
where actual_completion_date is not null
