/*
row: One row per invoice line that bills a gate, with its lag in working days of the project's calendar.
key: [invoice_line_id]
columns:
  invoice_line_id: The line, as source:key.
  billing_lag_working_days: From the gate's final approval to the issue of the invoice; negative where early.
*/
with instants as (
    select
        lines.invoice_line_id,
        calendars.calendar,
        calendars.timezone,
        ends.name,
        case ends.name
            when 'approved' then spans.approved_at
            when 'issued' then coalesce(invoices.sent_at, invoices.issued_at)
        end as at
    from staging.invoice_lines as lines
    inner join staging.invoices as invoices
        on lines.invoice_id = invoices.invoice_id and invoices.reject_reason is null
    inner join marts.gate_spans as spans on lines.milestone_id = spans.gate_id
    inner join marts.project_calendars as calendars
        on spans.project_id = calendars.project_id and calendars.side = 'project'
    cross join (values ('approved'), ('issued')) as ends (name)
    where lines.reject_reason is null
),

positions as (
    select
        instants.invoice_line_id,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        invoice_line_id,
        max(case when name = 'approved' then position end) as approved_position,
        max(case when name = 'issued' then position end) as issued_position
    from positions
    group by invoice_line_id
)

select
    invoice_line_id,
    micros_to_days(issued_position - approved_position) as billing_lag_working_days
from placed
