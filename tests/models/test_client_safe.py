"""What one client sees of the others: aliases, and a benchmark over at least five of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest
from hand_made_marts import hand_made

from models.client_safe import LEAST_OTHERS, SHARED, TOO_FEW, aliases, benchmark, hidden
from models.faults import Fault
from models.measure import Question, answer, dimensions

SECRET = "0123456789abcdef0123456789abcdef"
STARTED = datetime(2026, 5, 1, 12)


def gates(clients: Mapping[str, list[float]], **more: Any) -> list[dict[str, Any]]:
    """Approved gates of clients, each with a cycle time in days."""
    return [
        {
            "gate_id": f"{client}-{n}",
            "client_id": f"northlight:{client}",
            "client": f"Name of {client}",
            "gate_label": "Kickoff",
            "status": "approved",
            "started_at": STARTED,
            "approved_at": STARTED + timedelta(days=days),
            "cycle_days": days,
            **more,
        }
        for client, lengths in clients.items()
        for n, days in enumerate(lengths)
    ]


OWN = {"me": [float(n) for n in range(1, 8)]}
SIX = {f"other{n}": [10.0, 20.0] for n in range(1, 7)}


def said(frame: pl.DataFrame) -> str:
    return frame.write_csv()


def test_client_names_are_hidden_behind_aliases_in_client_safe_views() -> None:
    con = hand_made(gates=gates({**OWN, **SIX}))
    frame = hidden(answer(con, Question("F10", by=("client_id", "client"))), SECRET)
    assert "other" not in said(frame)
    assert "northlight" not in said(frame)
    assert frame["client"].str.contains(r"^Client [0-9A-F]{4}$").all()
    assert frame["client"].to_list() == frame["client_id"].to_list()
    assert frame["client"].n_unique() == 7


def test_a_client_sees_its_own_name_and_no_other(tmp_path: Any) -> None:
    con = hand_made(gates=gates({**OWN, **SIX}))
    frame = hidden(answer(con, Question("F10", by=("client_id", "client"))), SECRET, own="northlight:me")
    assert [name for name in frame["client"] if not name.startswith("Client ")] == ["Name of me"]


def test_projects_are_hidden_with_their_clients() -> None:
    rows = gates(OWN, project_id="northlight:p9", project="Tower for Acme")
    frame = hidden(answer(hand_made(gates=rows), Question("F10", by=("project_id", "project"))), SECRET)
    assert frame["project"].str.contains(r"^Project [0-9A-F]{4}$").all()


@pytest.mark.parametrize("column", ["manager", "gate_id", "source_url", "description"])
def test_a_text_that_may_tell_whose_a_row_is_is_refused(column: str) -> None:
    frame = pl.DataFrame({"client_id": ["a"], column: ["Acme Tower"], "value": [1.0]})
    with pytest.raises(Fault, match=f"the column {column} may tell whose a row is"):
        hidden(frame, SECRET)


def test_a_name_without_its_id_is_refused_since_two_may_share_it() -> None:
    with pytest.raises(Fault, match="client stands without its id"):
        hidden(pl.DataFrame({"client": ["Acme"]}), SECRET)


def test_an_alias_is_the_same_in_every_view_made_with_one_secret_and_in_every_run() -> None:
    command = f"from models.client_safe import aliases; print(aliases(['b', 'a'], {SECRET!r}))"
    again = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert eval(again.stdout) == aliases(["a", "b"], SECRET)


def test_without_the_secret_an_alias_cannot_be_worked_out_from_the_id() -> None:
    ids = [f"northlight:c{n}" for n in range(50)]
    other = aliases(ids, SECRET[::-1])
    assert all(alias != other[each] for each, alias in aliases(ids, SECRET).items())
    for weak in ("", "secret"):
        with pytest.raises(Fault, match="fewer than 16 bytes"):
            aliases(ids, weak)


def test_no_two_clients_share_an_alias_however_many_there_are() -> None:
    made = aliases((f"c{n}" for n in range(5000)), SECRET)
    assert len(set(made.values())) == 5000
    assert {len(alias) for alias in made.values()} != {len("Client 7F3A")}


def row(con: duckdb.DuckDBPyConnection, question: Question) -> dict[str, Any]:
    return benchmark(con, question, "northlight:me").row(0, named=True)


def test_a_benchmark_across_clients_needs_at_least_five_others() -> None:
    assert LEAST_OTHERS == 5
    five = dict(list(SIX.items())[:5])
    four = dict(list(SIX.items())[:4])
    enough = row(hand_made(gates=gates({**OWN, **five})), Question("F1"))
    assert (enough["value"], enough["n"]) == (4.0, 7)
    assert (enough["others_value"], enough["others_n"], enough["others_clients"]) == (15.0, 10, 5)
    few = row(hand_made(gates=gates({**OWN, **four})), Question("F1"))
    assert (few["value"], few["n"]) == (4.0, 7)
    assert (few["others_value"], few["others_n"], few["others_clients"]) == (None, None, None)
    assert few["others_note"] == TOO_FEW


def test_clients_whose_rows_are_all_left_out_do_not_make_up_the_five() -> None:
    rows = gates({**OWN, **SIX})
    for each in rows:
        if each["client_id"] in ("northlight:other1", "northlight:other2"):
            each["status"] = "waived"
    assert row(hand_made(gates=rows), Question("F1"))["others_note"] == TOO_FEW


def test_the_five_are_counted_group_by_group_under_the_filters() -> None:
    common, rare = gates({**OWN, **SIX}), gates({**OWN, "other1": [3.0, 4.0]}, gate_label="Sauna heated")
    alone = gates({"other2": [5.0]}, gate_label="Acme sign hung")
    for kind, rows in (("r", rare), ("a", alone)):
        for each in rows:
            each["gate_id"] += kind
    con = hand_made(gates=[*common, *rare, *alone])
    frame = benchmark(con, Question("F1", by=("gate",)), "northlight:me")
    assert frame.select("gate", "value", "others_value", "others_n", "others_note").rows() == [
        ("Kickoff", 4.0, 15.0, 12, "n = 12: too few for P85"),
        ("Sauna heated", 4.0, None, None, TOO_FEW),
    ]
    filtered = benchmark(con, Question("F1", where={"gate": ("Sauna heated",)}), "northlight:me")
    assert filtered["others_value"].to_list() == [None]


def test_no_other_clients_name_id_or_own_number_leaves_a_benchmark() -> None:
    others = {f"other{n}": [100.0 + n] for n in range(1, 5)}
    con = hand_made(gates=gates({**OWN, **others}))
    for question in (Question("F1"), Question("F10"), Question("F1", by=("gate",))):
        told = said(benchmark(con, question, "northlight:me"))
        assert "other1" not in told
        assert not any(str(days) in told for (days,) in others.values())


@pytest.mark.parametrize("name", sorted(set(dimensions()) - SHARED))
def test_a_benchmark_is_not_grouped_or_filtered_by_what_tells_a_client_apart(name: str) -> None:
    con = hand_made()
    for question in (Question("F1", by=(name,)), Question("F1", where={name: ("x",)})):
        with pytest.raises(Fault, match="could tell another client's rows apart"):
            benchmark(con, question, "northlight:me")


def test_a_benchmark_of_steps_compares_step_by_step() -> None:
    contracts = [
        {"client_id": f"northlight:{name}", "project_id": f"p{name}", "original_amount": amount}
        for name, amount in (("me", 100), ("a", 10), ("b", 20), ("c", 30), ("d", 40), ("e", 50))
    ]
    con = hand_made(contracts=contracts)
    frame = benchmark(con, Question("C11"), "northlight:me").filter(pl.col("step") == "original contract")
    assert frame.select("value", "others_value", "others_clients").rows() == [(100.0, 150.0, 5)]


def test_a_client_without_rows_is_shown_no_group_of_the_others() -> None:
    con = hand_made(gates=gates(SIX))
    assert benchmark(con, Question("F1", by=("gate",)), "northlight:me").is_empty()
