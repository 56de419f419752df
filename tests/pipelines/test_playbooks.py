"""The playbooks that ship fit their own rules, and a bad one is refused by file and key."""

from pathlib import Path

import pytest
import yaml

from models.faults import Fault
from pipelines.playbooks import load_playbooks
from pipelines.settings import PROJECT

SHIPPED = load_playbooks(PROJECT / "data" / "playbooks")


def write_playbook(folder: Path, **changes: object) -> Path:
    gate = {
        "code": "kickoff",
        "label": "Kickoff",
        "typical_days": 5,
        "bills_pct": 100,
        "owner_team": "design",
        "next_team": "design",
        "approver_side": "client",
        "acceptance_criterion": "Agreed.",
    }
    playbook = {"code": "short", "label": "Short", "firm_kind": "agency", "gates": [gate], **changes}
    file = folder / "short.yml"
    file.write_text(yaml.safe_dump(playbook), "utf-8")
    return file


def test_the_five_playbooks_ship():
    assert set(SHIPPED) == {"brand_identity", "brand_refresh", "saas_implementation", "custom_home", "renovation"}


@pytest.mark.parametrize("code", SHIPPED)
def test_every_playbook_bills_the_whole_contract_and_locks_scope_once(code):
    gates = SHIPPED[code].gates
    assert sum(gate.bills_pct for gate in gates) == 100
    assert sum(gate.locks_scope for gate in gates) == 1


def test_the_verified_migration_frees_the_integrations_engineer():
    gate = next(gate for gate in SHIPPED["saas_implementation"].gates if gate.code == "data_migration_verified")
    assert gate.handoff is not None
    assert (gate.handoff.from_team, gate.handoff.to_team) == ("integrations", "customer success")
    assert gate.next_team == "customer success"


def test_builders_hold_retainage_and_face_an_authority():
    for code in ("custom_home", "renovation"):
        assert SHIPPED[code].retainage_pct == 5
        assert any(gate.approver_side == "authority" for gate in SHIPPED[code].gates)
        assert any(paper.type == "lien waiver" for gate in SHIPPED[code].gates for paper in gate.documents)


@pytest.mark.parametrize(
    ("change", "key", "told"),
    [
        ({"gates": []}, "gates", "at least 1 item"),
        ({"color": "red"}, "color", "not permitted"),
        ({"retainage_pct": "lots"}, "retainage_pct", "number"),
        ({"code": "Not A Code"}, "code", "match pattern"),
    ],
)
def test_a_bad_playbook_is_refused_by_file_and_key(tmp_path, change, key, told):
    file = write_playbook(tmp_path, **change)
    with pytest.raises(Fault) as refused:
        load_playbooks(tmp_path)
    assert f"{file}, key {key}" in str(refused.value)
    assert told in str(refused.value)


def test_shares_that_do_not_add_up_are_refused(tmp_path):
    file = write_playbook(tmp_path)
    file.write_text(file.read_text("utf-8").replace("bills_pct: 100", "bills_pct: 90"), "utf-8")
    with pytest.raises(Fault, match="adds up to 90, not to 100"):
        load_playbooks(tmp_path)


def test_a_gate_code_that_stands_twice_is_refused(tmp_path):
    file = write_playbook(tmp_path)
    playbook = yaml.safe_load(file.read_text("utf-8"))
    playbook["gates"] = [{**playbook["gates"][0], "bills_pct": 50}] * 2
    file.write_text(yaml.safe_dump(playbook), "utf-8")
    with pytest.raises(Fault, match="'kickoff' stands twice"):
        load_playbooks(tmp_path)


def test_two_files_of_one_code_are_refused(tmp_path):
    file = write_playbook(tmp_path)
    (tmp_path / "other.yml").write_bytes(file.read_bytes())
    with pytest.raises(Fault, match="'short' is used by another file"):
        load_playbooks(tmp_path)


def test_a_file_that_is_no_yaml_is_refused_with_its_line(tmp_path):
    (tmp_path / "broken.yml").write_text("code: [unclosed\n", "utf-8")
    with pytest.raises(Fault, match=r"broken\.yml: is not valid YAML.*line"):
        load_playbooks(tmp_path)


def test_a_folder_without_playbooks_is_refused(tmp_path):
    with pytest.raises(Fault, match="holds no playbook"):
        load_playbooks(tmp_path)
