/*
row: One row per quote of a Stripe account whose metadata names a project; any other is an offer, not a change.
*/
with metadata_keys as (
    select
        max(case when role = 'project' then field end) as project,
        max(case when role = 'milestone' then field end) as milestone
    from reference.source_fields
    where source = $source
),

quotes as (
    select
        told.*,
        json_extract_string(told.metadata, '$."' || metadata_keys.project || '"') as project,
        json_extract_string(told.metadata, '$."' || metadata_keys.milestone || '"') as milestone,
        cast(
            try_cast(told.amount_total as bigint)
            - coalesce(cast(json_extract_string(told.total_details, '$.amount_tax') as bigint), 0) as varchar
        ) as net_amount
    from raw.quotes as told
    cross join metadata_keys
)

select
    id as source_key,
    'https://dashboard.stripe.com/quotes/' || id as source_url,
    updated_at as recorded_at,
    gone_at as deleted_at,
    project,
    -- any other word is no key of a gate
    case when contains(milestone, ':') then milestone end as milestone,
    number,
    coalesce(nullif(header, ''), description) as title,
    case status
        when 'open' then 'pending'
        when 'accepted' then 'approved'
        when 'canceled' then 'withdrawn'
        else status
    end as status,
    epoch_text(created, 1) as requested_at,
    epoch_text(json_extract_string(status_transitions, '$.finalized_at'), 1) as submitted_at,
    epoch_text(
        coalesce(
            json_extract_string(status_transitions, '$.accepted_at'),
            json_extract_string(status_transitions, '$.canceled_at')
        ), 1
    ) as decided_at,
    major_units(net_amount, currency) as amount_requested,
    case when status = 'accepted' then major_units(net_amount, currency) end as amount_approved,
    upper(currency) as currency
from quotes
where coalesce(project, '') <> ''
