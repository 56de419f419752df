"""Asks any HTTP API that answers lists of JSON records, as its block in the settings describes it.

With a since-parameter only changes are asked for, and merged; without one a list is read whole and its versions are
kept. A long list whose records may move from page to page while they are read is read twice, so that what slipped past
comes the second time. What stays out: how a request is tried again (door.py), how rows land (landing.py) and what they
mean (staging, which the firm writes; none where `columns` brings them into the contract's).
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import parse_qs, quote, urljoin, urlsplit
from zoneinfo import ZoneInfo

from dlt.sources import DltSource
from requests.auth import AuthBase
from requests.utils import parse_header_links

from models.faults import Fault
from pipelines.settings import Settings
from pipelines.source_blocks import Paging, RestSource, RestTable, token
from pipelines.sources.door import PATIENT, Answer, Credentials, Door, Limits, Patience, bearer, errors_in_page, said
from pipelines.sources.landing import Record, Table, Terms, land
from pipelines.sources.text import sortable, text

CLOCK_SHIFT = timedelta(hours=1)  # by which clocks are put back: an instant told in a zone's own clock may repeat
_EPOCHS = ((10**8, 1), (10**11, 1_000), (10**14, 1_000_000))  # from which number on it counts which parts of a second
_NO, _YES = ("", "false", "no", "0"), ("true", "yes", "1")
_UNDATED = "deleted at no known time"

Params = Mapping[str, Any]


def source(
    name: str, settings: Settings, environ: Mapping[str, str], terms: Terms, patience: Patience = PATIENT
) -> DltSource:
    """The configured lists of an API as a dlt source.

    Raises `Fault` at once where the token is missing, and while pulling for whatever is no list of records.
    """
    lists = opened(name, settings, environ, patience)
    if any(one.told.updated_zone not in (None, "UTC") for one in lists.values()):
        terms = replace(terms, lookback=terms.lookback + CLOCK_SHIFT)
    return land(name, [one.table() for one in lists.values()], terms)


def probe(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> str | None:
    """Asks for the first page of every list; what the tool then says of its limits."""
    headroom = None
    for one in opened(name, settings, environ, patience).values():
        next(one.pages(None), None)
        headroom = one.door.headroom
    return headroom


def opened(name: str, settings: Settings, environ: Mapping[str, str], patience: Patience) -> dict[str, _List]:
    """Every list of a source, none of them asked for yet. Raises `Fault` where the token is missing."""
    block = cast(RestSource, settings.sources[name])
    door, address = _door(name, block, environ, patience), urlsplit(block.url)
    lists: dict[str, _List] = {}
    for key, told in sorted(block.tables.items(), key=lambda item: item[1].each is not None):
        parent = lists[told.each] if told.each else None
        lists[key] = _List(door, key, told, told.paging or block.paging, address.path, _query_secret(block), parent)
    return {key: lists[key] for key in block.tables}


def _door(name: str, block: RestSource, environ: Mapping[str, str], patience: Patience) -> Door:
    """The door at the host of the tool: paths go on from the host, since links to further pages do."""
    address = urlsplit(block.url)
    secret = "" if block.auth == "none" else token(name, block, environ)
    limits = Limits(
        wait=block.wait_header,
        wait_unit=block.wait_unit,
        left=(block.left_header,),
        reset=block.reset_header,
        reset_unit=block.reset_unit,
    )
    user, value = (told.replace("{token}", secret) for told in (block.auth_name or "", block.auth_value))
    basic = b64encode(f"{user}:{value}".encode()).decode()
    credentials: Mapping[str, AuthBase] = {
        "none": Credentials({}),
        "bearer": bearer(secret),
        "basic": Credentials({"Authorization": f"Basic {basic}"}),
        "header": Credentials({user: value}),
        "query": _Parameter(user, value),
    }
    return Door(
        name,
        f"{address.scheme}://{address.netloc}",
        credentials[block.auth],
        patience=patience,
        limits=limits,
        headers={"Accept": "application/json", **block.headers},
        complaint=_complaint,
        secrets=(secret, basic if block.auth == "basic" else "", quote(secret)),
    )


class _Parameter(AuthBase):  # type: ignore[misc]
    """A token that is sent as a parameter of every request, where no message shows it."""

    def __init__(self, name: str, value: str) -> None:
        self._told = {name: value}

    def __call__(self, request: Any) -> Any:
        request.prepare_url(request.url, self._told)
        return request


def _query_secret(block: RestSource) -> str | None:
    return block.auth_name if block.auth == "query" else None


def _complaint(body: Any) -> str | None:
    """What a 200 complains of: a list of errors and no data, or a flag that says it did not succeed."""
    if isinstance(body, dict) and (body.get("ok") is False or body.get("success") is False):
        return said(body) or "it did not succeed, and does not say why"
    return errors_in_page(body)


@dataclass(slots=True)
class _List:
    """One list of the tool, as it is asked for. `parent` is the list for each of whose records it is asked for."""

    door: Door
    name: str
    told: RestTable
    paging: Paging
    root: str  # path of the source's url
    query_secret: str | None  # parameter that holds the token, which links to further pages may repeat
    parent: _List | None
    begun: str | None = None  # when the list was begun, by the tool's own clock

    def table(self) -> Table:
        told = self.told
        if not told.since_parameter:
            dated = ("updated_at",) if told.updated else ()
            return Table(self.name, self.pages, (*dated, *self._lifted_names()), whole=True)
        return Table(
            self.name,
            self.pages,
            self._lifted_names(),
            versions=told.versions,
            ascending=told.ascending,
            present=self.keys,
            begun=lambda: None if told.ascending else self.begun,
            asked=(f"{self.door.url}{self.root}", told.model_dump_json(exclude={"paging", "ascending"})),
        )

    def keys(self) -> Iterator[list[str]]:
        for page in self.pages(None):
            yield [str(record["id"]) for record in page]

    def pages(self, since: str | None) -> Iterator[Sequence[Record]]:
        """Pages of records with `id`, and `updated_at` where they are dated, changed at or after `since`."""
        self.begun = None
        told = {name: text(one) if isinstance(one, bool) else one for name, one in self.told.parameters.items()}
        asked = {**told, **self._size(), **self._since(since)}
        owners: dict[str, tuple[str, bytes]] = {}
        for parent, path in self._paths():
            for page in self._steady(path, asked, parent):
                if parent is not None:
                    self._refuse_shared_keys(path, page, parent, owners)
                yield page

    def _paths(self) -> Iterator[tuple[str | None, str]]:
        if self.parent is None:
            yield None, f"{self.root}{self.told.path}"
            return
        for page in self.parent.pages(None):
            for key in (str(record["id"]) for record in page):
                yield key, f"{self.root}{self.told.path}".replace("{id}", quote(key, safe="/"))

    def _steady(self, path: str, asked: Params, parent: str | None) -> Iterator[list[Record]]:
        """All pages; then those records of a second reading that the first had not, where records may have moved."""
        seen: dict[str, bytes] = {}
        is_long, last = False, ""
        for number, found in enumerate(self._raw_pages(path, asked)):
            page = self._records(path, found, parent)
            if self.told.ascending:
                last = self._in_order(path, page, last)
            if not self.paging.is_stable:
                is_long = is_long or (number > 0 and bool(page)) or self._is_full(found)
                seen |= {str(record["id"]): _print(record) for record in page}
            yield page
        if is_long:
            for found in self._raw_pages(path, asked):
                page = self._records(path, found, parent)
                yield [record for record in page if seen.get(str(record["id"])) != _print(record)]

    def _is_full(self, found: list[Any]) -> bool:
        return self.paging.size_parameter is not None and len(found) >= self.paging.size

    # --- pages -------------------------------------------------------------------------------------------

    def _raw_pages(self, path: str, asked: Params) -> Iterator[list[Any]]:
        """The lists as answered. Raises `Fault` where they never end."""
        place: tuple[str, Params] | None = self._first(path, asked)
        before: list[Any] = []
        known: set[str] = set()
        while place is not None:
            known.add(str(place))
            answer = self.door.get(*place)
            self.begun = self.begun or _clock(answer)
            found = self._list_in(path, answer.body)
            if found and found == before:
                raise self._endless(path, "the same page again")
            yield found
            place, before = self._following(place, answer, found), found
            if str(place) in known:
                raise self._endless(path, "a page it gave before")

    def _first(self, path: str, asked: Params) -> tuple[str, Params]:
        by, first = self.paging.by, self.paging.first
        if by in ("page", "offset"):
            return path, {**asked, self._parameter(): (1 if by == "page" else 0) if first is None else first}
        return path, asked

    def _following(self, place: tuple[str, Params], answer: Answer, found: list[Any]) -> tuple[str, Params] | None:
        """Where the next page is asked for; None after the last."""
        (path, asked), paging = place, self.paging
        if paging.by == "none" or (paging.more and not _flag(_at(answer.body, paging.more))):
            return None
        if paging.by in ("page", "offset"):
            step = 1 if paging.by == "page" else len(found)
            return (path, {**asked, self._parameter(): asked[self._parameter()] + step}) if found else None
        following = _next_link(answer) if paging.by == "link" else _at(answer.body, str(paging.next))
        if following in (None, "", False):
            return None
        if paging.by == "link" or str(following).startswith(("http://", "https://", "/")):
            return self._led(path, str(following))
        return path, {**asked, self._parameter(): text(following)}

    def _led(self, path: str, link: str) -> tuple[str, Params]:
        """A link to a page as path and parameters, on the host of the source alone: the token is for no other."""
        told = urlsplit(urljoin(f"{self.door.url}{path}", link))
        if told.hostname != urlsplit(self.door.url).hostname:
            cure = "Set the url of the source to the host that the tool itself calls by."
            raise self.door.fault(path, f"leads to another host for its next page ({told.hostname}).", cure)
        params = parse_qs(told.query, keep_blank_values=True)
        return told.path, {name: value for name, value in params.items() if name != self.query_secret}

    def _parameter(self) -> str:
        return self.paging.parameter or self.paging.by

    def _size(self) -> Params:
        return {self.paging.size_parameter: self.paging.size} if self.paging.size_parameter else {}

    def _since(self, since: str | None) -> Params:
        """The parameter that asks for changes. Of dates the day before: in whatever zone, that is not too late."""
        if not since or not self.told.since_parameter:
            return {}
        moment = datetime.fromisoformat(since)
        seconds = int(moment.timestamp())
        written = {
            "iso": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "epoch": str(seconds),
            "epoch_ms": str(seconds * 1000),
            "date": str(moment.date() - timedelta(days=1)),
        }[self.told.since_format]
        return {self.told.since_parameter: self.told.since_value.replace("{since}", written)}

    def _list_in(self, path: str, body: Any) -> list[Any]:
        found = _at(body, self.told.records) if self.told.records else body
        if isinstance(found, list):
            return found
        if found is None and _has(body, self.told.records):
            return []
        spot = f"at {self.told.records!r} " if self.told.records else ""
        words = f" and says: {said(body)}" if isinstance(body, dict) and said(body) else ""
        cure = f"Set records of table {self.name} to the path of the list within the answer."
        raise self.door.fault(path, f"answers no list {spot}(it holds {_held(body)}){words}.", cure)

    def _endless(self, path: str, what: str) -> Fault:
        cure = f"Check paging of table {self.name}: parameter, next and more must fit the tool's own document."
        return self.door.fault(path, f"gives {what}, so its pages never end.", cure)

    # --- records -----------------------------------------------------------------------------------------

    def _records(self, path: str, found: list[Any], parent: str | None) -> list[Record]:
        lifted = (self._lifted(path, place, record, parent) for place, record in enumerate(found, 1))
        return [record for record in lifted if record is not None]

    def _lifted(self, path: str, place: int, record: Any, parent: str | None) -> Record | None:
        """A record as received, with what the settings point at beside it; None for one that is flagged as deleted
        though nothing dates it: it counts as gone."""
        if not isinstance(record, dict):
            what, cure = f"holds {_held(record)} where a record should be (place {place} of a page).", "Check records."
            raise self.door.fault(path, what, f"{cure} It must lead to a list of objects.")
        key = self._key(path, place, record)
        lifted: dict[str, Any] = {"id": key}
        if self.parent is not None:
            lifted[f"of_{self.told.each}"] = parent
        if self.told.updated:
            lifted["updated_at"] = self._moment(path, key, self.told.updated, _at(record, self.told.updated))
        if self.told.deleted:
            lifted["deleted_at"] = self._deletion(path, key, _at(record, self.told.deleted), lifted.get("updated_at"))
            if lifted["deleted_at"] == _UNDATED:
                return None
        lifted |= {name: _at(record, where) for name, where in self.told.columns.items()}
        return {**lifted, **self._own(record, lifted)}

    def _deletion(self, path: str, key: str, told: Any, updated_at: str | None) -> str | None:
        """When a record was deleted: by its own word, or by its last change where there is but a flag."""
        word = str(told if told is not None else "").lower()
        if word in _NO:
            return None
        if word in _YES:
            return updated_at or _UNDATED
        return self._moment(path, key, str(self.told.deleted), told)

    def _own(self, record: Mapping[str, Any], lifted: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record's own fields; one that would meet what is lifted is kept beside it, unless it is just that."""
        taken = {*lifted, "gone_at", "row_print"}
        if not taken & record.keys():
            return record
        sources = {"id": self.told.key, "updated_at": self.told.updated, "deleted_at": self.told.deleted}
        same = {name for name, where in {**sources, **self.told.columns}.items() if name == where and name in lifted}
        return {f"{name} 2" if name in taken else name: value for name, value in record.items() if name not in same}

    def _lifted_names(self) -> tuple[str, ...]:
        parent = (f"of_{self.told.each}",) if self.told.each else ()
        return (*parent, *(("deleted_at",) if self.told.deleted else ()), *self.told.columns)

    def _key(self, path: str, place: int, record: Mapping[str, Any]) -> str:
        key = _at(record, self.told.key)
        if key in (None, "") or isinstance(key, bool | list | dict):
            what = f"holds a record without key: nothing at {self.told.key!r} (place {place} of a page; "
            cure = f"Set key of table {self.name} to what every record has and no two share."
            raise self.door.fault(path, f"{what}it holds {_held(record)}).", cure)
        return str(text(key))

    def _moment(self, path: str, key: str, where: str, told: Any) -> str:
        moment = _instant(told)
        if moment is None:
            cure = f"Table {self.name} must name a field such as 2026-03-04T15:12:00Z, or seconds since 1970."
            raise self.door.fault(path, f"record {key!r}, field {where}: {text(told)!r} is not an instant.", cure)
        if moment.tzinfo is None:
            if self.told.updated_zone is None:
                cure = f"Set updated_zone of table {self.name} to the zone that the tool writes in, such as UTC."
                raise self.door.fault(path, f"record {key!r}, field {where}: {told!r} names no zone.", cure)
            moment = moment.replace(tzinfo=ZoneInfo(self.told.updated_zone))
        return sortable(moment)

    def _refuse_shared_keys(
        self, path: str, page: Sequence[Record], parent: str, owners: dict[str, tuple[str, bytes]]
    ) -> None:
        """Two records of two parents under one key would be one; a record that both list is one."""
        for record in page:
            key, own = str(record["id"]), _print({**record, f"of_{self.told.each}": None})
            owner, known = owners.setdefault(key, (parent, own))
            if owner != parent and known != own:
                cure = f"Set key of table {self.name} to what no two records share."
                raise self.door.fault(path, f"the key {key!r} stands for another record of {owner!r} too.", cure)

    def _in_order(self, path: str, page: Sequence[Record], last: str) -> str:
        for record in page:
            if record["updated_at"] < last:
                what = f"record {record['id']!r} was changed before the one ahead of it, so records are not ascending."
                cure = f"Ask for that order under parameters, or leave ascending out of table {self.name}."
                raise self.door.fault(path, what, cure)
            last = record["updated_at"]
        return last


# --- JSON ------------------------------------------------------------------------------------------------


def _at(told: Any, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    if isinstance(told, dict) and path in told:
        return told[path]
    for name in path.split("."):
        if isinstance(told, dict):
            told = told.get(name)
        elif isinstance(told, list) and name.removeprefix("-").isdigit() and -len(told) <= int(name) < len(told):
            told = told[int(name)]
        else:
            return None
    return told


def _has(told: Any, path: str) -> bool:
    """Whether there is such a field, be it null."""
    above, _, name = path.rpartition(".")
    holder = _at(told, above) if above else told
    return isinstance(holder, dict) and name in holder


def _held(told: Any) -> str:
    """What something holds, in words for a message: names of fields, never their values."""
    if isinstance(told, dict):
        return f"the fields {', '.join(list(told)[:12])}" if told else "no field"
    return "a list" if isinstance(told, list) else "nothing" if told is None else f"a {type(told).__name__}"


def _flag(told: Any) -> bool:
    return str(told).lower() not in _NO if told is not None else False


def _instant(told: Any) -> datetime | None:
    """An instant from ISO 8601, or from parts of a second since 1970; without a zone where it names none."""
    if isinstance(told, bool) or not isinstance(told, str | int | Decimal):
        return None
    try:
        number = Decimal(told)
        parts = next((parts for least, parts in reversed(_EPOCHS) if number >= least), None)
        if parts:
            return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(number * 1_000_000 / parts))
    except ArithmeticError:
        pass  # no number
    try:
        return datetime.fromisoformat(str(told))
    except ValueError:
        return None


def _clock(answer: Answer) -> str | None:
    """When the tool answered, by its own clock."""
    try:
        return sortable(parsedate_to_datetime(answer.headers.get("Date", "")))
    except ValueError:
        return None


def _next_link(answer: Answer) -> str | None:
    links = parse_header_links(answer.headers.get("Link", ""))
    return next((one["url"] for one in links if "next" in one.get("rel", "").lower().split()), None)


def _print(record: Record) -> bytes:
    return hashlib.blake2b(repr(record).encode(), digest_size=8).digest()
