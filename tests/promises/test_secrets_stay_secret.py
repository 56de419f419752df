"""A secret shows in nothing that Milepost writes: no log, no error, no table, no snapshot, no backup, no event of Dagster.

Each kind of source is given a secret of its own, and a tool that says all it was told in its answers. Then everything
that was written and printed is searched for it, as it is, encoded, and escaped.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import dagster as dg
import pytest
import small_firm
from loopback import Reply, Request, serving
from typer.testing import CliRunner

from pipelines import backing_up, definitions
from pipelines import settings as milepost_settings
from pipelines.cli import app

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


def secret_of(kind: str) -> str:
    return f"{PLAIN}{kind}"


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
    told = f"no such luck with {dict(request.headers)} {dict(request.queries)} {request.content!r}"
    return Reply({"message": told, "error": told, "errors": [told]}, 422)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """All that was written and printed, by where: refreshes, the doctor, Dagster with its events kept, a backup."""
    folder = tmp_path_factory.mktemp("secrets")
    data, home = folder / "data", folder / "dagster"
    home.mkdir()
    small_firm.found(data)
    kept: list[str] = []
    heard = logging.Handler()
    heard.emit = lambda record: kept.append(record.getMessage())  # type: ignore[method-assign]
    with serving(telling) as tool, pytest.MonkeyPatch.context() as patch:
        blocks = []
        for kind, more in KINDS.items():
            (folder / f"{kind}.secret").write_text(secret_of(kind) + "\n", "utf-8")
            (folder / f"{kind}.secret").chmod(0o600)
            patch.setenv(f"SECRET_OF_{kind.upper()}", secret_of(kind))
            where = (
                f'token_file = "{folder}/{kind}.secret"'
                if kind in ("jira", "asana")
                else f'token_env = "SECRET_OF_{kind.upper()}"'
            )
            blocks.append(
                f'[sources.{kind}]\nkind = "{kind}"\nfirm = "{kind}"\nurl = "{tool.url}"\n{where}\n'
                + more.replace("{url}", tool.url).replace("{name}", kind)
            )
        patch.setenv("SECRET_OF_SQL", secret_of("sql"))
        blocks.append(
            '[sources.sql]\nkind = "sql"\nfirm = "sql"\nurl = "postgresql+psycopg://reader@127.0.0.1:9/books"\n'
            'token_env = "SECRET_OF_SQL"\n[sources.sql.tables.clients]\ntable = "clients"\nkey = ["id"]\n'
        )
        with (data / "milepost.toml").open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(blocks))
        patch.setenv("DAGSTER_HOME", str(home))
        logging.getLogger().addHandler(heard)
        try:
            settings = milepost_settings.load(data, data / "milepost.toml", os.environ)
            told: list[str] = []
            for command in (["refresh"], ["doctor"], ["snapshots"]):
                result = CliRunner(env={"COLUMNS": "4000"}).invoke(app, [*command, "--data", str(data)])
                told += [result.output, str(result.exception)]
            with dg.DagsterInstance.get() as instance:
                job = definitions.assemble(settings).resolve_job_def("refresh")
                run = job.execute_in_process(instance=instance, raise_on_error=False)
                told += [str(event) for event in run.all_events]
                told += [str(event) for event in instance.all_logs(run.run_id)]
            backing_up.back_up(settings, folder / "backup.milepost", AS_OF)
        finally:
            logging.getLogger().removeHandler(heard)
        assert {request.path for request in tool.asked}, "the tools were asked"
        sent = b" ".join(str((r.headers, r.queries, r.content)).encode() for r in tool.asked)
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".secret"}
    return {**files, "printed": "\n".join(told).encode(), "logged": "\n".join(kept).encode(), "sent": sent}


def test_every_kind_was_asked_and_tells_in_its_errors_what_is_wrong(everything: dict[str, bytes]) -> None:
    for kind in (*KINDS, "sql"):
        assert f"source {kind}".encode() in everything["printed"], kind
    sent = everything["sent"]
    assert sum(any(form in sent for form in written(secret_of(kind))) for kind in KINDS) >= 7


@pytest.mark.parametrize("kind", [*KINDS, "sql"])
def test_the_secret_of_a_kind_stands_in_nothing_that_was_written_or_printed(
    everything: dict[str, bytes], kind: str
) -> None:
    assert any(name.endswith(".duckdb") for name in everything)
    assert any("dagster" in name for name in everything)
    assert any(name.endswith("backup.milepost") for name in everything)
    found = [
        (name, form)
        for name, content in everything.items()
        for form in written(secret_of(kind))
        if name != "sent" and form in content
    ]
    assert found == []
