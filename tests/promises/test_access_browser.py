"""Signing in for real: a provider of OpenID Connect, the server as it is started, and Chromium, as each role.

Everything that comes over the wire is kept and searched for the marks of foreign rows (planted_canaries.py).
"""

from __future__ import annotations

import logging
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from oidc_provider_mock import User, run_server_in_thread
from planted_canaries import FOREIGN, OTHER_CLIENT, Planted, plant
from playwright.sync_api import Browser, BrowserContext, Page, WebSocket
from served import free_port, pages
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from dashboard.filters import code

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # the provider's own

HOURS = 2
PEOPLE = {
    "lead": {"email": "lead@example.com", "email_verified": True},
    "money": {"email": "money@example.com", "email_verified": True},
    "pm": {"email": "pm@example.com", "email_verified": True, "groups": ["managers"]},
    "buyer": {"email": "buyer@client.example", "email_verified": True},
    "eve": {"email": "eve@example.com", "email_verified": True, "groups": ["strangers"]},
    "mallory": {"email": "lead@example.com", "email_verified": False},
}
SECRETS = {"CLIENT_SECRET": "of-the-client-0123456789", "COOKIE_SECRET": "of-the-cookies-0123456789-0123456789"}


@dataclass(frozen=True)
class Served:
    url: str
    planted: Planted
    log: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    planted = plant(tmp_path_factory.mktemp("served"), 30)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    users = [User(sub=name, claims=dict(claims)) for name, claims in PEOPLE.items()]
    port = free_port()
    with run_server_in_thread(user_claims=users, access_token_max_age=timedelta(hours=1)) as provider:
        (planted.data / "milepost.toml").write_text(
            f"""
            [access]
            url = "http://127.0.0.1:{port}"
            issuer = "http://localhost:{provider.server_port}"
            client_id = "milepost"
            client_secret_env = "CLIENT_SECRET"
            cookie_secret_env = "COOKIE_SECRET"
            session_hours = {HOURS}
            people = [
              {{ email = "lead@example.com", role = "leadership" }},
              {{ email = "money@example.com", role = "finance" }},
              {{ group = "managers", role = "pm", managers = ["{planted.manager}"] }},
              {{ email = "buyer@client.example", role = "client", clients = ["{planted.client}"] }},
            ]
            """,
            "utf-8",
        )
        log = planted.data.parent / "served.log"
        with pages(planted.data, port, log, SECRETS) as url:
            yield Served(url, planted, log)


@dataclass
class Visit:
    """Somebody's browser, and all that came to it over the wire."""

    context: BrowserContext
    page: Page
    received: list[bytes]
    complaints: list[str]  # of the browser's, about the policy on where content may come from

    def told(self) -> bytes:
        return b"\n".join(self.received).lower()

    def rest(self) -> None:
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)


def _visit(browser: Browser) -> Visit:
    context = browser.new_context()
    page = context.new_page()
    received: list[bytes] = []
    complaints: list[str] = []

    def listen(stream: WebSocket) -> None:
        stream.on("framereceived", lambda frame: received.append(frame if isinstance(frame, bytes) else frame.encode()))

    page.on("websocket", listen)
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    return Visit(context, page, received, complaints)


def _sign_in(browser: Browser, served: Served, who: str, title: str) -> Visit:
    visit = _visit(browser)
    page = visit.page
    page.goto(served.url)
    page.get_by_role("button", name="Sign in").click(timeout=60_000)
    page.locator(f"button[value={who}]").click(timeout=60_000)
    page.wait_for_url(f"{served.url}/**", timeout=60_000)
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for(timeout=60_000)
    visit.rest()
    return visit


@pytest.fixture(scope="module")
def pm(browser: Browser, served: Served) -> Iterator[Visit]:
    visit = _sign_in(browser, served, "pm", "Overview")
    yield visit
    visit.context.close()


def _status(url: str, cookie: str = "") -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Cookie": cookie}), timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_nothing_is_sent_before_somebody_signs_in(browser: Browser, served: Served) -> None:
    visit = _visit(browser)
    visit.page.goto(f"{served.url}/project?project={code(served.planted.foreign_project)}")
    visit.page.get_by_role("button", name="Sign in").wait_for(timeout=60_000)
    visit.rest()
    assert FOREIGN.encode() not in visit.told()
    assert served.planted.manager.lower().encode() not in visit.told()
    assert visit.page.locator("[data-testid=stSidebarNav]").count() == 0
    visit.context.close()


@pytest.mark.parametrize("who", ["lead", "money"])
def test_leadership_and_finance_sign_in_and_see_every_firm(browser: Browser, served: Served, who: str) -> None:
    visit = _sign_in(browser, served, who, "Overview")
    assert FOREIGN.encode() in visit.told()
    links = visit.page.locator("[data-testid=stSidebarNav]").inner_text()
    assert "Billing" in links
    assert "Cash" in links
    visit.context.close()


def test_a_project_manager_signs_in_and_is_sent_their_own_projects_alone(pm: Visit, served: Served) -> None:
    planted = served.planted
    for path in (
        "billing",
        f"project?project={code(planted.foreign_project)}",
        f"client?of={code(planted.foreign_client)}",
    ):
        pm.page.goto(f"{served.url}/{path}")
        pm.page.locator(".mp-section").first.wait_for(timeout=60_000)
        pm.rest()
    pm.page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=60_000)
    assert pm.complaints == []
    told = pm.told()
    assert OTHER_CLIENT.encode() in told  # another client of theirs
    assert FOREIGN.encode() not in told


def test_a_client_signs_in_and_is_sent_its_own_projects_on_one_page(browser: Browser, served: Served) -> None:
    visit = _sign_in(browser, served, "buyer", "Your projects")
    for path in ("billing", "data-health", f"client?of={code(served.planted.foreign_client)}"):
        visit.page.goto(f"{served.url}/{path}")
        visit.page.get_by_role("heading", name="Your projects", exact=True, level=1).wait_for(timeout=60_000)
        visit.page.locator(".mp-section").first.wait_for(timeout=60_000)
        visit.rest()
    told = visit.told()
    assert FOREIGN.encode() not in told
    assert OTHER_CLIENT.encode() not in told
    assert b"milestones approved" in told
    visit.context.close()


@pytest.mark.parametrize(("who", "why"), [("eve", "may not open this dashboard"), ("mallory", "has not been verified")])
def test_a_stranger_and_an_unverified_address_are_turned_away(
    browser: Browser, served: Served, who: str, why: str
) -> None:
    visit = _sign_in(browser, served, who, "Milepost")
    assert why in visit.page.locator(".mp-empty").inner_text()
    assert FOREIGN.encode() not in visit.told()
    assert b"overview" not in visit.told()
    visit.context.close()


def test_a_file_is_for_viewers_alone_and_holds_their_rows_alone(pm: Visit, served: Served) -> None:
    pm.page.goto(f"{served.url}/billing")
    pm.page.get_by_role("button", name="Export").click(timeout=60_000)
    with pm.page.expect_response(lambda answer: "/media/" in answer.url, timeout=60_000) as answered:
        pm.page.get_by_role("button", name="Report to print").click(timeout=60_000)
    address = answered.value.url
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in pm.context.cookies() if "name" in one)
    assert _status(address) == 404
    assert _status(address, cookie.replace("_streamlit_user=", "_streamlit_user=x")) == 404
    with urllib.request.urlopen(urllib.request.Request(address, headers={"Cookie": cookie}), timeout=20) as answer:
        content = answer.read().lower()
        assert answer.headers["Cache-Control"] == "no-store"
    assert b"billing" in content
    assert FOREIGN.encode() not in content


def test_a_sign_in_ends_in_time_and_its_cookie_is_out_of_scripts_reach(pm: Visit) -> None:
    found = [one for one in pm.context.cookies() if str(one.get("name")).startswith("_streamlit_user")]
    assert found
    for one in found:
        assert one["httpOnly"]
        assert one["sameSite"] == "Lax"
        assert 0 < one["expires"] - time.time() <= HOURS * 3600


def test_the_server_says_who_may_come_in_and_writes_its_secrets_nowhere(served: Served, pm: Visit) -> None:
    said = served.log.read_text("utf-8")
    assert "People sign in at http://localhost:" in said
    written = [path for path in served.planted.data.parent.rglob("*") if path.is_file()]
    for secret in SECRETS.values():
        assert secret.encode() not in pm.told()
        assert [path.name for path in written if secret.encode() in path.read_bytes()] == []


def test_every_answer_tells_browsers_to_be_careful(served: Served) -> None:
    for path in ("/", "/_stcore/health", "/static/no-such-file"):
        try:
            headers = urllib.request.urlopen(f"{served.url}{path}", timeout=20).headers
        except urllib.error.HTTPError as error:
            headers = error.headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None


def test_doors_that_no_page_needs_are_closed(served: Served) -> None:
    for path in ("/_stcore/metrics", "/_stcore/upload_file/a/b", "/_stcore/agent/interact", "/media/guessed.csv"):
        assert _status(f"{served.url}{path}") == 404, path


@pytest.mark.parametrize(
    ("origin", "host"),
    [("https://evil.example", None), (None, "evil.example")],
    ids=["a page of another site", "a name made to lead here"],
)
def test_a_stream_is_opened_by_the_dashboards_own_pages_alone(
    served: Served, origin: str | None, host: str | None
) -> None:
    stream = f"{served.url.replace('http', 'ws')}/_stcore/stream"
    with connect(stream, origin=served.url):
        pass
    address = stream if host is None else stream.replace("127.0.0.1", host)
    port = int(served.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as wire, pytest.raises(InvalidStatus, match="403"):
        connect(address, origin=origin, sock=wire)


def test_signing_out_ends_it_here_in_other_tabs_and_in_copies(browser: Browser, served: Served) -> None:
    visit = _sign_in(browser, served, "buyer", "Your projects")
    copy = browser.new_context()
    copy.add_cookies(list(visit.context.cookies()))  # type: ignore[arg-type]
    other = visit.context.new_page()
    other.goto(served.url)
    other.get_by_role("heading", name="Your projects", exact=True, level=1).wait_for(timeout=60_000)
    visit.page.get_by_role("button", name="Sign out").click()
    visit.page.get_by_role("button", name="End session").click(timeout=60_000)  # the provider's own word
    visit.page.get_by_role("button", name="Sign in").wait_for(timeout=60_000)
    assert [one for one in visit.context.cookies() if str(one.get("name")).startswith("_streamlit_user")] == []
    other.locator("[data-testid=stSelectbox]").first.click()
    other.get_by_role("option").last.click()
    other.get_by_role("button", name="Sign in again").wait_for(timeout=60_000)
    stolen = copy.new_page()
    stolen.goto(served.url)
    stolen.get_by_role("button", name="Sign in again").wait_for(timeout=60_000)
    copy.close()
    visit.context.close()
