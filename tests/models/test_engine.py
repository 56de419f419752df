"""What the engine's own release gets wrong is left out on every connection that answers."""

from __future__ import annotations

import duckdb
import pytest

from models import build

VERSIONS = "create table t as select '202' as id, 'APPROVED' as status, 1 as version, 10 as told"
NEWEST = """
with p as (
  select *, lower(status) as said, row_number() over (partition by id order by version desc) as age from t
), w as (
  select id, min(told) as told from p where said = 'void' group by id
)
select p.said from p left join w on p.id = w.id where p.age = 1
"""


@pytest.mark.parametrize("prepared", [build.steady, build.prelude])
def test_a_computed_column_of_the_newest_version_is_the_computed_one(prepared: object) -> None:
    with duckdb.connect() as con:
        con.execute(VERSIONS)
        prepared(con)  # type: ignore[operator]
        assert con.execute(NEWEST).fetchall() == [("approved",)]
