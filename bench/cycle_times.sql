-- P50 and P85 of gate cycle times by client and phase, from the raw event log: Parquet files that $files names.
-- An approval is final where no refusal and no reopening came after it; gates that are open have no duration yet.
-- Client and phase are grouped as numbers of a list of their words, as polars' categories are, which keeps the rows of
-- the gates' hash table short. `try_cast`, as what cannot fail is done once for each word of a file's own list.
create or replace temp type client_name as enum (
    select distinct client
    from read_parquet($files)
    where client is not null
);

create or replace temp type phase_name as enum (
    select distinct phase
    from read_parquet($files)
    where phase is not null
);

with gates as (
    select
        gate_id,
        try_cast(client as client_name) as client,
        try_cast(phase as phase_name) as phase,
        min(case when type = 'started' then epoch_us(occurred_at) end) as started_micros,
        -- when a gate was last decided and whether it was approved then, in one number: twice the instant, plus one
        -- if approved. Odd is approved; of two decisions in the same microsecond the approval counts.
        max(case
            when type = 'approved' then 2 * epoch_us(occurred_at) + 1
            when type <> 'started' then 2 * epoch_us(occurred_at)
        end) as last_decision
    from read_parquet($files)
    where type <> 'submitted'
    group by all
),

cycles as (
    select
        client,
        phase,
        (last_decision - 1) // 2 - started_micros as cycle_micros
    from gates
    where started_micros is not null and last_decision % 2 <> 0
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
