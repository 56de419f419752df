"""What the pulls are measured on: the records of a tool, rendered before the first request, and which answer which.

Every record has an instant of its own, in the order of their keys, so that an answer is a search for a place and a join
of bytes. Here stand the sources that belong to no vendor: the portal with the simulated portfolio, a declared API, a
CSV, a database. What stays out: vendors' tools (pull_vendors.py), sockets (pull_server.py), and any error.
"""

from __future__ import annotations

import csv
import json
import re
import sqlite3
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # by every tool's clock, and by ours
SPAN = timedelta(days=3 * 365)
CLIENTS = ("Aster Foods", "Birch & Sons", "Cobalt Rail", "Dune Hotels", "Elm Dental", "Fjord Outdoor", "Garnet Law")
GATES = ("Kickoff", "Brief", "Concept", "Design", "Build", "Review", "Launch", "Handover")
PEOPLE = ("Ida Berg", "Jonas Becker", "Clara Whitcombe", "Noor Haddad", "Ingrid Solheim")
PER_PROJECT = 50  # gates

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks: `query` holds every value of each parameter."""

    path: str
    query: Mapping[str, list[str]]
    head: bytes
    content: bytes

    def told(self, name: str) -> str | None:
        return self.query[name][-1] if name in self.query else None

    def number(self, name: str, absent: int = 0) -> int:
        return int(self.query[name][-1]) if name in self.query else absent

    def header(self, name: str) -> str | None:
        found = re.search(rb"\r\n%b: *([^\r]*)" % name.encode(), self.head, re.IGNORECASE)
        return found[1].decode() if found else None

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A list in the order of its changes: when each record was changed, the record, and a record of its key alone."""

    dates: list[str]
    records: list[bytes]
    keys: list[bytes]

    def since(self, instant: str | None) -> int:
        """The place of the first record changed at or after an instant."""
        return bisect_left(self.dates, instant) if instant else 0

    def page(self, start: int, size: int, keys_alone: bool = False) -> bytes:
        return b",".join((self.keys if keys_alone else self.records)[start : start + size])

    def __len__(self) -> int:
        return len(self.records)


def first_alone(record: Record) -> Record:
    """The first field of a record, which is its key, as a record of its own."""
    name, value = next(iter(record.items()))
    return {name: value}


def shelf(
    records: Iterable[Record], date: Callable[[Record], str], key: Callable[[Record], Record] = first_alone
) -> Shelf:
    dates, bodies, keys = [], [], []
    for record in records:
        dates.append(date(record))
        bodies.append(rendered(record))
        keys.append(rendered(key(record)))
    return Shelf(dates, bodies, keys)


def rendered(told: Any) -> bytes:
    return json.dumps(told, separators=(",", ":")).encode()


def moment(number: int, of: int) -> datetime:
    """When the record of that number was last changed; every record has an instant of its own, all before NOW."""
    return (NOW - SPAN + SPAN * number / of).replace(microsecond=0)


def iso(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


class Source:
    """What is pulled. `BLOCK` is what its block of settings says beside its kind and, of a tool, url and token; `$url`
    in it is that of the tool.
    """

    BLOCK: ClassVar[str] = ""
    ASKED_SINGLY: ClassVar[bool] = False  # whether most of its records cost a request of their own


class Tool(Source, ABC):
    """A tool that is asked over HTTP. `held` is how many records a pull of it has to land."""

    held: int

    @abstractmethod
    def __init__(self, records: int, seed: int) -> None: ...

    @abstractmethod
    def answer(self, asked: Asked) -> bytes | None:
        """The body of a 200; None for what the tool does not know."""


class Local(Source, ABC):
    """A source that lies in the data folder."""

    @staticmethod
    @abstractmethod
    def write(data: Path, records: int) -> int:
        """Writes it; returns how many records a pull has to land."""


# --- Milepost's own contract -----------------------------------------------------------------------------


class Portal(Tool):
    """A client portal with the simulated portfolio of three firms."""

    RECORDS_A_PROJECT = 70  # the simulation's mean

    def __init__(self, records: int, seed: int) -> None:
        from pipelines.demo.simulation import simulate  # of no use to whom only the blocks are of use

        projects = max(1, round(records / self.RECORDS_A_PROJECT))
        self._shelves = {
            entity: shelf(sorted(rows, key=_change), lambda row: str(row["updated_at"]))
            for entity, rows in simulate(seed, projects, NOW).records.items()
        }
        self.held = sum(map(len, self._shelves.values()))

    def answer(self, asked: Asked) -> bytes | None:
        held = self._shelves.get(asked.path.removeprefix("/v1/"))
        if held is None:
            return None
        start = asked.number("cursor") or held.since(asked.told("updated_since"))
        after = start + asked.number("limit", 100)
        following = b'"%d"' % after if after < len(held) else b"null"
        return b'{"data":[%b],"next_cursor":%b}' % (held.page(start, after - start), following)


def _change(record: Record) -> tuple[str, str]:
    return record["updated_at"], record["id"]


# --- what a firm declares --------------------------------------------------------------------------------


def bill(number: int, of: int) -> Record:
    """An invoice as books hold it, flat."""
    at = moment(number, of)
    return {
        "id": f"inv-{number:07}",
        "client": CLIENTS[number % len(CLIENTS)],
        "project": f"P-{number // PER_PROJECT:05}",
        "number": f"2026-{number:07}",
        "kind": "invoice",
        "status": ("draft", "open", "paid")[number % 3],
        "issued_at": iso(at - timedelta(days=20)),
        "due_on": f"{at + timedelta(days=10):%Y-%m-%d}",
        "currency": "USD",
        "total": f"{100 + number % 9000}.50",
        "tax": "0.00",
        "description": f"{GATES[number % len(GATES)]}, as agreed",
        "updated_at": iso(at),
    }


class Files(Local):
    """One CSV."""

    BLOCK = """
[sources.tool.tables.invoices]
glob = "invoices.csv"
"""

    @staticmethod
    def write(data: Path, records: int) -> int:
        (data / "inbox").mkdir()
        with (data / "inbox" / "invoices.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(bill(0, 1)))
            writer.writeheader()
            writer.writerows(bill(number, records) for number in range(records))
        return records


class Sql(Local):
    """One table of an SQLite file, read by its cursor."""

    BLOCK = """
url = "sqlite:///books.db"
[sources.tool.tables.invoices]
table = "invoices"
key = ["id"]
cursor = "updated_at"
"""

    @staticmethod
    def write(data: Path, records: int) -> int:
        with sqlite3.connect(data / "books.db") as con:
            con.execute(f"create table invoices ({', '.join(f'{name} text' for name in bill(0, 1))})")
            places = ", ".join("?" for _ in bill(0, 1))
            rows = (tuple(bill(number, records).values()) for number in range(records))
            con.executemany(f"insert into invoices values ({places})", rows)
        con.close()
        return records


class Rest(Tool):
    """A list behind a cursor, its records nested, as an API of our day sends it."""

    BLOCK = """
[sources.tool.tables.invoices]
path = "/v2/invoices"
records = "data.items"
columns = { client_name = "client.name" }
updated = "updated_at"
since_parameter = "updated_since"
ascending = true
paging = { by = "cursor", next = "data.next", size_parameter = "per_page", size = 100 }
"""

    def __init__(self, records: int, seed: int) -> None:  # noqa: ARG002 - nothing is drawn
        def nested(number: int) -> Record:
            flat = bill(number, records)
            line = {"id": number, "description": flat["description"], "amount": flat["total"], "taxes": []}
            return {**flat, "client": {"id": number % len(CLIENTS), "name": flat["client"]}, "lines": [line]}

        self._held = shelf(map(nested, range(records)), lambda one: str(one["updated_at"]))
        self.held = records

    def answer(self, asked: Asked) -> bytes | None:
        if asked.path != "/v2/invoices":
            return None
        start = asked.number("cursor") or self._held.since(asked.told("updated_since"))
        after = start + asked.number("per_page")
        following = b'"%d"' % after if after < len(self._held) else b"null"
        return b'{"data":{"items":[%b],"next":%b}}' % (self._held.page(start, after - start), following)
