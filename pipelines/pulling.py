"""Pulls one source into its raw schema of the warehouse, and notes every pull in `ops.pulls`.

The warehouse alone says where the last pull stopped: dlt stores rows and state together, and whatever an
interrupted pull left in the working folder is thrown away and asked for again. So a pull goes on from a
kill, a restored backup or a deleted warehouse alike. What stays out: how a tool is asked (sources) and
what its records mean (staging).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import CustomLoaderDocProvider
from dlt.common.configuration.providers.provider import ConfigProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common.runtime.run_context import RunContext

from models.faults import Fault, fault
from pipelines.settings import Settings
from pipelines.sources import KINDS

# All dlt is told: nothing is read from the environment, from ~/.dlt or from a .dlt folder.
_DLT = {
    "runtime": {"dlthub_telemetry": False, "log_level": "CRITICAL"},
    "load": {"workers": 1, "truncate_staging_dataset": True, "delete_completed_jobs": True},
    "normalize": {"workers": 1},
}
_PULLS = """
create schema if not exists ops;
create table if not exists ops.pulls (
    source varchar, kind varchar, firm varchar, pulled_at timestamp, outcome varchar, row_count bigint,
    newest_recorded_at timestamp, message varchar
)
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
    settings: Settings,
    source: str,
    now: datetime,
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], datetime] | None = None,
    **told: Any,
) -> PullReport:
    """Brings what is new of one source into schema `raw_<source>` of the warehouse.

    `now` is noted as the time of the pull; `clock` says when it was finished (`now` where it is left out).
    `told` is passed on to the source. The warehouse is closed again on return. Raises `Fault` for
    whatever is wrong with the source, its settings or the warehouse file, after noting it.
    """
    configured = settings.sources.get(source)
    if configured is None:
        raise fault(
            f"source {source}",
            "is not in the settings.",
            f"There are: {', '.join(settings.sources) or 'none'}.",
        )
    with _warehouse(settings.warehouse) as con:
        try:
            rows, changed = _run(con, settings, source, environ, told)
            newest = _newest_recorded_at(con, f"raw_{source}")
        except Fault as error:
            _note(con, (source, configured.kind, configured.firm, _naive(now), "failed", 0, None, str(error)))
            raise
        _note(
            con,
            (source, configured.kind, configured.firm, _naive(now), "ok", sum(rows.values()), newest, None),
        )
    finished_at = clock() if clock else now
    recorded_at = newest.replace(tzinfo=UTC) if newest else None
    return PullReport(source, configured.kind, configured.firm, now, finished_at, rows, changed, recorded_at)


def _run(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    name: str,
    environ: Mapping[str, str],
    told: Mapping[str, Any],
) -> tuple[dict[str, int], bool]:
    """Rows loaded per table, and whether the raw schema was changed at all."""
    shutil.rmtree(settings.pull_state / name, ignore_errors=True)
    Container()[PluggableRunContext] = PluggableRunContext(_Context(settings.pull_state))
    records = KINDS[settings.sources[name].kind](name, settings, environ, **told)
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
    rows = {table: counted.get(table, 0) for table in records.resources}
    return rows, bool(counted)


class _Context(RunContext):
    """dlt's surroundings: the settings above, and the working folder for whatever it keeps."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self._global_dir = str(folder)

    def initial_providers(self) -> list[ConfigProvider]:
        return [CustomLoaderDocProvider("milepost", lambda: _DLT)]


@contextmanager
def _warehouse(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        con = duckdb.connect(str(file))
    except duckdb.Error as error:
        raise fault(str(file), f"the warehouse cannot be opened ({str(error).splitlines()[0]}).",
                    "End the other program that has it open, or move a damaged file away.") from None  # fmt: skip
    try:
        yield con
    finally:
        con.close()


def _note(con: duckdb.DuckDBPyConnection, row: tuple[Any, ...]) -> None:
    con.execute(_PULLS)
    con.execute("insert into ops.pulls values (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _newest_recorded_at(con: duckdb.DuckDBPyConnection, schema: str) -> datetime | None:
    """The newest instant at which any row was written in its tool, UTC, without a zone."""
    found = con.execute(
        "select table_name, column_name from information_schema.columns "
        "where table_schema = ? and column_name in ('updated_at', 'recorded_at') and table_name not like '\\_dlt%' escape '\\'",
        [schema],
    ).fetchall()
    if not found:
        return None
    each = " union all ".join(
        f"select max(timezone('UTC', try_cast({column} as timestamptz))) as newest from {schema}.{table}"
        for table, column in found
    )
    newest: datetime | None = con.execute(f"select max(newest) from ({each})").fetchall()[0][0]
    return newest


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
