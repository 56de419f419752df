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
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from pipelines import room, warehouse
from pipelines.settings import Settings
from pipelines.sources import WHOLE, kind
from pipelines.sources.door import PATIENT, Patience
from pipelines.sources.landing import KEYS, Terms, is_unfinished

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
class _Errand:
    """What one pull is about: which source, when, with which secrets and how much patience."""

    settings: Settings
    source: str
    now: datetime
    environ: Mapping[str, str]
    patience: Patience


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
    patience: Patience = PATIENT,
) -> PullReport:
    """Brings what is new of one source into schema `raw_<source>` of the warehouse.

    `now` is noted as the time of the pull, UTC. The warehouse is closed again on return. Raises `Fault` for
    whatever is wrong with the source, its settings or the warehouse file; all but the last are noted.
    """
    configured = settings.sources.get(source)
    if configured is None:
        cure = f"There are: {', '.join(settings.sources) or 'none'}."
        raise fault(f"source {source}", "is not in the settings.", cure)
    which, firm, began = configured.kind, configured.firm, time.monotonic()
    load = _replace_wholes if which in WHOLE else _merge_changes
    with warehouse.open_warehouse(settings.warehouse) as con:
        try:
            rows, changed = load(con, _Errand(settings, source, now, environ, patience))
            newest = _newest_recorded_at(con, f"raw_{source}") if changed else _last_noted(con, source)
        except Exception as error:
            refused = room.refusal(error, settings.data)
            _note(con, (source, which, firm, _naive(now), "failed", 0, None, str(refused or error)))
            raise
        _note(con, (source, which, firm, _naive(now), "ok", sum(rows.values()), newest, None))
    finished_at = now + timedelta(seconds=time.monotonic() - began)
    recorded_at = newest.replace(tzinfo=UTC) if newest else None
    return PullReport(source, which, firm, now, finished_at, rows, changed, recorded_at)


def _merge_changes(con: duckdb.DuckDBPyConnection, errand: _Errand) -> tuple[dict[str, int], bool]:
    """Rows loaded per table, and whether the raw schema was changed at all.

    Where a sweep of keys shows rows that were never received, their tables are read again from the start.
    """
    name, configured = errand.source, errand.settings.sources[errand.source]
    shutil.rmtree(errand.settings.pull_state / name, ignore_errors=True)
    terms = Terms(errand.now, timedelta(seconds=getattr(configured, "lookback_seconds", 0)))
    _mark_gone(con, name)  # of a sweep that was stored right before a kill
    loaded = _until_done(con, errand, terms)
    if _is_sweep_due(con, errand, timedelta(hours=getattr(configured, "sweep_hours", 24))):
        _leg(con, errand, replace(terms, sweeping=True))
        lost, gone = _mark_gone(con, name)
        con.execute("insert or replace into ops.sweeps values (?, ?)", [name, _naive(errand.now)])
        if lost:
            loaded.update(_until_done(con, errand, replace(terms, afresh=frozenset(lost))))
        loaded.update(gone)
    return dict(loaded), bool(loaded)


def _until_done(con: duckdb.DuckDBPyConnection, errand: _Errand, terms: Terms) -> Counter[str]:
    """Rows per table, over as many runs as it takes; each is stored, so that a kill costs no more than one."""
    loaded: Counter[str] = Counter()
    is_done = False
    while not is_done:
        is_done, rows = _leg(con, errand, terms)
        loaded.update(rows)
        terms = replace(terms, afresh=frozenset())
        if not is_done:
            con.execute("checkpoint")  # until then the engine holds all that was stored in memory
    return loaded


def _is_sweep_due(con: duckdb.DuckDBPyConnection, errand: _Errand, every: timedelta) -> bool:
    con.execute("create table if not exists ops.sweeps (source varchar primary key, swept_at timestamp)")
    found = con.execute("select swept_at from ops.sweeps where source = ?", [errand.source]).fetchall()
    return not found or _naive(errand.now) - found[0][0] >= every


def _leg(con: duckdb.DuckDBPyConnection, errand: _Errand, terms: Terms) -> tuple[bool, dict[str, int]]:
    """One run of dlt, stored with its state; whether it asked for all there is, and rows per table."""
    settings, name = errand.settings, errand.source
    Container()[PluggableRunContext] = PluggableRunContext(_Context(settings.pull_state))
    tool = kind(settings.sources[name].kind)
    records = tool.source(name, settings, errand.environ, terms, errand.patience)
    if not records.resources:  # a kind whose tables need no sweep
        return True, {}
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
    loaded = pipeline.last_trace.last_normalize_info.row_counts
    rows = {table: loaded.get(table, 0) for table in records.resources} if loaded else {}
    return not is_unfinished(pipeline.state), rows


def _mark_gone(con: duckdb.DuckDBPyConnection, source: str) -> tuple[list[str], dict[str, int]]:
    """Compares the keys of a sweep with the rows there: what the tool has no more gets `gone_at`, once.

    Returns the tables that lack rows the tool has, and the rows marked per table. The keys are done with afterwards.
    """
    schema = f"raw_{source}"
    listed = con.execute(
        "select table_name from duckdb_tables() where schema_name = ? and ends_with(table_name, ?)", [schema, KEYS]
    ).fetchall()
    lacking, marked = [], {}
    for (keys,) in listed:
        name = keys.removesuffix(KEYS)
        swept, table = f"{schema}.{_quoted(keys)}", f"{schema}.{_quoted(name)}"
        at = con.execute(f"select max(swept_at) from {swept}").fetchall()[0][0]
        if at is None:
            continue
        there = f"(select id from {swept} where id is not null)"
        with build.together(con):
            gone = con.execute(f"update {table} set gone_at = ? where gone_at is null and id not in {there}", [at])
            count = gone.fetchall()[0][0]
            back = con.execute(f"update {table} set gone_at = null where gone_at is not null and id in {there}")
            count += back.fetchall()[0][0]
            lost = con.execute(f"select count(*) from {there} where id not in (select id from {table})")
            if lost.fetchall()[0][0]:
                lacking.append(name)
            con.execute(f"delete from {swept}")
        if count:
            marked[name] = count
    return lacking, marked


def _replace_wholes(con: duckdb.DuckDBPyConnection, errand: _Errand) -> tuple[dict[str, int], bool]:
    """Replaces the tables whose print differs and drops those no longer configured, all or nothing."""
    settings, name = errand.settings, errand.source
    wholes = kind(settings.sources[name].kind).tables(name, settings, errand.environ)
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
