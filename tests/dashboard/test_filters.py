"""Filters as a link, as a question's filters and as a span of days."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboard import filters
from dashboard.filters import Filters

OPTIONS = {
    "firm": {"Northlight Studio": "Northlight Studio", "Hearth & Beam": "Hearth & Beam"},
    "client": {"relay:cli_1": "Aster", "relay:cli_2": "Borealis"},
    "playbook": {"brand_identity": "Brand identity"},
    "manager": {"Ida Ek": "Ida Ek"},
}
AS_OF, EARLIEST = date(2026, 6, 30), date(2024, 1, 1)

some = {name: st.lists(st.sampled_from(sorted(values)), unique=True).map(tuple) for name, values in OPTIONS.items()}
days = st.dates(date(2000, 1, 1), date(2030, 1, 1))
rewound = st.none() | st.dates(EARLIEST, AS_OF - timedelta(days=1))
periods = st.sampled_from(sorted(filters.PERIODS)) | st.tuples(days, days).map(
    lambda d: filters.custom_period(*sorted(d))
)


clocks = st.sampled_from([None, *filters.CLOCKS])


@given(st.builds(Filters, **some, period=periods, as_of=rewound, against=st.none(), clock=clocks))
def test_filters_survive_the_way_through_a_link(chosen: Filters) -> None:
    assert filters.read(chosen.params(), OPTIONS, AS_OF, EARLIEST) == chosen


@given(st.dictionaries(st.sampled_from([*filters.PARAMS, "other"]), st.lists(st.text(max_size=12), max_size=3)))
def test_a_link_never_yields_a_value_that_was_not_offered(params: dict[str, list[str]]) -> None:
    read = filters.read(params, OPTIONS)
    for name in filters.CHOICES:
        assert set(getattr(read, name)) <= set(OPTIONS[name])
    read.span(AS_OF)


@given(st.tuples(st.dates(), st.dates()).map(lambda ends: filters.custom_period(*sorted(ends))))
@example("0001-01-01..9999-12-31")
@example("1900-01-01..2199-12-31")
def test_whatever_days_a_link_names_there_is_a_day_before_and_after_its_period(period: str) -> None:
    chosen = filters.read({"period": [period]}, OPTIONS, AS_OF, EARLIEST)
    since, until = chosen.span(AS_OF)
    assert since
    assert until
    assert since - timedelta(days=1) < until + timedelta(days=1)
    before = chosen.span_before(AS_OF)
    assert before
    assert before[1] == since - timedelta(days=1)


def test_filters_at_their_default_leave_the_link_empty() -> None:
    assert Filters().params() == {}


def test_clients_are_asked_for_by_id() -> None:
    chosen = Filters(client=("relay:cli_1",), firm=("Hearth & Beam",))
    assert chosen.where() == {"client_id": ("relay:cli_1",), "firm": ("Hearth & Beam",)}


@pytest.mark.parametrize(
    ("period", "span"),
    [
        ("30d", (date(2026, 6, 1), AS_OF)),
        ("12m", (date(2025, 7, 1), AS_OF)),
        ("ytd", (date(2026, 1, 1), AS_OF)),
        ("all", (None, None)),
        ("2026-02-01..2026-02-28", (date(2026, 2, 1), date(2026, 2, 28))),
    ],
)
def test_a_period_is_a_span_of_whole_days_with_both_ends(period: str, span: tuple[date | None, date | None]) -> None:
    assert Filters(period=period).span(AS_OF) == span


def test_twelve_months_back_from_a_leap_day_begin_on_the_first_of_march() -> None:
    assert Filters().span(date(2028, 2, 29)) == (date(2027, 3, 1), date(2028, 2, 29))


@pytest.mark.parametrize("period", ["2026-02-28..2026-02-01", "2026-02-30..2026-03-01", "..", "2026-01-01", ""])
def test_a_period_that_is_none_is_dropped(period: str) -> None:
    assert filters.read({"period": [period]}, OPTIONS) == Filters()


@pytest.mark.parametrize("day", ["2026-06-30", "2026-07-01", "2023-12-31", "yesterday", ""])
def test_a_day_outside_the_records_is_dropped(day: str) -> None:
    assert filters.read({"as_of": [day]}, OPTIONS, AS_OF, EARLIEST) == Filters()


def test_a_page_is_not_compared_with_the_day_it_is_rewound_to() -> None:
    read = filters.read({"as_of": ["2026-03-31"], "against": ["2026-03-31"]}, OPTIONS, AS_OF, EARLIEST)
    assert read == Filters(as_of=date(2026, 3, 31))


@pytest.mark.parametrize(
    ("period", "before"),
    [
        ("30d", (date(2026, 5, 2), date(2026, 5, 31))),
        ("12m", (date(2024, 7, 1), date(2025, 6, 30))),
        ("ytd", (date(2025, 1, 1), date(2025, 6, 30))),
        ("2026-02-01..2026-02-28", (date(2026, 1, 4), date(2026, 1, 31))),
        ("all", None),
    ],
)
def test_a_period_is_compared_with_as_long_a_one_before(period: str, before: tuple[date, date] | None) -> None:
    assert Filters(period=period).span_before(AS_OF) == before


def test_a_code_is_short_and_tells_nothing() -> None:
    codes = {filters.code(f"relay:Client {n}") for n in range(20_000)}
    assert len(codes) == 20_000
    assert all(len(one) == 8 and one.isalnum() and "client" not in one for one in codes)
