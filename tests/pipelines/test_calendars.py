"""Calendars: what is asked of `holidays`, what is loaded of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from holidays import country_holidays
from small_firm import found, refreshed, rewrite

from models.faults import Fault
from pipelines import calendars, pulling, refreshing, warehouse
from pipelines.settings import load


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


def region_days(con: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str, int, int]]:
    sql = (
        f"select country, subdivision, min(year(day)), max(year(day)) from reference.{table} group by all order by all"
    )
    return con.execute(sql).fetchall()


JUNE = datetime(2026, 6, 30, tzinfo=UTC)


@contextmanager
def built(data: Path, clients: str, project: str = "", told: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """The small firm's tables: `clients` as key,country,subdivision rows, the project's own pair, more settings."""
    settings = found(data)
    rows = "".join(f"{row.split(',')[0]},Aster,Europe/Berlin,USD,{row.split(',', 1)[1]}\n" for row in clients.split())
    (settings.inbox / "clients.csv").write_text(
        "source_key,name,timezone,currency,country,subdivision\n" + rows, "utf-8"
    )
    if project:
        file = settings.inbox / "projects.csv"
        header, row = file.read_text("utf-8").splitlines()
        file.write_text(f"{header},country,subdivision\n{row},{project}\n", "utf-8")
    assert settings.config is not None
    settings.config.write_text(told + settings.config.read_text("utf-8"), "utf-8")
    settings = load(settings.data, settings.config, {})
    pulling.pull(settings, "studio", JUNE)
    with warehouse.rebuilt(settings, JUNE) as con:
        yield con


@pytest.mark.slow
def test_only_the_regions_and_years_in_use_are_loaded(tmp_path: Path) -> None:
    with built(tmp_path, "c1,US,NY c2,DE,") as con:
        regions = [("DE", ""), ("US", "NY")]
        assert region_days(con, "holidays") == [(*region, 2025, 2027) for region in regions]
        assert region_days(con, "weekends") == [(*region, 2025, 2027) for region in [("", ""), *regions]]


@pytest.mark.slow
def test_a_slip_of_the_pen_in_a_year_does_not_lay_out_two_thousand_years(tmp_path: Path) -> None:
    settings = found(tmp_path)
    rewrite(settings, "projects", "2026-01-01T12:00:00Z", "0206-01-01T12:00:00Z")
    pulling.pull(settings, "studio", JUNE)
    with warehouse.rebuilt(settings, JUNE) as con:
        assert con.execute("select min(day_on) from marts.working_days").fetchall() == [(date(1970, 1, 1),)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clients", "project", "told", "message"),
    [
        (
            "c1,XX,",
            "",
            "",
            r"^source studio, clients: .*record c1, field country: 'XX' is no country\. Write an ISO 3166-1",
        ),
        ("c1,usa,", "", "", r"record c1, field country: 'usa' is no country"),
        (
            "c1,DE,ZZ",
            "",
            "",
            r"record c1, field subdivision: 'ZZ' is no part of DE .* Known are: .*BY.* Leave it empty",
        ),
        ("c1,,BY", "", 'country = "US"\n', r"record c1, field subdivision: 'BY' is no part of US"),
        ("c1,US,NY", ",BY", "", r"^source studio, projects: .*record p1, field subdivision: 'BY' is no part of US"),
        ("c1,US,NY", "UK,", "", r"^source studio, projects: .*record p1, field country: 'UK' is no country"),
        ("c1,,", "", 'country = "XX"\n', r"^settings, key country: 'XX' is no country"),
    ],
)
def test_a_country_or_subdivision_nobody_knows_is_refused_where_it_stands(
    tmp_path: Path, clients: str, project: str, told: str, message: str
) -> None:
    with pytest.raises(Fault, match=message), built(tmp_path, clients, project, told):
        pass


@pytest.mark.slow
def test_a_country_whose_parts_have_no_holidays_of_their_own_takes_any_code_of_a_part(tmp_path: Path) -> None:
    with built(tmp_path, "c1,JP,13") as con:
        assert con.execute("select count(*) > 10 from reference.holidays where subdivision = '13'").fetchall() == [
            (True,)
        ]


@pytest.mark.slow
def test_a_firm_that_works_elsewhere_than_in_a_country_is_refused_by_its_source(tmp_path: Path) -> None:
    block = '[sources.studio]\nkind = "portal"\nurl = "http://127.0.0.1"\n'
    for told, message in [
        ('country = "Germany"\n', r"sources\.studio\.portal\.country: String should match"),
        ('subdivision = "BY"\n', r"the subdivision 'BY' needs its country"),
        ('timezone = "Mars/Base"\n', r"'Mars/Base' is no IANA time zone"),
    ]:
        (tmp_path / "milepost.toml").write_text(block + told, "utf-8")
        with pytest.raises(Fault, match=message):
            load(tmp_path, environ={})


@pytest.mark.slow
def test_where_a_firm_moves_its_working_days_are_counted_anew_and_an_old_clock_tells_them_too(tmp_path: Path) -> None:
    settings = refreshed(tmp_path, JUNE)
    assert settings.config is not None
    moved = settings.config.read_text().replace("[sources.studio]\n", '[sources.studio]\ncountry = "IL"\n', 1)
    settings.config.write_text(moved)
    settings = load(settings.data, settings.config, {})
    assert refreshing.refresh(settings, as_of=JUNE).problems == ()
    sql = "select distinct calendar from marts.working_days where calendar like '%|IL'"
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        assert con.execute(sql).fetchall() == [("Europe/Berlin|IL",)]
    with warehouse.rebuilt(settings, datetime(2026, 1, 6, tzinfo=UTC)) as con:
        assert con.execute(sql).fetchall() == [("Europe/Berlin|IL",)]


@pytest.mark.slow
def test_another_default_country_and_another_year_lay_the_days_out_anew(tmp_path: Path) -> None:
    settings = refreshed(tmp_path, JUNE)
    assert settings.config is not None
    ends = []
    for told, as_of in [("", None), ('country = "DE"\n', JUNE), ("", datetime(2027, 1, 2, tzinfo=UTC))]:
        settings.config.write_text(told + settings.config.read_text("utf-8"), "utf-8")
        settings = load(settings.data, settings.config, {})
        if as_of:
            assert refreshing.refresh(settings, as_of=as_of).problems == ()
        with duckdb.connect(str(settings.warehouse), read_only=True) as con:
            ends += con.execute("select any_value(calendar), max(day_on) from marts.working_days").fetchall()
    assert ends == [
        ("Europe/Berlin", date(2027, 12, 31)),
        ("Europe/Berlin|DE", date(2027, 12, 31)),
        ("Europe/Berlin|DE", date(2028, 12, 31)),
    ]
