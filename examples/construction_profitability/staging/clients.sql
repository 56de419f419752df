/*
row: One row per client named by a project.
*/
-- there is no key but the name; every location (Provo, Ogden, Lehi …) lies in Utah
select
    trim(client_name) as source_key,
    trim(client_name) as name,
    'America/Denver' as timezone,
    'USD' as currency,
    'US' as country,
    'UT' as subdivision,
    min_by(_file || ', row ' || _row, cast(_row as integer)) as source_url
from raw.projects
group by trim(client_name)
