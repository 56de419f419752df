/*
row: One row per project - what its approved gates have earned, in months of its own baseline.
key: [project_id]
columns:
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  status: State of the project.
  starts_on: First day of the first month - kickoff, or signature where none is recorded; project's time zone.
  stops_on: Day to which months elapse - the last approval once all is earned, else the closing, else the as-of day.
  gate_count: Gates that count - with an amount and a baseline date, neither waived nor cancelled.
  unplanned_gate_count: Gates with an amount and no baseline date, which neither plan nor earn.
  planned_amount: Amounts of the gates that count, in the reporting currency.
  due_amount: Of these, amounts of gates whose baseline date has come.
  earned_amount: Of these, amounts of gates finally approved.
  planned_months: Months of the baseline, to the end of the month of the last gate that counts.
  elapsed_months: Months from the start to stops_on, the last one by its days.
  earned_months: Earned schedule - the months of the baseline that the earned amount stands for.
  variance_months: Earned less elapsed months; negative is late.
  forecast_months: Months the whole will take at the pace so far.
  unknown_reason: Why there is no earned schedule; null where there is one.
fail:
  - earned_months is null or earned_months >= 0 and earned_months <= planned_months
  - (earned_months is null) = (unknown_reason is not null)
*/
with priced as (
    select
        gates.gate_id,
        gates.project_id,
        gates.approved_at,
        gates.baseline_on,
        gates.bills_amount_local,
        gates.bills_amount,
        gates.baseline_on is not null as is_planned
    from marts.gates as gates
    where gates.status not in ('waived', 'cancelled') and gates.bills_amount_local > 0
),

counted as (
    select
        project_id,
        sum(case when is_planned then 1 else 0 end) as gate_count,
        sum(case when is_planned then 0 else 1 end) as unplanned_gate_count,
        sum(case when is_planned and approved_at is null then 1 else 0 end) as open_count,
        max(case when is_planned then approved_at end) as last_approved_at
    from priced
    group by project_id
),

at_work as (
    select
        project_id,
        min(coalesce(started_at, first_approved_at)) as first_started_at
    from marts.gates
    group by project_id
),

begun as (
    select
        projects.project_id,
        projects.status,
        -- a kickoff still to come is not known yet, and the signature must not stand in for it
        labels.kickoff_at is not null or at_work.first_started_at is not null as is_begun,
        local_day(coalesce(labels.kickoff_at, labels.signed_at), labels.timezone) as starts_on,
        local_day($as_of, labels.timezone) as as_of_on,
        coalesce(counted.gate_count, 0) as gate_count,
        coalesce(counted.unplanned_gate_count, 0) as unplanned_gate_count,
        local_day(
            case
                when counted.open_count = 0 and counted.gate_count > 0 then counted.last_approved_at
                else coalesce(projects.closed_at, $as_of)
            end,
            labels.timezone
        ) as stops_on
    from marts.projects as projects
    left join marts.project_labels as labels on projects.project_id = labels.project_id
    left join counted on projects.project_id = counted.project_id
    left join at_work on projects.project_id = at_work.project_id
),

-- the month a gate's value is planned in, from 1; what was due before the start is due in the first
placed as (
    select
        priced.project_id,
        greatest(1, whole_months_between(begun.starts_on, priced.baseline_on) + 1) as month_number,
        priced.bills_amount_local as value_local,
        priced.bills_amount,
        priced.approved_at is not null as is_earned,
        priced.baseline_on <= begun.as_of_on as is_due
    from priced
    inner join begun on priced.project_id = begun.project_id
    where priced.is_planned
),

totals as (
    select
        project_id,
        sum(bills_amount) as planned_amount,
        sum(case when is_due then bills_amount end) as due_amount,
        sum(case when is_earned then bills_amount end) as earned_amount,
        sum(value_local) as planned_value,
        coalesce(sum(case when is_earned then value_local end), 0) as earned_value
    from placed
    group by project_id
),

by_month as (
    select
        project_id,
        month_number,
        sum(value_local) as value_local
    from placed
    group by project_id, month_number
),

-- only months in which something is planned: planned value stands still in between
curve as (
    select
        project_id,
        month_number,
        value_local,
        sum(value_local) over (
            partition by project_id order by month_number
            rows between unbounded preceding and current row
        ) as planned_by_then
    from by_month
),

-- the first month whose planned value is more than what is earned is C + 1
reached as (
    select
        curve.project_id,
        max(curve.month_number) as planned_months,
        min(case when curve.planned_by_then > totals.earned_value then curve.month_number end) as next_month,
        min_by(curve.planned_by_then, case
            when curve.planned_by_then > totals.earned_value then curve.month_number
        end) as next_value,
        min_by(curve.value_local, case
            when curve.planned_by_then > totals.earned_value then curve.month_number
        end) as next_step,
        min(totals.earned_value) as earned_value
    from curve
    inner join totals on curve.project_id = totals.project_id
    group by curve.project_id
),

told as (
    select
        begun.*,
        totals.planned_amount,
        totals.due_amount,
        totals.earned_amount,
        reached.planned_months,
        case
            when begun.stops_on >= begun.starts_on
                then
                    whole_months_between(begun.starts_on, begun.stops_on)
                    + dates_between(
                        months_after(begun.starts_on, whole_months_between(begun.starts_on, begun.stops_on)),
                        begun.stops_on
                    )
                    / cast(dates_between(
                        months_after(begun.starts_on, whole_months_between(begun.starts_on, begun.stops_on)),
                        months_after(begun.starts_on, whole_months_between(begun.starts_on, begun.stops_on) + 1)
                    ) as double)
        end as elapsed_months,
        case
            when reached.next_month is null then cast(reached.planned_months as double)
            else
                reached.next_month - 1
                + cast(reached.earned_value - (reached.next_value - reached.next_step) as double)
                / cast(reached.next_step as double)
        end as earned_months,
        case
            when begun.starts_on is null then 'no kickoff and no signature'
            when begun.gate_count + begun.unplanned_gate_count = 0 then 'no gate has an amount'
            when begun.gate_count = 0 then 'no gate with an amount has a baseline'
            when not begun.is_begun or begun.starts_on > begun.as_of_on then 'not begun'
            when begun.stops_on <= begun.starts_on then 'no time has passed'
        end as unknown_reason
    from begun
    left join totals on begun.project_id = totals.project_id
    left join reached on begun.project_id = reached.project_id
)

select
    told.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    told.status,
    told.starts_on,
    told.stops_on,
    cast(told.gate_count as integer) as gate_count,
    cast(told.unplanned_gate_count as integer) as unplanned_gate_count,
    cast(coalesce(told.planned_amount, 0) as decimal(18, 2)) as planned_amount,
    cast(coalesce(told.due_amount, 0) as decimal(18, 2)) as due_amount,
    cast(coalesce(told.earned_amount, 0) as decimal(18, 2)) as earned_amount,
    cast(told.planned_months as double) as planned_months,
    case when told.unknown_reason is null then told.elapsed_months end as elapsed_months,
    case when told.unknown_reason is null then told.earned_months end as earned_months,
    case when told.unknown_reason is null then told.earned_months - told.elapsed_months end as variance_months,
    case
        when told.unknown_reason is null and told.earned_months > 0
            then told.planned_months * told.elapsed_months / told.earned_months
    end as forecast_months,
    told.unknown_reason
from told
left join marts.project_labels as labels on told.project_id = labels.project_id
