/*
row: One row per customer company of a Rocketlane account, as its projects and invoices name it.
*/
with told as (
    select
        customer as company,
        updated_at
    from raw.projects
    union all
    select
        company,
        epoch_text(updated_at, 1000)
    from raw.invoices
),

companies as (
    select
        json_extract_string(company, '$.companyId') as id,
        json_extract_string(company, '$.companyName') as name,
        updated_at
    from told
)

select
    coalesce(id, 'none') as source_key,
    max(updated_at) as recorded_at,
    coalesce(max_by(name, updated_at), 'No customer') as name
from companies
group by id
