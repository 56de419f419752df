/*
row: One row per client named by a custom field of an Asana project, else by its team, else by itself.
*/
with latest as (
    select *
    from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

held as (
    select
        id,
        unnest(from_json(custom_fields, '[{"gid": "VARCHAR", "name": "VARCHAR", "display_value": "VARCHAR"}]'))
            as field
    from latest
),

told as (
    select
        held.id,
        max(held.field.display_value) as client
    from held
    inner join reference.source_fields as roles
        on
            roles.source = $source
            and roles.role = 'client'
            and roles.field in (held.field.gid, held.field.name)
    group by held.id
),

named as (
    select
        coalesce(told.client, json_extract_string(latest.team, '$.name'), latest.name) as name,
        latest._dlt_valid_from as recorded_at
    from latest
    left join told on latest.id = told.id
)

select
    normal_name(name) as source_key,
    max_by(name, recorded_at) as name,
    max(recorded_at) as recorded_at
from named
group by all
