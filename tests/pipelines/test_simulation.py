"""The simulated portfolio holds what really happens, keeps its own rules, and its planted truth adds up."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
import yaml

from pipelines.demo.records import ENTITIES
from pipelines.demo.simulation import Portfolio, simulate
from pipelines.settings import PROJECT

AS_OF = datetime(2026, 7, 15, 9, 0, tzinfo=UTC)
LATER = datetime(2026, 7, 30, 18, 0, tzinfo=UTC)
CONTRACT = yaml.safe_load((PROJECT / "models" / "contract.yml").read_text("utf-8"))["entities"]
MAY_LIE_AHEAD = {"due_on", "expires_on"}


@cache
def portfolio(as_of: datetime = AS_OF) -> Portfolio:
    return simulate(seed=7, projects=150, as_of=as_of)


@cache
def by_key(entity: str) -> dict:
    return {row["id"]: row for row in portfolio().records[entity]}


def rows(entity: str, **wanted: object) -> list[dict]:
    return [row for row in portfolio().records[entity] if all(row[name] == value for name, value in wanted.items())]


def planted(quantity: str, **wanted: object) -> list[dict]:
    return [row for row in portfolio().truth[quantity] if all(row[name] == value for name, value in wanted.items())]


@cache
def events_of() -> dict[str, list[dict]]:
    found = defaultdict(list)
    for event in portfolio().records["milestone_events"]:
        found[event["milestone"]].append(event)
    return {key: sorted(events, key=lambda event: event["occurred_at"]) for key, events in found.items()}


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def seconds(since: str, until: str) -> int:
    return int((moment(until) - moment(since)).total_seconds())


def zone_of(project: str) -> ZoneInfo:
    found = by_key("projects")[project]
    return ZoneInfo(found["timezone"] or by_key("clients")[found["client"]]["timezone"])


# --- a pure function -----------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_portfolio():
    assert simulate(seed=7, projects=20, as_of=AS_OF) == simulate(seed=7, projects=20, as_of=AS_OF)


def test_another_seed_gives_another_portfolio():
    assert simulate(seed=8, projects=5, as_of=AS_OF).records != simulate(seed=7, projects=5, as_of=AS_OF).records


def test_a_project_is_unchanged_when_more_are_added():
    few = simulate(seed=7, projects=33, as_of=AS_OF)
    for entity, found in few.records.items():
        assert portfolio().records[entity][: len(found)] == found
    for quantity in set(few.truth) - {"counts"}:
        assert portfolio().truth[quantity][: len(few.truth[quantity])] == few.truth[quantity]


def test_a_later_look_only_adds_events():
    then = [e for e in portfolio(LATER).records["milestone_events"] if moment(e["occurred_at"]) <= AS_OF]
    assert then == portfolio().records["milestone_events"]
    assert len(portfolio(LATER).records["milestone_events"]) > len(then)


@pytest.mark.parametrize("entity", ["milestone_plans", "payments"])
def test_a_later_look_only_adds_rows_that_never_change(entity):
    before = {row["id"]: row for row in portfolio().records[entity]}
    after = {row["id"]: row for row in portfolio(LATER).records[entity]}
    assert before.items() <= after.items()


def test_a_record_that_a_later_look_changes_carries_a_later_instant():
    for entity in ENTITIES:
        after = {row["id"]: row for row in portfolio(LATER).records[entity]}
        changed = [(row, after[row["id"]]) for row in portfolio().records[entity] if after[row["id"]] != row]
        assert all(new["updated_at"] > old["updated_at"] for old, new in changed)


def test_an_as_of_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        simulate(seed=7, projects=1, as_of=datetime(2026, 7, 15))


# --- shape ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("entity", CONTRACT)
def test_every_record_carries_the_contract_columns_of_its_entity(entity):
    wanted = {"id", "updated_at", "deleted_at", "url", "firm", *CONTRACT[entity]["columns"]}
    assert portfolio().records[entity]
    assert all(set(row) == wanted for row in portfolio().records[entity])


@pytest.mark.parametrize("entity", CONTRACT)
def test_the_rows_of_an_entity_stand_in_the_contract_order(entity):
    own = [name for name in CONTRACT[entity]["columns"] if name != "recorded_at"]
    assert list(ENTITIES[entity]._fields) == ["key", "recorded_at", "deleted_at", *own]


@pytest.mark.parametrize("entity", CONTRACT)
def test_every_value_is_of_the_contract_type_and_vocabulary(entity):
    fits = {
        "text": lambda v: isinstance(v, str),
        "reference": lambda v: isinstance(v, str),
        "integer": lambda v: isinstance(v, int),
        "number": lambda v: isinstance(v, float),
        "boolean": lambda v: isinstance(v, bool),
        "zone": lambda v: bool(ZoneInfo(v)),
        "currency": lambda v: v in ("USD", "EUR", "GBP"),
        "decimal": lambda v: Decimal(v).as_tuple().exponent == -2,
        "instant": lambda v: v.endswith("Z") and len(v) == 20 and bool(moment(v)),
        "day": lambda v: bool(date.fromisoformat(v)),
    }
    for name, column in CONTRACT[entity]["columns"].items():
        values = [row[name] for row in portfolio().records[entity]]
        assert not (column.get("required") and None in values), name
        assert all(fits[column["type"]](value) for value in values if value is not None), name
        assert {value for value in values if value is not None} <= set(column.get("values", values)), name


@pytest.mark.parametrize("entity", CONTRACT)
def test_every_reference_resolves_within_its_firm(entity):
    for name, column in CONTRACT[entity]["columns"].items():
        if column["type"] == "reference":
            for row in portfolio().records[entity]:
                assert row[name] is None or by_key(column["to"])[row[name]]["firm"] == row["firm"], (name, row)


def test_keys_are_unique_over_all_firms():
    for entity in ENTITIES:
        assert len(by_key(entity)) == len(portfolio().records[entity])


@pytest.mark.parametrize("days_ago", range(0, 400, 40))
def test_nothing_but_plans_due_dates_and_expiries_lies_after_as_of(days_ago):
    as_of = AS_OF - timedelta(days=days_ago)
    limit = as_of.strftime("%Y-%m-%dT%H:%M:%SZ")
    found = portfolio(as_of)
    for row in (row for table in (*found.records.values(), *found.truth.values()) for row in table):
        for name, value in row.items():
            assert not (name.endswith("_at") and value is not None and value > limit), (name, row)
            assert not name.endswith("_on") or name in MAY_LIE_AHEAD, name


IN_ORDER = [
    ("projects", ("signed_at", "kickoff_at", "closed_at")),
    ("invoices", ("issued_at", "sent_at")),
    ("invoices", ("issued_at", "voided_at")),
    ("change_orders", ("requested_at", "submitted_at", "decided_at")),
    ("documents", ("received_at", "accepted_at")),
    ("handoffs", ("notified_at", "accepted_at")),
]


@pytest.mark.parametrize(("entity", "names"), IN_ORDER)
def test_what_happens_to_a_record_happens_in_order(entity, names):
    for row in rows(entity):
        told = [row[name] for name in names if row[name] is not None]
        assert told == sorted(told), row
        assert row["deleted_at"] in (None, row["updated_at"]), row


def test_no_payment_arrives_before_its_invoice():
    for payment in rows("payments"):
        assert payment["received_at"] > by_key("invoices")[payment["invoice"]]["issued_at"]


def test_a_gate_lives_within_its_project():
    for key, events in events_of().items():
        project = by_key("projects")[by_key("milestones")[key]["project"]]
        for event in (event for event in events if event["type"] not in ("planned", "rescheduled")):
            assert event["occurred_at"] > project["kickoff_at"]
            assert project["closed_at"] is None or event["occurred_at"] <= project["closed_at"]


def test_rates_are_daily_from_before_the_first_contract_through_as_of():
    first = min(row["signed_at"] for row in portfolio().records["projects"])[:10]
    for currency in ("EUR", "GBP"):
        days = [row["day"] for row in portfolio().rates if row["currency"] == currency]
        assert days[0] < first
        assert days[-1] == "2026-07-15"
        assert all(date.fromisoformat(b) - date.fromisoformat(a) == timedelta(days=1) for a, b in pairwise(days))
        levels = [float(row["rate"]) for row in portfolio().rates if row["currency"] == currency]
        assert all(abs(b / a - 1) < 0.03 for a, b in pairwise(levels))


def test_people_act_in_office_hours_or_late_in_the_evening_of_the_project_zone():
    for key, events in events_of().items():
        zone = zone_of(by_key("milestones")[key]["project"])
        for event in events:
            local = moment(event["occurred_at"]).astimezone(zone)
            assert local.weekday() < 5, event
            assert 8 <= local.hour < 18 or (21 <= local.hour <= 23 and event["type"] == "approved"), event


def test_contracts_are_of_the_size_of_their_trade():
    bounds = {"northlight": (20_000, 120_000), "relay": (15_000, 90_000), "hearth": (150_000, 900_000)}
    for project in rows("projects"):
        low, high = bounds[project["firm"]]
        assert low <= Decimal(project["contract_amount"]) <= high


def test_signatures_spread_over_two_years_and_a_good_share_still_runs():
    signed = [moment(row["signed_at"]) for row in rows("projects")]
    assert AS_OF - min(signed) > timedelta(days=600)
    assert AS_OF - max(signed) < timedelta(days=60)
    assert 0.2 < len(rows("projects", status="active")) / 150 < 0.6


# --- what really happens -------------------------------------------------------------------------


def late_evening_approvals() -> list[dict]:
    return [
        event
        for event in rows("milestone_events", type="approved")
        if moment(event["occurred_at"])
        .astimezone(zone_of(by_key("milestones")[event["milestone"]]["project"]))
        .strftime("%F")
        != event["occurred_at"][:10]
    ]


def lines_by(parent: str) -> dict[str, set[str]]:
    found = defaultdict(set)
    for line in planted("lines"):
        if line["kind"] in ("invoice", "progress"):
            invoice = by_key("invoice_lines")[line["invoice_line"]]["invoice"]
            found[invoice if parent == "invoice" else line["milestone"]].add(
                line["milestone"] if parent == "invoice" else invoice
            )
    return found


def partly_paid() -> list[str]:
    per_invoice = Counter(row["invoice"] for row in rows("payments", status="received"))
    return [key for key, count in per_invoice.items() if count > 1]


def expired_before_submission() -> list[dict]:
    return [row for row in planted("documents", state="expired") if by_key("documents")[row["document"]]["expires_on"]]


def slipped_often() -> list[str]:
    versions = Counter(row["milestone"] for row in rows("milestone_plans"))
    return [key for key, count in versions.items() if count > 2]


HAPPENS = {
    "several attempts": lambda: [row for row in planted("gates", status="approved") if row["attempts"] > 2],
    "rejected": lambda: rows("milestone_events", type="rejected"),
    "changes requested": lambda: rows("milestone_events", type="changes_requested"),
    "reopened": lambda: rows("milestone_events", type="reopened"),
    "reopened and not approved since or again": lambda: planted("gates", is_reopened=True),
    "waived": lambda: planted("gates", status="waived"),
    "cancelled gate": lambda: planted("gates", status="cancelled"),
    "awaiting decision": lambda: planted("gates", status="awaiting_decision"),
    "start told": lambda: planted("gates", start_rule="started"),
    "start by the approval before": lambda: planted("gates", start_rule="previous approval"),
    "start by kickoff": lambda: planted("gates", start_rule="kickoff"),
    "approved by nobody": lambda: planted("gates", is_auto_approved=True),
    "authority decides": lambda: rows("milestone_events", type="approved", actor_side="authority"),
    "history of time stamps": lambda: rows("milestones", history_quality="timestamps"),
    "history of snapshots": lambda: rows("milestones", history_quality="snapshot"),
    "gate without a code": lambda: rows("milestones", gate=None),
    "zone only with the client": lambda: rows("projects", timezone=None),
    "evening on another date in UTC": late_evening_approvals,
    "planted violation": lambda: planted("violations"),
    "plan slips several times": slipped_often,
    "no named baseline": lambda: rows("milestone_plans", is_baseline=None),
    "billed late": lambda: [row for row in planted("lines") if (row["lag_seconds"] or 0) > 20 * 86_400],
    "billed early": lambda: [row for row in planted("lines") if (row["lag_seconds"] or 0) < 0],
    "approved and not billed": lambda: [
        row for row in planted("gates", status="approved") if row["invoiced"] == "0.00" and row["unbilled"] != "0.00"
    ],
    "one invoice for two gates": lambda: [gates for gates in lines_by("invoice").values() if len(gates) > 1],
    "two invoices for one gate": lambda: [bills for bills in lines_by("gate").values() if len(bills) > 1],
    "paid in parts": partly_paid,
    "paid late": lambda: [
        row
        for row in rows("payments", status="received")
        if row["received_at"][:10] > by_key("invoices")[row["invoice"]]["due_on"]
    ],
    "paid early": lambda: [
        row
        for row in rows("payments", status="received")
        if row["received_at"][:10] < by_key("invoices")[row["invoice"]]["due_on"]
    ],
    "failed payment": lambda: rows("payments", status="failed"),
    "reversed payment": lambda: rows("payments", status="reversed"),
    "credit note": lambda: rows("invoices", kind="credit_note"),
    "void": lambda: rows("invoices", status="void"),
    "draft": lambda: rows("invoices", status="draft"),
    "written off": lambda: rows("invoices", status="uncollectible"),
    "disputed": lambda: rows("invoices", disputed=True),
    "deposit": lambda: rows("invoices", kind="deposit"),
    "retainage held": lambda: [row for row in rows("invoices", kind="progress") if row["retained"] != "0.00"],
    "retainage released": lambda: rows("invoices", kind="retention_release"),
    "linked less surely": lambda: [row for row in rows("invoice_lines") if (row["link_confidence"] or 1) < 1],
    "change order billed": lambda: [row for row in planted("change_orders") if row["invoiced"] != "0.00"],
    "change order not billed": lambda: [row for row in planted("change_orders") if row["unbilled"] != "0.00"],
    "change order before the lock": lambda: planted("change_orders", is_after_scope_lock=False, status="approved"),
    "change order after the lock": lambda: planted("change_orders", is_after_scope_lock=True, status="approved"),
    "pending change order": lambda: rows("change_orders", status="pending"),
    "rejected change order": lambda: rows("change_orders", status="rejected"),
    "deduction": lambda: [row for row in rows("change_orders") if row["amount_requested"].startswith("-")],
    "change order without a reason": lambda: rows("change_orders", reason=None),
    "uncovered extra work": lambda: [row for row in planted("scope") if row["uncovered_extra"] != "0.00"],
    "extra work covered too late": lambda: [
        row for row in planted("scope") if row["uncovered_extra"] != row["exposed_extra"]
    ],
    "missing document": lambda: planted("documents", state="missing"),
    "late document": lambda: planted("documents", state="late"),
    "expired document": expired_before_submission,
    "document of a project": lambda: rows("documents", milestone=None),
    "slow hand-off": lambda: [row for row in planted("handoffs") if (row["latency_seconds"] or 0) > 7 * 86_400],
    "hand-off before the approval": lambda: [row for row in planted("handoffs") if (row["latency_seconds"] or 0) < 0],
    "open hand-off": lambda: planted("handoffs", latency_seconds=None),
    "project on hold": lambda: rows("projects", status="on_hold"),
    "project cancelled": lambda: rows("projects", status="cancelled"),
    "project completed": lambda: rows("projects", status="completed"),
    "project signed, not begun": lambda: [
        row for row in simulate(7, 150, datetime(2026, 7, 1, tzinfo=UTC)).records["projects"] if not row["kickoff_at"]
    ],
    "client renamed": lambda: planted("renames"),
    "record deleted": lambda: planted("deletions"),
}


@pytest.mark.parametrize("what", HAPPENS)
def test_it_happens_in_a_portfolio_of_the_usual_size(what):
    assert HAPPENS[what]()


def test_five_time_zones_and_three_currencies_occur():
    zones = {row["timezone"] for row in rows("clients")}
    assert zones == {"America/New_York", "America/Los_Angeles", "Europe/Berlin", "Europe/London", "Australia/Sydney"}
    assert {row["currency"] for row in rows("projects")} == {"USD", "EUR", "GBP"}


def test_every_kind_of_event_occurs():
    known = CONTRACT["milestone_events"]["columns"]["type"]["values"]
    assert {row["type"] for row in rows("milestone_events")} == set(known)


def test_a_renamed_client_shows_its_new_name_and_a_later_instant():
    for rename in planted("renames"):
        client = by_key("clients")[rename["client"]]
        assert client["name"] == rename["after"] != rename["before"]
        assert client["updated_at"] == rename["renamed_at"]


# --- the planted truth adds up -------------------------------------------------------------------


def test_work_wait_and_idle_time_make_up_the_cycle_of_every_approved_gate():
    approved = planted("gates", status="approved", is_settled=True)
    assert len(approved) > 500
    for row in approved:
        waits = row["client_wait_seconds"] + row["team_wait_seconds"] + row["authority_wait_seconds"]
        assert row["work_seconds"] + waits + row["idle_seconds"] == row["cycle_seconds"], row
        assert row["cycle_seconds"] == seconds(row["started_at"], row["approved_at"])


def test_the_planted_spans_agree_with_the_events_read_by_the_rules():
    """A second reading: started, submitted, decided and reopened events alone give the same numbers."""
    for row in planted("gates", status="approved", is_settled=True):
        work = wait = idle = 0
        since = row["started_at"]
        for event in events_of()[row["milestone"]]:
            if event["type"] == "submitted":
                work += seconds(since, event["occurred_at"])
            elif event["type"] in ("approved", "changes_requested", "rejected"):
                wait += seconds(since, event["occurred_at"])
            elif event["type"] == "reopened":
                idle += seconds(since, event["occurred_at"])
            else:
                continue
            since = event["occurred_at"]
        waits = row["client_wait_seconds"] + row["team_wait_seconds"] + row["authority_wait_seconds"]
        assert (work, wait, idle) == (row["work_seconds"], waits, row["idle_seconds"]), row
        assert since == row["approved_at"]


def test_the_planted_start_follows_the_written_rule():
    before = {}
    for gate in sorted(planted("gates"), key=lambda row: row["milestone"]):
        project, sequence = gate["project"], by_key("milestones")[gate["milestone"]]["sequence"]
        before[project, sequence] = gate
    for (project, sequence), gate in before.items():
        told = [e["occurred_at"] for e in events_of().get(gate["milestone"], []) if e["type"] == "started"]
        if told:
            wanted = told[0]
        elif sequence == 1:
            wanted = by_key("projects")[project]["kickoff_at"]
        else:
            wanted = before[project, sequence - 1]["approved_at"]
        assert not gate["is_settled"] or gate["started_at"] == wanted, gate


def test_invoiced_and_unbilled_amounts_are_those_of_the_lines():
    billed = defaultdict(Decimal)
    for line in rows("invoice_lines"):
        invoice = by_key("invoices")[line["invoice"]]
        if invoice["status"] not in ("draft", "void"):
            billed[line["milestone"]] += Decimal(line["amount"])
    for gate in planted("gates"):
        assert Decimal(gate["invoiced"]) == billed[gate["milestone"]], gate
        rest = Decimal(gate["amount"]) - billed[gate["milestone"]]
        is_due = gate["approved_at"] is not None and gate["status"] != "cancelled"
        assert Decimal(gate["unbilled"]) == (max(rest, Decimal(0)) if is_due else 0), gate


def test_gate_amounts_make_up_the_contract():
    sums = defaultdict(Decimal)
    for gate in planted("gates"):
        sums[gate["project"]] += Decimal(gate["amount"])
    assert all(sums[row["id"]] == Decimal(row["contract_amount"]) for row in rows("projects"))


def test_an_invoice_totals_its_lines_and_tax():
    sums = defaultdict(Decimal)
    for line in rows("invoice_lines"):
        sums[line["invoice"]] += Decimal(line["amount"])
    for invoice in rows("invoices"):
        assert Decimal(invoice["total"]) == sums[invoice["id"]] + Decimal(invoice["tax"]), invoice


def test_an_invoice_is_paid_exactly_when_its_payments_reach_what_is_payable():
    paid = defaultdict(Decimal)
    for payment in rows("payments", status="received"):
        paid[payment["invoice"]] += Decimal(payment["amount"])
    for invoice in rows("invoices"):
        payable = Decimal(invoice["total"]) - Decimal(invoice["retained"])
        if invoice["status"] in ("open", "paid", "uncollectible"):
            assert (invoice["status"] == "paid") == (paid[invoice["id"]] == payable), invoice
        else:
            assert not paid[invoice["id"]]


def test_released_retainage_never_exceeds_what_was_held():
    held, released = defaultdict(Decimal), defaultdict(Decimal)
    for invoice in rows("invoices"):
        if invoice["status"] not in ("draft", "void"):
            held[invoice["project"]] += Decimal(invoice["retained"])
            released[invoice["project"]] += Decimal(invoice["total"]) * (invoice["kind"] == "retention_release")
    assert any(released.values())
    assert all(released[project] <= held[project] for project in held)


def test_only_the_planted_violations_break_the_order_of_events():
    told = {row["milestone"] for row in planted("violations")}
    broken = set()
    for key, events in events_of().items():
        last = "started"
        for event in (e for e in events if e["type"] not in ("planned", "rescheduled", "waived", "cancelled")):
            if event["type"] == "approved" and last != "submitted":
                broken.add(key)
            last = event["type"]
    assert told == broken


def test_billing_lags_run_from_the_final_approval_to_the_sending():
    approved = {row["milestone"]: row["approved_at"] for row in planted("gates")}
    for line in planted("lines"):
        invoice = by_key("invoices")[by_key("invoice_lines")[line["invoice_line"]]["invoice"]]
        since = approved[line["milestone"]]
        wanted = None if since is None else seconds(since, invoice["sent_at"] or invoice["issued_at"])
        assert line["lag_seconds"] == wanted


def test_hand_off_latency_runs_from_the_approval_to_the_next_start():
    for hand_off in planted("handoffs"):
        row = by_key("handoffs")[hand_off["handoff"]]
        wanted = row["started_at"] and seconds(hand_off["approved_at"], row["started_at"])
        assert hand_off["latency_seconds"] == wanted


def test_planted_documents_agree_with_their_dates():
    submitted = {row["milestone"]: row["submitted_at"] for row in planted("gates") if row["attempts"] == 1}
    for planted_row in planted("documents"):
        row, state = by_key("documents")[planted_row["document"]], planted_row["state"]
        since = submitted.get(planted_row["milestone"])
        if since is None or state == "waiting":
            continue
        assert (row["received_at"] is None) == (state == "missing"), (row, state)
        if state == "late":
            assert planted_row["late_seconds"] == seconds(since, row["received_at"]) > 0
        elif state == "expired":
            assert row["expires_on"] < since[:10]
        elif state == "ready":
            assert row["received_at"] <= since
            assert row["expires_on"] is None or row["expires_on"] >= since[:10]


def test_planted_scope_agrees_with_the_records():
    sums = defaultdict(Decimal)
    for order in rows("change_orders", status="approved", deleted_at=None):
        sums["approved", order["project"]] += Decimal(order["amount_approved"])
        sums["churned", order["project"]] += abs(Decimal(order["amount_approved"]))
    for order in rows("change_orders", status="pending", deleted_at=None):
        sums["pending", order["project"]] += Decimal(order["amount_requested"])
    locks = {row["project"]: row["scope_locked_at"] for row in planted("scope")}
    for extra in rows("extra_work", deleted_at=None):
        lock = locks[extra["project"]]
        cover = by_key("change_orders").get(extra["change_order"])
        if lock and extra["done_at"] > lock and not (cover and cover["status"] == "approved"):
            sums["uncovered", extra["project"]] += Decimal(extra["amount"])
    for row in planted("scope"):
        assert Decimal(row["approved_changes"]) == sums["approved", row["project"]]
        assert Decimal(row["churned_changes"]) == sums["churned", row["project"]]
        assert Decimal(row["pending_changes"]) == sums["pending", row["project"]]
        assert Decimal(row["uncovered_extra"]) == sums["uncovered", row["project"]]


def test_planted_counts_and_deletions_are_those_of_the_records():
    for row in planted("counts"):
        found = rows(row["entity"], firm=row["firm"])
        assert row["rows"] == len(found)
        assert row["deleted"] == sum(one["deleted_at"] is not None for one in found)
    for deletion in planted("deletions"):
        assert by_key(deletion["entity"])[deletion["key"]]["deleted_at"] == deletion["deleted_at"]
