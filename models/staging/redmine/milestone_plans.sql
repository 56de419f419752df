/*
row: One row per due date that a gate ever had, from an issue's journals and from what the pulls saw.
*/
with issues as (
    select
        *,
        row_number() over known as version,
        lag(due_date) over known as due_before
    from raw.issues
    where plays = 'milestone'
    window known as (partition by id order by _dlt_valid_from)
),

entries as (
    select
        id,
        version,
        unnest(json_extract(journals, '$[*]')) as journal
    from issues
),

details as (
    select
        entries.id,
        entries.version,
        cast(json_extract_string(entries.journal, '$.id') as bigint) as turn,
        json_extract_string(entries.journal, '$.created_on') as noted_at,
        json_extract_string(entries.journal, '$.notes') as notes,
        unnest(json_extract(entries.journal, '$.details[*]')) as detail
    from entries
),

moves as (
    select
        id,
        version,
        turn,
        noted_at,
        notes,
        coalesce(json_extract_string(detail, '$.old_value'), '') as due_before,
        coalesce(json_extract_string(detail, '$.new_value'), '') as due_on
    from details
    where json_extract_string(detail, '$.property') = 'attr' and json_extract_string(detail, '$.name') = 'due_date'
),

-- each version's own journals: the due date they begin and end with
journaled as (
    select
        id,
        version,
        min_by(due_before, turn) as first_due_on,
        max_by(due_on, turn) as last_due_on
    from moves
    group by id, version
),

firsts as (
    select
        issues.id,
        issues.url,
        issues.created_on as recorded_at,
        coalesce(journaled.first_due_on, issues.due_date) as due_on
    from issues
    left join journaled on issues.id = journaled.id and issues.version = journaled.version
    where issues.version = 1
),

now as (
    select * from issues
    where _dlt_valid_to is null
),

-- a date that Redmine reckons from subtasks moves without a journal: the pulls see it
unjournaled as (
    select
        issues.id,
        issues.url,
        issues.version,
        issues.updated_at as recorded_at,
        issues.due_date as due_on
    from issues
    left join journaled on issues.id = journaled.id and issues.version = journaled.version
    where
        issues.due_date <> coalesce(journaled.last_due_on, issues.due_before, issues.due_date)
        and issues.due_date is distinct from issues.due_before
),

seen as (
    select
        id,
        url,
        due_date,
        row_number() over known as version,
        lag(due_date) over known as due_before,
        case
            when updated_on > coalesce(lag(updated_on) over known, '') then updated_on
            else strftime(timezone('UTC', _dlt_valid_from), '%Y-%m-%dT%H:%M:%SZ')
        end as recorded_at
    from raw.versions
    window known as (partition by id order by _dlt_valid_from)
),

plans as (
    select
        id || '-0' as source_key,
        url,
        recorded_at,
        id as milestone,
        due_on,
        null as reason
    from firsts
    union all
    select
        moves.id || '-' || moves.turn as source_key,
        now.url || '#change-' || moves.turn as url,
        -- Redmine tells seconds: moves of one second keep their order by a microsecond each
        regexp_replace(moves.noted_at, 'Z$', '.' || lpad(cast(
            row_number() over (partition by moves.id, moves.noted_at order by moves.turn) as varchar
        ), 6, '0') || 'Z') as recorded_at,
        moves.id as milestone,
        moves.due_on,
        nullif(moves.notes, '') as reason
    from moves
    inner join now on moves.id = now.id and moves.version = now.version
    union all
    select
        id || '-seen-' || version as source_key,
        url,
        recorded_at,
        id as milestone,
        due_on,
        null as reason
    from unjournaled
    union all
    select
        'v' || id || '-' || version as source_key,
        url,
        recorded_at,
        'v' || id as milestone,
        due_date as due_on,
        null as reason
    from seen
    where version = 1 or due_date is distinct from due_before
)

select
    source_key,
    url as source_url,
    recorded_at,
    milestone,
    due_on,
    reason
from plans
where due_on <> ''
