/*
row: One row per phase begun, left for a later one, or gone back to, as seen between two reports.
*/
with reports as (
    select
        pid,
        current_phase as phase,
        day_text(split_part(date_reported_as_of, ' ', 1), '%m/%d/%Y') as reported_on,
        case current_phase
            when 'Scoping/Planning' then 1
            when 'Design' then 2
            when 'Construction Procurement' then 3
            when 'Construction' then 4
            when 'IT' then 4
            when 'Close-Out' then 5
        end as place,
        _file || ', row ' || _row as source_url
    from raw.reports
    -- a report without a phase (105 of them) says nothing of where the project stands
    where current_phase is not null
),

starts as (
    select
        pid,
        max_by(day_text(design_start, '%m/%d/%Y'), day_text(split_part(date_reported_as_of, ' ', 1), '%m/%d/%Y'))
        filter (where design_start is not null) as design_start_on,
        max(day_text(split_part(date_reported_as_of, ' ', 1), '%m/%d/%Y')) as last_reported_on
    from raw.reports
    group by pid
),

moves as (
    select
        reports.*,
        case
            when reports.phase = 'Design' and starts.design_start_on <= starts.last_reported_on
                then starts.design_start_on
        end as design_start_on,
        lag(reports.phase) over project as phase_before,
        lag(reports.place) over project as place_before,
        row_number() over (partition by reports.pid, reports.phase order by reports.reported_on) as visit
    from reports
    left join starts on reports.pid = starts.pid
    window project as (partition by reports.pid order by reports.reported_on)
),

happened as (
    -- Design begins when the city says it did; any other phase when it is first reported, which for a project first
    -- seen in the midst of one is later than it truly began: such a phase lasted at least what is shown.
    select
        pid,
        phase,
        'started' as type,
        coalesce(design_start_on, reported_on) as occurred_on,
        case when design_start_on is null then 'snapshot_diff' else 'source_timestamp' end as origin,
        reported_on,
        source_url
    from moves
    where visit = 1
    union all
    -- the phase before is passed when a later one is first reported
    select
        pid,
        phase_before as phase,
        'approved' as type,
        reported_on as occurred_on,
        'snapshot_diff' as origin,
        reported_on,
        source_url
    from moves
    where place > place_before
    union all
    -- back from a later phase into one that was passed
    select
        pid,
        phase,
        'reopened' as type,
        reported_on as occurred_on,
        'snapshot_diff' as origin,
        reported_on,
        source_url
    from moves
    where place < place_before and visit > 1
)

select
    pid || ' ' || phase || ' ' || type || ' ' || reported_on as source_key,
    source_url,
    reported_on as recorded_at,
    pid || ' ' || phase as milestone,
    type,
    occurred_on as occurred_at,
    origin
from happened
