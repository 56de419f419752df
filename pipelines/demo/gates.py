"""The gates of one simulated project: turns of work and waiting, plans that slip, documents, hand-offs.

What stays out: money (billing.py) and changes of scope (scope.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pipelines import playbooks
from pipelines.demo.hours import HOUR
from pipelines.demo.records import (
    SECONDS_A_DAY,
    Document,
    DocumentTruth,
    GateTruth,
    Handoff,
    HandoffTruth,
    Milestone,
    MilestoneEvent,
    MilestonePlan,
    ViolationTruth,
)
from pipelines.demo.scene import Scene

WAIT_DAYS = {"client": 3.2, "authority": 6.0, "team": 1.1}
ORIGINS = {"log": "log", "timestamps": "source_timestamp", "snapshot": "snapshot_diff"}


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt: work from `began` to `submitted`, waiting until `decided`."""

    began: int
    submitted: int
    decided: int
    decision: str
    is_auto: bool = False


@dataclass(slots=True)
class Gate:
    """A gate's whole life. `fate` is passed, violated, waived or cancelled; `ended` its last instant.

    `began` is the first instant of the first turn, `explicit` whether a started event tells it.
    `amount` is in cents; `invoiced` grows as bills of the gate are seen.
    """

    key: str
    sequence: int
    step: playbooks.Gate
    amount: int
    history: str
    fate: str
    began: int
    explicit: bool
    turns: tuple[Turn, ...]
    ended: int
    first_approved: int | None
    is_reopened: bool
    hand_off: tuple[int | None, int | None, int | None] | None = None
    plan_days: list[tuple[int, int, str | None]] = field(default_factory=list)  # recorded, due day, reason
    invoiced: int = 0

    def approved(self, until: int) -> int | None:
        """The final approval as of `until`: none while reopened."""
        final = None
        for turn in self.turns:
            if turn.began > until:
                break
            final = turn.decided if turn.decided <= until and turn.decision == "approved" else None
        return final


def draw_gates(scene: Scene, history: str) -> list[Gate]:
    """Every gate of the project to its end, in order; each waits for the one before it, or overlaps it."""
    pace = scene.spread(0.22)
    gates: list[Gate] = []
    for step in scene.playbook.gates:
        gates.append(_draw_gate(scene, step, history, pace, gates))
    return gates


def _draw_gate(scene: Scene, step: playbooks.Gate, history: str, pace: float, before: list[Gate]) -> Gate:
    sequence = len(before) + 1
    fate = _fate(scene, step, sequence, history)
    began, explicit = _beginning(scene, before, fate)
    typical = step.typical_days * pace
    plain = history == "timestamps" or fate == "violated"
    turns: tuple[Turn, ...] = ()
    if fate in ("waived", "cancelled"):
        ended = scene.after(began, typical * 0.4 * scene.spread(0.6))
        explicit = explicit and scene.chance(0.7)
    else:
        turns = _turns(scene, step, began, typical, plain)
        if fate == "violated":  # approved before it was submitted: a slip of whoever kept the tool
            late = scene.after(turns[0].decided, 0)
            turns = (replace(turns[0], submitted=late, decided=turns[0].submitted),)
        ended = max(turns[-1].submitted, turns[-1].decided)
    approvals = [turn.decided for turn in turns if turn.decision == "approved"]
    gate = Gate(
        key=f"mst_{scene.key[4:]}_{sequence}",
        sequence=sequence,
        step=step,
        amount=round(scene.contract * step.bills_pct / 100),
        history=history,
        fate=fate,
        began=began,
        explicit=explicit,
        turns=turns,
        ended=ended,
        first_approved=approvals[0] if approvals else None,
        is_reopened=len(approvals) > 1,
    )
    if step.handoff and approvals:
        gate.hand_off = _draw_hand_off(scene, gate)
    return gate


def _fate(scene: Scene, step: playbooks.Gate, sequence: int, history: str) -> str:
    draw = scene.rng.random()
    if 1 < sequence < len(scene.playbook.gates):
        if draw < 0.025:
            return "waived"
        if draw < 0.035:
            return "cancelled"
    chosen = draw > 0.98 or (sequence == 1 and scene.number % 40 == 11)
    planted = chosen and history == "log" and not step.locks_scope and not step.handoff
    return "violated" if planted else "passed"


def _beginning(scene: Scene, before: list[Gate], fate: str) -> tuple[int, bool]:
    """When a gate begins, and whether its tool says so: else the rule is the approval before, or kickoff.

    It stays unsaid only where the gate before was approved once, last of all so far.
    """
    overlap, said, pause = scene.rng.random(), scene.rng.random(), scene.rng.random()
    if not before:
        return (scene.after(scene.kickoff, pause * 2), True) if said < 0.5 else (scene.kickoff, False)
    last = before[-1]
    ready = last.first_approved or last.ended
    if last.hand_off and last.hand_off[2] is not None:
        return last.hand_off[2], True
    if overlap < 0.08 and last.fate == "passed":
        return scene.after(ready - int((ready - last.began) * 0.4 * pause), 0), True
    plain = last.fate in ("passed", "violated") and not last.is_reopened
    if plain and said < 0.55 and fate != "violated" and ready == max(gate.ended for gate in before):
        return ready, False
    return scene.after(max(ready, *(gate.began for gate in before)), pause * 5), True


def _turns(scene: Scene, step: playbooks.Gate, began: int, typical: float, plain: bool) -> tuple[Turn, ...]:
    draw = scene.rng.random()
    attempts = 1 if plain or draw < 0.68 else 2 if draw < 0.90 else 3 if draw < 0.98 else 4
    turns: list[Turn] = []
    at = began
    for attempt in range(1, attempts + 1):
        share = 0.72 if attempt == 1 else 0.22
        decision = "approved" if attempt == attempts else "rejected" if scene.chance(0.15) else "changes_requested"
        turns.append(_turn(scene, step, at, typical * share, decision))
        at = turns[-1].decided
    may_reopen = not (plain or step.locks_scope or step.handoff)
    if scene.chance(0.06) and may_reopen:
        turns.append(_turn(scene, step, scene.after(at, 2 + 20 * scene.rng.random()), typical * 0.2, "approved"))
    return tuple(turns)


def _turn(scene: Scene, step: playbooks.Gate, began: int, work_days: float, decision: str) -> Turn:
    submitted = scene.after(began, work_days * scene.spread(0.35))
    decided = scene.after(submitted, WAIT_DAYS[step.approver_side] * scene.spread(0.9))
    draw, second = scene.rng.random(), scene.rng.random()
    approved = decision == "approved"
    if approved and step.approver_side == "client" and draw < 0.06:
        decided = scene.office.evening(decided, second)
    return Turn(began, submitted, decided, decision, approved and draw > 0.97)


def _draw_hand_off(scene: Scene, gate: Gate) -> tuple[int | None, int | None, int | None]:
    """Notified, accepted and started; the next team now and then starts before the approval."""
    approved = gate.first_approved or gate.ended
    slow = 6.0 if scene.chance(0.2) else 1.0
    early, silent = scene.rng.random(), scene.rng.random()
    notified = approved + 60 + int(scene.rng.random() * HOUR) if silent < 0.6 else scene.after(approved, slow * 0.6)
    accepted = scene.after(notified, slow * 0.8 * scene.spread())
    started = scene.after(accepted, slow * 1.3 * scene.spread(0.7))
    if early < 0.05:
        submitted = gate.turns[0].submitted
        started = scene.office.open((submitted + approved) // 2, scene.rng.random())
        return notified, accepted, started if started < approved else submitted + 1
    if silent > 0.95:
        return None, None, started
    return notified, accepted, started


# --- what as_of sees of a gate -----------------------------------------------------------------


def write_gate(scene: Scene, gate: Gate, name: str, code: str | None, stop: int | None) -> None:
    """The gate's milestone, events, plans, documents and hand-off, as seen at as_of."""
    _draw_plans(scene, gate)
    events = _events(gate, stop)
    last = scene.signed
    actors = _deciders(scene)
    origin = ORIGINS[gate.history]
    for index, (moment, what, side) in enumerate(events, start=1):
        if moment <= scene.until:
            last = max(last, moment)
            scene.rows["milestone_events"].append(
                MilestoneEvent(
                    key=f"evt_{gate.key[4:]}_{index}",
                    recorded_at=moment,
                    deleted_at=None,
                    milestone=gate.key,
                    type=what,
                    occurred_at=moment,
                    actor=actors.get(side),
                    actor_side=side,
                    origin=origin,
                )
            )
    _write_milestone(scene, gate, name, code, last)
    _write_plans(scene, gate)
    _write_documents(scene, gate)
    if gate.hand_off:
        _write_hand_off(scene, gate)


def gate_number(scene: Scene, gate: Gate) -> str:
    """The gate's number as people write it on bills."""
    return f"G{scene.number:04d}-{gate.sequence}"


def _deciders(scene: Scene) -> dict[str, str]:
    return {"client": scene.customer.approver, "team": scene.manager, "authority": "Building department"}


def _write_milestone(scene: Scene, gate: Gate, name: str, code: str | None, last: int) -> None:
    step = gate.step
    by_amount = scene.firm.invoice_kind == "progress"
    scene.rows["milestones"].append(
        Milestone(
            key=gate.key,
            recorded_at=last,
            deleted_at=None,
            project=scene.key,
            name=name,
            number=gate_number(scene, gate),
            gate=code,
            sequence=gate.sequence,
            kind=step.kind,
            owner_team=step.owner_team,
            next_team=step.next_team,
            approver_side=step.approver_side,
            approver=_deciders(scene)[step.approver_side] if scene.number % 5 != 2 else None,
            bills_amount=gate.amount if by_amount else None,
            bills_pct=None if by_amount else step.bills_pct,
            invoice=None,  # these firms link from the bill to the gate
            locks_scope=step.locks_scope,
            client_visible=step.client_visible,
            acceptance_criterion=step.acceptance_criterion if scene.number % 7 else None,
            needs_documents=any(wanted.required for wanted in step.documents) if scene.number % 6 != 1 else None,
            history_quality=gate.history,
        )
    )


def _events(gate: Gate, stop: int | None) -> list[tuple[int, str, str]]:
    """Instant, type and acting side of everything that ever happens to the gate, in order."""
    side = gate.step.approver_side
    events = [(gate.began, "started", "team")] if gate.explicit else []
    for index, turn in enumerate(gate.turns):
        if index and gate.turns[index - 1].decision == "approved":
            events.append((turn.began, "reopened", side))
        events.append((turn.submitted, "submitted", "team"))
        events.append((turn.decided, turn.decision, "system" if turn.is_auto else side))
    if not gate.turns:
        events.append((gate.ended, gate.fate, "team" if gate.fate == "cancelled" else side))
    if gate.history != "timestamps":
        for index, (recorded, _, _) in enumerate(gate.plan_days):
            events.append((recorded, "rescheduled" if index else "planned", "team"))
    if stop is not None and gate.ended > stop:
        events.append((stop, "cancelled", "team"))
    return sorted(events)


def _draw_plans(scene: Scene, gate: Gate) -> None:
    """Fills `plan_days`: a first plan, then the slips that the gate's lateness brings."""
    rng = scene.rng
    so_far = sum(step.typical_days for step in scene.playbook.gates[: gate.sequence])
    due = scene.office.workday(scene.day(scene.kickoff) + round(so_far * 1.12))
    signed_later = scene.number % 9 == 4
    recorded = scene.after(scene.kickoff, 1) if signed_later else scene.signed - 60 * (2 + rng.randrange(20))
    gate.plan_days.append((recorded, due, None))
    finished = scene.day(gate.ended)
    draw = rng.random()
    late = finished - due
    if late <= 0 and draw > 0.12:
        return
    slips = 1 + (draw < 0.45) + (draw < 0.2) + (draw < 0.06)
    opens = max(recorded + SECONDS_A_DAY, (due - 12) * SECONDS_A_DAY)
    room = gate.ended - 4 * SECONDS_A_DAY - opens
    if room < slips * 5 * SECONDS_A_DAY:
        return
    first = due
    for slip in range(1, slips + 1):
        recorded = scene.office.open(opens + int(room * (slip - 0.3 * rng.random()) / (slips + 1)), rng.random())
        moved = late * slip / slips * (0.7 + 0.45 * rng.random()) if late > 0 else rng.choice((-6, -3, 4, 7))
        new = scene.office.workday(first + round(moved))
        if new != due:
            due = new
            gate.plan_days.append((recorded, due, rng.choice(scene.firm.slip_reasons)))


def _write_plans(scene: Scene, gate: Gate) -> None:
    named = scene.number % 5 != 3
    for version, (recorded, due, reason) in enumerate(gate.plan_days, start=1):
        if recorded <= scene.until:
            scene.rows["milestone_plans"].append(
                MilestonePlan(
                    key=f"pln_{gate.key[4:]}_{version}",
                    recorded_at=recorded,
                    deleted_at=None,
                    milestone=gate.key,
                    due_on=due,
                    is_baseline=version == 1 if named else None,
                    reason=reason,
                )
            )


def write_papers(scene: Scene) -> None:
    """Documents of the project itself, which no gate calls for."""
    papers = ["signed contract", "certificate of insurance"] if scene.playbook.retainage_pct else ["signed contract"]
    for index, paper in enumerate(papers, start=1):
        key = f"doc_{scene.key[4:]}_p{index}"
        scene.rows["documents"].append(
            Document(
                key=key,
                recorded_at=scene.signed,
                deleted_at=None,
                milestone=None,
                project=scene.key,
                type=paper,
                required=True,
                received_at=scene.signed,
                accepted_at=scene.signed,
                expires_on=scene.day(scene.signed) + 365 if index == 2 else None,
                url=f"https://files.example/{key}.pdf",
            )
        )


def _write_documents(scene: Scene, gate: Gate) -> None:
    for index, wanted in enumerate(gate.step.documents, start=1):
        state, received, accepted, expires = _draw_document(scene, gate, wanted)
        key = f"doc_{gate.key[4:]}_{index}"
        seen = scene.cut(received)
        twin = scene.after(received, 2 + 30 * scene.rng.random()) if received and scene.chance(0.02) else None
        row = Document(
            key=key,
            recorded_at=scene.cut(accepted) or seen or scene.signed,
            deleted_at=None,
            milestone=gate.key,
            project=None,
            type=wanted.type,
            required=wanted.required,
            received_at=seen,
            accepted_at=scene.cut(accepted),
            expires_on=expires if seen else None,
            url=f"https://files.example/{key}.pdf" if seen else None,
        )
        scene.rows["documents"].append(row)
        if twin and seen:
            deleted = scene.deletion("documents", f"{key}b", twin)
            copy = row._replace(key=f"{key}b", required=False, recorded_at=deleted or seen, deleted_at=deleted)
            scene.rows["documents"].append(copy)
        if gate.turns:
            scene.truth["documents"].append(_document_truth(scene, gate, row, state))


def _draw_document(
    scene: Scene, gate: Gate, wanted: playbooks.RequiredDocument
) -> tuple[str, int | None, int | None, int | None]:
    """State, received, accepted and expiry day of a document, seen from the gate's submission.

    It arrives before the first submission or after the last, never between, so the state is plain.
    """
    rng = scene.rng
    draw, days, part = rng.random(), rng.random(), rng.random()
    if not gate.turns:
        return "missing", None, None, None
    first, last = gate.turns[0].submitted, gate.turns[-1].submitted
    signed = scene.after(scene.signed, 0)
    received: int | None = max(signed, scene.office.open(first - int((3.2 + 8 * days) * SECONDS_A_DAY), part))
    state = "ready"
    expires = scene.day(last) + int(wanted.valid_days * (0.3 + 0.7 * days)) if wanted.valid_days else None
    if draw < 0.05:
        state, received, expires = "missing", None, None
    elif draw < 0.12 and len(gate.turns) == 1 and gate.fate == "passed":
        state, received = "late", scene.after(last, 0.5 + 9 * days)
    elif draw > 0.93 and wanted.valid_days:
        state, expires = "expired", scene.day(first) - 2 - int(25 * days)
        received = max(signed, scene.office.open((expires - 90) * SECONDS_A_DAY, part))
    accepted = scene.after(received, 0.3 + days) if received and part < 0.9 else None
    return state, received, accepted, expires


def _document_truth(scene: Scene, gate: Gate, row: Document, state: str) -> DocumentTruth:
    submitted = scene.cut(gate.turns[0].submitted)
    late = None
    if submitted is None:
        state = "waiting"
    elif state == "late":
        late = row.received_at - submitted if row.received_at is not None else None
        state = "late" if late is not None else "missing"
    return DocumentTruth(row.key, gate.key, row.required, state, late)


def _write_hand_off(scene: Scene, gate: Gate) -> None:
    approved = scene.cut(gate.first_approved)
    if approved is None or gate.hand_off is None or gate.step.handoff is None:
        return
    notified, accepted, started = (scene.cut(moment) for moment in gate.hand_off)
    key = f"hnd_{gate.key[4:]}"
    scene.rows["handoffs"].append(
        Handoff(
            key=key,
            recorded_at=max(moment for moment in (approved, notified, accepted, started) if moment is not None),
            deleted_at=None,
            milestone=gate.key,
            from_team=gate.step.handoff.from_team,
            to_team=gate.step.handoff.to_team,
            notified_at=notified,
            accepted_at=accepted,
            started_at=started,
        )
    )
    scene.truth["handoffs"].append(
        HandoffTruth(
            handoff=key,
            milestone=gate.key,
            approved_at=approved,
            notify_seconds=None if notified is None else notified - approved,
            accept_seconds=None if notified is None or accepted is None else accepted - notified,
            latency_seconds=None if started is None else started - approved,
        )
    )


# --- what is planted of a gate ------------------------------------------------------------------


def gate_truth(scene: Scene, gate: Gate, before: Gate | None, is_over: bool) -> GateTruth:
    """The gate at as_of, summed from its turns as they were drawn; spans count once they have ended.

    `is_over`: the project was cancelled, and with it every gate that had not ended.
    """
    until = scene.until
    is_cancelled = is_over and gate.ended > until
    work = idle = rework = attempts = 0
    waits = {"client": 0, "team": 0, "authority": 0}
    side = gate.step.approver_side
    submitted_at = None
    first = scene.cut(gate.first_approved)
    is_auto = False
    for index, turn in enumerate(gate.turns):
        if turn.began > until:
            break
        attempts += 1
        ended = turn.began
        if index:
            idle += turn.began - gate.turns[index - 1].decided
        if turn.submitted <= until:
            ended = submitted_at = turn.submitted
            work += turn.submitted - turn.began
        if turn.decided <= until:
            ended = turn.decided
            waits[side] += turn.decided - turn.submitted
            is_auto = turn.is_auto
        if index:
            rework += ended - turn.began
    approved = gate.approved(until)
    started, rule, is_settled = _start(scene, gate, before)
    status = _status(scene, gate, started, approved, is_cancelled)
    if gate.fate == "violated" and approved is not None:
        scene.truth["violations"].append(ViolationTruth(gate.key, submitted_at, approved))
    return GateTruth(
        milestone=gate.key,
        project=scene.key,
        status=status,
        is_settled=is_settled and gate.fate == "passed" and not is_cancelled,
        start_rule=rule,
        started_at=started,
        submitted_at=submitted_at,
        first_approved_at=first,
        approved_at=approved,
        cycle_seconds=approved - started if approved is not None and started is not None else None,
        work_seconds=work,
        client_wait_seconds=waits["client"],
        team_wait_seconds=waits["team"],
        authority_wait_seconds=waits["authority"],
        idle_seconds=idle,
        rework_seconds=rework,
        attempts=attempts,
        is_reopened=_is_reopened(gate, until),
        is_auto_approved=is_auto and approved is not None,
        amount=gate.amount,
        invoiced=gate.invoiced,
        unbilled=max(0, gate.amount - gate.invoiced) if approved is not None and not is_cancelled else 0,
        currency=scene.customer.currency,
    )


def _is_reopened(gate: Gate, until: int) -> bool:
    pairs = zip(gate.turns, gate.turns[1:], strict=False)
    return any(turn.decision == "approved" and later.began <= until for turn, later in pairs)


def _start(scene: Scene, gate: Gate, before: Gate | None) -> tuple[int | None, str | None, bool]:
    """The start by the written rule, the rule, and whether the rules leave no room for another answer."""
    if gate.explicit and gate.began <= scene.until:
        return gate.began, "started", True
    if before is None:
        return scene.cut(scene.kickoff), "kickoff" if scene.cut(scene.kickoff) else None, True
    approved = before.approved(scene.until)
    plain = before.fate == "passed" and not (approved is None and scene.cut(before.first_approved))
    return approved, "previous approval" if approved else None, plain or (not gate.explicit)


def _status(scene: Scene, gate: Gate, started: int | None, approved: int | None, is_cancelled: bool) -> str:
    if gate.fate in ("waived", "cancelled") and gate.ended <= scene.until:
        return gate.fate
    if is_cancelled and gate.ended > scene.until:
        return "cancelled"
    if approved is not None:
        return "approved"
    seen = [turn for turn in gate.turns if turn.began <= scene.until]
    if not seen or started is None:
        return "in_progress" if started is not None else "not_started"
    last = seen[-1]
    if last.submitted <= scene.until:
        return "awaiting_decision"
    return "changes_requested" if len(seen) > 1 else "in_progress"
