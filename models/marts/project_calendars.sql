/*
row: One row per project and side, with the calendar on which that side's working days are counted.
key: [project_id, side]
columns:
  project_id: The project, as source:key.
  side: Whose calendar - project, client, team or authority.
  calendar: The calendar, as zone|country|subdivision.
  timezone: IANA zone of its days.
  country: Country of its weekends and holidays, ISO 3166-1 alpha-2; null where none is known.
  subdivision: State or region of its holidays, ISO 3166-2 without the country.
fail:
  - calendar is not null
*/
with placed as (
    select
        projects.project_id,
        projects.source,
        projects.timezone,
        coalesce(projects.country, clients.country, $country) as country,
        case
            when projects.subdivision is not null or projects.country is not null then projects.subdivision
            when clients.subdivision is not null or clients.country is not null then clients.subdivision
            else $subdivision
        end as subdivision,
        clients.timezone as client_timezone,
        clients.country as client_country,
        clients.subdivision as client_subdivision
    from staging.projects as projects
    left join staging.clients as clients
        on projects.client_id = clients.client_id and clients.reject_reason is null
    where projects.reject_reason is null
),

-- where a client or a firm works is known by its country alone; without one it keeps the project's days off
sided as (
    select
        project_id,
        'project' as side,
        timezone,
        country,
        subdivision
    from placed
    union all
    select
        project_id,
        'authority' as side,
        timezone,
        country,
        subdivision
    from placed
    union all
    select
        project_id,
        'client' as side,
        coalesce(client_timezone, timezone) as timezone,
        coalesce(client_country, country) as country,
        case when client_country is not null then client_subdivision else subdivision end as subdivision
    from placed
    union all
    select
        placed.project_id,
        'team' as side,
        coalesce(sources.timezone, placed.timezone) as timezone,
        coalesce(sources.country, placed.country) as country,
        case when sources.country is not null then sources.subdivision else placed.subdivision end as subdivision
    from placed
    left join reference.sources as sources on placed.source = sources.source
)

select
    project_id,
    side,
    -- a subdivision of no country says nothing
    concat_ws('|', timezone, country, case when country is not null then subdivision end) as calendar,
    timezone,
    country,
    case when country is not null then subdivision end as subdivision
from sided
