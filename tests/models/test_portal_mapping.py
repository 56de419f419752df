"""What a client portal sends arrives under its own name in the contract, column by column."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from landed_portfolio import land
from small_worlds import prepare, small

from models import admission, catalog
from models.admission import StagedSource

PORTAL = [StagedSource("acme", catalog.FOLDER / "staging" / "portal", "raw_acme")]
CALLED = {"source_key": "id", "source_url": "url", "recorded_at": "updated_at"}  # elsewhere the names are the same


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with small() as opened:
        prepare(opened, sources=("acme",))
        opened.execute("create schema raw_acme")
        yield opened


@pytest.mark.parametrize("name", catalog.staging(catalog.FOLDER / "staging" / "portal"))
def test_every_field_of_the_portal_arrives_in_the_column_of_its_name(con: duckdb.DuckDBPyConnection, name: str) -> None:
    entity = catalog.contract().entities[name]
    fields = {column: CALLED.get(column, column) for column in entity.columns}
    land(con, f"raw_acme.{name}", name, [{field: f"{field} as sent" for field in fields.values()}])
    (arrived,) = con.sql(admission.received(con, entity, PORTAL)).pl().to_dicts()
    assert arrived == {"source": "acme"} | {column: f"{field} as sent" for column, field in fields.items()}
