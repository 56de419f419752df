"""The two commands a stranger types: what they do, how they refuse, and that they leave nothing running."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from served import free_port

from pipelines import snapshots
from pipelines.demo import running

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow

Held = tuple[subprocess.Popen[str], int, str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def make(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env={**clean_environ(), **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def clean_environ() -> dict[str, str]:
    """The environment without what a surrounding make or session put there."""
    return {name: value for name, value in os.environ.items() if not re.match("MAKE|MFLAGS|MILEPOST|CI$|PYTEST", name)}


def this_environment() -> str:
    return f"VENV={Path(sys.prefix)}"


def processes_about(data: Path) -> list[str]:
    """Command lines of processes that were started for a data folder, by their environment or arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if str(data).encode() in known and int(process.name) != os.getpid():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def refused(ran: subprocess.CompletedProcess[str], *words: str) -> None:
    """One plain sentence and a non-zero exit; make adds a line of its own."""
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if not line.startswith("make")]
    assert ran.returncode != 0
    assert len(said) == 1, said
    for word in words:
        assert word in said[0]


def test_make_alone_lists_the_commands() -> None:
    listed = make()
    assert listed.returncode == 0
    for command in ("demo", "test", "check", "bench", "env", "dagster"):
        assert f"make {command} " in listed.stdout


def test_an_old_python_is_refused_in_one_sentence(tmp_path: Path) -> None:
    old = script(tmp_path / "python3.9", "echo 3.9")
    refused(make("env", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}"), "3.11 or newer", "is 3.9")
    refused(make("env", f"VENV={tmp_path / 'venv'}", "PYTHON=nopython"), "found none", "nopython")
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_is_refused_in_one_sentence(tmp_path: Path) -> None:
    bare = script(tmp_path / "python3", 'case "$2" in *venv*) exit 1;; *) echo 3.12;; esac')
    refused(make("env", f"VENV={tmp_path / 'venv'}", f"PYTHON={bare}"), "no venv module", "python3-venv")


def test_an_install_that_fails_is_told_in_one_sentence_and_tried_again(tmp_path: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    for _ in range(2):
        ran = make("env", f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}", **nowhere)
        first, *rest = ran.stderr.splitlines()
        assert first.startswith("Installing ")
        refused(subprocess.CompletedProcess([], ran.returncode, "", "\n".join(rest)), "could not be installed", "log")
    assert (tmp_path / "venv" / "install.log").read_text()


def test_a_made_environment_is_not_made_again() -> None:
    make("env", this_environment())
    began = time.perf_counter()
    ran = make("env", this_environment())
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert time.perf_counter() - began < 2


def test_the_demo_answers_over_http_and_leaves_nothing_running(data: Path) -> None:
    ran = make("demo", "HOLD=0", f"PORT={free_port()}", "PROJECTS=12", f"DATA={data}", this_environment())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for word in ("Dashboard  http://127.0.0.1:", "Refreshed in", "Both answered, and end now."):
        assert word in ran.stdout
    assert processes_about(data) == []
    assert list((data / "snapshots").glob("*.duckdb"))


def test_a_busy_port_is_told_in_one_sentence_and_nothing_is_started(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for command in ("demo", "dashboard", "dagster"):
            refused(make(command, f"PORT={port}", f"DATA={data}", this_environment()), f"ort {port}", "taken")
    assert processes_about(data) == []


def test_a_data_folder_that_is_not_the_demos_is_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "milepost.toml").write_text("reporting_currency = 'EUR'\n")
    refused(make("demo", f"PORT={free_port()}", f"DATA={data}", this_environment()), "is not the demo's")
    assert (data / "milepost.toml").read_text() == "reporting_currency = 'EUR'\n"


def start_demo(data: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["make", "--no-print-directory", "demo", f"PORT={port}", "PROJECTS=24", f"DATA={data}", this_environment()],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def holding(data: Path) -> Iterator[Held]:
    """A demo that is up and holding, its port, and what it said."""
    port = free_port()
    demo = start_demo(data, port)
    assert demo.stdout is not None
    said = []
    for line in demo.stdout:
        said.append(line)
        if "Ctrl-C ends everything" in line:
            break
    else:
        demo.wait()
        pytest.fail("".join(said))
    try:
        yield demo, port, "".join(said)
    finally:
        demo.stdout.close()
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGTERM)
        ended(demo, data)


def ended(demo: subprocess.Popen[str], data: Path) -> None:
    demo.wait(90)
    until = time.monotonic() + 10
    while processes_about(data) and time.monotonic() < until:
        time.sleep(0.1)
    assert processes_about(data) == []


def approve(said: str) -> str:
    """Runs the commands that a demo suggests, as its reader would; the milestone they approve."""
    lines = [line.strip("│ \n").removesuffix("\\") for line in said.splitlines()]
    at = next(number for number, line in enumerate(lines) if line.startswith("curl"))
    milestone = re.search(r"milestones/(\w+)/", lines[at])
    assert milestone
    for command in (" ".join(lines[at : at + 3]), lines[at + 3]):
        subprocess.run(command, shell=True, cwd=ROOT, env=clean_environ(), check=True, capture_output=True, timeout=120)
    return milestone[1]


def test_the_approval_it_suggests_shows_in_the_next_refresh_and_ctrl_c_ends_all_that_the_demo_started(
    data: Path,
) -> None:
    with holding(data) as (demo, port, said):
        approved = approve(said)
        serving = snapshots.newest(data / "snapshots")
        assert serving is not None
        with duckdb.connect(str(serving.path), read_only=True) as con:
            status = con.execute("select status from marts.gates where source_key = ?", [approved]).fetchall()
        assert status == [("approved",)]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert page.status == 200
        assert len(processes_about(data)) >= 3
        os.killpg(demo.pid, signal.SIGINT)
        ended(demo, data)


def test_ctrl_c_in_the_middle_of_the_refresh_ends_everything_without_a_trace(data: Path) -> None:
    demo = start_demo(data, free_port())
    until = time.monotonic() + 60
    while not (data / "warehouse.duckdb").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(demo.pid, signal.SIGINT)
    said, _ = demo.communicate(timeout=60)
    assert "Traceback" not in said
    assert "Error 1" not in said
    ended(demo, data)


def test_a_terminated_make_ends_everything_too(data: Path) -> None:
    with holding(data) as (demo, _, _):
        demo.send_signal(signal.SIGTERM)
        ended(demo, data)


def test_a_server_that_was_ended_leaves_signals_as_they_were(tmp_path: Path) -> None:
    """Or whatever is started later could not be ended."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with running.server(sleeping, os.environ, tmp_path / "log") as child:
        assert child.poll() is None
    assert child.poll() is not None
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def script(file: Path, body: str) -> Path:
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file
