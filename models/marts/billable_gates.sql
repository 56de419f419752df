/*
row: One row per gate that bills, on its way from the planned date over the approval and the invoices to the cash.
key: [gate_id]
columns:
  gate_id: The gate, as source:key.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  owner_team: Team that brings it to approval.
  status: State - not_started, in_progress, awaiting_decision, changes_requested, approved, waived or cancelled.
  has_chronology_violation: True where its events contradict each other.
  started_at: When work on it began.
  approved_at: Final approval; null where reopened since.
  planned_on: Baseline date, on which its billing was planned.
  currency: Currency of the contract, ISO 4217.
  bills_amount: Amount its approval releases, in the reporting currency at the rate of the contract's signature.
  unbilled_amount: Approved and not invoiced, in the reporting currency.
  is_billed_in_full: True once approved with nothing left to invoice.
  is_paid_in_full: True once it is billed in full and every invoice that bills it is paid.
  is_written_off: True where an invoice that bills it was written off.
  billing_lag_days: Elapsed days from final approval to invoice, amount-weighted over what is invoiced.
  billing_wait_days: The same with what is not invoiced counted up to the as-of instant; null unless something is left.
  first_invoice_days: Elapsed days from final approval to the first invoice; deposits and credits left out.
  full_invoice_days: Elapsed days from final approval to the invoice that completed it; null while something is left.
  unbilled_days: Elapsed days since approval while something of it is not invoiced.
  firm_days: Elapsed days before the approval that the firm or an authority held it - work, their waits and idle time.
  client_wait_days: Elapsed days before the approval that it waited for the client.
  payment_days: Elapsed days from invoice to payment, amount-weighted; null unless paid in full.
  cash_cycle_days: Elapsed days from start to the amount-weighted instant of payment; null unless paid in full.
  cash_age_days: Elapsed days since start while it is approved and not paid in full.
  cash_ended_days: Elapsed days from start to the write-off of an invoice that bills it.
  tied_amount_days: Amount times days that lay between approval and invoice, open ones to the as-of instant.
  late_gate_amount: Planned to be billed by now and not, because the gate is not approved.
  uninvoiced_amount: Planned to be billed by now and not, though the gate is approved.
  disputed_amount: Planned to be billed by now, and billed by invoices under dispute.
  late_gate_amount_days: Amount times days behind the plan while the gate was not approved.
  uninvoiced_amount_days: Amount times days behind the plan between the approval and the invoice.
  disputed_amount_days: Amount times days behind the plan since a disputed invoice.
fail:
  - has_chronology_violation or cash_cycle_days is null
    or abs(firm_days + client_wait_days + billing_lag_days + payment_days - cash_cycle_days) < 0.00000000005
  - late_gate_amount + uninvoiced_amount + disputed_amount <= bills_amount + 0.01
warn:
  - not is_paid_in_full or payment_days is null or payment_days >= 0
*/
with bills as (
    select
        gates.*,
        labels.rate,
        labels.timezone,
        local_day(gates.approved_at, labels.timezone) as approved_on,
        local_day($as_of, labels.timezone) as as_of_on,
        gates.work_days + gates.team_wait_days + gates.authority_wait_days + gates.idle_days as firm_days
    from marts.gates as gates
    left join marts.project_labels as labels on gates.project_id = labels.project_id
    where gates.bills_amount_local > 0
),

allocations as (
    select
        billing.gate_id,
        billing.invoice_line_id,
        billing.issued_at,
        billing.contract_amount_local as amount,
        billing.billing_lag_days is not null as has_lag,
        micros_between(bills.approved_at, billing.issued_at) as lag_micros,
        cast(round(invoices.cash_days * 86400000000.0) as bigint) as cash_micros,
        invoices.status as invoice_status,
        invoices.left_at,
        invoices.is_disputed,
        bills.bills_amount_local as bills_local,
        bills.baseline_on as planned_on,
        bills.approved_on,
        bills.approved_at,
        bills.as_of_on,
        local_day(billing.issued_at, bills.timezone) as issued_on
    from bills
    inner join marts.gate_billing as billing on bills.gate_id = billing.gate_id
    left join marts.invoices as invoices on billing.invoice_id = invoices.invoice_id
    where billing.is_counted and billing.change_order_id is null
),

-- a gate is billed up to its amount: what is invoiced beyond it brings no other forward
summed as (
    select
        *,
        sum(amount) over earlier as earlier,
        sum(amount) over (
            partition by gate_id order by issued_at, invoice_line_id
            rows between unbounded preceding and current row
        ) as billed_to_date
    from allocations
    window earlier as (
        partition by gate_id order by is_disputed, issued_at, invoice_line_id
        rows between unbounded preceding and 1 preceding
    )
),

effective as (
    select
        *,
        least(greatest(coalesce(earlier, 0) + amount, 0), bills_local)
        - least(greatest(coalesce(earlier, 0), 0), bills_local) as share_local,
        coalesce(lag(billed_to_date) over (partition by gate_id order by issued_at, invoice_line_id), 0)
            as billed_before,
        greatest(0, dates_between(planned_on, least(coalesce(approved_on, issued_on), issued_on))) as late_gate_days,
        greatest(0, dates_between(greatest(planned_on, coalesce(approved_on, issued_on)), issued_on))
            as uninvoiced_days,
        case when is_disputed then greatest(0, dates_between(greatest(planned_on, issued_on), as_of_on)) else 0 end
            as disputed_days
    from summed
),

invoiced as (
    select
        gate_id,
        sum(share_local) as billed_local,
        sum(case when is_disputed then share_local else 0 end) as disputed_local,
        -- lines that come to nothing in the contract's currency weigh nothing
        nullif(sum(case when has_lag then amount end), 0) as weight,
        sum(case when has_lag then lag_micros * amount end) as lag_weighted,
        sum(case when has_lag then (lag_micros + cash_micros) * amount end) as cash_weighted,
        min(case when has_lag then lag_micros end) as first_micros,
        max(case when billed_before < bills_local and billed_to_date >= bills_local then issued_at end)
            as completed_at,
        min(case
            when amount > 0 and (invoice_status <> 'paid' or (has_lag and cash_micros is null)) then 0 else 1
        end) as is_paid,
        max(case when amount > 0 and invoice_status = 'uncollectible' then 1 else 0 end) as is_written_off,
        max(case when invoice_status = 'uncollectible' then left_at end) as written_off_at,
        sum(share_local * greatest(0, lag_micros)) as tied,
        sum(share_local * late_gate_days) as late_gate,
        sum(share_local * uninvoiced_days) as uninvoiced,
        sum(share_local * disputed_days) as disputed
    from effective
    group by gate_id
),

measured as (
    select
        bills.*,
        bills.bills_amount_local - coalesce(invoiced.billed_local, 0) as left_local,
        coalesce(invoiced.disputed_local, 0) as disputed_local,
        bills.status = 'approved' and bills.unbilled_amount_local = 0 as is_billed_in_full,
        coalesce(invoiced.is_written_off = 1, false) as is_written_off,
        bills.status = 'approved' and bills.unbilled_amount_local = 0 and invoiced.is_paid = 1
        and invoiced.weight is not null as is_paid_in_full,
        invoiced.weight,
        invoiced.lag_weighted,
        invoiced.first_micros,
        invoiced.completed_at,
        invoiced.written_off_at,
        cast(round(cast(invoiced.lag_weighted as double) / cast(invoiced.weight as double)) as bigint) as lag_micros,
        cast(round(cast(invoiced.cash_weighted as double) / cast(invoiced.weight as double)) as bigint)
            as cash_micros,
        micros_between(bills.approved_at, $as_of) as age_micros,
        cast(coalesce(invoiced.tied, 0) as double) as tied,
        cast(coalesce(invoiced.late_gate, 0) as double) as late_gate,
        cast(coalesce(invoiced.uninvoiced, 0) as double) as uninvoiced,
        cast(coalesce(invoiced.disputed, 0) as double) as disputed,
        bills.baseline_on < bills.as_of_on as is_planned_by_now,
        greatest(0, dates_between(bills.baseline_on, coalesce(bills.approved_on, bills.as_of_on))) as late_gate_days,
        greatest(
            0, dates_between(greatest(bills.baseline_on, coalesce(bills.approved_on, bills.as_of_on)), bills.as_of_on)
        ) as uninvoiced_days
    from bills
    left join invoiced on bills.gate_id = invoiced.gate_id
)

select
    measured.gate_id,
    measured.project_id,
    measured.client_id,
    measured.firm,
    measured.client,
    measured.project,
    measured.playbook,
    measured.manager,
    measured.gate_label,
    measured.owner_team,
    measured.status,
    measured.has_chronology_violation,
    measured.started_at,
    measured.approved_at,
    measured.baseline_on as planned_on,
    measured.currency,
    measured.bills_amount,
    measured.unbilled_amount,
    measured.is_billed_in_full,
    measured.is_paid_in_full,
    measured.is_written_off,
    micros_to_days(measured.lag_micros) as billing_lag_days,
    case
        when measured.unbilled_amount_local > 0
            then
                micros_to_days(round(
                    cast(
                        coalesce(measured.lag_weighted, 0)
                        + measured.age_micros * measured.unbilled_amount_local as double
                    ) / cast(coalesce(measured.weight, 0) + measured.unbilled_amount_local as double)
                ))
    end as billing_wait_days,
    micros_to_days(measured.first_micros) as first_invoice_days,
    case when measured.is_billed_in_full then days_between(measured.approved_at, measured.completed_at) end
        as full_invoice_days,
    measured.unbilled_days,
    measured.firm_days,
    measured.client_wait_days,
    case when measured.is_paid_in_full then micros_to_days(measured.cash_micros - measured.lag_micros) end
        as payment_days,
    case
        when measured.is_paid_in_full
            then micros_to_days(micros_between(measured.started_at, measured.approved_at) + measured.cash_micros)
    end as cash_cycle_days,
    case
        when measured.status = 'approved' and not measured.is_paid_in_full
            then days_between(measured.started_at, $as_of)
    end as cash_age_days,
    days_between(measured.started_at, measured.written_off_at) as cash_ended_days,
    case
        when measured.status = 'approved'
            then
                micros_to_days(
                    measured.tied + cast(measured.age_micros as double) * cast(measured.left_local as double)
                ) * cast(measured.rate as double)
        else 0.0
    end as tied_amount_days,
    cast(case
        when measured.is_planned_by_now and measured.approved_at is null
            then round(measured.left_local * measured.rate, 2)
        else 0
    end as decimal(18, 2)) as late_gate_amount,
    cast(case
        when measured.is_planned_by_now and measured.approved_at is not null
            then round(measured.left_local * measured.rate, 2)
        else 0
    end as decimal(18, 2)) as uninvoiced_amount,
    cast(case
        when measured.is_planned_by_now then round(measured.disputed_local * measured.rate, 2) else 0
    end as decimal(18, 2)) as disputed_amount,
    (measured.late_gate + cast(measured.left_local as double) * measured.late_gate_days)
    * cast(measured.rate as double) as late_gate_amount_days,
    (measured.uninvoiced + cast(measured.left_local as double) * measured.uninvoiced_days)
    * cast(measured.rate as double) as uninvoiced_amount_days,
    measured.disputed * cast(measured.rate as double) as disputed_amount_days
from measured
