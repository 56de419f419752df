/*
row: One row per quote of a Xero organisation whose tracking names a project; any other is an offer, not a change.
*/
with tracked as (
    select
        max(case when role = 'project' then normal_name(field) end) as project,
        max(case when role = 'milestone' then normal_name(field) end) as milestone
    from reference.source_fields
    where source = $source
),

tags as (
    select
        id,
        unnest(flatten(list_transform(
            cast(cast(line_items as json) as json[]),
            lambda line: cast(coalesce(json_extract(line, '$.Tracking'), '[]') as json[])
        ))) as tag
    from raw.quotes
),

named as (
    select
        tags.id,
        case normal_name(json_extract_string(tags.tag, '$.Name'))
            when tracked.project then 'project'
            when tracked.milestone then 'milestone'
        end as role,
        json_extract_string(tags.tag, '$.Option') as option
    from tags
    cross join tracked
),

named_once as (
    select
        id,
        case
            when count(distinct case when role = 'project' then option end) = 1
                then max(case when role = 'project' then option end)
        end as project,
        case
            when count(distinct case when role = 'milestone' then option end) = 1
                then max(case when role = 'milestone' then option end)
        end as milestone
    from named
    group by id
),

noted as (
    select
        id,
        unnest(cast(cast(records as json) as json[])) as record
    from raw.quote_history
),

changes as (
    select
        id,
        normal_name(json_extract_string(record, '$.Changes')) as change,
        epoch_text(json_extract_string(record, '$.DateUTC'), 1000) as changed_at
    from noted
),

instants as (
    select
        id,
        min(case when change = 'created' then changed_at end) as created_at,
        min(case when regexp_matches(change, '\b(sent|emailed)\b') then changed_at end) as sent_at,
        max(case when regexp_matches(change, '\b(accepted|declined)\b') then changed_at end) as decided_at
    from changes
    group by id
)

select
    quotes.id as source_key,
    'https://go.xero.com/app/quotes/view/' || quotes.id as source_url,
    quotes.updated_at as recorded_at,
    case when quotes.status = 'DELETED' then quotes.updated_at else quotes.gone_at end as deleted_at,
    named_once.project,
    -- any other word is no key of a gate
    case when contains(named_once.milestone, ':') then named_once.milestone end as milestone,
    quotes.quote_number as number,
    coalesce(nullif(quotes.title, ''), quotes.summary) as title,
    case quotes.status
        when 'DRAFT' then 'draft'
        when 'SENT' then 'pending'
        when 'ACCEPTED' then 'approved'
        when 'INVOICED' then 'approved'
        when 'DECLINED' then 'rejected'
        else quotes.status
    end as status,
    coalesce(instants.created_at, left(epoch_text(quotes.date, 1000), 10)) as requested_at,
    case when quotes.status <> 'DRAFT' then coalesce(instants.sent_at, left(epoch_text(quotes.date, 1000), 10)) end
        as submitted_at,
    case when quotes.status in ('ACCEPTED', 'INVOICED', 'DECLINED') then instants.decided_at end as decided_at,
    quotes.sub_total as amount_requested,
    case when quotes.status in ('ACCEPTED', 'INVOICED') then quotes.sub_total end as amount_approved,
    quotes.currency_code as currency
from raw.quotes as quotes
inner join named_once on quotes.id = named_once.id
left join instants on quotes.id = instants.id
where named_once.project is not null
