"""A snapshot of three firms in which every record that a viewer may not see says so in each of its own texts.

The records of projects that are not the project manager's carry one mark, those of the manager's other clients a
second. Of the client's own projects the first gate is not for it to see. Amounts that are not the manager's are a
thousand times as large. What is sent to a viewer is kept whole.
"""

from __future__ import annotations

import io
import json
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

sys.path.append(str(Path(__file__).parents[1] / "dashboard"))
import published

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
AS_OF = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
FOREIGN, OTHER_CLIENT = "qqforeignqq", "qqotherqq"
GREAT = re.compile(rb"\d{2,3},\d{3},\d{3}")  # an amount as only the foreign ones are
_ID = re.compile(r"\b(?:prj|mst|pln|evt|cho|inv|lin|pay|doc|hnd|xtr)_(\d{4})|\bclt_\d{4}")
_WORDS = ("name", "manager", "owner", "number", "title", "description", "reference", "actor", "approver",
          "acceptance_criterion")  # fmt: skip
_AMOUNTS = ("contract_amount", "bills_amount", "amount_requested", "amount_approved", "total", "tax", "retained",
            "amount", "line_amount")  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """Where the snapshot is, whose the records without a mark are, and ids that are not theirs."""

    data: Path
    manager: str
    client: str  # its id
    foreign_client: str
    foreign_project: str
    foreign_firm: str


def plant(data: Path, projects: int) -> Planted:
    """Publishes the snapshot."""
    from pipelines.demo.simulation import simulate

    found = simulate(seed=7, projects=projects, as_of=AS_OF)
    listed = found.records["projects"]
    with_clients = {(one["manager"], one["client"]) for one in listed}
    most = Counter(manager for manager, _ in sorted(with_clients)).most_common(1)[0][0]
    mine = [one for one in listed if one["manager"] == most]
    elsewhere = {one["client"] for one in listed if one["manager"] != most}
    mine.sort(key=lambda one: (one["client"] in elsewhere, one["id"]))
    assert mine[0]["client"] not in elsewhere, "no client is the manager's alone"
    client = str(mine[0]["client"])
    marks = {_number(one["id"]): "" if one["client"] == client else OTHER_CLIENT for one in mine}
    marks_of_clients = {str(one["client"]): "" if one["client"] == client else OTHER_CLIENT for one in mine}

    def mark_of(id_: re.Match[str]) -> str:
        return marks.get(id_[1], FOREIGN) if id_[1] else marks_of_clients.get(id_[0], FOREIGN)

    def marked(row: Mapping[str, Any]) -> dict[str, Any]:
        own = _ID.match(str(row["id"]))
        assert own, row
        mark = mark_of(own)
        changed: dict[str, Any] = {}
        for name, value in row.items():
            if isinstance(value, str):
                changed[name] = _ID.sub(lambda id_: id_[0] + mark_of(id_), value)
                if name in _WORDS and mark:
                    changed[name] = f"{value} {mark}" if not (name == "manager" and mark == OTHER_CLIENT) else value
                if name in _AMOUNTS and mark == FOREIGN:
                    changed[name] = f"{float(value) * 1000:.2f}"
            else:
                changed[name] = value
        if not mark and row.get("sequence") == 1:
            changed["client_visible"] = False  # of the client's own projects, and not for it to see
        return changed

    records = {entity: [marked(row) for row in rows] for entity, rows in found.records.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "simulate", lambda **_: SimpleNamespace(records=records, rates=found.rates))
        published.publish(data, projects, failed=("hearth",))
    run = {"started_at": "2026-06-30T11:00:00+00:00", "ended_at": "2026-06-30T11:01:00+00:00", "started_by": "schedule",
           "outcome": "failed", "row_count": 1, "rejected_count": 1, "published": None, "steps": [],
           "error": f"client {FOREIGN} does not fit"}  # fmt: skip
    (data / "runs.json").write_text(json.dumps([run]), "utf-8")
    stranger = next(one for one in records["projects"] if FOREIGN in one["id"] and FOREIGN in one["client"])
    firm = mine[0]["firm"]
    return Planted(
        data, most, f"{firm}:{client}", f"{stranger['firm']}:{stranger['client']}",
        f"{stranger['firm']}:{stranger['id']}", published.FIRMS[stranger["firm"]],
    )  # fmt: skip


def _number(id_: object) -> str:
    found = _ID.match(str(id_))
    assert found
    return found[1]


@dataclass
class Sent:
    """All that a run sent: every message as bytes, and every file it offered."""

    messages: list[bytes]
    files: list[Callable[[], Any]]

    def told(self) -> bytes:
        """Everything in one, workbooks unpacked."""
        return b"\n".join([*self.messages, *(_unpacked(one()) for one in self.files)])


def _unpacked(file: Any) -> bytes:
    content = file.encode() if isinstance(file, str) else bytes(file)
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        return b"\n".join(book.read(name) for name in book.namelist())


@contextmanager
def recorded() -> Iterator[Sent]:
    """Keeps what is sent meanwhile."""
    sent = Sent([], [])
    enqueue, add_deferred = ForwardMsgQueue.enqueue, MediaFileManager.add_deferred

    def keep(queue: ForwardMsgQueue, message: Any) -> Any:
        sent.messages.append(message.SerializeToString())
        return enqueue(queue, message)

    def keep_file(manager: MediaFileManager, make: Any, *args: Any, **more: Any) -> Any:
        sent.files.append(make)
        return add_deferred(manager, make, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForwardMsgQueue, "enqueue", keep)
        patch.setattr(MediaFileManager, "add_deferred", keep_file)
        yield sent


def opened(data: Path, page: str, user: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> AppTest:
    """A page as somebody who has signed in opens it."""
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.user = dict(user)
    if page != "overview":
        app._page_hash = calc_hash(page)
    for name, value in (params or {}).items():
        app.query_params[name] = value
    return app.run()
