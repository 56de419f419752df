"""The warehouse: rates read and refused, sources told of, tables rebuilt for another instant."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from small_firm import found

from models.faults import Fault
from pipelines import pulling, warehouse
from pipelines.settings import load


def rates(folder: Path, text: str) -> Path:
    file = folder / "rates.csv"
    file.write_text(text, "utf-8")
    return file


def test_a_rate_stands_for_the_days_without_one_at_most_a_week(tmp_path: Path) -> None:
    read = warehouse.read_rates(rates(tmp_path, "day,currency,rate\n2026-01-02,EUR,1.1\n2026-01-05,EUR,1.2\n"))
    by_day = dict(zip(read["day"], read["rate"], strict=True))
    assert by_day[date(2026, 1, 4)] == Decimal("1.1")
    assert by_day[date(2026, 1, 12)] == Decimal("1.2")
    assert date(2026, 1, 13) not in by_day
    assert read.height == len(by_day) == 11


def test_no_rates_file_means_no_rates(tmp_path: Path) -> None:
    assert warehouse.read_rates(tmp_path / "none.csv").height == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("day,currency\n2026-01-02,EUR\n", r"rates\.csv: the column rate is missing"),
        ("day,currency,rate\n2026-01-02,EUR,1.1\n2026-13-02,EUR,1.1\n", r"row 3: 2026-13-02,EUR,1\.1 is no rate"),
        ("day,currency,rate\n2026-01-02,euro,1.1\n", r"row 2: .*ISO currency code"),
        ("day,currency,rate\n2026-01-02,EUR,-1\n", r"row 2: .*a rate above zero"),
        ("day,currency,rate\n2026-01-02,EUR,nan\n", r"row 2: .*is no rate"),
    ],
)
def test_a_rate_that_is_none_is_named_by_file_and_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Fault, match=message):
        warehouse.read_rates(rates(tmp_path, text))


def test_a_table_named_after_no_entity_is_refused_not_dropped(tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text('[sources.books]\nkind = "files"\ntables.client.glob = "client.csv"\n')
    with pytest.raises(Fault, match=r"source books, table client: is named after no entity.*Name it one of: clients, "):
        warehouse.staged_sources(load(tmp_path))


@pytest.mark.slow
def test_tables_rebuilt_for_an_earlier_instant_show_only_what_was_known(tmp_path: Path) -> None:
    settings = found(tmp_path)
    pulling.pull(settings, "studio", datetime(2026, 6, 30, tzinfo=UTC))
    with warehouse.rebuilt(settings, datetime(2026, 1, 6, tzinfo=UTC)) as con:
        assert con.execute("select status from marts.gates where source_key = 'g1'").fetchall() == [
            ("awaiting_decision",)
        ]
        assert con.execute("select count(*) from marts.invoices").fetchall() == [(0,)]


def test_without_a_warehouse_there_is_nothing_to_rebuild(tmp_path: Path) -> None:
    with (
        pytest.raises(Fault, match="there is no warehouse yet"),
        warehouse.rebuilt(found(tmp_path), datetime(2026, 1, 6, tzinfo=UTC)),
    ):
        pass
