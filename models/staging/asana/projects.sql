/*
row: One row per Asana project, latest version.
*/
with latest as (
    select *
    from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

held as (
    select
        id,
        unnest(from_json(
            custom_fields,
            '[{"gid": "VARCHAR", "name": "VARCHAR", "display_value": "VARCHAR", "number_value": "VARCHAR",
            "date_value": {"date": "VARCHAR"}}]'
        )) as field
    from latest
),

terms as (
    select
        held.id,
        max(coalesce(held.field.number_value, held.field.date_value.date, held.field.display_value)) as value,
        roles.role
    from held
    inner join reference.source_fields as roles
        on roles.source = $source and roles.field in (held.field.gid, held.field.name)
    group by all
),

contracts as (
    select
        id,
        max(value) filter (where role = 'client') as client,
        max(value) filter (where role = 'playbook') as playbook,
        max(value) filter (where role = 'manager') as manager,
        max(value) filter (where role = 'contract_amount') as contract_amount,
        max(value) filter (where role = 'currency') as currency,
        max(value) filter (where role = 'signed_on') as signed_on,
        max(value) filter (where role = 'kickoff_on') as kickoff_on
    from terms
    group by id
)

select
    latest.id as source_key,
    latest.permalink_url as source_url,
    latest._dlt_valid_from as recorded_at,
    latest._dlt_valid_to as deleted_at,
    -- without a field that says whose project it is, the projects of one team are one client's
    normal_name(coalesce(contracts.client, json_extract_string(latest.team, '$.name'), latest.name)) as client,
    latest.name,
    contracts.playbook,
    coalesce(contracts.manager, json_extract_string(latest.owner, '$.name')) as manager,
    contracts.contract_amount,
    coalesce(contracts.currency, sources.currency) as currency,
    contracts.signed_on as signed_at,
    coalesce(contracts.kickoff_on, latest.start_on) as kickoff_at,
    latest.completed_at as closed_at,
    case
        when latest.completed = 'true' then 'completed'
        when json_extract_string(latest.current_status_update, '$.status_type') = 'dropped' then 'cancelled'
        when json_extract_string(latest.current_status_update, '$.status_type') = 'complete' then 'completed'
        when latest.archived = 'true' then 'completed'
        when json_extract_string(latest.current_status_update, '$.status_type') = 'on_hold' then 'on_hold'
    end as status
from latest
left join contracts on latest.id = contracts.id
left join reference.sources as sources on sources.source = $source
