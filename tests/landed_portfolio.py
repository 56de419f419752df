"""A simulated portfolio landed as a pull lands it, staged and built for any instant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from models import catalog
from pipelines import settings, warehouse
from pipelines.demo.simulation import Portfolio

FIRMS = ("northlight", "relay", "hearth")


@contextmanager
def landed(portfolio: Portfolio, folder: Path, as_of: datetime) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse of a data folder holding the portfolio's records, with every table built as of an instant."""
    (folder / "rates").mkdir(parents=True)
    pl.DataFrame(portfolio.rates).write_csv(folder / "rates" / "rates.csv")
    (folder / "milepost.toml").write_text(
        "".join(
            f'[sources.{firm}]\nkind = "portal"\nfirm = "{firm}"\nurl = "http://127.0.0.1"\ntoken_env = "T"\n'
            for firm in FIRMS
        )
    )
    read = settings.load(folder)
    with warehouse.open_warehouse(read.warehouse) as con:
        for firm in FIRMS:
            con.execute(f"create schema raw_{firm}")
            for entity, rows in portfolio.records.items():
                land(con, f"raw_{firm}.{entity}", entity, [row for row in rows if row["firm"] == firm])
        at = warehouse.moment(read, as_of)
        warehouse.load_reference(con, read)
        warehouse.stage_all(con, warehouse.staged_sources(read), at)
        warehouse.build_all(con, at)
        yield con


def land(con: duckdb.DuckDBPyConnection, table: str, entity: str, rows: list[dict[str, Any]]) -> None:
    own = catalog.contract().entities[entity].columns.keys() - {"source_key", "source_url", "recorded_at", "deleted_at"}
    names = sorted({"id", "updated_at", "url", "deleted_at", *own})
    frame = pl.DataFrame(
        [{name: text(row.get(name)) for name in names} for row in rows], schema=dict.fromkeys(names, pl.String)
    )
    con.register("landing", frame)
    con.execute(f"create table {table} as select * from landing")
    con.unregister("landing")


def text(value: object) -> str | None:
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)
