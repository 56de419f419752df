/*
row: One row per project of a Tryton that is done for a client; those without a party, in and above, are the firm's own.
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
        case when works.type = 'project' then works.id end as project,
        works.party as client
    from works
    left join works as parents on works.parent = parents.id
    where parents.id is null
    union all
    select
        works.id,
        case when works.type = 'project' then works.id else tree.project end,
        coalesce(works.party, tree.client)
    from works
    inner join tree on works.parent = tree.id
),

worths as (
    select
        tree.project,
        nullif(sum(works.worth), 0) as amount
    from tree
    inner join works on tree.id = works.id
    where works.gone_at is null
    group by tree.project
),

-- when the status was last written by the log, else the first pull that saw it as it is
turned as (
    select
        replace(resource, 'project.work,', '') as work,
        max(updated_at) as at
    from raw.work_log
    where resource like 'project.work,%' and list_contains(string_split(target, ','), 'status')
    group by resource
),

seen as (
    select
        told.id,
        min(told.updated_at) as at
    from raw.works as told
    inner join works on told.id = works.id and told.status = works.status
    group by told.id
),

stated as (
    select
        works.*,
        tree.client,
        worths.amount,
        coalesce(turned.at, seen.at) as turned_at,
        case coalesce(
            meanings.meaning, case when try_cast(statuses.progress as double) >= 1 then 'approved' else 'started' end
        )
            when 'approved' then 'completed'
            when 'waived' then 'completed'
            when 'cancelled' then 'cancelled'
            when 'rejected' then 'cancelled'
            when 'planned' then 'planned'
            else 'active'
        end as state
    from works
    inner join tree on works.id = tree.id
    left join worths on works.id = worths.project
    left join turned on works.id = turned.work
    left join seen on works.id = seen.id
    left join raw.statuses as statuses on works.status = statuses.id and statuses._dlt_valid_to is null
    left join reference.source_statuses as meanings
        on meanings.source = $source and meanings.status = normal_name(statuses.name)
    where works.type = 'project' and tree.client is not null
)

select
    stated.id as source_key,
    stated.web as source_url,
    stated.updated_at as recorded_at,
    stated.gone_at as deleted_at,
    stated.client,
    stated.name,
    companies.timezone,
    stated.amount as contract_amount,
    companies.currency_code as currency,
    -- a day stands as an instant at midnight
    case
        when stated.actual_start_time like '%T00:00:00.000000Z' then left(stated.actual_start_time, 10)
        else stated.actual_start_time
    end as kickoff_at,
    case when stated.state in ('completed', 'cancelled') then stated.turned_at end as closed_at,
    stated.state as status
from stated
left join raw.companies as companies on stated.company = companies.id and companies._dlt_valid_to is null
