"""The examples and the page on connecting one's own records do what they say, on small files in the same layouts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pydantic import BaseModel
from walkthrough import alike, saved, walked

from models.faults import Fault
from pipelines import access_block, alert_block, source_blocks
from pipelines.pulling import pull
from pipelines.settings import PROJECT, Settings, load
from pipelines.warehouse import build_all, check_all, load_reference, moment, open_warehouse, stage_all, staged_sources

NOW = datetime(2026, 11, 1, tzinfo=UTC)
PAGE = (PROJECT / "docs" / "connect-your-own.md").read_text("utf-8")

REPORTS = """\
Date Reported As Of,PID,Project Name,Description,Category,Borough,Managing Agency,Client Agency,Current Phase,\
Design Start,Budget Forecast,Latest Budget Changes,Total Budget Changes,Forecast Completion,\
Latest Schedule Changes,Total Schedule Changes
09/01/2013 12:00:00 AM,7,Main Street,"Two
lines",Sewers,Queens,DDC,DEP,Design,03/25/2013,150000000,,30000000.5,01/23/2020,,10
01/01/2014 12:00:00 AM,7,Main Street,,Sewers,Queens,DDC,DEP,Construction Procurement,03/25/2013,180000000.5,\
30000000,30000000.5,01/23/2020,0,10
05/01/2014 12:00:00 AM,7,Main Street,,Sewers,Queens,DDC,DEP,Design,03/25/2013,180000000.5,0,30000000.5,02/02/2020,10,10
02/01/2015 12:00:00 AM,7,Main Street,,Sewers,Queens,DDC,DEP,,,,,30000000.5,,,10
01/01/2014 12:00:00 AM,8,Old Bridge,,Bridges,,DOT,NA,Construction,,99000000,-1000000,-1000000,10/21/2108,,
"""
PHASES = {"7 Design", "7 Construction Procurement", "7 Construction", "8 Construction"}

LEDGER = """\
countryCode,customerID,PaperlessDate,invoiceNumber,InvoiceDate,DueDate,InvoiceAmount,Disputed,SettledDate,PaperlessBill,\
DaysToSettle,DaysLate
391,0379-NEVHP,4/6/2013,0000611365,1/2/2013,2/1/2013,55.94,No,1/15/2013,Paper,13,0
391,0379-NEVHP,4/6/2013,0000611366,1/26/2013,2/25/2013,61.74,Yes,3/3/2013,Paper,36,6
406,8976-AMJEO,3/3/2012,0007900770,10/2/2013,11/1/2013,65.88,No,,Electronic,,
"""

PROJECTS = """\
project_id,project_name,client_name,project_type,project_manager,location,project_status,baseline_start_date,\
baseline_completion_date,actual_start_date,actual_completion_date,original_contract_value,original_budget
P001,Juniper Retail,Wasatch Health,Tenant improvements,Elena Martinez ,Sandy,Complete,2023-02-26,8/10/2023,2023-03-12,\
2023-08-13,"$672,000",582700
P002,Summit Lodge,Redstone,,Priya Shah,Lehi, active ,2023-06-19,2024-02-21,2023-06-10,,630000,531000
P002,Summit Lodge,Redstone,,Priya Shah,Lehi, active ,2023-06-19,2024-02-21,2023-06-10,,630000,531000
"""
ORDERS = """\
change_order_id,project_id,requested_date,change_order_type,reason,status,requested_revenue_change,\
estimated_cost_change,approved_revenue_change,approval_date,billed_amount,billed_date
CO1,P001,2023-04-28,additive,Design revision,approved,"$24,599.72",18030.57,23877.11,,23877.11,2023-06-02
CO2,P001,2023-05-01,deductive,Code requirement,Approved,-2000,-1500,-1500.00,2023-05-11,-700.00,2023-06-20
CO3,P002,2023-07-01,additive,Owner scope change,PENDING ,500,300,,,,
CO4,P002,2023-07-01,additive,Owner scope change,approved,900,300,900,2023-07-04,0,
CO5,P999,2023-07-01,additive,Owner scope change,approved,900,300,900,2023-07-04,900,2023-07-09
"""
UPDATES = """\
update_id,project_id,report_date,planned_pct_complete,actual_pct_complete,estimated_cost_to_complete,\
forecast_completion_date,primary_delay_reason,submitted_by
U1,P001,2023-04-09,12.4,13,1010023.67,2023-08-10,None,Priya Shah
U2,P001,7/9/2023,24.9,89.7%,895182.7,2023-08-20,Weather,Priya Shah
U3,P002,2023-07-07,24.9,20.4,895182.7,,Weather,Priya Shah
"""


@contextmanager
def refreshed(
    folder: Path, example: Path, files: dict[str, str], as_of: datetime = NOW
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse after a pull and a build of an example's settings over these files; every blocking check held."""
    (folder / "inbox").mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / "inbox" / name).write_text(content, "utf-8")
    settings = load(folder, example / "milepost.toml")
    for source in settings.sources:
        pull(settings, source, NOW)
    with open_warehouse(settings.warehouse) as con:
        load_reference(con, settings)
        at = moment(settings, as_of)
        stage_all(con, staged_sources(settings), at)
        build_all(con, at)
        assert [one for one in check_all(con) if one.severity == "fail" and not one.passed] == []
        yield con


def told(con: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return con.execute(sql).fetchall()


@pytest.mark.slow
def test_reports_of_capital_projects_become_phases_versions_and_changes(tmp_path: Path) -> None:
    files = {"NYC_capital_projects_1.csv": REPORTS}
    with refreshed(tmp_path, PROJECT / "examples/nyc_capital_projects", files) as con:
        assert {key for (key,) in told(con, "select source_key from marts.gates")} == PHASES
        assert told(con, "select source_key, client, cast(contract_amount as varchar), status from marts.projects") == [
            ("7", "DEP", "150000000.00", "active"),
            ("8", "DOT", "100000000.00", "active"),
        ]
        design = "select status, is_reopened, started_at from marts.gates where source_key = '7 Design'"
        assert told(con, design) == [("changes_requested", True, datetime(2013, 3, 25, 21))]
        orders = "select cast(decided_at as date)::varchar, cast(approved_amount as double), granted_days"
        assert told(con, f"{orders} from marts.change_orders order by all") == [
            ("2014-01-01", -1000000.0, None),
            ("2014-01-01", 30000000.0, 0.0),
            ("2014-05-01", 0.0, 10.0),
        ]
        plans = "select cast(baseline_on as varchar), cast(due_on as varchar), plan_change_count from marts.gates"
        assert told(con, f"{plans} where due_on is not null order by source_key") == [
            ("2020-01-23", "2020-02-02", 1),
            ("2108-10-21", "2108-10-21", 0),
        ]


@pytest.mark.slow
def test_a_phase_nobody_knows_stops_the_refresh_and_is_named(tmp_path: Path) -> None:
    files = {"NYC_capital_projects_1.csv": REPORTS.replace("NA,Construction", "NA,Demolition")}
    with (
        pytest.raises(Fault, match=r"row 6, record 8, field status: 'Demolition' is unknown.*projects\.sql:\d+"),
        refreshed(tmp_path, PROJECT / "examples/nyc_capital_projects", files),
    ):
        pass


@pytest.mark.slow
def test_a_ledger_keeps_leading_zeros_and_pays_whole(tmp_path: Path) -> None:
    files = {"WA_Fn-UseC_-Accounts-Receivable.csv": LEDGER}
    with refreshed(tmp_path, PROJECT / "examples/accounts_receivable", files) as con:
        assert told(con, "select number, status, cast(open_amount as double), is_disputed from marts.invoices") == [
            ("0000611365", "paid", 0.0, False),
            ("0000611366", "paid", 0.0, True),
            ("0007900770", "open", 65.88, False),
        ]
        assert told(con, "select cash_days, late_days from marts.payments order by number") == [(13.0, -17), (36.0, 6)]
    with refreshed(tmp_path, PROJECT / "examples/accounts_receivable", files, datetime(2013, 1, 31)) as con:
        assert told(con, "select entity, reason, count(*) from marts.rejects group by all order by all") == [
            ("invoices", "after as_of", 1),
            ("payments", "after as_of", 1),
        ]
        assert told(con, "select cast(sum(open_amount) as double) from marts.invoices") == [(61.74,)]


@pytest.mark.slow
def test_a_date_that_is_none_is_named_with_its_file_and_row(tmp_path: Path) -> None:
    files = {"WA_Fn-UseC_-Accounts-Receivable.csv": LEDGER.replace("3/3/2013", "2/30/2013")}
    with (
        pytest.raises(Fault, match=r"payments: inbox/WA_Fn.*\.csv, row 3, record 0000611366.*'2/30/2013'"),
        refreshed(tmp_path, PROJECT / "examples/accounts_receivable", files),
    ):
        pass


@pytest.mark.slow
def test_a_builders_duplicates_orphans_and_odd_words_are_listed_or_read(tmp_path: Path) -> None:
    files = {"projects.csv": PROJECTS, "change_orders.csv": ORDERS, "project_updates.csv": UPDATES}
    with refreshed(tmp_path, PROJECT / "examples/construction_profitability", files) as con:
        assert told(con, "select source_key, playbook, manager, status from marts.projects order by all") == [
            ("P001", "tenant_improvement", "Elena Martinez", "completed"),
            ("P002", "no playbook", "Priya Shah", "active"),
        ]
        money = "select cast(sum(contract_amount) as double), cast(sum(approved_change_amount) as double)"
        assert told(con, f"{money} from marts.projects") == [(1302000.0, 23277.11)]
        assert told(con, "select kind, cast(total_amount as double) from marts.invoices order by all") == [
            ("credit_note", -700.0),
            ("invoice", 23877.11),
        ]
        assert told(con, "select entity, source_key, reason from marts.rejects order by all") == [
            ("change_orders", "CO5", "orphan"),
            ("invoice_lines", "CO5", "orphan"),
            ("invoices", "CO5", "orphan"),
            ("milestone_events", "P002 started", "duplicate"),
            ("milestone_plans", "P002 baseline", "duplicate"),
            ("milestones", "P002", "duplicate"),
            ("projects", "P002", "duplicate"),
        ]
        plans = "select cast(baseline_on as varchar), plan_change_count, schedule_variance_days from marts.gates"
        assert told(con, f"{plans} where source_key = 'P001'") == [("2023-08-10", 1, 3)]


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (Settings, ()),
        (access_block.Access, ("access",)),
        (access_block.Person, ("access", "people")),
        (source_blocks.PortalSource, ("sources", "studio")),
        (alert_block.Alerts, ("alerts",)),
        (alert_block.Mail, ("alerts", "mail")),
        (alert_block.Webhook, ("alerts", "webhook")),
        (source_blocks.FilesSource, ("sources", "books")),
        (source_blocks.FileTable, ("sources", "books", "tables")),
        (source_blocks.SqlSource, ("sources", "erp")),
        (source_blocks.SqlTable, ("sources", "erp", "tables")),
        (source_blocks.RestSource, ("sources", "tool")),
        (source_blocks.RestTable, ("sources", "tool", "tables")),
    ],
)
def test_the_example_settings_explain_every_key(model: type[BaseModel], place: tuple[str, ...]) -> None:
    text = (PROJECT / "milepost.example.toml").read_text("utf-8")
    uncommented = re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)
    written: Any = tomllib.loads(uncommented)
    for name in place:
        written = written[name]
    if isinstance(written, list):
        written = {key: value for table in written for key, value in table.items()}
    named = {key for table in written.values() for key in table} if place[-1:] == ("tables",) else set(written)
    told_by_environment = {"data", "config"} if model is Settings else set()
    assert named == set(model.model_fields) - told_by_environment
    explained = re.findall(r"^(?:# )?([a-z_]+) = .* # \S", text, flags=re.MULTILINE)
    assert named - {
        "sources",
        "linking",
        "targets",
        "tables",
        "alerts",
        "mail",
        "webhook",
        "access",
        "people",
        "firm",
        "kind",
    } <= set(explained)


def test_the_example_settings_load_as_they_stand_and_with_every_key(tmp_path: Path) -> None:
    text = (PROJECT / "milepost.example.toml").read_text("utf-8")
    for content in (text, re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE)):
        (tmp_path / "milepost.toml").write_text(content, "utf-8")
        assert list(load(tmp_path, environ={}).sources) == ["studio", "books", "erp", "tool"]


@pytest.mark.slow
def test_the_pages_export_is_refused_for_one_word_and_then_admitted(tmp_path: Path) -> None:
    for path, content in saved(PAGE):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    studio = tmp_path / "studio"
    export = (studio / "export.csv").read_text("utf-8").encode("cp1252")
    (studio / "inbox").mkdir()
    (studio / "inbox" / "Meilensteine_2026-06-30.csv").write_bytes(export)
    with pytest.raises(Fault) as refused, refreshed(studio, studio, {}):
        pass
    assert str(refused.value).replace(str(studio), "~/studio") in PAGE
    mapping = studio / "staging" / "projects.sql"
    mapping.write_text(mapping.read_text("utf-8").replace("when 'fertig'", "when 'ruht' then 'on_hold' when 'fertig'"))
    with refreshed(studio, studio, {}) as con:
        assert told(con, "select count(*), sum(plan_change_count) from marts.gates") == [(12, 0)]
        # next month's export beside it: one date moved, one gate approved, and every older version is listed
        later = export.replace(b"31.07.2026;;", b"30.09.2026;;").replace(b"15.07.2026;;", b"15.07.2026;10.07.2026;")
        (studio / "inbox" / "Meilensteine_2026-07-31.csv").write_bytes(later)
    with refreshed(studio, studio, {}) as con:
        assert told(con, "select count(*), sum(plan_change_count), sum(moved_days) from marts.gates join "
                         "marts.gate_plans using (gate_id) where moved_days <> 0") == [(1, 1, 61)]  # fmt: skip
        approved = "select count(*) from marts.gates where status = 'approved'"
        assert told(con, approved) == [(9,)]
        assert told(con, "select distinct reason from marts.rejects") == [("duplicate",)]


@pytest.mark.slow
def test_the_page_shows_what_its_commands_say(tmp_path: Path) -> None:
    assert alike(walked(PAGE, tmp_path)) == alike(PAGE)
