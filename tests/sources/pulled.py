"""A source as a test uses it: its block of settings, pulls of it, and what staging and marts make of what was pulled.

What stays out: any tool (the fakes), and what a test expects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from models.faults import Fault
from pipelines import warehouse
from pipelines.pulling import PullReport, pull
from pipelines.settings import Settings
from pipelines.sources.door import Patience

HASTE = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=3)


@dataclass(slots=True)
class Pulled:
    """A source called `desk`, or several: their blocks may be changed between pulls."""

    data: Path
    blocks: dict[str, dict[str, Any]]
    environ: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = HASTE

    @property
    def settings(self) -> Settings:
        return Settings.model_validate({"data": self.data, "sources": self.blocks})

    def pull(self, now: datetime, source: str = "desk") -> PullReport:
        return pull(self.settings, source, now, self.environ, self.patience)

    def refusal(self, now: datetime, source: str = "desk") -> str:
        with pytest.raises(Fault) as caught:
            self.pull(now, source)
        return str(caught.value)

    def stored(self, query: str) -> list[tuple[Any, ...]]:
        with warehouse.open_warehouse(self.settings.warehouse) as con:
            return con.sql(query).fetchall()

    @contextmanager
    def staged(self, as_of: datetime) -> Iterator[duckdb.DuckDBPyConnection]:
        """The warehouse with every staging table made of what was pulled."""
        settings = self.settings
        with warehouse.open_warehouse(settings.warehouse) as con:
            warehouse.load_reference(con, settings)
            warehouse.stage_all(con, warehouse.staged_sources(settings), warehouse.moment(settings, as_of))
            yield con

    @contextmanager
    def built(self, as_of: datetime) -> Iterator[duckdb.DuckDBPyConnection]:
        """The same with every mart built, once all that blocks a snapshot holds."""
        with self.staged(as_of) as con:
            warehouse.build_all(con, warehouse.moment(self.settings, as_of))
            broken = [one for one in warehouse.check_all(con) if one.severity == "fail" and not one.passed]
            assert broken == []
            yield con
