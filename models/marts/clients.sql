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
  merged_into_id: The client it was merged into, as source:key.
  current_client_id: The client under which everything of it counts - the end of its mergers, or itself.
  current_client: That client's name as it is now.
  is_merged_in_circle: True where its mergers lead back to where they came by; it then counts under its own name.
  source: The source the record came from.
  source_key: The record's key in that source.
  source_url: Where the record can be looked at.
fail:
  - client is not null and firm is not null
  - not (is_merged_in_circle and merged_into_id is not null)
*/
with named as (
    select
        clients.*,
        target.client_id as target_id
    from staging.clients as clients
    left join staging.clients as target
        on clients.merged_into_id = target.client_id and target.reject_reason is null
    where clients.reject_reason is null
),

-- each step follows the mergers twice as far: 2, 4, 8, 16, 32 of them
once as (
    select
        client_id,
        coalesce(target_id, client_id) as reached_id
    from named
),

twice as (
    select
        near.client_id,
        far.reached_id
    from once as near
    inner join once as far on near.reached_id = far.client_id
),

fourfold as (
    select
        near.client_id,
        far.reached_id
    from twice as near
    inner join twice as far on near.reached_id = far.client_id
),

eightfold as (
    select
        near.client_id,
        far.reached_id
    from fourfold as near
    inner join fourfold as far on near.reached_id = far.client_id
),

sixteenfold as (
    select
        near.client_id,
        far.reached_id
    from eightfold as near
    inner join eightfold as far on near.reached_id = far.client_id
),

followed as (
    select
        near.client_id,
        far.reached_id
    from sixteenfold as near
    inner join sixteenfold as far on near.reached_id = far.client_id
),

-- whoever was reached and was merged again stands in a circle: a chain would have ended
ended as (
    select
        named.*,
        reached.target_id is not null as is_merged_in_circle,
        case when reached.target_id is null then reached.client_id else named.client_id end as current_client_id,
        case when reached.target_id is null then reached.name else named.name end as current_client
    from named
    inner join followed on named.client_id = followed.client_id
    inner join named as reached on followed.reached_id = reached.client_id
)

select
    ended.client_id,
    sources.firm,
    ended.name as client,
    ended.timezone,
    ended.currency,
    ended.country,
    ended.subdivision,
    ended.owner,
    coalesce(ended.is_active, true) as is_active,
    ended.merged_into_id,
    ended.current_client_id,
    ended.current_client,
    ended.is_merged_in_circle,
    ended.source,
    ended.source_key,
    ended.source_url
from ended
left join reference.sources as sources on ended.source = sources.source
