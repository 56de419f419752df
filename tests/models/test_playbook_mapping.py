"""Gate names of any tool are found in the playbook, what is not found is listed, and merged clients count as one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small_worlds import CLIENT, GATE, PROJECT, World, events, one, prepare, receive, small, unfold

from models import build, catalog, measure
from models.admission import StagedSource
from models.faults import Fault
from models.measure import Question
from pipelines import warehouse
from pipelines.pulling import pull
from pipelines.settings import load

NOW = datetime(2026, 6, 30, tzinfo=UTC)
HOME = {**PROJECT, "playbook": "custom_home"}


def playbooks(con: duckdb.DuckDBPyConnection) -> None:
    """The playbooks that ship with Milepost; sources stay as they are."""
    con.execute("create temp table kept as select * from reference.sources")
    warehouse.load_reference(con, load(Path("no-such-folder"), environ={}))
    con.execute("insert into reference.sources select * from kept")


def named(name: str, key: str = "g1", **more: Any) -> dict[str, Any]:
    return {**GATE, "source_key": key, "name": name, **more}


def labels(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[Any, ...]]:
    """gate_name → gate, label, how it was found."""
    sql = "select gate_name, gate, gate_label, mapped_by from marts.gate_labels"
    return {row[0]: row[1:] for row in con.execute(sql).fetchall()}


def test_a_gates_own_code_goes_before_its_name(world: World) -> None:
    gate = named("Framing", gate="rough_in")
    found = labels(world(before=playbooks, projects=[HOME], milestones=[gate]))
    assert found == {"Framing": ("rough_in", "Rough-in passed", "code")}


@pytest.mark.parametrize(
    ("name", "gate", "mapped_by"),
    [
        ("Framing inspection passed", "framing_inspection", "name"),
        ("FRAMING  INSPECTION — passed!", "framing_inspection", "name"),
        ("framing_inspection", "framing_inspection", "name"),
        (" framing ", "framing_inspection", "alias"),
        ("Owner-Walkthrough", "final_walkthrough", "alias"),
        ("Drywáll", "drywall", "name"),
    ],
)
def test_a_name_is_found_whatever_its_case_accents_and_punctuation(
    world: World, name: str, gate: str, mapped_by: str
) -> None:
    (found,) = labels(world(before=playbooks, projects=[HOME], milestones=[named(name)])).values()
    assert (found[0], found[2]) == (gate, mapped_by)


def test_a_code_unknown_to_the_playbook_is_read_as_a_name(world: World) -> None:
    gates = [named("Phase 3", gate="MEP Rough-In"), named("Drywall", "g2", gate="D-7")]
    found = labels(world(before=playbooks, projects=[HOME], milestones=gates))
    assert found == {
        "Phase 3": ("rough_in", "Rough-in passed", "alias"),
        "Drywall": ("drywall", "Drywall complete", "name"),
    }


def test_a_gate_no_playbook_knows_counts_under_its_own_name_and_is_listed(world: World) -> None:
    gates = [named("Framing inspektion"), named("Framing inspektion", "g2"), named("Sauna heated", "g3")]
    happened = events("g1", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-01-09T12:00:00Z"))
    con = world(before=playbooks, projects=[HOME], milestones=gates, milestone_events=happened)
    gate = one(con, "gates", "source_key = 'g1'")
    assert (gate["gate"], gate["gate_label"], gate["cycle_days"]) == (None, "Framing inspektion", 6.0)
    rows = con.execute(
        "select gate_name, gate_count, project_count, suggested_gate, suggested_label from marts.unmapped_gates order by 1"
    ).fetchall()
    assert rows == [
        ("Framing inspektion", 2, 1, "framing_inspection", "Framing inspection passed"),
        ("Sauna heated", 1, 1, None, None),
    ]
    (told,) = [f for f in build.check(con, catalog.marts()["gate_labels"]) if f.severity == "warn"]
    assert told.count == 3


def test_a_project_without_a_playbook_is_given_no_gates_of_one_and_no_warning(world: World) -> None:
    con = world(before=playbooks, projects=[{**PROJECT, "playbook": None}], milestones=[named("Framing")])
    row = one(con, "gate_labels")
    assert (row["gate"], row["gate_label"], row["mapped_by"]) == (None, "Framing", "none")
    assert (row["suggested_playbook"], row["suggested_gate"], row["similarity"]) == (
        "custom_home",
        "framing_inspection",
        1.0,
    )
    assert all(finding.passed for finding in build.check(con, catalog.marts()["gate_labels"]))


def test_a_name_that_one_playbook_knows_is_still_suggested_to_a_project_without_one(world: World) -> None:
    projects = [HOME, {**PROJECT, "source_key": "p2", "playbook": None}]
    con = world(
        before=playbooks, projects=projects, milestones=[named("Framing"), named("Framing", "g2", project="p2")]
    )
    assert one(con, "gate_labels", "gate_id = 't:g1'")["mapped_by"] == "alias"
    assert one(con, "gate_labels", "gate_id = 't:g2'")["suggested_gate"] == "framing_inspection"


def test_a_playbooks_gate_is_suggested_to_its_own_projects_alone(world: World) -> None:
    gates = [named("Framing inspektion"), named("Framing inspektion", "g2", project="p2")]
    con = world(before=playbooks, projects=[HOME, {**PROJECT, "source_key": "p2"}], milestones=gates)
    rows = con.execute("select playbook, suggested_gate from marts.gate_labels order by gate_id").fetchall()
    assert rows == [("custom_home", "framing_inspection"), ("brand_identity", None)]


def test_a_place_missing_in_the_tool_is_the_playbooks(world: World) -> None:
    gates = [named("Walkthrough", sequence=None), named("Foundation", "g2", sequence=None)]
    happened = [
        *events("g2", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-01-09T12:00:00Z")),
        *events("g1", ("submitted", "2026-01-12T12:00:00Z"), ("approved", "2026-01-19T12:00:00Z")),
    ]
    con = world(before=playbooks, projects=[HOME], milestones=gates, milestone_events=happened)
    rows = con.execute("select gate, sequence, phase_days from marts.gates order by sequence").fetchall()
    assert rows == [("foundation_poured", 2, None), ("final_walkthrough", 6, 10.0)]


@pytest.mark.slow
def test_two_tools_names_for_a_gate_stand_in_one_row_of_its_clients_cycle_times() -> None:
    con = small()
    prepare(con, sources=("old", "new"))
    playbooks(con)
    for source, name in (("old", "FRAMING"), ("new", "Framing Inspection")):
        gates = [named(name, f"g{n}", sequence=n) for n in range(1, 4)]
        happened = [
            row
            for n in range(1, 4)
            for row in events(f"g{n}", ("started", "2026-01-03T12:00:00Z"), ("approved", "2026-01-09T12:00:00Z"))
        ]
        client = {**CLIENT, "merged_into": "new:c1"} if source == "old" else CLIENT
        records = {"clients": [client], "projects": [HOME], "milestones": gates, "milestone_events": happened}
        receive(con, source, records)
    unfold(con, [StagedSource(name, None, f"raw_{name}") for name in ("old", "new")], "2026-06-30T00:00:00")
    found = measure.answer(con, Question("F1", by=("client", "gate")))
    assert found.select("client", "gate", "value", "n").rows() == [("Aster", "Framing inspection passed", 6.0, 6)]


@pytest.mark.slow
def test_a_csv_of_a_tools_own_names_is_read_by_the_playbook(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    files = {
        "clients": "source_key,name\nc1,Aster\n",
        "projects": "source_key,client,name,playbook,currency\np1,c1,House,custom_home,USD\n",
        "milestones": (
            "source_key,project,name,sequence,history_quality\n"
            "m1,p1,BUILDING PERMIT,1,timestamps\n"
            "m2,p1,Foundation (poured),2,timestamps\n"
            'm3,p1,"Drywall, finished",3,timestamps\n'
            "m4,p1,Sauna,4,timestamps\n"
        ),
    }
    for name, text in files.items():
        (inbox / f"{name}.csv").write_text(text, "utf-8")
    tables = "".join(f'tables.{name}.glob = "{name}.csv"\n' for name in files)
    (tmp_path / "milepost.toml").write_text(f'[sources.tool]\nkind = "files"\n{tables}', "utf-8")
    settings = load(tmp_path, environ={})
    at = warehouse.moment(settings, NOW)
    pull(settings, "tool", NOW)
    with warehouse.open_warehouse(settings.warehouse) as con:
        warehouse.load_reference(con, settings)
        warehouse.stage_all(con, warehouse.staged_sources(settings), at)
        warehouse.build_all(con, at)
        assert labels(con) == {
            "BUILDING PERMIT": ("permits_filed", "Permits filed", "alias"),
            "Foundation (poured)": ("foundation_poured", "Foundation poured", "name"),
            "Drywall, finished": ("drywall", "Drywall complete", "alias"),
            "Sauna": (None, "Sauna", "none"),
        }


def test_a_name_that_two_gates_of_a_playbook_go_by_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "playbooks"
    folder.mkdir()
    gate = (
        "  - {{code: {0}, label: {1}, aliases: [{2}], typical_days: 1, bills_pct: 50, owner_team: a, next_team: b,"
        " approver_side: client, acceptance_criterion: Done.}}\n"
    )
    text = gate.format("first", "First", "Sign-off") + gate.format("second", "Second", "sign OFF")
    (folder / "own.yml").write_text(f"code: own\nlabel: Own\nfirm_kind: any\ngates:\n{text}", "utf-8")
    con = duckdb.connect()
    build.prelude(con)
    with pytest.raises(Fault, match=r"playbook own: 'sign off' stands for more than one gate: first, second\."):
        warehouse.load_reference(con, load(tmp_path, environ={}))


MERGED = [
    {**CLIENT, "merged_into": "c2"},
    {**CLIENT, "source_key": "c2", "name": "Aster North", "merged_into": "c3"},
    {**CLIENT, "source_key": "c3", "name": "Aster Group"},
]


def bill(key: str, client: str, total: str, **more: Any) -> dict[str, Any]:
    return {
        "source_key": key,
        "client": client,
        "status": "open",
        "currency": "USD",
        "issued_at": "2026-01-12T12:00:00Z",
        "due_on": "2026-02-11",
        "total": total,
        **more,
    }


def test_a_renamed_client_keeps_its_history_under_the_new_name(world: World) -> None:
    before = {**CLIENT, "recorded_at": "2026-01-01T12:00:00Z"}
    after = {**CLIENT, "name": "Aster & Co", "recorded_at": "2026-03-01T12:00:00Z"}
    con = world(clients=[before, after], invoices=[bill("i1", "c1", "400.00", project="p1")])
    assert (one(con, "invoices")["client_id"], one(con, "invoices")["client"]) == ("t:c1", "Aster & Co")
    assert one(con, "projects")["client"] == "Aster & Co"


def test_everything_of_a_merged_client_counts_under_the_end_of_the_chain(world: World) -> None:
    invoices = [bill("i1", "c1", "400.10", project="p1"), bill("i2", "c2", "30.00"), bill("i3", "c3", "5.00")]
    con = world(clients=MERGED, invoices=invoices)
    apart = world(clients=[{**row, "merged_into": None} for row in MERGED], invoices=invoices)
    for table in ("gates", "projects", "invoices"):
        assert con.execute(f"select distinct client_id, client from marts.{table}").fetchall() == [
            ("t:c3", "Aster Group")
        ]
    open_ = [
        measure.answer(each, Question("B8", by=("client",))).select("client", "value").rows() for each in (con, apart)
    ]
    assert open_ == [[("Aster Group", 435.1)], [("Aster", 400.1), ("Aster Group", 5.0), ("Aster North", 30.0)]]
    assert con.execute("select count(*), count(distinct current_client_id) from marts.clients").fetchall() == [(3, 1)]


def test_a_client_that_its_tool_deleted_in_a_merge_takes_nothing_with_it(world: World) -> None:
    gone = {**MERGED[0], "merged_into": "c3", "deleted_at": "2026-02-01T00:00:00Z"}
    con = world(clients=[gone, MERGED[2]], invoices=[bill("i1", "c1", "400.00", project="p1")])
    assert con.execute("select count(*) from marts.rejects").fetchall() == [(0,)]
    assert (one(con, "projects")["client"], one(con, "invoices")["client"]) == ("Aster Group", "Aster Group")
    only_deleted = world(clients=[{**gone, "merged_into": None}, MERGED[2]])
    assert only_deleted.execute("select count(*) from marts.projects").fetchall() == [(0,)]


def test_a_chain_of_thirty_mergers_is_followed_to_its_end(world: World) -> None:
    clients = [{**CLIENT, "source_key": f"c{n}", "merged_into": f"c{n + 1}"} for n in range(1, 31)]
    con = world(clients=[*clients, {**CLIENT, "source_key": "c31", "name": "Last"}])
    assert one(con, "projects")["client"] == "Last"


def test_clients_merged_in_a_circle_are_named_and_block_publishing(world: World) -> None:
    clients = [
        {**CLIENT, "merged_into": "c2"},
        {**CLIENT, "source_key": "c2", "name": "Birch", "merged_into": "c1"},
        {**CLIENT, "source_key": "c3", "name": "Cedar"},
    ]
    con = world(clients=clients)
    (broken,) = [f for f in build.check(con, catalog.marts()["clients"]) if not f.passed]
    assert (broken.severity, [row["client_id"] for row in broken.sample]) == ("fail", ["t:c1", "t:c2"])
    assert [row["merged_into_id"] for row in broken.sample] == ["t:c2", "t:c1"]
    assert one(con, "projects")["client"] == "Aster"


@pytest.mark.slow
def test_a_client_merged_into_one_that_was_not_received_stays_and_is_told_of() -> None:
    con = small()
    prepare(con)
    receive(con, "t", {"clients": [{**CLIENT, "merged_into": "c9"}], "projects": [PROJECT], "milestones": [GATE]})
    findings = unfold(con, [StagedSource("t", None, "raw_t")], "2026-06-30T00:00:00")
    assert [(f.table, f.check) for f in findings if not f.passed] == [
        ("staging.clients", "every merged_into it names is there")
    ]
    assert one(con, "projects")["client_id"] == "t:c1"
