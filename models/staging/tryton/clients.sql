/*
row: One row per party of a Tryton that has a project or a bill, and per party merged into one.
*/
with served as (
    select party from raw.invoices
    union
    select party from raw.works
    where party is not null
),

wanted as (
    select party from served
    union
    select parties.id from raw.parties as parties
    inner join served on parties.replaced_by = served.party
),

-- the first address in use that names a country, one for invoices before others
homes as (
    select
        party,
        country_code,
        subdivision_code
    from raw.addresses
    where gone_at is null and country_code is not null
    qualify row_number() over (
        partition by party
        order by
            active in ('true', '1') desc,
            coalesce(invoice, '') in ('true', '1') desc,
            try_cast(sequence as integer) nulls last,
            cast(id as integer)
    ) = 1
)

select
    parties.id as source_key,
    parties.web as source_url,
    parties.updated_at as recorded_at,
    parties.gone_at as deleted_at,
    coalesce(nullif(parties.name, ''), 'Party ' || parties.code) as name,
    homes.country_code as country,
    -- an ISO code with its country before it, such as DE-BE
    nullif(split_part(homes.subdivision_code, '-', 2), '') as subdivision,
    parties.active as is_active,
    parties.replaced_by as merged_into
from raw.parties as parties
inner join wanted on parties.id = wanted.party
left join homes on parties.id = homes.party
