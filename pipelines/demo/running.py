"""`milepost demo`: the portal, a refresh and the dashboard together, and nothing left behind when it ends.

The demo has a data folder of its own, with a settings file like anybody's, so that every other command works
on it too. Each start begins afresh. What stays out: the records (simulation.py) and the portal itself (portal.py).
"""

from __future__ import annotations

import csv
import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING

from models.faults import Fault, fault
from pipelines.settings import PROJECT, Settings, load

if TYPE_CHECKING:
    from pipelines.refreshing import Refresh

FOLDER = PROJECT / "data" / "demo"
HOST = "127.0.0.1"
PORTAL_BESIDE = 99  # the portal listens this far above the dashboard, where free: 8600 beside 8501
FIRMS: Mapping[str, str] = MappingProxyType(
    {"northlight": "Northlight Studio", "relay": "Relay Onboarding", "hearth": "Hearth & Beam"}
)
TOKENS: Mapping[str, str] = MappingProxyType({name: f"demo-{name}" for name in FIRMS})
PATIENCE_SECONDS = 60.0
# Where each firm works: country, and the state whose holidays its team keeps.
_HOMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"northlight": ("US", "NY"), "relay": ("US", "CA"), "hearth": ("US", "NY")}
)
TARGETS: Mapping[str, float] = MappingProxyType({"F1": 24, "F8": 75, "B1": 5, "S2": 70, "B5": 45})
_OURS = "# Written anew by every `milepost demo`."


@dataclass(frozen=True, slots=True)
class Plan:
    """What to show, where. `port` is the dashboard's; without `hold` the demo ends once it has answered.

    The records end at `as_of`. The numbers are as of the refresh's start, or as of `as_of` where `is_past`.
    """

    data: Path
    port: int
    hold: bool
    projects: int
    seed: int
    as_of: datetime
    is_past: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A demo that is up: where to look, what the refresh did, and an approval to try."""

    dashboard: str
    portal: str
    refreshed: Refresh
    seconds: float
    waiting: tuple[str, str] | None  # the source and key of a gate that waits for its client


def run(plan: Plan, saying: Callable[[str], None], shown: Callable[[Shown], None]) -> None:
    """Brings everything up, tells `shown`, and with `hold` stays until interrupted.

    `saying` is told each step. Raises `Fault` for a busy port, a data folder that is not the demo's, a
    refresh that failed and a server that did not come up; whatever it started has ended when it returns.
    """
    began = time.perf_counter()
    refuse_busy(plan.port)
    with _interruptible() as asked_to_end, ExitStack() as started:
        started.enter_context(_alone_in(plan.data))
        portal_port = free_port(min(plan.port + PORTAL_BESIDE, 65535))
        portal_address = f"http://{HOST}:{portal_port}"
        saying("Writing settings and rates")
        _write_folder(plan, portal_address)
        environ = {**os.environ, "MILEPOST_DATA": str(plan.data)}
        saying("Starting the portal and the dashboard")
        portal = started.enter_context(server(portal_command(plan, portal_port), environ, plan.data / "portal.log"))
        dashboard = started.enter_context(server(dashboard_command(plan.port), environ, plan.data / "dashboard.log"))
        refresh = _refresher()
        await_answer(f"{portal_address}/v1/health", portal, "the portal")
        settings = load(plan.data)
        refreshed = refresh(settings, as_of=plan.as_of if plan.is_past else None, saying=saying)
        if not refreshed.ok:
            raise Fault([fault("refresh", problem, "").problems[0] for problem in refreshed.problems])
        saying("Waiting for the dashboard")
        address = f"http://{HOST}:{plan.port}"
        for path in ("/_stcore/health", "/"):
            await_answer(f"{address}{path}", dashboard, "the dashboard")
        shown(Shown(address, portal_address, refreshed, time.perf_counter() - began, _waiting(settings)))
        if plan.hold:
            _hold({"the portal": portal, "the dashboard": dashboard}, asked_to_end)


def serve_portal(
    *,
    port: int,
    seed: int,
    projects: int,
    as_of: datetime,
    tokens: Mapping[str, str],
    clock: Callable[[], datetime],
    ready: Callable[[str], None],
) -> None:
    """The portal alone over a simulated portfolio, until interrupted. `tokens`: source → token."""
    from pipelines.demo.portal import create_app, serve
    from pipelines.demo.simulation import simulate

    if unknown := [name for name in tokens if name not in FIRMS]:
        raise fault("--token", f"there is no firm {unknown[0]!r}.", f"There are: {', '.join(FIRMS)}.")
    records = simulate(seed=seed, projects=projects, as_of=as_of).records
    serve(create_app(records, {token: name for name, token in tokens.items()}, clock), port, ready)


def dashboard_command(port: int, address: str = HOST) -> list[str]:
    """The command that serves the dashboard, to be run in the project's folder; how is said in .streamlit/config.toml
    and dashboard/serving.py.
    """
    return [sys.executable, "-m", "dashboard.serving", "--address", address, "--port", str(port)]


def refuse_busy(port: int, address: str = HOST) -> None:
    """Raises `Fault` where the port cannot be taken."""
    try:
        socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET).close()
    except OSError as error:
        if address != HOST and error.errno != errno.EADDRINUSE:
            raise fault(f"address {address}", f"cannot be listened on ({error.strerror}).",
                        "Name an address of this machine.") from None  # fmt: skip
        raise fault(f"port {port}", "is taken by another program.", "End it, or choose another port.") from None


def portal_command(plan: Plan, port: int) -> list[str]:
    """The command that serves the plan's portfolio on that port."""
    told = {"port": port, "seed": plan.seed, "projects": plan.projects, "as-of": plan.as_of.isoformat()}
    return [sys.executable, "-m", "pipelines.cli", "portal", *(f"--{name}={value}" for name, value in told.items())]


def _refresher() -> Callable[..., Refresh]:
    """Imported while the two servers come up, because Dagster takes a second."""
    from pipelines import definitions, refreshing  # noqa: F401

    return refreshing.refresh


def _write_folder(plan: Plan, portal: str) -> None:
    """A fresh data folder: settings, tokens, rates; the warehouse and snapshots of an earlier demo go."""
    config = plan.data / "milepost.toml"
    if config.is_file() and not config.read_text("utf-8").startswith(_OURS):
        raise fault(str(config), "is not the demo's, and the demo begins its data folder afresh.",
                    "Name another folder with MILEPOST_DATA or --data.")  # fmt: skip
    if not config.is_file() and (plan.data / "warehouse.duckdb").exists():
        raise fault(str(plan.data), "holds a warehouse that is not the demo's.",
                    "Name another folder with MILEPOST_DATA or --data.")  # fmt: skip
    for old in ("snapshots", ".pull", "tokens"):
        shutil.rmtree(plan.data / old, ignore_errors=True)
    for file in plan.data.glob("warehouse.duckdb*"):
        file.unlink()
    (plan.data / "tokens").mkdir(mode=0o700)
    for name, token in TOKENS.items():
        file = plan.data / "tokens" / name
        file.write_text(token + "\n", "utf-8")
        file.chmod(0o600)
    _write_rates(plan)
    config.write_text(_config(plan, portal), "utf-8")


def _write_rates(plan: Plan) -> None:
    from pipelines.demo.simulation import rates

    file = plan.data / "rates" / "rates.csv"
    file.parent.mkdir(exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["day", "currency", "rate"])
        writer.writeheader()
        writer.writerows(rates(plan.seed, plan.as_of))


def _config(plan: Plan, portal: str) -> str:
    lines = [_OURS, 'reporting_currency = "USD"']
    for name, firm in FIRMS.items():
        lines += ["", f"[sources.{name}]", 'kind = "portal"', f'firm = "{firm}"', f'url = "{portal}"']
        country, state = _HOMES[name]
        lines += [f'country = "{country}" # where the firm works: its team\'s weekends and public holidays']
        lines += [f'subdivision = "{state}" # the state whose holidays they are']
        lines += [f"token_file = '{plan.data / 'tokens' / name}'"]
    lines += ["", "[targets]", *(f"{measure} = {target}" for measure, target in TARGETS.items())]
    return "\n".join(lines) + "\n"


def _waiting(settings: Settings) -> tuple[str, str] | None:
    """Source and key of a gate that waits for the client's decision, Relay's where it has one."""
    import duckdb

    from pipelines import snapshots

    serving = snapshots.newest(settings.snapshots)
    if serving is None:
        return None
    query = (
        "select source, source_key from marts.gates where status = 'awaiting_decision' and approver_side = 'client'"
        " order by source = 'relay' desc, submitted_at desc limit 1"
    )
    with duckdb.connect(str(serving.path), read_only=True) as con:
        found = con.execute(query).fetchall()
    return (str(found[0][0]), str(found[0][1])) if found else None


# --- processes -------------------------------------------------------------------------------------------


@contextmanager
def _alone_in(data: Path) -> Iterator[None]:
    """Only one demo at a time in a data folder."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise fault(
                str(data), "another demo is running there.", "End it, or name another folder with --data."
            ) from None
        yield


_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _interruptible() -> Iterator[Sequence[int]]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does; a second one does not disturb the ending.

    Yields the signals received: Python swallows what a handler raises while it is clearing up an object.
    """
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        _deaf()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _ENDINGS}
    try:
        yield received
    except KeyboardInterrupt:
        pass
    except Exception:
        if not received:  # an interrupted import may fail with an error of its own
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _deaf() -> None:
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Deaf for so long alone: what is ignored here is ignored by all that is started later, too."""
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    _deaf()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def server(command: list[str], environ: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process group of its own, which ends with all its children when this does."""
    with log.open("wb") as out:
        child = subprocess.Popen(command, cwd=PROJECT, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    try:
        yield child
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Asks the process group to end, and after five seconds makes it."""
    with _undisturbed():
        for ask in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, ask)
                child.wait(5)
            except subprocess.TimeoutExpired:
                continue
            except ProcessLookupError:
                break
        child.wait()


def await_answer(url: str, child: subprocess.Popen[bytes], who: str) -> None:
    """Returns once the address answers 200."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if child.poll() is not None:
            raise fault(who, "ended before it answered.", "Its last words are in the log beside the demo's data.")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise fault(
        who, f"did not answer at {url} within {PATIENCE_SECONDS:.0f} seconds.", "See its log in the data folder."
    )


def _hold(children: Mapping[str, subprocess.Popen[bytes]], asked_to_end: Sequence[int]) -> None:
    while not asked_to_end:
        for who, child in children.items():
            if child.poll() is not None:
                raise fault(who, "has ended.", "Its last words are in the log in the demo's data folder.")
        time.sleep(0.5)


def free_port(preferred: int = 0) -> int:
    """The preferred port where it is free, else any other."""
    for port in (preferred, 0):
        try:
            with socket.create_server((HOST, port)) as listener:
                return int(listener.getsockname()[1])
        except OSError:
            continue
    raise fault("ports", "there is no free port on 127.0.0.1.", "End some programs and try again.")


def greeting(plan: Plan, shown: Shown) -> str:
    """What a person sees once the demo is up, with two commands to try."""
    lines = [
        f"Dashboard  {shown.dashboard}",
        f"Portal     {shown.portal}/docs",
        f"Ready in {shown.seconds:.1f} s; the refresh took {shown.refreshed.seconds:.1f} s.",
        "",
    ]
    if not plan.hold:
        return "\n".join([*lines, "Both answered, and end now."])
    if shown.waiting:
        source, key = shown.waiting
        lines += [
            "Approve a gate as the client, then refresh and look again:",
            f"  curl -X POST {shown.portal}/v1/milestones/{key}/events \\",
            f"    -H 'Authorization: Bearer {TOKENS[source]}' \\",
            "    -H 'Content-Type: application/json' -d '{\"type\": \"approve\"}'",
            f"  {_milepost()} refresh --data {_near(plan.data)}",
            "",
        ]
    return "\n".join([*lines, "Ctrl-C ends everything."])


def _milepost() -> str:
    script = Path(sys.executable).with_name("milepost")
    return str(_near(script)) if script.exists() else "milepost"


def _near(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
