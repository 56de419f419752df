"""Change orders and extra work of one simulated project, before and after its scope lock.

What stays out: billing them (billing.py).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.demo.gates import Gate
from pipelines.demo.records import SECONDS_A_DAY, ChangeOrder, ExtraWork, OrderTruth, Row, ScopeTruth
from pipelines.demo.scene import Scene

FATES = (
    (0.66, "approved"),
    (0.80, "rejected"),
    (0.90, "pending"),
    (0.94, "withdrawn"),
    (0.96, "void"),
    (1.0, "draft"),
)


@dataclass(slots=True)
class Order:
    """A change order's whole life; money in cents. `fate` is its last status, `decided` None if never."""

    key: str
    number: str
    fate: str
    gate: str | None
    requested: int
    submitted: int | None
    decided: int | None
    deleted: int | None
    is_after_lock: bool
    asked: int
    granted: int
    days: float
    days_granted: float
    billing: str  # own, with a gate, never
    invoiced: int = 0

    def status(self, until: int) -> str:
        if self.submitted is None or self.submitted > until:
            return "draft"
        return self.fate if self.decided is not None and self.decided <= until else "pending"

    def is_approved(self, moment: int) -> bool:
        return self.fate == "approved" and self.decided is not None and self.decided <= moment


@dataclass(frozen=True, slots=True)
class Extra:
    """A piece of work beside the scope. `cover` is the change order said to cover it."""

    key: str
    gate: str | None
    done: int
    hours: float
    amount: int
    deleted: int | None
    cover: Order | None


def scope_lock(gates: list[Gate]) -> int | None:
    """When the scope is locked in the project's whole life; lock gates are never reopened."""
    return next((gate.first_approved for gate in gates if gate.step.locks_scope), None)


def draw_orders(scene: Scene, gates: list[Gate], lock: int | None) -> list[Order]:
    rng = scene.rng
    mean = scene.firm.orders
    count = min(9, int(rng.expovariate(1 / (mean + 0.3))))
    return [_draw_order(scene, gates, lock, index) for index in range(1, count + 1)]


def _draw_order(scene: Scene, gates: list[Gate], lock: int | None, index: int) -> Order:
    rng = scene.rng
    finish = gates[-1].ended
    draw, early = rng.random(), rng.random()
    fate = next(fate for bound, fate in FATES if draw < bound)
    room = (lock or 0) - scene.kickoff - 16 * SECONDS_A_DAY
    if lock and early < 0.4 and room > 0:  # asked for and decided before the lock
        requested = scene.office.open(scene.kickoff + int(room * rng.random()), rng.random())
        submitted = scene.after(requested, 0.5)
        decided = scene.after(submitted, 1 + 3 * rng.random())
    else:
        begins = lock or scene.kickoff
        requested = scene.after(begins, (finish - begins) / SECONDS_A_DAY * rng.random())
        submitted = scene.after(requested, 2.5 * scene.spread(0.8))
        decided = scene.after(submitted, 7 * scene.spread(0.9))
    sign = -1 if rng.random() < 0.12 else 1
    asked = sign * max(300, round(scene.contract / 100 * (0.01 + 0.07 * rng.random() ** 2) / 50) * 50) * 100
    granted = asked if rng.random() < 0.8 else round(asked * 0.85 / 5000) * 5000
    days = float(rng.randrange(0, 11)) if sign > 0 else 0.0
    billing = rng.random()
    return Order(
        key=f"cho_{scene.key[4:]}_{index}",
        number=f"CO-{scene.number:04d}-{index:02d}",
        fate=fate,
        gate=_active(gates, requested) if rng.random() < 0.85 else None,
        requested=requested,
        submitted=None if fate == "draft" else submitted,
        decided=None if fate in ("draft", "pending") else decided,
        deleted=scene.after(requested, 3 + 10 * rng.random()) if fate == "draft" and billing < 0.6 else None,
        is_after_lock=lock is not None and requested > lock,
        asked=asked,
        granted=granted,
        days=days,
        days_granted=days if rng.random() < 0.6 else float(int(days / 2)),
        billing="own" if billing < 0.3 else "with a gate" if billing < 0.8 else "never",
    )


def _active(gates: list[Gate], moment: int) -> str | None:
    return next((gate.key for gate in gates if gate.ended > moment), None)


def write_orders(scene: Scene, orders: list[Order]) -> None:
    rng = scene.rng
    for order in orders:
        title, reason = rng.choice(scene.firm.order_titles), rng.choice(scene.firm.order_reasons)
        draw = rng.random()
        if order.requested > scene.until:
            continue
        status = order.status(scene.until)
        deleted = scene.deletion("change_orders", order.key, order.deleted)
        is_approved = status == "approved"
        scene.rows["change_orders"].append(
            ChangeOrder(
                key=order.key,
                recorded_at=deleted or scene.cut(order.decided) or scene.cut(order.submitted) or order.requested,
                deleted_at=deleted,
                project=scene.key,
                milestone=order.gate,
                number=order.number,
                title=title,
                reason=reason,
                requested_by_side="client" if draw < 0.6 else "team" if draw < 0.9 else "authority",
                status=status,
                requested_at=order.requested,
                submitted_at=scene.cut(order.submitted),
                decided_at=scene.cut(order.decided),
                amount_requested=order.asked,
                amount_approved=order.granted if is_approved else None,
                currency=scene.customer.currency,
                days_requested=order.days,
                days_approved=order.days_granted if is_approved else None,
            )
        )


def draw_extras(scene: Scene, gates: list[Gate], orders: list[Order], lock: int | None) -> list[Extra]:
    rng = scene.rng
    count = min(6, int(rng.expovariate(1 / 1.7)))
    covers = [order for order in orders if order.deleted is None]
    return [_draw_extra(scene, gates, covers, lock, index) for index in range(1, count + 1)]


def _draw_extra(scene: Scene, gates: list[Gate], covers: list[Order], lock: int | None, index: int) -> Extra:
    rng = scene.rng
    finish = gates[-1].ended
    begins = lock if lock and rng.random() < 0.8 else scene.kickoff
    done = scene.after(begins, (finish - begins) / SECONDS_A_DAY * rng.random())
    cover = rng.choice(covers) if covers and rng.random() < 0.5 else None
    if cover and cover.decided and rng.random() < 0.5:
        done = scene.after(cover.decided, 1 + 14 * rng.random())
    hours = rng.randrange(2, 65) / 2
    return Extra(
        key=f"xtr_{scene.key[4:]}_{index}",
        gate=_active(gates, done) if rng.random() < 0.7 else None,
        done=done,
        hours=hours,
        amount=round(hours * scene.firm.hourly_rate * 100),
        deleted=scene.after(done, 4 + 20 * rng.random()) if rng.random() < 0.03 else None,
        cover=cover,
    )


def write_extras(scene: Scene, extras: list[Extra]) -> None:
    for extra in extras:
        description = scene.rng.choice(scene.firm.extra_titles)
        if extra.done > scene.until:
            continue
        cover = extra.cover if extra.cover and extra.cover.requested <= scene.until else None
        deleted = scene.deletion("extra_work", extra.key, extra.deleted)
        scene.rows["extra_work"].append(
            ExtraWork(
                key=extra.key,
                recorded_at=deleted or max(extra.done, cover.requested if cover else 0),
                deleted_at=deleted,
                project=scene.key,
                milestone=extra.gate,
                done_at=extra.done,
                hours=extra.hours,
                amount=extra.amount,
                currency=scene.customer.currency,
                description=description,
                change_order=cover.key if cover else None,
            )
        )


# --- what is planted ----------------------------------------------------------------------------


def order_truths(scene: Scene, orders: list[Order]) -> list[Row]:
    """One truth per change order seen and not deleted."""
    return [_order_truth(order, scene.until) for order in orders if _is_seen(scene, order.requested, order.deleted)]


def _order_truth(order: Order, until: int) -> OrderTruth:
    approved = order.granted if order.is_approved(until) else 0
    decided = order.decided if order.decided is not None and order.decided <= until else None
    return OrderTruth(
        change_order=order.key,
        project=f"prj_{order.key.split('_')[1]}",
        status=order.status(until),
        is_after_scope_lock=order.is_after_lock,
        decision_seconds=decided - order.submitted if decided is not None and order.submitted is not None else None,
        approved=approved,
        invoiced=order.invoiced,
        unbilled=max(0, approved - order.invoiced),
    )


def scope_truth(scene: Scene, orders: list[Order], extras: list[Extra], lock: int | None) -> ScopeTruth:
    until = scene.until
    seen = [order for order in orders if _is_seen(scene, order.requested, order.deleted)]
    approved = [order for order in seen if order.is_approved(until)]
    locked = scene.cut(lock)
    late = [
        extra
        for extra in extras
        if locked is not None and extra.done > locked and _is_seen(scene, extra.done, extra.deleted)
    ]
    return ScopeTruth(
        project=scene.key,
        currency=scene.customer.currency,
        contract=scene.contract,
        scope_locked_at=locked,
        approved_changes=sum(order.granted for order in approved),
        approved_changes_after_lock=sum(order.granted for order in approved if order.is_after_lock),
        churned_changes=sum(abs(order.granted) for order in approved),
        pending_changes=sum(order.asked for order in seen if order.status(until) == "pending"),
        extra_after_lock=sum(extra.amount for extra in late),
        uncovered_extra=sum(extra.amount for extra in late if not (extra.cover and extra.cover.is_approved(until))),
        exposed_extra=sum(extra.amount for extra in late if not (extra.cover and extra.cover.is_approved(extra.done))),
    )


def _is_seen(scene: Scene, moment: int, deleted: int | None) -> bool:
    return moment <= scene.until and (deleted is None or deleted > scene.now)
