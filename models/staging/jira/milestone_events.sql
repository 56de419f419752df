/*
row: One row per turn in the status of a Jira issue, from its log, or of a version, from the differences between pulls.
*/
with changes as (
    select
        issues.id as milestone,
        unnest(from_json(
            issues.changelog,
            '[{"id": "VARCHAR", "created": "VARCHAR", "author": {"displayName": "VARCHAR", "accountType": "VARCHAR"},
            "items": [{"fieldId": "VARCHAR", "from": "VARCHAR", "fromString": "VARCHAR", "to": "VARCHAR",
            "toString": "VARCHAR"}]}]'
        )) as change
    from raw.issues as issues
),

moves as (
    select
        milestone,
        change.id as key,
        try_cast(change.id as bigint) as place,
        instant_text(change.created) as occurred_at,
        change.author.displayname as actor,
        change.author.accounttype as account,
        unnest(list_filter(change.items, lambda item: item.fieldid = 'status')) as item
    from changes
),

first_moves as (
    select *
    from moves
    qualify row_number() over (partition by milestone order by try_cast(occurred_at as timestamptz), place) = 1
),

states as (
    select
        milestone,
        key,
        place,
        occurred_at,
        actor,
        account,
        item."to" as status_id,
        item.tostring as status
    from moves
    union all
    -- the first status is the one that the first move left; the present one where there was none
    select
        issues.id,
        issues.id || '-created',
        0,
        json_extract_string(issues.fields, '$.created'),
        json_extract_string(issues.fields, '$.creator.displayName'),
        json_extract_string(issues.fields, '$.creator.accountType'),
        case
            when first_moves.key is null then json_extract_string(issues.fields, '$.status.id')
            else first_moves.item."from"
        end,
        case
            when first_moves.key is null then json_extract_string(issues.fields, '$.status.name')
            else first_moves.item.fromstring
        end
    from raw.issues as issues
    left join first_moves on issues.id = first_moves.milestone
),

-- by the name that a status had then, else by the one it has now; what nobody mapped is passed on, to be told
meant as (
    select
        states.milestone,
        states.key,
        states.place,
        states.occurred_at,
        states.actor,
        states.account,
        'log' as origin,
        coalesce(by_name.meaning, by_id.meaning, states.status) as meaning
    from states
    left join raw.statuses as statuses on states.status_id = statuses.id and statuses._dlt_valid_to is null
    left join reference.source_statuses as by_name
        on by_name.source = $source and normal_name(states.status) = by_name.status
    left join reference.source_statuses as by_id
        on by_id.source = $source and normal_name(statuses.name) = by_id.status
),

-- a version that was released before it was first seen has only its date
seen as (
    select
        id,
        case when released = 'true' then 'released' when archived = 'true' then 'archived' else 'unreleased' end
            as status,
        cast(_dlt_valid_from as varchar) as seen_at,
        release_date,
        row_number() over (partition by id order by _dlt_valid_from) as place
    from raw.versions
),

meant_versions as (
    select
        'version-' || seen.id as milestone,
        'version-' || seen.id || '-' || seen.place as key,
        seen.place,
        case
            when seen.place = 1 and seen.status = 'released' then coalesce(seen.release_date, seen.seen_at)
            else seen.seen_at
        end as occurred_at,
        cast(null as varchar) as actor,
        cast(null as varchar) as account,
        case
            when seen.place = 1 and seen.status = 'released' and seen.release_date is not null then 'source_timestamp'
            else 'snapshot_diff'
        end as origin,
        coalesce(
            statuses.meaning,
            case seen.status when 'released' then 'approved' when 'archived' then 'cancelled' else 'planned' end
        ) as meaning
    from seen
    left join reference.source_statuses as statuses on statuses.source = $source and seen.status = statuses.status
),

everything as (
    select *
    from meant
    union all by name
    select *
    from meant_versions
),

turned as (
    select
        *,
        unnest(turns(lag(meaning) over (
            partition by milestone order by try_cast(occurred_at as timestamptz), place
        ), meaning)) as type
    from everything
    where meaning <> 'ignored'
)

select
    key || '-' || type as source_key,
    occurred_at as recorded_at,
    milestone,
    type,
    occurred_at,
    actor,
    case account when 'customer' then 'client' when 'app' then 'system' end as actor_side,
    origin
from turned
