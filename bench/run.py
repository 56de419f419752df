"""Measurements beside a peer in the same run, as ratios; a report for a person, never a test.

`make bench` runs every case; each prints a small table. Sizes are arguments. What stays out: passing or failing.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bare

from pipelines import definitions, warehouse  # noqa: F401 - definitions: imported before the clock starts
from pipelines.demo import running
from pipelines.demo.simulation import rates
from pipelines.refreshing import Refresh, refresh
from pipelines.settings import Settings, load

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
MILESTONES_A_PROJECT = 5.4  # the simulation's mean


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--milestones", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=7)
    wanted = asked.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        refresh_beside_bare_sql(console, Path(folder), wanted.milestones, wanted.seed)


def refresh_beside_bare_sql(console: Console, data: Path, milestones: int, seed: int) -> None:
    """A full refresh from the portal, split into its parts, beside the same SQL bare; then one a day later.

    Nothing changed in that day but the date. What has to be imported is, before the clock starts.
    """
    projects = round(milestones / MILESTONES_A_PROJECT)
    with demo_portal(data, projects, seed) as settings:
        full = checked(refresh(settings, as_of=AS_OF))
        quiet = checked(refresh(settings, as_of=AS_OF + timedelta(days=1)))
    with warehouse.open_warehouse(settings.warehouse) as con:
        gates = con.execute("select count(*) from marts.gates").fetchall()[0][0]
    peer = bare.seconds(settings, AS_OF)
    ours = {name: part(full, name) for name in ("pull", "build", "check", "publish")}
    made = ours["build"] + ours["check"] + ours["publish"]

    table = Table(title=f"Refresh of {gates:,} milestones from the portal", title_justify="left")
    for heading in ("part", "full, s", "nothing new, s"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name, seconds in ours.items():
        table.add_row(name, f"{seconds:.2f}", f"{part(quiet, name):.2f}")
    table.add_row("all, with the orchestrator", f"{full.seconds:.2f}", f"{quiet.seconds:.2f}")
    console.print(table)
    console.print(f"the same SQL bare, one connection: {peer:.2f} s")
    console.print(f"build + check + publish ÷ bare SQL: {made / peer:.2f}")
    console.print(f"nothing new ÷ full: {quiet.seconds / full.seconds:.2f}")


def part(done: Refresh, name: str) -> float:
    """Seconds of one part of a refresh."""
    if name == "check":
        return sum(step.check_seconds for step in done.steps)
    prefixes = {"pull": ("raw/",), "build": ("staging/", "marts/"), "publish": ("snapshot",)}[name]
    return sum(step.seconds for step in done.steps if step.name.startswith(prefixes))


def checked(done: Refresh) -> Refresh:
    if not done.ok:
        sys.exit("\n".join(done.problems))
    return done


@contextmanager
def demo_portal(data: Path, projects: int, seed: int) -> Iterator[Settings]:
    """The demo portal as a process of its own, and settings of a data folder that pulls from it."""
    (data / "rates").mkdir(parents=True)
    with (data / "rates" / "rates.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["day", "currency", "rate"])
        writer.writeheader()
        writer.writerows(rates(seed, AS_OF))
    port = running.free_port()
    address = f"http://{running.HOST}:{port}"
    plan = running.Plan(data, port, hold=False, projects=projects, seed=seed, as_of=AS_OF)
    with running.server(running.portal_command(plan, port), os.environ, data / "portal.log") as portal:
        running.await_answer(f"{address}/v1/health", portal, "the portal")
        lines = [
            line
            for firm in running.FIRMS
            for line in (f"[sources.{firm}]", 'kind = "portal"', f'url = "{address}"', f"token_env = '{firm}'")
        ]
        os.environ.update(running.TOKENS)
        (data / "milepost.toml").write_text("\n".join(lines))
        yield load(data)


if __name__ == "__main__":
    main()
