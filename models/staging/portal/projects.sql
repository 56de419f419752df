/*
row: One row per project of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    client,
    name,
    playbook,
    manager,
    timezone,
    country,
    subdivision,
    contract_amount,
    currency,
    signed_at,
    kickoff_at,
    closed_at,
    status
from raw.projects
