"""The pages in a real browser: no error, no overflow at either width, and a shared link shows the same numbers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opened_pages import APP, PAGES
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = pytest.mark.slow

CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
NOT_OURS = "404"  # Streamlit asks for its health check below a page's own path first
DARK_ACCENT, LIGHT_ACCENT = "rgb(127, 178, 245)", "rgb(31, 87, 176)"


@pytest.fixture(scope="module")
def address(full: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    served = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(APP),
            "--server.port",
            str(port),
            "--server.address",
            "127.0.0.1",
        ],
        cwd=APP.parents[1],
        env={**os.environ, "MILEPOST_DATA": str(full)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        yield f"http://127.0.0.1:{port}/"
    finally:
        served.terminate()
        served.wait(timeout=20)


def _wait(url: str, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


def _open(browser: Browser, url: str, width: int = 1440, scheme: str = "light") -> tuple[Page, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console", lambda said: errors.append(said.text) if said.type == "error" and NOT_OURS not in said.text else None
    )
    page.goto(url)
    _settled(page)
    return page, errors


def _settled(page: Page) -> None:
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
    page.wait_for_selector(".mp-section", timeout=60_000)


def _tiles(page: Page) -> dict[str, str]:
    read = "tiles => Object.fromEntries(tiles.map(t => [t.dataset.measure, t.querySelector('.mp-value').innerText]))"
    shown: dict[str, str] = page.locator(".mp-tile").evaluate_all(read)
    return shown


def _path(name: str) -> str:
    return "" if name == "overview" else name


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_an_error_and_fits_its_window(
    browser: Browser, address: str, name: str, width: int
) -> None:
    page, errors = _open(browser, address + _path(name), width)
    assert page.locator("h1").inner_text().lower().replace(" ", "-") == name
    page.wait_for_selector(".js-plotly-plot .main-svg" if name != "data-health" else ".mp-glossary", timeout=60_000)
    for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
        assert page.evaluate(f"{part}.scrollWidth - {part}.clientWidth") <= 0
    assert not page.locator("[data-testid=stException]").count()
    assert not page.get_by_text("Deploy", exact=True).count()
    assert errors == []
    page.context.close()


def test_a_filter_goes_into_the_link_and_a_shared_link_shows_the_same_numbers(browser: Browser, address: str) -> None:
    page, _ = _open(browser, address)
    everything = _tiles(page)
    page.get_by_label("Firm").click()
    page.get_by_role("option", name="Northlight Studio").click()
    page.wait_for_url("**firm=Northlight*")
    page.keyboard.press("Escape")
    _settled(page)
    page.get_by_role("link", name="Billing lag").click()
    page.wait_for_url("**/billing-lag?firm=Northlight*")
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url("**/?firm=Northlight*")
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    _settled(page)
    filtered = _tiles(page)
    assert filtered != everything
    shared, _ = _open(browser, page.url)
    assert _tiles(shared) == filtered


def test_a_row_that_needs_attention_leads_to_its_project(browser: Browser, address: str) -> None:
    page, _ = _open(browser, address + "?firm=Northlight+Studio")
    page.locator(".mp-list a").first.click()
    page.wait_for_url("**/project?project=*")
    page.get_by_role("heading", name="Project", level=1).wait_for()
    _settled(page)
    assert "firm=Northlight" in page.url
    assert page.locator(".mp-facts").inner_text()


@pytest.mark.parametrize(("scheme", "colour"), [("light", LIGHT_ACCENT), ("dark", DARK_ACCENT)])
def test_a_chart_takes_its_colours_from_the_readers_theme(
    browser: Browser, address: str, scheme: str, colour: str
) -> None:
    page, _ = _open(browser, address, scheme=scheme)
    bar = page.locator(".js-plotly-plot .bars .point path").first
    bar.wait_for(state="attached", timeout=60_000)
    assert bar.evaluate("bar => getComputedStyle(bar).fill") == colour
