/*
row: One row per turn of a phase or milestone task - from its actual dates, and from the versions that pulls saw.
*/
with firm as (
    select coalesce(max(timezone), 'UTC') as zone
    from reference.sources
    where source = $source
),

versions as (
    select
        'task-' || id as milestone,
        status,
        archived,
        start_date_actual,
        due_date_actual,
        updated_at,
        _dlt_valid_from
    from raw.tasks
    union all
    select
        'phase-' || id,
        status,
        null,
        start_date_actual,
        due_date_actual,
        updated_at,
        _dlt_valid_from
    from raw.phases
),

labelled as (
    select
        *,
        normal_name(json_extract_string(status, '$.label')) as label,
        row_number() over (partition by milestone order by _dlt_valid_from) as place
    from versions
),

-- what nobody mapped is passed on, to be told
meant as (
    select
        labelled.*,
        coalesce(
            statuses.meaning,
            case
                when labelled.label = 'to do' then 'planned'
                when labelled.label in ('in progress', 'stuck', 'blocked') then 'started'
                when labelled.label = 'completed' then 'approved'
                when labelled.label in ('cancelled', 'canceled') then 'cancelled'
                when labelled.label = 'on hold' then 'ignored'
                else json_extract_string(labelled.status, '$.label')
            end
        ) as said
    from labelled
    left join reference.source_statuses as statuses
        on statuses.source = $source and labelled.label = statuses.status
),

-- put away before it was passed, it will not be
states as (
    select
        *,
        case when archived = 'true' and said not in ('approved', 'waived') then 'cancelled' else said end as meaning
    from meant
    where said <> 'ignored' or archived = 'true'
),

turned as (
    select
        milestone,
        place,
        updated_at,
        due_date_actual,
        unnest(turns(
            coalesce(lag(meaning) over (partition by milestone order by place), 'planned'), meaning
        )) as type
    from states
),

-- the first start, whether it was seen or not; one that came back to work starts again by its turn
starts as (
    select
        milestone,
        min(place) as place,
        min_by(updated_at, place) as updated_at,
        min_by(start_date_actual, place) as started_on
    from meant
    where start_date_actual is not null or said = 'started'
    group by milestone
),

happened as (
    select
        turned.milestone,
        turned.place,
        turned.type,
        turned.updated_at,
        case when turned.type = 'approved' then turned.due_date_actual end as happened_on
    from turned
    left join starts on turned.milestone = starts.milestone
    where turned.type <> 'started' or turned.place > starts.place
    union all
    select
        milestone,
        place,
        'started',
        updated_at,
        started_on
    from starts
),

-- a date that the tool keeps counts; the instant of the version is of more use where it is of that day
dated as (
    select
        happened.*,
        happened.happened_on is null
        or cast(local_day(try_cast(happened.updated_at as timestamp), firm.zone) as varchar) = happened.happened_on
            as is_instant
    from happened
    cross join firm
)

select
    milestone || '-' || place || '-' || type as source_key,
    updated_at as recorded_at,
    milestone,
    type,
    case when is_instant then updated_at else happened_on end as occurred_at,
    case when is_instant then 'snapshot_diff' else 'source_timestamp' end as origin
from dated
