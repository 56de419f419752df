"""The pages in a real browser: no error, no barrier, no overflow, a shared link, another day, files, dark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from opened_pages import APP, PAGES, TITLES
from playwright.sync_api import Browser, Page, sync_playwright

from dashboard.filters import code

pytestmark = pytest.mark.slow

AXE = Path(__file__).parent / "axe" / "axe.min.js"  # of npm's axe-core 4.14.1
CHROMIUM = "/usr/bin/chromium"
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
NOT_OURS = "404"  # Streamlit asks for its health check below a page's own path first
DARK = ("flow", "cash", "compare", "client")  # opened in the dark, the others in the light
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
    page.wait_for_selector(".mp-section, .mp-glossary", timeout=60_000)


def _tiles(page: Page) -> dict[str, str]:
    page.wait_for_selector(".mp-tile .mp-value", timeout=60_000)
    read = "tiles => Object.fromEntries(tiles.map(t => [t.dataset.measure, t.querySelector('.mp-value').innerText]))"
    shown: dict[str, str] = page.locator(".mp-tile").evaluate_all(read)
    return shown


def _barriers(page: Page) -> list[tuple[str, str]]:
    """What axe-core finds grave within the page's own part; the navigation's markup is Streamlit's."""
    page.evaluate(AXE.read_text("utf-8"))
    found: list[tuple[str, str]] = page.evaluate(
        """async () => (await axe.run('[data-testid=stMain]', {resultTypes: ['violations']})).violations
        .filter(v => ['serious', 'critical'].includes(v.impact))
        .flatMap(v => v.nodes.map(n => [v.id, n.html.slice(0, 160)]))"""
    )
    return found


def _path(name: str) -> str:
    return "" if name == "overview" else name


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_an_error_and_fits_its_window(browser: Browser, address: str, name: str) -> None:
    page, errors = _open(browser, address + _path(name), scheme="dark" if name in DARK else "light")
    assert page.locator("h1").inner_text() == TITLES[name]
    page.wait_for_selector(".js-plotly-plot .main-svg" if name != "definitions" else ".mp-glossary", timeout=60_000)
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"document.querySelector('[data-testid=stMain]').clientWidth <= {width}")
        for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            assert page.evaluate(f"{part}.scrollWidth - {part}.clientWidth") <= 0, width
    assert _barriers(page) == []
    assert not page.locator("[data-testid=stException]").count()
    assert not page.get_by_text("Deploy", exact=True).count()
    assert errors == []
    page.context.close()


def test_a_filter_goes_into_the_link_and_a_shared_link_shows_the_same_numbers(browser: Browser, address: str) -> None:
    page, _ = _open(browser, address)
    everything = _tiles(page)
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Firm").click()
    page.get_by_role("option", name="Northlight Studio").click()
    page.wait_for_url("**firm=*")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    _settled(page)
    page.get_by_role("link", name="Billing").click()
    page.wait_for_url("**/billing?firm=*")
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url("**/?firm=*")
    page.get_by_role("heading", name="Overview", level=1).wait_for()
    _settled(page)
    filtered = _tiles(page)
    assert filtered != everything
    assert "Northlight" not in page.url
    shared, _ = _open(browser, page.url)
    assert _tiles(shared) == filtered
    for one in (page, shared):
        one.context.close()


def test_a_row_that_needs_attention_leads_to_its_project(browser: Browser, address: str) -> None:
    page, _ = _open(browser, f"{address}?firm={code('Northlight Studio')}")
    page.locator(".mp-list a").first.click()
    page.wait_for_url("**/project?project=*")
    page.get_by_role("heading", name="Project", level=1).wait_for()
    _settled(page)
    assert f"firm={code('Northlight Studio')}" in page.url
    assert page.locator(".mp-facts").inner_text()
    page.context.close()


def test_a_mark_leads_to_its_row(browser: Browser, address: str) -> None:
    page, errors = _open(browser, address + "flow")
    page.wait_for_selector(".st-key-chart_finished .js-plotly-plot .points path", timeout=60_000)
    mark = page.locator(".st-key-chart_finished .js-plotly-plot .points path").nth(5)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_text("Chosen in the figure").wait_for(timeout=30_000)
    assert errors == []
    page.context.close()


def test_an_explanation_opens_over_the_page_and_a_figures_data_beside_it(browser: Browser, address: str) -> None:
    page, errors = _open(browser, address + "billing")
    page.locator(".st-key-explain_tile_B10 button").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Why this may differ").wait_for(timeout=30_000)
    told = dialog.inner_text()
    assert "Rows left out" in told
    assert "QuickBooks" in told
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    beside = page.locator(".st-key-data_by_owner button").first
    beside.click()
    page.locator("[data-testid=stPopoverBody] [data-testid=stDataFrame]").wait_for(timeout=60_000)
    assert errors == []
    page.context.close()


def test_a_page_rewound_shows_what_that_day_knew_and_the_way_back(browser: Browser, address: str) -> None:
    page, errors = _open(browser, address)
    newest = _tiles(page)
    page.context.close()
    page, errors = _open(browser, address + "?as_of=2026-02-14")
    assert "Rewound to" in page.locator(".mp-rewound").inner_text()
    assert _tiles(page) != newest
    page.locator(".mp-rewound a").click()
    page.wait_for_url(lambda url: "as_of" not in url)
    page.wait_for_function("!document.querySelector('.mp-rewound')")
    _settled(page)
    assert _tiles(page) == newest
    assert errors == []
    page.context.close()


def test_a_page_as_a_file_holds_its_numbers_and_what_was_asked(browser: Browser, address: str, tmp_path: Path) -> None:
    page, _ = _open(browser, f"{address}billing?firm={code('Northlight Studio')}")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as kept:
        page.get_by_role("button", name="Excel").click()
    kept.value.save_as(tmp_path / "page.xlsx")
    sheets = pl.read_excel(tmp_path / "page.xlsx", sheet_id=0)
    about = dict(sheets["About"].rows())
    assert about["filters"] == "Northlight Studio"
    assert "Jun 30, 2026" in about["as of"]
    assert "B10" in sheets["Definitions"]["measure"].to_list()
    assert sheets["Tiles"].height == 6
    page.context.close()


def test_the_clients_view_is_saved_as_one_file_that_names_nobody_else(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    page, errors = _open(browser, address + "client")
    mine = page.locator(".mp-part h2").inner_text()
    with page.expect_download() as kept:
        page.get_by_role("button", name="Save to share").click()
    kept.value.save_as(tmp_path / "client.html")
    told = (tmp_path / "client.html").read_text("utf-8")
    page.locator(".st-key-pick_one_client").get_by_role("combobox").click()
    others = {other for other in page.get_by_role("option").all_inner_texts() if other not in mine}
    assert mine in told
    assert others
    assert [other for other in others if other in told] == []
    assert errors == []
    page.context.close()


@pytest.mark.parametrize(("scheme", "colour"), [("light", LIGHT_ACCENT), ("dark", DARK_ACCENT)])
def test_a_chart_takes_its_colours_from_the_readers_theme(
    browser: Browser, address: str, scheme: str, colour: str
) -> None:
    page, _ = _open(browser, address, scheme=scheme)
    bar = page.locator(".js-plotly-plot .bars .point path").first
    bar.wait_for(state="attached", timeout=60_000)
    assert bar.evaluate("bar => getComputedStyle(bar).fill") == colour
