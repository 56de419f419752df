/*
row: One row per payment with its time in working days of the project, or of the client where no project is billed.
key: [payment_id]
columns:
  payment_id: The payment, as source:key.
  cash_working_days: From the invoice's issue to receipt.
*/
with instants as (
    select
        payments.payment_id,
        coalesce(projects.calendar, clients.calendar) as calendar,
        coalesce(projects.timezone, clients.timezone) as timezone,
        ends.name,
        case ends.name
            when 'issued' then coalesce(invoices.sent_at, invoices.issued_at)
            when 'received' then payments.received_at
        end as at
    from staging.payments as payments
    inner join staging.invoices as invoices
        on payments.invoice_id = invoices.invoice_id and invoices.reject_reason is null
    left join marts.project_calendars as projects
        on invoices.project_id = projects.project_id and projects.side = 'project'
    inner join marts.client_calendars as clients on invoices.client_id = clients.client_id
    cross join (values ('issued'), ('received')) as ends (name)
    where payments.reject_reason is null
),

positions as (
    select
        instants.payment_id,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        payment_id,
        max(case when name = 'issued' then position end) as issued_position,
        max(case when name = 'received' then position end) as received_position
    from positions
    group by payment_id
)

select
    payment_id,
    micros_to_days(received_position - issued_position) as cash_working_days
from placed
