"""Numbers as a reader sees them, files a spreadsheet opens, and text of records inside pages."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest

from dashboard import export, layout, numbers


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (12.345, "days", "12.3 days"),
        (393.4, "days", "393 days"),
        (-0.25, "days", "−0.2 days"),
        (66.94, "%", "66.9 %"),
        (1_985_432.10, "money", "USD 1.99 M"),
        (Decimal("681499.00"), "money", "USD 681 k"),
        (999.5, "money", "USD 1,000"),
        (0, "money", "USD 0"),
        (1234.0, "count", "1,234"),
        (2.5, "per 100k", "2.5 per 100k"),
        (None, "days", "–"),
    ],
)
def test_a_value_is_written_with_its_unit(value: float | Decimal | None, unit: str, words: str) -> None:
    assert numbers.worded(value, unit, "USD") == words


@pytest.mark.parametrize(
    ("code", "number", "day"),
    [
        ("us", "1,234,567.5", "Jun 30, 2026"),
        ("de", "1.234.567,5", "30.06.2026"),
        ("iso", "1\u202f234\u202f567.5", "2026-06-30"),
    ],
)
def test_numbers_and_dates_are_written_as_the_reader_does(code: str, number: str, day: str) -> None:
    numbers.use(code)
    try:
        assert (numbers.grouped(1234567.5, 1), numbers.day(date(2026, 6, 30))) == (number, day)
    finally:
        numbers.use("en")


@pytest.mark.parametrize(("code", "table"), [("en", "D MMM YYYY"), ("us", "MMM D, YYYY"), ("de", "DD.MM.YYYY")])
def test_a_table_writes_days_as_the_reader_does(code: str, table: str) -> None:
    assert numbers.FORMATS[code].table == table


@pytest.mark.parametrize(
    ("locale", "code"),
    [("de-AT", "de"), ("en-US", "us"), ("en-GB", "en"), ("sv-SE", "iso"), ("pt-BR", "de"), (None, "en")],
)
def test_a_browsers_locale_chooses_the_signs(locale: str | None, code: str) -> None:
    assert numbers.of_locale(locale) == code


@pytest.mark.parametrize(
    ("value", "unit", "words"), [(3.14, "days", "+3.1"), (-12_345, "money", "−12 k"), (0.01, "%", "±0.0")]
)
def test_a_change_has_its_sign(value: float, unit: str, words: str) -> None:
    assert numbers.signed(value, unit) == words


def test_an_instant_is_told_in_utc_wherever_it_was_taken() -> None:
    there = datetime(2026, 6, 30, 23, 30, tzinfo=timezone(timedelta(hours=-7)))
    assert numbers.instant(there) == "1 Jul 2026, 06:30 UTC"
    assert numbers.instant(datetime(2026, 7, 1, 6, 30)) == "1 Jul 2026, 06:30 UTC"
    assert numbers.instant(datetime(2026, 7, 1, 6, 30, tzinfo=UTC)) == "1 Jul 2026, 06:30 UTC"


def test_text_that_starts_like_a_formula_is_neutralised_in_a_file() -> None:
    frame = pl.DataFrame({"client": ["=HYPERLINK(1)", "@x", "Aster"], "amount": [-5.0, 1.0, 2.0]})
    lines = export.csv(frame).decode("utf-8-sig").splitlines()
    assert lines == ["client,amount", "'=HYPERLINK(1),-5.0", "'@x,1.0", "Aster,2.0"]


def test_the_text_of_records_cannot_become_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(layout, "html", written.append)
    nasty = '<img src=x onerror="alert(1)">'
    layout.facts([("Client", nasty)])
    layout.source_link(nasty, f"https://portal.example/{nasty}")
    layout.source_link("record", "javascript:alert(1)")
    answers = pl.DataFrame(
        {"client": [nasty], "gate": [nasty], "value": [None], "n": [1]}, schema_overrides={"value": pl.Float64}
    )
    single = pl.DataFrame({"client": [nasty], "gate": [nasty], "value": [3.0]})
    layout.grid(answers, single, row="client", column="gate", order=[nasty], unit="days")
    assert "<img" not in "".join(written)
    assert "javascript:" not in "".join(part for part in written if "href" in part)


def test_a_cell_with_too_few_rows_shows_the_rows_and_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(layout, "html", written.append)
    answers = pl.DataFrame({"client": ["A", "A"], "gate": ["g", "h"], "value": [None, 8.0], "n": [2, 9]})
    single = pl.DataFrame({"client": ["A", "A"], "gate": ["g", "g"], "value": [3.0, 5.0]})
    layout.grid(answers, single, row="client", column="gate", order=["h", "g"], unit="days")
    assert re.search(r"<i [^>]+>3.0</i> <i [^>]+>5.0</i> <small>n = 2</small>", written[0])
    assert "<b>8.0</b> <small>n = 9</small>" in written[0]
    assert written[0].index(">h</th>") < written[0].index(">g</th>")
