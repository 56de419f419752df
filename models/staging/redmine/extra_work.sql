/*
row: One row per time entry on the activity that stands for work beside the scope, latest version.
*/
with entries as (
    select
        *,
        json_extract_string(issue, '$.id') as issue_id,
        json_extract_string(project, '$.id') as project_id
    from raw.time_entries
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    entries.id as source_key,
    entries.url as source_url,
    entries.updated_on as recorded_at,
    case when hidden.id is null then cast(entries._dlt_valid_to as varchar) end as deleted_at,
    entries.project_id as project,
    case issues.plays when 'milestone' then issues.id end as milestone,
    entries.spent_on as done_at,
    entries.hours,
    nullif(entries.comments, '') as description,
    case issues.plays when 'change_order' then issues.id end as change_order
from entries
left join raw.issues as issues on entries.issue_id = issues.id and issues._dlt_valid_to is null
left join raw.hidden_projects as hidden on entries.project_id = hidden.id and hidden._dlt_valid_to is null
