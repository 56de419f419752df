/*
row: One row per project that has a client or holds gates or change orders, latest version.
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

fields as (
    select
        id,
        place,
        unnest(json_extract(step, '$.custom_fields[*]')) as field
    from steps
),

held as (
    select
        fields.id,
        fields.place,
        roles.role,
        nullif(trim(field_text(json_extract(fields.field, '$.value'))), '') as value
    from fields
    inner join reference.source_fields as roles
        on
            roles.source = $source
            and lower(trim(roles.field)) = lower(trim(json_extract_string(fields.field, '$.name')))
),

told as (
    select
        id,
        min_by(value, place) filter (where role = 'client' and value is not null) as client,
        max(value) filter (where role = 'playbook' and place = 0) as playbook,
        max(value) filter (where role = 'manager' and place = 0) as manager,
        max(value) filter (where role = 'contract_amount' and place = 0) as contract_amount,
        max(value) filter (where role = 'currency' and place = 0) as currency,
        max(value) filter (where role = 'signed_on' and place = 0) as signed_on,
        max(value) filter (where role = 'kickoff_on' and place = 0) as kickoff_on
    from held
    group by id
),

topmost as (
    select
        id,
        max_by(json_extract_string(step, '$.id'), place) as top_id
    from steps
    group by id
),

is_named as (
    select count(*) > 0 as yes
    from reference.source_fields
    where source = $source and role = 'client'
),

-- closing leaves no date in Redmine: it is when a pull first saw the project closed, since it was last seen open
opened as (
    select
        id,
        max(_dlt_valid_from) filter (where status <> '5') as last_open_from
    from raw.projects
    group by id
),

closed as (
    select
        versions.id,
        min(versions._dlt_valid_from) as closed_at
    from raw.projects as versions
    inner join opened on versions.id = opened.id
    where versions.status = '5' and versions._dlt_valid_from > coalesce(opened.last_open_from, '-infinity')
    group by versions.id
),

holding as (
    select json_extract_string(project, '$.id') as id from raw.issues
    union
    select json_extract_string(project, '$.id') from raw.versions
)

select
    projects.id as source_key,
    projects.url as source_url,
    projects.updated_on as recorded_at,
    -- one that may not be read any more, archived as it may be, is not deleted
    case when hidden.id is null then cast(projects._dlt_valid_to as varchar) end as deleted_at,
    case when is_named.yes then replace(normal_name(told.client), ' ', '-') else 'project-' || topmost.top_id
    end as client,
    projects.name,
    told.playbook,
    told.manager,
    told.contract_amount,
    coalesce(told.currency, sources.currency) as currency,
    told.signed_on as signed_at,
    told.kickoff_on as kickoff_at,
    case when projects.status = '5' then cast(closed.closed_at as varchar) end as closed_at,
    case projects.status when '1' then 'active' when '5' then 'completed' else projects.status end as status
from projects
cross join is_named
inner join reference.sources as sources on sources.source = $source
left join told on projects.id = told.id
left join topmost on projects.id = topmost.id
left join closed on projects.id = closed.id
left join holding on projects.id = holding.id
left join raw.hidden_projects as hidden on projects.id = hidden.id and hidden._dlt_valid_to is null
where holding.id is not null or told.client is not null or not is_named.yes
