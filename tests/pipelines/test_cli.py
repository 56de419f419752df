"""The command line: what it prints, as text and as JSON, and how it refuses."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import small_firm
from typer.testing import CliRunner, Result

from pipelines import refreshing
from pipelines.cli import app
from pipelines.settings import Settings, load


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A firm whose records have been refreshed twice."""
    settings = small_firm.found(tmp_path_factory.mktemp("firm") / "data")
    for _ in range(2):
        assert refreshing.refresh(settings).ok
    return settings


@pytest.fixture
def own(firm: Settings, tmp_path: Path) -> Path:
    """A copy of that firm's data folder, to be changed."""
    shutil.copytree(firm.data, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def milepost(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands with an environment that is put back afterwards."""
    for variable in ("MILEPOST_DATA", "MILEPOST_CONFIG"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    return CliRunner()


def run(milepost: CliRunner, data: Path, *arguments: str) -> Result:
    return milepost.invoke(app, [*arguments, "--data", str(data)], catch_exceptions=False)


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


HELP = """
import sys
from typer.testing import CliRunner
from pipelines.cli import app
print(CliRunner().invoke(app, ["--help"]).stdout)
print("loaded:", *(name for name in ("dagster", "duckdb", "polars", "pydantic", "dlt") if name in sys.modules))
"""


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    told = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True).stdout
    commands = "demo simulate portal refresh dashboard doctor snapshots rollback measures measure"
    assert [name for name in commands.split() if f" {name} " not in told] == []
    assert told.splitlines()[-1].strip() == "loaded:"


@pytest.mark.slow
def test_refresh_prints_each_step_and_what_serves(own: Path, milepost: CliRunner) -> None:
    told = run(milepost, own, "refresh")
    assert told.exit_code == 0
    for word in ("raw/studio", "staging (12 tables)", "marts (", "checks", "Refreshed in", "serves, as of"):
        assert word in told.stdout


@pytest.mark.slow
def test_refresh_as_json_names_steps_checks_and_the_snapshot(own: Path, milepost: CliRunner) -> None:
    told = run(milepost, own, "refresh", "--json", "--source", "studio", "--as-of", "2026-01-06")
    told_json = json.loads(told.stdout)
    assert told.exit_code == 0
    assert told_json["ok"] is True
    assert told_json["problems"] == []
    assert told_json["serving"]["as_of"] == "2026-01-06T23:59:59Z"
    assert {"step", "rows", "seconds", "check_seconds"} == set(told_json["steps"][0])
    assert "raw/studio" in {step["step"] for step in told_json["steps"]}


@pytest.mark.slow
def test_a_refresh_that_fails_says_why_and_what_still_serves(own: Path, milepost: CliRunner) -> None:
    small_firm.rewrite(load(own, own / "milepost.toml", {}), "projects", "active", "paused")
    told = run(milepost, own, "refresh")
    refused(told, "field status", "'paused' is unknown", "on_hold")
    assert "Not refreshed" in told.stdout
    assert "serves, as of" in told.stdout
    as_json = json.loads(run(milepost, own, "refresh", "--json").stdout)
    assert as_json["ok"] is False
    assert "'paused' is unknown" in as_json["problems"][0]


def test_an_unknown_source_names_those_there_are(tmp_path: Path, milepost: CliRunner) -> None:
    settings = small_firm.found(tmp_path / "data")
    refused(run(milepost, settings.data, "refresh", "--source", "books"), "'books'", "studio")


@pytest.mark.slow
def test_snapshots_are_listed_and_rolled_back(own: Path, milepost: CliRunner) -> None:
    listed = json.loads(run(milepost, own, "snapshots", "--json").stdout)
    assert [one["serves"] for one in listed] == [True] + [False] * (len(listed) - 1)
    older = listed[1]["id"]
    assert older in run(milepost, own, "snapshots").stdout
    assert f"Serving {older}" in run(milepost, own, "rollback", older).stdout
    again = json.loads(run(milepost, own, "snapshots", "--json").stdout)
    assert [one["id"] for one in again if one["serves"]] == [older]
    refused(run(milepost, own, "rollback", "nonesuch"), "nonesuch", older)


@pytest.mark.slow
def test_a_measure_as_json_carries_definition_n_and_clock(firm: Settings, milepost: CliRunner) -> None:
    told = json.loads(run(milepost, firm.data, "measure", "F1", "--by", "gate", "--json").stdout)
    assert (told["measure"], told["unit"], told["by"]) == ("F1", "days", ["gate"])
    assert told["snapshot"] is not None
    kickoff = {row["gate"]: row for row in told["rows"]}["Kickoff"]
    assert kickoff["n"] == 1
    assert kickoff["note"]  # one gate is too few for a percentile


@pytest.mark.slow
def test_a_measure_of_another_day_is_rebuilt_for_the_end_of_it(firm: Settings, milepost: CliRunner) -> None:
    def approved(day: str) -> int:
        told = json.loads(run(milepost, firm.data, "measure", "F1", "--as-of", day, "--json").stdout)
        assert (told["as_of"], told["snapshot"]) == (f"{day}T23:59:59Z", None)
        return int(told["rows"][0]["n"])

    assert [approved("2026-01-06"), approved("2026-01-07")] == [0, 1]


@pytest.mark.slow
def test_filters_take_several_values_and_refuse_unknown_ones(firm: Settings, milepost: CliRunner) -> None:
    whole = ["measure", "F1", "--json", "--where", "firm=Aster Studio", "--where", "gate=Kickoff,Concept"]
    assert json.loads(run(milepost, firm.data, *whole).stdout)["rows"][0]["n"] == 1
    refused(run(milepost, firm.data, "measure", "F1", "--where", "firm=Nobody"), "'Nobody'", "Aster Studio")
    refused(run(milepost, firm.data, "measure", "F1", "--where", "gate=Nothing"), "'Nothing'", "Kickoff")


def test_what_is_not_in_the_catalogue_is_refused_with_what_is(tmp_path: Path, milepost: CliRunner) -> None:
    refused(run(milepost, tmp_path, "measure", "F99"), "F99", "F1, ")
    refused(run(milepost, tmp_path, "measure", "F1", "--by", "colour"), "'colour'", "firm, client")
    refused(run(milepost, tmp_path, "measure", "F1", "--where", "firm"), "is not NAME=VALUE")
    refused(run(milepost, tmp_path, "measure", "F1"), "no snapshot yet", "milepost refresh")
    refused(run(milepost, tmp_path, "refresh", "--as-of", "yesterday"), "'yesterday' is no date")


def test_measures_lists_the_catalogue(tmp_path: Path, milepost: CliRunner) -> None:
    listed = json.loads(run(milepost, tmp_path, "measures", "--json").stdout)
    told = {"id", "label", "kind", "unit", "definition", "by", "clocks", "window_days", "settings"}
    assert told == set(listed[0])
    assert {one["id"]: one["clocks"] for one in listed}["F20"] == ["working", "elapsed"]
    text = run(milepost, tmp_path, "measures").stdout
    assert all(one["label"] in text for one in listed)


def test_a_settings_file_that_is_no_toml_is_named(tmp_path: Path, milepost: CliRunner) -> None:
    (tmp_path / "milepost.toml").write_text("[sources")
    refused(run(milepost, tmp_path, "snapshots"), "milepost.toml", "is not valid TOML")


def test_data_and_config_may_stand_in_the_environment(
    tmp_path: Path, milepost: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.toml").write_text("surprise = 1")
    monkeypatch.setenv("MILEPOST_DATA", str(tmp_path))
    monkeypatch.setenv("MILEPOST_CONFIG", str(tmp_path / "other.toml"))
    refused(milepost.invoke(app, ["snapshots"]), "other.toml", "surprise")


def test_simulate_writes_what_it_counts(tmp_path: Path, milepost: CliRunner) -> None:
    told = run(
        milepost, tmp_path, "simulate", "--projects", "3", "--out", str(tmp_path / "sim"), "--as-of", "2026-06-30"
    )
    assert told.exit_code == 0
    assert "milestones" in told.stdout
    assert list((tmp_path / "sim").rglob("*.parquet"))


@pytest.mark.slow
def test_the_portal_refuses_a_busy_port_and_a_strange_firm(tmp_path: Path, milepost: CliRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        few = ("--projects", "1")
        refused(run(milepost, tmp_path, "portal", "--port", port, *few), f"port {port}")
        refused(run(milepost, tmp_path, "dashboard", "--port", port), f"port {port}", "taken")
    refused(run(milepost, tmp_path, "portal", "--token", "acme=x", *few), "'acme'", "relay")


def test_no_command_leaves_the_environment_of_the_tests_changed() -> None:
    assert "MILEPOST_CONFIG" not in os.environ
