"""What is kept shut: addresses, files, secrets, what pages tell of errors; and that locked packages are looked after."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from planted_canaries import opened, published, recorded
from pydantic import ValidationError
from served import free_port, pages
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from models.faults import Fault
from pipelines.access_block import Access
from pipelines.cli import app
from pipelines.secret_files import secret
from pipelines.settings import PROJECT, Settings
from pipelines.source_blocks import PortalSource, token

pytestmark = pytest.mark.slow

AUDIT = PROJECT / ".ci" / "audit.py"
ACCESS: dict[str, Any] = {
    "url": "https://milepost.example.com", "issuer": "https://id.example.com", "client_id": "milepost",
    "client_secret_env": "CLIENT_SECRET", "cookie_secret_env": "COOKIE_SECRET",
    "people": [{"email": "ada@example.com", "role": "finance"}],
}  # fmt: skip
SECRETS = {"CLIENT_SECRET": "hush", "COOKIE_SECRET": "0123456789abcdef0123456789abcdef"}


def toml(access: dict[str, Any]) -> str:
    told = {name: value for name, value in access.items() if name != "people"}
    lines = ["[access]", *(f"{name} = {json.dumps(value)}" for name, value in told.items())]
    for person in access["people"]:
        lines += ["[[access.people]]", *(f"{name} = {json.dumps(value)}" for name, value in person.items())]
    return "\n".join(lines) + "\n"


def refusal(data: Path, access: dict[str, Any] | None, *arguments: str, **environ: str) -> str:
    """What `milepost dashboard` says in place of serving."""
    if access:
        (data / "milepost.toml").write_text(toml(access), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "execv", lambda *_: pytest.fail("it would have served"))
        ran = CliRunner().invoke(app, ["dashboard", "--data", str(data), *arguments], env=environ)
    assert ran.exit_code == 1, ran.output
    return ran.output


# ---------------------------------------------------------------- addresses


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "milepost.example.com"])
def test_without_sign_in_no_address_but_this_machines_own_is_listened_on(tmp_path: Path, address: str) -> None:
    said = refusal(tmp_path, None, "--address", address)
    assert "nobody signs in" in said
    assert "[access]" in said


def test_sign_ins_are_never_asked_for_in_the_clear(tmp_path: Path) -> None:
    near = {**ACCESS, "url": "http://localhost:8501"}
    assert "in the clear" in refusal(tmp_path, near, "--address", "0.0.0.0", **SECRETS)
    with pytest.raises(ValidationError, match="use https"):
        Access(**{**ACCESS, "url": "http://milepost.example.com"})
    with pytest.raises(ValidationError, match="use https"):
        Access(**{**ACCESS, "issuer": "http://id.example.com"})


def test_pages_that_others_could_reach_without_sign_in_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when Streamlit was started by hand."""
    monkeypatch.setenv("MILEPOST_DATA", str(tmp_path))
    before = st.get_option("server.address")
    assert before == "127.0.0.1"
    try:
        for address in ("0.0.0.0", None):
            st.config.set_option("server.address", address)
            with recorded() as sent:
                opened(tmp_path, "overview", {})
            assert b"only this machine is answered" in sent.told()
            assert b"Data health" not in sent.told()
    finally:
        st.config.set_option("server.address", before)


def test_the_dashboard_listens_on_this_machine_alone_and_says_so(tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    with pages(tmp_path, port, log):
        listening = [
            line.split()[1]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        ]
        assert listening == [f"0100007F:{port:04X}"]
        with socket.create_connection(("127.0.0.1", port)) as wire, pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://rebound.example:{port}/_stcore/stream", sock=wire)
    assert "Nobody signs in, so this machine alone is answered" in log.read_text("utf-8")


def test_dagster_is_shown_on_this_machine_alone_and_writes_for_its_user() -> None:
    script = (PROJECT / ".ci" / "dagster.sh").read_text("utf-8")
    assert re.findall(r"dagster\" dev .*", script) == [
        'dagster" dev -w workspace.yaml -h 127.0.0.1 -p "$port" --log-level warning'
    ]
    assert re.search(r"^umask 077\b", script, re.MULTILINE)
    assert "telemetry:\n  enabled: false" in script


def test_streamlit_is_set_to_be_careful() -> None:
    told = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text("utf-8"))
    server, client = told["server"], told["client"]
    assert server["enableXsrfProtection"] is server["enableCORS"] is True
    assert "corsAllowedOrigins" not in server
    assert "trustedUserHeaders" not in server
    assert server["address"] == "127.0.0.1"
    assert set(server["allowedHosts"]) == {"127.0.0.1", "localhost", "::1"}
    assert server["maxUploadSize"] == 1
    assert server["maxMessageSize"] <= 50
    assert server["fileWatcherType"] == "none"
    assert server["enableAgentApi"] is False
    assert client["showErrorDetails"] == "none"
    assert client["toolbarMode"] == "minimal"
    assert told["browser"]["gatherUsageStats"] is False


# ---------------------------------------------------------------- secrets


def test_a_secret_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "client.secret"
    file.write_text("hush-hush\n", "utf-8")
    for mode in (0o644, 0o604, 0o602):
        file.chmod(mode)
        with pytest.raises(Fault, match="everybody on this machine can read") as refused:
            secret("access", "the client secret", None, file, {})
        assert f"chmod 600 {file}" in str(refused.value)
        assert "hush-hush" not in str(refused.value)
        portal = PortalSource(kind="portal", url="http://127.0.0.1:9", token_file=file)
        with pytest.raises(Fault, match="everybody on this machine can read"):
            token("studio", portal, {})
    for mode in (0o600, 0o640):
        file.chmod(mode)
        assert secret("access", "the client secret", None, file, {}) == "hush-hush"


def test_the_dashboard_does_not_start_without_its_secrets(tmp_path: Path) -> None:
    open_file = tmp_path / "open.secret"
    open_file.write_text("0123456789abcdef0123456789abcdef", "utf-8")
    open_file.chmod(0o644)
    in_file = {name: value for name, value in ACCESS.items() if name != "cookie_secret_env"}
    in_file["cookie_secret_file"] = str(open_file)
    told = [
        refusal(tmp_path, ACCESS, COOKIE_SECRET=SECRETS["COOKIE_SECRET"], CLIENT_SECRET=""),
        refusal(tmp_path, ACCESS, CLIENT_SECRET="hush", COOKIE_SECRET="short"),
        refusal(tmp_path, in_file, **SECRETS),
    ]
    for said, why in zip(told, ("CLIENT_SECRET is not set", "fewer than 32 bytes", "everybody"), strict=True):
        assert why in said
        assert not any(value in said for value in SECRETS.values() if len(value) > 4)


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ({"role": "pm"}, "either email or group"),
        ({"email": "a@b.c", "group": "x", "role": "pm"}, "either email or group"),
        ({"email": "nobody", "role": "pm"}, "email"),
        ({"email": "a@b.c", "role": "client"}, "a client needs clients"),
        ({"email": "a@b.c", "role": "client", "clients": ["c-17"]}, "is no id"),
        ({"email": "a@b.c", "role": "finance", "clients": ["studio:c-17"]}, "for the role client"),
        ({"email": "a@b.c", "role": "leadership", "managers": ["Grace"]}, "for the role pm"),
        ({"email": "a@b.c", "role": "finance", "money": False}, "for the role pm"),
        ({"email": "a@b.c", "role": "owner"}, "role"),
        ({"email": "a@b.c", "role": "pm", "manager": ["Grace"]}, "manager"),
    ],
)
def test_a_rule_that_does_not_say_plainly_who_sees_what_is_refused(person: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Access(**{**ACCESS, "people": [person]})


def test_the_page_on_access_shows_settings_that_fit() -> None:
    page = (PROJECT / "docs" / "access.md").read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    lines = [line.removeprefix("   ") for line in block.splitlines()]
    shown = Access(**tomllib.loads("\n".join(lines))["access"])
    assert [person.role for person in shown.people] == ["leadership", "pm", "client"]
    for key in ("groups_claim", "scope", "session_hours"):
        assert f"`{key}`" in page


def test_settings_that_let_in_nobody_or_somebody_twice_are_refused() -> None:
    twice = [{"email": "Ada@example.com", "role": "finance"}, {"email": "ada@example.com", "role": "pm"}]
    for change in ({"people": []}, {"people": twice}, {"client_secret_env": None}, {"scope": "email"}):
        with pytest.raises(ValidationError):
            Access(**{**ACCESS, **change})
    assert Settings(data=Path("data"), access=Access(**ACCESS)).access is not None


# ---------------------------------------------------------------- files


def test_the_warehouse_and_snapshots_are_their_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    data = tmp_path / "data"
    published.publish(data, projects=3)
    kept = [data / "warehouse.duckdb", *(data / "snapshots").iterdir()]
    assert len(kept) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert stat.S_IMODE((data / "snapshots").stat().st_mode) == 0o700


def test_whatever_a_command_writes_is_its_users_alone(tmp_path: Path) -> None:
    CliRunner().invoke(app, ["snapshots", "--data", str(tmp_path)])
    (tmp_path / "written").write_text("", "utf-8")
    (tmp_path / "made").mkdir()
    assert stat.S_IMODE((tmp_path / "written").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700


# ---------------------------------------------------------------- packages


def judged(report: object) -> tuple[list[str], bool]:
    spec = importlib.util.spec_from_file_location("audit", AUDIT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: tuple[list[str], bool] = module.judged(report if isinstance(report, str) else json.dumps(report))
    return found


def test_an_audit_that_could_not_be_made_is_never_told_as_a_clean_one() -> None:
    skipped = {"name": "polars", "skip_reason": "not found"}
    sound = {"name": "duckdb", "version": "2.0.0", "vulns": []}
    for report in ("", "no JSON", {"dependencies": [skipped]}, {"dependencies": []}):
        lines, fails = judged(report)
        assert (["NOT LOOKED FOR" in line for line in lines], fails) == ([True], False)
    lines, fails = judged({"dependencies": [skipped, sound]})
    assert not fails
    assert "0 known among 1 packages" in lines[0]
    assert "polars" in lines[1]


def test_a_known_vulnerability_of_a_locked_package_fails_the_check(tmp_path: Path) -> None:
    """The auditor itself, over advisories that are served here."""
    asked: list[str] = []

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(query["package"]["name"])
            flaw = {
                "id": "PYSEC-2026-1", "aliases": ["CVE-2026-1"], "summary": "Bad.",
                "affected": [{"package": query["package"], "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}]}],
            }  # fmt: skip
            body = json.dumps({"vulns": [flaw]} if asked[-1] == "flask" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    lock = tmp_path / "lock"
    lock.write_text("flask==3.1.3\nwerkzeug==3.1.9\n", "utf-8")
    server = HTTPServer(("127.0.0.1", 0), Advisories)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1/query"
        command = [sys.executable, str(AUDIT), "-r", str(lock), "-s", "osv", "--osv-url", url]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        server.shutdown()
        server.server_close()
    assert sorted(asked) == ["flask", "werkzeug"]
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "1 known among 2 packages" in ran.stdout
    assert "flask 3.1.3: PYSEC-2026-1 CVE-2026-1; mended in 9.9" in ran.stdout


def test_make_check_asks_for_known_vulnerabilities() -> None:
    recipe = (PROJECT / "Makefile").read_text("utf-8").split("\ncheck:")[1].split("\n\n")[0]
    assert "python .ci/audit.py" in recipe
