"""Tells people what is wrong, once for each cause: a refresh that failed, a source that is stale, a check that fails.

A cause stands in `ops.alerts` from when it is first seen until it is found to be well again; what each channel has been
told of it stands in `ops.alert_notices`, so that nothing is told twice and nothing is lost while a server is down.
Text names sources, tables and checks, and counts; never a record, a client or an error's own words. What stays
out: sending (alert_channels.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from models import build
from models.build import Connection
from pipelines.alert_channels import Message, channels, inert, send
from pipelines.settings import Settings

REFRESH = "refresh"
UNOPENED = ".alerted"  # what was told while the warehouse could not be opened
_PULLS = "select outcome from ops.pulls where source = ? order by pulled_at desc limit 1"
_LAST_GOOD = "select max(pulled_at) from ops.pulls where source = ? and outcome = 'ok'"


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that is wrong, under a key that stays the same for as long as it is."""

    key: str
    told: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A blocking check as it came out: `count` rows break it."""

    name: str
    count: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """What a channel is yet to be told of a cause: that it was raised, or that it is well again."""

    cause: str
    raised_at: datetime
    is_recovery: bool
    channel: str
    told: str


def causes(con: Connection, settings: Settings, is_ok: bool, checks: Sequence[Checked]) -> list[Cause]:
    """All that is wrong after a refresh."""
    broken = [check for check in checks if not check.holds]
    found = [Cause(f"check {one.name}", f"Check {inert(one.name)}: {_rows(one.count)}.") for one in broken]
    found += [_stale(con, name, state) for name in settings.sources if (state := _state(con, name)) not in (None, "ok")]
    if not is_ok:
        counted = "1 blocking check does" if len(broken) == 1 else f"{len(broken)} blocking checks do"
        why = f", {counted} not hold" if broken else ""
        found.insert(0, Cause(REFRESH, f"The refresh failed{why}; the last good numbers are shown."))
    return found


def well(con: Connection, settings: Settings, is_ok: bool, checks: Sequence[Checked]) -> set[str] | None:
    """The keys of what was found to be well; None where all is that is not wrong."""
    if is_ok:
        return None
    sources = {f"source {name}" for name in settings.sources if _state(con, name) == "ok"}
    return sources | {f"check {one.name}" for one in checks if one.holds}


def note(con: Connection, found: Sequence[Cause], well: set[str] | None, at: datetime) -> None:
    """Adds the causes that are new, and says of those gone that they are well again."""
    now = at.astimezone(UTC).replace(tzinfo=None)
    rows = con.execute("select cause from ops.alerts where recovered_at is null").fetchall()
    standing, present = {cause for (cause,) in rows}, {cause.key for cause in found}
    gone = {key for key in standing - present if well is None or key in well}
    with build.together(con):
        for cause in found:
            if cause.key not in standing:
                con.execute("insert into ops.alerts values (?, ?, ?, null)", [cause.key, now, cause.told])
        for key in gone:
            con.execute("update ops.alerts set recovered_at = ? where cause = ? and recovered_at is null", [now, key])


def untold(con: Connection, settings: Settings) -> list[Notice]:
    """What each channel is yet to be told; of a cause that came and went untold nothing."""
    rows = con.execute(
        """
        select alerts.cause, alerts.raised_at, alerts.recovered_at is not null as is_recovery, kept.channel, alerts.told
        from ops.alerts as alerts cross join (select unnest($channels) as channel) as kept
        where not exists (
            select 1 from ops.alert_notices as notices
            where notices.cause = alerts.cause and notices.raised_at = alerts.raised_at
                and notices.channel = kept.channel and notices.is_recovery = (alerts.recovered_at is not null)
        ) and (alerts.recovered_at is null or exists (
            select 1 from ops.alert_notices as notices
            where notices.cause = alerts.cause and notices.raised_at = alerts.raised_at
                and notices.channel = kept.channel and not notices.is_recovery
        ))
        order by is_recovery, alerts.raised_at, alerts.rowid""",
        {"channels": list(channels(settings.alerts))},
    ).fetchall()
    return [Notice(*row) for row in rows]


def deliver(
    settings: Settings, notices: Sequence[Notice], at: datetime, environ: Mapping[str, str] = os.environ
) -> tuple[list[Notice], list[str]]:
    """Sends each channel one message of all it is to be told. Which notices were taken, and what went wrong."""
    taken, wrong = [], []
    for channel in channels(settings.alerts):
        mine = [notice for notice in notices if notice.channel == channel]
        if not mine:
            continue
        error = send(settings.alerts, channel, _message(mine, at), environ)
        if error:
            wrong.append(f"{error} It is tried again after the next refresh.")
        else:
            taken += mine
    return taken, wrong


def mark(con: Connection, taken: Sequence[Notice]) -> None:
    """Notes what channels have been told."""
    if taken:
        rows = [[one.cause, one.raised_at, one.is_recovery, one.channel] for one in taken]
        con.executemany("insert into ops.alert_notices values (?, ?, ?, ?)", rows)


def trial(settings: Settings, at: datetime, environ: Mapping[str, str] = os.environ) -> dict[str, str | None]:
    """Sends a trial message through each channel; what went wrong with it, None where it was taken."""
    message = Message("Milepost alerts: a trial", "This is how you will be told when something is wrong.", at)
    return {name: send(settings.alerts, name, message, environ) for name in channels(settings.alerts)}


def without_warehouse(settings: Settings, at: datetime, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Tells of a refresh that could not even open the warehouse, once; what went wrong with telling.

    Where not even the file that says so can be written, it is told again by the next refresh.
    """
    already = _already(settings)
    left = [name for name in channels(settings.alerts) if name not in already]
    told = "The refresh failed, the warehouse cannot be opened; the last good numbers are shown."
    naive = at.astimezone(UTC).replace(tzinfo=None)
    taken, wrong = deliver(settings, [Notice(REFRESH, naive, False, name, told) for name in left], at, environ)
    with suppress(OSError):
        if names := [*already, *(one.channel for one in taken)]:
            (settings.data / UNOPENED).write_text(json.dumps(names), "utf-8")
    return wrong


def take_over(con: Connection, settings: Settings, at: datetime) -> None:
    """Notes in the warehouse what was told while it could not be opened."""
    names = _already(settings)
    if not names:
        return
    note(con, [Cause(REFRESH, "The refresh failed.")], set(), at)
    known = con.execute(
        "select raised_at from ops.alerts where cause = ? and recovered_at is null", [REFRESH]
    ).fetchall()
    mark(con, [Notice(REFRESH, known[0][0], False, name, "") for name in names])
    (settings.data / UNOPENED).unlink(missing_ok=True)


def _already(settings: Settings) -> list[str]:
    try:
        return [str(name) for name in json.loads((settings.data / UNOPENED).read_text("utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def _state(con: Connection, source: str) -> str | None:
    rows = con.execute(_PULLS, [source]).fetchall()
    return str(rows[0][0]) if rows else None


def _stale(con: Connection, source: str, state: str | None) -> Cause:
    ((good,),) = con.execute(_LAST_GOOD, [source]).fetchall()
    since = f"of {good:%Y-%m-%d %H:%M} UTC" if good else "of none"
    why = "it could not be pulled" if state == "failed" else "its newest records do not fit"
    return Cause(f"source {source}", f"Source {inert(source)} is stale, {why}; its last good pull is {since}.")


def _rows(count: int) -> str:
    return "1 row breaks it" if count == 1 else f"{count} rows break it"


def _message(notices: Sequence[Notice], at: datetime) -> Message:
    raised = [notice for notice in notices if not notice.is_recovery]
    recovered = [notice for notice in notices if notice.is_recovery]
    counted = [f"{len(raised)} new" if raised else "", f"{len(recovered)} well again" if recovered else ""]
    lines = [notice.told for notice in raised]
    lines += [f"Well again: {inert(one.cause)}, told at {one.raised_at:%Y-%m-%d %H:%M} UTC." for one in recovered]
    lines += ["", f"After the refresh of {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
              "More: milepost runs, milepost doctor, and the page Data health."]  # fmt: skip
    return Message(f"Milepost alerts: {', '.join(filter(None, counted))}", "\n".join(lines), at)
