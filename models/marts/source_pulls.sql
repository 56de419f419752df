/*
row: One row per time a source was pulled, whether it worked or not, and whatever the as-of date.
columns:
  source: The source.
  kind: What kind of tool it is.
  firm: The firm whose records it holds.
  pulled_at: When the pull began.
  outcome: ok or failed.
  row_count: Records received.
  newest_recorded_at: Latest change in the tool that has been received.
  message: What went wrong, where something did.
  is_latest: True for the source's latest pull.
*/
select
    source,
    kind,
    firm,
    pulled_at,
    outcome,
    row_count,
    newest_recorded_at,
    message,
    row_number() over (partition by source order by pulled_at desc) = 1 as is_latest
from ops.pulls
