"""In a real browser the pages of firms whose every text is an attack show those texts, and do nothing that they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hostile_firm import ELSEWHERE, TURNS, publish
from playwright.sync_api import Browser, BrowserContext, Page
from served import pages

pytestmark = pytest.mark.slow

PAGES = ("", "flow", "schedule", "scope", "handoffs", "compare", "billing", "cash", "project", "client", "data-health",
         "definitions")  # fmt: skip
# what attacks would leave in a page, and nothing of ours does
INJECTED = f"""
[...document.querySelectorAll(`#injected, [onerror], [onload], iframe, [href*="{ELSEWHERE}"], [src*="{ELSEWHERE}"],
  .katex, [data-testid=stIconMaterial]`)]
  .filter(e => !e.matches('[data-testid=stIconMaterial]') || e.textContent.includes('skull'))
  .concat([...document.querySelectorAll('a[href]')].filter(a => !/^https?:$/.test(a.protocol)))
  .map(e => e.outerHTML.slice(0, 200)).concat(window.pwned ? [`ran ${{window.pwned}}`] : [])
"""


@dataclass
class Visit:
    """Somebody's browser on the pages: what it was made to do."""

    context: BrowserContext
    page: Page
    home: str
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self._said(said.type, said.text))
        self.page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        self.context.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        if kind == "error" and "404" not in text:  # Streamlit asks for its health check below a page's own path first
            self.errors.append(text)

    def _asked(self, url: str) -> None:
        told = urlsplit(url)
        if told.scheme not in ("data", "blob") and told.hostname != "127.0.0.1":
            self.left.append(url)

    def open(self, path: str) -> None:
        self.page.goto(self.home + path)
        self.settled()

    def settled(self) -> None:
        self.page.wait_for_selector("h1", timeout=90_000)
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=90_000)
        self.page.wait_for_selector(".mp-section, .mp-glossary", timeout=90_000)

    def harm(self) -> dict[str, list[str]]:
        found: list[str] = self.page.evaluate(INJECTED)
        told: str = self.page.evaluate("document.body.innerText")
        return {
            "injected": found,
            "dialogs": self.dialogs,
            "requests": self.left,
            "errors": self.errors,
            "turned": [sign for sign in TURNS if sign in told],
        }


UNHARMED: dict[str, list[str]] = {"injected": [], "dialogs": [], "requests": [], "errors": [], "turned": []}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("hostile")
    publish(data, 10)
    with pages(data) as url:
        yield f"{url}/"


@pytest.fixture(scope="module")
def visit(browser: Browser, home: str) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield Visit(context, context.new_page(), home)
    context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_page_of_hostile_records_does_nothing_that_they_say_and_fits_its_window(visit: Visit, path: str) -> None:
    visit.page.set_viewport_size({"width": 1440, "height": 900})
    visit.open(path)
    if path not in ("data-health", "definitions"):
        visit.page.wait_for_selector(".js-plotly-plot .main-svg", timeout=90_000)
    for width in (1440, 390):
        visit.page.set_viewport_size({"width": width, "height": 900})
        visit.page.wait_for_function(f"document.querySelector('[data-testid=stMain]').clientWidth <= {width}")
        for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            visit.page.wait_for_function(f"{part}.scrollWidth <= {part}.clientWidth", timeout=15_000)  # once laid out
    assert not visit.page.locator("[data-testid=stException]").count()
    assert visit.harm() == UNHARMED


def test_the_filters_offer_hostile_names_as_they_are_written(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 1440, "height": 900})
    visit.open("")
    visit.page.get_by_role("button", name="Filters").click()
    for label in ("Firm", "Client", "Manager"):
        visit.page.get_by_label(label, exact=True).click()
        visit.page.get_by_role("option").first.wait_for()
        offered = visit.page.get_by_role("option").all_inner_texts()
        assert offered
        visit.page.get_by_role("option").first.click()
        visit.settled()
        assert visit.harm() == UNHARMED
        visit.page.keyboard.press("Escape")


def test_what_hovers_over_a_mark_holds_no_markup_of_a_records(visit: Visit) -> None:
    visit.open("flow")
    visit.page.wait_for_selector(".js-plotly-plot .points path", timeout=90_000)
    seen = 0
    for chart in visit.page.locator(".js-plotly-plot").all()[:6]:
        marks = chart.locator(".points path").all()[:3]
        for mark in marks:
            mark.scroll_into_view_if_needed()
            if box := mark.bounding_box():
                visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
                visit.page.wait_for_timeout(50)
                seen += visit.page.locator(".hoverlayer .hovertext").count()
                assert not visit.page.locator(".hoverlayer a, .hoverlayer image").count()
    assert seen
    assert not visit.page.locator(".js-plotly-plot svg a").count()
    assert visit.harm() == UNHARMED


def test_an_explanation_shows_hostile_rows_as_they_are_written(visit: Visit) -> None:
    visit.open("billing")
    visit.page.locator(".st-key-explain_tile_B10 button").first.click()
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_text("Rows left out").wait_for(timeout=60_000)
    assert visit.harm() == UNHARMED
    visit.page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_a_report_to_print_is_inert_in_a_browser_of_its_own(visit: Visit, browser: Browser, tmp_path: Path) -> None:
    visit.open("billing")
    visit.page.get_by_role("button", name="Export").click()
    with visit.page.expect_download() as kept:
        visit.page.get_by_role("button", name="Report to print").click()
    kept.value.save_as(tmp_path / "report.html")
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    reader = Visit(context, context.new_page(), "")
    reader.page.goto((tmp_path / "report.html").as_uri())
    reader.left = [url for url in reader.left if not url.startswith("file:")]
    assert "drop table marts.gates" in reader.page.content()
    assert reader.harm() == UNHARMED
    assert reader.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    context.close()
