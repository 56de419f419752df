"""The streamed portfolio is the portfolio in memory, file by file."""

from datetime import UTC, datetime

import polars as pl
import pytest

from models.faults import Fault
from pipelines.demo import writing
from pipelines.demo.firms import FIRMS
from pipelines.demo.records import ENTITIES
from pipelines.demo.simulation import simulate

AS_OF = datetime(2026, 7, 15, 9, 0, tzinfo=UTC)
COMMON = {"id": "source_key", "updated_at": "recorded_at", "url": "source_url"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("portfolio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "ROWS_A_GROUP", 100)  # several row groups, as in a large portfolio
        writing.write(made, seed=7, projects=40, as_of=AS_OF)
    return made


@pytest.fixture(scope="module")
def portfolio():
    return simulate(seed=7, projects=40, as_of=AS_OF)


def in_contract_columns(entity: str, row: dict) -> dict:
    renames = COMMON if entity != "documents" else {"id": "source_key", "updated_at": "recorded_at"}
    return {renames.get(name, name): value for name, value in row.items() if name != "firm"}


@pytest.mark.parametrize("entity", ENTITIES)
def test_streamed_records_are_those_in_memory(folder, portfolio, entity):
    for firm in FIRMS:
        wanted = [in_contract_columns(entity, row) for row in portfolio.records[entity] if row["firm"] == firm]
        found = pl.read_parquet(folder / firm / f"{entity}.parquet").to_dicts()
        if entity == "documents":  # on the wire a document's link is its own url
            found = [{name: value for name, value in row.items() if name != "source_url"} for row in found]
        assert found == wanted


def test_streamed_truth_is_that_in_memory(folder, portfolio):
    for quantity, wanted in portfolio.truth.items():
        assert pl.read_parquet(folder / "truth" / f"{quantity}.parquet").to_dicts() == wanted, quantity


def test_streamed_rates_are_those_in_memory(folder, portfolio):
    assert pl.read_csv(folder / "rates.csv", infer_schema=False).to_dicts() == portfolio.rates


def test_an_entity_without_a_row_still_has_every_column(tmp_path):
    writing.write(tmp_path, seed=7, projects=1, as_of=AS_OF)
    empty = pl.read_parquet(tmp_path / "hearth" / "invoices.parquet")
    assert empty.height == 0
    assert empty.columns[:4] == ["source_key", "recorded_at", "source_url", "deleted_at"]


def test_writing_tells_its_rows_and_leaves_nothing_unfinished(tmp_path, portfolio):
    told = writing.write(tmp_path, seed=7, projects=40, as_of=AS_OF)
    assert told == {entity: len(found) for entity, found in portfolio.records.items()}
    assert not list(tmp_path.rglob("*.part"))


def test_an_interrupted_writing_leaves_no_half_file(tmp_path, monkeypatch):
    def breaks(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing._Table, "_write", breaks)
    with pytest.raises(Fault, match="No space left on device"):
        writing.write(tmp_path, seed=7, projects=2, as_of=AS_OF)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file", "utf-8")
    with pytest.raises(Fault, match="taken"):
        writing.write(tmp_path / "taken", seed=7, projects=1, as_of=AS_OF)
