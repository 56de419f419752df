/*
row: One row per line of an issued invoice that bills neither a gate nor a change order, with the gate its amount fits.
key: [invoice_line_id]
columns:
  invoice_line_id: The line, as source:key.
  invoice_id: Its invoice, as source:key.
  client_id: The client, as source:key.
  project_id: The project the invoice bills, as source:key; often not known.
  firm: The firm that runs the project.
  client: The client's name as it is now.
  project: The project's name.
  playbook: Code of the project's gate template.
  manager: Project manager.
  number: The invoice's number.
  issued_at: When the invoice was sent, or issued where sending is not recorded.
  description: What the line says.
  reference: What its reference, custom field or metadata names.
  currency: Currency of the invoice, ISO 4217.
  amount_local: Amount without tax, in the invoice's currency.
  amount: The same in the reporting currency, at the rate of the day of issue.
  fitting_gate_count: The client's approved gates whose amount still to be billed is this one.
  suggested_gate_id: The gate, where exactly one fits, as source:key.
  suggested_gate_label: Its name in its playbook, else in its tool.
  suggested_project: The project it belongs to.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
*/
with open_lines as (
    select
        billing.*,
        lines.description,
        lines.reference,
        lines.source_url
    from marts.gate_billing as billing
    inner join staging.invoice_lines as lines
        on billing.invoice_line_id = lines.invoice_line_id and lines.reject_reason is null
    where
        billing.is_billed
        and billing.gate_id is null
        and billing.change_order_id is null
        -- deposits, releases of retainage and credits bill no gate by their nature
        and billing.kind in ('invoice', 'progress')
        and billing.amount_local > 0
        -- a line that somebody has said bills neither
        and billing.link_method is distinct from 'manual'
),

fitting as (
    select
        open_lines.invoice_line_id,
        cast(count(*) as integer) as fitting_gate_count,
        case when count(*) = 1 then max(gates.gate_id) end as suggested_gate_id
    from open_lines
    inner join marts.gates as gates
        on
            open_lines.client_id = gates.client_id
            and open_lines.currency = gates.currency
            and open_lines.amount_local = gates.unbilled_amount_local
    group by open_lines.invoice_line_id
)

select
    open_lines.invoice_line_id,
    open_lines.invoice_id,
    open_lines.client_id,
    open_lines.project_id,
    open_lines.firm,
    open_lines.client,
    open_lines.project,
    open_lines.playbook,
    open_lines.manager,
    open_lines.number,
    open_lines.issued_at,
    open_lines.description,
    open_lines.reference,
    open_lines.currency,
    open_lines.amount_local,
    open_lines.amount,
    coalesce(fitting.fitting_gate_count, 0) as fitting_gate_count,
    fitting.suggested_gate_id,
    gates.gate_label as suggested_gate_label,
    gates.project as suggested_project,
    open_lines.source,
    open_lines.source_key,
    open_lines.source_url
from open_lines
left join fitting on open_lines.invoice_line_id = fitting.invoice_line_id
left join marts.gates as gates on fitting.suggested_gate_id = gates.gate_id
