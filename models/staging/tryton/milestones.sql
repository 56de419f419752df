/*
row: One row per task of a Tryton that stands right below a client's project; what stands below a task is work on it.
*/
with recursive works as (
    select
        *,
        -- what it is worth itself: Tryton adds up what lies below it
        coalesce(try_cast(revenue as decimal(18, 2)), 0) - coalesce(
            list_sum(list_transform(
                from_json(children_revenue, '["VARCHAR"]'), lambda one: cast(one as decimal(18, 2))
            )), 0
        ) as worth
    from raw.works
    where _dlt_valid_to is null
),

tree as (
    select
        works.id,
        works.type,
        cast(null as varchar) as gate,
        works.party as client
    from works
    left join works as parents on works.parent = parents.id
    where parents.id is null
    union all
    select
        works.id,
        works.type,
        case
            when works.type = 'project' then null
            when tree.type = 'project' then works.id
            else tree.gate
        end,
        coalesce(works.party, tree.client)
    from works
    inner join tree on works.parent = tree.id
),

worths as (
    select
        tree.gate,
        nullif(sum(works.worth), 0) as amount
    from tree
    inner join works on tree.id = works.id
    where tree.gate is not null and works.gone_at is null
    group by tree.gate
),

-- writes of a status; of several in one transaction the last
writes as (
    select
        replace(resource, 'project.work,', '') as work,
        updated_at as at,
        lead(updated_at) over (partition by resource order by updated_at, cast(id as bigint)) as next_at
    from raw.work_log
    where resource like 'project.work,%' and list_contains(string_split(target, ','), 'status')
    qualify next_at is distinct from updated_at
),

versions as (
    select
        id,
        status,
        create_date,
        updated_at as at,
        lag(status) over (partition by id order by updated_at, _dlt_valid_from) as status_before,
        lag(updated_at) over (partition by id order by updated_at, _dlt_valid_from) as before_at
    from raw.works
    where type = 'task'
),

-- what the log does not tell of a gate: a change that it has not, or a write that nobody saw before the next one
unlogged as (
    select versions.id
    from versions
    where
        not exists (
            select 1 from writes
            where
                writes.work = versions.id
                and writes.at <= versions.at
                and writes.at > coalesce(versions.before_at, '')
        )
        and case
            when versions.before_at is not null then versions.status <> versions.status_before
            else versions.at <> versions.create_date and not exists (
                select 1 from raw.work_log as entries
                where entries.resource = 'project.work,' || versions.id and entries.updated_at = versions.at
            )
        end
),

unseen as (
    select writes.work
    from writes
    where not exists (
        select 1 from versions
        where
            versions.id = writes.work
            and versions.at >= writes.at
            and (writes.next_at is null or versions.at < writes.next_at)
    )
)

select
    works.id as source_key,
    works.web as source_url,
    works.updated_at as recorded_at,
    works.gone_at as deleted_at,
    works.parent as project,
    works.name,
    -- a bare number would be taken for that of any phase, page or year that a bill names
    case when not regexp_matches(works.number, '^[0-9]*$') then works.number end as number,
    row_number() over (
        partition by works.parent order by try_cast(works.sequence as integer) nulls last, cast(works.id as integer)
    ) as sequence,
    worths.amount as bills_amount,
    case
        when works.id in (select id from unlogged) then 'snapshot'
        when works.id in (select work from unseen) then 'timestamps'
        else 'log'
    end as history_quality
from works
inner join tree on works.id = tree.gate
left join worths on works.id = worths.gate
where tree.id = tree.gate and tree.client is not null
