"""What a refresh imports and reads once, done beforehand in the process that attempts are forked from.

It must leave no thread behind: a fork has only the one that made it. So nothing here opens DuckDB or a frame.
"""

import dlt.destinations.impl.duckdb.duck
import pyarrow.parquet
import sqlglot.dialects.duckdb

import pipelines.definitions
import pipelines.refreshing
import pipelines.sources.files
import pipelines.sources.portal
from models import catalog, metrics
from pipelines import calendars, checks

DONE = (
    dlt.destinations.impl.duckdb.duck,
    pyarrow.parquet,
    sqlglot.dialects.duckdb,
    pipelines.definitions,
    pipelines.refreshing,
    pipelines.sources.files,
    pipelines.sources.portal,
    metrics.catalogue(),
    checks.specs(catalog.contract(), catalog.marts()),
    calendars.known(),
)
