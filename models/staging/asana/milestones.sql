/*
row: One row per gate of an Asana workspace - a milestone, or an approval that stands below none.
*/
with below as (
    select
        approvals.id,
        milestones.id as gate,
        json_extract_string(approvals.assignee, '$.name') as approver,
        approvals.gone_at
    from raw.tasks as approvals
    inner join raw.tasks as milestones
        on
            json_extract_string(approvals.parent, '$.gid') = milestones.id
            and milestones.resource_subtype = 'milestone'
    where approvals.resource_subtype = 'approval'
),

approvers as (
    select
        gate,
        string_agg(distinct approver, ', ' order by approver) as approver
    from below
    where gone_at is null
    group by gate
),

-- a task may stand in several projects: the first that is known is its own
listed as (
    select
        id,
        unnest(from_json(projects, '[{"gid": "VARCHAR"}]')) as project,
        generate_subscripts(from_json(projects, '[{"gid": "VARCHAR"}]'), 1) as place
    from raw.tasks
),

homes as (
    select
        listed.id,
        min_by(listed.project.gid, (projects.id is null, listed.place)) as project
    from listed
    left join (select distinct id from raw.projects) as projects on listed.project.gid = projects.id
    group by listed.id
),

held as (
    select
        id,
        unnest(from_json(
            custom_fields,
            '[{"gid": "VARCHAR", "name": "VARCHAR", "display_value": "VARCHAR", "number_value": "VARCHAR",
            "date_value": {"date": "VARCHAR"}}]'
        )) as field
    from raw.tasks
),

told as (
    select
        held.id,
        roles.role,
        max(coalesce(held.field.number_value, held.field.date_value.date, held.field.display_value)) as value
    from held
    inner join reference.source_fields as roles
        on roles.source = $source and roles.field in (held.field.gid, held.field.name)
    group by all
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
)

select
    tasks.id as source_key,
    tasks.permalink_url as source_url,
    tasks.updated_at as recorded_at,
    tasks.gone_at as deleted_at,
    homes.project,
    tasks.name,
    terms.gate,
    terms.sequence,
    case tasks.resource_subtype when 'approval' then 'approval' else 'gate' end as kind,
    terms.owner_team,
    terms.next_team,
    lower(terms.approver_side) as approver_side,
    coalesce(
        terms.approver, approvers.approver,
        case when tasks.resource_subtype = 'approval' then json_extract_string(tasks.assignee, '$.name') end
    ) as approver,
    terms.amount as bills_amount,
    terms.amount_pct as bills_pct,
    terms.invoice,
    terms.locks_scope,
    terms.client_visible,
    terms.acceptance_criterion,
    'log' as history_quality
from raw.tasks as tasks
left join homes on tasks.id = homes.id
left join terms on tasks.id = terms.id
left join approvers on tasks.id = approvers.gate
where tasks.id not in (select below.id from below)
