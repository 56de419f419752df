"""Pulls one source into its raw schema of the warehouse, and notes every pull in `ops.pulls`.

The warehouse alone says where the last pull stopped: rows and state are stored together, and whatever an
interrupted pull left in the working folder is thrown away and asked for again. So a pull goes on from a
kill, a restored backup or a deleted warehouse alike. Changes are merged by dlt; whole tables are replaced in
one transaction, since dlt would keep columns that a file no longer has. What stays out: how a tool is asked
(sources) and what its records mean (staging).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext

from models import build
from models.faults import Fault, fault
from pipelines import warehouse
from pipelines.settings import Settings
from pipelines.sources import CHANGES, WHOLES

# All dlt is told: nothing is read from the environment, from ~/.dlt or from a .dlt folder.
_DLT = {
    "runtime": {"dlthub_telemetry": False, "log_level": "CRITICAL"},
    "load": {"workers": 1, "truncate_staging_dataset": True, "delete_completed_jobs": True},
    "normalize": {"workers": 1},
}
_NEWEST_COLUMNS = """
select table_name, column_name
from information_schema.columns
where table_schema = ? and column_name in ('updated_at', 'recorded_at') and not starts_with(table_name, '_dlt')
"""


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull brought. `rows` counts the rows loaded per table; instants are UTC."""

    source: str
    kind: str
    firm: str
    started_at: datetime
    finished_at: datetime
    rows: Mapping[str, int]
    changed: bool
    newest_recorded_at: datetime | None


def pull(
    settings: Settings, source: str, now: datetime, environ: Mapping[str, str] = os.environ, **told: Any
) -> PullReport:
    """Brings what is new of one source into schema `raw_<source>` of the warehouse.

    `now` is noted as the time of the pull, UTC; `told` is passed on to the source. The warehouse is closed
    again on return. Raises `Fault` for whatever is wrong with the source, its settings or the warehouse
    file; all but the last are noted.
    """
    configured = settings.sources.get(source)
    if configured is None:
        cure = f"There are: {', '.join(settings.sources) or 'none'}."
        raise fault(f"source {source}", "is not in the settings.", cure)
    kind, firm, began = configured.kind, configured.firm, time.monotonic()
    load = _merge_changes if kind in CHANGES else _replace_wholes
    with warehouse.open_warehouse(settings.warehouse) as con:
        try:
            rows, changed = load(con, settings, source, environ, told)
            newest = _newest_recorded_at(con, f"raw_{source}") if changed else _last_noted(con, source)
        except Exception as error:
            _note(con, (source, kind, firm, _naive(now), "failed", 0, None, str(error)))
            raise
        _note(con, (source, kind, firm, _naive(now), "ok", sum(rows.values()), newest, None))
    finished_at = now + timedelta(seconds=time.monotonic() - began)
    recorded_at = newest.replace(tzinfo=UTC) if newest else None
    return PullReport(source, kind, firm, now, finished_at, rows, changed, recorded_at)


def _merge_changes(
    con: duckdb.DuckDBPyConnection, settings: Settings, name: str, environ: Mapping[str, str], told: Mapping[str, Any]
) -> tuple[dict[str, int], bool]:
    """Rows loaded per table, and whether the raw schema was changed at all."""
    shutil.rmtree(settings.pull_state / name, ignore_errors=True)
    Container()[PluggableRunContext] = PluggableRunContext(_Context(settings.pull_state))
    records = CHANGES[settings.sources[name].kind](name, settings, environ, **told)
    pipeline = dlt.pipeline(
        name,
        pipelines_dir=str(settings.pull_state),
        destination=dlt.destinations.duckdb(con),
        dataset_name=f"raw_{name}",
    )
    try:
        pipeline.run(records, loader_file_format="parquet")
    except Exception as error:
        if found := _fault_within(error):
            raise found from None
        raise
    counted = pipeline.last_trace.last_normalize_info.row_counts
    return {table: counted.get(table, 0) for table in records.resources}, bool(counted)


def _replace_wholes(
    con: duckdb.DuckDBPyConnection, settings: Settings, name: str, environ: Mapping[str, str], told: Mapping[str, Any]
) -> tuple[dict[str, int], bool]:
    """Replaces the tables whose print differs and drops those no longer configured, all or nothing."""
    wholes = WHOLES[settings.sources[name].kind](name, settings, environ, **told)
    stored = con.execute("select table_name, print from ops.whole_tables where source = ?", [name]).fetchall()
    known = dict(stored)
    fresh = {table: whole.read() for table, whole in wholes.items() if known.get(table) != whole.print}
    gone = known.keys() - wholes.keys()
    with build.together(con):
        con.execute(f"create schema if not exists raw_{name}")
        for table, frame in fresh.items():
            con.register("_fresh", frame.to_arrow())
            con.execute(f"create or replace table raw_{name}.{_quoted(table)} as select * from _fresh")
            con.unregister("_fresh")
        for table in gone:
            con.execute(f"drop table if exists raw_{name}.{_quoted(table)}")
        for table in [*fresh, *gone]:
            con.execute("delete from ops.whole_tables where source = ? and table_name = ?", [name, table])
        for table in fresh:
            con.execute("insert into ops.whole_tables values (?, ?, ?)", [name, table, wholes[table].print])
    return {table: fresh[table].height if table in fresh else 0 for table in wholes}, bool(fresh or gone)


class _Context(RunContext):  # type: ignore[misc]
    """dlt's surroundings: the settings above, and the working folder for whatever it keeps."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._global_dir = str(folder)

    def initial_providers(self) -> list[ConfigProvider]:
        return [CustomLoaderDocProvider("milepost", lambda: _DLT)]


def _note(con: duckdb.DuckDBPyConnection, row: tuple[Any, ...]) -> None:
    con.execute("insert into ops.pulls values (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _last_noted(con: duckdb.DuckDBPyConnection, source: str) -> datetime | None:
    """The newest instant seen by earlier pulls; nothing has come since."""
    sql = "select max(newest_recorded_at) from ops.pulls where source = ?"
    newest: datetime | None = con.execute(sql, [source]).fetchall()[0][0]
    return newest


def _newest_recorded_at(con: duckdb.DuckDBPyConnection, schema: str) -> datetime | None:
    """The newest instant at which any row was written in its tool, UTC, without a zone."""
    found = con.execute(_NEWEST_COLUMNS, [schema]).fetchall()
    each = [
        f"select max(timezone('UTC', try_cast({column} as timestamptz))) as newest from {schema}.{_quoted(table)}"
        for table, column in found
    ]
    if not each:
        return None
    newest: datetime | None = con.execute(f"select max(newest) from ({' union all '.join(each)})").fetchall()[0][0]
    return newest


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _fault_within(error: BaseException | None) -> Fault | None:
    """The fault that dlt wrapped, if there is one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Fault):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
