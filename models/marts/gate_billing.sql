/*
row: One row per invoice line - the amount it bills for a gate, for a change order, or for neither.
key: [invoice_line_id]
columns:
  invoice_line_id: The line, as source:key.
  invoice_id: Its invoice, as source:key.
  gate_id: The gate it bills, as source:key.
  change_order_id: The change order it bills, as source:key; a line that names both bills the change order.
  project_id: The project, as source:key.
  client_id: The project's client, as source:key.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  gate_label: The gate's name in its playbook, else in its tool.
  number: The invoice's number.
  kind: What sort of bill it is.
  issued_at: When the invoice was sent, or issued where sending is not recorded.
  approved_at: Final approval of the gate.
  is_billed: True once the invoice is issued; drafts and voided invoices bill nothing.
  is_counted: True where the line counts against the gate's amount - billed, and no release of retainage.
  is_early: True where a gate was billed before its approval.
  billing_lag_days: Elapsed days from final approval to issue, negative where early; deposits and credits left out.
  billing_lag_working_days: The same in working days of the project's calendar.
  currency: Currency of the invoice, ISO 4217.
  amount_local: Amount without tax, in the invoice's currency; negative on a credit note.
  amount: The same in the reporting currency, at the rate of the day of issue.
  contract_amount_local: The same in the contract's currency.
  line: The line of the paper that it is part of, where one line bills several gates.
  line_amount_local: Amount of that whole line.
  line_allocated_amount_local: What of that line is allocated, all gates and change orders together.
  is_over_allocated: True where an invoice's lines add up to more than it bills without tax.
  link_method: How the gate or change order was found; null where neither was.
  link_confidence: Confidence in that link, 0 to 1.
  source: The source the record came from.
  source_key: The record's key in that source.
fail:
  - amount is not null
  - line_amount_local is null or abs(line_allocated_amount_local) <= abs(line_amount_local)
*/
with lines as (
    select
        lines.invoice_line_id,
        lines.invoice_id,
        lines.milestone_id,
        lines.change_order_id,
        lines.amount as amount_local,
        lines.rate,
        lines.line,
        lines.line_amount,
        case
            when lines.line is not null then sum(lines.amount) over (partition by lines.invoice_id, lines.line)
        end as line_allocated,
        abs(sum(lines.amount) over (partition by lines.invoice_id)) as invoice_allocated,
        lines.link_method,
        lines.link_confidence,
        lines.source,
        lines.source_key,
        abs(invoices.total - coalesce(invoices.tax, 0)) as invoice_net,
        invoices.client_id,
        invoices.project_id,
        invoices.number,
        coalesce(invoices.kind, 'invoice') as kind,
        invoices.currency,
        coalesce(invoices.sent_at, invoices.issued_at) as issued_at,
        coalesce(invoices.sent_at, invoices.issued_at) is not null
        and invoices.status <> 'draft'
        -- a void counts from its own date, or where the tool keeps none, from the record's
        and not (
            invoices.status = 'void'
            and (
                invoices.voided_at is not null
                or (coalesce(invoices.recorded_at <= $as_of, true) and invoices.changes_at is null)
            )
        ) as is_billed
    from staging.invoice_lines as lines
    left join staging.invoices as invoices
        on lines.invoice_id = invoices.invoice_id and invoices.reject_reason is null
    where lines.reject_reason is null
)

select
    lines.invoice_line_id,
    lines.invoice_id,
    milestones.milestone_id as gate_id,
    orders.change_order_id,
    labels.project_id,
    coalesce(labels.client_id, clients.current_client_id) as client_id,
    coalesce(labels.firm, clients.firm) as firm,
    coalesce(labels.client, clients.current_client) as client,
    labels.project,
    labels.playbook,
    labels.manager,
    spans.gate_label,
    lines.number,
    lines.kind,
    lines.issued_at,
    spans.approved_at,
    coalesce(lines.is_billed, false) as is_billed,
    coalesce(lines.is_billed, false) and lines.kind <> 'retention_release' as is_counted,
    coalesce(
        lines.is_billed and milestones.milestone_id is not null and lines.kind in ('invoice', 'progress')
        and lines.amount_local > 0 and (spans.approved_at is null or lines.issued_at < spans.approved_at), false
    ) as is_early,
    case
        when lines.is_billed and lines.kind in ('invoice', 'progress') and lines.amount_local > 0
            then days_between(spans.approved_at, lines.issued_at)
    end as billing_lag_days,
    case
        when lines.is_billed and lines.kind in ('invoice', 'progress') and lines.amount_local > 0
            then clocks.billing_lag_working_days
    end as billing_lag_working_days,
    lines.currency,
    lines.amount_local,
    cast(round(lines.amount_local * lines.rate, 2) as decimal(18, 2)) as amount,
    case
        when labels.currency is null or labels.currency = lines.currency then lines.amount_local
        else
            cast(
                round(cast(lines.amount_local * lines.rate as double) / cast(labels.rate as double), 2) as decimal(
                    18, 2
                )
            )
    end as contract_amount_local,
    lines.line,
    lines.line_amount as line_amount_local,
    cast(lines.line_allocated as decimal(18, 2)) as line_allocated_amount_local,
    coalesce(lines.invoice_allocated > lines.invoice_net, false) as is_over_allocated,
    lines.link_method,
    lines.link_confidence,
    lines.source,
    lines.source_key
from lines
left join staging.milestones as milestones
    on lines.milestone_id = milestones.milestone_id and milestones.reject_reason is null
left join staging.change_orders as orders
    on lines.change_order_id = orders.change_order_id and orders.reject_reason is null
left join marts.gate_spans as spans on milestones.milestone_id = spans.gate_id
left join marts.project_labels as labels on coalesce(milestones.project_id, lines.project_id) = labels.project_id
left join marts.clients as clients on lines.client_id = clients.client_id
left join marts.invoice_line_clocks as clocks on lines.invoice_line_id = clocks.invoice_line_id
