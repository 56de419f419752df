/*
row: One row per due date a phase or milestone task was seen with, from the version that first bore it.
*/
with versions as (
    select
        'task-' || id as milestone,
        due_date,
        updated_at,
        _dlt_valid_from
    from raw.tasks
    union all
    select
        'phase-' || id,
        due_date,
        updated_at,
        _dlt_valid_from
    from raw.phases
),

placed as (
    select
        *,
        row_number() over known as place,
        lag(due_date) over known as previous
    from versions
    window known as (partition by milestone order by _dlt_valid_from)
)

select
    milestone || '-' || place as source_key,
    updated_at as recorded_at,
    milestone,
    due_date as due_on
from placed
where due_date is not null and due_date is distinct from previous
