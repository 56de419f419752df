"""Cycle times by client and phase in SQLite, in memory: loaded row by row, percentiles with window functions."""

from __future__ import annotations

import glob
import sqlite3

import pyarrow.dataset as ds
from pyarrow import types

COLUMNS = ["gate_id", "client", "phase", "type", "occurred_at"]

ANSWER = """
with gates as (
    select
        gate_id,
        min(client) as client,
        min(phase) as phase,
        min(occurred_at) filter (where type = 'started') as started_at,
        max(occurred_at) filter (where type = 'approved') as approved_at,
        max(occurred_at) filter (where type <> 'started') as decided_at
    from events
    group by gate_id
),

cycles as (
    select
        client,
        phase,
        approved_at - started_at as cycle_micros
    from gates
    where started_at is not null and approved_at = decided_at
),

ranked as (
    select
        client,
        phase,
        cycle_micros,
        row_number() over (partition by client, phase order by cycle_micros) - 1 as place,
        count(*) over (partition by client, phase) as n
    from cycles
),

weighted as (
    select
        client,
        phase,
        n,
        cycle_micros,
        max(0, 1 - abs((n - 1) * 0.5 - place)) as p50_weight,
        max(0, 1 - abs((n - 1) * 0.85 - place)) as p85_weight
    from ranked
    where abs((n - 1) * 0.5 - place) < 1 or abs((n - 1) * 0.85 - place) < 1
)

select
    client,
    phase,
    n,
    sum(cycle_micros * p50_weight) / 86400000000.0 as p50_days,
    sum(cycle_micros * p85_weight) / 86400000000.0 as p85_days
from weighted
group by client, phase
"""


def load(files: str) -> sqlite3.Connection:
    """Rows the question needs, in one transaction; instants as whole microseconds."""
    con = sqlite3.connect(":memory:")
    con.execute("pragma temp_store = memory")
    con.execute("create table events (gate_id integer, client text, phase text, type text, occurred_at integer)")
    found = ds.dataset(sorted(glob.glob(files)))
    for batch in found.to_batches(columns=COLUMNS, filter=ds.field("type") != "submitted"):
        columns = [
            (column.cast("int64") if types.is_timestamp(column.type) else column).to_pylist()
            for column in batch.columns
        ]
        con.executemany("insert into events values (?, ?, ?, ?, ?)", zip(*columns, strict=True))
    con.commit()
    return con


def answer(con: sqlite3.Connection) -> list[tuple[object, ...]]:
    return con.execute(ANSWER).fetchall()
