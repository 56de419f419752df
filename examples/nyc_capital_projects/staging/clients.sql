/*
row: One row per agency that a project is built for.
*/
-- 95 projects name no client agency (94 empty, one NA): there the managing agency builds for itself, as the
-- file says in so many words of 51 others (DEP for DEP, DSNY for DSNY). Several agencies in one cell
-- ("DEP, DOT") stay one client, since a project has one.
select
    client as source_key,
    client as name,
    'America/New_York' as timezone,
    'USD' as currency,
    'US' as country,
    'NY' as subdivision,
    min(_file) as source_url
from (
    select
        coalesce(client_agency, managing_agency) as client,
        _file
    from raw.reports
) as agencies
group by client
