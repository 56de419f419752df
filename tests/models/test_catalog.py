"""The catalogue refuses models that could not be trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from models import catalog
from models.faults import Fault

HEADER = "/*\nrow: One row per thing.\nkey: [a]\ncolumns:\n  a: A number.\n*/\n"


def model(folder: Path, text: str, name: str = "things") -> Path:
    path = folder / f"{name}.sql"
    path.write_text(text, "utf-8")
    return path


def test_a_header_says_everything_about_its_table(tmp_path: Path) -> None:
    read = catalog.read_model(model(tmp_path, HEADER + "select 1 as a from staging.clients"), "marts")
    assert (read.about, read.key, dict(read.columns), read.reads) == (
        "One row per thing.",
        ("a",),
        {"a": "A number."},
        ("staging.clients",),
    )


@pytest.mark.parametrize(
    "clock",
    ["current_date", "now()", "today()", "current_timestamp", "get_current_timestamp()", "localtimestamp", "getdate()"],
)
def test_a_model_that_asks_the_clock_is_refused(tmp_path: Path, clock: str) -> None:
    with pytest.raises(Fault, match=r"things\.sql: asks the engine for the time .*Use the parameter \$as_of"):
        catalog.read_model(model(tmp_path, HEADER + f"select {clock} as a"), "marts")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("select 1 as a", "the header is missing"),
        ("/* about: x */ select 1 as a", "does not say what a row is"),
        ("/* row: [ */ select 1 as a", "the header is not YAML"),
        (HEADER + "select 1 as a; select 2 as a", "is not one SELECT"),
        (HEADER + "drop table x", "is not one SELECT"),
        (HEADER + "select 1 as", "is not valid SQL|columns without a description"),
        (HEADER + "select 1 as a, 2 as b", "columns without a description: b"),
        (HEADER + "select 1 as b", "columns without a description: b"),
        (HEADER + "select * from staging.clients", "selects a star"),
        (HEADER.replace("[a]", "[z]") + "select 1 as a", "the key names z, which is no column"),
    ],
)
def test_a_model_that_says_less_than_it_does_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(Fault, match=message) as refused:
        catalog.read_model(model(tmp_path, text), "marts")
    assert "things.sql" in str(refused.value)


def test_described_columns_that_are_not_selected_are_refused(tmp_path: Path) -> None:
    text = HEADER.replace("  a: A number.", "  a: A number.\n  b: Another.") + "select 1 as a"
    with pytest.raises(Fault, match="described columns that it does not select: b"):
        catalog.read_model(model(tmp_path, text), "marts")


def test_models_stand_after_the_models_they_read(tmp_path: Path) -> None:
    model(tmp_path, HEADER + "select a from marts.second", "first")
    model(tmp_path, HEADER + "select 1 as a", "second")
    assert list(catalog.marts(tmp_path)) == ["second", "first"]


def test_models_that_read_each_other_are_refused(tmp_path: Path) -> None:
    model(tmp_path, HEADER + "select a from marts.second", "first")
    model(tmp_path, HEADER + "select a from marts.first", "second")
    with pytest.raises(Fault, match="read each other in a circle"):
        catalog.marts(tmp_path)


def test_a_model_that_reads_what_nobody_makes_is_refused(tmp_path: Path) -> None:
    model(tmp_path, HEADER + "select a from marts.nothing", "first")
    with pytest.raises(Fault, match=r"first\.sql: reads marts\.nothing, which no file makes"):
        catalog.marts(tmp_path)


def test_a_staging_file_must_be_an_entity_and_read_raw_only(tmp_path: Path) -> None:
    model(tmp_path, "/* row: x */ select 1 as source_key from raw.x", "widgets")
    with pytest.raises(Fault, match="is no entity of the contract"):
        catalog.staging(tmp_path)
    (tmp_path / "widgets.sql").unlink()
    model(tmp_path, "/* row: x */ select 1 as source_key from marts.gates", "clients")
    with pytest.raises(Fault, match=r"a staging SELECT reads marts\.gates"):
        catalog.staging(tmp_path)


def test_every_shipped_model_reads_and_says_what_a_row_is() -> None:
    marts = catalog.marts()
    assert set(marts) >= {entity.mart for entity in catalog.contract().entities.values()}
    assert all(model.about.startswith("One row per ") for model in marts.values())


def test_the_contract_stands_parents_first() -> None:
    seen: set[str] = set()
    for entity in catalog.contract().entities.values():
        assert set(entity.needs) <= seen
        assert {ref.to for ref in entity.references} <= {*seen, entity.name}  # into which of its kind it was merged
        seen.add(entity.name)
