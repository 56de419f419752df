/*
row: One row per phase and per milestone task of a Rocketlane account, latest version.
*/
with latest_tasks as (
    select *
    from raw.tasks
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
),

told as (
    select
        id,
        unnest(cast(coalesce(cast(fields as json), '[]') as json[])) as field
    from latest_tasks
),

terms as (
    select
        told.id,
        max(case when roles.role = 'amount' then json_extract_string(told.field, '$.fieldValue') end) as amount,
        max(case when roles.role = 'invoice' then json_extract_string(told.field, '$.fieldValue') end) as invoice,
        max(case when roles.role = 'number' then json_extract_string(told.field, '$.fieldValue') end) as number
    from told
    inner join reference.source_fields as roles
        on
            roles.source = $source
            and normal_name(json_extract_string(told.field, '$.fieldLabel')) = normal_name(roles.field)
    group by told.id
),

gates as (
    select
        'task-' || latest_tasks.id as key,
        1 as rank,
        latest_tasks.project,
        latest_tasks.task_name as name,
        latest_tasks.start_date,
        latest_tasks.due_date,
        latest_tasks.private,
        latest_tasks.updated_at,
        latest_tasks.gone_at,
        terms.amount,
        terms.invoice,
        terms.number
    from latest_tasks
    left join terms on latest_tasks.id = terms.id
    union all
    select
        'phase-' || id,
        2,
        project,
        phase_name,
        start_date,
        due_date,
        private,
        updated_at,
        gone_at,
        null,
        null,
        null
    from raw.phases
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    key as source_key,
    updated_at as recorded_at,
    gone_at as deleted_at,
    json_extract_string(project, '$.projectId') as project,
    name,
    number,
    -- as they are planned; the milestones of a phase come before its end
    row_number() over (
        partition by json_extract_string(project, '$.projectId'), gone_at is null
        order by due_date nulls last, rank, start_date, key
    ) as sequence,
    'gate' as kind,
    amount as bills_amount,
    invoice,
    coalesce(private, 'false') <> 'true' as client_visible,
    'timestamps' as history_quality
from gates
