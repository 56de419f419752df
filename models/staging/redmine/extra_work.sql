/*
row: One row per time entry on the activity that stands for work beside the scope, latest version.
*/
with entries as (
    select
        *,
        json_extract_string(issue, '$.id') as issue_id
    from raw.time_entries
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    entries.id as source_key,
    entries.url as source_url,
    entries.updated_on as recorded_at,
    cast(entries._dlt_valid_to as varchar) as deleted_at,
    json_extract_string(entries.project, '$.id') as project,
    case issues.plays when 'milestone' then issues.id end as milestone,
    entries.spent_on as done_at,
    entries.hours,
    nullif(entries.comments, '') as description,
    case issues.plays when 'change_order' then issues.id end as change_order
from entries
left join raw.issues as issues on entries.issue_id = issues.id and issues._dlt_valid_to is null
