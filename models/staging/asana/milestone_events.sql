/*
row: One row per turn of an Asana gate, from stories - votes of its approvals, its own completion, moves to a section.
*/
with told as (
    select
        id,
        unnest(from_json(
            stories,
            '[{"gid": "VARCHAR", "created_at": "VARCHAR", "created_by": {"name": "VARCHAR"},
            "resource_subtype": "VARCHAR", "new_approval_status": "VARCHAR", "new_section": {"name": "VARCHAR"}}]'
        )) as story
    from raw.tasks
),

stories as (
    select
        id,
        story.gid as key,
        try_cast(story.gid as hugeint) as place,
        story.created_at as occurred_at,
        story.created_by.name as actor,
        story.resource_subtype as type,
        story.new_approval_status as vote,
        story.new_section.name as section
    from told
),

-- an approval below a milestone decides that milestone; another decides itself
approvals as (
    select
        approvals.id,
        coalesce(milestones.id, approvals.id) as milestone,
        approvals.created_at,
        approvals.completed_at,
        approvals.approval_status
    from raw.tasks as approvals
    left join raw.tasks as milestones
        on
            json_extract_string(approvals.parent, '$.gid') = milestones.id
            and milestones.resource_subtype = 'milestone'
    where approvals.resource_subtype = 'approval' and (milestones.id is null or approvals.gone_at is null)
),

last_votes as (
    select
        id,
        max_by(vote, (try_cast(occurred_at as timestamptz), place)) as vote
    from stories
    where vote is not null
    group by id
),

votes as (
    select
        approvals.milestone,
        approvals.id as approval,
        stories.key,
        stories.place,
        stories.occurred_at,
        stories.actor,
        stories.vote,
        'log' as origin
    from approvals
    inner join stories on approvals.id = stories.id
    where stories.vote is not null
    union all
    select
        milestone,
        id,
        id || '-created',
        0,
        created_at,
        null,
        'pending',
        'log'
    from approvals
    union all
    -- what no story tells of, such as the vote of an approval that was imported, has the date of its completion
    select
        approvals.milestone,
        approvals.id,
        approvals.id || '-completed',
        null,
        approvals.completed_at,
        null,
        approvals.approval_status,
        'source_timestamp'
    from approvals
    left join last_votes on approvals.id = last_votes.id
    where
        approvals.completed_at is not null
        and approvals.approval_status is distinct from coalesce(last_votes.vote, 'pending')
),

counted as (
    select
        votes.*,
        lag(votes.vote) over of_approval as last_vote,
        row_number() over of_approval = 1 as is_creation,
        row_number() over of_milestone = 1 as is_first
    from votes
    window
        of_approval as (
            partition by votes.approval order by try_cast(votes.occurred_at as timestamptz), votes.place
        ),
        of_milestone as (
            partition by votes.milestone order by try_cast(votes.occurred_at as timestamptz), votes.place
        )
),

-- how many approvals a milestone had by then, and how many of them stood at approved
tallied as (
    select
        counted.*,
        sum(case when counted.is_creation then 1 else 0 end) over running as approvals,
        sum(
            case
                when counted.vote = 'approved' and counted.last_vote is distinct from 'approved' then 1
                when counted.vote <> 'approved' and counted.last_vote = 'approved' then -1
                else 0
            end
        ) over running as approved
    from counted
    window running as (
        partition by counted.milestone
        order by try_cast(counted.occurred_at as timestamptz), counted.place
        rows between unbounded preceding and current row
    )
),

decided as (
    select
        tallied.milestone,
        tallied.key,
        tallied.place,
        tallied.occurred_at,
        tallied.actor,
        tallied.origin,
        -- an approval that is asked for again after a refusal was handed in anew
        coalesce(statuses.meaning, case
            when tallied.vote = 'pending' and tallied.last_vote in ('changes_requested', 'rejected') then 'submitted'
            when tallied.vote = 'pending' then 'planned'
            else tallied.vote
        end) as meaning
    from tallied
    left join reference.source_statuses as statuses
        on statuses.source = $source and normal_name(tallied.vote) = statuses.status
    where
        (not tallied.is_creation or tallied.is_first)
        and (tallied.vote <> 'approved' or tallied.approved = tallied.approvals)
),

-- a milestone without approvals has nothing but its tick
milestones as (
    select *
    from raw.tasks
    where resource_subtype = 'milestone' and id not in (select approvals.milestone from approvals)
),

ticks as (
    select
        milestones.id as milestone,
        stories.key,
        stories.place,
        stories.occurred_at,
        stories.actor,
        'log' as origin,
        case stories.type when 'marked_complete' then 'completed' else 'incomplete' end as status
    from milestones
    inner join stories on milestones.id = stories.id
    where stories.type in ('marked_complete', 'marked_incomplete')
    union all
    select
        id,
        id || '-created',
        0,
        created_at,
        null,
        'log',
        'incomplete'
    from milestones
    union all
    select
        id,
        id || '-completed',
        null,
        completed_at,
        null,
        'source_timestamp',
        'completed'
    from milestones
    where
        completed_at is not null
        and id not in (select stories.id from stories where stories.type = 'marked_complete')
),

ticked as (
    select
        ticks.milestone,
        ticks.key,
        ticks.place,
        ticks.occurred_at,
        ticks.actor,
        ticks.origin,
        coalesce(statuses.meaning, case ticks.status when 'completed' then 'approved' else 'planned' end) as meaning
    from ticks
    left join reference.source_statuses as statuses
        on statuses.source = $source and ticks.status = statuses.status
),

-- sections are phases as often as states: only those count that the settings give a meaning
moved as (
    select
        stories.id as milestone,
        stories.key,
        stories.place,
        stories.occurred_at,
        stories.actor,
        'log' as origin,
        statuses.meaning
    from stories
    inner join raw.tasks as tasks on stories.id = tasks.id
    inner join reference.source_statuses as statuses
        on statuses.source = $source and normal_name(stories.section) = statuses.status
    where stories.type = 'section_changed' and (tasks.resource_subtype = 'milestone' or stories.id in (
        select approvals.milestone from approvals
    ))
),

everything as (
    select * from decided
    union all by name
    select * from ticked
    union all by name
    select * from moved
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
    origin
from turned
