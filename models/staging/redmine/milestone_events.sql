/*
row: One row per turn in a gate's life, from an issue's journals, or from what the pulls saw of a version.
*/
with issues as (
    select * from raw.issues
    where plays = 'milestone' and _dlt_valid_to is null
),

entries as (
    select
        id,
        unnest(json_extract(journals, '$[*]')) as journal
    from issues
),

details as (
    select
        entries.id,
        cast(json_extract_string(entries.journal, '$.id') as bigint) as turn,
        json_extract_string(entries.journal, '$.created_on') as noted_at,
        json_extract(entries.journal, '$.user') as actor,
        unnest(json_extract(entries.journal, '$.details[*]')) as detail
    from entries
),

fields as (
    select
        id,
        unnest(json_extract(custom_fields, '$[*]')) as field
    from issues
),

approvals as (
    select
        fields.id,
        json_extract_string(fields.field, '$.id') as field_id,
        field_text(json_extract(fields.field, '$.value')) as value
    from fields
    inner join reference.source_fields as roles
        on
            roles.source = $source and roles.role = 'client_approval'
            and lower(trim(roles.field)) = lower(trim(json_extract_string(fields.field, '$.name')))
),

-- what changed a gate's status, or the field in which the client approves
changes as (
    select
        details.id,
        details.turn,
        details.noted_at,
        details.actor,
        case json_extract_string(details.detail, '$.property') when 'cf' then 'approval' else 'status' end as aspect,
        coalesce(json_extract_string(details.detail, '$.old_value'), '') as before,
        coalesce(json_extract_string(details.detail, '$.new_value'), '') as word
    from details
    left join approvals on details.id = approvals.id
    where
        (
            json_extract_string(details.detail, '$.property') = 'attr'
            and json_extract_string(details.detail, '$.name') = 'status_id'
        )
        or (
            json_extract_string(details.detail, '$.property') = 'cf'
            and json_extract_string(details.detail, '$.name') = approvals.field_id
        )
),

-- what both were when the issue was made: what the first change names as the value before, else what they are now
first_statuses as (
    select
        id,
        min_by(before, turn) as word
    from changes
    where aspect = 'status'
    group by id
),

first_approvals as (
    select
        id,
        min_by(before, turn) as word
    from changes
    where aspect = 'approval'
    group by id
),

journaled as (
    select
        id,
        turn,
        noted_at,
        actor,
        aspect,
        word
    from changes
    union all
    select
        issues.id,
        0 as turn,
        issues.created_on as noted_at,
        issues.author as actor,
        'status' as aspect,
        coalesce(first_statuses.word, json_extract_string(issues.status, '$.id')) as word
    from issues
    left join first_statuses on issues.id = first_statuses.id
    union all
    select
        issues.id,
        0 as turn,
        issues.created_on as noted_at,
        issues.author as actor,
        'approval' as aspect,
        coalesce(first_approvals.word, approvals.value, '') as word
    from issues
    inner join approvals on issues.id = approvals.id
    left join first_approvals on issues.id = first_approvals.id
),

status_names as (
    select
        id,
        max_by(name, _dlt_valid_from) as name
    from raw.statuses
    group by id
),

-- versions have no journals: what the pulls saw is compared, and dated by Redmine where it says of when it is
version_fields as (
    select
        id,
        _dlt_valid_from,
        unnest(json_extract(custom_fields, '$[*]')) as field
    from raw.versions
),

version_approvals as (
    select
        version_fields.id,
        version_fields._dlt_valid_from,
        max(field_text(json_extract(version_fields.field, '$.value'))) as value
    from version_fields
    inner join reference.source_fields as roles
        on
            roles.source = $source and roles.role = 'client_approval'
            and lower(trim(roles.field)) = lower(trim(json_extract_string(version_fields.field, '$.name')))
    group by version_fields.id, version_fields._dlt_valid_from
),

seen as (
    select
        versions.id,
        versions.url,
        versions.status,
        coalesce(version_approvals.value, '') as approval,
        row_number() over known - 1 as turn,
        lag(versions.status) over known as status_before,
        lag(coalesce(version_approvals.value, '')) over known as approval_before,
        case
            when versions.updated_on > coalesce(lag(versions.updated_on) over known, '') then versions.updated_on
            else strftime(timezone('UTC', versions._dlt_valid_from), '%Y-%m-%dT%H:%M:%SZ')
        end as noted_at
    from raw.versions as versions
    left join version_approvals
        on versions.id = version_approvals.id and versions._dlt_valid_from = version_approvals._dlt_valid_from
    window known as (partition by versions.id order by versions._dlt_valid_from)
),

turned as (
    select
        journaled.id,
        issues.url || case when journaled.turn > 0 then '#change-' || journaled.turn else '' end as url,
        journaled.turn,
        journaled.noted_at,
        journaled.aspect,
        case journaled.aspect
            when 'approval' then journaled.word
            else coalesce(status_names.name, 'status ' || journaled.word)
        end as word,
        json_extract_string(journaled.actor, '$.id') as actor_id,
        json_extract_string(journaled.actor, '$.name') as actor,
        json_extract_string(issues.project, '$.id') as project_id,
        'log' as origin
    from journaled
    inner join issues on journaled.id = issues.id
    left join status_names on journaled.aspect = 'status' and journaled.word = status_names.id
    union all
    select
        'v' || seen.id as id,
        seen.url,
        seen.turn,
        seen.noted_at,
        changed.aspect,
        case changed.aspect when 'approval' then seen.approval else seen.status end as word,
        null as actor_id,
        null as actor,
        null as project_id,
        case when seen.turn = 0 then 'source_timestamp' else 'snapshot_diff' end as origin
    from seen
    cross join (values ('approval'), ('status')) as changed (aspect)
    where
        seen.turn = 0
        or (changed.aspect = 'approval' and seen.approval <> seen.approval_before)
        or (changed.aspect = 'status' and seen.status <> seen.status_before)
),

meant as (
    select
        turned.*,
        case
            when turned.aspect = 'status' then coalesce(statuses.meaning, turned.word)
            when turned.word in ('', '0') then 'withdrawn'
            else 'approved'
        end as meaning
    from turned
    left join reference.source_statuses as statuses
        on statuses.source = $source and statuses.status = normal_name(turned.word)
),

-- an approval taken back together with a refusal is that refusal
counting as (
    select
        meant.*,
        bool_or(meant.meaning in ('changes_requested', 'rejected', 'reopened', 'waived', 'cancelled'))
            over (partition by meant.id, meant.turn)
            as is_refused
    from meant
    where meant.meaning <> 'ignored' and not (meant.turn = 0 and meant.meaning = 'withdrawn')
),

-- in one edit the work comes before the client's approval, and that before the decision that a status tells
followed as (
    select
        counting.*,
        lag(counting.meaning) over (
            partition by counting.id
            order by
                counting.turn,
                case
                    when counting.meaning = 'withdrawn' then 0
                    when counting.meaning in ('planned', 'started', 'submitted') then 1
                    when counting.aspect = 'approval' then 2
                    else 3
                end
        ) as previous,
        -- Redmine tells seconds: what happened in one of them keeps its order by a microsecond each
        dense_rank() over (partition by counting.id, counting.noted_at order by counting.turn) - 1 as place
    from counting
    where counting.meaning <> 'withdrawn' or not counting.is_refused
),

emitted as (
    select
        followed.*,
        unnest(case
            when followed.meaning <> 'withdrawn' then turns(followed.previous, followed.meaning)
            when followed.previous = 'approved' then ['reopened']
            else []
        end) as type
    from followed
),

clients as (
    select distinct
        json_extract_string(members.project, '$.id') as project_id,
        json_extract_string(members.user, '$.id') as user_id
    from raw.client_members as members
),

clients_known as (
    select count(*) > 0 as yes from raw.client_members
)

select
    emitted.id || '-' || emitted.turn || '-' || emitted.type as source_key,
    emitted.url as source_url,
    emitted.noted_at as recorded_at,
    emitted.id as milestone,
    emitted.type,
    case
        -- a day may be noted later than it was; noted on the day itself, the note says the hour too
        when
            emitted.aspect = 'approval' and emitted.word like '____-__-__'
            and not coalesce(
                try_cast(emitted.word as date) - try_cast(left(emitted.noted_at, 10) as date) between 0 and 1, false
            )
            then emitted.word
        when emitted.place > 0
            then regexp_replace(emitted.noted_at, 'Z$', '.' || lpad(cast(emitted.place as varchar), 6, '0') || 'Z')
        else emitted.noted_at
    end as occurred_at,
    emitted.actor,
    case
        when emitted.aspect = 'approval' or clients.user_id is not null then 'client'
        -- whoever notes a decision need not be who made it: the gate says who decides
        when
            emitted.type in ('approved', 'changes_requested', 'rejected', 'waived')
            and not clients_known.yes
            then null
        when emitted.actor_id is not null then 'team'
    end as actor_side,
    emitted.origin
from emitted
cross join clients_known
left join clients on emitted.actor_id = clients.user_id and emitted.project_id = clients.project_id
