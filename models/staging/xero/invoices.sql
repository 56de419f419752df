/*
row: One row per sales invoice and one per credit note of a Xero organisation, dated by the paper and by its history.
*/
with tracked as (
    select max(case when role = 'project' then normal_name(field) end) as project
    from reference.source_fields
    where source = $source
),

books as (
    select
        coalesce(max(timezone), 'UTC') as zone,
        max(currency) as currency
    from reference.sources
    where source = $source
),

noted as (
    select
        id,
        unnest(cast(cast(records as json) as json[])) as record
    from raw.invoice_history
    union all
    select
        id,
        unnest(cast(cast(records as json) as json[]))
    from raw.credit_note_history
),

changes as (
    select
        id,
        normal_name(json_extract_string(record, '$.Changes')) as change,
        epoch_text(json_extract_string(record, '$.DateUTC'), 1000) as changed_at
    from noted
),

-- sent again it was sent before; voided once more it was not void in between
instants as (
    select
        id,
        min(case when change = 'created' then changed_at end) as created_at,
        min(case when change = 'approved' then changed_at end) as approved_at,
        min(case when regexp_matches(change, '\b(sent|emailed)\b') then changed_at end) as sent_at,
        max(case when change = 'voided' then changed_at end) as voided_at
    from changes
    group by id
),

bills as (
    select
        id,
        'https://go.xero.com/AccountsReceivable/View.aspx?InvoiceID=' || id as source_url,
        updated_at,
        gone_at,
        contact,
        line_items,
        invoice_number as number,
        'invoice' as kind,
        status,
        left(epoch_text(date, 1000), 10) as issued_on,
        left(epoch_text(due_date, 1000), 10) as due_on,
        currency_code,
        total,
        total_tax,
        type,
        1 as sign
    from raw.invoices
    union all
    select
        id,
        'https://go.xero.com/AccountsReceivable/ViewCreditNote.aspx?creditNoteID=' || id,
        updated_at,
        gone_at,
        contact,
        line_items,
        credit_note_number,
        'credit_note',
        status,
        left(epoch_text(date, 1000), 10),
        null,
        currency_code,
        total,
        total_tax,
        type,
        -1
    from raw.credit_notes
),

tags as (
    select
        id,
        unnest(flatten(list_transform(
            cast(cast(line_items as json) as json[]),
            lambda line: cast(coalesce(json_extract(line, '$.Tracking'), '[]') as json[])
        ))) as tag
    from bills
),

projects as (
    select
        tags.id,
        max(json_extract_string(tags.tag, '$.Option')) as project
    from tags
    cross join tracked
    where normal_name(json_extract_string(tags.tag, '$.Name')) = tracked.project
    group by tags.id
    having count(distinct json_extract_string(tags.tag, '$.Option')) = 1
)

select
    bills.id as source_key,
    bills.source_url,
    bills.updated_at as recorded_at,
    case when bills.status = 'DELETED' then bills.updated_at else bills.gone_at end as deleted_at,
    json_extract_string(bills.contact, '$.ContactID') as client,
    projects.project,
    bills.number,
    bills.kind,
    case bills.status
        when 'DRAFT' then 'draft'
        when 'SUBMITTED' then 'draft'
        when 'AUTHORISED' then 'open'
        when 'PAID' then case bills.kind when 'credit_note' then 'open' else 'paid' end
        when 'VOIDED' then 'void'
        else bills.status
    end as status,
    instants.created_at as drafted_at,
    -- the paper bears a day; the instant of approval is of more use where it is of that day
    case
        when bills.status in ('DRAFT', 'SUBMITTED') then null
        when cast(local_day(try_cast(instants.approved_at as timestamp), books.zone) as varchar) = bills.issued_on
            then instants.approved_at
        else bills.issued_on
    end as issued_at,
    instants.sent_at,
    bills.due_on,
    case when bills.status = 'VOIDED' then instants.voided_at end as voided_at,
    coalesce(bills.currency_code, books.currency) as currency,
    cast(bills.sign * try_cast(bills.total as decimal(18, 4)) as varchar) as total,
    cast(bills.sign * try_cast(bills.total_tax as decimal(18, 4)) as varchar) as tax
from bills
cross join books
left join instants on bills.id = instants.id
left join projects on bills.id = projects.id
