"""Who may know whom in the dashboard, and that no page reckons or reads on its own."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2] / "dashboard"
MODULES = sorted(HOUSE.rglob("*.py"))
ALLOWED_PIPELINES = {"pipelines", "pipelines.settings", "pipelines.snapshots"}
OF_THE_SERVER = {"pipelines.access_block", "pipelines.secret_files"}  # where it may listen, and its secrets


@cache
def _imports(module: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_only_one_module_opens_snapshots() -> None:
    openers = [module.name for module in MODULES if any(name.split(".")[0] == "duckdb" for name in _imports(module))]
    assert openers == ["data.py"]


def test_pipelines_are_known_only_for_where_snapshots_lie() -> None:
    for module in MODULES:
        known = {name for name in _imports(module) if name.split(".")[0] == "pipelines"}
        if module.name == "serving.py":
            known = {name for name in known if not name.startswith(tuple(OF_THE_SERVER))} - {"pipelines"}
        else:
            assert not known or module.name == "data.py", module
        assert known <= ALLOWED_PIPELINES, module


@pytest.mark.parametrize(
    "pure",
    [
        "figures.py",
        "filters.py",
        "numbers.py",
        "export.py",
        "access.py",
        "timelines.py",
        "chart_template.py",
        "saved_views.py",
        "waterfalls.py",
    ],
)
def test_pure_modules_know_no_streamlit(pure: str) -> None:
    assert not any(name.split(".")[0] == "streamlit" for name in _imports(HOUSE / pure))


def test_no_figure_is_made_with_a_slow_library() -> None:
    """Only what hands a figure on knows Plotly, and of it no more than the class that Streamlit asks for."""
    known = {m.name: {name for name in _imports(m) if name.split(".")[0] == "plotly"} for m in MODULES}
    drawn = {"plotly.basedatatypes", "plotly.basedatatypes.BaseFigure"}
    assert {name: imported for name, imported in known.items() if imported} == {"drawn.py": drawn}


def test_no_page_aggregates() -> None:
    """A page that sums or averages computes a metric; a count of listed rows is not one."""
    forbidden = {"mean", "median", "quantile", "std", "agg", "rolling"}
    for module in (HOUSE / "views").glob("*.py"):
        called = {n.attr for n in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(n, ast.Attribute)}
        assert not called & forbidden, module


def test_no_page_reads_the_clock() -> None:
    for module in MODULES:
        called = {n.attr for n in ast.walk(ast.parse(module.read_text("utf-8"))) if isinstance(n, ast.Attribute)}
        assert not called & {"now", "utcnow", "today", "time_ns"}, module


def test_both_themes_fill_the_same_places_with_colours_that_can_be_seen() -> None:
    config = tomllib.loads((HOUSE.parent / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    for mode in ("light", "dark"):
        ground, colours = config[mode]["backgroundColor"], config[mode]["chartCategoricalColors"]
        assert len(colours) == 10
        hairline = 7
        assert all(_contrast(c, ground) >= 3 for place, c in enumerate(colours) if place != hairline), mode
        for text in (config[mode]["textColor"], config[mode]["linkColor"], colours[8], colours[9]):
            assert _contrast(text, ground) >= 4.5, (mode, text)


def test_the_style_sheet_repeats_the_themes_tokens_with_enough_contrast() -> None:
    """What pages write themselves has the theme's own colours, and its text is read on either ground."""
    config = tomllib.loads((HOUSE.parent / ".streamlit" / "config.toml").read_text("utf-8"))["theme"]
    pairs = dict(re.findall(r"--mp-([a-z]+): light-dark\((#\w+, #\w+)\)", (HOUSE / "theme.css").read_text("utf-8")))
    tokens = {name: tuple(pair.split(", ")) for name, pair in pairs.items()}
    for place, mode in enumerate(("light", "dark")):
        ground, colours = config[mode]["backgroundColor"], config[mode]["chartCategoricalColors"]
        assert tokens["accent"][place] == colours[0] == config[mode]["primaryColor"]
        assert tokens["line"][place] == config[mode]["borderColor"]
        for name in ("attention", "good", "quiet"):
            assert _contrast(tokens[name][place], ground) >= 4.5, (name, mode)


def _contrast(one: str, other: str) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
