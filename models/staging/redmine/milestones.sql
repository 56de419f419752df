/*
row: One row per gate of a Redmine, an issue of the milestone tracker or a version, as it is now.
*/
with gates as (
    select
        id,
        url,
        updated_at as recorded_at,
        gone_at as deleted_at,
        json_extract_string(project, '$.id') as project_id,
        subject as name,
        '-' || id as behind_identifier,
        custom_fields,
        'log' as history_quality
    from raw.issues
    where plays = 'milestone' and _dlt_valid_to is null
    union all
    select
        'v' || id as id,
        url,
        updated_on as recorded_at,
        cast(_dlt_valid_to as varchar) as deleted_at,
        json_extract_string(project, '$.id') as project_id,
        name,
        null as behind_identifier,
        custom_fields,
        'snapshot' as history_quality
    from raw.versions as versions
    qualify row_number() over (partition by versions.id order by _dlt_valid_from desc) = 1
),

fields as (
    select
        id,
        unnest(json_extract(custom_fields, '$[*]')) as field
    from gates
),

held as (
    select
        fields.id,
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
        max(value) filter (where role = 'number') as number,
        max(value) filter (where role = 'gate') as gate,
        max(value) filter (where role = 'sequence') as sequence,
        max(value) filter (where role = 'owner_team') as owner_team,
        max(value) filter (where role = 'next_team') as next_team,
        max(lower(value)) filter (where role = 'approver_side') as approver_side,
        -- where the client has a field to approve in, it is the client who decides
        max('client') filter (where role = 'client_approval') as approving_side,
        max(value) filter (where role = 'approver') as approver,
        max(value) filter (where role = 'amount') as amount,
        max(value) filter (where role = 'amount_pct') as amount_pct,
        max(value) filter (where role = 'invoice') as invoice,
        max(value) filter (where role = 'locks_scope') as locks_scope,
        max(value) filter (where role = 'client_visible') as client_visible,
        max(value) filter (where role = 'acceptance_criterion') as acceptance_criterion
    from held
    group by id
),

identifiers as (
    select
        id,
        max_by(identifier, _dlt_valid_from) as identifier
    from raw.projects
    group by id
)

select
    gates.id as source_key,
    gates.url as source_url,
    gates.recorded_at,
    case when hidden.id is null then gates.deleted_at end as deleted_at,
    gates.project_id as project,
    gates.name,
    coalesce(told.number, identifiers.identifier || gates.behind_identifier) as number,
    told.gate,
    told.sequence,
    told.owner_team,
    told.next_team,
    coalesce(told.approver_side, told.approving_side) as approver_side,
    told.approver,
    told.amount as bills_amount,
    told.amount_pct as bills_pct,
    told.invoice,
    told.locks_scope,
    told.client_visible,
    told.acceptance_criterion,
    gates.history_quality
from gates
left join told on gates.id = told.id
left join identifiers on gates.project_id = identifiers.id
left join raw.hidden_projects as hidden on gates.project_id = hidden.id and hidden._dlt_valid_to is null
