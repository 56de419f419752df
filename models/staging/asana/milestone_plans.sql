/*
row: One row per due date an Asana gate has had, from its stories.
*/
with told as (
    select
        id,
        unnest(from_json(
            stories,
            '[{"gid": "VARCHAR", "created_at": "VARCHAR", "resource_subtype": "VARCHAR",
            "old_dates": {"due_on": "VARCHAR", "due_at": "VARCHAR"},
            "new_dates": {"due_on": "VARCHAR", "due_at": "VARCHAR"}}]'
        )) as story
    from raw.tasks
),

sources as (
    select coalesce(timezone, 'UTC') as timezone
    from reference.sources
    where source = $source
),

-- an hour that something is due at stands on the calendar of the firm
moves as (
    select
        told.id,
        told.story.gid as key,
        try_cast(told.story.gid as hugeint) as place,
        told.story.created_at as recorded_at,
        coalesce(told.story.old_dates.due_on, cast(local_day(
            cast(try_cast(told.story.old_dates.due_at as timestamptz) as timestamp), sources.timezone
        ) as varchar)) as due_before,
        coalesce(told.story.new_dates.due_on, cast(local_day(
            cast(try_cast(told.story.new_dates.due_at as timestamptz) as timestamp), sources.timezone
        ) as varchar)) as due_on
    from told
    cross join sources
    where told.story.resource_subtype = 'due_date_changed'
),

first_moves as (
    select *
    from moves
    qualify row_number() over (partition by id order by try_cast(recorded_at as timestamptz), place) = 1
),

plans as (
    select
        id,
        key,
        recorded_at,
        due_on
    from moves
    union all
    -- the first date is the one that the first change left; the present one where there was none
    select
        tasks.id,
        tasks.id || '-created',
        tasks.created_at,
        case when first_moves.key is null then tasks.due_on else first_moves.due_before end
    from raw.tasks as tasks
    left join first_moves on tasks.id = first_moves.id
),

below as (
    select approvals.id
    from raw.tasks as approvals
    inner join raw.tasks as milestones
        on
            json_extract_string(approvals.parent, '$.gid') = milestones.id
            and milestones.resource_subtype = 'milestone'
    where approvals.resource_subtype = 'approval'
)

select
    key as source_key,
    recorded_at,
    id as milestone,
    due_on
from plans
where due_on is not null and id not in (select below.id from below)
