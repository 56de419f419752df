"""`milepost doctor`: is everything there that a refresh and the dashboard need? One line each, with the cure.

Looks and never mends. What stays out: printing (cli.py), and anything that needs a refresh to find out.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from models.faults import Fault
from pipelines import snapshots
from pipelines.access_block import Access
from pipelines.secret_files import open_to_others
from pipelines.settings import Settings, load
from pipelines.source_blocks import FilesSource, Source

STALE = timedelta(hours=26)  # a day and two hours' grace for the nightly refresh
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Line:
    """One thing looked at: ✓ in order, ! worth knowing, ✗ a refresh or a page will fail."""

    mark: Literal["✓", "!", "✗"]
    subject: str
    said: str
    cure: str = ""


def examine(data: Path | None, config: Path | None, environ: Mapping[str, str], now: datetime) -> Iterator[Line]:
    """Every line, as each is found out. Raises nothing for what is wrong: that is what the lines are for."""
    try:
        settings = load(data, config, environ)
    except Fault as error:
        for problem in error.problems:
            yield Line("✗", "settings", f"{problem.where}: {problem.what}", problem.cure)
        return
    yield _settings(settings)
    yield _write_access(settings)
    yield _privacy(settings)
    if settings.access:
        yield _access(settings.access, environ)
    yield from _playbooks(settings)
    yield _rates(settings, now)
    for name, source in settings.sources.items():
        if source.kind == "files":
            yield from _files(name, source, settings)
        else:
            yield tool(name, source, settings, environ)
    yield from _alerts(settings, environ)
    yield from _freshness(settings, now)


def _settings(settings: Settings) -> Line:
    if not settings.sources:
        said = f"{settings.config or 'no settings file'}: no source is configured."
        return Line("!", "settings", said, "Copy milepost.example.toml to milepost.toml and name your sources.")
    names = ", ".join(settings.sources)
    return Line("✓", "settings", f"{settings.config}: {names}; data in {settings.data}.")


def _write_access(settings: Settings) -> Line:
    for folder in (settings.data, settings.snapshots):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder):
                pass
        except OSError as error:
            return Line("✗", "data folder", f"{folder} cannot be written ({error.strerror}).",
                        "Give yourself write access to it, or choose another with MILEPOST_DATA.")  # fmt: skip
    return Line("✓", "data folder", f"{settings.data} can be written.")


def _privacy(settings: Settings) -> Line:
    found = open_to_others(settings.data)
    if not found:
        return Line("✓", "privacy", "others on this machine cannot read it.")
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    said = f"{found[0]}{more} can be read by others on this machine."
    return Line("!", "privacy", said, f"Keep money and names to yourself: chmod -R go= {settings.data}")


def _access(access: Access, environ: Mapping[str, str]) -> Line:
    """Only what is here: whether the provider answers is seen when somebody signs in."""
    try:
        access.provider(environ)
    except Fault as error:
        return Line("✗", "access", error.problems[0].what, error.problems[0].cure)
    count = len(access.people)
    said = f"people sign in at {access.issuer} and open {access.url}; {count} {'rule' if count == 1 else 'rules'}."
    return Line("✓", "access", said)


def _playbooks(settings: Settings) -> Iterator[Line]:
    from pipelines.playbooks import load_playbooks

    try:
        found = load_playbooks(settings.playbooks)
    except Fault as error:
        for problem in error.problems:
            yield Line("✗", "playbooks", f"{problem.where}: {problem.what}", problem.cure)
        return
    yield Line("✓", "playbooks", f"{', '.join(found)}, from {settings.playbooks}.")


def _rates(settings: Settings, now: datetime) -> Line:
    file = settings.rates_file
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = [(row["day"], row["currency"], float(row["rate"])) for row in csv.DictReader(stream)]
        newest = max(date.fromisoformat(day) for day, _, _ in rows)
    except FileNotFoundError:
        return Line("!", "rates", f"{file} is not there; only {settings.reporting_currency} can be refreshed.",
                    "Write a CSV of day,currency,rate there if you bill in other currencies.")  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        return Line("✗", "rates", f"{file} cannot be read as day,currency,rate ({error}).",
                    "Write one line such as 2026-03-04,EUR,1.08 for every day and currency.")  # fmt: skip
    currencies = ", ".join(sorted({currency for _, currency, _ in rows}))
    if newest < now.date() - timedelta(days=7):
        return Line(
            "!", "rates", f"{file} ends on {newest}.", "Add the days since then, or later records have no rate."
        )
    return Line("✓", "rates", f"{currencies} to {settings.reporting_currency} up to {newest}.")


def tool(name: str, source: Source, settings: Settings, environ: Mapping[str, str]) -> Line:
    """Whether a source's tool can be reached and lets us read, and what it says of its limits."""
    from pipelines.sources import kind
    from pipelines.sources.door import Patience

    patience = Patience(timeout_seconds=PATIENCE_SECONDS, attempts=1)
    address = getattr(source, "url", "")
    try:
        headroom = kind(source.kind).probe(name, settings, environ, patience)
    except Fault as error:
        return Line("✗", f"source {name}", f"{address} {error.problems[0].what}", error.problems[0].cure)
    return Line("✓", f"source {name}", f"{address} answers and lets us read{f'; {headroom}' if headroom else ''}.")


def _files(name: str, source: FilesSource, settings: Settings) -> Iterator[Line]:
    folder = settings.folder_of(source)
    for table, described in source.tables.items():
        found = [file for file in folder.glob(described.glob) if file.is_file()]
        if found:
            yield Line("✓", f"source {name}", f"{table}: {len(found)} file(s) match {described.glob} in {folder}.")
        else:
            yield Line("✗", f"source {name}", f"{table}: no file matches {described.glob} in {folder}.",
                       f"Put the files there, or mend sources.{name}.tables.{table}.glob.")  # fmt: skip


def _alerts(settings: Settings, environ: Mapping[str, str]) -> Iterator[Line]:
    """Whether the secrets of the channels that are set can be had; nothing is sent."""
    mail, webhook = settings.alerts.mail, settings.alerts.webhook
    try:
        if mail and mail.user:
            mail.password(environ)
        if webhook:
            webhook.url(environ)
    except Fault as error:
        for problem in error.problems:
            yield Line("✗", problem.where, problem.what, problem.cure)
        return
    if mail or webhook:
        names = " and ".join(name for name, one in (("mail", mail), ("webhook", webhook)) if one)
        yield Line("✓", "alerts", f"by {names}; try it: milepost alert")


def _freshness(settings: Settings, now: datetime) -> Iterator[Line]:
    serving = snapshots.newest(settings.snapshots)
    if serving is None:
        yield Line("!", "snapshot", "there is none yet, so the dashboard is empty.", "Run: milepost refresh")
        return
    said = f"{serving.id} serves, as of {serving.as_of.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    newest = snapshots.available(settings.snapshots)[0]
    if newest.id != serving.id:
        yield Line(
            "!", "snapshot", f"{said}, rolled back from {newest.id}.", f"To return: milepost rollback {newest.id}"
        )
    elif now - serving.published_at > STALE:
        hours = (now - serving.published_at) // timedelta(hours=1)
        yield Line("!", "snapshot", f"{said}, published {hours} hours ago.", "Run: milepost refresh")
    else:
        yield Line("✓", "snapshot", f"{said}.")
    yield from _pulls(serving.path, now)
    yield from _filled(serving.path)


def _pulls(snapshot: Path, now: datetime) -> Iterator[Line]:
    import duckdb

    query = "select source, outcome, pulled_at from marts.source_pulls where is_latest order by source"
    names = (
        "select count(*), sum(gate_count), max_by(gate_name, gate_count), max_by(suggested_label, gate_count) "
        "from marts.unmapped_gates where playbook <> 'no playbook'"
    )
    try:
        with duckdb.connect(str(snapshot), read_only=True) as con:
            rows = con.execute(query).fetchall()
            is_listed = con.execute("from duckdb_tables() where table_name = 'unmapped_gates'").fetchall()
            ((name_count, gate_count, name, suggested),) = (
                con.execute(names).fetchall() if is_listed else [(0, 0, "", "")]
            )
    except duckdb.Error as error:
        yield Line("✗", "snapshot", f"{snapshot} cannot be read ({str(error).splitlines()[0]}).",
                   "Roll back to another (milepost snapshots), or run: milepost refresh")  # fmt: skip
        return
    for source, outcome, pulled_at in rows:
        if outcome != "ok":
            told = "its last pull failed" if outcome == "failed" else "its newest records are held back"
            yield Line("!", f"source {source}", f"{told}, at {pulled_at:%Y-%m-%d %H:%M} UTC; older ones are shown.",
                       f"See why: milepost refresh --source {source}")  # fmt: skip
        elif now - pulled_at.replace(tzinfo=UTC) > STALE:
            yield Line(
                "!", f"source {source}", f"was last pulled on {pulled_at:%Y-%m-%d %H:%M} UTC.", "Run: milepost refresh"
            )
    if name_count:
        like = f", which is like {suggested!r}" if suggested else ""
        yield Line("!", "gate names", f"{name_count} in no playbook, on {gate_count} gate(s), such as {name!r}{like}.",
                   "Add them as aliases to the playbook, or mend them in the tool; Data health lists all.")  # fmt: skip


def _filled(snapshot: Path) -> Iterator[Line]:
    """Of each source how new its records are, and which fields of the contract it fills and which stay empty."""
    import duckdb

    from pipelines.filling import fillings

    try:
        found = fillings(snapshot)
    except duckdb.Error:  # told by _pulls
        return
    for source, entities in found.items():
        newest = max((one.newest for one in entities if one.newest), default=None)
        count = sum(one.records for one in entities)
        dated = f", the newest written {newest[:16].replace('T', ' ')}" if newest else ""
        yield Line("✓", f"source {source}", f"records: {count:,}{dated}.")
        for one in entities:
            empty = f"; empty: {', '.join(one.empty)}" if one.empty else ""
            share = f"{len(one.filled)} of {len(one.filled) + len(one.empty)} fields"
            yield Line("✓", f"source {source}", f"{one.entity} ({one.records:,}): {share} filled{empty}.")
