"""No url of the settings and no answer of a tool leads to where a cloud tells secrets, or into a network nobody named."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from loopback import Loopback, Reply, Request, serving

from models.faults import Fault
from pipelines.settings import Settings
from pipelines.sources import sql
from pipelines.sources.door import Door, Patience, bearer
from pipelines.sources.reach import Forbidden, Reach

DATABASES = (
    "postgresql://reader@{host}/books",
    "postgresql://reader@{host}:5432/books",
    "postgresql://reader@/books?host={host}",
    "postgresql://reader@db.example/books?hostaddr={host}",
    "postgresql://reader@/books?host=db.example:5432,{host}:5432",
    "mysql+pymysql://reader@{host}/books",
    "mssql+pyodbc://?odbc_connect=DRIVER%3D%7BODBC%7D%3BSERVER%3Dtcp:{host},1433%3BDATABASE%3Dbooks",
)
ONCE = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=3)
SPELLINGS = (
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.170.2",  # Amazon's of a container
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fe80::1]",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.goog",
    "instance-data",
)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A directory of names, asked instead of the machine's own: name → its addresses, the next answer first."""
    told: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def resolved(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host in told:
            address = told[host].pop(0) if len(told[host]) > 1 else told[host][0]
            return real(address, port, *rest, **more)
        if host and not str(host)[0].isdigit() and ":" not in str(host) and host != "localhost":
            raise socket.gaierror(f"the test knows no {host}")
        return real(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    return told


def refused(url: str, path: str = "/latest/meta-data/") -> str:
    with pytest.raises(Fault) as caught:
        Door("desk", url, bearer("s3cret"), patience=ONCE).get(path)
    return str(caught.value)


def leading(to: Callable[[Loopback], str]) -> Callable[[Request], Reply]:
    """A tool that sends whoever asks for /gates on to another address, and answers whatever else."""
    tools: list[Loopback] = []

    def answer(request: Request) -> Reply:
        return Reply({}, 302, {"Location": to(tools[0])}) if request.path == "/gates" else Reply({"data": ["inside"]})

    answer.tools = tools  # type: ignore[attr-defined]
    return answer


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_configured_url_cannot_name_where_a_cloud_tells_its_secrets_in_any_spelling(host: str) -> None:
    told = refused(f"http://{host}")
    assert "may not be asked: it is where a cloud tells its machines their secrets" in told
    assert "source desk" in told


@pytest.mark.parametrize("host", SPELLINGS)
def test_a_tool_cannot_redirect_there(host: str) -> None:
    answer = leading(lambda _: f"http://{host}/latest/meta-data/iam")
    with serving(answer) as tool:
        answer.tools.append(tool)  # type: ignore[attr-defined]
        assert "where a cloud tells its machines their secrets" in refused(tool.url, "/gates")
        assert tool.paths() == ["/gates"]


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver may be told to connect."""

    def connect(engine: sa.Engine) -> None:
        raise AssertionError(f"{engine.url} was connected")

    monkeypatch.setattr(sa.Engine, "connect", connect)
    monkeypatch.setattr(sql._Database, "_engine", lambda database: sa.Engine(None, None, database._url))  # type: ignore[arg-type]


def refused_database(url: str) -> str:
    block = {"kind": "sql", "url": url, "tables": {"gates": {"table": "gates", "key": ["id"]}}}
    settings = Settings.model_validate({"data": "/nowhere", "sources": {"books": block}})
    with pytest.raises(Fault) as caught:
        sql.probe("books", settings, {}, ONCE)
    return str(caught.value)


@pytest.mark.parametrize("url", DATABASES)
@pytest.mark.parametrize("host", SPELLINGS)
def test_a_database_cannot_stand_where_a_cloud_tells_its_secrets(
    names: dict[str, list[str]], untouched: None, url: str, host: str
) -> None:
    names["db.example"] = ["93.184.216.34"]
    told = refused_database(url.format(host=host.strip("[]") if url.endswith("={host}") else host))
    assert "may not be asked: it is where a cloud tells its machines their secrets" in told
    assert "source books" in told


@pytest.mark.parametrize("url", DATABASES)
def test_a_database_whose_name_resolves_there_is_not_asked(
    names: dict[str, list[str]], untouched: None, url: str
) -> None:
    names["db.example"] = ["93.184.216.34"]
    names["books.example"] = ["169.254.169.254"]
    assert "where a cloud tells its machines their secrets" in refused_database(url.format(host="books.example"))


@pytest.mark.parametrize("url", [*DATABASES, "postgresql:///books?host=/var/run/postgresql&connect_timeout=5"])
def test_a_database_inside_that_the_settings_name_is_asked(
    names: dict[str, list[str]], untouched: None, url: str
) -> None:
    names["db.example"] = ["192.168.1.9"]
    for host in ("10.0.0.5", "127.0.0.1", "db.example"):
        with pytest.raises(AssertionError, match="was connected"):
            refused_database(url.format(host=host))


def test_a_name_that_resolves_there_is_not_asked(names: dict[str, list[str]]) -> None:
    names["desk.example"] = ["169.254.169.254"]
    assert "where a cloud tells its machines their secrets" in refused("http://desk.example")


def test_a_name_that_resolves_elsewhere_the_second_time_is_caught_before_a_byte_is_sent(
    names: dict[str, list[str]],
) -> None:
    with serving(lambda _: Reply({"data": ["inside"]})) as tool:
        port = tool.url.rsplit(":", 1)[1]
        names["tool.example"] = ["93.184.216.34"]
        door = Door("desk", f"http://tool.example:{port}", bearer("s3cret"), patience=ONCE)
        names["elsewhere.example"] = ["93.184.216.34", "127.0.0.1"]  # as it is looked up, and as it is connected
        with pytest.raises(Forbidden, match="no setting names it"):
            door._session.get(f"http://elsewhere.example:{port}/gates", timeout=3)
        assert names["elsewhere.example"] == ["127.0.0.1"]
        assert tool.asked == []


@pytest.mark.parametrize("inside", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"])
def test_a_tool_outside_cannot_lead_to_this_machine(names: dict[str, list[str]], inside: str) -> None:
    reach = Reach(["api.tool.example"])
    names["api.tool.example"] = ["93.184.216.34"]
    with pytest.raises(Forbidden, match="on this machine or in a private network, and no setting names it"):
        reach.resolved(inside.strip("[]"), 80)


@pytest.mark.parametrize("inside", ["10.0.0.5", "172.16.3.4", "192.168.1.1", "[fd12:3456::1]", "100.64.0.1"])
def test_a_tool_outside_cannot_lead_into_a_private_network(names: dict[str, list[str]], inside: str) -> None:
    names["api.tool.example"] = ["93.184.216.34"]
    with pytest.raises(Forbidden, match="no setting names it"):
        Reach(["api.tool.example"]).refuse_name(inside)


def test_a_tool_inside_that_the_settings_name_is_asked_and_may_lead_to_itself_by_another_name() -> None:
    answer = leading(lambda tool: f"{tool.url.replace('127.0.0.1', 'localhost')}/there")
    with serving(answer) as tool:
        answer.tools.append(tool)  # type: ignore[attr-defined]
        assert Door("desk", tool.url, bearer("s3cret"), patience=ONCE).get("/gates").body == {"data": ["inside"]}
    Reach(["redmine.firm.example", "10.0.0.5"]).refuse_address("10.0.0.5", "redmine.firm.example")
