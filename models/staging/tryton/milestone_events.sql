/*
row: One row per event of a gate in a Tryton, by the statuses it went through.
*/
-- The log says when a status was written and by whom, a kept version what was in it. A write that nobody saw before the
-- next one has no event; a change that the log has not is dated by when its version was written.
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

gates as (
    select works.*
    from works
    inner join tree on works.id = tree.id
    where tree.is_gate and tree.client is not null
),

-- of several writes in one transaction the last
writes as (
    select
        replace(resource, 'project.work,', '') as work,
        updated_at as at,
        user_rec_name as actor,
        lead(updated_at) over (partition by resource order by updated_at, cast(id as bigint)) as next_at
    from raw.work_log
    where resource like 'project.work,%' and list_contains(string_split(target, ','), 'status')
    qualify next_at is distinct from updated_at
),

versions as (
    select
        told.id,
        told.status,
        told.create_date,
        told.updated_at as at,
        lag(told.status) over (partition by told.id order by told.updated_at, told._dlt_valid_from) as status_before,
        lag(told.updated_at) over (partition by told.id order by told.updated_at, told._dlt_valid_from) as before_at
    from raw.works as told
    inner join gates on told.id = gates.id
),

logged as (
    select
        writes.work,
        writes.at,
        arg_min(versions.status, versions.at) as status,
        any_value(writes.actor) as actor,
        'log' as origin
    from writes
    inner join versions
        on
            writes.work = versions.id
            and writes.at <= versions.at
            and (writes.next_at is null or writes.next_at > versions.at)
    group by writes.work, writes.at
),

unwritten as (
    select
        versions.*,
        versions.at = versions.create_date or exists (
            select 1 from raw.work_log as entries
            where entries.resource = 'project.work,' || versions.id and entries.updated_at = versions.at
        ) as is_known_since_creation
    from versions
    where not exists (
        select 1 from writes
        where writes.work = versions.id and writes.at <= versions.at and writes.at > coalesce(versions.before_at, '')
    )
),

turns_of_status as (
    select * from logged
    union all
    select
        id,
        case when is_known_since_creation then create_date else at end,
        status,
        null,
        case when is_known_since_creation then 'source_timestamp' else 'snapshot_diff' end
    from unwritten
    where before_at is null
    union all
    select
        id,
        at,
        status,
        null,
        'snapshot_diff'
    from unwritten
    where before_at is not null and status <> status_before
),

-- a status that counts as nothing leaves the gate where it was
meant as (
    select
        turned.*,
        coalesce(meanings.meaning, statuses.name, 'status ' || turned.status) as meaning
    from turns_of_status as turned
    left join raw.statuses as statuses on turned.status = statuses.id and statuses._dlt_valid_to is null
    left join reference.source_statuses as meanings
        on meanings.source = $source and meanings.status = normal_name(statuses.name)
    where coalesce(meanings.meaning, '') <> 'ignored'
),

turned as (
    select
        work,
        at,
        actor,
        origin,
        unnest(turns(lag(meaning) over (partition by work order by at), meaning)) as type
    from meant
)

select
    turned.work || ' ' || turned.at || ' ' || turned.type as source_key,
    gates.web as source_url,
    turned.at as recorded_at,
    gates.gone_at as deleted_at,
    turned.work as milestone,
    turned.type,
    turned.at as occurred_at,
    turned.actor,
    turned.origin
from turned
inner join gates on turned.work = gates.id
union all
-- with project_plan a task has an actual start; a day stands as an instant at midnight
select
    gates.id || ' actual start',
    gates.web,
    gates.updated_at,
    gates.gone_at,
    gates.id,
    'started',
    case
        when gates.actual_start_time like '%T00:00:00.000000Z' then left(gates.actual_start_time, 10)
        else gates.actual_start_time
    end,
    null,
    'source_timestamp'
from gates
where gates.actual_start_time is not null
