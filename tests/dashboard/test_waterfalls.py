"""Steps laid end to end: every bar begins where the one before ended, and every total stands on the ground."""

from __future__ import annotations

import polars as pl

from dashboard import waterfalls

CONTRACT = pl.DataFrame(
    [
        ("original contract", 1000.0), ("approved additions", 100.0), ("approved deductions", -50.0),
        ("contract now", 1050.0), ("pending, apart", 40.0), ("invoiced, without tax", 600.0),
        ("left to invoice", 440.0), ("exchange differences", 10.0), ("tax", 60.0), ("invoiced, with tax", 660.0),
        ("paid", 500.0), ("retained", 30.0), ("written off", 0.0), ("open", 130.0),
    ],
    schema=["label", "value"],
    orient="row",
)  # fmt: skip


def test_a_contracts_steps_lead_from_signature_to_what_is_open() -> None:
    rows = waterfalls.contract(CONTRACT).to_dicts()
    reached = 0.0
    for row in rows:
        if row["role"] == "total":
            assert row["starts"] == 0
            assert row["label"] == "original contract" or reached == row["value"], row["label"]
            reached = row["value"]
        else:
            assert row["starts"] == reached, row["label"]
            reached += 0 if row["role"] == "apart" else row["value"]
    assert "written off" not in {row["label"] for row in rows}  # it is nothing
    assert rows[-1]["label"] == "open"
