"""A secret shows in nothing that Milepost writes: no log, error, table, snapshot, backup, page, file or event of Dagster.

Each kind of source is given a secret of its own, as are alerts and sign-in, and a tool that says all it was told in its
answers. Then everything that was written, printed and sent to a page is searched for it, as it is, encoded, and escaped.
"""

from __future__ import annotations

import base64
import logging
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote, quote_plus

import dagster as dg
import local_servers
import pytest
import small_firm
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from loopback import Reply, Request, serving
from planted_canaries import opened, recorded
from typer.testing import CliRunner

from pipelines import backing_up, pulling, refreshing
from pipelines import settings as milepost_settings
from pipelines.cli import app
from pipelines.settings import Settings
from pipelines.sources.door import Patience

pytestmark = pytest.mark.slow

AS_OF = datetime(2026, 6, 30, 12, tzinfo=UTC)
PLAIN = "c4naryplain0123456789"  # where a header can hold no other letters
KINDS = {
    "portal": "",
    "redmine": "",
    "jira": 'email = "pm@firm.example"\n',
    "asana": 'workspace = "1"\n',
    "stripe": "",
    "rocketlane": "",
    "tryton": 'database = "books"\n',
    "xero": 'client_id = "milepost"\nidentity_url = "{url}/token"\n',
    "rest": 'auth = "query"\nauth_name = "key"\n[sources.{name}.tables.clients]\npath = "/clients"\n',
}


OTHERS = ("mail", "webhook", "client_secret", "cookie_secret")
SETTINGS = """
[sources.sql]
kind = "sql"
firm = "sql"
url = "postgresql+psycopg://reader@127.0.0.1:9/books"
token_env = "SECRET_OF_SQL"
tables.clients = {{ table = "clients", key = ["id"] }}
[alerts.mail]
server = "localhost"
port = {port}
ca_file = "{folder}/cert.pem"
user = "milepost"
password_env = "SECRET_OF_MAIL"
sender = "milepost@example.com"
to = ["ops@example.com"]
[alerts.webhook]
url_file = "{folder}/webhook.secret"
[access]
url = "https://milepost.example.com"
issuer = "https://id.example.com"
client_id = "milepost"
client_secret_file = "{folder}/client_secret.secret"
cookie_secret_env = "SECRET_OF_COOKIE_SECRET"
people = [{{ email = "lead@example.com", role = "leadership" }}]
"""
HASTY = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=3)


def secret_of(kind: str) -> str:
    return f"{PLAIN}{kind}xxxxxxxxxxxx".replace("_", "")


def written(secret: str) -> Iterator[bytes]:
    """The secret as it is, and as encodings would write it; of base64 what is the same wherever it begins."""
    yield secret.encode()
    yield quote(secret, safe="").encode()
    yield quote_plus(secret).encode()
    for before in range(3):
        told = base64.b64encode(b"x" * before + secret.encode())
        yield told[4:-4] if before else told[:-4]
    yield secret.encode().hex().encode()
    yield secret.encode("utf-16-le")


def telling(request: Request) -> Reply:
    """A tool that refuses, and says in its refusal all that it was told."""
    told = f"no such luck with {request.path} {dict(request.headers)} {dict(request.queries)} {request.content!r}"
    return Reply({"message": told, "error": told, "errors": [told]}, 422)


def refusing(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: LoginPassword) -> AuthResult:
    """A mail server that does the same."""
    return AuthResult(success=False, handled=False, message=f"535 no such luck with {given.password.decode()}")


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, quick: Path) -> dict[str, bytes]:
    """All that was written, printed and shown, by where: a refresh with Dagster's events kept, commands, pages, a backup."""
    folder = tmp_path_factory.mktemp("secrets")
    data = folder / "data"
    small_firm.found(data)
    kept: list[str] = []
    heard = logging.Handler()
    heard.emit = lambda record: kept.append(record.getMessage())  # type: ignore[method-assign]
    home = quick / "dagster"  # six hundred events, each synced to a disk, take a minute
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_servers, "_known", refusing)
        patch.setattr(pulling, "pull", partial(pulling.pull, patience=HASTY))
        with serving(telling) as tool, local_servers.mail_server(folder, is_guarded=True) as mail:
            settings = settle(folder, tool.url, mail.port, patch)
            patch.setenv("DAGSTER_HOME", str(home))
            logging.getLogger().addHandler(heard)
            try:
                with dg.DagsterInstance.get() as instance:
                    patch.setattr(refreshing, "_unwritten", lambda _: nullcontext(instance))
                    told = [ran("refresh", settings)]
                    (run,) = instance.get_run_ids()
                    told += [str(event) for event in instance.all_logs(run)]
                assert "STEP_FAILURE" in told[-1] or len(told) > 100, "events were kept"
                told += [ran(command, settings) for command in ("doctor", "snapshots", "runs", "alert")]
                shown = pages(settings, patch)
                backing_up.back_up(settings, folder / "backup.milepost", AS_OF)
            finally:
                logging.getLogger().removeHandler(heard)
        kept_by_dagster = [path for path in home.rglob("*") if path.is_file()]
        events = {f"dagster {path.relative_to(home)}": path.read_bytes() for path in kept_by_dagster}
        sent = b" ".join(str((r.path, r.headers, r.queries, r.content)).encode() for r in tool.asked)
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".secret"}
    return {
        **files,
        **events,
        **shown,
        "printed": "\n".join(told).encode(),
        "logged": "\n".join(kept).encode(),
        "sent": sent,
    }


def settle(folder: Path, url: str, mail_port: int, patch: pytest.MonkeyPatch) -> Settings:
    """Settings with a source of every kind, whose secrets lie in the environment and in files."""
    blocks = []
    for kind in (*KINDS, "sql", *OTHERS):
        secret = f"{url}/hooks/{secret_of(kind)}" if kind == "webhook" else secret_of(kind)
        (folder / f"{kind}.secret").write_text(secret + "\n", "utf-8")
        (folder / f"{kind}.secret").chmod(0o600)
        patch.setenv(f"SECRET_OF_{kind.upper()}", secret)
    for kind, more in KINDS.items():
        where = (
            f'token_file = "{folder}/{kind}.secret"'
            if kind in ("jira", "asana")
            else f'token_env = "SECRET_OF_{kind.upper()}"'
        )
        blocks.append(
            f'[sources.{kind}]\nkind = "{kind}"\nfirm = "{kind}"\nurl = "{url}"\n{where}\n'
            + more.replace("{url}", url).replace("{name}", kind)
        )
    data = folder / "data"
    with (data / "milepost.toml").open("a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(blocks) + SETTINGS.format(folder=folder, port=mail_port))
    return milepost_settings.load(data, data / "milepost.toml", os.environ)


def ran(command: str, settings: Settings) -> str:
    """What a command prints."""
    result = CliRunner(env={"COLUMNS": "4000"}).invoke(app, [command, "--data", str(settings.data)])
    return f"{result.output}\n{result.exception}"


def pages(settings: Settings, patch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What pages send to whoever may see everything, and the files they offer, unpacked."""
    patch.setenv("MILEPOST_DATA", str(settings.data))
    patch.delenv("MILEPOST_CONFIG", raising=False)
    claims = {"email": "lead@example.com", "email_verified": True, "sub": "lead", "iat": int(time.time())}
    shown = {}
    for page in ("data-health", "billing"):
        with recorded() as sent:
            app_ = opened(settings.data, page, {"is_logged_in": True, "iss": "https://id.example.com", **claims})
        assert not app_.exception
        shown[f"page {page}"] = sent.told()
        for number, file in enumerate(sent.files):
            content = file()
            shown[f"file {number} of {page}"] = content.encode() if isinstance(content, str) else bytes(content)
    return shown


def test_pages_and_files_were_made_that_tell_of_the_errors(everything: dict[str, bytes]) -> None:
    files = [content for name, content in everything.items() if name.startswith("file")]
    begins = {bytes(content[:2]) for content in files}
    assert {b"PK", b"<!", b"\xef\xbb"} <= begins, "Excel, a report, CSV"
    assert b"no such luck" in everything["page data-health"]
    assert any(b"no such luck" in content for content in files)


def test_every_kind_was_asked_and_tells_in_its_errors_what_is_wrong(everything: dict[str, bytes]) -> None:
    for kind in (*KINDS, "sql"):
        assert f"source {kind}".encode() in everything["printed"], kind
    sent = everything["sent"]
    assert sum(any(form in sent for form in written(secret_of(kind))) for kind in KINDS) >= 7
    assert secret_of("webhook").encode() in sent
    assert b"SMTPAuthenticationError, code 535" in everything["printed"]


@pytest.fixture(scope="module")
def suspicious(everything: dict[str, bytes]) -> dict[str, bytes]:
    """What holds the beginning that all secrets share, in some form: to look through all of it once is enough."""
    forms = list(written(PLAIN))
    assert any(form in everything["sent"] for form in forms)
    return {name: content for name, content in everything.items() if any(form in content for form in forms)}


@pytest.mark.parametrize("kind", [*KINDS, "sql", *OTHERS])
def test_what_all_secrets_begin_with_is_in_every_form_of_each(kind: str) -> None:
    assert all(any(beginning in form for form in written(secret_of(kind))) for beginning in written(PLAIN))


@pytest.mark.parametrize("kind", [*KINDS, "sql", *OTHERS])
def test_the_secret_of_a_kind_stands_in_nothing_that_was_written_or_printed(
    everything: dict[str, bytes], suspicious: dict[str, bytes], kind: str
) -> None:
    assert any(name.endswith(".duckdb") for name in everything)
    assert any(name.startswith("dagster history") for name in everything)
    assert any(name.endswith("backup.milepost") for name in everything)
    found = [
        (name, form)
        for name, content in suspicious.items()
        for form in written(secret_of(kind))
        if name != "sent" and form in content
    ]
    assert found == []


def test_nothing_holds_even_the_beginning_of_a_secret(suspicious: dict[str, bytes]) -> None:
    assert set(suspicious) == {"sent"}
