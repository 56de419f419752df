"""Calendars: what is asked of `holidays`, what is loaded of it, and what is refused."""

from __future__ import annotations

from datetime import date

import pytest
from holidays import country_holidays

from pipelines import calendars


@pytest.mark.parametrize(
    ("country", "subdivision", "year"),
    [("US", "CA", 2025), ("DE", "BY", 2026), ("IL", "", 2026), ("AE", "", 2021), ("AE", "", 2022), ("CN", "", 2025)],
)
def test_a_region_works_on_the_days_on_which_holidays_says_it_does(country: str, subdivision: str, year: int) -> None:
    told = country_holidays(country, subdiv=subdivision or None, years=year)
    found = calendars.of_year(country, subdivision, year)
    off = {*found.weekends, *(day for day, _ in found.holidays)}
    days = [date.fromordinal(n) for n in range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal())]
    assert [day for day in days if day not in off] == [day for day in days if told.is_working_day(day)]


def test_without_a_country_saturday_and_sunday_are_off_and_nothing_else() -> None:
    found = calendars.of_year("", "", 2026)
    assert found.holidays == ()
    assert {day.isoweekday() for day in found.weekends} == {6, 7}
    assert len(found.weekends) == 104
