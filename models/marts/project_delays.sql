/*
row: One row per project, with the days that change orders granted it and the days it slipped.
key: [project_id]
columns:
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  signed_at: When the contract was signed.
  granted_count: Approved change orders that granted days.
  granted_days: Calendar days they granted, each from the day of its decision on; days that overlap count once.
  gate_label: The last required gate's name.
  completion_baseline_on: Baseline date of the last required gate.
  slipped_days: Days from that date to the gate's approval, or to the as-of day while it is open and past it.
fail:
  - granted_days >= 0
*/
with granted as (
    select
        orders.project_id,
        orders.change_order_id,
        cast(
            dates_between(
                date '1970-01-01',
                local_day(coalesce(orders.decided_at, orders.submitted_at, orders.requested_at), labels.timezone)
            ) as bigint
        ) * 86400000000 as begins,
        cast(round(orders.granted_days * 86400000000) as bigint) as micros
    from marts.change_orders as orders
    inner join marts.project_labels as labels on orders.project_id = labels.project_id
    where
        orders.granted_days > 0
        and coalesce(orders.decided_at, orders.submitted_at, orders.requested_at) is not null
),

reached as (
    select
        granted.*,
        max(granted.begins + granted.micros) over (
            partition by granted.project_id
            order by granted.begins, granted.change_order_id
            rows between unbounded preceding and 1 preceding
        ) as reached_before
    from granted
),

united as (
    select
        project_id,
        count(*) as granted_count,
        sum(greatest(begins + micros - greatest(begins, coalesce(reached_before, begins)), 0)) as micros
    from reached
    group by project_id
),

-- of gates in one place, the one that is not through yet is the last
last_gates as (
    select
        project_id,
        gate_label,
        baseline_on,
        schedule_variance_days
    from marts.gates
    where status not in ('waived', 'cancelled')
    qualify row_number() over (
        partition by project_id
        order by
            sequence desc nulls last,
            case when sequence is null then baseline_on end desc nulls last,
            schedule_variance_days desc nulls first,
            gate_id
    ) = 1
)

select
    labels.project_id,
    labels.client_id,
    labels.firm,
    labels.client,
    labels.project,
    labels.playbook,
    labels.manager,
    labels.signed_at,
    cast(coalesce(united.granted_count, 0) as integer) as granted_count,
    micros_to_days(coalesce(united.micros, 0)) as granted_days,
    last_gates.gate_label,
    last_gates.baseline_on as completion_baseline_on,
    cast(last_gates.schedule_variance_days as double) as slipped_days
from marts.project_labels as labels
left join united on labels.project_id = united.project_id
left join last_gates on labels.project_id = last_gates.project_id
