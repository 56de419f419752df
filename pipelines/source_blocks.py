"""What a block of `milepost.toml` may say of each kind of source: one class per kind, checked before a pull.

Secrets never stand here: a block names the environment variable or the file that holds one. What stays out: reading
the file (settings.py) and asking the tools (sources).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from models.catalog import contract
from models.faults import fault
from pipelines.secret_files import secret

# What a gate's status in a tool can mean: an event of the contract, or nothing that counts.
Meaning = Literal["planned", "started", "submitted", "approved", "changes_requested", "rejected", "reopened",
                  "waived", "cancelled", "ignored"]  # fmt: skip


_Told = TypeVar("_Told")
_PASSWORD = re.compile("passw|pwd|secret", re.IGNORECASE)
_SECRET_NAME = re.compile(
    r"passw|pwd|secret|authorization|cookie|api[-_]?key|^token$|(auth|access|api|private)[-_]?token$", re.IGNORECASE
)
_AUTH_NAMES = {"basic": "the user", "header": "the name of the header", "query": "the name of the parameter"}
_OWN_COLUMNS = ("id", "updated_at", "deleted_at", "gone_at", "row_print")  # that a pull fills itself
_TABLE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,60}$")


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Place(Frozen):
    """Where work is done: whose weekends and public holidays, and by which clock."""

    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    subdivision: str | None = None

    @model_validator(mode="after")
    def _a_part_is_of_a_country(self) -> Self:
        if self.subdivision and not self.country:
            raise ValueError(f"the subdivision {self.subdivision!r} needs its country")
        return self


class SourceBlock(Place):
    """What every source may say: whose records they are, and where that firm works."""

    firm: str = "Our firm"
    timezone: str | None = None
    staging: Path | None = None  # folder of <entity>.sql; files already in contract columns need none
    takes: tuple[str, ...] = ()  # entities that are taken from it; all that it has where empty

    @field_validator("takes")
    @classmethod
    def _entities_are_known(cls, takes: tuple[str, ...]) -> tuple[str, ...]:
        known = contract().entities
        if strange := [name for name in takes if name not in known]:
            raise ValueError(f"{strange[0]!r} is no entity; known are: {', '.join(known)}")
        return takes

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, zone: str | None) -> str | None:
        return _known_zone(zone)


class Secret(SourceBlock):
    """A source that proves who asks with a secret, which stands in the environment or in a file."""

    token_env: str | None = None
    token_file: Path | None = None


class HttpSource(Secret):
    """A tool that is asked over HTTP, page by page."""

    url: str
    page_size: int = Field(default=100, ge=1, le=1000)
    lookback_seconds: int = Field(default=60, ge=0)


# What custom fields of a project tool can hold: of a project's contract, and of a gate.
_PROJECT_ROLES = ("client", "contract_amount", "signed_on", "kickoff_on", "currency", "manager", "playbook")
_GATE_ROLES = ("gate", "sequence", "amount", "amount_pct", "invoice", "owner_team", "next_team", "approver",
               "approver_side", "locks_scope", "client_visible", "acceptance_criterion")  # fmt: skip


class ToolSource(HttpSource):
    """A tool with a vocabulary of its own.

    `statuses` says what the tool's own words for a gate's state mean, `fields` which of its custom fields (or metadata
    keys) hold what; the roles a kind knows are its ROLES.
    """

    ROLES: ClassVar[tuple[str, ...]] = ()

    sweep_hours: float = Field(default=24, ge=0)  # how often keys are compared to find what was deleted
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")  # of money that names none
    statuses: Mapping[str, Meaning] = Field(default_factory=dict)
    fields: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("fields")
    @classmethod
    def _roles_are_known(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        if strange := [role for role in fields if role not in cls.ROLES]:
            raise ValueError(f"{strange[0]!r} is no field it can use; known are: {', '.join(cls.ROLES) or 'none'}")
        return fields


class PortalSource(HttpSource):
    """A client portal that speaks Milepost's own HTTP contract."""

    kind: Literal["portal"]
    page_size: int = Field(default=500, ge=1, le=1000)


class RedmineSource(ToolSource):
    """A Redmine: gates are issues of a tracker, or versions."""

    ROLES = (*_PROJECT_ROLES, *_GATE_ROLES, "number", "client_approval", "reason", "days", "requested_by")

    kind: Literal["redmine"]
    milestones: Literal["issues", "versions"] = "issues"
    tracker: str = "Milestone"
    change_order_tracker: str | None = None
    projects: tuple[str, ...] = ()  # identifiers; all that the key may read where empty
    client_roles: tuple[str, ...] = ()  # whoever has one of them in a project acts for its client
    extra_work_activity: str | None = None  # time booked on it is work beside the scope


class TrytonSource(ToolSource):
    """A Tryton: parties, projects, invoices and payments."""

    kind: Literal["tryton"]
    database: str


class JiraSource(ToolSource):
    """A Jira Cloud site: gates are the issues a JQL finds, or versions."""

    ROLES = (*_PROJECT_ROLES, *_GATE_ROLES, "due", "reason", "days")

    kind: Literal["jira"]
    email: str
    milestones: Literal["issues", "versions"] = "issues"
    jql: str = "issuetype = Milestone"
    change_orders_jql: str | None = None
    projects: tuple[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")], ...] = ()  # keys; all where empty
    page_size: int = Field(default=100, ge=1, le=100)
    lookback_seconds: int = Field(default=300, ge=0)  # a search may not show at once what was just written

    @field_validator("jql", "change_orders_jql")
    @classmethod
    def _has_no_order(cls, jql: str | None) -> str | None:
        if jql is not None and (not jql.strip() or re.search(r"\border\s+by\b", jql, re.IGNORECASE)):
            raise ValueError(f"{jql!r} must say which issues, and in no order: leave out ORDER BY")
        return jql


class AsanaSource(ToolSource):
    """An Asana workspace: gates are milestones and approvals of its projects."""

    ROLES = (*_PROJECT_ROLES, *_GATE_ROLES)

    kind: Literal["asana"]
    url: str = "https://app.asana.com/api/1.0"
    workspace: str = Field(pattern=r"^[0-9]+$")
    projects: tuple[Annotated[str, Field(pattern=r"^[0-9]+$")], ...] = ()  # gids; all of the workspace where empty
    page_size: int = Field(default=100, ge=1, le=100)


class StripeSource(ToolSource):
    """A Stripe account: invoices, credit notes, and quotes as change orders. `fields` names metadata keys."""

    ROLES = ("project", "milestone", "change_order", "invoice")

    kind: Literal["stripe"]
    url: str = "https://api.stripe.com"


class XeroSource(ToolSource):
    """A Xero organisation, as a custom connection: sales invoices, payments, credit notes, quotes.

    `fields` names tracking categories.
    """

    ROLES = ("project", "milestone", "change_order")

    kind: Literal["xero"]
    url: str = "https://api.xero.com/api.xro/2.0"
    identity_url: str = "https://identity.xero.com/connect/token"
    client_id: str
    tenant: str | None = None
    history_per_pull: int = Field(default=300, ge=0)  # bills whose history is read: one request each, of 60 a minute


class RocketlaneSource(ToolSource):
    """A Rocketlane account: phases and milestone tasks of its projects, and invoices."""

    ROLES = ("contract_amount", "signed_on", "playbook", "amount", "number", "invoice")

    kind: Literal["rocketlane"]
    url: str = "https://api.rocketlane.com/api/1.0"
    milestones: Literal["both", "phases", "tasks"] = "both"  # what gates are; tasks are those of the type milestone


class SqlTable(Frozen):
    """One table, view or query of a database. By `cursor` only what is new is read; without, all of it, every time."""

    table: str | None = None
    query: str | None = None
    key: tuple[str, ...] = Field(min_length=1)
    cursor: str | None = None  # column that says when a row was last written

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.table) == bool(self.query):
            raise ValueError("name either a table or a query")
        return self


class SqlSource(Secret):
    """Any database SQLAlchemy reaches. The password stands in token_env or token_file, never in the url."""

    kind: Literal["sql"]
    url: str
    lookback_seconds: int = Field(default=60, ge=0)
    sweep_hours: float = Field(default=24, ge=0)
    tables: Mapping[str, SqlTable] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        from sqlalchemy import make_url  # only where such a source is named: it takes a while to import
        from sqlalchemy.exc import ArgumentError

        try:
            told = make_url(url)
        except ArgumentError:
            raise ValueError("this is no address of a database such as postgresql://user@host/database") from None
        if told.password or any(_PASSWORD.search(name) for name in told.query):
            raise ValueError("a password must not stand here: put it where token_env or token_file says")
        return url

    @field_validator("tables")
    @classmethod
    def _names_are_plain(cls, tables: Mapping[str, SqlTable]) -> Mapping[str, SqlTable]:
        return _plainly_named(tables)


class Paging(Frozen):
    """How a tool's list goes on: by page number, offset, a cursor from the answer, or the Link header."""

    by: Literal["none", "page", "offset", "cursor", "link"] = "none"
    parameter: str | None = None  # that says which page is wanted; called page, offset or cursor where left out
    first: int | None = Field(default=None, ge=0)  # number of the first page, 1; the first offset, 0
    next: str | None = None  # path in the answer to the next cursor, or to the next page's url
    more: str | None = None  # path in the answer to a flag that says whether there is another page
    size_parameter: str | None = None
    size: int = Field(default=100, ge=1)
    stable: bool | None = None  # whether records stay on their page while others come and go; so with a cursor

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        known = {"page": {"parameter", "first", "more"}, "offset": {"parameter", "first", "more"},
                 "cursor": {"parameter", "next", "more"}}.get(self.by, set())  # fmt: skip
        strange = {"parameter", "first", "next", "more"} & self.model_fields_set - known
        if strange:
            raise ValueError(f"{min(strange)} has no meaning where paging is by {self.by}")
        if self.by == "cursor" and not self.next:
            raise ValueError("paging by cursor needs next, the path in the answer to the next one, such as meta.next")
        if "size" in self.model_fields_set and not self.size_parameter:
            raise ValueError("size needs size_parameter, the parameter that asks for so many records a page")
        return self

    @field_validator("next", "more")
    @classmethod
    def _are_paths(cls, path: str | None) -> str | None:
        return _json_path(path)

    @property
    def is_stable(self) -> bool:
        return self.by in ("none", "cursor") if self.stable is None else self.stable


class RestTable(Frozen):
    """One list of records behind a path. Paths into JSON are dotted, such as data.items; a number counts in a list."""

    path: str
    each: str | None = None  # another table, for each of whose records the list is asked for; {id} in path is its key
    records: str = ""  # path to the list within the answer; the answer itself where empty
    key: str = "id"  # path to the key within a record
    parameters: Mapping[str, str | bool | int | tuple[str, ...]] = Field(default_factory=dict)
    columns: Mapping[str, str] = Field(default_factory=dict)  # column = path within a record, beside all it has
    updated: str | None = None  # path to the instant of a record's last change
    updated_zone: str | None = None  # IANA zone of such instants where they name none
    since_parameter: str | None = None  # the parameter that asks for changes from an instant on
    since_format: Literal["iso", "epoch", "epoch_ms", "date"] = "iso"
    since_value: str = "{since}"  # what the parameter is, such as >={since}
    ascending: bool = False  # records come by updated, oldest first: a long first pull is stored as it goes
    versions: bool = False  # with since_parameter: every version seen is kept; always so without
    deleted: str | None = None  # path to a flag or instant that says the record was deleted
    paging: Paging | None = None  # that of the source where left out

    @field_validator("path")
    @classmethod
    def _is_plain(cls, path: str) -> str:
        if not path.startswith("/"):
            raise ValueError(f"{path!r} must begin with / and stand behind the source's url")
        if "?" in path or "#" in path:
            raise ValueError(f"{path!r}: write what stands behind the ? under parameters")
        return path

    @field_validator("parameters")
    @classmethod
    def _name_no_secret(cls, told: Mapping[str, Any]) -> Mapping[str, Any]:
        return _without_secrets(told, "query")

    @field_validator("records", "key", "updated", "deleted")
    @classmethod
    def _are_paths(cls, path: str | None) -> str | None:
        return _json_path(path) if path else path

    @field_validator("columns")
    @classmethod
    def _columns_are_plain(cls, columns: Mapping[str, str]) -> Mapping[str, str]:
        for name, path in columns.items():
            if not _TABLE_NAME.match(name) or name in _OWN_COLUMNS:
                own = ", ".join(_OWN_COLUMNS)
                raise ValueError(f"{name!r} must be lower-case letters, digits and underscores, and none of {own}")
            _json_path(path)
        return columns

    @field_validator("updated_zone")
    @classmethod
    def _zone_is_known(cls, zone: str | None) -> str | None:
        return _known_zone(zone)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.key:
            raise ValueError("key must say where a record's key stands, such as id")
        if bool(self.each) != ("{id}" in self.path):
            raise ValueError("each names the table whose keys stand for {id} in path: neither goes without the other")
        if self.since_parameter and not self.updated:
            raise ValueError("since_parameter needs updated, the path to the instant of a record's last change")
        if "{since}" not in self.since_value:
            raise ValueError(f"since_value {self.since_value!r} must have {{since}} where the instant goes")
        needing = {"since_format", "since_value", "ascending", "versions"} & self.model_fields_set
        if needing and not self.since_parameter:
            raise ValueError(f"{min(needing)} has no meaning without since_parameter")
        if self.updated_zone and not self.updated:
            raise ValueError("updated_zone has no meaning without updated")
        return self


class RestSource(Secret):
    """Any HTTP API that answers lists of JSON records, declared wholly in the settings."""

    kind: Literal["rest"]
    url: str
    auth: Literal["bearer", "basic", "header", "query", "none"] = "bearer"
    auth_name: str | None = None  # user of basic, header of header, parameter of query
    auth_value: str = "{token}"  # password of basic, value of the header or parameter
    headers: Mapping[str, str] = Field(default_factory=dict)
    paging: Paging = Paging()
    wait_header: str = "Retry-After"  # says how long to wait
    wait_unit: Literal["seconds", "epoch", "epoch_ms", "iso"] = "seconds"
    left_header: str = "X-RateLimit-Remaining"  # says how many requests are left
    reset_header: str | None = None  # says when there are more: with none left, it is waited for
    reset_unit: Literal["seconds", "epoch", "epoch_ms", "iso"] = "epoch"
    lookback_seconds: int = Field(default=60, ge=0)
    sweep_hours: float = Field(default=24, ge=0)
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    statuses: Mapping[str, Meaning] = Field(default_factory=dict)
    tables: Mapping[str, RestTable] = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        told = urlsplit(url)
        if told.scheme not in ("http", "https") or not told.hostname:
            raise ValueError("this is no address such as https://api.example.com/v2")
        if told.username or told.password:
            raise ValueError("a password must not stand here: use auth, and put it where token_env or token_file says")
        if told.query or told.fragment:
            raise ValueError("the address ends before the ?: write parameters in each table, a token by auth = query")
        return url.rstrip("/")

    @field_validator("headers")
    @classmethod
    def _name_no_secret(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        return _without_secrets(headers, "header")

    @model_validator(mode="after")
    def _can_prove_who_asks(self) -> Self:
        if self.auth in _AUTH_NAMES and not self.auth_name:
            raise ValueError(f"auth = {self.auth} needs auth_name, {_AUTH_NAMES[self.auth]}")
        if self.auth not in _AUTH_NAMES and (strange := {"auth_name", "auth_value"} & self.model_fields_set):
            raise ValueError(f"{min(strange)} has no meaning with auth = {self.auth}")
        has_secret = bool(self.token_env or self.token_file)
        if self.auth == "none" and has_secret:
            raise ValueError("auth = none sends no token: leave out token_env and token_file, or say how it is sent")
        if self.auth != "none" and not has_secret:
            raise ValueError(f"auth = {self.auth} needs token_env or token_file; without a token it is auth = none")
        if self.auth in _AUTH_NAMES and "{token}" not in self.auth_value + (self.auth_name or ""):
            raise ValueError("{token} must stand in auth_value where the token goes")
        return self

    @field_validator("tables")
    @classmethod
    def _names_are_plain(cls, tables: Mapping[str, RestTable]) -> Mapping[str, RestTable]:
        for name, table in _plainly_named(tables).items():
            if table.each and (table.each not in tables or tables[table.each].each):
                known = ", ".join(one for one in tables if one != name and not tables[one].each) or "none"
                raise ValueError(f"{name}: each names {table.each!r}, which can be one of: {known}")
        return tables

    @model_validator(mode="after")
    def _only_what_stays_in_place_is_stored_as_it_comes(self) -> Self:
        for name, table in self.tables.items():
            if table.ascending and (table.each or not (table.paging or self.paging).is_stable):
                raise ValueError(f"{name}: ascending needs one list whose pages do not move, such as those of a cursor")
        return self


class FileTable(Frozen):
    """One raw table read from one or more files of the same layout."""

    glob: str
    format: Literal["csv", "excel", "parquet", "jsonl"] | None = None  # from the file's ending where absent
    encoding: str = "utf-8"
    delimiter: str = ","
    null_values: tuple[str, ...] = ("",)
    sheet: str | None = None
    header_row: int = Field(default=1, ge=1)
    rename: Mapping[str, str] = Field(default_factory=dict)
    key: tuple[str, ...] = ()


class FilesSource(SourceBlock):
    """Files in a folder: CSV, Excel, Parquet or JSON lines."""

    kind: Literal["files"]
    folder: Path = Path("inbox")
    max_megabytes: int = Field(default=256, ge=1)  # of one table's files together, unpacked: it is held in memory
    tables: Mapping[str, FileTable] = Field(min_length=1)


Source = Annotated[
    PortalSource | FilesSource | RedmineSource | TrytonSource | JiraSource | AsanaSource | StripeSource | XeroSource
    | RocketlaneSource | SqlSource | RestSource,
    Field(discriminator="kind"),
]  # fmt: skip


def _known_zone(zone: str | None) -> str | None:
    if zone is not None and zone not in available_timezones():
        raise ValueError(f"{zone!r} is no IANA time zone such as Europe/Berlin")
    return zone


def _json_path(path: str | None) -> str | None:
    """A path into JSON: dotted names, none of them empty."""
    if path is not None and not all(path.split(".")):
        raise ValueError(f"{path!r} is no path such as data.items")
    return path


def _without_secrets(told: Mapping[str, Any], auth: str) -> Mapping[str, Any]:
    if secret := next((name for name in told if _SECRET_NAME.search(name)), None):
        cure = f"use auth = {auth} with token_env or token_file"
        raise ValueError(f"{secret} is a secret and must not stand here: {cure}")
    return told


def _plainly_named(tables: Mapping[str, _Told]) -> Mapping[str, _Told]:
    for name in tables:
        if not _TABLE_NAME.match(name) or "__" in name:
            raise ValueError(f"the table name {name!r} must be lower-case letters, digits and single underscores")
    return tables


def token(name: str, source: Secret, environ: Mapping[str, str] = os.environ) -> str:
    """The secret of a source, from the environment or a file; never from the settings."""
    if source.token_env or source.token_file:
        return secret(f"source {name}", "the tool's token", source.token_env, source.token_file, environ)
    raise fault(f"source {name}", "no token is named.", "Add token_env or token_file to its block.")
