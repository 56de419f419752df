/*
row: One row per project, from all its reports.
*/
with reports as (
    select
        *,
        day_text(split_part(date_reported_as_of, ' ', 1), '%m/%d/%Y') as reported_on,
        day_text(design_start, '%m/%d/%Y') as design_start_on,
        -- The first report of 102 projects already carries a change, so their budget before it is the forecast
        -- less that change. A forecast that is no number is passed on for the contract to name.
        coalesce(
            cast(try_cast(budget_forecast as decimal(18, 2)) - coalesce(
                try_cast(latest_budget_changes as decimal(18, 2)), 0
            ) as varchar),
            budget_forecast
        ) as budget_before
    from raw.reports
),

projects as (
    select
        pid,
        max_by(coalesce(client_agency, managing_agency), reported_on) as client,
        max_by(project_name, reported_on) as name,
        max_by(managing_agency, reported_on) as manager,
        -- the phases of IT projects are others, so they are compared among themselves
        coalesce(max(case when current_phase = 'IT' then 'it_project' end), 'capital_project') as playbook,
        min_by(budget_before, reported_on) filter (where budget_forecast is not null) as contract_amount,
        -- 42 projects report several design starts: the last one said holds
        max_by(design_start_on, reported_on) filter (where design_start_on is not null) as design_start_on,
        max(reported_on) as last_reported_on,
        -- A report with no phase (94 projects on 2019-09-01) says that the project left the list, not why: the last
        -- phase told holds.
        max_by(current_phase, reported_on) filter (where current_phase is not null) as last_phase,
        max_by(_file || ', row ' || _row, reported_on) as source_url
    from reports
    group by pid
)

select
    pid as source_key,
    source_url,
    last_reported_on as recorded_at,
    client,
    name,
    playbook,
    manager,
    contract_amount,
    'USD' as currency,
    -- a design start still ahead of the last report is a plan, not a start
    case when design_start_on <= last_reported_on then design_start_on end as kickoff_at,
    case
        when last_phase = 'Scoping/Planning' then 'planned'
        when last_phase in ('Design', 'Construction Procurement', 'Construction', 'IT', 'Close-Out') then 'active'
        -- a phase not known yet is passed on, for the contract to name
        else last_phase
    end as status
from projects
