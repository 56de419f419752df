-- P50 and P85 of gate cycle times by client and phase, from the raw event log.
-- An approval is final where no refusal and no reopening came after it; gates that are open have no duration yet.
with gates as (
    select
        gate_id,
        client,
        phase,
        min(case when type = 'started' then occurred_at end) as started_at,
        max(case when type = 'approved' then occurred_at end) as approved_at,
        max(case when type <> 'started' then occurred_at end) as decided_at
    from read_parquet($files)
    where type <> 'submitted'
    group by all
),

cycles as (
    select
        client,
        phase,
        epoch_us(approved_at) - epoch_us(started_at) as cycle_micros
    from gates
    where started_at is not null and approved_at = decided_at
),

measured as (
    select
        client,
        phase,
        count(*) as n,
        quantile_cont(cycle_micros, [0.5, 0.85]) as micros
    from cycles
    group by all
)

select
    client,
    phase,
    n,
    micros[1] / 86400000000.0 as p50_days,
    micros[2] / 86400000000.0 as p85_days
from measured
