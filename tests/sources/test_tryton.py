"""A Tryton that hurries, breaks off, moves while it is read, hides fields and keeps no log: nothing lost, all said plainly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from loopback import Reply, serving
from pulled import Pulled
from tryton_fake import DATABASE, KEY, Tryton

from models.faults import Fault
from pipelines.sources import tryton as kind

MONDAY = datetime(2026, 3, 2, 12)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STATUSES = {"Open": "planned", "In review": "submitted", "Approved": "approved"}

pytestmark = pytest.mark.slow


class Desk(Pulled):
    """A source `desk` that reads the fake; `pull_now` pulls at the fake's own time, or beside it."""

    __slots__ = ("server", "tryton")

    def pull_now(self, beside: timedelta = timedelta()) -> dict[str, int]:
        rows = self.pull((self.tryton.now + beside).replace(tzinfo=UTC)).rows
        return {name: count for name, count in rows.items() if count}

    def read(self, name: str) -> list[dict[str, Any]]:
        """What a list gives when it is asked for all it has, before it lands."""
        tryton = kind.opened("desk", self.settings, self.environ, self.patience)
        (told,) = [one for one in kind.LISTS if one.table == name]
        return [dict(row) for page in tryton.table(told).pages(None) for row in page]

    def refused(self, name: str = "works") -> str:
        with pytest.raises(Fault) as caught:
            self.read(name)
        return str(caught.value)

    def at(self, later: timedelta = timedelta()) -> datetime:
        return (self.tryton.now + later).replace(tzinfo=UTC)


def block(url: str) -> dict[str, Any]:
    return {"kind": "tryton", "url": url, "database": DATABASE, "token_env": "KEY", "statuses": STATUSES,
            "page_size": 2}  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    tryton = Tryton(MONDAY)
    with serving(tryton.answer) as server:
        made = Desk(tmp_path, {"desk": block(server.url)}, {"KEY": KEY})
        made.tryton, made.server = tryton, server
        yield made


def names(desk: Desk) -> set[str]:
    return {name for (name,) in desk.stored("select name from raw_desk.works where _dlt_valid_to is null")}


# --- paging ------------------------------------------------------------------------------------------------


def test_what_is_written_while_the_pages_are_read_is_met_again(desk: Desk) -> None:
    """Minutes pass between pages: far more than is asked for again."""
    project = desk.tryton.project(desk.tryton.client("Aster"), "Rebrand")
    tasks = [desk.tryton.task(project, f"Task {number}") for number in range(9)]

    def move(model: str) -> None:
        desk.tryton.now += 5 * HOUR / 60
        if model == "project.work" and tasks:
            desk.tryton.write("project.work", tasks[0], name=f"Moved {tasks.pop(0)}")
            if len(tasks) == 5:
                desk.tryton.task(project, "New while reading")

    desk.tryton.before = move
    desk.pull_now()
    desk.tryton.before = None
    assert "New while reading" in names(desk)
    desk.pull_now()
    assert names(desk) == {row["name"] for row in desk.tryton.held["project.work"].values()}


def test_records_of_one_instant_and_archived_ones_are_not_lost_between_pages(desk: Desk) -> None:
    made = [desk.tryton.client(f"Client {number}") for number in range(7)]
    for key in made[2:5]:
        desk.tryton.held["party.party"][key]["active"] = False
    desk.pull_now()
    assert desk.stored(f"select count(*) from raw_desk.parties where id in {tuple(map(str, made))}") == [(7,)]


def test_a_record_that_was_committed_late_is_found_by_the_overlap(desk: Desk) -> None:
    desk.tryton.client("Early")
    desk.pull_now()
    desk.tryton.now -= timedelta(seconds=40)
    desk.tryton.client("Written before, committed after")
    desk.tryton.now += HOUR
    assert desk.pull_now()["parties"] == 1
    assert desk.pull_now() == {}


def test_a_clock_that_is_wrong_by_five_minutes_loses_nothing(desk: Desk) -> None:
    for number, skew in enumerate((-5, 5, -5)):
        desk.tryton.client(f"Client {number}")
        desk.pull_now(timedelta(minutes=skew))
        desk.tryton.now += timedelta(minutes=2)
    assert desk.stored("select count(*) from raw_desk.parties") == [(4,)]


def test_keys_and_the_log_are_asked_for_in_pieces(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "KEYS_A_PAGE", 3)
    monkeypatch.setattr(kind, "RECORDS_A_QUESTION", 1)
    project = desk.tryton.project(desk.tryton.client("Aster"), "Rebrand")
    for number in range(5):
        task = desk.tryton.task(project, f"Task {number}")
        for status in ("In review", "Approved"):
            desk.tryton.turn(task, status)
    desk.pull_now()
    assert desk.stored("select count(*) from raw_desk.work_log") == [(10,)]
    assert desk.stored("select count(*) from raw_desk.works where gone_at is null") == [(6,)]


def test_the_log_of_bills_says_nothing_of_how_far_the_log_of_tasks_was_read(desk: Desk) -> None:
    """A task is moved once the log of tasks was read; the log of bills takes ten minutes more."""
    aster = desk.tryton.client("Aster")
    task = desk.tryton.task(desk.tryton.project(aster, "Rebrand"), "Concept")
    bill = desk.tryton.invoice(aster, "1.00")
    lists: list[str] = []

    def move(model: str) -> None:
        lists.append(model)
        if model == "account.invoice" and lists.count(model) == 2:
            desk.tryton.turn(task, "Approved")
            desk.tryton.now += timedelta(minutes=10)
            desk.tryton.write("account.invoice", bill, state="posted")
            desk.tryton.tell("account.invoice", bill, "button", "post")

    desk.tryton.before = move
    desk.pull_now()
    assert desk.stored("select target from raw_desk.invoice_log") == [("post",)]
    desk.tryton.before = None
    assert desk.pull_now()["work_log"] == 1


def test_only_what_changed_is_asked_for_and_nothing_is_ever_written(desk: Desk) -> None:
    project = desk.tryton.project(desk.tryton.client("Aster"), "Rebrand")
    task = desk.tryton.task(project, "Concept")
    bill = desk.tryton.invoice(desk.tryton.client("Birch"), "100.00")
    desk.pull_now()
    desk.tryton.now += DAY / 2
    desk.tryton.client("Cedar")
    desk.pull_now()
    desk.tryton.now += HOUR
    desk.server.asked.clear()
    assert desk.pull_now() == {}
    assert desk.server.paths().count("/books/rest/model/party.party") == 1  # all four would take three pages
    desk.tryton.turn(task, "Approved")
    desk.tryton.pay(bill, "40.00")
    assert desk.pull_now() == {"works": 1, "work_log": 1, "receivables": 1, "payment_lines": 1}
    assert {one.method for one in desk.server.asked} == {"GET"}


# --- deletions -----------------------------------------------------------------------------------------------


def test_what_was_deleted_is_found_once_a_day_and_taken_out_of_the_marts(desk: Desk) -> None:
    aster = desk.tryton.client("Aster")
    task = desk.tryton.task(desk.tryton.project(aster, "Rebrand"), "Concept")
    bill = desk.tryton.invoice(aster, "100.00")
    draft = desk.tryton.invoice(aster, "1.00", state="draft", number=None)
    payment = desk.tryton.pay(bill, "40.00")
    desk.pull_now()
    for model, key in (
        ("project.work", task),
        ("account.invoice", draft),
        ("account.invoice-account.move.line", payment),
    ):
        desk.tryton.delete(model, key)
    desk.tryton.now += DAY / 2
    assert "invoices" not in desk.pull_now()
    desk.tryton.now += DAY / 2
    assert desk.pull_now() == {"works": 1, "invoices": 1, "invoice_lines": 1, "payment_lines": 1}
    with desk.built(desk.at(HOUR)) as con:
        told = con.sql("select entity, source_key, reason from marts.rejects order by all").fetchall()
        opened = con.sql("select invoice_id, open_amount from marts.invoices").fetchall()
    assert ("invoices", str(draft), "deleted") in told
    assert ("milestones", str(task), "deleted") in told
    assert opened == [(f"desk:{bill}", Decimal("100.00"))]


# --- troubles ------------------------------------------------------------------------------------------------


TROUBLES: dict[str, list[Any]] = {
    "breaks off in the middle of a page": ["cut", "cut"],
    "cannot be reached": ["drop", "drop"],
    "answers an HTML page instead of JSON. Check the url of the source": [Reply("<html>Log in</html>")] * 2,
    "answers something that is no list of records. The tool has changed": [Reply({"data": []})],
    "answers something that is no list of records. ": [Reply([{"name": "no key"}])],
    "answers with an error: boom.": [Reply({"errors": [{"message": "boom"}]})],
    "answers 500. Pull again later.": [Reply("<h1>Internal Server Error</h1>", 500)] * 2,
    "still says that it is asked too often (429, Retry-After: 0)": [Reply("", 429, {"Retry-After": "0"})] * 2,
    "refuses the token (403). Give the account of source desk the right": [Reply("", 403)],
    "refuses to be read (400): Odd. The tool has changed": [Reply({"status": 400, "message": "Odd."}, 400)],
}


@pytest.mark.parametrize("told", TROUBLES)
def test_a_trouble_on_the_second_page_is_said_plainly(desk: Desk, told: str) -> None:
    stumble(desk, TROUBLES[told])
    message = desk.refused()
    assert message.startswith(f"source desk, GET {desk.server.url}/books/rest/model/project.work")
    assert told in message
    assert KEY not in message


def test_a_pull_that_broke_off_is_whole_the_next_time(desk: Desk) -> None:
    stumble(desk, ["drop", "drop"])
    assert "cannot be reached" in desk.refusal(desk.at())
    desk.pull_now()
    assert len(names(desk)) == 6


def stumble(desk: Desk, troubles: list[Any]) -> None:
    """Lets six works stand there, and the second page of them meet troubles."""
    project = desk.tryton.project(desk.tryton.client("Aster"), "Rebrand")
    for number in range(5):
        desk.tryton.task(project, f"Task {number}")

    def trip(model: str) -> None:
        if model == "project.work":
            desk.server.troubles.extend(troubles)
            desk.tryton.before = None

    desk.tryton.before = trip


def test_a_hurried_or_stumbling_tryton_is_asked_again(desk: Desk) -> None:
    for trouble in (Reply("", 429, {"Retry-After": "0"}), Reply("<h1>Bad Gateway</h1>", 502), "cut"):
        stumble(desk, [trouble])
        assert {row["name"] for row in desk.read("works")} == {"Rebrand", *(f"Task {number}" for number in range(5))}


def test_a_wrong_key_and_a_wrong_database_are_told_apart(desk: Desk) -> None:
    desk.environ = {"KEY": "wrong"}
    message = desk.refused()
    assert "refuses the token (401). Set the token of source desk anew" in message
    assert "wrong" not in message.replace("it is wrong", "")
    desk.environ = {"KEY": KEY}
    desk.blocks["desk"]["database"] = "nowhere"
    assert "knows no database 'nowhere' (404)." in desk.refused()


def test_a_removed_field_a_hidden_field_and_a_withdrawn_right_are_told_apart(desk: Desk) -> None:
    desk.tryton.invoice(desk.tryton.client("Aster"), "1.00")
    desk.tryton.lacking = {"account.invoice.invoice_date"}
    assert "account.invoice has no field invoice_date. The tool has changed what it answers" in desk.refused("invoices")
    desk.tryton.lacking, desk.tryton.hidden = set(), {"account.move.journal"}
    message = desk.refused("receivables")
    assert "/account.move.line: gives no field move.journal.type. Give the group of the key's user" in message
    desk.tryton.hidden, desk.tryton.forbidden = set(), {"account.invoice"}
    message = desk.refused("invoices")
    assert 'refuses to be read (400): You are not allowed to access "account.invoice". Give' in message


# --- modules ---------------------------------------------------------------------------------------------------

PROJECTS = {"project.work", "project.work.status", "project.work.invoiced_progress", "timesheet.line", "timesheet.work"}
BOOKS = {"account.invoice", "account.invoice.line", "account.invoice-account.move.line",
         "account.invoice-additional-account.move", "account.move.line"}  # fmt: skip


def test_a_tryton_with_books_alone_brings_its_bills(desk: Desk) -> None:
    bill = desk.tryton.invoice(desk.tryton.client("Aster"), "100.00")
    desk.tryton.lacking = PROJECTS
    desk.pull_now()
    with desk.staged(desk.at(HOUR)) as con:
        found = con.sql("select invoice_id, total from staging.invoices where reject_reason is null").fetchall()
    assert found == [(f"desk:{bill}", Decimal("100.00"))]


def test_a_tryton_with_projects_alone_brings_its_gates(desk: Desk) -> None:
    desk.tryton.task(desk.tryton.project(desk.tryton.client("Aster"), "Rebrand"), "Concept")
    desk.tryton.lacking = {*BOOKS, "project.work.invoice_line", "timesheet.line.invoice_line"}
    desk.pull_now()
    with desk.staged(desk.at(HOUR)) as con:
        found = con.sql("select name from staging.milestones where reject_reason is null").fetchall()
    assert found == [("Concept",)]


def test_a_tryton_with_neither_is_refused(desk: Desk) -> None:
    desk.tryton.lacking = PROJECTS | BOOKS
    assert "has neither projects nor invoices. Activate the module" in desk.refused()


def test_a_module_that_is_activated_later_fills_its_fields_for_old_tasks_too(desk: Desk) -> None:
    project = desk.tryton.project(desk.tryton.client("Aster"), "Rebrand")
    desk.tryton.task(project, "Concept", constraint_finish_time=datetime(2026, 4, 1))
    desk.tryton.now += HOUR
    desk.tryton.task(project, "Launch")
    desk.tryton.lacking = {f"project.work.{name}" for name in ("constraint_finish_time", "actual_start_time")}
    desk.pull_now()
    desk.tryton.lacking = set()
    desk.tryton.now += HOUR
    desk.pull_now()
    with desk.staged(desk.at(HOUR)) as con:
        assert con.sql("select due_on, recorded_at from staging.milestone_plans").fetchall() == [
            (date(2026, 4, 1), MONDAY)
        ]


# --- meaning ---------------------------------------------------------------------------------------------------


def test_without_a_log_what_changed_between_pulls_is_dated_by_when_it_was_written(desk: Desk) -> None:
    desk.tryton.keeps_log = False
    project = desk.tryton.project(desk.tryton.client("Aster"), "Rebrand")
    task = desk.tryton.task(project, "Concept", constraint_finish_time=datetime(2026, 4, 1))
    desk.pull_now()
    desk.tryton.now += DAY
    desk.tryton.write("project.work", task, constraint_finish_time=datetime(2026, 4, 8))
    desk.tryton.turn(task, "In review")
    desk.tryton.now += HOUR
    desk.pull_now()
    desk.tryton.now += DAY
    desk.tryton.turn(task, "Approved")
    desk.tryton.now += HOUR
    desk.pull_now()
    with desk.built(desk.at(HOUR)) as con:
        events = con.sql("select type, occurred_at, origin from marts.gate_events order by position").fetchall()
        plans = con.sql("select due_on, recorded_at from marts.gate_plans order by version").fetchall()
        quality = con.sql("select history_quality, status from marts.gates").fetchall()
    assert events == [
        ("planned", MONDAY, "source_timestamp"),
        ("submitted", MONDAY + DAY, "snapshot_diff"),
        ("approved", MONDAY + 2 * DAY + HOUR, "snapshot_diff"),
    ]
    assert plans == [(date(2026, 4, 1), MONDAY), (date(2026, 4, 8), MONDAY + DAY)]
    assert quality == [("snapshot", "approved")]


def test_a_write_that_left_the_status_as_it_was_is_no_event(desk: Desk) -> None:
    task = desk.tryton.task(desk.tryton.project(desk.tryton.client("Aster"), "Rebrand"), "Concept")
    for name in ("Concept approval", "Concept"):
        desk.pull_now()
        desk.tryton.now += HOUR
        desk.tryton.turn(task, "Approved")
        desk.tryton.write("project.work", task, name=name)
    desk.pull_now()
    with desk.staged(desk.at(HOUR)) as con:
        assert con.sql("select type, occurred_at from staging.milestone_events order by 2").fetchall() == [
            ("planned", MONDAY),
            ("approved", MONDAY + HOUR),
        ]


def test_a_state_and_a_status_nobody_knows_are_named_with_their_record(desk: Desk) -> None:
    aster = desk.tryton.client("Aster")
    bill = desk.tryton.invoice(aster, "1.00", state="disputed")
    desk.pull_now()
    with pytest.raises(Fault) as caught, desk.staged(desk.at()):
        pass
    assert f"source desk, invoices: record {bill}, field status: 'disputed' is unknown." in str(caught.value)
    assert "models/staging/tryton/invoices.sql:" in str(caught.value)
    desk.tryton.write("account.invoice", bill, state="posted")
    task = desk.tryton.task(desk.tryton.project(aster, "Rebrand"), "Concept")
    desk.tryton.statuses["Parked"] = desk.tryton.make("project.work.status", name="Parked")
    desk.tryton.turn(task, "Parked")
    desk.pull_now()
    with pytest.raises(Fault, match="'Parked' is unknown") as caught, desk.staged(desk.at()):
        pass
    assert "Add it to statuses in the block of the source" in str(caught.value)


def test_money_entered_for_one_invoice_is_not_shared_with_another_reconciled_beside_it(desk: Desk) -> None:
    """The older one was paid, the younger one credited: all in one reconciliation, which comes to nothing."""
    aster = desk.tryton.client("Aster")
    paid = desk.tryton.invoice(aster, "100.00")
    desk.tryton.now += DAY
    credited, credit = desk.tryton.invoice(aster, "40.00"), desk.tryton.invoice(aster, "-40.00")
    desk.tryton.pay(paid, "100.00")
    for line in desk.tryton.held["account.move.line"].values():
        line["reconciliation"] = 1
    desk.pull_now()
    with desk.staged(desk.at(HOUR)) as con:
        found = con.sql("select invoice_id, amount from staging.payments order by 1").fetchall()
    assert found == [
        (f"desk:{paid}", Decimal(100)),
        (f"desk:{credited}", Decimal(40)),
        (f"desk:{credit}", Decimal(-40)),
    ]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Gates of one evening and their bills, pulled and built once."""
    tryton = Tryton(MONDAY)
    aster = tryton.client("Aster")
    project = tryton.project(aster, "Rebrand")
    concept = tryton.task(project, "Concept", "1000.00", number="7", actual_start_time=datetime(2026, 2, 24))
    workshops = [tryton.task(project, f"Workshop {number}", number=f"T-{number}") for number in range(3)]
    tryton.now += 7 * HOUR
    tryton.turn(concept, "Approved")
    tryton.now += HOUR
    for amount, works in (("1000.00", [concept]), ("100.00", workshops)):
        bill = tryton.invoice(aster, amount, invoice_date=MONDAY.date())
        (line,) = [key for key, one in tryton.held["account.invoice.line"].items() if one["invoice"] == bill]
        for work in works:
            tryton.make("project.work.invoiced_progress", work=work, progress=0.5, invoice_line=line)
        tryton.tell("account.invoice", bill, "button", "post")
    with serving(tryton.answer) as server:
        desk = Pulled(tmp_path_factory.mktemp("evening"), {"desk": block(server.url)}, {"KEY": KEY})
        desk.pull(tryton.now.replace(tzinfo=UTC))
    with desk.built((tryton.now + HOUR).replace(tzinfo=UTC)) as con:
        yield con


def test_a_start_that_was_written_down_is_the_start_of_the_gate(evening: duckdb.DuckDBPyConnection) -> None:
    found = evening.sql("select started_at, cycle_days from marts.gates where gate_name = 'Concept'").fetchall()
    started = datetime(2026, 2, 24, 16)  # the end of business in Berlin
    assert found == [(started, pytest.approx((MONDAY + 7 * HOUR - started) / DAY))]


def test_a_bill_is_dated_by_the_hour_it_was_posted_on_the_day_it_bears(evening: duckdb.DuckDBPyConnection) -> None:
    """Approved after the end of business and billed the same evening is not billed early."""
    found = evening.sql(
        "select amount, billing_lag_days, link_method from marts.gate_billing where gate_label = 'Concept'"
    ).fetchall()
    assert found == [(Decimal("1000.00"), pytest.approx(1 / 24), "native")]


def test_a_plain_number_of_a_task_is_no_number_to_link_by(evening: duckdb.DuckDBPyConnection) -> None:
    """A line that says `Phase 7` does not bill task 7."""
    found = evening.sql("select name, number from staging.milestones order by 1").fetchall()
    assert found == [("Concept", None), *((f"Workshop {number}", f"T-{number}") for number in range(3))]


def test_one_line_for_several_gates_is_shared_out_so_that_nothing_is_left(evening: duckdb.DuckDBPyConnection) -> None:
    found = evening.sql("""
        select gate_label, amount, line_amount_local, count(line) over () from marts.gate_billing
        where gate_label like 'Workshop%' order by gate_label
    """).fetchall()
    amounts = (Decimal("33.33"), Decimal("33.34"), Decimal("33.33"))
    whole = Decimal("100.00")
    assert found == [(f"Workshop {number}", amount, whole, 3) for number, amount in enumerate(amounts)]


def test_a_probe_asks_for_one_record_of_each_list(desk: Desk) -> None:
    assert kind.probe("desk", desk.settings, desk.environ, desk.patience) is None
    models = [path.rsplit("/", 1)[1] for path in desk.server.paths()]
    assert sorted(models) == sorted(["ir.model.field", *(told.model for told in kind.LISTS)])
    desk.tryton.forbidden = {"account.move.line"}
    with pytest.raises(Fault, match="refuses to be read"):
        kind.probe("desk", desk.settings, desk.environ, desk.patience)
