/*
row: One row per gate of a Jira site - an issue that the settings' JQL finds, or a version.
*/
with told as (
    select
        issues.id,
        roles.role,
        field_text(json_extract(issues.fields, '$.' || fields.id)) as value
    from raw.issues as issues
    inner join reference.source_fields as roles on roles.source = $source
    inner join raw.fields as fields
        on fields._dlt_valid_to is null and roles.field in (fields.id, fields.name)
),

terms as (
    select
        id,
        max(value) filter (where role = 'gate') as gate,
        max(value) filter (where role = 'sequence') as sequence,
        max(value) filter (where role = 'owner_team') as owner_team,
        max(value) filter (where role = 'next_team') as next_team,
        max(value) filter (where role = 'approver_side') as approver_side,
        max(value) filter (where role = 'approver') as approver,
        max(value) filter (where role = 'amount') as amount,
        max(value) filter (where role = 'amount_pct') as amount_pct,
        max(value) filter (where role = 'invoice') as invoice,
        max(value) filter (where role = 'locks_scope') as locks_scope,
        max(value) filter (where role = 'client_visible') as client_visible,
        max(value) filter (where role = 'acceptance_criterion') as acceptance_criterion
    from told
    group by id
),

projects as (
    select *
    from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

versions as (
    select
        *,
        -- the versions before the first that was seen are not known: one that was released by then has its date alone
        min_by(released, _dlt_valid_from) over (partition by id) as first_released
    from raw.versions
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    issues.id as source_key,
    regexp_extract(issues.self, '^https?://[^/]+') || '/browse/' || issues.key as source_url,
    issues.updated_at as recorded_at,
    -- the issues of an archived project cannot be searched, and are not deleted for that
    case when coalesce(projects.archived, '') <> 'true' then issues.gone_at end as deleted_at,
    json_extract_string(issues.fields, '$.project.id') as project,
    json_extract_string(issues.fields, '$.summary') as name,
    issues.key as number,
    terms.gate,
    terms.sequence,
    terms.owner_team,
    terms.next_team,
    lower(terms.approver_side) as approver_side,
    terms.approver,
    terms.amount as bills_amount,
    terms.amount_pct as bills_pct,
    terms.invoice,
    terms.locks_scope,
    terms.client_visible,
    terms.acceptance_criterion,
    'log' as history_quality
from raw.issues as issues
left join terms on issues.id = terms.id
left join projects on json_extract_string(issues.fields, '$.project.id') = projects.id
union all
select
    'version-' || versions.id,
    regexp_extract(versions.self, '^https?://[^/]+') || '/projects/' || projects.key || '/versions/' || versions.id,
    cast(versions._dlt_valid_from as varchar),
    case when coalesce(projects.archived, '') <> 'true' then cast(versions._dlt_valid_to as varchar) end,
    versions.project_id,
    versions.name,
    null,
    null,
    versions.place,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    null,
    case when versions.first_released = 'true' then 'timestamps' else 'snapshot' end
from versions
left join projects on versions.project_id = projects.id
