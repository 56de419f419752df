"""The demo client portal: an HTTP server over a simulated portfolio, for people and tests to act on.

It speaks the contract that sources of kind `portal` pull: bearer token, keyset pages ordered by
`updated_at` and `id`, tombstones instead of silence, 429 with `Retry-After` when hurried. A decision
posted to a milestone is written to its event log, and has the effects a firm expects of its portal.
What stays out: making the records (the simulation), and keeping them (all is gone when it stops).
"""

import base64
import binascii
import html
import json
import math
import socket
import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.exceptions import HTTPException as StarletteHTTPException

from models.catalog import Field as ContractField
from models.catalog import contract
from models.faults import fault
from pipelines.sources.portal import FIELDS

HOST = "127.0.0.1"
Record = dict[str, Any]
Key = tuple[datetime, str]  # (updated_at, id): the order of every page

_PYTHON_TYPES: dict[str, Any] = {"boolean": bool, "integer": int, "number": float}
_AFTER = {
    "planned": None,  # a plan says nothing of the state
    "rescheduled": None,
    "started": "in progress",
    "submitted": "awaiting decision",
    "approved": "approved",
    "changes_requested": "changes requested",
    "rejected": "changes requested",
    "reopened": "in progress",
    "waived": "waived",
    "cancelled": "cancelled",
}
_OPEN = {"in progress", "awaiting decision", "changes requested"}


@dataclass(frozen=True, slots=True)
class Move:
    """What a client or a team may do to a milestone: from which states, and the event it leaves."""

    event: str
    allowed_from: frozenset[str]
    refusal: str


MOVES = {
    "submit": Move(
        "submitted",
        frozenset({"not started", "in progress", "changes requested"}),
        "Only work in progress can be submitted.",
    ),
    "approve": Move("approved", frozenset({"awaiting decision"}), "Only a submitted milestone can be approved."),
    "request_changes": Move(
        "changes_requested",
        frozenset({"awaiting decision"}),
        "Changes can be requested only of a submitted milestone.",
    ),
    "reopen": Move("reopened", frozenset({"approved"}), "Only an approved milestone can be reopened."),
}


class EventRequest(BaseModel):
    """A decision, or a submission, on a milestone."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["submit", "approve", "request_changes", "reopen"] = Field(description="What is done.")
    actor: str | None = Field(default=None, description="Who does it.")
    note: str | None = Field(default=None, description="A remark kept with the event.")


@dataclass(frozen=True, slots=True)
class Hurry:
    """How fast one token may ask: `per_second` requests lastingly, `burst` at once; `timer` in seconds."""

    per_second: float = 200.0
    burst: int = 1000
    timer: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class _Bucket:
    """Requests left to each token."""

    hurry: Hurry
    left: dict[str, tuple[float, float]] = field(default_factory=dict)  # token -> (requests, when counted)

    def wait(self, token: str) -> float:
        """Seconds to wait before the next request; 0 takes one request out of the bucket."""
        now = self.hurry.timer()
        left, counted = self.left.get(token, (float(self.hurry.burst), now))
        left = min(float(self.hurry.burst), left + (now - counted) * self.hurry.per_second)
        if left < 1:
            return (1 - left) / self.hurry.per_second
        self.left[token] = (left - 1, now)
        return 0.0


class Shelf:
    """One firm's rows of one entity, kept in page order. Callers hold the firm's lock."""

    def __init__(self, rows: list[Record]) -> None:
        self.rows: dict[str, Record] = {str(row["id"]): row for row in rows}
        self.order: list[Key] = sorted((_instant(row["updated_at"]), key) for key, row in self.rows.items())

    def put(self, row: Record) -> None:
        key = str(row["id"])
        if old := self.rows.get(key):
            del self.order[bisect_left(self.order, (_instant(old["updated_at"]), key))]
        self.rows[key] = row
        insort(self.order, (_instant(row["updated_at"]), key))

    def page(self, since: datetime | None, after: Key | None, limit: int) -> tuple[list[Record], Key | None]:
        """Up to `limit` rows, and the key of the last one where more follow."""
        start = bisect_left(self.order, (since, "")) if since else 0
        if after:
            start = max(start, bisect_right(self.order, after))
        keys = self.order[start : start + limit]
        more = start + limit < len(self.order)
        return [self.rows[key] for _, key in keys], keys[-1] if more and keys else None


class Firm:
    """What one token sees: a shelf per entity, and the event log of each milestone."""

    def __init__(self, shelves: Mapping[str, Shelf]) -> None:
        self.lock = threading.RLock()
        self.shelves = shelves
        self.log: dict[str, list[Record]] = {}
        for event in shelves["milestone_events"].rows.values():
            self.log.setdefault(event["milestone"], []).append(event)

    def state(self, milestone: str, now: datetime) -> str:
        """Where a milestone stands, by the events that have happened and were not deleted."""
        happened = [
            (_instant(event["occurred_at"]), event["type"])
            for event in self.log.get(milestone, ())
            if not event.get("deleted_at") and _instant(event["occurred_at"]) <= now
        ]
        states = [_AFTER[kind] for _, kind in sorted(happened, key=lambda seen: seen[0])]
        return next((state for state in reversed(states) if state), "not started")

    def assignments(self, team: str, now: datetime) -> list[Record]:
        """The milestones a team has begun and not yet brought to approval, oldest project first."""
        held = []
        for row in self.shelves["milestones"].rows.values():
            if row["owner_team"] == team and not row["deleted_at"]:
                state = self.state(row["id"], now)
                if state in _OPEN:
                    held.append(
                        {
                            "milestone": row["id"],
                            "project": row["project"],
                            "name": row["name"],
                            "state": state,
                        }
                    )
        return sorted(held, key=lambda one: (one["project"], one["milestone"]))

    def notices(self, team: str) -> list[Record]:
        """Hand-offs that a team was told of and has not started."""
        rows = self.shelves["handoffs"].rows.values()
        return [row for row in rows if row["to_team"] == team and not row["started_at"] and not row["deleted_at"]]

    def knows(self, team: str) -> bool:
        rows = self.shelves["milestones"].rows.values()
        return any(team in (row["owner_team"], row["next_team"]) for row in rows)

    def act(self, milestone: str, asked: EventRequest, now: datetime) -> Record:
        """Writes one event to a milestone's log; returns the event, the state reached and the effects."""
        row = self.shelves["milestones"].rows.get(milestone)
        if row is None or row["deleted_at"]:
            raise HTTPException(404, f"There is no milestone {milestone}.")
        move, state = MOVES[asked.type], self.state(milestone, now)
        if state not in move.allowed_from:
            raise HTTPException(409, f"Milestone {milestone} is {state}. {move.refusal}")
        stamp = _wire(max(now, self._newest()))
        event = self._event(row, asked, move.event, now, stamp)
        load_before = len(self.assignments(row["owner_team"], now)) if row["owner_team"] else 0
        self.shelves["milestone_events"].put(event)
        self.log.setdefault(milestone, []).append(event)
        self.shelves["milestones"].put({**row, "updated_at": stamp})
        effects = self._approved(row, now, stamp, load_before) if move.event == "approved" else []
        return {"event": event, "state": self.state(milestone, now), "effects": effects}

    def _event(self, row: Record, asked: EventRequest, kind: str, now: datetime, stamp: str) -> Record:
        side = "team" if asked.type == "submit" else row["approver_side"] or "client"
        event = {
            "id": self._unused("milestone_events", f"evt_{row['id']}"),
            "updated_at": stamp,
            "url": row["url"],
            "deleted_at": None,
            "milestone": row["id"],
            "type": kind,
            "occurred_at": _wire(now),
            "actor": asked.actor,
            "actor_side": side,
            "origin": "log",
        }
        return {**event, "note": asked.note} if asked.note else event

    def _approved(self, row: Record, now: datetime, stamp: str, load_before: int) -> list[Record]:
        """What follows from an approval: the next team is told, the owning team is freed, scope is locked."""
        effects: list[Record] = []
        owner, following = row["owner_team"], row["next_team"]
        if following and following != owner:
            if not self._told(row["id"], following):
                notice = {
                    "id": self._unused("handoffs", f"hnd_{row['id']}"),
                    "updated_at": stamp,
                    "url": row["url"],
                    "deleted_at": None,
                    "milestone": row["id"],
                    "from_team": owner,
                    "to_team": following,
                    "notified_at": _wire(now),
                    "accepted_at": None,
                    "started_at": None,
                }
                self.shelves["handoffs"].put(notice)
                effects.append({"handoff": notice})
            if owner:
                left = len(self.assignments(owner, now))
                freed = {
                    "team": owner,
                    "milestone": row["id"],
                    "open_before": load_before,
                    "open_after": left,
                }
                effects.append({"freed": freed})
        if row["locks_scope"]:
            effects.append({"scope_locked": {"project": row["project"], "milestone": row["id"], "at": _wire(now)}})
        return effects

    def _told(self, milestone: str, team: str) -> bool:
        return any(
            row["milestone"] == milestone and row["to_team"] == team and not row["deleted_at"]
            for row in self.shelves["handoffs"].rows.values()
        )

    def _unused(self, entity: str, stem: str) -> str:
        rows = self.shelves[entity].rows
        number = 1
        while f"{stem}_{number}" in rows:
            number += 1
        return f"{stem}_{number}"

    def _newest(self) -> datetime:
        """The firm's newest `updated_at`: no later write may stand before it, or a puller would miss it."""
        return max(
            (shelf.order[-1][0] for shelf in self.shelves.values() if shelf.order),
            default=datetime.min.replace(tzinfo=UTC),
        )


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Health(BaseModel):
    """The portal is up."""

    status: Literal["ok"] = "ok"
    time: str = Field(description="The portal's clock, UTC.")


class Load(BaseModel):
    """What a team has on its desk."""

    team: str
    open_count: int = Field(description="Milestones begun and not yet approved.")
    assignments: list[dict[str, Any]] = Field(description="Those milestones and their states.")
    notices: list[dict[str, Any]] = Field(description="Hand-offs the team was told of and has not started.")


class Acted(BaseModel):
    """The event that was written, and what followed from it."""

    event: dict[str, Any]
    state: str = Field(description="The state the milestone is in now.")
    effects: list[dict[str, Any]] = Field(description="`handoff`, `freed` and `scope_locked`, where they apply.")


def create_app(
    records: Mapping[str, list[Record]],
    tokens: Mapping[str, str],
    clock: Callable[[], datetime],
    hurry: Hurry | None = Hurry(),
) -> FastAPI:
    """The portal as an ASGI application.

    `records` holds wire-form rows per entity, each with its `firm`; `tokens` says which firm a token
    sees; `hurry` of None never answers 429. Rows are copied: nothing given is changed.
    """
    firms = _firms(records, set(tokens.values()))
    bucket = _Bucket(hurry) if hurry else None
    app = FastAPI(
        title="Milepost demo client portal",
        version="1",
        description="Milestones, invoices and change orders of simulated firms. Every token sees one firm.",
        docs_url=None,
        redoc_url=None,
    )
    bearer = HTTPBearer(auto_error=False, description="The firm's token.")

    async def firm_of(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Firm:
        if given is None or given.credentials not in tokens:
            raise HTTPException(401, "Give a valid bearer token.", {"WWW-Authenticate": "Bearer"})
        if bucket and (seconds := bucket.wait(given.credentials)):
            raise HTTPException(429, "Too many requests.", {"Retry-After": str(math.ceil(seconds))})
        return firms[tokens[given.credentials]]

    _add_pages(app, firm_of)
    _add_actions(app, firm_of, clock)
    _add_documents(app)
    _add_refusals(app)
    return app


def serve(app: FastAPI, port: int, ready: Callable[[str], None] = lambda _: None) -> None:
    """Serves on 127.0.0.1 until interrupted; `port` 0 takes a free one. `ready` is told the address.

    Raises `Fault` where the port is taken.
    """
    listener = _listen(port)
    with listener:
        _Server(app, ready).run(sockets=[listener])


@contextmanager
def running(app: FastAPI, port: int = 0) -> Iterator[str]:
    """The address of the portal while it serves from a thread of this process."""
    up = threading.Event()
    listener = _listen(port)
    server = _Server(app, lambda _: up.set())
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="portal", daemon=True)
    with listener:
        thread.start()
        try:
            up.wait(30)
            yield _address(listener)
        finally:
            server.should_exit = True
            thread.join(10)


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, app: FastAPI, ready: Callable[[str], None]) -> None:
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off",
                                        timeout_graceful_shutdown=2))  # fmt: skip
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets:
            self._ready(_address(sockets[0]))


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise fault(f"port {port}", f"cannot be opened ({error.strerror}).", "Choose another port.") from None
    return listener


def _address(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"


def _firms(records: Mapping[str, list[Record]], names: set[str]) -> dict[str, Firm]:
    """Each firm's shelves, made in one pass over the rows."""
    sorted_out: dict[str, dict[str, list[Record]]] = {name: {entity: [] for entity in FIELDS} for name in names}
    for entity in FIELDS:
        for row in records.get(entity, ()):
            if row["firm"] in sorted_out:
                served = dict(row)
                sorted_out[served.pop("firm")][entity].append(served)
    return {
        name: Firm({entity: Shelf(rows) for entity, rows in entities.items()}) for name, entities in sorted_out.items()
    }


def _add_pages(app: FastAPI, firm_of: Callable[..., Any]) -> None:
    """One listing per entity, so that each has its own description; any other name is a 404 that says so."""

    def listing(entity: str) -> Callable[..., Response]:
        def read(
            firm: Annotated[Firm, Depends(firm_of)],
            updated_since: Annotated[str | None, Query(description="Rows updated at or after this instant.")] = None,
            cursor: Annotated[str | None, Query(description="The `next_cursor` of the page before.")] = None,
            limit: Annotated[int, Query(ge=1, le=1000, description="Rows per page.")] = 100,
        ) -> Response:
            since = _asked_instant(updated_since) if updated_since else None
            after = _read_cursor(cursor) if cursor else None
            with firm.lock:
                rows, last = firm.shelves[entity].page(since, after, limit)
            page = {"data": rows, "next_cursor": _write_cursor(last) if last else None}
            return Response(json.dumps(page, separators=(",", ":")), media_type="application/json")

        return read

    for name, entity in contract().entities.items():
        app.add_api_route(
            f"/v1/{name}",
            listing(name),
            summary=f"List {name.replace('_', ' ')}",
            description=f"{entity.about} Ordered by `updated_at` and `id`; deleted rows have `deleted_at`.",
            operation_id=f"list_{name}",
            responses={200: {"model": _page_model(name)}, **_refusals(400, 401, 422, 429)},
            tags=["records"],
        )


def _add_actions(app: FastAPI, firm_of: Callable[..., Any], clock: Callable[[], datetime]) -> None:
    @app.post("/v1/milestones/{milestone}/events", status_code=201, tags=["decisions"], response_model=Acted,
              responses=_refusals(401, 404, 409, 422, 429))  # fmt: skip
    def act(milestone: str, asked: EventRequest, firm: Annotated[Firm, Depends(firm_of)]) -> Response:
        """Submit a milestone, approve it, request changes or reopen it.

        Approving one that has a next team tells that team and frees the one that owned it; approving
        one that locks scope says so.
        """
        with firm.lock:
            return JSONResponse(firm.act(milestone, asked, clock()), 201)

    @app.get("/v1/teams/{team}/load", tags=["teams"], response_model=Load, responses=_refusals(401, 404, 429))
    def load(team: str, firm: Annotated[Firm, Depends(firm_of)]) -> Response:
        """What a team has begun and not yet brought to approval, and the hand-offs waiting for it."""
        with firm.lock:
            if not firm.knows(team):
                raise HTTPException(404, f"There is no team {team}.")
            held = firm.assignments(team, clock())
            return JSONResponse(
                {"team": team, "open_count": len(held), "assignments": held, "notices": firm.notices(team)}
            )

    @app.get("/v1/health", tags=["portal"], response_model=Health)
    async def health() -> Response:
        """Whether the portal is up; needs no token."""
        return JSONResponse({"status": "ok", "time": _wire(clock())})

    @app.get("/v1/{entity}", include_in_schema=False, dependencies=[Depends(firm_of)])
    async def unknown(entity: str) -> Response:
        raise HTTPException(404, f"There is no entity {entity!r}. There are: {', '.join(FIELDS)}.")


def _add_documents(app: FastAPI) -> None:
    """A page of the operations that needs nothing from outside: browsers on a closed network show it too."""

    @app.get("/docs", include_in_schema=False)
    async def documents() -> HTMLResponse:
        return HTMLResponse(_documents_page(app.openapi()))

    @app.get("/", include_in_schema=False)
    async def door() -> HTMLResponse:
        return HTMLResponse(_documents_page(app.openapi()))


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def refused(_: Request, error: StarletteHTTPException) -> JSONResponse:
        return _refusal(error.status_code, str(error.detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        found = (f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return _refusal(422, "; ".join(found))


def _refusal(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    title = {400: "Bad request", 401: "Not allowed", 404: "Not found", 405: "Not possible", 409: "Not now",
             422: "Not understood", 429: "Too hurried"}.get(status, "Refused")  # fmt: skip
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, headers, "application/problem+json")


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}


def _page_model(entity: str) -> type[BaseModel]:
    """The shape of a page, from the contract, for the OpenAPI description."""
    fields: dict[str, Any] = {name: _model_field(one) for name, one in FIELDS[entity].items()}
    title = entity.title().replace("_", "")
    row = create_model(title, __doc__=contract().entities[entity].about, **fields)
    return create_model(
        f"{title}Page",
        data=(list[row], Field(description="The rows.")),  # type: ignore[valid-type]
        next_cursor=(str | None, Field(description="Ask with it for the next page; null on the last.")),
    )


def _model_field(one: ContractField) -> tuple[Any, Any]:
    kind: Any = Literal[one.values] if one.values else _PYTHON_TYPES.get(one.type, str)
    formats = {"instant": "date-time", "day": "date", "decimal": "decimal"}
    extra: dict[str, Any] | None = {"format": formats[one.type]} if one.type in formats else None
    return (kind if one.required else kind | None), Field(description=one.about, json_schema_extra=extra)


def _documents_page(described: Mapping[str, Any]) -> str:
    operations = [
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation.get('description') or operation.get('summary', ''))}"
        f"{_parameters(operation)}</td></tr>"
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>"
        f"{html.escape(described['info']['title'])}</title><style>body{{font:16px/1.5 system-ui,sans-serif;"
        "max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
        "td{border-top:1px solid #ccc;padding:.5rem;vertical-align:top}</style>"
        f"<h1>{html.escape(described['info']['title'])}</h1>"
        f"<p>{html.escape(described['info']['description'])} "
        "Send it as <code>Authorization: Bearer …</code>. The full description is at "
        "<a href='/openapi.json'>/openapi.json</a>.</p>"
        f"<table>{''.join(operations)}</table></html>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    names = [f"<code>{html.escape(one['name'])}</code>" for one in operation.get("parameters", ())]
    return f"<br>Parameters: {', '.join(names)}" if names else ""


def _write_cursor(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([_wire(key[0]), key[1]]).encode()).decode()


def _read_cursor(cursor: str) -> Key:
    try:
        updated_at, key = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        return _instant(updated_at), str(key)
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise HTTPException(400, "The cursor is not one this portal gave.") from None


def _asked_instant(text: str) -> datetime:
    try:
        return _instant(text.replace(" ", "+"))  # a plus sign that was not escaped arrives as a blank
    except ValueError:
        raise HTTPException(400, f"updated_since is not an instant: {text!r}. Write 2026-03-04T15:12:00Z.") from None


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _wire(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
