"""Measurements beside a peer in the same run, as ratios; a report for a person, never a test.

`make bench` runs every case, `make bench ARGS="--case cycle-times --events 1000000"` one of them; each prints small
tables. Sizes are arguments. Nothing is kept between runs unless `--folder` names a place for what is simulated.
What stays out: passing or failing, but for peers that disagree.
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

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bare
import cycle_times
import pages
import portfolio
import pulls
from printing import show

from pipelines import definitions, warehouse  # noqa: F401 - definitions: imported before the clock starts
from pipelines.demo import running
from pipelines.demo.simulation import rates
from pipelines.refreshing import Refresh, refresh
from pipelines.settings import Settings, load

AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)
CASES = ("refresh", "pulls", "cycle-times", "measures", "dashboard", "publishing")
MILESTONES_A_PROJECT = 5.4  # the simulation's mean


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--case", choices=CASES, action="append", help="which; may be repeated; all where left out")
    asked.add_argument("--milestones", type=int, default=10_000, help="of the refresh")
    asked.add_argument("--records", type=int, default=200_000, help="of the pulls")
    asked.add_argument("--kinds", nargs="+", choices=pulls.SOURCES, default=[*pulls.SOURCES], help="of the pulls")
    asked.add_argument("--events", type=int, nargs="+", default=[1_000_000, 10_000_000], help="of the cycle times")
    asked.add_argument("--projects", type=int, default=18_500, help="of the measures and pages; 5.4 gates each")
    asked.add_argument("--readers", type=int, nargs="+", default=[*pages.READERS], help="of the dashboard, at once")
    asked.add_argument("--changes", type=int, default=pages.CHANGES, help="of filters, while memory is watched")
    asked.add_argument("--think", type=float, default=pages.THINK_SECONDS, help="seconds between two views of a reader")
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--folder", type=Path, help="keeps what is simulated, and uses it again")
    wanted = asked.parse_args()
    cases = wanted.case or CASES
    with tempfile.TemporaryDirectory() as scratch:
        folder = wanted.folder or Path(scratch)
        if "refresh" in cases:
            refresh_beside_bare_sql(Path(scratch) / "refresh", wanted.milestones, wanted.seed)
        if "pulls" in cases:
            pulls.run(Path(scratch), wanted.kinds, wanted.records, wanted.seed)
        if "cycle-times" in cases:
            for events in wanted.events:
                cycle_times.run(folder, events, wanted.seed)
        if "measures" in cases:
            portfolio.run(folder, wanted.projects, wanted.seed)
        if "dashboard" in cases:
            asked_of = pages.Asked(wanted.readers, wanted.changes, wanted.think)
            pages.run(folder, wanted.projects, wanted.seed, asked_of)
        if "publishing" in cases:
            pages.while_publishing(Path(scratch), wanted.seed, max(wanted.readers), wanted.think)


def refresh_beside_bare_sql(data: Path, milestones: int, seed: int) -> None:
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

    show(
        f"Refresh of {gates:,} milestones from the portal",
        ("part", "full, s", "a day later, nothing new, s"),
        [
            *((name, f"{seconds:.2f}", f"{part(quiet, name):.2f}") for name, seconds in ours.items()),
            ("all, with the orchestrator", f"{full.seconds:.2f}", f"{quiet.seconds:.2f}"),
        ],
    )
    print(
        f"The same SQL bare, one connection: {peer:.2f} s; build + check + publish ÷ bare SQL: {made / peer:.2f}; "
        f"nothing new ÷ full: {quiet.seconds / full.seconds:.2f}"
    )


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
