/*
row: One row per client that a project's custom field names; where no field is named for it, per topmost project.
*/
with projects as (
    select * from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

-- a project and those above it, the nearest first
steps as (
    select
        id,
        unnest(range(cast(json_array_length(line) as bigint))) as place,
        unnest(json_extract(line, '$[*]')) as step
    from projects
),

held as (
    select
        id,
        place,
        unnest(json_extract(step, '$.custom_fields[*]')) as field
    from steps
),

named as (
    select
        held.id,
        min_by(trim(field_text(json_extract(held.field, '$.value'))), held.place) as name
    from held
    inner join reference.source_fields as roles
        on
            roles.source = $source and roles.role = 'client'
            and lower(trim(roles.field)) = lower(trim(json_extract_string(held.field, '$.name')))
    where trim(field_text(json_extract(held.field, '$.value'))) <> ''
    group by held.id
),

topmost as (
    select
        id,
        max_by(json_extract_string(step, '$.id'), place) as top_id,
        max_by(json_extract_string(step, '$.name'), place) as name
    from steps
    group by id
),

is_named as (
    select count(*) > 0 as yes
    from reference.source_fields
    where source = $source and role = 'client'
),

found as (
    select
        case when is_named.yes then named.name else topmost.name end as name,
        case when is_named.yes then replace(normal_name(named.name), ' ', '-') else 'project-' || topmost.top_id
        end as client,
        projects.updated_on,
        case when hidden.id is null then projects._dlt_valid_to end as gone_at
    from projects
    cross join is_named
    left join named on projects.id = named.id
    left join topmost on projects.id = topmost.id
    left join raw.hidden_projects as hidden on projects.id = hidden.id and hidden._dlt_valid_to is null
)

select
    client as source_key,
    max_by(name, updated_on) as name,
    max(updated_on) as recorded_at,
    case when count(*) = count(gone_at) then cast(max(gone_at) as varchar) end as deleted_at
from found
where client is not null
group by client
