"""Case: the dashboard as `milepost dashboard` serves it, under 1, 10 and 30 readers who open pages and change filters.

First the demo's portfolio: each reader walks the main pages with some time to think, sets a period, a firm, a playbook.
Then a large one: a reader opens each main page and at once changes filters to what nobody has asked for yet, and again
to what was; and another looks at each page for some seconds first, in which the server asks what lies one change away.
Last the memory over many changes. Seconds are a reader's, from asking to the last message of the page; the server's
processor time stands beside them, because it does not depend on what else the machine does. What stays out: the
drawing in the browser, and judging a number.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import portfolio
from printing import show
from sessions import Session, View, session

from pipelines.demo import running
from pipelines.refreshing import refresh
from pipelines.settings import PROJECT, load
from pipelines.snapshots import newest

MAIN = ("overview", "flow", "schedule", "billing", "cash", "scope", "compare")
READERS = (1, 10, 30)
AS_IN_THE_DEMO = 150  # projects
ROUNDS = 2  # how often a reader walks the main pages
CHANGES = 200
PUBLISHED_EVERY = 10.0  # seconds
THINK_SECONDS = 1.0
LOOK_SECONDS = 12.0  # of a reader who takes a page in before changing a filter
RESET: dict[str, str | Sequence[str]] = {"pick_period": "Last 12 months", "pick_firm": []}


@dataclass(frozen=True, slots=True)
class Asked:
    """How many readers at once, how many filter changes while memory is watched, and seconds between two views."""

    readers: Sequence[int]
    changes: int
    think: float


@dataclass(slots=True)
class Served:
    """A dashboard that is up: where, and its process."""

    port: int
    pid: int

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    def worked(self) -> float:
        """Processor seconds so far."""
        after_name = Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Seen:
    """What readers had: pages opened, filters changed, and how much the server worked and held for it."""

    opened: list[View] = field(default_factory=list)
    changed: list[View] = field(default_factory=list)
    worked: float = 0.0
    before: int = 0
    after: int = 0

    @property
    def views(self) -> list[View]:
        return self.opened + self.changed


def run(folder: Path, projects: int, seed: int, asked: Asked) -> None:
    small, large = snapshot(folder, AS_IN_THE_DEMO, seed), snapshot(folder, projects, seed)
    with served(small, folder / "dashboard.log") as dashboard:
        show_readers("The demo's portfolio", [(n, asyncio.run(walk(dashboard, n, asked.think))) for n in asked.readers])
    with served(large, folder / "dashboard.log") as dashboard:
        gates = gates_of(large)
        at_once = asyncio.run(page_by_page(dashboard, 0))
    with served(large, folder / "dashboard.log") as dashboard:
        show_pages(gates, at_once, asyncio.run(page_by_page(dashboard, LOOK_SECONDS)))
        show_memory(gates, asyncio.run(memory_over(dashboard, asked.changes)))


def while_publishing(folder: Path, seed: int, readers: int, think: float) -> None:
    """Readers of the demo's portfolio while every ten seconds a refresh publishes it, a day later each time."""
    data = snapshot(folder, AS_IN_THE_DEMO, seed)
    with served(data, folder / "dashboard.log") as dashboard:
        seen, published = asyncio.run(_together(dashboard, data, readers, think))
    show_publishing(readers, seen, published)


async def _together(dashboard: Served, data: Path, readers: int, think: float) -> tuple[Seen, int]:
    is_over = asyncio.Event()

    async def read() -> Seen:
        try:
            return await walk(dashboard, readers, think)
        finally:
            is_over.set()

    seen, published = await asyncio.gather(read(), _publish(data, is_over))
    return seen, published


async def _publish(data: Path, is_over: asyncio.Event) -> int:
    """How many snapshots were published until the readers had gone."""
    environ = {**os.environ, "MILEPOST_DATA": str(data)}
    published = 0
    while not is_over.is_set():
        began = time.perf_counter()
        as_of = (portfolio.AS_OF + timedelta(days=published + 1)).isoformat()
        told = [sys.executable, "-m", "pipelines.cli", "refresh", "--as-of", as_of, "--json"]
        refreshing = await asyncio.create_subprocess_exec(
            *told, cwd=PROJECT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await refreshing.communicate()
        if refreshing.returncode:
            sys.exit(said.decode())
        published += 1
        with suppress(TimeoutError):
            await asyncio.wait_for(is_over.wait(), max(0.01, PUBLISHED_EVERY - (time.perf_counter() - began)))
    return published


def mixed(views: Sequence[View]) -> int:
    """Views of more than one snapshot, and views whose tiles another view of the same snapshot and link contradicts."""
    told: dict[tuple[str, str, str], dict[str, str]] = {}
    contradicting = 0
    for view in views:
        for one in view.snapshots:
            contradicting += told.setdefault((one, view.page, view.link), view.tiles) != view.tiles
    return contradicting + sum(len(view.snapshots) != 1 for view in views)


def snapshot(folder: Path, projects: int, seed: int) -> Path:
    """A data folder with a published snapshot of so many projects; made once."""
    data = folder / f"portfolio-{projects}"
    if not (data / "milepost.toml").is_file():
        portfolio.simulated(data, projects, seed)
    if newest(data / "snapshots") is None:
        done = refresh(load(data), as_of=portfolio.AS_OF)
        if not done.ok:
            sys.exit("\n".join(done.problems))
    return data


def gates_of(data: Path) -> int:
    import duckdb

    serving = newest(data / "snapshots")
    assert serving is not None
    with duckdb.connect(str(serving.path), read_only=True) as con:
        return int(con.execute("select count(*) from marts.gates").fetchall()[0][0])


@contextmanager
def served(data: Path, log: Path) -> Iterator[Served]:
    """The dashboard over a data folder, by the command that `milepost dashboard` runs."""
    port = running.free_port()
    environ = {**os.environ, "MILEPOST_DATA": str(data)}
    with running.server(running.dashboard_command(port), environ, log) as child:
        running.await_answer(f"http://{running.HOST}:{port}/_stcore/health", child, "the dashboard")
        yield Served(port, child.pid)


async def walk(dashboard: Served, readers: int, think: float) -> Seen:
    """Readers who come one after another within a think time, and walk the main pages from different ones on."""
    seen = Seen(before=dashboard.memory())
    began = dashboard.worked()
    await asyncio.gather(*(_walk(dashboard, place, readers, think, seen) for place in range(readers)))
    seen.worked, seen.after = dashboard.worked() - began, dashboard.memory()
    return seen


async def _walk(dashboard: Served, place: int, readers: int, think: float, seen: Seen) -> None:
    await asyncio.sleep(think * place / readers)
    async with session(dashboard.port) as reader:
        for step in range(ROUNDS * len(MAIN)):
            seen.opened.append(await reader.open(MAIN[(place + step) % len(MAIN)]))
            await asyncio.sleep(think)
            key, value = _change(reader, place + step)
            seen.changed.append(await reader.choose(**{key: value}))
            await asyncio.sleep(think)


def _change(reader: Session, turn: int) -> tuple[str, str | Sequence[str]]:
    """A filter and what it is set to, another at every turn."""
    key = ("pick_period", "pick_firm", "pick_playbook")[turn % 3]
    offered = [one for one in reader.options[key] if "…" not in one]
    value = offered[turn // 3 % len(offered)]
    return key, value if key == "pick_period" else [value]


@dataclass(frozen=True, slots=True)
class Changed:
    """What changing the filters of a page gave, and processor seconds a change."""

    views: list[View]
    worked: float


async def page_by_page(dashboard: Served, look: float) -> dict[str, tuple[Changed, Changed]]:
    """For each main page, looked at for so many seconds: changes to what nobody asked for yet, and the same again."""
    found = {}
    async with session(dashboard.port) as reader:
        for page in MAIN:
            await reader.open(page)
            await asyncio.sleep(look)
            told = []
            for _ in range(2):
                began = dashboard.worked()
                views = [await reader.choose(**change) for change in fresh_changes(reader)]
                told.append(Changed(views, (dashboard.worked() - began) / len(views)))
            found[page] = (told[0], told[1])
            await reader.choose(**RESET)
    return found


def fresh_changes(reader: Session) -> Iterator[dict[str, str | Sequence[str]]]:
    """Each other period, then each firm under the usual one."""
    for period in reader.options["pick_period"]:
        if "…" not in period and period != RESET["pick_period"]:
            yield {"pick_period": period, "pick_firm": []}
    for firm in reader.options["pick_firm"]:
        yield {"pick_period": str(RESET["pick_period"]), "pick_firm": [firm]}


async def memory_over(dashboard: Served, changes: int) -> list[tuple[int, int, list[View]]]:
    """Resident bytes as filters are changed, each to one of very many choices: after none, a quarter, … all."""
    told: list[tuple[int, int, list[View]]] = []
    views: list[View] = []
    async with session(dashboard.port) as reader:
        await reader.open("overview")
        managers = reader.options["pick_manager"]
        for change in range(changes + 1):
            if change % max(1, changes // 8) == 0:
                told.append((change, dashboard.memory(), views))
                views = []
            page = MAIN[change % len(MAIN)]
            views.append(await reader.open(page))
            views.append(await reader.choose(pick_manager=[managers[change % len(managers)]]))
    return told


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def in_ms(seconds: Sequence[float], share: float) -> str:
    return f"{1000 * percentile(seconds, share):,.0f}" if seconds else "–"


def megabytes(size: float) -> str:
    return f"{size / 2**20:,.0f}"


def show_readers(title: str, found: Sequence[tuple[int, Seen]]) -> None:
    rows = []
    for readers, seen in found:
        first = [view.first_chart for view in seen.opened if view.first_chart is not None]
        changed = [view.seconds for view in seen.changed]
        sent = [view.sent / 1000 for view in seen.views]
        rows.append((
            f"{readers}", f"{len(seen.views)}", in_ms(first, 0.5), in_ms(first, 0.95), in_ms(changed, 0.5),
            in_ms(changed, 0.95), f"{1000 * seen.worked / len(seen.views):,.0f}", f"{percentile(sent, 0.5):.0f}",
            f"{max(sent):.0f}", megabytes(seen.before), megabytes(seen.after),
            f"{sum(len(view.errors) for view in seen.views)}",
        ))  # fmt: skip
    show(
        f"{title}: readers at once",
        ("readers", "views", "first chart p50, ms", "p95", "filter change p50, ms", "p95", "processor a view, ms",
         "sent p50, kB", "most", "memory before, MB", "after", "errors"),
        rows,
    )  # fmt: skip


def show_publishing(readers: int, seen: Seen, published: int) -> None:
    changed = [view.seconds for view in seen.changed]
    show(
        f"{readers} readers of the demo's portfolio while it is published anew every {PUBLISHED_EVERY:.0f} s",
        ("views", "published", "snapshots seen", "mixed views", "errors", "filter change p50, ms", "p95",
         "memory before, MB", "after"),
        [(
            f"{len(seen.views)}", f"{published}", f"{len(set().union(*(view.snapshots for view in seen.views)))}",
            f"{mixed(seen.views)}", f"{sum(len(view.errors) for view in seen.views)}", in_ms(changed, 0.5),
            in_ms(changed, 0.95), megabytes(seen.before), megabytes(seen.after),
        )],
    )  # fmt: skip


def show_pages(
    gates: int, at_once: dict[str, tuple[Changed, Changed]], looked: dict[str, tuple[Changed, Changed]]
) -> None:
    def told(changed: Changed) -> tuple[str, str, str]:
        seconds = [view.seconds for view in changed.views]
        return in_ms(seconds, 0.5), in_ms(seconds, 0.95), f"{1000 * changed.worked:,.0f}"

    rows = []
    for page, (fresh, again) in at_once.items():
        views = [*fresh.views, *again.views, *looked[page][0].views]
        rows.append((
            page, *told(fresh), *told(looked[page][0]), *told(again), f"{max(view.sent for view in views) / 1000:.0f}",
            f"{sum(len(view.errors) for view in views)}",
        ))  # fmt: skip
    show(
        f"A filter change at {gates:,} gates, one reader: at once, after {LOOK_SECONDS:.0f} s on the page, and again",
        ("page", "at once p50, ms", "p95", "processor, ms", "after a look p50, ms", "p95", "processor, ms",
         "again p50, ms", "p95", "processor, ms", "most sent, kB", "errors"),
        rows,
    )  # fmt: skip


def show_memory(gates: int, found: Sequence[tuple[int, int, list[View]]]) -> None:
    show(
        f"Memory at {gates:,} gates as pages are opened and filters changed, each to another choice",
        ("changes", "resident, MB", "errors"),
        [(f"{n}", megabytes(size), f"{sum(len(view.errors) for view in views)}") for n, size, views in found],
    )
