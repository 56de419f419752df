"""The command line: reads arguments, calls a function elsewhere, prints what came of it.

The only module that looks at the clock. Heavy libraries are imported where they are used, so that
`milepost --help` answers at once. A `Fault` is printed in red without a trace, and the exit code is 1.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.faults import Fault, fault
from pipelines.secret_files import OTHERS

if TYPE_CHECKING:
    from rich.console import Console

    from models.measure import Clock, Measure
    from pipelines.backup_file import Contents
    from pipelines.refreshing import Refresh
    from pipelines.runs import Run
    from pipelines.settings import Settings

app = typer.Typer(
    name="milepost",
    help="The truth about project milestones: gate cycle times, billing lag and scope creep.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same records.")]
Projects = Annotated[int, typer.Option(min=1, help="How many projects to simulate.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="INSTANT", help="2026-06-30 (the end of that day, UTC) or 2026-06-30T12:00:00Z."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

_EVERYWHERE = {
    "data": ("MILEPOST_DATA", "The data folder (else MILEPOST_DATA, else the project's own)."),
    "config": ("MILEPOST_CONFIG", "The settings file (else MILEPOST_CONFIG, else milepost.toml)."),
}


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Makes a command of a function: adds --data and --config, and prints a `Fault` plainly.

    What the two options name is put into the environment, so that child processes mean the same. What a command
    writes is its user's alone.
    """

    @wraps(body)
    def run(*args: Any, **given: Any) -> None:
        os.umask(OTHERS)
        for option, (variable, _) in _EVERYWHERE.items():
            if value := given.pop(option) or os.environ.get(variable):
                os.environ[variable] = str(Path(value).resolve())
        try:
            body(*args, **given)
        except Fault as error:
            _printer(stderr=True).print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
            raise typer.Exit(1) from None

    signature = inspect.signature(body, eval_str=True)
    options = [
        inspect.Parameter(
            option,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[Path | None, typer.Option(f"--{option}", help=help_)],
        )
        for option, (_, help_) in _EVERYWHERE.items()
    ]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*parameters, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in [*parameters, *options]}
    app.command()(run)
    return body


@command
def demo(
    port: Port = 8501,
    hold: Annotated[bool, typer.Option(help="Keep running until Ctrl-C, or check that it answers and end.")] = True,
    projects: Projects = 150,
    seed: Seed = 7,
    as_of: AsOf = None,
) -> None:
    """Simulated firms, their portal, a refresh and the dashboard, all at once."""
    from pipelines.demo import running

    os.environ.pop("MILEPOST_CONFIG", None)  # the demo has its own
    plan = running.Plan(
        data=Path(os.environ.get("MILEPOST_DATA") or running.FOLDER),
        port=port,
        hold=hold,
        projects=projects,
        seed=seed,
        as_of=_instant(as_of) if as_of else _now(),
        is_past=as_of is not None,
    )
    with _progress() as (console, saying):

        def show(shown: running.Shown) -> None:
            saying("")
            _print_outcome(console, shown.refreshed)
            _print_box(console, running.greeting(plan, shown))

        running.run(plan, saying, show)


@command
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the Parquet files, the rates and the planted truth.")],
    projects: Projects = 150,
    seed: Seed = 7,
    as_of: AsOf = None,
) -> None:
    """Write a simulated portfolio of any size to Parquet files, with what was planted in it."""
    from pipelines.demo.writing import write

    with _progress() as (console, saying):
        written = write(out, seed=seed, projects=projects, as_of=_instant(as_of) if as_of else _now(), saying=saying)
    for name, rows in written.items():
        console.print(f"{rows:>12,}  {name}", highlight=False)


@command
def portal(
    port: Port = 8600,
    projects: Projects = 150,
    seed: Seed = 7,
    as_of: AsOf = None,
    token: Annotated[
        list[str] | None, typer.Option(help="SOURCE=TOKEN; repeat for each firm. The demo's own where left out.")
    ] = None,
) -> None:
    """The demo client portal alone, until Ctrl-C."""
    from pipelines.demo import running

    running.serve_portal(
        port=port,
        seed=seed,
        projects=projects,
        as_of=_instant(as_of) if as_of else _now(),
        tokens=dict(_pair(one, "--token") for one in token) if token else running.TOKENS,
        clock=_now,
        ready=lambda address: print(f"The portal answers at {address}", flush=True),
    )


@command
def refresh(
    source: Annotated[str | None, typer.Option(help="Pull this source only.")] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Pull, build, check and publish a snapshot."""
    from pipelines import refreshing

    with _progress(quiet=as_json) as (console, saying):
        outcome = refreshing.refresh(_settings(), source, _instant(as_of) if as_of else None, saying)
    if as_json:
        _print_json(_outcome(outcome))
    else:
        _print_outcome(console, outcome)
    if not outcome.ok or outcome.stale:
        raise typer.Exit(1)


@command
def dashboard(
    port: Port = 8501,
    address: Annotated[
        str, typer.Option(help="Where to listen; others than this machine only where people sign in.")
    ] = "127.0.0.1",
) -> None:
    """Serve the dashboard over the newest snapshot."""
    from pipelines.access_block import refuse_open_address
    from pipelines.demo import running
    from pipelines.settings import PROJECT

    access = _settings().access
    refuse_open_address(access, address)
    if access:
        access.provider()
    running.refuse_busy(port, address)
    who = (
        f"People sign in at {access.issuer} and open {access.url}."
        if access
        else ("Nobody signs in, so this machine alone is answered; [access] in the settings says who else may come in.")
    )
    print(f"{who}\nThe dashboard listens on http://{address}:{port}", flush=True)
    arguments = running.dashboard_command(port, address)
    os.chdir(PROJECT)
    os.execv(arguments[0], arguments)


@command
def doctor() -> None:
    """Check settings, credentials, reachability, write access and freshness."""
    from pipelines.doctor import examine

    console, colours, failed = _printer(), {"✓": "green", "!": "yellow", "✗": "red"}, False
    for line in examine(None, None, os.environ, _now()):
        failed = failed or line.mark == "✗"
        mark, rest = f"[{colours[line.mark]}]{line.mark}[/]", f"{line.subject}: {line.said} {line.cure}".rstrip()
        console.print(mark, _plain(rest), soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@command
def connect(
    kind: Annotated[str | None, typer.Argument(help="Kind of tool; asked for where it is left out.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source: lower-case letters, digits, _.")] = None,
    answer: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, so that it is not asked for; repeat.")] = None,
) -> None:
    """Ask the few questions a source needs, and write its block into the settings."""
    from pipelines import connecting
    from pipelines.doctor import tool

    given = dict(_pair(one, "--answer") for one in answer or [])
    console = _printer()

    def ask(question: connecting.Question) -> str:
        told = given.get(question.key)
        return told if told is not None else str(typer.prompt(question.text, default=question.default or ""))

    if kind is None:
        for one, said in connecting.kinds().items():
            console.print(_plain(f"{one:<12}{said}"), soft_wrap=True)
        kind = str(typer.prompt("Kind of tool"))
    known = _settings()
    name = name or str(typer.prompt("Name of the source, which opens every id: keep it for good", default=kind))
    file = known.config or known.data / "milepost.toml"
    text = connecting.add(file, known.data, name, connecting.answered(kind, name, ask))
    console.print(_plain(f"{text}\nWritten to {file}."), soft_wrap=True)
    settings = _settings()
    if kind != "files":
        line = tool(name, settings.sources[name], settings, os.environ)
        console.print(_plain(f"{line.mark} {line.subject}: {line.said} {line.cure}".rstrip()), soft_wrap=True)
    console.print("Next: milepost doctor, then milepost refresh", soft_wrap=True)


@command
def snapshots(as_json: AsJson = False) -> None:
    """List the snapshots, newest first, and which one serves."""
    from pipelines.snapshots import available

    settings = _settings()
    rows = [
        {
            "id": one.id,
            "as_of": _written(one.as_of),
            "published_at": _written(one.published_at),
            "serves": one.is_current,
            "bytes": one.path.stat().st_size,
        }
        for one in available(settings.snapshots)
    ]
    if as_json:
        _print_json(rows)
    elif rows:
        _print_table(_printer(), rows)
    else:
        raise fault(str(settings.snapshots), "there is no snapshot yet.", "Run: milepost refresh")


@command
def rollback(snapshot: Annotated[str, typer.Argument(metavar="ID", help="As listed by: milepost snapshots")]) -> None:
    """Let an older snapshot serve again, until the next refresh."""
    from pipelines.snapshots import roll_back

    now_serving = roll_back(_settings().snapshots, snapshot)
    _printer().print(_plain(f"Serving {now_serving.id}, as of {_written(now_serving.as_of)}."))


@command
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Write the data folder to one file and read it back, also while a refresh runs."""
    from pipelines.backing_up import back_up

    with _progress() as (console, saying):
        made = back_up(_settings(), file, _now(), force=force, saying=saying)
    console.print(_plain(f"Backed up to {made.path}, {made.bytes:,} bytes: {_held(made.contents)}. All read back."))


@command
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As written by: milepost backup FILE")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the data folder holds.")] = False,
) -> None:
    """Put a backup back into the data folder: all of it, read back and compared, or nothing."""
    from pipelines.restoring import restore as put_back

    settings = _settings()
    with _progress() as (console, saying):
        contents = put_back(settings, file, force=force, saying=saying)
    console.print(_plain(f"Restored into {settings.data}: {_held(contents)}. All read back."))


def _held(contents: Contents) -> str:
    snapshots = sum(name.startswith("snapshots/") and name.endswith(".duckdb") for name in contents.files)
    by_hand = sum(name.startswith("by_hand/") for name in contents.files)
    rows = f"{contents.rows:,} rows in {len(contents.tables)} tables"
    return f"{rows}, {snapshots} snapshots, {by_hand} files by hand, of {_written(contents.made_at)}"


@command
def runs(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 10, as_json: AsJson = False
) -> None:
    """List the newest refreshes: when, how long, what came in and what became of it."""
    from pipelines.runs import as_json as told
    from pipelines.runs import newest

    found = newest(_settings().data)[:limit]
    if as_json:
        _print_json([told(run) for run in found])
        return
    if not found:
        raise fault(str(_settings().data), "nothing was refreshed yet.", "Run: milepost refresh")
    console = _printer()
    _print_table(console, [_of_run(run) for run in found])
    for run in found:
        if run.error:
            console.print(_plain(f"{_written(run.started_at)}: {run.error}"), soft_wrap=True)


@command
def alert() -> None:
    """Send a trial message through every channel of [alerts], and say whether it was taken."""
    from pipelines.alerting import trial

    told = trial(_settings(), _now())
    if not told:
        raise fault("alerts", "no channel is set.", "See [alerts] in milepost.example.toml.")
    console = _printer()
    for channel, wrong in told.items():
        console.print(_plain(wrong or f"{channel} took the message."), soft_wrap=True)
    if any(told.values()):
        raise typer.Exit(1)


def _of_run(run: Run) -> dict[str, Any]:
    return {
        "started_at": _written(run.started_at),
        "by": run.started_by,
        "seconds": (run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
        "outcome": run.outcome,
        "rows": run.row_count,
        "rejected": run.rejected_count,
        "checks": run.check_count,
        "warnings": run.warning_count,
        "published": run.published,
    }


@command
def measures(as_json: AsJson = False) -> None:
    """List the measures, by what each can be grouped and filtered, and on which clock and with which settings asked."""
    from models.measure import COMMON, catalogue

    if as_json:
        _print_json([_described(one) for one in catalogue().values()])
        return
    console = _printer()
    for one in catalogue().values():
        console.print(_plain(f"{one.id:<5}{one.label} ({one.unit}, {one.kind.replace('_', ' ')})"), style="bold")
        console.print(_plain(f"     {one.definition}"), soft_wrap=True)
        told = []
        if own := [name for name in one.dimensions if name not in COMMON]:
            told.append(f"by {', '.join(own)}")
        if one.working:
            told.append(f"clocks: {one.clock} (its own), {'elapsed' if one.clock == 'working' else 'working'}")
        if one.window:
            told.append(f"looks back {one.window} days unless asked otherwise")
        told += [f"--set {name}={_cell(each.default)}: {each.about}" for name, each in one.settings.items()]
        for line in told:
            console.print(_plain(f"     {line}"), style="dim", soft_wrap=True)
    console.print(_plain(f"Every one also by {', '.join(COMMON)}."))


@command
def measure(  # noqa: PLR0917 - each is an option
    measure: Annotated[str, typer.Argument(metavar="MEASURE", help="As listed by: milepost measures")],
    by: Annotated[list[str] | None, typer.Option(help="Group by; repeat it or join with commas.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="NAME=VALUE[,VALUE]; repeat it for more.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day.")] = None,
    as_of: AsOf = None,
    clock: Annotated[
        str | None, typer.Option(help="elapsed or working: days of 24 hours, or of the project's calendar.")
    ] = None,
    currency: Annotated[str | None, typer.Option(help="Report money in this currency, at cross rates.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=NUMBER of the measure; repeat it.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Tell rule, SQL, rows used and rows left out.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the dashboard would show: a measure, grouped and filtered, on any date, by either clock, in any currency."""
    from models.measure import Question, catalogue
    from pipelines import asking, explaining

    question = Question(
        measure=measure,
        by=tuple(name for text in by or () for name in _parts(text)),
        where={name: _parts(values) for name, values in (_pair(text, "--where") for text in where or ())},
        since=since.date() if since else None,
        until=until.date() if until else None,
        clock=_clock(clock),
        settings=dict(_number(text) for text in set_ or ()),
    )
    moment = _instant(as_of) if as_of else None
    console = _printer()
    if explain:
        told = asking.explained(_settings(), question, moment, currency and currency.upper())
        if as_json:
            _print_json(explaining.as_json(question, told))
            return
        for part in explaining.parts(question, told):
            console.print(_plain(part.title), style="bold")
            for line in part.lines:
                console.print(_plain(line), soft_wrap=True)
            if part.rows:
                _print_table(console, list(part.rows))
            console.print()
        return
    answered = asking.ask(_settings(), question, moment, currency and currency.upper())
    described = catalogue()[measure]
    if as_json:
        _print_json(explaining.answer_as_json(question, answered))
        return
    clock_told = ", working days" if (question.clock or described.clock) == "working" else ""
    console.print(
        _plain(f"{described.label} ({answered.unit}{clock_told}), as of {_written(answered.as_of)}"), style="bold"
    )
    console.print(_plain(described.definition), soft_wrap=True)
    _print_table(console, answered.rows)


def _described(one: Measure) -> dict[str, Any]:
    return {
        "id": one.id,
        "label": one.label,
        "kind": one.kind,
        "unit": one.unit,
        "definition": one.definition,
        "by": list(one.dimensions),
        "clocks": [one.clock, *({"elapsed", "working"} - {one.clock} if one.working else ())],
        "window_days": one.window,
        "settings": {name: {"default": each.default, "about": each.about} for name, each in one.settings.items()},
    }


def _clock(text: str | None) -> Clock | None:
    if text is None:
        return None
    if text not in ("elapsed", "working"):
        raise fault("--clock", f"there is no clock {text!r}.", "There are: elapsed, working.")
    return "working" if text == "working" else "elapsed"


def _number(text: str) -> tuple[str, float]:
    name, value = _pair(text, "--set")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise fault("--set", f"{value!r} is no number.", f"Write --set {name}=14, say.")
    return name, number


def _now() -> datetime:
    return datetime.now(UTC)


def _settings() -> Settings:
    from pipelines.settings import load

    return load()


def _instant(text: str) -> datetime:
    """An instant as written; a bare date is the end of that day, UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise fault(
            "--as-of", f"{text!r} is no date or instant.", "Write 2026-06-30 or 2026-06-30T12:00:00Z."
        ) from None
    if len(text) == len("2026-06-30"):
        return datetime.combine(moment, time.max, UTC)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name.strip() and sign and value.strip()):
        raise fault(option, f"{text!r} is not NAME=VALUE.", f"Write {option} firm='Relay Onboarding', say.")
    return name.strip(), value.strip()


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _outcome(outcome: Refresh) -> dict[str, Any]:
    serving = outcome.serving
    return {
        "ok": outcome.ok,
        "seconds": round(outcome.seconds, 3),
        "steps": [
            {
                "step": step.name,
                "rows": step.rows,
                "seconds": round(step.seconds, 3),
                "check_seconds": round(step.check_seconds, 3),
            }
            for step in outcome.steps
        ],
        "checks": outcome.checks,
        "warnings": outcome.warnings,
        "stale": outcome.stale,
        "problems": outcome.problems,
        "serving": serving and {"id": serving.id, "as_of": _written(serving.as_of)},
    }


def _print_outcome(console: Console, outcome: Refresh) -> None:
    groups: dict[str, list[Any]] = {}
    for step in outcome.steps:
        room = step.name.split("/")[0]
        groups.setdefault(step.name if room == "raw" else room, []).append(step)
    rows = [
        {
            "step": f"{name} ({len(steps)} tables)" if len(steps) > 1 else name,
            "rows": "" if steps[0].rows is None else f"{sum(step.rows or 0 for step in steps):,}",
            "seconds": f"{sum(step.seconds for step in steps):.2f}",
        }
        for name, steps in groups.items()
    ]
    if outcome.checks:
        seconds = sum(step.check_seconds for step in outcome.steps)
        rows.append({"step": f"{outcome.checks} checks", "rows": "", "seconds": f"{seconds:.2f}"})
    if rows:
        _print_table(console, rows)
    for warning in outcome.warnings:
        console.print(_plain(f"! {warning}"), style="yellow", soft_wrap=True)
    for line in outcome.stale if outcome.ok else ():
        _printer(stderr=True).print(_plain(line), style="red", soft_wrap=True)
    for problem in outcome.problems:
        _printer(stderr=True).print(_plain(problem), style="red", soft_wrap=True)
    serving = outcome.serving
    said = f"snapshot {serving.id} serves, as of {_written(serving.as_of)}" if serving else "there is no snapshot yet"
    verb = "Refreshed" if outcome.ok else "Not refreshed"
    console.print(_plain(f"{verb} in {outcome.seconds:.1f} s; {said}."), style="bold", soft_wrap=True)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
    print()


def _print_table(console: Console, rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        is_number = all(isinstance(row[name], int | float | None) for row in rows) or name in ("rows", "seconds")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=name == "id")
    for row in rows:
        table.add_row(*(_plain(_cell(value)) for value in row.values()))
    console.print(table)


def _print_box(console: Console, text: str) -> None:
    from rich.panel import Panel

    console.print(Panel(_plain(text), title="Milepost", expand=False, padding=(1, 2)))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _printer(stderr: bool = False) -> Console:
    from rich.console import Console

    wide = None if (sys.stderr if stderr else sys.stdout).isatty() else 160  # a pipe or a file has no width
    return Console(stderr=stderr, highlight=False, width=wide)


@contextmanager
def _progress(quiet: bool = False) -> Iterator[tuple[Console, Callable[[str], None]]]:
    """A console and a function that shows what is being done: a spinner on a terminal, else nothing."""
    console = _printer()
    if quiet or not console.is_terminal:
        yield console, lambda _: None
        return
    with console.status("") as status:
        yield console, lambda text: status.update(f"{text} …")


if __name__ == "__main__":
    app()
