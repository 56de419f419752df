/*
row: One row per Jira project, latest version. What a contract says stands in fields of its issues, the newest first.
*/
with told as (
    select
        json_extract_string(issues.fields, '$.project.id') as project,
        roles.role,
        field_text(json_extract(issues.fields, '$.' || fields.id)) as value,
        issues.updated_at
    from raw.issues as issues
    inner join reference.source_fields as roles on roles.source = $source
    inner join raw.fields as fields
        on fields._dlt_valid_to is null and roles.field in (fields.id, fields.name)
    where issues.gone_at is null
),

contracts as (
    select
        project,
        max_by(value, updated_at) filter (where role = 'client') as client,
        max_by(value, updated_at) filter (where role = 'playbook') as playbook,
        max_by(value, updated_at) filter (where role = 'manager') as manager,
        max_by(value, updated_at) filter (where role = 'contract_amount') as contract_amount,
        max_by(value, updated_at) filter (where role = 'currency') as currency,
        max_by(value, updated_at) filter (where role = 'signed_on') as signed_on,
        max_by(value, updated_at) filter (where role = 'kickoff_on') as kickoff_on
    from told
    where value is not null
    group by project
),

latest as (
    select *
    from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    latest.id as source_key,
    regexp_extract(latest.self, '^https?://[^/]+') || '/browse/' || latest.key as source_url,
    latest._dlt_valid_from as recorded_at,
    latest._dlt_valid_to as deleted_at,
    -- without a field that says whose project it is, projects of one category are one client's
    normal_name(coalesce(contracts.client, json_extract_string(latest.project_category, '$.name'), latest.name))
        as client,
    latest.name,
    contracts.playbook,
    coalesce(contracts.manager, json_extract_string(latest.lead, '$.displayName')) as manager,
    contracts.contract_amount,
    coalesce(contracts.currency, sources.currency) as currency,
    contracts.signed_on as signed_at,
    contracts.kickoff_on as kickoff_at,
    latest.archived_date as closed_at,
    case when latest.archived = 'true' then 'completed' end as status
from latest
left join contracts on latest.id = contracts.project
left join reference.sources as sources on sources.source = $source
