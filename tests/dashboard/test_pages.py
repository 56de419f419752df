"""Every page, full, without a row and filtered to nothing; and that its numbers are the measures' answers."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from opened_pages import PAGES, TITLES, WITH_TILES, Open, html_of, link_of, tiles_of
from typer.testing import CliRunner

from dashboard import charts, data
from dashboard.access import ANYBODY
from dashboard.data import Store
from dashboard.export import Table
from dashboard.filters import code
from models.measure import Question, answer, catalogue
from pipelines import settings, snapshots
from pipelines.cli import app

pytestmark = pytest.mark.slow  # they build whole portfolios

NOTHING = {"firm": code("Relay Onboarding"), "playbook": code("custom_home")}
WHATEVER = ("data-health", "definitions")  # they tell of the whole snapshot, or of no records


@pytest.fixture
def store(full: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("MILEPOST_DATA", str(full))
    monkeypatch.delenv("MILEPOST_CONFIG", raising=False)
    found = data.current(ANYBODY)
    assert found is not None
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_full_page_shows_its_title_its_age_every_source_and_how_sound_its_records_are(
    open_page: Open, full: Path, store: Store, page: str
) -> None:
    app = open_page(full, page, {"firm": code("Relay Onboarding")})
    assert not app.exception
    assert len(tiles_of(app)) <= 6
    assert app.title[0].value == TITLES[page]
    shown = html_of(app)
    assert "As of 30 Jun 2026, 12:00 UTC" in shown
    assert "Northlight Studio, pulled 30 Jun 2026, 11:00" in shown
    assert "Hearth &amp; Beam: pull failed 30 Jun 2026, 11:50, older records stand" in shown
    score = store.answer(Question("M3")).row(0, named=True)
    assert 0 < score["value"] < 100
    assert (
        f"{score['value']:,.1f} % of {score['n']:,} gates without a fault in its data" in shown
    )  # whatever the filters
    assert 'href="data-health?' in shown


def test_data_health_lists_every_fault_with_its_records_own_key(open_page: Open, full: Path, store: Store) -> None:
    faults = store.table("gate_faults", ["fault", "source_key"], order=("fault", "source_key"))
    shown = next(each.value for each in open_page(full, "data-health").dataframe if "fault" in each.value.columns)
    assert faults.height > 0
    assert sorted(zip(shown["fault"], shown["source_key"], strict=True)) == faults.rows()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_without_a_row_says_why_and_what_to_do_and_draws_no_empty_axes(
    open_page: Open, without_rows: Path, page: str
) -> None:
    app = open_page(without_rows, page)
    assert not app.exception
    assert page == "definitions" or "mp-empty" in html_of(app)
    assert app.get("plotly_chart") == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_filtered_to_nothing_offers_to_reset(open_page: Open, full: Path, page: str) -> None:
    app = open_page(full, page, NOTHING)
    assert not app.exception
    if page not in WHATEVER:
        assert "reset the filters" in html_of(app)
        assert not any(tiles_of(app).values())
    app.button(key="reset_filters").click().run()
    assert link_of(app).keys() <= {"project", "of"}
    assert not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_a_page_before_the_first_refresh_says_which_command_to_run(open_page: Open, tmp_path: Path, page: str) -> None:
    app = open_page(tmp_path, page)
    assert not app.exception
    assert "No snapshot has been published yet." in html_of(app)
    assert "milepost refresh" in html_of(app)


def test_settings_that_cannot_be_read_are_told_with_file_and_cure(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "milepost.toml").write_text("sources = [", "utf-8")
    app = open_page(tmp_path, "overview")
    assert not app.exception
    assert "milepost.toml" in html_of(app)
    assert "Mend the line it names." in html_of(app)


YEAR = (date(2025, 7, 1), date(2026, 6, 30))
ASKED = [  # the link, and what has to be asked for it
    ({}, {}, YEAR),
    ({"firm": code("Northlight Studio"), "period": "all"}, {"firm": ("Northlight Studio",)}, (None, None)),
    ({"period": "2026-01-01..2026-03-31"}, {}, (date(2026, 1, 1), date(2026, 3, 31))),
]


@pytest.mark.parametrize("page", WITH_TILES)
@pytest.mark.parametrize(("params", "where", "span"), ASKED)
def test_a_tile_shows_what_the_measure_answers(
    open_page: Open, full: Path, store: Store, page: str, params: dict[str, str], where: Any, span: Any
) -> None:
    tiles = tiles_of(open_page(full, page, params))
    assert tiles
    for measure, value in tiles.items():
        days = span if catalogue()[measure].spans else (None, None)
        answer = store.answer(Question(measure, (), where, *days)).row(0, named=True)
        assert value == answer["value"], measure


def test_a_filter_in_the_link_is_set_in_its_control(open_page: Open, full: Path) -> None:
    app = open_page(full, "scope", {"firm": code("Hearth & Beam"), "period": "90d"})
    assert app.multiselect(key="pick_firm").value == ["Hearth & Beam"]
    assert app.selectbox(key="pick_period").value == "90d"


def test_a_filter_set_stands_in_the_link(open_page: Open, full: Path) -> None:
    app = open_page(full, "overview")
    app.multiselect(key="pick_firm").set_value(["Northlight Studio"]).run()
    app.selectbox(key="pick_period").set_value("ytd").run()
    assert link_of(app) == {"firm": [code("Northlight Studio")], "period": ["ytd"]}
    assert tiles_of(app) == tiles_of(open_page(full, "overview", link_of(app)))


def test_links_carry_codes_and_no_name_nor_key(open_page: Open, full: Path, store: Store) -> None:
    client = store.table("clients", ["client_id", "client"], limit=1).row(0, named=True)
    app = open_page(full, "overview")
    app.multiselect(key="pick_client").set_value([client["client_id"]]).run()
    assert link_of(app) == {"client": [code(client["client_id"])]}
    links = re.findall(r'href="([^"]+)"', html_of(app))
    assert any("project=" in link for link in links)
    assert not [link for link in links if client["client_id"].split(":")[1] in link]


def test_a_link_with_unknown_values_opens_the_page_unfiltered(open_page: Open, full: Path) -> None:
    app = open_page(full, "overview", {"firm": "x' or 1=1 --", "period": "yesterday", "colour": "red"})
    assert not app.exception
    assert tiles_of(app) == tiles_of(open_page(full, "overview"))
    assert link_of(app) == {}


def test_a_project_in_the_link_is_the_one_shown(open_page: Open, full: Path, store: Store) -> None:
    row = store.table("projects", ["project_id", "project"], order=("-project_id",), limit=1).row(0, named=True)
    app = open_page(full, "project", {"project": code(row["project_id"])})
    assert app.selectbox(key="pick_project").value == row["project_id"]
    assert f"<h2>{row['project']}</h2>".replace("&", "&amp;") in html_of(app)


def test_rows_of_a_client_lead_to_their_projects_and_no_table_to_share_holds_an_id(
    open_page: Open, full: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: list[Table] = []
    monkeypatch.setattr(charts, "Table", lambda *given: shared.append(Table(*given)) or shared[-1])
    client = store.table("invoices", ["client_id"], limit=1).item()
    mine = store.table("projects", ["project_id"], only=(("client_id", "=", client),))["project_id"].to_list()
    app = open_page(full, "client", {"of": code(client)})
    led = [table.value["open"] for table in app.dataframe if "open" in table.value.columns]
    assert len(led) >= 2  # milestones and bills
    found = {str(link) for links in led for link in links.dropna()}
    assert found <= {f"project?project={code(one)}" for one in mine}
    assert found
    assert {table.title for table in shared} >= {"Milestones", "Bills"}
    assert not [name for table in shared for name in table.rows.columns if name.endswith("_id")]


def test_a_project_chosen_on_the_page_stands_in_the_link(open_page: Open, full: Path, store: Store) -> None:
    last = store.table("projects", ["project_id"], order=("-project_id",), limit=1).item()
    app = open_page(full, "project")
    app.selectbox(key="pick_project").set_value(last).run()
    assert link_of(app) == {"project": [code(last)]}
    assert not app.exception


def test_a_new_snapshot_is_read_without_a_restart(open_page: Open, tmp_path: Path, full: Path) -> None:
    old = snapshots.newest(settings.load(data=full).snapshots)
    assert old is not None
    app = open_page(tmp_path, "overview")
    assert "No snapshot" in html_of(app)
    target = tmp_path / "snapshots"
    target.mkdir()
    for file in (old.path, old.path.with_suffix(".json")):
        (target / file.name).write_bytes(file.read_bytes())
    assert tiles_of(app.run())


def test_only_catalogued_tables_and_columns_can_be_read(store: Store) -> None:
    with pytest.raises(ValueError, match="no mart 'secrets'"):
        store.table("secrets", ["token"])
    with pytest.raises(ValueError, match="no column"):
        store.table("gates", ["gate_id; drop table gates"])


@pytest.mark.parametrize(
    ("question", "arguments"),
    [
        (Question("F1", ("gate",), since=date(2025, 7, 1), until=date(2026, 6, 30)),
         ("--by", "gate", "--since", "2025-07-01", "--until", "2026-06-30")),
        (Question("F18", ("playbook",)), ("--by", "playbook")),
        (Question("F20", clock="elapsed"), ("--clock", "elapsed")),
        (Question("F8", where={"firm": ("Relay Onboarding",)}), ("--where", "firm=Relay Onboarding")),
        (Question("B10", ("owed_for",)), ("--by", "owed_for")),
        (Question("F10", ("month",)), ("--by", "month")),
    ],
)  # fmt: skip
def test_the_command_line_the_pages_and_the_catalogue_give_one_number(
    full: Path, store: Store, question: Question, arguments: tuple[str, ...]
) -> None:
    told = CliRunner().invoke(
        app, ["measure", question.measure, "--json", *arguments, "--data", str(full)], catch_exceptions=False
    )
    printed = json.loads(told.stdout)["rows"]
    with duckdb.connect(str(store.path), read_only=True) as con:
        asked = answer(con, question)
    assert store.answer(question).equals(asked)
    assert printed == json.loads(json.dumps(asked.to_dicts(), default=str))
    assert any(row["value"] is not None for row in printed)


def test_answers_on_two_clocks_are_kept_apart(store: Store) -> None:
    elapsed, working = (store.answer(Question("F1", clock=clock))["value"].item() for clock in ("elapsed", "working"))
    assert elapsed > working > 0
