"""Lists of very many names: the first of them, what is chosen in any case, and the rest by its words."""

from __future__ import annotations

from pathlib import Path

import pytest
from opened_pages import Open, html_of

from dashboard import data, picking
from dashboard.access import ANYBODY
from dashboard.filters import code

pytestmark = pytest.mark.slow  # they build a portfolio


def test_of_many_projects_a_list_holds_the_first_and_words_find_each_of_the_others(
    open_page: Open, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_page(full, "project").selectbox(key="pick_project")
    monkeypatch.setattr(picking, "OFFERED", 5)
    app = open_page(full, "project")
    assert app.selectbox(key="pick_project").options == whole.options[:5]
    assert f"The list below holds 5 of {len(whole.options)} projects" in html_of(app)
    sought = whole.options[-1]
    app.text_input(key="pick_project_sought").set_value(sought.upper()).run()
    assert sought in app.selectbox(key="pick_project").options
    assert whole.options[0] in app.selectbox(key="pick_project").options  # it is the one shown
    app.text_input(key="pick_project_sought").set_value("no such words").run()
    assert "None of" in html_of(app)
    assert not app.exception


def test_a_project_in_the_link_is_shown_however_far_down_its_name_stands(
    open_page: Open, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILEPOST_DATA", str(full))
    store = data.current(ANYBODY)
    assert store is not None
    last = store.table("projects", ["project_id"], order=("-client", "-project"), limit=1).item()
    monkeypatch.setattr(picking, "OFFERED", 5)
    app = open_page(full, "project", {"project": code(last)})
    assert app.selectbox(key="pick_project").value == last
    assert len(app.selectbox(key="pick_project").options) == 5


@pytest.mark.parametrize(
    ("page", "key"), [("schedule", "trend_project"), ("client", "pick_one_client"), ("compare", "two_one")]
)
def test_other_lists_of_many_are_as_short(
    open_page: Open, full: Path, monkeypatch: pytest.MonkeyPatch, page: str, key: str
) -> None:
    monkeypatch.setattr(picking, "OFFERED", 3)
    app = open_page(full, page)
    assert not app.exception
    assert len(app.selectbox(key=key).options) == 3
    assert "words find the others" in html_of(app)
