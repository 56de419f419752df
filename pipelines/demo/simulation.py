"""The simulated portfolio of three firms: a pure function of (seed, projects, as_of).

Project k is drawn from (seed, k) alone, clients from (seed, client number), rates from (seed, currency): a
larger portfolio holds the smaller one unchanged. The only other input is the month of as_of, to which
signatures are anchored (the 24 months before it); within a month, a later as_of only adds to what an
earlier one showed. What stays out: serving the records (portal.py) and writing them to files (writing.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

from pipelines.demo.billing import draw_bills, write_bills
from pipelines.demo.firms import (
    CLIENTS_A_ROUND,
    FIRMS,
    PEOPLE,
    PLACES,
    ROUND,
    Firm,
    client_name,
    project_name,
)
from pipelines.demo.gates import Gate, draw_gates, gate_truth, write_gate, write_papers
from pipelines.demo.hours import HOUR, office
from pipelines.demo.records import (
    ENTITIES,
    SECONDS_A_DAY,
    TRUTHS,
    Client,
    Project,
    RenameTruth,
    Rows,
    day_text,
    plain_rows,
    wire,
)
from pipelines.demo.scene import Customer, Scene
from pipelines.demo.scope import (
    draw_extras,
    draw_orders,
    order_truths,
    scope_lock,
    scope_truth,
    write_extras,
    write_orders,
)
from pipelines.playbooks import Playbook, load_playbooks
from pipelines.settings import PROJECT

SPAN_DAYS = 730  # contracts are signed over the two years before the month of as_of
RATES_DAYS = 800  # and rates are known from a little before the first of them
FIRST_RATES = {"EUR": 1.09, "GBP": 1.27}  # US dollars for one unit


@dataclass(frozen=True, slots=True)
class Portfolio:
    """`records`: contract entity → rows in wire form, each with `firm`. `rates`: day, currency, rate in USD.

    `truth`: quantity → what was planted, as plain rows with `firm` (shapes in records.py); `counts` holds
    rows and deleted rows per firm and entity.
    """

    records: dict[str, list[dict[str, Any]]]
    rates: list[dict[str, str]]
    truth: dict[str, list[dict[str, Any]]]


def simulate(seed: int, projects: int, as_of: datetime, playbooks: Mapping[str, Playbook] | None = None) -> Portfolio:
    """The whole portfolio in memory. `as_of` must know its time zone (ValueError otherwise)."""
    records: dict[str, list[dict[str, Any]]] = {entity: [] for entity in ENTITIES}
    truth: dict[str, list[dict[str, Any]]] = {quantity: [] for quantity in (*TRUTHS, "counts")}
    rows: Counter[tuple[str, str]] = Counter()
    deleted: Counter[tuple[str, str]] = Counter()
    for firm, facts, planted in lives(seed, projects, as_of, playbooks):
        for entity, found in facts.items():
            records[entity] += wire(entity, found, firm.source)
            rows[firm.source, entity] += len(found)
        for quantity, found in planted.items():
            truth[quantity] += [{**row, "firm": firm.source} for row in plain_rows(TRUTHS[quantity], found)]
        deleted.update((firm.source, row[0]) for row in planted["deletions"])
    truth["counts"] = counts(rows, deleted)
    return Portfolio(records, rates(seed, as_of), truth)


def counts(rows: Mapping[tuple[str, str], int], deleted: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """Rows and deleted rows of every firm and entity, zeros too."""
    return [
        {
            "firm": firm,
            "entity": entity,
            "rows": rows.get((firm, entity), 0),
            "deleted": deleted.get((firm, entity), 0),
        }
        for firm in FIRMS
        for entity in ENTITIES
    ]


def lives(
    seed: int, projects: int, as_of: datetime, playbooks: Mapping[str, Playbook] | None = None
) -> Iterator[tuple[Firm, Rows, Rows]]:
    """Firm, fact rows and planted rows of every project in turn; a client comes with its first project."""
    if as_of.tzinfo is None:
        raise ValueError("as_of must know its time zone")
    books = playbooks or _own_playbooks()
    now = int(as_of.timestamp())
    anchor = _anchor(as_of)
    met: set[str] = set()
    for number in range(1, projects + 1):
        scene = draw_project(seed, number, now, anchor, books)
        if number % len(ROUND) == 1:
            met.clear()  # clients are shared within one round of projects only
        if scene.customer.key not in met:
            met.add(scene.customer.key)
            _write_client(scene)
        yield scene.firm, scene.rows, scene.truth


@cache
def _own_playbooks() -> dict[str, Playbook]:
    return load_playbooks(PROJECT / "data" / "playbooks")


def _anchor(as_of: datetime) -> int:
    moment = as_of.astimezone(UTC)
    return int(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp())


def rates(seed: int, as_of: datetime) -> list[dict[str, str]]:
    """Daily rates in US dollars for one unit, from before the first contract through as_of."""
    first = _anchor(as_of) // SECONDS_A_DAY - RATES_DAYS
    last = int(as_of.timestamp()) // SECONDS_A_DAY
    found = []
    for currency, start in FIRST_RATES.items():
        rng = Random(f"rates {seed} {currency} {first}")
        level = math.log(start)
        for day in range(first, last + 1):
            level += rng.gauss(0, 0.0035) + 0.01 * (math.log(start) - level)
            found.append({"day": day_text(day), "currency": currency, "rate": f"{math.exp(level):.6f}"})
    return found


# --- one project ---------------------------------------------------------------------------------


def draw_project(seed: int, number: int, now: int, anchor: int, books: Mapping[str, Playbook]) -> Scene:
    """One project's whole life, cut at `now` (UTC seconds)."""
    rng = Random(f"project {seed} {number}")
    firm = ROUND[(number - 1) % len(ROUND)]
    customer = _pick_customer(seed, number, firm, anchor, rng)
    scene = _open_scene(rng, number, customer, books, now=now, anchor=anchor)
    stop, is_cancelled = _early_end(scene)
    draw = rng.random()
    gates = draw_gates(scene, "log" if draw < 0.88 else "timestamps" if draw < 0.96 else "snapshot")
    if stop is not None and stop >= gates[-1].ended:
        stop = None
    scene.until = min(now, stop) if stop is not None else now
    lock = scope_lock(gates)
    orders = draw_orders(scene, gates, lock)
    extras = draw_extras(scene, gates, orders, lock)
    bills = draw_bills(scene, gates, orders)
    has_aliases, has_codes = scene.chance(0.15), number % 40 != 23
    for gate in gates:
        alias = gate.step.aliases and has_aliases
        name = gate.step.aliases[0] if alias else gate.step.label
        write_gate(scene, gate, name, gate.step.code if has_codes else None, stop if is_cancelled else None)
    write_orders(scene, orders)
    write_extras(scene, extras)
    write_bills(scene, bills)
    write_papers(scene)
    _write_project(scene, gates, stop, is_cancelled)
    is_over = is_cancelled and stop is not None and stop <= now
    before: Gate | None = None
    for gate in gates:
        scene.truth["gates"].append(gate_truth(scene, gate, before, is_over))
        before = gate
    scene.truth["change_orders"] += order_truths(scene, orders)
    scene.truth["scope"].append(scope_truth(scene, orders, extras, lock))
    return scene


def _open_scene(
    rng: Random, number: int, customer: Customer, books: Mapping[str, Playbook], *, now: int, anchor: int
) -> Scene:
    firm = ROUND[(number - 1) % len(ROUND)]
    playbook = books[rng.choice(firm.playbooks)]
    low, high = firm.contracts[playbook.code]
    hours = office(customer.timezone)
    ago = 5 + (SPAN_DAYS - 5) * rng.random() ** 1.25  # firms grow: more of the contracts are recent
    signed = hours.open(anchor - int(ago * SECONDS_A_DAY), rng.random())
    kickoff = hours.open(signed + int((4 + 20 * rng.random()) * SECONDS_A_DAY), rng.random())
    return Scene(
        rng=rng,
        office=hours,
        now=now,
        until=now,
        firm=firm,
        customer=customer,
        playbook=playbook,
        number=number,
        key=f"prj_{number:04d}",
        manager=rng.choice(firm.managers),
        contract=round((low + (high - low) * rng.random() ** 1.6) / 500) * 50_000,
        signed=signed,
        kickoff=kickoff,
    )


def _early_end(scene: Scene) -> tuple[int | None, bool]:
    """When the project is cancelled or put on hold for good, if ever; and whether it is cancelled."""
    draw, share = scene.rng.random(), scene.rng.random()
    if draw > 0.07:
        return None, False
    days = sum(gate.typical_days for gate in scene.playbook.gates) * (0.15 + 0.8 * share)
    return scene.after(scene.kickoff, days), draw < 0.035


def _write_project(scene: Scene, gates: list[Gate], stop: int | None, is_cancelled: bool) -> None:
    rng = scene.rng
    closed = scene.after(max(gate.ended for gate in gates), 2 + 12 * rng.random())
    if stop is not None:
        closed = stop
    is_over = closed <= scene.now and (stop is None or is_cancelled)
    is_held = stop is not None and not is_cancelled and stop <= scene.now
    begun = scene.kickoff <= scene.now
    named_zone = scene.chance(0.85)
    on_site = scene.firm.kind == "residential builder"  # it keeps the holidays of the site, others those of the client
    name = project_name(
        scene.firm, scene.playbook.label, scene.customer.renamed_from or scene.customer.name, scene.number
    )
    ended = "cancelled" if is_cancelled and stop is not None else "completed"
    scene.rows["projects"].append(
        Project(
            key=scene.key,
            recorded_at=closed if is_over or is_held else scene.kickoff if begun else scene.signed,
            deleted_at=None,
            client=scene.customer.key,
            name=name,
            playbook=scene.playbook.code,
            manager=scene.manager,
            timezone=scene.customer.timezone if named_zone else None,
            country=scene.customer.country if on_site else None,
            subdivision=scene.customer.subdivision if on_site else None,
            contract_amount=scene.contract,
            currency=scene.customer.currency,
            signed_at=scene.signed,
            kickoff_at=scene.kickoff if begun else None,
            closed_at=closed if is_over else None,
            status=ended if is_over else "on_hold" if is_held else "active" if begun else "planned",
        )
    )


# --- clients -------------------------------------------------------------------------------------


def _pick_customer(seed: int, number: int, firm: Firm, anchor: int, rng: Random) -> Customer:
    own = [place for place, owner in enumerate(CLIENTS_A_ROUND) if owner is firm]
    turn = (number - 1) // len(ROUND)
    return _customer(seed, turn * len(CLIENTS_A_ROUND) + rng.choice(own) + 1, anchor)


def _customer(seed: int, number: int, anchor: int) -> Customer:
    rng = Random(f"client {seed} {number}")
    turn, place = divmod(number - 1, len(CLIENTS_A_ROUND))
    firm = CLIENTS_A_ROUND[place]
    nth = turn * 3 + place % 3  # the firm's own count of clients
    timezone, country, subdivision, currency = PLACES[firm.places[nth % len(firm.places)]]
    since = anchor - (RATES_DAYS + rng.randrange(400)) * SECONDS_A_DAY + 15 * HOUR
    name = client_name(firm, nth)
    is_renamed = nth % 12 == 5
    return Customer(
        key=f"clt_{number:04d}",
        name=f"{name.split()[0]} {rng.choice(('Collective', 'Group', 'Partners'))}" if is_renamed else name,
        renamed_from=name if is_renamed else None,
        renamed_at=anchor - rng.randrange(20, 300) * SECONDS_A_DAY + 16 * HOUR,
        since=since,
        timezone=timezone,
        country=country,
        subdivision=subdivision,
        currency=currency,
        owner=rng.choice(firm.managers),
        approver=rng.choice(PEOPLE[16:]),
        terms=rng.choice((14, 30, 30, 30, 45, 60)),
        habit=rng.gauss(5, 8),
    )


def _write_client(scene: Scene) -> None:
    customer = scene.customer
    was_renamed = customer.renamed_from is not None and customer.renamed_at <= scene.now
    if was_renamed:
        scene.truth["renames"].append(
            RenameTruth(customer.key, customer.renamed_from or "", customer.name, customer.renamed_at)
        )
    scene.rows["clients"].append(
        Client(
            key=customer.key,
            recorded_at=customer.renamed_at if was_renamed else customer.since,
            deleted_at=None,
            name=customer.name if was_renamed else customer.renamed_from or customer.name,
            timezone=customer.timezone,
            currency=customer.currency,
            country=customer.country,
            subdivision=customer.subdivision,
            owner=customer.owner,
            is_active=int(customer.key[4:]) % 14 != 9,
        )
    )
