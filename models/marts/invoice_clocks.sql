/*
row: One row per invoice with its time in working days of the project, or of the client where no project is billed.
key: [invoice_id]
columns:
  invoice_id: The invoice, as source:key.
  open_working_days: From issue to the as-of instant.
  lost_working_days: From issue to the day it was voided or written off, as its own date or the record's says.
*/
with instants as (
    select
        invoices.invoice_id,
        coalesce(projects.calendar, clients.calendar) as calendar,
        coalesce(projects.timezone, clients.timezone) as timezone,
        ends.name,
        case ends.name
            when 'issued' then coalesce(invoices.sent_at, invoices.issued_at)
            when 'now' then $as_of
            -- a version written later than the as-of date does not say yet that anything is lost
            when 'lost'
                then case
                    when
                        invoices.status in ('void', 'uncollectible')
                        and coalesce(invoices.voided_at, invoices.recorded_at) <= $as_of
                        then greatest(
                            coalesce(invoices.sent_at, invoices.issued_at),
                            coalesce(invoices.voided_at, invoices.recorded_at)
                        )
                end
        end as at
    from staging.invoices as invoices
    left join marts.project_calendars as projects
        on invoices.project_id = projects.project_id and projects.side = 'project'
    inner join marts.client_calendars as clients on invoices.client_id = clients.client_id
    cross join (values ('issued'), ('now'), ('lost')) as ends (name)
    where invoices.reject_reason is null
),

positions as (
    select
        instants.invoice_id,
        instants.name,
        working_position(instants.at, days.starts_at, days.ends_at, days.is_working, days.working_before) as position
    from instants
    inner join marts.working_days as days
        on instants.calendar = days.calendar and local_day(instants.at, instants.timezone) = days.day_on
),

placed as (
    select
        invoice_id,
        max(case when name = 'issued' then position end) as issued_position,
        max(case when name = 'now' then position end) as now_position,
        max(case when name = 'lost' then position end) as lost_position
    from positions
    group by invoice_id
)

select
    invoice_id,
    micros_to_days(now_position - issued_position) as open_working_days,
    micros_to_days(lost_position - issued_position) as lost_working_days
from placed
