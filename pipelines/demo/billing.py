"""Invoices, their lines and their payments for one simulated project.

An invoice's `total` is its lines plus tax; `retained` is the part of it held back, which a
`retention_release` invoice claims later by a line linked to nothing: the work is already billed by then.
What stays out: converting currencies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipelines.demo.firms import TAX_PCT
from pipelines.demo.gates import Gate, gate_number
from pipelines.demo.records import SECONDS_A_DAY, BillingTruth, Invoice, InvoiceLine, LineTruth, Payment
from pipelines.demo.scene import Scene
from pipelines.demo.scope import Order

LINKS = {"native": 1.0, "field": 0.95, "number": 0.9, "text": 0.75, "manual": 1.0}


@dataclass(frozen=True, slots=True)
class Line:
    """Amount in cents, without tax, for a gate, a change order or neither."""

    amount: int
    gate: Gate | None = None
    order: Order | None = None


@dataclass(slots=True)
class Bill:
    """A planned invoice. It exists only if `cause` has happened while the project ran.

    `fate` is issued, draft (never sent), void or deleted (a draft thrown away).
    """

    kind: str
    cause: int
    issued: int
    lines: list[Line]
    fate: str = "issued"
    retained: int = 0
    voided: int | None = None

    @property
    def net(self) -> int:
        return sum(line.amount for line in self.lines)


def draw_bills(scene: Scene, gates: list[Gate], orders: list[Order]) -> list[Bill]:
    """Every bill of the project's whole life, in the order they are thought of."""
    waiting = sorted((o for o in orders if o.fate == "approved" and o.billing == "with a gate"), key=_decided)
    bills: list[Bill] = []
    deposit = _deposit(scene)
    if deposit:
        bills.append(deposit)
    carried: list[Line] = []
    for gate in gates:
        if gate.first_approved is not None and gate.amount:
            new, carried = _bill_gate(scene, gate, gate is gates[-1], carried, waiting)
            bills += new
    for order in orders:
        if order.fate == "approved" and order.billing == "own":
            issued = scene.after(_decided(order), 6 * scene.spread(0.8))
            bills.append(Bill(scene.firm.invoice_kind, _decided(order), issued, [Line(order.granted, order=order)]))
    bills += [extra for bill in list(bills) for extra in _mishaps(scene, bill)]
    _hold_back(scene, gates, bills)
    if deposit:
        _apply(deposit, bills)
    return bills


def _apply(deposit: Bill, bills: list[Bill]) -> None:
    """Takes the deposit off the last ordinary bill that is large enough."""
    able = [bill for bill in bills if bill.kind in ("invoice", "progress") and bill.fate == "issued"]
    large = [bill for bill in able if bill.net > 1.5 * deposit.net]
    if large:
        max(large, key=lambda bill: bill.issued).lines.append(Line(-deposit.net))


def _decided(order: Order) -> int:
    return order.decided or order.requested


def _deposit(scene: Scene) -> Bill | None:
    wanted, lag = scene.rng.random(), scene.rng.random()
    if wanted > 0.15:
        return None
    return Bill("deposit", scene.signed, scene.after(scene.signed, 2 * lag), [Line(scene.contract // 10)])


def _bill_gate(
    scene: Scene, gate: Gate, is_last: bool, carried: list[Line], waiting: list[Order]
) -> tuple[list[Bill], list[Line]]:
    """The gate's bills, with what was carried to it; and the lines it leaves for the next gate's bill."""
    how = scene.rng.random()
    approved = gate.first_approved or gate.ended
    lag = 4.5 * scene.spread(1.0)
    kind = scene.firm.invoice_kind
    line = Line(gate.amount, gate=gate)
    if how < 0.10 and not is_last:
        return [], [*carried, line]
    if how < 0.16:  # forgotten: approved work that nobody billed
        return [Bill(kind, approved, scene.after(approved, lag), carried)] if carried else [], []
    if how < 0.23:  # early
        room = (approved - gate.began) * min(0.6, 0.1 + lag / 30)
        issued = max(gate.began, scene.office.open(approved - int(room), scene.rng.random()))
        return [Bill(kind, gate.began, issued, [*carried, line])], []
    issued = scene.after(approved, lag)
    if how < 0.31:  # in two parts, of which the second is sometimes forgotten
        first = Line(gate.amount * 6 // 10, gate=gate)
        rest = Line(gate.amount - first.amount, gate=gate)
        parts = [Bill(kind, approved, issued, [*carried, first])]
        if how < 0.29:
            parts.append(Bill(kind, approved, scene.after(issued, 8 + lag * 2), [rest]))
        return parts, []
    ready = [order for order in waiting if _decided(order) < issued]
    waiting[:] = [order for order in waiting if _decided(order) >= issued]
    lines = [*carried, line, *(Line(order.granted, order=order) for order in ready)]
    if how > 0.96:
        lines.append(Line(round(gate.amount * 0.004) * 10))  # expenses, linked to nothing
    return [Bill(kind, approved, issued, lines, fate="draft" if how < 0.33 else "issued")], []


def _mishaps(scene: Scene, bill: Bill) -> list[Bill]:
    """What goes wrong with a bill: voided and sent again, credited in part, drafted twice."""
    draw, days = scene.rng.random(), 1 + 12 * scene.rng.random()
    if bill.fate != "issued" or bill.net <= 0:
        return []
    if draw < 0.03:
        bill.fate = "void"
        bill.voided = scene.after(bill.issued, days)
        return [replace(bill, issued=scene.after(bill.voided, 0.1), fate="issued", voided=None, lines=list(bill.lines))]
    if draw < 0.06:
        credit = replace(bill.lines[0], amount=-(bill.lines[0].amount // 8))
        return [Bill("credit_note", bill.issued, scene.after(bill.issued, days * 2), [credit])]
    if draw < 0.075:
        return [replace(bill, fate="deleted", lines=list(bill.lines))]
    return []


def _hold_back(scene: Scene, gates: list[Gate], bills: list[Bill]) -> None:
    """Retainage: a share of every progress bill, claimed a month after the last gate."""
    pct = scene.playbook.retainage_pct
    last = gates[-1].first_approved
    if not pct:
        return
    for bill in bills:
        if bill.kind == "progress" and bill.net > 0:
            bill.retained = round(bill.net * pct / 100)
    if last is None:
        return
    release = scene.after(last, 30)
    held = sum(bill.retained for bill in bills if bill.fate == "issued" and bill.issued < release)
    if held:
        bills.append(Bill("retention_release", last, release, [Line(held)]))


def write_bills(scene: Scene, bills: list[Bill]) -> None:
    """Invoices, lines and payments as seen at as_of; adds to what gates and change orders have billed."""
    method = "native" if scene.chance(0.75) else scene.rng.choice(list(LINKS))
    for index, bill in enumerate(bills, start=1):
        _write_bill(scene, bill, index, method)


def _write_bill(scene: Scene, bill: Bill, index: int, method: str) -> None:
    rng, now = scene.rng, scene.now
    key = f"inv_{scene.key[4:]}_{index}"
    drafted = max(bill.cause, scene.office.open(bill.issued - int((3 + 2 * rng.random()) * SECONDS_A_DAY), 0.5))
    sent = bill.issued + 30 + int(600 * rng.random())
    due = scene.day(bill.issued) + (0 if bill.kind in ("deposit", "credit_note") else scene.customer.terms)
    is_taxed = bill.kind != "retention_release"  # its tax was due with the work
    tax = round(bill.net * TAX_PCT[scene.customer.country] / 100) if is_taxed else 0
    total = bill.net + tax
    disputed_from = scene.after(sent, 5)
    is_disputed = rng.random() < 0.08 and bill.kind in ("invoice", "progress")
    payable = total - bill.retained
    payments, written_off = _draw_payments(scene, bill, payable, sent, due + 50 * is_disputed)
    thrown = scene.after(drafted, 3 + 30 * rng.random()) if bill.fate == "deleted" else None
    if bill.cause > scene.until or drafted > now:
        return
    issued = bill.issued if bill.issued <= now and bill.fate in ("issued", "void") else None
    voided = bill.voided if bill.voided is not None and bill.voided <= now else None
    seen = [payment for payment in payments if payment[0] <= now]
    is_paid = sum(amount for _, amount, state in seen if state == "received") == payable
    off = written_off if written_off is not None and written_off <= now and not is_paid else None
    status = _status(issued, voided, off, is_paid)
    deleted = scene.deletion("invoices", key, thrown)
    ends = [moment for moment in (bill.voided, *(payment[0] for payment in payments)) if moment is not None]
    settles = min(ends, default=None)
    was_disputed = is_disputed and disputed_from <= now and issued is not None and disputed_from < (settles or now + 1)
    disputed = disputed_from if was_disputed else None
    settled = settles if disputed is not None and settles is not None and settles <= now else None
    writes = (
        drafted,
        issued,
        voided,
        off,
        deleted,
        *(p[0] for p in seen),
        disputed,
    )
    recorded = max(moment for moment in writes if moment is not None)
    scene.rows["invoices"].append(
        Invoice(
            key=key,
            recorded_at=recorded,
            deleted_at=deleted,
            client=scene.customer.key,
            project=scene.key,
            number=f"{scene.firm.initials}-{scene.number:04d}-{index:02d}",
            kind=bill.kind,
            status=status,
            drafted_at=drafted,
            issued_at=issued,
            sent_at=sent if issued is not None and sent <= now else None,
            due_on=due if issued is not None else None,
            voided_at=voided,
            currency=scene.customer.currency,
            total=total,
            tax=tax,
            retained=bill.retained,
            disputed=disputed is not None and settled is None,
            disputed_at=disputed,
            settled_at=settled,
        )
    )
    _write_lines(scene, bill, key, method, drafted=drafted, deleted=deleted)
    if issued is not None and voided is None:
        _plant_lines(scene, bill, key, sent if sent <= now else issued)  # a bill counts once it is sent
    _write_payments(scene, key, seen)


def _write_payments(scene: Scene, key: str, seen: list[tuple[int, int, str]]) -> None:
    for part, (received, amount, state) in enumerate(seen, start=1):
        scene.rows["payments"].append(
            Payment(
                key=f"pay_{key[4:]}_{part}",
                recorded_at=received,
                deleted_at=None,
                invoice=key,
                received_at=received,
                amount=amount,
                currency=scene.customer.currency,
                status=state,
            )
        )


def _status(issued: int | None, voided: int | None, off: int | None, is_paid: bool) -> str:
    if issued is None:
        return "draft"
    if voided is not None:
        return "void"
    return "uncollectible" if off is not None else "paid" if is_paid else "open"


def _draw_payments(
    scene: Scene, bill: Bill, payable: int, sent: int, due: int
) -> tuple[list[tuple[int, int, str]], int | None]:
    """Instant, amount and state of every payment, and when the rest is written off, if ever."""
    rng = scene.rng
    draw, slip = rng.random(), rng.gauss(0, 6)
    days = scene.customer.habit + slip
    first = max(scene.after(sent, 1), scene.office.open(due * SECONDS_A_DAY + int(days * SECONDS_A_DAY), rng.random()))
    if bill.fate != "issued" or payable == 0 or (payable < 0 and draw > 0.6):
        return [], None
    if draw < 0.015 and payable > 0:
        return [], scene.office.open((due + 120) * SECONDS_A_DAY, slip % 1)
    if draw < 0.13:
        half = payable * rng.choice((30, 50, 70)) // 100
        second = scene.after(first, 20 * scene.spread(0.5))
        parts = [(first, half, "received"), (second, payable - half, "received")]
        return (parts[:1] if draw < 0.03 else parts), None
    if draw > 0.98:
        state = "failed" if draw > 0.99 else "reversed"
        return [(first, payable, state), (scene.after(first, 5), payable, "received")], None
    return [(first, payable, "received")], None


def _write_lines(scene: Scene, bill: Bill, key: str, method: str, *, drafted: int, deleted: int | None) -> None:
    """The invoice's lines; those of a draft thrown away go with it."""
    for index, line in enumerate(bill.lines, start=1):
        is_linked = line.gate is not None or line.order is not None
        line_key = f"lin_{key[4:]}_{index}"
        scene.rows["invoice_lines"].append(
            InvoiceLine(
                key=line_key,
                recorded_at=deleted or drafted,
                deleted_at=scene.deletion("invoice_lines", line_key, deleted),
                invoice=key,
                milestone=line.gate.key if line.gate else None,
                change_order=line.order.key if line.order else None,
                amount=line.amount,
                description=_words(bill, line),
                reference=gate_number(scene, line.gate) if line.gate and method == "field" else None,
                line=None,  # a line of these firms bills one thing
                line_amount=None,
                link_method=method if is_linked else None,
                link_confidence=LINKS[method] if is_linked else None,
            )
        )


def _words(bill: Bill, line: Line) -> str:
    if line.gate:
        return line.gate.step.label
    if line.order:
        return f"Change order {line.order.number}"
    return {"deposit": "Deposit", "retention_release": "Retainage"}.get(bill.kind, "Expenses")


def _plant_lines(scene: Scene, bill: Bill, key: str, issued: int) -> None:
    gates = [line.gate for line in bill.lines if line.gate]
    for index, line in enumerate(bill.lines, start=1):
        if line.order:
            line.order.invoiced += line.amount
        if line.gate:
            line.gate.invoiced += line.amount
            approved = line.gate.approved(scene.until)
            scene.truth["lines"].append(
                LineTruth(
                    invoice_line=f"lin_{key[4:]}_{index}",
                    milestone=line.gate.key,
                    kind=bill.kind,
                    amount=line.amount,
                    issued_at=issued,
                    lag_seconds=None if approved is None else issued - approved,
                )
            )
            if bill.kind != "credit_note":
                _plant_shape(scene, line, len(gates), approved, issued)


def _plant_shape(scene: Scene, line: Line, shared: int, approved: int | None, issued: int) -> None:
    gate = line.gate
    if gate is None:
        return
    said = scene.truth["billing"]
    if shared > 1:
        said.append(BillingTruth(gate.key, "one invoice for several gates"))
    if line.amount not in (gate.amount, 0):
        said.append(BillingTruth(gate.key, "billed in parts"))
    if approved is None or issued < approved:
        said.append(BillingTruth(gate.key, "billed early"))
