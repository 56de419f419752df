/*
row: One row per project with the calendars that its working days are counted on.
key: [project_id]
columns:
  project_id: The project, as source:key.
  calendar: The project's calendar, as zone|country|subdivision.
  timezone: IANA zone of its days.
  country: Country of its weekends and holidays, ISO 3166-1 alpha-2; null where none is known.
  subdivision: State or region of its holidays, ISO 3166-2 without the country.
  client_calendar: The client's own, on which its waits run; in the project's country where it names none.
  client_timezone: IANA zone of the client's days.
  client_country: Country of the client's weekends and holidays.
  client_subdivision: State or region of the client's holidays.
  team_calendar: The firm's, on which its work runs - of where its source says it works, else the project's.
  team_timezone: IANA zone of the team's days.
  team_country: Country of the team's weekends and holidays.
  team_subdivision: State or region of the team's holidays.
fail:
  - calendar is not null and client_calendar is not null and team_calendar is not null
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
        coalesce(clients.timezone, projects.timezone) as client_timezone,
        clients.country as own_country,
        clients.subdivision as own_subdivision
    from staging.projects as projects
    left join staging.clients as clients
        on projects.client_id = clients.client_id and clients.reject_reason is null
    where projects.reject_reason is null
),

-- the country and its subdivision are taken from the same place, and a subdivision of no country says nothing
told as (
    select
        placed.project_id,
        placed.timezone,
        placed.country,
        case when placed.country is not null then placed.subdivision end as subdivision,
        placed.client_timezone,
        coalesce(placed.own_country, placed.country) as client_country,
        case
            when placed.own_country is not null then placed.own_subdivision
            when placed.country is not null then placed.subdivision
        end as client_subdivision,
        coalesce(sources.timezone, placed.timezone) as team_timezone,
        coalesce(sources.country, placed.country) as team_country,
        case
            when sources.country is not null then sources.subdivision
            when placed.country is not null then placed.subdivision
        end as team_subdivision
    from placed
    left join reference.sources as sources on placed.source = sources.source
)

select
    project_id,
    concat_ws('|', timezone, country, subdivision) as calendar,
    timezone,
    country,
    subdivision,
    concat_ws('|', client_timezone, client_country, client_subdivision) as client_calendar,
    client_timezone,
    client_country,
    client_subdivision,
    concat_ws('|', team_timezone, team_country, team_subdivision) as team_calendar,
    team_timezone,
    team_country,
    team_subdivision
from told
