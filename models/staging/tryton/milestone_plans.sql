/*
row: One row per planned end of a gate that was seen in a Tryton with project_plan.
*/
with recursive works as (
    select * from raw.works
    where _dlt_valid_to is null
),

tree as (
    select
        works.id,
        works.type,
        false as is_gate,
        works.party as client
    from works
    left join works as parents on works.parent = parents.id
    where parents.id is null
    union all
    select
        works.id,
        works.type,
        works.type = 'task' and tree.type = 'project',
        coalesce(works.party, tree.client)
    from works
    inner join tree on works.parent = tree.id
),

versions as (
    select
        told.*,
        works.web as shown_at,
        works.gone_at as went_at,
        lag(told.constraint_finish_time) over (
            partition by told.id order by told.updated_at, told._dlt_valid_from
        ) as planned_before,
        lag(told.updated_at) over (partition by told.id order by told.updated_at, told._dlt_valid_from) as before_at
    from raw.works as told
    inner join works on told.id = works.id
    inner join tree on told.id = tree.id
    where tree.is_gate and tree.client is not null
),

plans as (
    select
        versions.*,
        (
            select max(entries.updated_at) from raw.work_log as entries
            where
                entries.resource = 'project.work,' || versions.id
                and contains(entries.target, 'constraint_finish_')
                and entries.updated_at <= versions.updated_at
                and entries.updated_at > coalesce(versions.before_at, '')
        ) as written_at,
        exists(
            select 1 from raw.work_log as entries
            where entries.resource = 'project.work,' || versions.id and entries.updated_at = versions.updated_at
        ) as is_logged
    from versions
    where
        versions.constraint_finish_time is not null
        and versions.constraint_finish_time is distinct from versions.planned_before
)

select
    plans.id || ' ' || plans.updated_at as source_key,
    plans.shown_at as source_url,
    -- what the log tells, else when it was made, else when the version was written
    coalesce(
        plans.written_at, case when plans.before_at is null and plans.is_logged then plans.create_date end,
        plans.updated_at
    ) as recorded_at,
    plans.went_at as deleted_at,
    plans.id as milestone,
    -- a day stands as an instant at midnight
    case
        when plans.constraint_finish_time like '%T00:00:00.000000Z' then left(plans.constraint_finish_time, 10)
        else cast(
            local_day(
                cast(try_cast(plans.constraint_finish_time as timestamptz) as timestamp),
                coalesce(companies.timezone, sources.timezone, 'UTC')
            ) as varchar
        )
    end as due_on
from plans
left join raw.companies as companies on plans.company = companies.id and companies._dlt_valid_to is null
left join reference.sources as sources on sources.source = $source
