/*
row: One row per project - its completion, the one gate the file dates.
*/
-- The start of work is no gate of its own: nothing says when it began to be due, and its cycle time would be nil.
select
    project_id as source_key,
    _file || ', row ' || _row as source_url,
    project_id as project,
    'Completion' as name,
    'completion' as gate,
    '1' as sequence,
    'timestamps' as history_quality
from raw.projects
