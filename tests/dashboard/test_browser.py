"""The pages in a real browser: no error, barrier or overflow, light and dark; a shared link, another day, files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
from opened_pages import PAGES, TITLES
from playwright.sync_api import Browser, BrowserContext, Page
from served import pages
from typer.testing import CliRunner

from dashboard.filters import code
from pipelines.cli import app as command

pytestmark = pytest.mark.slow

AXE = Path(__file__).parent / "axe" / "axe.min.js"  # of npm's axe-core 4.14.1
NOT_OURS = "404"  # Streamlit asks for its health check below a page's own path first
ACCENT = {"light": "rgb(31, 87, 176)", "dark": "rgb(127, 178, 245)"}
GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(16, 22, 30)"}


@pytest.fixture(scope="module")
def address(full: Path) -> Iterator[str]:
    with pages(full) as url:
        yield f"{url}/"


@pytest.fixture(scope="module")
def context(browser: Browser) -> BrowserContext:
    """One reader's browser, so that the pages' scripts are fetched once; each page opened is a session of its own."""
    return browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")


def _open(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
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


def _barriers(page: Page, *rules: str) -> list[tuple[str, str]]:
    """What axe-core finds grave within the page's own part, by all its rules or those named. The navigation's markup is
    Streamlit's; a figure's marks hold neither a word nor a role, and there are hundreds.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found: list[tuple[str, str]] = page.evaluate(
        """async rules => (await axe.run(
            {include: [['[data-testid=stMain]']], exclude: [['.js-plotly-plot .points']]},
            {resultTypes: ['violations'], ...(rules.length ? {runOnly: rules} : {})})).violations
        .filter(v => ['serious', 'critical'].includes(v.impact))
        .flatMap(v => v.nodes.map(n => [v.id, n.html.slice(0, 160)]))""",
        list(rules),
    )
    return found


SHIFTS = """
    window.shifts = [];
    new PerformanceObserver(seen => window.shifts.push(...seen.getEntries().map(one => one.value)))
        .observe({type: 'layout-shift', buffered: true});
"""


@pytest.mark.parametrize(("name", "width"), [("flow", 1440), ("compare", 390)])
def test_nothing_jumps_while_a_page_loads(browser: Browser, address: str, name: str, width: int) -> None:
    """Less than a tenth of the window, all shifts together, in a browser that has nothing of ours yet."""
    first = browser.new_context(viewport={"width": width, "height": 900})
    first.add_init_script(SHIFTS)
    page, _ = _open(first, address + name)
    page.wait_for_selector(".js-plotly-plot .main-svg", timeout=60_000)
    assert page.locator(".mp-lead").is_visible()
    assert sum(page.evaluate("window.shifts")) <= 0.1
    first.close()


def _path(name: str) -> str:
    return "" if name == "overview" else name


def _in_colours(page: Page, scheme: Literal["light", "dark"]) -> None:
    """What a reader whose system is light or dark sees."""
    page.emulate_media(color_scheme=scheme)
    ground = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
    page.wait_for_function(f"{ground} === '{GROUND[scheme]}'")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_error_or_barrier_in_light_and_dark_and_fits_its_window(
    context: BrowserContext, address: str, name: str
) -> None:
    page, errors = _open(context, address + _path(name))
    assert page.locator("h1").inner_text() == TITLES[name]
    page.wait_for_selector(".js-plotly-plot .main-svg" if name != "definitions" else ".mp-glossary", timeout=60_000)
    _in_colours(page, "dark")
    assert _barriers(page) == []
    _in_colours(page, "light")  # which changes colours alone
    assert _barriers(page, "color-contrast") == []
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"document.querySelector('[data-testid=stMain]').clientWidth <= {width}")
        for part in ("document.documentElement", "document.querySelector('[data-testid=stMain]')"):
            page.wait_for_function(f"{part}.scrollWidth <= {part}.clientWidth", timeout=15_000)  # once all is laid out
    assert not page.locator("[data-testid=stException]").count()
    assert not page.get_by_text("Deploy", exact=True).count()
    assert errors == []
    page.close()


def test_a_filter_goes_into_the_link_and_a_shared_link_shows_the_numbers_of_the_command(
    browser: Browser, context: BrowserContext, address: str, full: Path
) -> None:
    page, _ = _open(context, address)
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
    other = browser.new_context(viewport={"width": 1440, "height": 900})
    shared, _ = _open(other, page.url)
    assert _tiles(shared) == filtered
    read = "tiles => Object.fromEntries(tiles.map(t => [t.dataset.measure, Number(t.dataset.value)]))"
    shown = shared.locator(".mp-tile").evaluate_all(read)
    year = ("--since", "2025-07-01", "--until", "2026-06-30")
    for measure, days in (("F1", year), ("F8", year), ("B1", year), ("C2", year), ("B10", ())):
        asked = ["measure", measure, "--json", "--where", "firm=Northlight Studio", *days, "--data", str(full)]
        told = json.loads(CliRunner().invoke(command, asked, catch_exceptions=False).stdout)["rows"]
        assert shown[measure] == told[0]["value"], measure
    other.close()
    page.close()


def test_a_row_that_needs_attention_leads_to_its_project(context: BrowserContext, address: str) -> None:
    page, _ = _open(context, f"{address}?firm={code('Northlight Studio')}")
    page.locator(".mp-list a").first.click()
    page.wait_for_url("**/project?project=*")
    page.get_by_role("heading", name="Project", level=1).wait_for()
    _settled(page)
    assert f"firm={code('Northlight Studio')}" in page.url
    assert page.locator(".mp-facts").inner_text()
    page.close()


def test_a_mark_leads_to_its_row(context: BrowserContext, address: str) -> None:
    page, errors = _open(context, address + "flow")
    page.wait_for_selector(".st-key-chart_finished .js-plotly-plot .points path", timeout=60_000)
    mark = page.locator(".st-key-chart_finished .js-plotly-plot .points path").nth(5)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.get_by_text("Chosen in the figure").wait_for(timeout=30_000)
    assert errors == []
    page.close()


def test_an_explanation_opens_over_the_page_and_a_figures_data_beside_it(context: BrowserContext, address: str) -> None:
    page, errors = _open(context, address + "billing")
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
    page.close()


def test_a_page_rewound_shows_what_that_day_knew_and_the_way_back(context: BrowserContext, address: str) -> None:
    page, errors = _open(context, address)
    newest = _tiles(page)
    page.close()
    page, errors = _open(context, address + "?as_of=2026-02-14")
    assert "Rewound to" in page.locator(".mp-rewound").inner_text()
    assert _tiles(page) != newest
    page.locator(".mp-rewound a").click()
    page.wait_for_url(lambda url: "as_of" not in url)
    page.wait_for_function("!document.querySelector('.mp-rewound')")
    _settled(page)
    assert _tiles(page) == newest
    assert errors == []
    page.close()


def test_a_page_as_a_file_holds_its_numbers_and_what_was_asked(
    context: BrowserContext, address: str, tmp_path: Path
) -> None:
    page, _ = _open(context, f"{address}billing?firm={code('Northlight Studio')}")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as kept:
        page.get_by_role("button", name="Excel").click()
    kept.value.save_as(tmp_path / "page.xlsx")
    with page.expect_download() as kept:
        page.get_by_role("button", name="Report to print").click()
    kept.value.save_as(tmp_path / "page.html")
    sheets = pl.read_excel(tmp_path / "page.xlsx", sheet_id=0)
    about = dict(sheets["About"].rows())
    assert about["filters"] == "Northlight Studio"
    assert "Jun 30, 2026" in about["as of"]
    assert "B10" in sheets["Definitions"]["measure"].to_list()
    assert sheets["Tiles"].height == 6
    page.goto(f"file://{tmp_path / 'page.html'}")
    assert _pages(page.pdf(format="A4")) > 1
    printed = page.locator("body").inner_text()
    for said in ("Northlight Studio", "Jun 30, 2026, 12:00 UTC", sheets["Tiles"]["value"][0], "What the measures mean"):
        assert said in printed, said
    assert sheets["Definitions"].row(0)[2] in printed
    page.close()


def _pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page[^s]", pdf))


def test_the_clients_view_is_saved_as_one_file_that_names_nobody_else(
    context: BrowserContext, address: str, tmp_path: Path
) -> None:
    page, errors = _open(context, address + "client")
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
    page.keyboard.press("Escape")
    page.emulate_media(media="print")  # the page itself on paper: no list of clients, no filters, nothing of the firm's
    printed = page.locator("body").inner_text()
    assert mine in printed
    assert [other for other in others if other in printed] == []
    for inner in ("sources pulled", "set aside", "All firms", "Filters", "Save to share"):
        assert inner not in printed
    page.close()


def test_a_chart_takes_its_colours_from_the_readers_theme_and_follows_a_change_of_it(
    context: BrowserContext, address: str
) -> None:
    page = context.new_page()
    page.emulate_media(color_scheme="dark")
    page.goto(address)
    bar = page.locator(".st-key-chart_throughput .js-plotly-plot .bars .point path").first
    bar.wait_for(state="attached", timeout=60_000)
    schemes: tuple[Literal["light", "dark"], ...] = ("dark", "light", "dark")
    for scheme in schemes:  # as it is opened, and as the reader's system changes while it stands
        _in_colours(page, scheme)
        assert bar.evaluate("bar => getComputedStyle(bar).fill") == ACCENT[scheme]
        assert _strangers(page, scheme) == []
    page.close()


def _strangers(page: Page, scheme: Literal["light", "dark"]) -> list[str]:
    """Words in figures that the other theme's colour would hide."""
    far = "light < 110" if scheme == "dark" else "light > 190"
    found: list[str] = page.evaluate(
        f"""[...document.querySelectorAll('.js-plotly-plot text')].filter(one => {{
            const [r, g, b] = getComputedStyle(one).fill.match(/\\d+/g).map(Number), light = (r + g + b) / 3;
            return one.textContent && {far}}}).map(one => one.textContent)"""
    )
    return found


def test_a_page_is_printed_whole_and_without_its_controls(context: BrowserContext, address: str) -> None:
    page, _ = _open(context, address)
    assert _pages(page.pdf(format="A4")) > 1
    page.emulate_media(media="print")
    printed = page.locator("body").inner_text()
    assert "As of Jun 30, 2026, 12:00 UTC" in printed
    assert "Needs attention today" in printed
    assert not [name for name in ("Export", "Explain", "Definitions") if re.search(rf"^{name}$", printed, re.M)]
    page.close()


def test_a_cell_of_the_heat_map_opens_its_gates_below(context: BrowserContext, address: str) -> None:
    page, errors = _open(context, address + "compare")
    cell = page.locator(".mp-grid td a").first
    counted = cell.locator("small").inner_text().removeprefix("n = ")
    cell.click()
    page.wait_for_url("**/compare?cell=*")
    below = page.locator(".mp-section", has_text="Behind")
    below.wait_for(timeout=60_000)
    assert below.inner_text().split("\n")[-1].startswith(f"{counted} row")
    assert errors == []
    page.close()
