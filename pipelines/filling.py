"""Which fields of the contract each source fills, counted over the records that a snapshot was made from.

What stays out: whether a source can be asked (doctor.py), and what follows from a field that stays empty (models).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from models import catalog
from models.rewinding import RECEIVED

COMMON = ("source_key", "source_url", "recorded_at", "deleted_at")  # every entity's, and no field of its own


@dataclass(frozen=True, slots=True)
class Filling:
    """How many records of an entity a source gave, and which of the entity's own fields any of them fills."""

    entity: str
    records: int
    filled: tuple[str, ...]
    empty: tuple[str, ...]
    newest: str | None  # latest change on record, as the source wrote it


def fillings(snapshot: Path) -> Mapping[str, list[Filling]]:
    """By source, in the contract's order; empty where the snapshot keeps no records.

    Raises `duckdb.Error` for a file that is no snapshot.
    """
    found: dict[str, list[Filling]] = {}
    with duckdb.connect(str(snapshot), read_only=True) as con:
        kept = con.execute("select table_name from duckdb_tables() where schema_name = ?", [RECEIVED]).fetchall()
        for entity in catalog.contract().entities.values():
            if (entity.name,) not in kept:
                continue
            own = [name for name in entity.columns if name not in COMMON]
            counts = ", ".join(f"count(nullif({name}, ''))" for name in own)
            rows = con.execute(
                f"select source, count(*), max(recorded_at), {counts} from {RECEIVED}.{entity.name} group by source"
            ).fetchall()
            for source, records, newest, *filled in rows:
                has = {name for name, count in zip(own, filled, strict=True) if count}
                told = Filling(
                    entity.name,
                    records,
                    tuple(name for name in own if name in has),
                    tuple(name for name in own if name not in has),
                    newest,
                )
                found.setdefault(source, []).append(told)
    return found
