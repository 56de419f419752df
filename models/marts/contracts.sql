/*
row: One row per project, the steps of its contract from signature to cash, in the reporting currency; they add up.
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
  original_amount: Contract as signed, at the rate of the day of signature; null where no amount is recorded.
  added_amount: Approved change orders that add, each at the rate of its decision's day.
  deducted_amount: Approved change orders that take away, as a negative amount.
  current_amount: The contract now - original, additions and deductions.
  pending_amount: Change orders asked for and not decided; in no other step.
  rejected_amount: Change orders refused; in no other step.
  churned_amount: Approved change orders with deductions counted as positive.
  after_lock_amount: Approved change orders that were asked for after the scope lock.
  locked_amount: Contract at the scope lock - as signed, with the approved change orders asked for before it.
  invoiced_amount: Invoiced less credited, without tax; a release of retainage bills nothing anew.
  left_to_invoice_amount: Contract now less what was invoiced, both at the rate of the day of signature.
  exchange_amount: What differing rates make of contract and invoices - contract now less invoiced less left to invoice.
  tax_amount: Tax on what was invoiced.
  billed_amount: Invoiced with tax.
  paid_amount: Paid.
  retained_amount: Retainage held back and not released.
  written_off_amount: Given up as uncollectible.
  open_amount: Still payable - invoiced with tax less paid, retained and written off.
fail:
  - original_amount is null or current_amount = original_amount + added_amount + deducted_amount
  - current_amount is null or current_amount = invoiced_amount + left_to_invoice_amount + exchange_amount
  - billed_amount = invoiced_amount + tax_amount
  - billed_amount = paid_amount + retained_amount + written_off_amount + open_amount
*/
with orders as (
    select
        orders.project_id,
        sum(case when orders.approved_amount > 0 then orders.approved_amount end) as added_amount,
        sum(case when orders.approved_amount < 0 then orders.approved_amount end) as deducted_amount,
        sum(abs(orders.approved_amount)) as churned_amount,
        sum(case when orders.status = 'pending' then orders.requested_amount end) as pending_amount,
        sum(case when orders.status = 'rejected' then orders.requested_amount end) as rejected_amount,
        sum(case when orders.is_after_scope_lock then orders.approved_amount end) as after_lock_amount,
        sum(case
            when orders.currency = labels.currency
                then cast(round(orders.approved_amount_local * labels.rate, 2) as decimal(18, 2))
            else orders.approved_amount
        end) as signed_rate_amount
    from marts.change_orders as orders
    left join marts.project_labels as labels on orders.project_id = labels.project_id
    group by orders.project_id
),

bills as (
    select
        invoices.project_id,
        invoices.is_billed and invoices.kind <> 'retention_release' as is_new,
        invoices.is_billed and invoices.kind = 'retention_release' as is_release,
        invoices.is_billed,
        invoices.total_amount,
        invoices.tax_amount,
        invoices.retained_amount,
        case when invoices.status <> 'draft' then invoices.paid_amount end as paid_amount,
        case when invoices.status <> 'draft' then invoices.open_amount end as open_amount,
        case
            when invoices.currency = labels.currency
                then
                    cast(round(invoices.total_amount_local * labels.rate, 2) as decimal(18, 2))
                    - cast(round(coalesce(written.tax, 0) * labels.rate, 2) as decimal(18, 2))
            else invoices.total_amount - invoices.tax_amount
        end as signed_rate_amount
    from marts.invoices as invoices
    left join staging.invoices as written
        on invoices.invoice_id = written.invoice_id and written.reject_reason is null
    left join marts.project_labels as labels on invoices.project_id = labels.project_id
),

billed as (
    select
        project_id,
        sum(case when is_new then total_amount - tax_amount end) as invoiced_amount,
        sum(case when is_new then tax_amount end) as tax_amount,
        sum(case when is_new then signed_rate_amount end) as signed_rate_amount,
        sum(paid_amount) as paid_amount,
        sum(case when is_billed then retained_amount else 0 end - case when is_release then total_amount else 0 end)
            as retained_amount,
        sum(open_amount) as open_amount
    from bills
    group by project_id
),

summed as (
    select
        labels.*,
        cast(round(labels.contract_amount_local * labels.rate, 2) as decimal(18, 2)) as original_amount,
        coalesce(orders.added_amount, 0) as added_amount,
        coalesce(orders.deducted_amount, 0) as deducted_amount,
        coalesce(orders.churned_amount, 0) as churned_amount,
        coalesce(orders.pending_amount, 0) as pending_amount,
        coalesce(orders.rejected_amount, 0) as rejected_amount,
        coalesce(orders.after_lock_amount, 0) as after_lock_amount,
        coalesce(orders.signed_rate_amount, 0) as signed_rate_changes,
        coalesce(billed.invoiced_amount, 0) as invoiced_amount,
        coalesce(billed.tax_amount, 0) as tax_amount,
        coalesce(billed.signed_rate_amount, 0) as signed_rate_invoices,
        coalesce(billed.paid_amount, 0) as paid_amount,
        coalesce(billed.retained_amount, 0) as retained_amount,
        coalesce(billed.open_amount, 0) as open_amount
    from marts.project_labels as labels
    left join orders on labels.project_id = orders.project_id
    left join billed on labels.project_id = billed.project_id
),

stepped as (
    select
        summed.*,
        summed.original_amount + summed.added_amount + summed.deducted_amount as current_amount,
        summed.original_amount + summed.signed_rate_changes - summed.signed_rate_invoices as left_to_invoice_amount,
        summed.invoiced_amount + summed.tax_amount as billed_amount
    from summed
)

select
    project_id,
    client_id,
    firm,
    client,
    project,
    playbook,
    manager,
    signed_at,
    original_amount,
    cast(added_amount as decimal(18, 2)) as added_amount,
    cast(deducted_amount as decimal(18, 2)) as deducted_amount,
    cast(current_amount as decimal(18, 2)) as current_amount,
    cast(pending_amount as decimal(18, 2)) as pending_amount,
    cast(rejected_amount as decimal(18, 2)) as rejected_amount,
    cast(churned_amount as decimal(18, 2)) as churned_amount,
    cast(after_lock_amount as decimal(18, 2)) as after_lock_amount,
    cast(current_amount - after_lock_amount as decimal(18, 2)) as locked_amount,
    cast(invoiced_amount as decimal(18, 2)) as invoiced_amount,
    cast(left_to_invoice_amount as decimal(18, 2)) as left_to_invoice_amount,
    cast(current_amount - invoiced_amount - left_to_invoice_amount as decimal(18, 2)) as exchange_amount,
    cast(tax_amount as decimal(18, 2)) as tax_amount,
    cast(billed_amount as decimal(18, 2)) as billed_amount,
    cast(paid_amount as decimal(18, 2)) as paid_amount,
    cast(retained_amount as decimal(18, 2)) as retained_amount,
    cast(billed_amount - paid_amount - retained_amount - open_amount as decimal(18, 2)) as written_off_amount,
    cast(open_amount as decimal(18, 2)) as open_amount
from stepped
