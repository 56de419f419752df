/*
row: One row per customer invoice or credit note of a Tryton.
*/
with recursive works as (
    select * from raw.works
    where _dlt_valid_to is null
),

tree as (
    select
        works.id,
        case when works.type = 'project' then works.id end as project,
        works.party as client
    from works
    left join works as parents on works.parent = parents.id
    where parents.id is null
    union all
    select
        works.id,
        case when works.type = 'project' then works.id else tree.project end,
        coalesce(works.party, tree.client)
    from works
    inner join tree on works.parent = tree.id
),

-- what of a bill stands in the client's account: its own move, and those made when its terms were changed
owed as (
    select
        bills.id as invoice,
        lines.reconciliation,
        lines.maturity_date,
        false as is_rescheduled
    from raw.invoices as bills
    inner join raw.receivables as lines on bills.move = lines.move_id
    where lines.gone_at is null
    union all
    select
        moves.invoice,
        lines.reconciliation,
        lines.maturity_date,
        true
    from raw.additional_moves as moves
    inner join raw.receivables as lines on moves.move = lines.move_id
    where moves.gone_at is null and lines.gone_at is null and lines.maturity_date is not null
),

terms as (
    select
        invoice,
        coalesce(max(case when is_rescheduled then maturity_date end), max(maturity_date)) as due_on
    from owed
    group by invoice
),

-- a difference of exchange is written off too, but takes nothing off in the currency of the bill
written_off as (
    select
        owed.invoice,
        max(lines.date) as at
    from owed
    inner join raw.receivables as lines on owed.reconciliation = lines.reconciliation
    where
        lines.move_journal_type = 'write-off' and lines.gone_at is null
        and coalesce(try_cast(lines.amount_second_currency as decimal(18, 2)), 1) <> 0
    group by owed.invoice
),

logged as (
    select
        replace(resource, 'account.invoice,', '') as invoice,
        min(case when target in ('post', 'state:posted') then updated_at end) as posted_at,
        max(case when target in ('cancel', 'state:cancelled') then updated_at end) as cancelled_at
    from raw.invoice_log
    where resource like 'account.invoice,%'
    group by resource
),

-- the project, where all works that a bill is for are of one
billed as (
    select
        invoice_line,
        work
    from raw.progresses
    where gone_at is null
    union all
    select
        invoice_line,
        id
    from works
    where invoice_line is not null
    union all
    select
        invoice_line,
        replace(work_origin, 'project.work,', '')
    from raw.hours
    where gone_at is null and work_origin like 'project.work,%'
),

lines as (
    select
        invoice,
        id as billed_line
    from raw.invoice_lines
    union all
    select
        invoice,
        replace(origin, 'account.invoice.line,', '')
    from raw.invoice_lines
    where origin like 'account.invoice.line,%'
),

projects as (
    select
        lines.invoice,
        min(case when tree.client is not null then tree.project end) as project
    from lines
    inner join billed on lines.billed_line = billed.invoice_line
    inner join tree on billed.work = tree.id
    group by lines.invoice
    having count(distinct coalesce(tree.project, '')) = 1
),

stated as (
    select
        bills.*,
        coalesce(companies.timezone, sources.timezone, 'UTC') as zone,
        logged.posted_at,
        logged.cancelled_at,
        terms.due_on,
        written_off.at as written_off_at,
        credits.id is not null as is_credited,
        bills.state in ('posted', 'paid') or (bills.state = 'cancelled' and bills.number is not null) as is_issued
    from raw.invoices as bills
    left join raw.companies as companies on bills.company = companies.id and companies._dlt_valid_to is null
    left join reference.sources as sources on sources.source = $source
    left join logged on bills.id = logged.invoice
    left join terms on bills.id = terms.invoice
    left join written_off on bills.id = written_off.invoice
    left join raw.invoices as credits on bills.cancel_move = credits.move and bills.id <> credits.id
)

select
    stated.id as source_key,
    stated.web as source_url,
    stated.updated_at as recorded_at,
    stated.gone_at as deleted_at,
    stated.party as client,
    projects.project,
    stated.number,
    case when try_cast(stated.total_amount as decimal(18, 2)) < 0 then 'credit_note' else 'invoice' end as kind,
    case stated.state
        when 'draft' then 'draft'
        when 'validated' then 'draft'
        when 'posted' then 'open'
        when 'paid' then case when stated.written_off_at is not null then 'uncollectible' else 'paid' end
        -- what a credit note of its own ended is settled by it
        when 'cancelled' then case when stated.is_credited then 'paid' else 'void' end
        else stated.state
    end as status,
    stated.create_date as drafted_at,
    -- the date on the paper; on that day the hour at which it was posted
    case
        when
            stated.is_issued
            and cast(
                local_day(cast(try_cast(stated.posted_at as timestamptz) as timestamp), stated.zone) as varchar
            ) = stated.invoice_date
            then stated.posted_at
        when stated.is_issued then stated.invoice_date
    end as issued_at,
    stated.due_on,
    case
        when stated.state = 'paid' then stated.written_off_at
        when stated.state = 'cancelled' and not stated.is_credited
            then coalesce(stated.cancelled_at, stated.updated_at)
    end as voided_at,
    stated.currency_code as currency,
    stated.total_amount as total,
    stated.tax_amount as tax
from stated
left join projects on stated.id = projects.invoice
