/*
row: One row per change order of a Jira site - an issue that the settings' JQL for change orders finds.
*/
with told as (
    select
        issues.id,
        roles.role,
        field_text(json_extract(issues.fields, '$.' || fields.id)) as value
    from raw.change_orders as issues
    inner join reference.source_fields as roles on roles.source = $source
    inner join raw.fields as fields
        on fields._dlt_valid_to is null and roles.field in (fields.id, fields.name)
),

terms as (
    select
        id,
        max(value) filter (where role = 'amount') as amount,
        max(value) filter (where role = 'currency') as currency,
        max(value) filter (where role = 'reason') as reason,
        max(value) filter (where role = 'days') as days
    from told
    group by id
),

changes as (
    select
        issues.id,
        unnest(from_json(
            issues.changelog,
            '[{"id": "VARCHAR", "created": "VARCHAR", "items": [{"fieldId": "VARCHAR", "to": "VARCHAR",
            "toString": "VARCHAR"}]}]'
        )) as change
    from raw.change_orders as issues
),

moves as (
    select
        id,
        try_cast(change.id as bigint) as place,
        instant_text(change.created) as moved_at,
        unnest(list_filter(change.items, lambda item: item.fieldid = 'status')) as item
    from changes
),

states as (
    select
        id,
        place,
        moved_at,
        item."to" as status_id,
        item.tostring as status
    from moves
    union all
    -- the present status stands last in time even where the log does not lead to it
    select
        id,
        null,
        null,
        json_extract_string(fields, '$.status.id'),
        json_extract_string(fields, '$.status.name')
    from raw.change_orders
),

meant as (
    select
        states.id,
        states.place,
        states.moved_at,
        coalesce(by_name.meaning, by_id.meaning, states.status) as meaning
    from states
    left join raw.statuses as statuses on states.status_id = statuses.id and statuses._dlt_valid_to is null
    left join reference.source_statuses as by_name
        on by_name.source = $source and normal_name(states.status) = by_name.status
    left join reference.source_statuses as by_id
        on by_id.source = $source and normal_name(statuses.name) = by_id.status
),

stood as (
    select
        id,
        max_by(meaning, (moved_at is null, try_cast(moved_at as timestamptz), place)) filter (
            where meaning <> 'ignored'
        )
            as meaning,
        max_by(moved_at, (try_cast(moved_at as timestamptz), place)) filter (where meaning = 'submitted')
            as submitted_at,
        max_by(moved_at, (try_cast(moved_at as timestamptz), place))
        filter (where meaning in ('approved', 'rejected', 'cancelled', 'waived'))
            as decided_at
    from meant
    group by id
),

projects as (
    select *
    from raw.projects
    qualify row_number() over (partition by id order by _dlt_valid_from desc) = 1
)

select
    issues.id as source_key,
    regexp_extract(issues.self, '^https?://[^/]+') || '/browse/' || issues.key as source_url,
    issues.updated_at as recorded_at,
    case when coalesce(projects.archived, '') <> 'true' then issues.gone_at end as deleted_at,
    json_extract_string(issues.fields, '$.project.id') as project,
    gates.id as milestone,
    issues.key as number,
    json_extract_string(issues.fields, '$.summary') as title,
    terms.reason,
    case json_extract_string(issues.fields, '$.reporter.accountType') when 'customer' then 'client' end
        as requested_by_side,
    case
        when stood.meaning in ('planned', 'started') then 'draft'
        when stood.meaning in ('submitted', 'changes_requested', 'reopened') then 'pending'
        when stood.meaning = 'cancelled' then 'withdrawn'
        when stood.meaning = 'waived' then 'void'
        else stood.meaning
    end as status,
    json_extract_string(issues.fields, '$.created') as requested_at,
    stood.submitted_at,
    case when stood.meaning in ('approved', 'rejected', 'cancelled', 'waived') then stood.decided_at end as decided_at,
    terms.amount as amount_requested,
    case when stood.meaning = 'approved' then terms.amount end as amount_approved,
    terms.currency,
    terms.days as days_requested,
    case when stood.meaning = 'approved' then terms.days end as days_approved
from raw.change_orders as issues
left join terms on issues.id = terms.id
left join stood on issues.id = stood.id
left join projects on json_extract_string(issues.fields, '$.project.id') = projects.id
left join raw.issues as gates on json_extract_string(issues.fields, '$.parent.id') = gates.id
