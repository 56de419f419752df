"""The doctor: every line of advice is drawn out by what it is advice for."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import small_firm

from pipelines import refreshing, snapshots
from pipelines.doctor import Line, examine
from pipelines.settings import Settings

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


@pytest.fixture
def firm(tmp_path: Path) -> Settings:
    settings = small_firm.found(tmp_path / "data")
    (settings.data / "rates").mkdir()
    settings.rates_file.write_text("day,currency,rate\n2026-06-29,EUR,1.08\n")
    publish(settings, NOW - timedelta(hours=1))
    return settings


def publish(settings: Settings, at: datetime, outcome: str = "ok", unmapped: str = "") -> None:
    with duckdb.connect() as con:
        con.execute("create schema marts")
        con.execute(
            "create table marts.source_pulls as select 'studio' as source, $o as outcome, $at as pulled_at,"
            " true as is_latest",
            {"o": outcome, "at": at.replace(tzinfo=None)},
        )
        if unmapped:
            con.execute(f"create table marts.unmapped_gates as {unmapped}")
        snapshots.publish(con, settings.snapshots, at, at, reporting_currency="USD", keep=7)


def lines(settings: Settings, **environ: str) -> dict[str, list[Line]]:
    """What the doctor says, by subject."""
    said: dict[str, list[Line]] = {}
    for line in examine(settings.data, None, environ, NOW):
        said.setdefault(line.subject, []).append(line)
    return said


def configure(settings: Settings, *toml: str) -> None:
    (settings.data / "milepost.toml").write_text("\n".join(toml) + "\n")


def test_all_is_well_where_all_is_there(firm: Settings) -> None:
    firm.data.chmod(0o700)
    marks = {line.mark for said in lines(firm).values() for line in said}
    assert marks == {"✓"}
    assert set(lines(firm)) == {"settings", "data folder", "privacy", "playbooks", "rates", "source studio", "snapshot"}


def test_a_data_folder_that_others_can_read_is_told(firm: Settings) -> None:
    firm.data.chmod(0o755)
    configure(firm, "")
    (firm.data / "milepost.toml").chmod(0o644)
    (line,) = lines(firm)["privacy"]
    assert (line.mark, f"chmod -R go= {firm.data}" in line.cure) == ("!", True)


def test_every_fault_comes_with_its_cure(firm: Settings) -> None:
    configure(firm, "reporting_currency = 'usd'", "surprise = 1")
    said = lines(firm)["settings"]
    assert [line.mark for line in said] == ["✗", "✗"]
    assert all(line.cure for line in said)


def test_no_source_is_worth_a_word(firm: Settings) -> None:
    configure(firm, "")
    (line,) = lines(firm)["settings"]
    assert (line.mark, "milepost.example.toml" in line.cure) == ("!", True)


def test_a_file_where_the_data_folder_should_be_is_found(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    said = {line.subject: line for line in examine(tmp_path / "data", None, {}, NOW)}
    assert said["data folder"].mark == "✗"


def test_files_that_are_not_there_are_named(firm: Settings) -> None:
    (firm.inbox / "clients.csv").unlink()
    marks = {line.said.split(":")[0]: line.mark for line in lines(firm)["source studio"]}
    assert marks == {**dict.fromkeys(small_firm.FILES, "✓"), "clients": "✗"}


def test_a_missing_token_names_its_variable(firm: Settings) -> None:
    configure(firm, "[sources.portal]", "kind = 'portal'", "url = 'http://127.0.0.1:9'", "token_env = 'PORTAL_TOKEN'")
    (line,) = lines(firm)["source portal"]
    assert (line.mark, "PORTAL_TOKEN" in line.cure) == ("✗", True)


def test_a_portal_that_does_not_answer_is_told_within_seconds(firm: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    configure(firm, "[sources.portal]", "kind = 'portal'", f"url = '{url}'", "token_env = 'PORTAL_TOKEN'")
    (line,) = lines(firm, PORTAL_TOKEN="x")["source portal"]
    assert (line.mark, url in line.said) == ("✗", True)


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("day,currency,rate\n2026-06-29,EUR,much\n", "✗"),
        ("date,code\n2026-06-29,EUR\n", "✗"),
        ("", "✗"),
        ("day,currency,rate\n2026-05-01,EUR,1.08\n", "!"),
        (None, "!"),
    ],
)
def test_rates_are_read_and_their_age_is_seen(firm: Settings, text: str | None, mark: str) -> None:
    if text is None:
        firm.rates_file.unlink()
    else:
        firm.rates_file.write_text(text)
    (line,) = lines(firm)["rates"]
    assert (line.mark, bool(line.cure)) == (mark, True)


def test_a_broken_playbook_is_named(firm: Settings) -> None:
    (firm.data / "playbooks").mkdir()
    (firm.data / "playbooks" / "odd.yml").write_text("code: [")
    assert lines(firm)["playbooks"][0].mark == "✗"


def test_stale_failed_and_rolled_back_are_told_apart(firm: Settings) -> None:
    for one in snapshots.available(firm.snapshots):
        one.path.unlink()
    assert "none yet" in lines(firm)["snapshot"][0].said
    publish(firm, NOW - timedelta(days=3))
    assert "72 hours ago" in lines(firm)["snapshot"][0].said
    assert "was last pulled" in lines(firm)["source studio"][-1].said
    stale = snapshots.newest(firm.snapshots)
    publish(firm, NOW, outcome="failed")
    assert "its last pull failed" in lines(firm)["source studio"][-1].said
    assert stale is not None
    snapshots.roll_back(firm.snapshots, stale.id)
    assert "rolled back" in lines(firm)["snapshot"][0].said


def test_gate_names_that_no_playbook_knows_are_told_of_with_the_likeliest(firm: Settings) -> None:
    row = "select {0!r} as playbook, {1!r} as gate_name, {2} as gate_count, {3} as suggested_label"
    rows = [
        row.format("custom_home", "Framng", 12, "'Framing inspection passed'"),
        row.format("custom_home", "Sauna", 3, "null"),
        row.format("no playbook", "Anything", 99, "null"),
    ]
    publish(firm, NOW, unmapped=" union all ".join(rows))
    (line,) = lines(firm)["gate names"]
    assert line.mark == "!"
    assert line.said == "2 in no playbook, on 15 gate(s), such as 'Framng', which is like 'Framing inspection passed'."
    publish(firm, NOW, unmapped=rows[2])
    assert "gate names" not in lines(firm)


@pytest.mark.slow
def test_each_source_is_told_with_its_newest_record_and_the_fields_that_stay_empty(firm: Settings) -> None:
    assert refreshing.refresh(firm, as_of=NOW).problems == ()
    said = [line.said for line in lines(firm)["source studio"]]
    assert "records: 10." in said
    assert "payments" not in " ".join(said)
    (invoices,) = [line for line in said if line.startswith("invoices (")]
    assert invoices.startswith("invoices (1): 8 of 17 fields filled; empty: kind, drafted_at")


def test_a_source_that_is_held_back_is_told_apart_from_one_that_failed(firm: Settings) -> None:
    publish(firm, NOW, outcome="refused")
    assert "held back" in lines(firm)["source studio"][-1].said
