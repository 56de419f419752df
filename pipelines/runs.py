"""What is remembered of refreshes: a row each in `ops.runs`, its steps in `ops.run_steps`, the newest also in a file.

A row is written when a refresh begins and completed when it ends; one that was never completed is closed by the next
refresh as interrupted. The file `runs.json` tells what the newest rows tell, because the dashboard never opens the
warehouse and `milepost runs` need not wait for it. What stays out: whose turn it is (turns.py), and telling people
(alerting.py).
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from models import build
from models.build import Connection
from models.faults import fault

FILE = "runs.json"
SHOWN = 30  # rows in the file
WRITTEN = 2000  # letters of an error that are kept
CUT_SHORT = "The process ended before the refresh did."

Outcome = Literal["ok", "stale", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Step:
    """One table or file made. `rows` is the number of rows in it, or pulled; seconds are wall-clock."""

    name: str
    rows: int | None
    seconds: float
    check_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a refresh ended: `stale` is ok but for sources that are not up to date, `published` the snapshot's id."""

    ended_at: datetime
    outcome: Outcome
    steps: Sequence[Step] = ()
    checks: int = 0
    warnings: int = 0
    published: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A row as it is told: instants are UTC; `outcome` is running where it has not ended."""

    run_id: str
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    row_count: int | None
    rejected_count: int | None
    check_count: int | None
    warning_count: int | None
    published: str | None
    error: str | None
    steps: tuple[Step, ...] = ()


def begin(con: Connection, run_id: str, started_by: str, at: datetime) -> list[datetime]:
    """Opens a row. Closes those that were left open, and says when they had begun; only with the turn taken."""
    with build.together(con):
        left_open = con.execute("select started_at from ops.runs where outcome = 'running' order by 1").fetchall()
        con.execute("update ops.runs set outcome = 'interrupted', error = ? where outcome = 'running'", [CUT_SHORT])
        con.execute(
            "insert into ops.runs (run_id, started_by, started_at, outcome) values (?, ?, ?, 'running')",
            [run_id, started_by, _naive(at)],
        )
    return [began.replace(tzinfo=UTC) for (began,) in left_open]


def end(con: Connection, run_id: str, ended: Ended) -> None:
    """Completes the row of a refresh, and notes its steps."""
    pulled = [step.rows for step in ended.steps if step.name.startswith("raw/") and step.rows is not None]
    with build.together(con):
        con.execute(
            "update ops.runs set ended_at = ?, outcome = ?, row_count = ?, rejected_count = ?, check_count = ?, "
            "warning_count = ?, published = ?, error = ? where run_id = ?",
            [
                _naive(ended.ended_at),
                ended.outcome,
                sum(pulled),
                _rejected(con) if ended.published else None,
                ended.checks,
                ended.warnings,
                ended.published,
                ended.error[:WRITTEN] if ended.error else None,
                run_id,
            ],
        )
        con.execute("delete from ops.run_steps where run_id = ?", [run_id])
        if ended.steps:
            con.executemany(
                "insert into ops.run_steps values (?, ?, ?, ?, ?, ?)",
                [
                    [run_id, place, one.name, one.rows, one.seconds, one.check_seconds]
                    for place, one in enumerate(ended.steps)
                ],
            )


def keep_newest(con: Connection, count: int) -> None:
    """Forgets all but the newest so many rows, with their steps."""
    with build.together(con):
        con.execute(
            "delete from ops.runs where run_id not in "
            "(select run_id from ops.runs order by started_at desc, run_id limit ?)",
            [count],
        )
        con.execute("delete from ops.run_steps where run_id not in (select run_id from ops.runs)")


def mirror(con: Connection, data: Path) -> None:
    """Writes the newest rows to the file, by one rename: a reader sees all of it or the file before."""
    rows = con.sql(f"from ops.runs order by started_at desc, run_id limit {SHOWN}").pl().to_dicts()
    steps = con.sql("from ops.run_steps order by run_id, position").pl().to_dicts()
    by_run: dict[str, list[dict[str, Any]]] = {}
    for step in steps:
        told = {name: step[name] for name in ("row_count", "seconds", "check_seconds")}
        by_run.setdefault(step["run_id"], []).append({"step": step["step"], **told})
    for row in rows:
        row |= {name: row[name] and row[name].isoformat() + "Z" for name in ("started_at", "ended_at")}
        row["steps"] = by_run.get(row["run_id"], [])
    unfinished = data / f"{FILE}.{secrets.token_hex(4)}.tmp"
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(rows, stream, ensure_ascii=False)
        os.replace(unfinished, data / FILE)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def newest(data: Path) -> list[Run]:
    """The newest rows, newest first; none where nothing was refreshed yet. Raises `Fault` for a file that is broken."""
    file = data / FILE
    try:
        return [_told(row) for row in json.loads(file.read_text("utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise fault(str(file), f"cannot be read ({error}).", "Delete it: the next refresh writes it anew.") from None


def as_json(run: Run) -> dict[str, Any]:
    told = asdict(run)
    return told | {name: told[name] and told[name].isoformat() for name in ("started_at", "ended_at")}


def _told(row: dict[str, Any]) -> Run:
    steps = tuple(Step(one["step"], one["row_count"], one["seconds"], one["check_seconds"]) for one in row["steps"])
    instants = {name: row[name] and datetime.fromisoformat(row[name]) for name in ("started_at", "ended_at")}
    return Run(**{**row, **instants, "steps": steps})


def _rejected(con: Connection) -> int | None:
    is_there = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = 'marts' "
        "and table_name = 'rejects'"
    ).fetchall()
    return int(build.first(con, "select count(*) from marts.rejects")) if is_there else None


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
