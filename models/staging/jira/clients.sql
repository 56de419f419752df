/*
row: One row per client named by a field of a Jira project's issues, else by its category, else by itself.
*/
with told as (
    select
        json_extract_string(issues.fields, '$.project.id') as project,
        max_by(field_text(json_extract(issues.fields, '$.' || fields.id)), issues.updated_at)
        filter (where field_text(json_extract(issues.fields, '$.' || fields.id)) is not null)
            as client
    from raw.issues as issues
    inner join reference.source_fields as roles on roles.source = $source and roles.role = 'client'
    inner join raw.fields as fields
        on fields._dlt_valid_to is null and roles.field in (fields.id, fields.name)
    where issues.gone_at is null
    group by all
),

named as (
    select
        coalesce(told.client, json_extract_string(projects.project_category, '$.name'), projects.name) as name,
        projects._dlt_valid_from as recorded_at
    from raw.projects as projects
    left join told on projects.id = told.project
    qualify row_number() over (partition by projects.id order by projects._dlt_valid_from desc) = 1
)

select
    normal_name(name) as source_key,
    max_by(name, recorded_at) as name,
    max(recorded_at) as recorded_at
from named
group by all
