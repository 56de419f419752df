"""A real Tryton, driven over its public API and pulled: what was done there stands in the marts, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
import requests
import tryton_fake
from loopback import serving
from pulled import Pulled
from tryton_server import READER_KEY, Refused, Tryton, installed

from pipelines.sources import tryton as kind
from pipelines.sources.door import Patience

pytestmark = pytest.mark.slow

PATIENT = Patience(attempts=2, backoff_seconds=0.01, timeout_seconds=60)
A_DAY_LATER = timedelta(days=1)  # keys are swept again
YEAR = datetime.now(UTC).year - 1  # bills are dated in a year that is over: Tryton refuses days that go back in it
STAMP = ("year", "month", "day", "hour", "minute", "second", "microsecond")
Firm = Callable[..., Pulled]
Rows = list[tuple[Any, ...]]


def now() -> datetime:
    return datetime.now(UTC)


def day(month: int, number: int) -> date:
    return date(YEAR, month, number)


@pytest.fixture(scope="module")
def firm(tryton: Tryton, tmp_path_factory: pytest.TempPathFactory) -> Firm:
    """The settings of a firm that reads the Tryton, with rates for its euros."""

    def told(**block: Any) -> Pulled:
        data = tmp_path_factory.mktemp("firm")
        (data / "rates").mkdir()
        days = (date(YEAR, 1, 1) + timedelta(days=number) for number in range(3 * 365))
        (data / "rates" / "rates.csv").write_text("day,currency,rate\n" + "".join(f"{one},EUR,1.25\n" for one in days))
        return Pulled(data, {"desk": tryton.block(**block)}, tryton.environ, PATIENT)

    return told


# --- gates ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gates(tryton: Tryton, firm: Firm) -> Iterator[tuple[dict[str, int], duckdb.DuckDBPyConnection]]:
    """Gates on their way, pulled as they went, and the marts of the last pull; keys by name."""
    client = tryton.party("Aster Gates", country="DE", subdivision="DE-BE")
    project = tryton.project("Rebrand", client)
    names = {"client": client, "project": project}
    for name in ("Concept", "Hasty", "Dropped", "Gone", "Cycled"):
        names[name] = tryton.task(project, name, "1000.00")
    names["Part"] = tryton.task(names["Concept"], "Part of it", "200.00")
    names["Own"] = tryton.project("Our own website", None)
    names["Own task"] = tryton.task(names["Own"], "Own task")
    names["Phase"] = tryton.project("Second phase", None, parent=project)
    tryton.number_tasks("PH-")
    names["Phase gate"] = tryton.task(names["Phase"], "Phase gate", "300.00")
    tryton.write("project.work", names["Concept"], {"constraint_finish_date": day(3, 2)})
    ours = firm()
    tryton.set_status(names["Concept"], "In work")
    ours.pull(now())
    for status in ("In review", "Changes asked", "In review"):
        tryton.set_status(names["Concept"], status)
        if status == "Changes asked":
            tryton.set_status(names["Cycled"], "Approved")
        ours.pull(now())
    tryton.set_status(names["Part"], "Done")
    tryton.set_status(names["Concept"], "Approved")
    tryton.write("project.work", names["Concept"], {"constraint_finish_date": day(3, 9)})
    for status in ("In work", "In review", "Rejected", "In review"):
        tryton.set_status(names["Hasty"], status)
    tryton.set_status(names["Dropped"], "Dropped")
    tryton.delete("project.work", names["Gone"])
    tryton.write("project.work", names["Cycled"], {"status": tryton.status("Open"), "progress": 0.5})
    ours.pull(now() + A_DAY_LATER)
    with ours.built(now() + 2 * A_DAY_LATER) as con:
        yield names, con


def events(con: duckdb.DuckDBPyConnection, key: int) -> Rows:
    return con.sql(
        f"select type, attempt, origin, actor from marts.gate_events where gate_id = 'desk:{key}' order by position"
    ).fetchall()


@pytest.mark.parametrize("version", [f"tryton {installed()}"])
def test_the_history_of_a_gate_becomes_marts(version: str, gates: Any, tryton: Tryton) -> None:
    assert version.removeprefix("tryton ").startswith(tryton.version)
    names, con = gates
    assert events(con, names["Concept"]) == [
        ("started", 1, "log", "admin"), ("submitted", 1, "log", "admin"), ("changes_requested", 1, "log", "admin"),
        ("submitted", 2, "log", "admin"), ("approved", 2, "log", "admin"),
    ]  # fmt: skip
    found = con.sql(
        "select status, attempt_count, is_first_pass, history_quality, cycle_days > 0 and cycle_days < 0.1, client, "
        f"project, bills_amount_local from marts.gates where gate_id = 'desk:{names['Concept']}'"
    ).fetchall()
    assert found == [("approved", 2, False, "log", True, "Aster Gates", "Rebrand", Decimal("1200.00"))]


def writes(tryton: Tryton, key: int) -> list[datetime]:
    """When a task's status was written, by Tryton's own log."""
    asked = [["resource", "=", f"project.work,{key}"], ["target", "like", "%status%"]]
    found = tryton.search("ir.model.log", asked, ["create_date"])
    return sorted(datetime(*(one["create_date"][part] for part in STAMP)) for one in found)


def dates(con: duckdb.DuckDBPyConnection, key: int) -> list[datetime]:
    """When the events of a gate occurred that the log tells of."""
    asked = f"select occurred_at from marts.gate_events where gate_id = 'desk:{key}' and origin = 'log' order by 1"
    return [at for (at,) in con.sql(asked).fetchall()]


def test_events_are_dated_by_the_log_to_the_microsecond(gates: Any, tryton: Tryton) -> None:
    names, con = gates
    assert len(writes(tryton, names["Concept"])) == 5
    assert dates(con, names["Concept"]) == writes(tryton, names["Concept"])


def test_what_nobody_saw_between_two_pulls_is_not_made_up(gates: Any, tryton: Tryton) -> None:
    names, con = gates
    assert [one[:3] for one in events(con, names["Hasty"])] == [
        ("planned", 1, "source_timestamp"),
        ("submitted", 1, "log"),
    ]
    assert dates(con, names["Hasty"]) == writes(tryton, names["Hasty"])[-1:]
    found = con.sql(f"select history_quality from marts.gates where gate_id = 'desk:{names['Hasty']}'").fetchall()
    assert found == [("timestamps",)]


def test_back_from_approval_to_work_is_a_reopening(gates: Any) -> None:
    names, con = gates
    assert [one[0] for one in events(con, names["Cycled"])] == ["planned", "approved", "reopened"]
    assert [one[0] for one in events(con, names["Dropped"])] == ["planned", "cancelled"]


def test_a_moved_deadline_is_a_second_plan(gates: Any) -> None:
    names, con = gates
    found = con.sql(f"""
        select due_on, version, epoch_us(plans.recorded_at) = epoch_us(lag(events.occurred_at) over (order by version))
        from marts.gate_plans as plans
        left join marts.gate_events as events on plans.gate_id = events.gate_id and events.type = 'planned'
        where plans.gate_id = 'desk:{names["Concept"]}' order by version
    """).fetchall()
    assert [row[:2] for row in found] == [(day(3, 2), 1), (day(3, 9), 2)]


def test_the_firms_own_projects_and_steps_below_a_gate_are_no_gates(gates: Any) -> None:
    _, con = gates
    found = con.sql("select gate_name, project, sequence, bills_amount_local from marts.gates where client = "
                    "'Aster Gates' order by project, sequence").fetchall()  # fmt: skip
    assert [row[:2] for row in found] == [
        ("Concept", "Rebrand"), ("Hasty", "Rebrand"), ("Dropped", "Rebrand"), ("Cycled", "Rebrand"),
        ("Phase gate", "Second phase"),
    ]  # fmt: skip
    assert con.sql("select count(*) from staging.projects where name = 'Our own website'").fetchall() == [(0,)]


def test_a_projects_contract_is_what_is_below_it_but_for_projects_of_their_own(gates: Any) -> None:
    _, con = gates
    found = con.sql(
        "select project, contract_amount_local, timezone from marts.projects where client = 'Aster Gates' order by 1"
    ).fetchall()
    assert found == [
        ("Rebrand", Decimal("4200.00"), "Europe/Berlin"),
        ("Second phase", Decimal("300.00"), "Europe/Berlin"),
    ]


def test_a_deleted_task_is_found_by_the_sweep(gates: Any) -> None:
    names, con = gates
    found = con.sql(
        f"select reject_reason from staging.milestones where milestone_id = 'desk:{names['Gone']}'"
    ).fetchall()
    assert found == [("deleted",)]


# --- bills -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bills(tryton: Tryton, firm: Firm) -> Iterator[tuple[dict[str, int], duckdb.DuckDBPyConnection]]:
    """Bills of every sort, pulled twice, and the marts of the second pull; keys by name."""
    tryton.allow_cancelling()
    names = {"client": tryton.party("Birch Bills"), "merged": tryton.party("Dogwood")}

    def sent(name: str, on: date, *lines: tuple[str, str], **told: Any) -> int:
        names[name] = tryton.invoice(names["client"], lines, on=on, **told)
        tryton.post(names[name])
        return names[name]

    names |= _billed_by_progress(tryton, names["client"])
    sent("reopened", day(4, 1), ("Settled too soon", "70.00"))
    names["reopened credit"] = tryton.credit(names["reopened"], day(4, 1), refund=False)
    tryton.post(names["reopened credit"])
    tryton.settle(names["reopened"], names["reopened credit"])
    names["deleted draft"] = tryton.invoice(names["client"], [("Never", "5.00")])
    names["merged's"] = tryton.invoice(names["merged"], [("One", "1.00")])
    ours = firm(lookback_seconds=0)
    ours.pull(now())

    tryton.unsettle(names["reopened"])
    tryton.delete("account.invoice", names["deleted draft"])
    tryton.replace(names["merged"], names["client"])
    tryton.post(names["by progress"], day(4, 2))
    tryton.pay(names["by progress"], "1000", day(4, 20))
    tryton.pay(names["by progress"], "2000", day(6, 1))
    sent("settled", day(4, 3), ("Extra", "1000.00"))
    names["credit"] = tryton.credit(names["settled"], day(4, 4))
    (line,) = tryton.search("account.invoice.line", [["invoice", "=", names["credit"]]])
    tryton.write("account.invoice.line", line["id"], {"unit_price": Decimal(300)})
    tryton.post(names["credit"])
    tryton.pay(names["settled"], "700", day(4, 21))
    tryton.settle(names["settled"], names["credit"])
    tryton.pay(sent("lost", day(4, 5), ("Lost", "500.00")), "450", day(5, 2), rest="writeoff")
    tryton.cancel(sent("wrong", day(4, 8), ("Wrong", "800.00")))
    tryton.pay(sent("in parts", day(4, 9), ("In parts", "1000.00"), term="Two parts"), "400", day(4, 22))
    sent("put off", day(4, 9), ("Put off", "1000.00"))
    tryton.reschedule(names["put off"], (day(8, 3), "400"), (day(9, 1), "600"))
    tryton.pay(names["put off"], "400", day(8, 5))
    both = sent("one", day(4, 9), ("One", "100.00")), sent("other", day(4, 10), ("Other", "200.00"))
    tryton.settle(*both, lines=[tryton.receive(names["client"], "300", day(5, 1))])
    tryton.pay(sent("euros", day(4, 10), ("Euros", "100.00"), currency="EUR"), "100.00", day(4, 23))
    names["draft"] = tryton.invoice(names["client"], [("Second half", "250.00")], reference="CO-7", on=day(4, 11))
    names["cancelled draft"] = tryton.invoice(names["client"], [("Never", "5.00")])
    tryton.cancel(names["cancelled draft"])
    tryton.post(names["twins"], day(5, 3))
    names["twins' refund"] = tryton.credit(names["twins"], day(5, 4), refund=True)
    ours.pull(now() + A_DAY_LATER)
    with ours.built(now() + 2 * A_DAY_LATER) as con:
        yield names, con


def _billed_by_progress(tryton: Tryton, client: int) -> dict[str, int]:
    """The draft bills of two projects; the second one's tasks have one name and price, and so stand in one line."""
    portal = tryton.project("Portal", client, [("Concept", "3000.00"), ("Launch", "4000.00")])
    twins = tryton.project("Twins", client)
    names = tryton.tasks(portal)
    for part in ("first", "second"):
        names[part] = tryton.task(twins, "Workshop", "500.00")
    for part in ("Concept", "first", "second"):
        tryton.set_status(names[part], "Approved")
    (names["by progress"],), (names["twins"],) = tryton.bill(portal), tryton.bill(twins)
    flat = tryton.project("Flat", client, [("Cut", "700.00")], project_invoice_method="effort")
    hourly = tryton.project("Hourly", client, project_invoice_method="timesheet")
    names["Cut"] = tryton.tasks(flat)["Cut"]
    names["Advice"] = tryton.task(hourly, "Advice", product=tryton.product("Hour"), list_price=Decimal(80))
    tryton.set_status(names["Cut"], "Approved")
    tryton.work_hours(names["Advice"], 3, day(3, 2))
    (names["by effort"],), (names["by hours"],) = tryton.bill(flat), tryton.bill(hourly)
    return names


def invoice(con: duckdb.DuckDBPyConnection, key: int, columns: str) -> tuple[Any, ...]:
    (row,) = con.sql(f"select {columns} from marts.invoices where invoice_id = 'desk:{key}'").fetchall()
    return row


def test_a_bill_made_from_progress_bills_its_gate(bills: Any) -> None:
    names, con = bills
    found = con.sql(f"""
        select gate_id, amount_local, link_method, link_confidence, is_counted
        from marts.gate_billing where invoice_id = 'desk:{names["by progress"]}'
    """).fetchall()
    assert found == [(f"desk:{names['Concept']}", Decimal("3000.00"), "native", 1.0, True)]
    assert invoice(con, names["by progress"], "project, status, total_amount_local, paid_amount_local") == (
        "Portal",
        "paid",
        Decimal("3000.00"),
        Decimal("3000.00"),
    )


@pytest.mark.parametrize(("bill", "gate", "amount"), [("by effort", "Cut", 700), ("by hours", "Advice", 240)])
def test_a_draft_made_from_effort_or_hours_names_its_gate(bills: Any, bill: str, gate: str, amount: int) -> None:
    names, con = bills
    found = con.sql(f"""
        select milestone_id, amount, link_method from staging.invoice_lines where invoice_id = 'desk:{names[bill]}'
    """).fetchall()
    assert found == [(f"desk:{names[gate]}", Decimal(amount), "native")]


def test_two_gates_in_one_line_share_it_to_the_cent(bills: Any) -> None:
    names, con = bills
    found = con.sql(f"""
        select gate_id, amount_local from marts.gate_billing
        where invoice_id = 'desk:{names["twins"]}' order by gate_id
    """).fetchall()
    assert found == [(f"desk:{names[part]}", Decimal("500.00")) for part in ("first", "second")]


def test_a_credit_note_takes_off_its_gates_what_it_credits(bills: Any) -> None:
    names, con = bills
    found = con.sql(f"""
        select gate_id, amount_local from marts.gate_billing
        where invoice_id = 'desk:{names["twins' refund"]}' order by gate_id
    """).fetchall()
    assert found == [(f"desk:{names[part]}", Decimal("-500.00")) for part in ("first", "second")]


def test_an_invoice_is_settled_by_money_and_by_a_credit_note(bills: Any) -> None:
    names, con = bills
    both = "kind, status, total_amount_local, paid_amount_local, open_amount_local"
    assert invoice(con, names["settled"], both) == ("invoice", "paid", Decimal(1000), Decimal(1000), Decimal(0))
    assert invoice(con, names["credit"], both) == ("credit_note", "open", Decimal(-300), Decimal(-300), Decimal(0))
    found = con.sql(
        f"select amount_local, received_at::date from marts.payments where invoice_id = 'desk:{names['settled']}' order by 1"
    ).fetchall()
    assert found == [(Decimal("300.00"), day(4, 4)), (Decimal("700.00"), day(4, 21))]


def test_a_refund_ends_an_invoice_without_voiding_it(bills: Any) -> None:
    names, con = bills
    both = "status, open_amount_local, voided_at"
    assert invoice(con, names["twins"], both) == ("paid", Decimal(0), None)
    assert invoice(con, names["twins' refund"], both) == ("open", Decimal(0), None)


def test_a_cancelled_invoice_is_void_from_that_day_and_a_cancelled_draft_bills_nothing(bills: Any) -> None:
    names, con = bills
    status, opened, left = invoice(con, names["wrong"], "status, open_amount_local, left_at")
    assert (status, opened) == ("void", Decimal(0))
    assert abs(now().replace(tzinfo=None) - left) < timedelta(hours=1)
    assert invoice(con, names["cancelled draft"], "is_billed, open_amount_local") == (False, Decimal(0))
    found = con.sql(f"select count(*) from marts.payments where invoice_id = 'desk:{names['wrong']}'").fetchall()
    assert found == [(0,)]


def test_a_write_off_ends_what_is_open(bills: Any) -> None:
    names, con = bills
    found = invoice(con, names["lost"], "status, paid_amount_local, open_amount_local, left_at::date")
    assert found == ("uncollectible", Decimal(450), Decimal(0), day(5, 2))


def test_an_invoice_in_parts_is_open_until_its_last_day(bills: Any) -> None:
    names, con = bills
    found = invoice(con, names["in parts"], "status, open_amount_local, due_on, aging_bucket")
    assert found == ("open", Decimal(600), day(6, 8), "over 90")


def test_new_terms_move_the_due_date_and_pay_nothing(bills: Any) -> None:
    names, con = bills
    found = invoice(con, names["put off"], "status, paid_amount_local, open_amount_local, due_on")
    assert found == ("open", Decimal(400), Decimal(600), day(9, 1))


def test_money_for_two_invoices_is_shared_out_between_them(bills: Any) -> None:
    names, con = bills
    for name, amount in (("one", 100), ("other", 200)):
        found = con.sql(
            f"select amount_local, received_at::date from marts.payments where invoice_id = 'desk:{names[name]}'"
        ).fetchall()
        assert found == [(Decimal(amount), day(5, 1))]


def test_money_keeps_its_currency_whatever_the_exchange_brought(bills: Any) -> None:
    names, con = bills
    found = invoice(con, names["euros"], "currency, status, total_amount_local, total_amount, open_amount_local")
    assert found == ("EUR", "paid", Decimal(100), Decimal(125), Decimal(0))


def test_a_deleted_draft_is_set_aside(bills: Any) -> None:
    names, con = bills
    found = con.sql(
        f"select reject_reason from staging.invoices where invoice_id = 'desk:{names['deleted draft']}'"
    ).fetchall()
    assert found == [("deleted",)]


def test_a_bills_reference_and_words_are_passed_on_for_linking(bills: Any) -> None:
    names, con = bills
    found = con.sql(
        f"select reference, description from staging.invoice_lines where invoice_id = 'desk:{names['draft']}'"
    ).fetchall()
    assert found == [("CO-7", "Second half")]


def test_a_reconciliation_taken_back_opens_the_invoice_again(bills: Any) -> None:
    names, con = bills
    assert invoice(con, names["reopened"], "status, open_amount_local") == ("open", Decimal(70))
    assert invoice(con, names["reopened credit"], "open_amount_local, aging_bucket") == (Decimal(-70), "unapplied")


def test_a_party_merged_into_another_takes_its_bills_along(bills: Any) -> None:
    """Tryton rewrites them without a trace of when."""
    names, con = bills
    found = con.sql(f"""
        select clients.merged_into_id, invoices.client from staging.clients as clients
        cross join marts.invoices as invoices
        where clients.client_id = 'desk:{names["merged"]}' and invoices.invoice_id = 'desk:{names["merged's"]}'
    """).fetchall()
    assert found == [(f"desk:{names['client']}", "Birch Bills")]


def test_the_lag_from_approval_to_the_bill_is_negative_where_it_was_billed_before(bills: Any) -> None:
    names, con = bills
    found = con.sql(f"""
        select gates.approved_at::date = current_date or true, lines.billing_lag_days < 0
        from marts.gate_billing as lines inner join marts.gates as gates using (gate_id)
        where lines.invoice_id = 'desk:{names["by progress"]}'
    """).fetchall()
    assert found == [(True, True)]


# --- pulling ---------------------------------------------------------------------------------------------


def test_records_of_one_instant_are_not_lost_between_pages_and_a_day_of_business_is_a_small_pull(
    tryton: Tryton, firm: Firm
) -> None:
    client = tryton.party("Cedar")
    made = tryton.call("model.party.party.create", [{"name": f"Twin {number}"} for number in range(5)], {})
    tryton.call("model.party.party.write", made, {"active": False}, {})
    ours = firm(page_size=3)
    ours.pull(now())
    assert ours.stored(f"select count(*) from raw_desk.parties where id in {tuple(map(str, made))}") == [(5,)]
    assert dict(ours.pull(now()).rows) == {}
    tryton.invoice(client, [("One", "1.00")])
    brought = {name: count for name, count in ours.pull(now()).rows.items() if count}
    assert brought == {"invoices": 1, "invoice_lines": 1}


def test_two_trytons_side_by_side_keep_their_keys_apart(tryton: Tryton, firm: Firm) -> None:
    client = tryton.party("Fir")
    tryton.project("Alone", client)
    ours = firm()
    ours.blocks["other"] = {**ours.blocks["desk"], "firm": "Another"}
    ours.pull(now())
    ours.pull(now(), "other")
    with ours.staged(now()) as con:
        found = con.sql("select client_id from staging.projects where name = 'Alone' order by 1").fetchall()
    assert found == [(f"desk:{client}",), (f"other:{client}",)]


# --- rights ------------------------------------------------------------------------------------------------


def reader(tryton: Tryton, key: str) -> dict[str, int]:
    """A user of its own who may read what the page on this kind lists, with a key."""
    group = tryton.create("res.group", {"name": f"Readers {key[0]}"})
    models = ("account.invoice", "account.invoice.line", "account.move")
    reads = [
        tryton.create("ir.model.access", {"model": model, "group": group, "perm_read": True, "perm_write": False,
                                          "perm_create": False, "perm_delete": False})
        for model in models
    ]  # fmt: skip
    told = {"name": "Reader", "login": f"reader {key[0]}", "groups": [["add", [group]]], "company": tryton.company,
            "companies": [["add", [tryton.company]]]}  # fmt: skip
    user = tryton.create("res.user", told)
    application = tryton.create("res.user.application", {"user": user, "application": "rest", "key": key})
    return {"group": group, "user": user, "application": application, "reads": reads[0]}


def test_a_withdrawn_right_and_a_cancelled_key_are_said_plainly(tryton: Tryton, firm: Firm) -> None:
    key = "k" * 64
    who = reader(tryton, key)
    ours = firm()
    ours.environ = {"TRYTON_KEY": key}
    assert kind.probe("desk", ours.settings, ours.environ, PATIENT) is None
    tryton.delete("ir.model.access", who["reads"])
    message = ours.refusal(now())
    assert '/account.invoice: refuses to be read (400): You are not allowed to access "Account Invoice".' in message
    assert "Give the group of the key's user the right to read it" in message
    tryton.press("res.user.application", who["application"], "cancel")
    message = ours.refusal(now())
    assert "refuses the token (401). Set the token of source desk anew" in message
    assert key not in message


def test_a_field_that_may_not_be_read_is_told_from_one_without_a_value(tryton: Tryton, firm: Firm) -> None:
    hidden = tryton.create(
        "ir.model.field.access",
        {"model": "account.invoice", "field": "reference", "perm_read": False, "perm_write": False},
    )
    try:
        tryton.invoice(tryton.party("Hazel"), [("One", "1.00")])
        assert "/account.invoice: gives no field reference. Give the group" in firm().refusal(now())
    finally:
        tryton.delete("ir.model.field.access", hidden)


def test_the_key_of_the_tests_may_read_and_nothing_else(tryton: Tryton) -> None:
    with pytest.raises(Refused, match="not allowed"):
        tryton.as_(READER_KEY).party("Ivy")


def test_a_wrong_database_is_named(tryton: Tryton, firm: Firm) -> None:
    assert "knows no database 'nowhere' (404). Check the url and the database" in firm(database="nowhere").refusal(
        now()
    )


# --- the fake ----------------------------------------------------------------------------------------------


def test_the_fake_answers_in_the_same_shapes(bills: Any, tryton: Tryton, firm: Firm) -> None:
    """So what is shown on the fake holds for a real one; `bills` sees to records in every list."""
    ours, fake = firm(), _full_fake()
    real = kind.opened("desk", ours.settings, ours.environ, PATIENT)
    with serving(fake.answer) as server:
        told = {**ours.blocks["desk"], "url": server.url}
        theirs = Pulled(ours.data, {"desk": told}, {"TRYTON_KEY": tryton_fake.KEY}, PATIENT)
        imitated = kind.opened("desk", theirs.settings, theirs.environ, PATIENT)
        for one in kind.LISTS:
            assert imitated.fields(one) == real.fields(one)
            asked = (one.model, one.domain, (kind.STAMP, *one.fields, *one.optional), [["id", "ASC"]], 200)
            answers = real.search(*asked), imitated.search(*asked)
            assert all(answers), one.table
            assert _differing(*map(_shapes, answers)) == {}, one.table


@pytest.mark.parametrize(
    ("path", "key", "query"),
    [
        ("books/rest/model/party.party", "wrong", {}),
        ("nowhere/rest/model/party.party", None, {}),
        ("books/rest/model/party.party", None, {"f": "nosuch"}),
        ("books/rest/model/no.such.model", None, {}),
        ("books/rest/model/ir.model.log", None, {}),
    ],
)
def test_the_fake_refuses_as_a_real_one_does(tryton: Tryton, path: str, key: str | None, query: dict[str, str]) -> None:
    answers = []
    with serving(tryton_fake.Tryton(datetime(2026, 3, 2)).answer) as server:
        for url, own in ((tryton.url, READER_KEY), (server.url, tryton_fake.KEY)):
            headers = {"Authorization": f"Bearer {key or own}"}
            answers.append(requests.get(f"{url}/{path}", params=query, headers=headers, timeout=30))
    one, other = answers
    assert one.status_code == other.status_code >= 400
    assert one.headers["Content-Type"].split(";")[0] == other.headers["Content-Type"].split(";")[0]
    if one.status_code == 400:
        assert one.json() == other.json()


def _full_fake() -> tryton_fake.Tryton:
    """A fake with a record in every list, every field of which is filled."""
    fake = tryton_fake.Tryton(datetime(2026, 3, 2, 12, 0, 0, 5))
    client = fake.client("Aster")
    fake.held["party.party"][client]["replaced_by"] = fake.client("Birch")
    project = fake.project(client, "Rebrand")
    bill = fake.invoice(client, "100.00", reference="CO-7", description="Work", cancel_move=None)
    fake.held["account.invoice"][bill]["cancel_move"] = fake.held["account.invoice"][bill]["move"]
    fake.pay(bill, "100.00")
    (line,) = fake.held["account.invoice.line"]
    fake.held["account.invoice.line"][line] |= {"origin": f"account.invoice.line,{line}"}
    work = fake.task(project, "Concept", "5.00", number="1", sequence=1, invoice_line=line)
    fake.held["project.work"][work] |= dict.fromkeys(tryton_fake.PLAN, datetime(2026, 4, 1))
    fake.make("project.work.invoiced_progress", work=work, progress=1.0, invoice_line=line)
    sheet = fake.make("timesheet.work", origin=f"project.work,{work}")
    fake.make("timesheet.line", work=sheet, duration=timedelta(hours=3), invoice_line=line)
    fake.make("account.invoice-additional-account.move", invoice=bill, move=fake.make("account.move"))
    return fake


def _shapes(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands under each field, of the first record that has something there."""
    found: dict[str, Any] = {}
    for row in rows:
        for name, value in row.items():
            found[name] = found.get(name) or _shape(value)
    return found


def _shape(value: Any) -> Any:
    if isinstance(value, list):
        return [_shape(value[0])] if value else None
    if isinstance(value, dict):
        return value.get("__class__") or {name: _shape(one) for name, one in value.items()}
    return None if value is None else "number" if isinstance(value, int | float | Decimal) else type(value).__name__


def _differing(real: dict[str, Any], imitated: dict[str, Any]) -> dict[str, Any]:
    """Fields that one has and the other has not, or has in another shape; null on one side says nothing."""
    names = real.keys() | imitated.keys()
    missing = object()
    pairs = {name: (real.get(name, missing), imitated.get(name, missing)) for name in names}
    return {name: pair for name, pair in pairs.items() if missing in pair or not _alike(*pair)}


def _alike(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    return bool(one == other)
