/*
row: One row per report that changes a project's budget or completion date.
*/
with reports as (
    select
        *,
        day_text(split_part(date_reported_as_of, ' ', 1), '%m/%d/%Y') as reported_on
    from raw.reports
)

select
    pid || ' ' || reported_on as source_key,
    _file || ', row ' || _row as source_url,
    reported_on as recorded_at,
    pid as project,
    -- the new figure is in the forecast, so the change is decided; who asked for it, when and why is not told
    'approved' as status,
    reported_on as decided_at,
    -- The city's own figures are taken. Four of 1,881 budget changes, and four schedule changes, differ from what the
    -- two reports beside them say (projects 267, 314, 366, 449, 570): an update between reports, or a slip.
    latest_budget_changes as amount_approved,
    'USD' as currency,
    latest_schedule_changes as days_approved
from reports
-- the first report of a project has nothing to change, and zero is no change
where coalesce(latest_budget_changes, '0') <> '0' or coalesce(latest_schedule_changes, '0') <> '0'
