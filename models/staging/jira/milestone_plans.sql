/*
row: One row per due date a Jira issue has had, from its log, or date a version was to be released on, as pulls saw it.
*/
with due_fields as (
    select coalesce(max(fields.id), 'duedate') as id
    from reference.source_fields as roles
    inner join raw.fields as fields
        on fields._dlt_valid_to is null and roles.field in (fields.id, fields.name)
    where roles.source = $source and roles.role = 'due'
),

changes as (
    select
        issues.id as milestone,
        unnest(from_json(
            issues.changelog,
            '[{"id": "VARCHAR", "created": "VARCHAR",
            "items": [{"fieldId": "VARCHAR", "from": "VARCHAR", "to": "VARCHAR"}]}]'
        )) as change
    from raw.issues as issues
),

items as (
    select
        milestone,
        change.id as key,
        try_cast(change.id as bigint) as place,
        instant_text(change.created) as recorded_at,
        unnest(change.items) as item
    from changes
),

moves as (
    select items.*
    from items
    inner join due_fields on items.item.fieldid = due_fields.id
),

first_moves as (
    select *
    from moves
    qualify row_number() over (partition by milestone order by try_cast(recorded_at as timestamptz), place) = 1
),

plans as (
    select
        milestone,
        key,
        recorded_at,
        item."to" as due_on
    from moves
    union all
    -- the first date is the one that the first change left; the present one where there was none
    select
        issues.id,
        issues.id || '-created',
        json_extract_string(issues.fields, '$.created'),
        case
            when first_moves.key is null
                then field_text(json_extract(issues.fields, '$.' || due_fields.id))
            else first_moves.item."from"
        end
    from raw.issues as issues
    cross join due_fields
    left join first_moves on issues.id = first_moves.milestone
),

-- a date written when a version is released is when it was, and was never planned
dated as (
    select
        id,
        release_date,
        cast(_dlt_valid_from as varchar) as seen_at,
        row_number() over (partition by id order by _dlt_valid_from) as place
    from raw.versions
    where coalesce(released, '') <> 'true' and release_date is not null
    qualify release_date is distinct from lag(release_date) over (partition by id order by _dlt_valid_from)
)

select
    key as source_key,
    recorded_at,
    milestone,
    left(due_on, 10) as due_on
from plans
where coalesce(due_on, '') <> ''
union all
select
    'version-' || id || '-' || place,
    seen_at,
    'version-' || id,
    release_date
from dated
