"""Case: pulls of every kind of source, from a loopback server that answers at once, or from a file.

    python bench/pulls.py DATA    the pulls of one data folder, as JSON: what this starts for each kind

Three pulls each, in a process of their own: all there is, nothing new an hour later, nothing new a day later, when keys
are swept for what was deleted. Imports are over before the clock starts; memory is the process's peak in the first
pull, imports and all. A pull that lands other than what the tool holds, or sees news where there is none, stops the
case. Seconds are by the wall; rows by the second of CPU time stand beside them, to which what others do on the machine
adds little. What stays out: what a tool holds (pull_tools.py, pull_vendors.py), and staging.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from printing import show
from pull_server import HOST, SOURCES
from pull_tools import NOW, Local
from stopwatch import peak_kilobytes

from pipelines import pulling, warehouse
from pipelines.demo.running import free_port, server
from pipelines.settings import load

SINGLY = 40  # where records cost requests of their own, there are so many times fewer
PULLS = {"first": timedelta(), "later": timedelta(hours=1), "swept": timedelta(hours=25)}
TOKEN = {"BENCH_TOKEN": "sesame"}
WAIT_SECONDS = 0.1
_LANDED = """
select table_name from duckdb_tables() where schema_name = 'raw_tool' and not starts_with(table_name, '_dlt')
"""


class Amiss(Exception):
    """A pull did not bring what the tool holds, so that its seconds say nothing."""


def run(folder: Path, kinds: Sequence[str], records: int, seed: int) -> None:
    before = os.getloadavg()[0]
    found = {kind: measured(folder / f"pull-{kind}", kind, records, seed) for kind in kinds}
    show(
        f"Pulls of about {records:,} records from a server that answers at once",
        ("kind", "rows", "first pull, s", "rows/s", "rows/s of CPU", "peak memory, GB", "nothing new, s",
         "nothing new, keys swept, s"),
        [line(kind, one) for kind, one in found.items()],
    )  # fmt: skip
    if any(SOURCES[kind].ASKED_SINGLY for kind in kinds):
        print(f"* Of {SINGLY} times fewer records: histories, phases or lines must be asked for one by one.")
    print(f"Load of the machine before: {before:.1f}, after: {os.getloadavg()[0]:.1f}, cores: {os.cpu_count()}")


def line(kind: str, found: dict[str, Any]) -> tuple[str, ...]:
    rows, first = found["rows"], found["first"]
    return (
        f"{kind} *" if SOURCES[kind].ASKED_SINGLY else kind,
        f"{rows:,}",
        f"{first['seconds']:.2f}",
        f"{rows / first['seconds']:,.0f}",
        f"{rows / first['cpu']:,.0f}",
        f"{found['peak'] / 1e9:.2f}",
        f"{found['later']['seconds']:.2f}",
        f"{found['swept']['seconds']:.2f}",
    )


def measured(data: Path, kind: str, records: int, seed: int) -> dict[str, Any]:
    """What the pulls of one kind took. Raises `Amiss` where they brought something else than is there."""
    data.mkdir(parents=True)
    made = SOURCES[kind]
    count = records // SINGLY if made.ASKED_SINGLY else records
    if issubclass(made, Local):
        held, found = made.write(data, count), pulled(data, f'kind = "{kind}"', made.BLOCK)
    else:
        with serving(data, kind, count, seed) as (url, held):
            found = pulled(
                data, f'kind = "{kind}"\nurl = "{url}"\ntoken_env = "BENCH_TOKEN"', made.BLOCK.replace("$url", url)
            )
    if found["rows"] != held:
        raise Amiss(f"{kind} landed {found['rows']:,} of {held:,} records")
    if news := [name for name in ("later", "swept") if found[name]["changed"]]:
        raise Amiss(f"{kind} saw news where nothing is new ({', '.join(news)})")
    return found


def pulled(data: Path, *block: str) -> dict[str, Any]:
    (data / "milepost.toml").write_text("\n".join(("[sources.tool]", *block)), "utf-8")
    command = [sys.executable, __file__, str(data)]
    said: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return said


@contextmanager
def serving(data: Path, kind: str, records: int, seed: int) -> Iterator[tuple[str, int]]:
    """The address of a tool that is up, and how many records a pull of it has to land."""
    port, log = free_port(), data / "server.log"
    program = str(Path(__file__).with_name("pull_server.py"))
    with server([sys.executable, program, str(port), kind, str(records), str(seed)], os.environ, log) as child:
        url = f"http://{HOST}:{port}"
        while child.poll() is None:
            try:
                with urllib.request.urlopen(f"{url}/held") as answer:
                    held = json.load(answer)["held"]
                break
            except OSError:  # it is still rendering
                time.sleep(WAIT_SECONDS)
        else:
            raise Amiss(f"the server of {kind} ended before it answered:\n{log.read_text('utf-8')}")
        yield url, held


# --- one data folder, in a process of its own ------------------------------------------------------------


def main(data: str) -> None:
    settings = load(Path(data))
    found: dict[str, Any] = {}
    for name, after in PULLS.items():
        began, cpu = time.perf_counter(), time.process_time()
        report = pulling.pull(settings, "tool", NOW + after, TOKEN)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        found[name] = {"seconds": seconds, "cpu": cpu, "changed": report.changed}
        found.setdefault("peak", peak_kilobytes() * 1024)
    with warehouse.open_warehouse(settings.warehouse) as con:
        tables = con.execute(_LANDED).fetchall()
        found["rows"] = sum(
            con.execute(f'select count(*) from raw_tool."{name}"').fetchall()[0][0] for (name,) in tables
        )
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
