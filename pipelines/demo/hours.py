"""Office hours in a time zone, in whole UTC seconds: when people plausibly start, send and decide.

What stays out: holidays. People of the simulated firms now and then work on one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from pipelines.demo.records import SECONDS_A_DAY

HOUR = 3_600
OPENS = 9 * HOUR
CLOSES = 17 * HOUR + 45 * 60
EVENING = 21 * HOUR + 10 * 60
_THURSDAY = 3  # 1970-01-01, counted from Monday


class _Offsets(dict[int, int]):
    """Seconds east of UTC by day, taken at that day's noon UTC: every zone's change lies in a night."""

    def __init__(self, timezone: str) -> None:
        self.zone = ZoneInfo(timezone)

    def __missing__(self, day: int) -> int:
        noon = datetime.fromtimestamp(day * SECONDS_A_DAY + 12 * HOUR, UTC).astimezone(self.zone)
        self[day] = offset = int(noon.utcoffset().total_seconds()) if noon.utcoffset() else 0  # type: ignore[union-attr]
        return offset


class Office:
    """One zone's office: `draw` arguments are uniform on [0, 1) and pick the second within the day."""

    def __init__(self, timezone: str) -> None:
        self._east = _Offsets(timezone)

    def local_day(self, moment: int) -> int:
        """The date of a UTC moment in this zone, as days since 1970-01-01."""
        return (moment + self._east[moment // SECONDS_A_DAY]) // SECONDS_A_DAY

    def open(self, moment: int, draw: float) -> int:
        """The moment itself within office hours, else some second of the next office day."""
        day, second = divmod(moment + self._east[moment // SECONDS_A_DAY], SECONDS_A_DAY)
        weekday = (day + _THURSDAY) % 7
        if weekday >= 5:
            day += 7 - weekday
        elif second >= CLOSES:
            day += 3 if weekday == 4 else 1
        elif second >= OPENS:
            return moment
        return day * SECONDS_A_DAY + OPENS + int(draw * 8.5 * HOUR) - self._east[day]

    def evening(self, moment: int, draw: float) -> int:
        """A second late in the evening of the same local day; the moment must lie within office hours."""
        day = self.local_day(moment)
        return day * SECONDS_A_DAY + EVENING + int(draw * 2.75 * HOUR) - self._east[day]

    def workday(self, day: int) -> int:
        """The day itself, or the Monday after a weekend."""
        weekday = (day + _THURSDAY) % 7
        return day + 7 - weekday if weekday >= 5 else day


@cache
def office(timezone: str) -> Office:
    return Office(timezone)
