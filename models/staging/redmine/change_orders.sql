/*
row: One row per issue of the change order tracker, as it is now.
*/
with orders as (
    select
        *,
        json_extract_string(project, '$.id') as project_id
    from raw.issues
    where plays = 'change_order' and _dlt_valid_to is null
),

fields as (
    select
        id,
        unnest(json_extract(custom_fields, '$[*]')) as field
    from orders
),

held as (
    select
        fields.id,
        roles.role,
        nullif(trim(field_text(json_extract(fields.field, '$.value'))), '') as value
    from fields
    inner join reference.source_fields as roles
        on
            roles.source = $source
            and lower(trim(roles.field)) = lower(trim(json_extract_string(fields.field, '$.name')))
),

told as (
    select
        id,
        max(value) filter (where role = 'number') as number,
        max(value) filter (where role = 'amount') as amount,
        max(value) filter (where role = 'reason') as reason,
        max(value) filter (where role = 'days') as days,
        max(lower(value)) filter (where role = 'requested_by') as requested_by
    from held
    group by id
),

entries as (
    select
        id,
        unnest(json_extract(journals, '$[*]')) as journal
    from orders
),

details as (
    select
        entries.id,
        cast(json_extract_string(entries.journal, '$.id') as bigint) as turn,
        json_extract_string(entries.journal, '$.created_on') as noted_at,
        unnest(json_extract(entries.journal, '$.details[*]')) as detail
    from entries
),

changes as (
    select
        id,
        turn,
        noted_at,
        json_extract_string(detail, '$.old_value') as before,
        json_extract_string(detail, '$.new_value') as status_id
    from details
    where json_extract_string(detail, '$.property') = 'attr' and json_extract_string(detail, '$.name') = 'status_id'
),

-- the status an order was made with is what its first change names as the one before
firsts as (
    select
        orders.id,
        orders.created_on as noted_at,
        coalesce(min_by(changes.before, changes.turn), any_value(json_extract_string(orders.status, '$.id')))
            as status_id
    from orders
    left join changes on orders.id = changes.id
    group by orders.id, orders.created_on
),

status_names as (
    select
        id,
        max_by(name, _dlt_valid_from) as name
    from raw.statuses
    group by id
),

stated as (
    select
        id,
        turn,
        noted_at,
        status_id
    from changes
    union all
    select
        id,
        0 as turn,
        noted_at,
        status_id
    from firsts
),

turned as (
    select
        stated.id,
        stated.turn,
        stated.noted_at,
        coalesce(statuses.meaning, status_names.name, 'status ' || stated.status_id) as meaning
    from stated
    left join status_names on stated.status_id = status_names.id
    left join reference.source_statuses as statuses
        on
            statuses.source = $source
            and statuses.status = normal_name(coalesce(status_names.name, 'status ' || stated.status_id))
    where coalesce(statuses.meaning, '') <> 'ignored'
),

followed as (
    select
        *,
        lag(meaning) over (partition by id order by turn) as previous
    from turned
),

-- where it stands, since when, and when it was first put to the decider
standing as (
    select
        id,
        max_by(meaning, turn) as meaning,
        max_by(noted_at, turn) as since,
        min(noted_at) filter (where meaning = 'submitted') as submitted_at
    from followed
    where meaning is distinct from previous
    group by id
),

identifiers as (
    select
        id,
        max_by(identifier, _dlt_valid_from) as identifier
    from raw.projects
    group by id
)

select
    orders.id as source_key,
    orders.url as source_url,
    orders.updated_at as recorded_at,
    case when hidden.id is null then orders.gone_at end as deleted_at,
    orders.project_id as project,
    gates.id as milestone,
    coalesce(told.number, identifiers.identifier || '-' || orders.id) as number,
    orders.subject as title,
    told.reason,
    told.requested_by as requested_by_side,
    case
        when standing.meaning in ('planned', 'started') then 'draft'
        when standing.meaning in ('submitted', 'changes_requested', 'reopened') then 'pending'
        when standing.meaning = 'cancelled' then 'withdrawn'
        when standing.meaning = 'waived' then 'void'
        else coalesce(standing.meaning, 'draft')
    end as status,
    orders.created_on as requested_at,
    standing.submitted_at,
    case
        when standing.meaning in ('approved', 'rejected', 'cancelled', 'waived') then standing.since
    end as decided_at,
    told.amount as amount_requested,
    case when standing.meaning = 'approved' then told.amount end as amount_approved,
    told.days as days_requested,
    case when standing.meaning = 'approved' then told.days end as days_approved
from orders
left join told on orders.id = told.id
left join standing on orders.id = standing.id
left join raw.issues as gates
    on
        json_extract_string(orders.parent, '$.id') = gates.id
        and gates.plays = 'milestone' and gates._dlt_valid_to is null
left join identifiers on orders.project_id = identifiers.id
left join raw.hidden_projects as hidden on orders.project_id = hidden.id and hidden._dlt_valid_to is null
