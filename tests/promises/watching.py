"""Looks at the newest snapshot again and again as the dashboard does, and says what was not whole.

A look opens what serves now, and holds it against what it says of itself: its card, its name, every mart, rows received
= rows shown + rows listed, and facts that a test knows of its as-of instant. Snapshots seen before are read again from
the connections that a dashboard would still hold. What stays out: who publishes meanwhile.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from models import build, catalog
from pipelines import snapshots

SECONDS_BETWEEN_LOOKS = 0.05
OPEN_SNAPSHOTS = 3  # a dashboard keeps as many open


class Watcher:
    """`looks` counts them, `seen` are the snapshots that served, `failures` what was wrong; to stay empty."""

    def __init__(self, folder: Path, facts: Callable[[duckdb.DuckDBPyConnection, datetime], str | None]) -> None:
        self.folder, self.facts = folder, facts
        self.looks, self.seen, self.failures = 0, list[str](), list[str]()
        self._prints: dict[Path, str] = {}
        self._open: deque[tuple[str, duckdb.DuckDBPyConnection, int]] = deque()

    def look(self) -> None:
        self.looks += 1
        serving = snapshots.newest(self.folder)
        if serving is None:
            self.failures.append("nothing serves")
            return
        if serving.id not in self.seen:
            self.seen.append(serving.id)
            self._prints[serving.path] = _print(serving.path)
            con = duckdb.connect(str(serving.path), read_only=True)
            build.steady(con)
            self.failures += [f"{serving.id}: {words}" for words in self._wrong(con, serving)]
            self._open.append((serving.id, con, _gates(con)))
            if len(self._open) > OPEN_SNAPSHOTS:
                self._open.popleft()[1].close()
        for id_, con, gates in self._open:
            if _gates(con) != gates:
                self.failures.append(f"{id_}: its rows changed while it was open")

    def _wrong(self, con: duckdb.DuckDBPyConnection, serving: snapshots.Snapshot) -> Iterator[str]:
        ((id_, as_of),) = con.execute("select snapshot_id, timezone('UTC', as_of) from marts.snapshot").fetchall()
        if (id_, as_of) != (serving.id, serving.as_of):
            yield f"says that it is {id_} as of {as_of}, its card {serving.as_of}"
        there = {name for (name,) in con.execute(_MARTS).fetchall()}
        if lacking := catalog.marts().keys() - there:
            yield f"lacks {sorted(lacking)}"
            return
        for name in catalog.marts():
            con.execute(f"select count(*), sum(hash(one)) from marts.{name} as one").fetchall()  # every block is read
        for entity in catalog.contract().entities.values():
            ((received, shown, listed),) = con.execute(
                f"select (select count(*) from received.{entity.name}), (select count(*) from marts.{entity.mart}), "
                f"(select count(*) from marts.rejects where entity = '{entity.name}')"
            ).fetchall()
            if received != shown + listed:
                yield f"{entity.name}: {received} rows received, {shown} shown and {listed} listed"
        if words := self.facts(con, serving.as_of):
            yield words

    def close(self) -> None:
        """Closes what is open; a file that is still there must be what it was when it was first seen."""
        for _, con, _ in self._open:
            con.close()
        self.failures += [
            f"{file.name}: changed after it was published"
            for file, print_ in self._prints.items()
            if file.exists() and _print(file) != print_
        ]


_MARTS = "select table_name from duckdb_tables() where schema_name = 'marts'"


def _print(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _gates(con: duckdb.DuckDBPyConnection) -> int:
    return int(con.execute("select count(*) from marts.gates").fetchall()[0][0])


@contextmanager
def watched(folder: Path, facts: Callable[[duckdb.DuckDBPyConnection, datetime], str | None]) -> Iterator[Watcher]:
    """A watcher that looks all the time from a thread of its own, until left."""
    watcher, ended = Watcher(folder, facts), threading.Event()

    def watch() -> None:
        while not ended.is_set():
            try:
                watcher.look()
            except Exception as error:
                watcher.failures.append(f"{type(error).__name__}: {error}")
            ended.wait(SECONDS_BETWEEN_LOOKS)

    thread = threading.Thread(target=watch, name="watcher")
    thread.start()
    try:
        yield watcher
    finally:
        ended.set()
        thread.join()
        watcher.close()
