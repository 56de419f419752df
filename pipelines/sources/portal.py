"""Pulls the records of a client portal that speaks Milepost's own HTTP contract.

The portal gives keyset pages of what was updated since an instant, deletions among them. What stays out: how a
request is made and tried again (door.py), how rows land (landing.py) and what they mean (staging).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, cast

from dlt.sources import DltSource

from models.catalog import Entity, Field, contract
from pipelines.settings import Settings
from pipelines.source_blocks import PortalSource, token
from pipelines.sources.door import PATIENT, Door, Limits, Patience, bearer
from pipelines.sources.landing import Record, Table, Terms, land

# What the contract's common columns are called on the wire.
ENVELOPE = {"id": "source_key", "updated_at": "recorded_at", "url": "source_url", "deleted_at": "deleted_at"}


def wire_fields(entity: Entity) -> Mapping[str, Field]:
    """The fields of an entity under the names a portal sends them by; the envelope stands first."""
    own = {name: one for name, one in entity.columns.items() if name not in contract().common}
    return {**{wire: entity.columns[name] for wire, name in ENVELOPE.items()}, **own}


FIELDS: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {name: wire_fields(entity) for name, entity in contract().entities.items()}
)


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The portal's records as a dlt source: one table per entity of the contract.

    Raises `Fault` at once where the token is missing, and while pulling for whatever the portal answers
    that is not a page of the contract.
    """
    configured = cast(PortalSource, settings.sources[name])
    portal = opened(name, configured, environ, patience)
    return land(name, tables(portal, configured.page_size), terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks for one client; what the portal then says of its limits."""
    portal = opened(name, cast(PortalSource, settings.sources[name]), environ, patience)
    next(pages(portal, "clients", 1, None))
    return portal.headroom


def opened(name: str, configured: PortalSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door to the portal. Raises `Fault` where its token is missing."""
    secret = token(name, configured, environ)
    limits = Limits(left=("X-RateLimit-Remaining",), allowed="X-RateLimit-Limit")
    return Door(name, configured.url, bearer(secret), patience=patience, limits=limits)


def tables(portal: Door, page_size: int) -> list[Table]:
    return [
        Table(entity, partial(pages, portal, entity, page_size), tuple(fields)[2:], ascending=True)
        for entity, fields in FIELDS.items()
    ]


def pages(portal: Door, entity: str, page_size: int, since: str | None) -> Iterator[list[Record]]:
    """The pages of an entity updated at or after `since`; each record has what the contract requires."""
    path = f"/v1/{entity}"
    required = [name for name, one in FIELDS[entity].items() if one.required]
    cursor: str | None = None
    while True:
        asked = {"updated_since": since, "cursor": cursor, "limit": str(page_size)}
        page = portal.get(path, {key: value for key, value in asked.items() if value is not None}).body
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            held = f"the keys {', '.join(page) or 'none'}" if isinstance(page, dict) else f"a {type(page).__name__}"
            cure = 'A page is {"data": [...], "next_cursor": ...}; check the url of the source.'
            raise portal.fault(path, f'answers a page without a list "data" (it holds {held}).', cure)
        for place, record in enumerate(page["data"]):
            _check(portal, path, place, record, required)
        yield page["data"]
        following = page.get("next_cursor")
        if not following:
            return
        if following == cursor:
            cure = "The portal must give another cursor with every page."
            raise portal.fault(path, f"gives the cursor {cursor!r} again, so its pages never end.", cure)
        cursor = str(following)


def _check(portal: Door, path: str, place: int, record: Any, required: list[str]) -> None:
    """Refuses a record that could not be stored or traced: no key, no instant, no required field."""
    spot = f"place {place + 1} of a page"
    if not isinstance(record, dict):
        raise portal.fault(
            path, f"holds something that is no record ({spot}).", "Every item of data must be an object."
        )
    for name in ("id", "updated_at"):
        if record.get(name) in (None, ""):
            what = "a record without id" if name == "id" else f"the record {record['id']!r} without updated_at"
            cure = "The portal must send id and updated_at with every record."
            raise portal.fault(path, f"holds {what} ({spot}).", cure)
    if not _is_instant(record["updated_at"]):
        what = f"record {record['id']!r}, field updated_at: {record['updated_at']!r} is not an instant."
        raise portal.fault(path, what, "Write it like 2026-03-04T15:12:00Z.")
    missing = [name for name in required if name not in record]
    if missing and not record.get("deleted_at"):
        what = f"record {record['id']!r} has no field {', '.join(missing)}."
        cure = "The contract requires it: the portal must send it, as null where it is not known."
        raise portal.fault(path, what, cure)


def _is_instant(told: Any) -> bool:
    try:
        datetime.fromisoformat(told)
    except (ValueError, TypeError):
        return False
    return True
