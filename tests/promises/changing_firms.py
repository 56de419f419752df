"""Two firms whose records change from step to step: one behind a portal over HTTP, one in files.

Every step changes something in each of them, has an instant of its own, and a few facts that a snapshot of that
instant must show: a snapshot that shows any other was mixed of two. What stays out: pulling them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs

import polars as pl
import small_firm

from pipelines.demo.portal import Shelf, running
from pipelines.demo.simulation import simulate

BEGAN = datetime(2026, 7, 15, 9, tzinfo=UTC)
STEP = timedelta(minutes=37)
TOKEN = "a-token"
ENVIRON = {"PORTAL_TOKEN": TOKEN}
Facts = tuple[frozenset[str], int, str]  # names of clients, events received from the portal, total of the files' bill


class Firms:
    """`facts`: as-of instant → what a snapshot of it shows. Change them only while nobody pulls."""

    def __init__(self, inbox: Path, url: str = "", seed: int = 5, projects: int = 8) -> None:
        portfolio = simulate(seed=seed, projects=projects, as_of=BEGAN)
        self.rates = portfolio.rates
        self.shelves = {
            entity: Shelf([{name: value for name, value in row.items() if name != "firm"} for row in rows])
            for entity, rows in portfolio.records.items()
        }
        self.inbox, self.url, self.step, self.facts = inbox, url, 0, dict[datetime, Facts]()
        self._dice = Random(seed)
        inbox.mkdir()
        self._write_files()

    @property
    def now(self) -> datetime:
        return BEGAN + self.step * STEP

    def change(self, *, terms: bool = False) -> None:
        """One step on: a client is renamed, a gate goes back and forth, work is done and taken back, a bill grows.

        With `terms`, what a gate is accepted by changes too, which is remembered as it was first seen.
        """
        self.step += 1
        client = self._any("clients")
        self._put("clients", {**client, "name": f"{client['name'].split(' / ')[0]} / {self.step}"})
        milestone = self._any("milestones")
        kind = self._dice.choice(("submitted", "changes_requested", "rescheduled", "started"))
        told = {"milestone": milestone["id"], "type": kind, "occurred_at": self._wire, "origin": "log"}
        self._put("milestone_events", {**self._blank("milestone_events"), "id": f"evt_step_{self.step}", **told})
        work = {"project": milestone["project"], "done_at": self._wire, "hours": str(self.step), "description": "more"}
        self._put("extra_work", {**self._blank("extra_work"), "id": f"work_step_{self.step}", **work})
        if earlier := self.shelves["extra_work"].rows.get(f"work_step_{self.step - 3}"):
            self._put("extra_work", {**earlier, "deleted_at": self._wire})
        change_order = self._any("change_orders")
        self._put("change_orders", {**change_order, "title": f"Change {self.step}"})
        if terms:
            self._put("milestones", {**milestone, "acceptance_criterion": f"Criterion {self.step}"})
        self._write_files()

    def settle(self, data: Path, page_size: int = 40) -> None:
        """A data folder that pulls these firms."""
        (data / "rates").mkdir(parents=True)
        pl.DataFrame(self.rates).write_csv(data / "rates" / "rates.csv")
        lines = ["keep_snapshots = 3", "[sources.relay]", 'kind = "portal"', 'firm = "Relay"', f'url = "{self.url}"',
                 'token_env = "PORTAL_TOKEN"', f"page_size = {page_size}", "[sources.studio]", 'kind = "files"',
                 'firm = "Studio"', f'folder = "{self.inbox}"']  # fmt: skip
        lines += [f'tables.{entity}.glob = "{entity}.csv"' for entity in small_firm.FILES]
        (data / "milepost.toml").write_text("\n".join(lines) + "\n", "utf-8")

    def pages(self, path: str, query: str) -> tuple[int, bytes]:
        """What the portal answers: keyset pages by `updated_at` and `id`."""
        entity, asked = path.rsplit("/", 1)[1], parse_qs(query)
        since = datetime.fromisoformat(asked["updated_since"][0]) if "updated_since" in asked else None
        cursor = json.loads(asked["cursor"][0]) if "cursor" in asked else None
        after = (datetime.fromisoformat(cursor[0]), cursor[1]) if cursor else None
        rows, last = self.shelves[entity].page(since, after, int(asked["limit"][0]))
        following = json.dumps([last[0].isoformat(), last[1]]) if last else None
        return 200, json.dumps({"data": rows, "next_cursor": following}).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status, body = self.pages(scope["path"], scope["query_string"].decode())
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _any(self, entity: str) -> dict[str, Any]:
        rows = [row for row in self.shelves[entity].rows.values() if not row["deleted_at"]]
        return self._dice.choice(sorted(rows, key=lambda row: str(row["id"])))

    def _blank(self, entity: str) -> dict[str, Any]:
        return dict.fromkeys(next(iter(self.shelves[entity].rows.values())))

    def _put(self, entity: str, row: dict[str, Any]) -> None:
        self.shelves[entity].put({**row, "updated_at": self._wire})

    @property
    def _wire(self) -> str:
        return self.now.isoformat().replace("+00:00", "Z")

    def _write_files(self) -> None:
        total = f"{400 + self.step}.00"
        changed = {"clients": ("Aster", f"Aster {self.step}"), "invoices": ("400.00", total),
                   "invoice_lines": ("400.00", total)}  # fmt: skip
        for entity, text in small_firm.FILES.items():
            written = text.replace(*changed[entity]) if entity in changed else text
            (self.inbox / f"{entity}.csv").write_text(written, "utf-8")
        names = {row["name"] for row in self.shelves["clients"].rows.values() if not row["deleted_at"]}
        events = len(self.shelves["milestone_events"].rows)
        self.facts[self.now] = frozenset({*names, f"Aster {self.step}"}), events, total


@contextmanager
def changing_firms(folder: Path, **told: Any) -> Iterator[Firms]:
    """The firms while their portal serves."""
    firms = Firms(folder / "files", **told)
    with running(firms) as firms.url:  # type: ignore[arg-type]
        yield firms
