/*
row: One row per client company.
key: [client_id]
columns:
  client_id: The client, as source:key.
  firm: The firm that serves the client.
  client: The client's name as it is now; a renamed client keeps its history.
  timezone: IANA time zone.
  currency: Currency the client is usually billed in, ISO 4217.
  country: Country, ISO 3166-1 alpha-2.
  subdivision: State or region, ISO 3166-2 without the country.
  owner: Who looks after the client.
  is_active: False once the relationship has ended.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - client is not null and firm is not null
*/
select
    clients.client_id,
    sources.firm,
    clients.name as client,
    clients.timezone,
    clients.currency,
    clients.country,
    clients.subdivision,
    clients.owner,
    coalesce(clients.is_active, true) as is_active,
    clients.source,
    clients.source_key,
    clients.source_url
from staging.clients as clients
left join reference.sources as sources on clients.source = sources.source
where clients.reject_reason is null
