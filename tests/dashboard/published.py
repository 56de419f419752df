"""Real snapshots for the pages' tests: the simulated portfolio through the real staging and marts, published.

The records are laid into `raw_<source>` directly, in wire form, as a pull leaves them; nothing goes over HTTP.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from models import catalog
from pipelines import snapshots, warehouse
from pipelines.demo.simulation import simulate
from pipelines.settings import Settings
from pipelines.snapshots import Snapshot
from pipelines.source_blocks import PortalSource

AS_OF = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
FIRMS = {"northlight": "Northlight Studio", "relay": "Relay Onboarding", "hearth": "Hearth & Beam"}
_WIRE = {"source_key": "id", "recorded_at": "updated_at", "source_url": "url"}


def settings_of(data: Path) -> Settings:
    sources = {name: PortalSource(kind="portal", firm=firm, url="http://127.0.0.1:9") for name, firm in FIRMS.items()}
    return Settings(data=data, sources=sources)


def publish(data: Path, projects: int, as_of: datetime = AS_OF, failed: tuple[str, ...] = ()) -> Snapshot:
    """A snapshot of `projects` simulated projects; the latest pull of the sources in `failed` went wrong."""
    settings = settings_of(data)
    settings.rates_file.parent.mkdir(parents=True, exist_ok=True)
    portfolio = simulate(seed=7, projects=projects, as_of=as_of)
    pl.DataFrame(portfolio.rates).write_csv(settings.rates_file)
    with warehouse.open_warehouse(settings.warehouse) as con:
        _land(con, portfolio.records)
        _record_pulls(con, as_of, failed)
        return _made(con, settings, as_of)


def republish(data: Path, as_of: datetime) -> Snapshot:
    """Another snapshot of the records that are there, as of another instant."""
    settings = settings_of(data)
    with warehouse.open_warehouse(settings.warehouse) as con:
        return _made(con, settings, as_of)


def _made(con: duckdb.DuckDBPyConnection, settings: Settings, as_of: datetime) -> Snapshot:
    at = warehouse.moment(settings, as_of)
    warehouse.load_reference(con, settings)
    warehouse.stage_all(con, warehouse.staged_sources(settings), at)
    warehouse.build_all(con, at)
    return snapshots.publish(
        con,
        settings.snapshots,
        as_of,
        as_of + timedelta(minutes=5),
        reporting_currency="USD",
        keep=7,
        records_of=warehouse.staged_sources(settings),
        terms=at,
    )


def _land(con: duckdb.DuckDBPyConnection, records: dict[str, list[dict[str, object]]]) -> None:
    for source in FIRMS:
        con.execute(f"create schema if not exists raw_{source}")
        for entity, rows in records.items():
            fields = catalog.contract().entities[entity].columns
            names = list(dict.fromkeys([*(_WIRE.get(name, name) for name in fields), "deleted_at"]))
            mine = [row for row in rows if row["firm"] == source]
            texts = [[None if row.get(name) is None else _text(row[name]) for name in names] for row in mine]
            frame = pl.DataFrame(texts, schema=dict.fromkeys(names, pl.String), orient="row")
            con.register("landing", frame)
            con.execute(f"create or replace table raw_{source}.{entity} as select * from landing")
            con.unregister("landing")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _record_pulls(con: duckdb.DuckDBPyConnection, as_of: datetime, failed: tuple[str, ...]) -> None:
    for source, firm in FIRMS.items():
        went = [(as_of - timedelta(hours=1), "ok", None)]
        if source in failed:
            went.append((as_of - timedelta(minutes=10), "failed", "the portal answered 503 five times."))
        for pulled_at, outcome, message in went:
            at = pulled_at.replace(tzinfo=None)
            con.execute(
                "insert into ops.pulls values (?, 'portal', ?, ?, ?, 100, ?, ?)",
                [source, firm, at, outcome, at - timedelta(hours=2), message],
            )
