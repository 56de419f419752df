"""Working days: whose calendar, what counts, and how it adds up; [O] marks answers worked out elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pytest
from small_worlds import CLIENT, GATE, PROJECT, make_all, prepare, receive

from models.admission import StagedSource

Made = Callable[..., duckdb.DuckDBPyConnection]
SOURCE = [StagedSource("t", None, "raw_t")]


@pytest.fixture
def made() -> Iterator[Made]:
    """A world whose client, project, team and settings each may name a place: `made(as_of, client={…}, team={…}, …)`."""
    opened: list[duckdb.DuckDBPyConnection] = []

    def make(
        as_of: str = "2026-06-30T00:00:00",
        client: dict[str, Any] | None = None,
        project: dict[str, Any] | None = None,
        team: dict[str, str] | None = None,
        default: dict[str, str] | None = None,
        **records: Any,
    ) -> duckdb.DuckDBPyConnection:
        con = duckdb.connect()
        opened.append(con)
        prepare(con)
        for key, value in (team or {}).items():
            con.execute(f"update reference.sources set {key} = ?", [value])
        records = {"milestones": [GATE], **records}
        receive(
            con,
            "t",
            {"clients": [{**CLIENT, **(client or {})}], "projects": [{**PROJECT, **(project or {})}], **records},
        )
        make_all(con, SOURCE, as_of, **(default or {}))
        return con

    yield make
    for con in opened:
        con.close()


def days_on(con: duckdb.DuckDBPyConnection, calendar: str, starts: str, ends: str) -> float:
    """Working days between two UTC instants on a calendar, by the models' own tables and macros."""
    sql = """
        select micros_to_days(
            working_position($ends, e.starts_at, e.ends_at, e.is_working, e.working_before)
            - working_position($starts, s.starts_at, s.ends_at, s.is_working, s.working_before))
        from marts.working_days as s, marts.working_days as e
        where s.calendar = $calendar and e.calendar = $calendar
            and s.day_on = local_day($starts, s.timezone) and e.day_on = local_day($ends, e.timezone)
    """
    at = [datetime.fromisoformat(text) for text in (starts, ends)]
    rows = con.execute(sql, {"starts": at[0], "ends": at[1], "calendar": calendar}).fetchall()
    assert len(rows) == 1, f"no day of {calendar} holds {starts} and {ends}"
    days: float = rows[0][0]
    return days


def test_october_2012_to_march_2013_has_109_weekdays(made: Made) -> None:
    """[O] working days, Monday to Friday, half-open, 2012-10-01 to 2013-03-01."""
    con = made(project={"timezone": "UTC", "signed_at": "2012-09-01T00:00:00Z"}, client={"timezone": "UTC"})
    assert days_on(con, "UTC", "2012-10-01T00:00:00", "2013-03-01T00:00:00") == 109


def test_a_calendar_is_in_whole_days_what_numpy_counts(made: Made) -> None:
    con = made(project={"timezone": "America/New_York", "country": "US", "signed_at": "2024-12-31T12:00:00Z"})
    calendar, zone = "America/New_York|US", ZoneInfo("America/New_York")
    rows = con.execute(
        "select holiday, day_on from marts.working_days where holiday is not null and calendar = ?", [calendar]
    )
    holidays = [day for _, day in rows.fetchall()]
    assert date(2025, 7, 4) in holidays
    for starts, ends in [("2025-01-01", "2025-12-31"), ("2025-06-30", "2025-07-08"), ("2025-03-07", "2025-03-12")]:
        at = [
            datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC).isoformat()[:19] for day in (starts, ends)
        ]
        assert days_on(con, calendar, *at) == np.busday_count(starts, ends, holidays=holidays)
