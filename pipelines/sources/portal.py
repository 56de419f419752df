"""Pulls the records of a client portal: keyset pages over HTTP become tables of text, as received.

Each pull asks for what was updated since the last one, less an overlap, and passes on only rows that are
new or changed; an older version of a row never replaces a newer one. What stays out: what the records mean
(staging), where they are stored and when they are pulled.

dlt's own REST client is not used for the pages, since it reads money as floats; its HTTP client, which
waits as long as `Retry-After` says, is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NoReturn, cast

import dlt
import polars as pl
from dlt.sources import DltResource, DltSource
from dlt.sources.helpers.requests import Client
from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
from requests import RequestException, Response
from requests.exceptions import ChunkedEncodingError

from models.catalog import Entity, Field, contract
from models.faults import Fault, fault
from pipelines.settings import PortalSource, Settings, token
from pipelines.sources.text import column, sortable, text, unlike

# What the contract's common columns are called on the wire.
ENVELOPE = {"id": "source_key", "updated_at": "recorded_at", "url": "source_url", "deleted_at": "deleted_at"}
BATCH_ROWS = 20_000  # rows held in memory before they are passed on
_SEE_LOG = "Pull again; if it stays, look at the portal's own log."

Record = Mapping[str, Any]
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a request is tried, and how long is waited in between at most, in seconds."""

    attempts: int = 5
    backoff_seconds: float = 0.5
    ceiling_seconds: float = 60.0
    timeout_seconds: float = 60.0


def wire_fields(entity: Entity) -> Mapping[str, Field]:
    """The fields of an entity under the names a portal sends them by; the envelope stands first."""
    own = {name: one for name, one in entity.columns.items() if name not in contract().common}
    return {**{wire: entity.columns[name] for wire, name in ENVELOPE.items()}, **own}


FIELDS: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {name: wire_fields(entity) for name, entity in contract().entities.items()}
)


def source(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience = Patience()) -> DltSource:
    """The portal's records as a dlt source: one resource per entity of the contract.

    Raises `Fault` at once where the token is missing, and while pulling for whatever the portal answers
    that is not a page of the contract.
    """
    configured = cast(PortalSource, settings.sources[name])
    door = Door(name, configured, token(name, configured, environ), patience)
    resources = [_resource(entity, door, configured.lookback_seconds) for entity in FIELDS]
    return DltSource(dlt.Schema(f"raw_{name}"), "portal", resources)


def _resource(entity: str, door: Door, lookback_seconds: int) -> DltResource:
    names = tuple(FIELDS[entity])
    columns: dict[str, Any] = {one: {"data_type": "text", "nullable": one != "id"} for one in names}
    columns["updated_at"]["dedup_sort"] = "desc"  # without it dlt keeps the stale one of two versions in a batch
    return dlt.resource(
        _changes,
        name=entity,
        columns=columns,
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
    )(entity, door, timedelta(seconds=lookback_seconds))


def _changes(entity: str, door: Door, lookback: timedelta) -> Iterator[Any]:
    """Tables of new and changed rows. The state, stored with the rows, says how far the last pull came."""
    state = dlt.current.resource_state()
    columns = list(FIELDS[entity])
    if state.get("columns") != columns:  # another contract: ask for everything again
        state.clear()
    reach = Reach(lookback, state.get("newest"), dict(state.get("recent", {})))
    names = Names(columns)
    batch: list[Row] = []
    for page in door.pages(entity, reach.since):
        batch += reach.news([row_of(record, names) for record in page])
        if len(batch) >= BATCH_ROWS:
            yield _table(batch, names)
            batch = []
    if batch or "columns" not in state:  # a table without a row is to exist all the same
        yield _table(batch, names)
    for key, value in (("columns", columns), ("newest", reach.newest), ("recent", reach.recent)):
        if state.get(key) != value:
            state[key] = value


@dataclass(slots=True)
class Reach:
    """How far a pull has come: the newest `updated_at`, and a print of each row within the lookback of it.

    A row is news when it is not older than that window and differs from the version known: so an
    overlap costs nothing, a late row is not missed, and a resent old version changes nothing.
    """

    lookback: timedelta
    newest: str | None = None
    recent: dict[str, list[str]] = field(default_factory=dict)  # id -> [updated_at, print]
    since: str | None = field(init=False)
    edge: str = field(init=False)

    def __post_init__(self) -> None:
        self.since = _earlier(self.newest, self.lookback) if self.newest else None
        self.edge = self.since or ""

    def news(self, rows: list[Row]) -> list[Row]:
        """The rows of a page that are new or changed, remembered for the next pull."""
        fresh = [row for row in rows if self._is_news(row)]
        if fresh:
            self.newest = max(self.newest or "", *(_moment(row) for row in fresh))
            self._move_edge(_earlier(self.newest, self.lookback))
            for row in sorted(fresh, key=_moment):  # of two versions in a page the newer is remembered
                if _moment(row) >= self.edge:
                    self.recent[_key(row)] = [_moment(row), _print(row)]
        return fresh

    def _is_news(self, row: Row) -> bool:
        if self.since and _moment(row) < self.since:
            return False
        known = self.recent.get(_key(row))
        return known is None or _moment(row) > known[0] or (_moment(row) == known[0] and _print(row) != known[1])

    def _move_edge(self, edge: str) -> None:
        if edge > self.edge:
            self.edge = edge
            self.recent = {key: known for key, known in self.recent.items() if known[0] >= edge}


class Names:
    """Column names of an entity's rows: the contract's as they are, others cleaned and kept apart."""

    def __init__(self, columns: Iterable[str]) -> None:
        self._known = {name: name for name in columns}

    def of(self, wire: str) -> str:
        if wire not in self._known:
            plain = column(wire).encode("ascii", "ignore").decode() or "column"  # dlt would change other letters
            self._known[wire] = unlike(plain, self._known.values())
        return self._known[wire]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known.values())


def row_of(record: Record, names: Names) -> Row:
    """A record with every value as text, its fields under their column names."""
    row = {names.of(key): value if value is None or value.__class__ is str else text(value)
           for key, value in record.items()}  # fmt: skip
    row["updated_at"] = sortable(datetime.fromisoformat(str(row["updated_at"])))
    return row


def _table(batch: list[Row], names: Names) -> Any:
    """The rows as an Arrow table of text columns, which dlt stores without looking at each value."""
    return pl.from_dicts(batch, schema=dict.fromkeys(names, pl.String)).to_arrow()


def _earlier(moment: str, span: timedelta) -> str:
    return sortable(datetime.fromisoformat(moment) - span)


def _moment(row: Row) -> str:
    return str(row["updated_at"])


def _key(row: Row) -> str:
    return str(row["id"])


def _print(row: Row) -> str:
    content = json.dumps(row, sort_keys=True).encode()
    return hashlib.blake2b(content, digest_size=9).hexdigest()


class Door:
    """Asks one portal for pages, and says plainly what is wrong with an answer."""

    def __init__(self, name: str, configured: PortalSource, secret: str, patience: Patience) -> None:
        self.name = name
        self.url = configured.url.rstrip("/")
        self.page_size = configured.page_size
        self._auth = BearerTokenAuth(secret)
        self._client = Client(
            request_timeout=patience.timeout_seconds,
            raise_for_status=False,
            request_max_attempts=patience.attempts,
            request_backoff_factor=patience.backoff_seconds,
            request_max_retry_delay=patience.ceiling_seconds,
        )

    def pages(self, entity: str, since: str | None) -> Iterator[list[Record]]:
        """The pages of an entity updated at or after `since`; each record has what the contract requires."""
        required = [name for name, one in FIELDS[entity].items() if one.required]
        cursor: str | None = None
        while True:
            asked = {"updated_since": since, "cursor": cursor, "limit": str(self.page_size)}
            page = self._page(entity, {key: value for key, value in asked.items() if value is not None})
            records = page["data"]
            for place, record in enumerate(records):
                self._check(entity, place, record, required)
            yield records
            following = page.get("next_cursor")
            if not following:
                return
            if following == cursor:
                raise self._fault(entity, f"gives the cursor {cursor!r} again, so its pages never end.",
                                  "The portal must give another cursor with every page.")  # fmt: skip
            cursor = str(following)

    def _page(self, entity: str, asked: Mapping[str, str]) -> Mapping[str, Any]:
        answer = self._get(entity, asked)
        self._refuse_status(entity, answer)
        page = self._parsed(entity, answer)
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            held = f"the keys {', '.join(page) or 'none'}" if isinstance(page, dict) else f"a {type(page).__name__}"
            raise self._fault(
                entity,
                f'answers a page without a list "data" (it holds {held}).',
                'A page is {"data": [...], "next_cursor": ...}; check the url of the source.',
            )
        return page

    def _get(self, entity: str, asked: Mapping[str, str]) -> Response:
        try:
            answer: Response = self._client.get(f"{self.url}/v1/{entity}", params=asked, auth=self._auth)
        except ChunkedEncodingError:
            what, cure = "breaks off in the middle of a page, every time it is asked.", _SEE_LOG
            raise self._fault(entity, what, cure) from None
        except RequestException as error:
            what, cure = f"cannot be reached ({_cause(error)}).", "Check that the portal runs, and the source's url."
            raise self._fault(entity, what, cure) from None
        return answer

    def _refuse_status(self, entity: str, answer: Response) -> None:
        status = answer.status_code
        if status in (401, 403):
            cure = f"Set the token of source {self.name} anew: it is wrong, expired or another firm's."
            raise self._fault(entity, f"refuses the token ({status}).", cure)
        if status == 429:
            waits = answer.headers.get("Retry-After", "nothing")
            what = f"still says that it is asked too often (429, Retry-After: {waits})."
            raise self._fault(entity, what, "Pull again later.")
        if status >= 400:
            cure = "Pull again later." if status >= 500 else "Check the url and the page_size of the source."
            raise self._fault(entity, f"answers {status}{_said(answer)}.", cure)

    def _parsed(self, entity: str, answer: Response) -> object:
        body = answer.content
        try:
            return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            if body.lstrip()[:1] == b"<" or "html" in answer.headers.get("Content-Type", ""):
                cure = "Check the url of the source: it may lead to a login page or a proxy."
                raise self._fault(entity, "answers an HTML page instead of JSON.", cure) from None
            what = f"answers a page that is not whole JSON ({error}; {len(body)} bytes)."
            raise self._fault(entity, what, _SEE_LOG) from None

    def _check(self, entity: str, place: int, record: object, required: list[str]) -> None:
        """Refuses a record that could not be stored or traced: no key, no instant, no required field."""
        spot = f"place {place + 1} of a page"
        if not isinstance(record, dict):
            what = f"holds something that is no record ({spot})."
            raise self._fault(entity, what, "Every item of data must be an object.")
        for name in ("id", "updated_at"):
            if record.get(name) in (None, ""):
                what = "a record without id" if name == "id" else f"the record {record['id']!r} without updated_at"
                cure = "The portal must send id and updated_at with every record."
                raise self._fault(entity, f"holds {what} ({spot}).", cure)
        try:
            datetime.fromisoformat(record["updated_at"])
        except (ValueError, TypeError):
            what = f"record {record['id']!r}, field updated_at: {record['updated_at']!r} is not an instant."
            raise self._fault(entity, what, "Write it like 2026-03-04T15:12:00Z.") from None
        missing = [name for name in required if name not in record]
        if missing and not record.get("deleted_at"):
            what = f"record {record['id']!r} has no field {', '.join(missing)}."
            cure = "The contract requires it: the portal must send it, as null where it is not known."
            raise self._fault(entity, what, cure)

    def _fault(self, entity: str, what: str, cure: str) -> Fault:
        return fault(f"source {self.name}, GET {self.url}/v1/{entity}", what, cure)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _said(answer: Response) -> str:
    """What the portal's own problem document says, where it sent one."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {str(detail)[:200]}"


def _cause(error: RequestException) -> str:
    text = str(error)
    for plain in ("Connection refused", "Name or service not known", "timed out", "certificate"):
        if plain.lower() in text.lower():
            return plain.lower()
    return type(error).__name__
