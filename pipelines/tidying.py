"""What is thrown away of what refreshes leave behind, so that a folder that is refreshed for years does not grow.

Kept are the newest rows of runs, pulls and alerts, the newest of the loader's own notes, and the newest runs of
Dagster. What is remembered of gates (models/terms_seen.py) is kept for good, and snapshots are kept by
`snapshots.publish`. What stays out: records, which go when their tool no longer has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models import build
from models.build import Connection
from pipelines import runs
from pipelines.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

KEPT_LOADS = 50  # of the loader's notes of a source
KEPT_STATES = 5


def warehouse(con: Connection, settings: Settings) -> None:
    """Forgets old rows of an open warehouse: of runs and alerts, of each source's pulls, and of its loads."""
    runs.keep_newest(con, settings.keep_runs)
    with build.together(con):
        _forget_pulls(con, settings.keep_runs)
        _forget_alerts(con, settings.keep_runs)
        for source in settings.sources:
            _forget_loads(con, f"raw_{source}")


def _forget_pulls(con: Connection, keep: int) -> None:
    """The last good pull stays, however long ago: it says of when the records are that are shown."""
    con.execute(
        """
        delete from ops.pulls where rowid in (
            select rowid from ops.pulls
            qualify row_number() over (partition by source order by pulled_at desc, rowid desc) > $keep
                and not (outcome = 'ok' and row_number() over (
                    partition by source, outcome order by pulled_at desc, rowid desc
                ) = 1)
        )""",
        {"keep": keep},
    )


def _forget_alerts(con: Connection, keep: int) -> None:
    con.execute(
        "delete from ops.alerts where recovered_at is not null and rowid not in "
        "(select rowid from ops.alerts order by raised_at desc limit ?)",
        [keep],
    )
    con.execute(
        "delete from ops.alert_notices where not exists (select 1 from ops.alerts where "
        "alerts.cause = alert_notices.cause and alerts.raised_at = alert_notices.raised_at)"
    )


def _forget_loads(con: Connection, schema: str) -> None:
    """Of the loader's notes the newest states, the loads these belong to, and the newest loads."""
    rows = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = ? "
        "and table_name in ('_dlt_loads', '_dlt_pipeline_state')",
        [schema],
    ).fetchall()
    if len(rows) < 2:
        return
    state, loads = f"{schema}._dlt_pipeline_state", f"{schema}._dlt_loads"
    con.execute(
        f"delete from {state} where _dlt_load_id not in "
        f"(select _dlt_load_id from {state} order by _dlt_load_id desc limit ?)",
        [KEPT_STATES],
    )
    con.execute(
        f"delete from {loads} where load_id not in (select _dlt_load_id from {state}) "
        f"and load_id not in (select load_id from {loads} order by rowid desc limit ?)",
        [KEPT_LOADS],
    )


def dagster(instance: dg.DagsterInstance, keep: int) -> int:
    """Deletes all but the newest runs of Dagster that have ended, with their events and output; says how many."""
    import dagster as dg_

    ended = dg_.RunsFilter(
        statuses=[dg_.DagsterRunStatus.SUCCESS, dg_.DagsterRunStatus.FAILURE, dg_.DagsterRunStatus.CANCELED]
    )
    old = instance.get_runs(ended)[keep:]
    for run in old:
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        instance.delete_run(run.run_id)
        _forget_checks(instance, run.run_id)
    return len(old)


def _forget_checks(instance: dg.DagsterInstance, run_id: str) -> None:
    """What Dagster leaves of a deleted run: the outcomes of its checks, and an empty file of two megabytes."""
    from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
    from sqlalchemy import text

    storage = instance.event_log_storage
    storage = getattr(storage, "event_log_storage", storage)
    if isinstance(storage, SqlEventLogStorage):
        with storage.index_connection() as connection:
            connection.execute(text("delete from asset_check_executions where run_id = :run"), {"run": run_id})
    if isinstance(storage, SqliteEventLogStorage):
        for file in Path(storage.path_for_shard(run_id)).parent.glob(f"{run_id}.db*"):
            file.unlink(missing_ok=True)
