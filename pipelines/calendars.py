"""Which days are weekends and public holidays, asked of `holidays` for the regions and years in use and no others.

Fills `reference.days`, `reference.weekends` and `reference.holidays` once records are staged. Which calendar a
clock runs on is decided in models (client_calendars, project_calendars); what a working day is, in working_days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import polars as pl

from models import build, catalog
from models.build import Connection, Moment
from models.faults import Fault, Problem

FIRST_YEAR = 1970  # an instant before it is a slip of the pen, and has no working position
SATURDAY = 5
_WHOLE_COUNTRY = ""


class Region(NamedTuple):
    """Whose weekends and holidays; '' where no country, or no part of it, is named."""

    country: str
    subdivision: str


class Year(NamedTuple):
    """The days of one year on which a region does not work."""

    weekends: tuple[date, ...]
    holidays: tuple[tuple[date, str], ...]


def package() -> str:
    """What the tables loaded here depend on beside records and settings."""
    return f"holidays {version('holidays')}"


def load(con: Connection, at: Moment) -> None:
    """Fills the three reference tables for what is staged.

    Raises `Fault` naming record, field and value for a country or subdivision that nobody knows.
    """
    regions = _regions(con, at)
    _refuse_unknown(con, at, regions)
    years = range(_first_year(con, at), at.as_of.year + 2)
    one_day = timedelta(days=1)
    first, end = date(years.start, 1, 1), date(years.stop, 1, 1)
    days = [first + n * one_day for n in range((end - first).days + 1)]  # one more, to bound the last
    told = [(region, of_year(*region, year)) for region in regions for year in years]
    region_columns = {"country": pl.String, "subdivision": pl.String, "day": pl.Date}
    frames = {
        "days": pl.DataFrame({"day": days}, schema={"day": pl.Date}),
        "weekends": pl.DataFrame(
            [(*region, day) for region, year in told for day in year.weekends], schema=region_columns, orient="row"
        ),
        "holidays": pl.DataFrame(
            [(*region, day, name) for region, year in told for day, name in year.holidays],
            schema={**region_columns, "name": pl.String},
            orient="row",
        ),
    }
    for name, frame in frames.items():
        con.register("loading", frame)
        con.execute(f"create or replace table reference.{name} as select * from loading")
        con.unregister("loading")


@cache
def of_year(country: str, subdivision: str, year: int) -> Year:
    """A region's weekend days and public holidays of one year; Saturdays and Sundays where no country is named."""
    days = list(_days_of(year))
    if not country:
        return Year(tuple(day for day in days if day.weekday() >= SATURDAY), ())
    # holidays takes a tenth of a second to import
    from holidays import country_holidays

    told = country_holidays(country, subdiv=subdivision if subdivision in known()[country] else None, years=year)
    # a weekend day on which people work because another day was given off instead is a working day
    weekends = tuple(day for day in days if told.is_weekend(day) and day not in told.weekend_workdays)
    named = tuple((day, told[day]) for day in days if day in told and day not in told.weekend_workdays)
    return Year(weekends, named)


def _days_of(year: int) -> Iterator[date]:
    first = date(year, 1, 1)
    return (first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days))


@cache
def known() -> dict[str, frozenset[str]]:
    """The subdivisions that have holidays of their own, by country."""
    from holidays import list_supported_countries

    supported = list_supported_countries(include_aliases=False)
    return {country: frozenset(subdivisions) for country, subdivisions in supported.items()}


def _regions(con: Connection, at: Moment) -> list[Region]:
    """Every region that a calendar in use has, as the models decide it; and the one of no country."""
    found = {Region("", _WHOLE_COUNTRY)}
    for name in ("client_calendars", "project_calendars"):
        sql = catalog.marts()[name].sql
        rows = con.execute(f"select distinct country, subdivision from ({sql})", build.parameters(sql, at)).fetchall()
        found |= {Region(country or "", subdivision or _WHOLE_COUNTRY) for country, subdivision in rows}
    return sorted(found)


def _first_year(con: Connection, at: Moment) -> int:
    """The year before the earliest instant on record, or before the clock where there is none."""
    earliest = [
        f"(select min({field.name}) from staging.{entity.name})"
        for entity in catalog.contract().entities.values()
        for field in entity.columns.values()
        if field.type == "instant" and field.name not in ("recorded_at", "deleted_at")
    ]
    found = build.first(con, f"select least({', '.join(earliest)})")
    return max(FIRST_YEAR, min(found.year if found else at.as_of.year, at.as_of.year) - 1)


def _refuse_unknown(con: Connection, at: Moment, regions: list[Region]) -> None:
    problems = [problem for region in regions if region.country for problem in _problems(con, at, region)]
    if problems:
        raise Fault(problems)


def _problems(con: Connection, at: Moment, region: Region) -> Iterator[Problem]:
    """Every record and setting that names this region, where `holidays` does not know it."""
    if region.country not in known():
        field, value, said = "country", region.country, f"{region.country!r} is no country."
        cure = "Write an ISO 3166-1 alpha-2 code such as US, or leave it empty where it is not known."
    # a country without a list has the same holidays everywhere, and any code of a part of it will do
    elif region.subdivision and known()[region.country] and region.subdivision not in known()[region.country]:
        field, value = "subdivision", region.subdivision
        said = f"{value!r} is no part of {region.country} with holidays of its own."
        parts = ", ".join(sorted(known()[region.country]))
        cure = f"Known are: {parts}. Leave it empty for the holidays of the whole country."
    else:
        return
    for entity, calendars in (("clients", "client_calendars"), ("projects", "project_calendars")):
        sql, key = catalog.marts()[calendars].sql, catalog.contract().entities[entity].id
        rows = con.execute(
            f"select staged.source, staged.source_key, staged.source_url from ({sql}) as placed "
            f"join staging.{entity} as staged on placed.{key} = staged.{key} and staged.reject_reason is null "
            "where placed.country = $region_country and coalesce(placed.subdivision, '') = $region_subdivision "
            f"and staged.{field} = $value group by all order by all limit {Fault.SHOWN + 1}",
            {
                **build.parameters(sql, at),
                "region_country": region.country,
                "region_subdivision": region.subdivision,
                "value": value,
            },
        ).fetchall()
        for source, record, url in rows:
            place = f"{url}, " if url and "://" not in url else ""
            yield Problem(f"source {source}, {entity}: {place}record {record}, field {field}", said, cure)
    named = con.execute(f"select source from reference.sources where {field} = $value", {"value": value}).fetchall()
    for (source,) in named:
        yield Problem(f"settings, key sources.{source}.{field}", said, cure)
    if (at.country, at.subdivision)[field == "subdivision"] == value:
        yield Problem(f"settings, key {field}", said, cure)
