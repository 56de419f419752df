"""Records whose every text is an attack stay texts: in files, in the terminal, in Dagster, and in what a link may ask."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hostile_firm import ATTACKS, LINKS, publish
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from dashboard import charts, export, filters
from models.build import Finding
from models.faults import Fault, Problem
from pipelines import checks

pytestmark = pytest.mark.slow

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
FORMULA = re.compile(r"^\s*[=+\-@＝＋－＠\t\r\n]")
PAYLOADS = st.one_of(
    st.sampled_from(ATTACKS), st.text(max_size=40), st.sampled_from(["2026-02-30", "9999-12-31", "0000-00-00", "12m", "all",
    "2026-01-01..2026-02-01", "2026-02-01..2026-01-01", "2026-01-01..' or 1=1", "' or ''='", "$as_of", "%27", "null"]),
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    publish(folder, 9)
    return folder


@pytest.fixture(scope="module")
def snapshot(data: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    (file,) = (data / "snapshots").glob("*.duckdb")
    with duckdb.connect(str(file), read_only=True) as con:
        yield con


def test_no_text_of_a_snapshot_holds_a_command_to_whoever_shows_it(snapshot: duckdb.DuckDBPyConnection) -> None:
    told = snapshot.execute(
        "select table_name, column_name from duckdb_columns() where schema_name = 'marts' and data_type = 'VARCHAR'"
    ).fetchall()
    found = [
        (table, column)
        for table, column in told
        for (value,) in snapshot.execute(f"select distinct {column} from marts.{table}").fetchall()
        if value and CONTROLS.search(value)
    ]
    assert found == []
    texts = [f"max(length({column})) from marts.{table}" for table, column in told if column in ("client", "project")]
    assert max(snapshot.execute(f"select {one}").fetchall()[0][0] or 0 for one in texts) > 9_000
    names = {name for (name,) in snapshot.execute("select distinct client from marts.clients").fetchall()}
    assert any("drop table marts.gates" in name for name in names)


# --- files --------------------------------------------------------------------------------------------------


def sheets() -> export.Sheets:
    rows = pl.DataFrame(
        {
            "client": list(ATTACKS),
            ATTACKS[9]: list(reversed(ATTACKS)),
            "source_url": [*LINKS, *LINKS, *LINKS][: len(ATTACKS)],
        }
    )
    return export.Sheets(
        title=ATTACKS[0],
        about=[("filters", attack) for attack in ATTACKS],
        tiles=[(attack, attack, attack) for attack in ATTACKS],
        tables=[export.Table(attack, attack, rows) for attack in ATTACKS[:6]]
        + [export.Table("twice" * 20, "", rows)] * 2,
        definitions={"B1": (ATTACKS[1], ATTACKS[2], ATTACKS[9])},
    )


def test_a_csv_holds_no_formula_in_any_cell_or_heading() -> None:
    (table, *_) = sheets().tables
    cells = [
        cell for row in csv.reader(io.StringIO(export.csv(table.rows).decode("utf-8-sig"), newline="")) for cell in row
    ]
    assert [cell for cell in cells if FORMULA.match(cell)] == []
    assert '\'=HYPERLINK("https://evil.example","open")' in cells


def test_a_workbook_holds_no_formula_no_link_and_every_text_whole(tmp_path: Path) -> None:
    long = "x" * 40_000
    one = sheets()
    one.tables.append(export.Table("long", "", pl.DataFrame({"name": [long]})))
    book = export.excel(one)
    with zipfile.ZipFile(io.BytesIO(book)) as parts:
        told = {name: parts.read(name).decode("utf-8") for name in parts.namelist() if name.endswith((".xml", ".rels"))}
    assert not [name for name, xml in told.items() if re.search(r"<f>|<f |<hyperlink|ddeLink|externalLink", xml)]
    read = pl.read_excel(io.BytesIO(book), sheet_id=0)
    assert len(read) == len(one.tables) + 3, "no two sheets of one name"
    cells = [str(cell) for frame in read.values() for row in frame.rows() for cell in row if cell is not None]
    assert [cell for cell in cells if FORMULA.match(cell)] == []
    assert any(len(cell) == 10_000 for cell in cells)
    assert any(cell.startswith("xxx") and cell.endswith("…") for cell in cells), "cut where Excel can hold no more"


def test_a_report_to_print_holds_no_element_of_a_records() -> None:
    told = export.page(sheets()).decode("utf-8")
    assert "&lt;script&gt;" in told
    assert not re.search(r"<script|<img|<iframe|<svg|<a |javascript:[^<]*['\"]>", told)


# --- figures and tables -------------------------------------------------------------------------------------


def test_a_figure_keeps_the_words_and_loses_the_markup_of_records() -> None:
    figure = {
        "data": [{"text": list(ATTACKS), "hovertemplate": "%{text}<br><b>n</b><extra></extra>", "y": [1.0, None]}]
    }
    told = charts.inert(figure)["data"][0]
    assert told["hovertemplate"] == "%{text}<br><b>n</b><extra></extra>"
    assert told["y"] == [1.0, None]
    assert not [text for text in told["text"] if re.search(r"<(?!/?b>|br>|/?extra>)", text)]
    assert max(map(len, told["text"])) <= 200 + 30
    assert told["text"][0].startswith("&lt;script>")


@pytest.mark.parametrize("url", LINKS)
def test_an_address_that_is_not_of_the_web_is_never_a_link(url: str) -> None:
    rows = pl.DataFrame({"source_url": [url, "https://tool.example/1", None]})
    placed = charts._with_places(rows)
    links = placed["source_url"].drop_nulls().to_list()
    assert [link for link in links if not link.startswith(("https://", "http://"))] == []
    assert placed.height == 3
    if not url.startswith("https://"):
        assert placed["source_place"].to_list()[0] == url


# --- links --------------------------------------------------------------------------------------------------


@trying(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    params=st.dictionaries(
        st.sampled_from([*filters.PARAMS, "project", "of", "clock"]), st.lists(PAYLOADS, max_size=3), max_size=5
    )
)
def test_no_parameter_of_a_link_becomes_anything_but_what_the_snapshot_offers(params: dict[str, list[str]]) -> None:
    offered = {"firm": {"A": "A"}, "client": {"c:1": ATTACKS[7]}, "playbook": {}, "manager": {ATTACKS[8]: ATTACKS[8]}}
    chosen = filters.read(params, offered, date(2026, 6, 30), date(2026, 1, 1))
    for name in filters.CHOICES:
        assert set(getattr(chosen, name)) <= set(offered[name])
    assert chosen.period in filters.PERIODS or re.fullmatch(r"\d{4}-\d\d-\d\d\.\.\d{4}-\d\d-\d\d", chosen.period)
    assert filters.read(chosen.params(), offered, date(2026, 6, 30), date(2026, 1, 1)) == chosen


# --- Dagster, the terminal, the log --------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_row_that_breaks_a_check_is_shown_in_dagster_as_it_is_written(attack: str) -> None:
    finding = Finding("marts.gates", "gate_id is unique", "fail", 1, ({"gate": attack, "why": attack},))
    (result,) = checks.results([finding])
    told = str(result.metadata["rows"].value)
    body = told.splitlines()[-1]
    assert not re.search(r"[<>\[\]`$*_]|!\(|https?:", body.replace("&#", ""))
    assert len(body) < 2 * 300 * 7
    assert len(result.description or "") < 1_000


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_problem_with_a_record_is_one_readable_line(attack: str) -> None:
    told = str(Fault([Problem(f"source x, gates: record {attack}, field name", f"{attack!r} is unknown.", "Mend it.")]))
    assert not CONTROLS.search(told)
    assert "\n" not in told
    assert "\r" not in told
    assert len(told) < 2_000
