/*
row: One row per document of a client portal, latest version.
*/
select
    id as source_key,
    url as source_url,
    updated_at as recorded_at,
    deleted_at,
    milestone,
    project,
    type,
    required,
    received_at,
    accepted_at,
    expires_on,
    url
from raw.documents
