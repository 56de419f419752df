/*
row: One row per project and phase - those it was reported in, and the one that completes it.
*/
with phases as (
    select
        pid,
        current_phase as phase,
        min(_file || ', row ' || _row) as source_url
    from raw.reports
    where current_phase is not null
    group by pid, current_phase
    union all
    -- The forecast completion is that of the whole project, so every project has the phase that completes it, reached
    -- or not: IT for those reported in it, else Construction. A phase nobody reported is no gate.
    select
        pid,
        case when max(coalesce(current_phase, '')) = 'IT' then 'IT' else 'Construction' end as phase,
        min(_file || ', row ' || _row) as source_url
    from raw.reports
    group by pid
    having count(*) filter (where current_phase in ('IT', 'Construction')) = 0
)

select
    pid || ' ' || phase as source_key,
    source_url,
    pid as project,
    phase as name,
    case phase
        when 'Scoping/Planning' then '1'
        when 'Design' then '2'
        when 'Construction Procurement' then '3'
        when 'Construction' then '4'
        when 'IT' then '4'
        when 'Close-Out' then '5'
        -- a phase not known yet is no number, so the refresh stops and names it
        else phase
    end as sequence,
    -- only reports some months apart are known, no log: a change came at most one report earlier
    'snapshot' as history_quality
from phases
