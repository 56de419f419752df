"""The simulated portfolio as Parquet files of any size, in bounded memory.

Layout of a folder written here:

    <firm>/<entity>.parquet    one file per firm (a source name) and contract entity
    truth/<quantity>.parquet   what was planted, with a `firm` column; shapes in records.py
    rates.csv                  day, currency, rate in US dollars

The entity files are in contract columns, `source_key, recorded_at, source_url, deleted_at` first, with the
values of the wire form (instants, days and money as text): a `files` source reads them without any SQL.
What stays out: deciding any value; that is the simulation's.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetWriter

from models.faults import fault
from pipelines.demo.firms import FIRMS
from pipelines.demo.records import ENTITIES, PORTAL, TRUTHS, Row, kinds
from pipelines.demo.simulation import counts, lives, rates
from pipelines.playbooks import Playbook

ROWS_A_GROUP = 8_192  # bounds memory: some forty tables each hold at most this many rows
_CENT = pa.scalar(Decimal("0.01"))
_TYPES = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}


def write(
    folder: Path,
    seed: int,
    projects: int,
    as_of: datetime,
    *,
    saying: Callable[[str], None] | None = None,
    playbooks: Mapping[str, Playbook] | None = None,
) -> dict[str, int]:
    """Writes the portfolio project by project; returns entity → rows. Files appear once they are whole.

    `saying` is told how far it is. Raises `Fault` where the folder cannot be written.
    """
    rows: Counter[tuple[str, str]] = Counter()
    deleted: Counter[tuple[str, str]] = Counter()
    tables = _tables(folder)
    try:
        for number, (firm, facts, planted) in enumerate(lives(seed, projects, as_of, playbooks), start=1):
            for entity, found in facts.items():
                rows[firm.source, entity] += len(found)
                tables[firm.source, entity].add(found)
            for quantity, found in planted.items():
                tables["truth", quantity].add([(*row, firm.source) for row in found])
            deleted.update((firm.source, row[0]) for row in planted["deletions"])
            if saying and number % 500 == 0:
                saying(f"{number:,} of {projects:,} projects written")
        for table in tables.values():
            table.finish()
        _write_counts(folder, counts(rows, deleted))
        _write_rates(folder / "rates.csv", rates(seed, as_of))
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        for table in tables.values():
            table.drop()
    return {entity: sum(rows[firm, entity] for firm in FIRMS) for entity in ENTITIES}


def _tables(folder: Path) -> dict[tuple[str, str], _Table]:
    found = {}
    try:
        for part in (*FIRMS, "truth"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for firm in FIRMS:
            for entity, shape in ENTITIES.items():
                link = f"{PORTAL}/{firm}/{entity}/"
                found[firm, entity] = _Table(folder / firm / f"{entity}.parquet", [*kinds(shape)], link)
        for quantity, shape in TRUTHS.items():
            fields = [*kinds(shape), ("firm", "text")]
            found["truth", quantity] = _Table(folder / "truth" / f"{quantity}.parquet", fields, None)
    except OSError as error:
        raise _unwritable(folder, error) from None
    return found


def _unwritable(folder: Path, error: OSError) -> Exception:
    return fault(str(folder), f"cannot be written ({error.strerror or error}).", "Name a folder you may write to.")


class _Table:
    """One Parquet file in the making: rows gather until they fill a row group."""

    def __init__(self, file: Path, fields: list[tuple[str, str]], link: str | None) -> None:
        self._file, self._fields, self._link = file, fields, link
        self._unfinished = file.with_name(file.name + ".part")
        self._rows: list[Row] = []
        self._writer: Any = ParquetWriter(self._unfinished, self._frame([]).schema, compression="zstd")

    def add(self, rows: list[Row]) -> None:
        self._rows += rows
        if len(self._rows) >= ROWS_A_GROUP:
            self._write()

    def finish(self) -> None:
        """Writes what is left and gives the file its name."""
        self._write()
        self._writer.close()
        self._unfinished.replace(self._file)

    def drop(self) -> None:
        """Leaves nothing half-written behind."""
        self._writer.close()
        self._unfinished.unlink(missing_ok=True)

    def _write(self) -> None:
        self._writer.write_table(self._frame(self._rows))
        self._rows = []

    def _frame(self, rows: list[Row]) -> Any:
        columns: Sequence[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * len(self._fields)
        found = {name: _column(kind, values) for (name, kind), values in zip(self._fields, columns, strict=True)}
        if self._link is None:
            return pa.table(found)
        key, recorded_at, deleted_at = (found.pop(name) for name in ("key", "recorded_at", "deleted_at"))
        link = pc.binary_join_element_wise(self._link, key, "")
        return pa.table(
            {"source_key": key, "recorded_at": recorded_at, "source_url": link, "deleted_at": deleted_at, **found}
        )


def _column(kind: str, values: Sequence[Any]) -> Any:
    """A column in wire form, made as a whole: value by value would take as long as the simulation."""
    if kind == "instant":
        text = pa.array(values, pa.int64()).cast(pa.timestamp("s")).cast(pa.string())
        return pc.binary_join_element_wise(pc.utf8_replace_slice(text, 10, 11, "T"), "Z", "")
    if kind == "day":
        return pa.array(values, pa.int32()).cast(pa.date32()).cast(pa.string())
    if kind == "money":
        cents = pa.array(values, pa.int64()).cast(pa.decimal128(19, 0))
        return pc.multiply(cents, _CENT).cast(pa.string())
    return pa.array(values, _TYPES[kind])


def _write_counts(folder: Path, found: list[dict[str, Any]]) -> None:
    file = folder / "truth" / "counts.parquet"
    table = pa.Table.from_pylist(found)
    with ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)


def _write_rates(file: Path, found: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["day", "currency", "rate"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
