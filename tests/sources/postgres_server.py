"""A real PostgreSQL for tests: a throw-away cluster of Debian's server, on a free port of 127.0.0.1.

`.ci/postgres.sh` installs the server. It refuses to run as root, so there it is made and run as the user that its
package brings; it is quick and careless of power cuts, but what it has committed outlives `stop`. What stays out: Milepost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from served import free_port

ADMIN, SECRET = "keeper", "open sesame 0815"  # whoever logs in does so with this password
UP_WITHIN_SECONDS = 30
_QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=20",
          "unix_socket_directories=", "listen_addresses=127.0.0.1", "log_min_messages=panic")  # fmt: skip


@dataclass(slots=True)
class Postgres:
    """A server that may be stopped and started again; what is in it stays."""

    place: Path
    port: int
    version: str = ""
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = [word for one in _QUICK for word in ("-c", one)]
        command = [_program("postgres"), "-D", str(self.place / "data"), "-p", str(self.port), *options]
        with (self.place / "log").open("ab") as log:
            self._process = subprocess.Popen(_as_owner(command), stdout=log, stderr=log, cwd=self.place, env=_environ())
        until = time.monotonic() + UP_WITHIN_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                (found,) = self.run("postgres", "select current_setting('server_version')")
            except psycopg.OperationalError:
                time.sleep(0.03)
            else:
                self.version = str(found[0])
                return
        self.stop()
        raise AssertionError(f"PostgreSQL did not start: {(self.place / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Ends it at once, as a machine that goes down would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)

    def connect(self, database: str, user: str = ADMIN) -> psycopg.Connection[Any]:
        told = {"host": "127.0.0.1", "port": self.port, "dbname": database, "user": user, "password": SECRET}
        return psycopg.connect(**told, autocommit=True, connect_timeout=5)

    def run(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements as the one who may do all; the rows of the last, where it has any."""
        with self.connect(database) as con:
            cursor = con.cursor()
            for statement in statements:
                cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def database(self, name: str, *statements: str) -> str:
        """A new database with a user `milepost` that may read what is in it, unless a statement says otherwise."""
        self.run("postgres", f"create database {name}")
        allowed = "alter default privileges in schema public grant select on tables to milepost"
        self.run(name, allowed, *statements)
        return self.url(name)

    def url(self, database: str, user: str = "milepost") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for all tests of a session; each makes a database of its own."""
    with running() as started:
        yield started


@contextmanager
def running() -> Iterator[Postgres]:
    """A server without a database of its own; ended, and its folder removed, on leaving."""
    place = Path(tempfile.mkdtemp(prefix="postgres"))
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
    made = Postgres(place, free_port())
    try:
        _make_cluster(place)
        made.start()
        made.run("postgres", f"create role milepost login password '{SECRET}'")
        print(f"PostgreSQL {made.version} at 127.0.0.1:{made.port}")
        yield made
    finally:
        made.stop()
        shutil.rmtree(place, ignore_errors=True)


def _make_cluster(place: Path) -> None:
    password = place / "password"
    password.write_text(SECRET, "utf-8")
    password.chmod(0o644)
    command = [_program("initdb"), "-D", str(place / "data"), "-U", ADMIN, "--pwfile", str(password), "--no-sync",
               "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]  # fmt: skip
    ran = subprocess.run(_as_owner(command), cwd=place, env=_environ(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"initdb failed: {ran.stderr or ran.stdout}"


def _program(name: str) -> str:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = str(debian[-1]) if debian else shutil.which(name)
    assert found, "There is no PostgreSQL to start: run `sh .ci/postgres.sh` (make test does)."
    return found


def _as_owner(command: list[str]) -> list[str]:
    """The command, as somebody else where we are root. It becomes that process, so that its pid is the server's."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command]


def _environ() -> dict[str, str]:
    """The environment without anything that PostgreSQL's programs would take for a setting."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
