"""Two published snapshots for the whole session (full and without a row), and pages opened on them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import published
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
TITLES = {
    "overview": "Overview", "flow": "Flow", "schedule": "Schedule", "scope": "Scope",
    "handoffs": "Hand-offs and documents", "compare": "Compare", "billing": "Billing", "cash": "Cash", "project": "Project",
    "client": "Client view", "data-health": "Data health", "definitions": "Definitions",
}  # fmt: skip
PAGES = tuple(TITLES)
WITH_TILES = ("overview", "flow", "schedule", "scope", "handoffs", "billing", "cash", "data-health")
Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a snapshot of forty projects, the last pull of one source failed."""
    data = tmp_path_factory.mktemp("full")
    published.publish(data, projects=40, failed=("hearth",))
    return data


@pytest.fixture(scope="session")
def without_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a snapshot in which every table is empty but the pulls."""
    data = tmp_path_factory.mktemp("without_rows")
    published.publish(data, projects=0)
    return data


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page on a data folder, with query parameters, as a browser's first visit does."""

    def run(data: Path, page: str, params: Mapping[str, str | list[str]] | None = None) -> AppTest:
        monkeypatch.setenv("MILEPOST_DATA", str(data))
        monkeypatch.delenv("MILEPOST_CONFIG", raising=False)
        app = AppTest.from_file(str(APP), default_timeout=60)
        if page != "overview":
            app._page_hash = calc_hash(page)  # AppTest switches to pages in files only
        for name, value in (params or {}).items():
            app.query_params[name] = value
        return app.run()

    return run


def html_of(app: AppTest) -> str:
    return "\n".join(element.proto.body for element in app.get("html"))


def tiles_of(app: AppTest) -> dict[str, float | None]:
    """The numbers behind the tiles, by measure."""
    found = re.findall(r'data-measure="(\w+)" data-value="([^"]*)"', html_of(app))
    return {measure: float(value) if value else None for measure, value in found}


def link_of(app: AppTest) -> dict[str, list[str]]:
    """The query parameters of the page's link."""
    return {name: [value] if isinstance(value, str) else list(value) for name, value in dict(app.query_params).items()}
