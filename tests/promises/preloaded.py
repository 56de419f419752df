"""What a refresh imports and reads once, done beforehand in the process that attempts are forked from.

It must leave no thread behind: a fork has only the one that made it. So nothing here opens DuckDB or a frame.
"""

import dagster._core.launcher.sync_in_memory_run_launcher
import dagster._core.storage.event_log
import dagster._core.storage.runs
import dlt.common.libs
import dlt.destinations.impl.duckdb.duck
import pyarrow.compute
import pyarrow.parquet
import sqlglot.dialects.duckdb
import upath

import pipelines.definitions
import pipelines.refreshing
import pipelines.sources.files
import pipelines.sources.portal
from models import catalog, metrics
from pipelines import calendars, checks

DONE = (
    dagster._core.launcher.sync_in_memory_run_launcher,
    dagster._core.storage.event_log,
    dagster._core.storage.runs,
    dlt.common.libs,
    pyarrow.compute,
    upath,
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
