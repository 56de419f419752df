/*
row: One row per client with the calendar its own waits run on.
key: [client_id]
columns:
  client_id: The client, as source:key.
  calendar: The client's calendar, as zone|country|subdivision.
  timezone: IANA zone of its days.
  country: Country of its weekends and holidays, ISO 3166-1 alpha-2; null where none is known.
  subdivision: State or region of its holidays, ISO 3166-2 without the country.
fail:
  - calendar is not null
*/
with placed as (
    select
        client_id,
        timezone,
        coalesce(country, $country) as country,
        coalesce(subdivision, case when country is null then $subdivision end) as subdivision
    from staging.clients
    where reject_reason is null
)

select
    client_id,
    concat_ws('|', timezone, country, case when country is not null then subdivision end) as calendar,
    timezone,
    country,
    case when country is not null then subdivision end as subdivision
from placed
