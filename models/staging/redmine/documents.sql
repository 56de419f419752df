/*
row: One row per file attached to a gate's issue; none is required, for Redmine doesn't say what a gate calls for.
*/
with attached as (
    select
        id,
        unnest(json_extract(attachments, '$[*]')) as file
    from raw.issues
    where plays = 'milestone' and _dlt_valid_to is null
)

select
    json_extract_string(attached.file, '$.id') as source_key,
    json_extract_string(attached.file, '$.content_url') as source_url,
    json_extract_string(attached.file, '$.created_on') as recorded_at,
    attached.id as milestone,
    coalesce(
        nullif(trim(json_extract_string(attached.file, '$.description')), ''),
        json_extract_string(attached.file, '$.filename')
    ) as type,
    'false' as required,
    json_extract_string(attached.file, '$.created_on') as received_at,
    json_extract_string(attached.file, '$.content_url') as url
from attached
