"""Settings: `milepost.toml` and two environment variables become one frozen, typed value.

Every path Milepost reads or writes is a property here. What stays out: opening any of those files.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.faults import Fault, Problem, fault

PROJECT = Path(__file__).resolve().parent.parent
_SOURCE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}$")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Place(_Frozen):
    """Where work is done: whose weekends and public holidays, and by which clock."""

    country: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    subdivision: str | None = None

    @model_validator(mode="after")
    def _a_part_is_of_a_country(self) -> Self:
        if self.subdivision and not self.country:
            raise ValueError(f"the subdivision {self.subdivision!r} needs its country")
        return self


class _Source(_Place):
    """What every source may say: whose records they are, and where that firm works."""

    firm: str = "Our firm"
    timezone: str | None = None
    staging: Path | None = None  # folder of <entity>.sql; files already in contract columns need none

    @field_validator("timezone")
    @classmethod
    def _zone_is_known(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in available_timezones():
            raise ValueError(f"{zone!r} is no IANA time zone such as Europe/Berlin")
        return zone


class PortalSource(_Source):
    """A client portal that speaks Milepost's own HTTP contract."""

    kind: Literal["portal"]
    url: str
    token_env: str | None = None
    token_file: Path | None = None
    page_size: int = Field(default=500, ge=1, le=1000)
    lookback_seconds: int = Field(default=60, ge=0)


class FileTable(_Frozen):
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


class FilesSource(_Source):
    """Files in a folder: CSV, Excel, Parquet or JSON lines."""

    kind: Literal["files"]
    folder: Path = Path("inbox")
    tables: Mapping[str, FileTable] = Field(min_length=1)


Source = Annotated[PortalSource | FilesSource, Field(discriminator="kind")]


class Settings(_Place):
    """Everything a refresh needs to know.

    `data` is the data folder, `config` the settings file it was read from (None: defaults only).
    `country` and `subdivision` are those of clients that name none. Relative paths in the file are taken
    from the file's own folder, except a files source's `folder` and `rates`, which are taken from the
    data folder.
    """

    data: Path
    config: Path | None = None
    reporting_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    timezone: str = "UTC"
    rates: Path = Path("rates/rates.csv")
    keep_snapshots: int = Field(default=7, ge=1)
    sources: Mapping[str, Source] = Field(default_factory=dict)

    @field_validator("sources")
    @classmethod
    def _names_are_plain(cls, sources: Mapping[str, Source]) -> Mapping[str, Source]:
        for name in sources:
            if not _SOURCE_NAME.match(name):
                raise ValueError(f"the source name {name!r} must be lower-case letters, digits and underscores")
        return sources

    @property
    def warehouse(self) -> Path:
        return self.data / "warehouse.duckdb"

    @property
    def snapshots(self) -> Path:
        return self.data / "snapshots"

    @property
    def inbox(self) -> Path:
        return self.data / "inbox"

    @property
    def pull_state(self) -> Path:
        """Where the loader keeps packages that are not loaded yet."""
        return self.data / ".pull"

    @property
    def playbooks(self) -> Path:
        own = self.data / "playbooks"
        return own if own.is_dir() else PROJECT / "data" / "playbooks"

    @property
    def rates_file(self) -> Path:
        return self.data / self.rates

    @property
    def reasons_file(self) -> Path:
        """The firm's own vocabulary of reasons for change: written,reason. It need not be there."""
        return self.data / "reasons.csv"

    def folder_of(self, source: FilesSource) -> Path:
        return self.data / source.folder

    def staging_of(self, source: PortalSource | FilesSource) -> Path | None:
        """The folder of staging SELECTs for a source; None for files in contract columns."""
        if source.staging is not None:
            return (self.config.parent if self.config else self.data) / source.staging
        return None if source.kind == "files" else PROJECT / "models" / "staging" / source.kind


def load(data: Path | None = None, config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from arguments, else MILEPOST_DATA and MILEPOST_CONFIG, else the project's own folders.

    Raises `Fault` naming the file and the key for anything that does not fit.
    """
    data_dir = data or Path(environ.get("MILEPOST_DATA") or PROJECT / "data")
    named = config or (Path(environ["MILEPOST_CONFIG"]) if environ.get("MILEPOST_CONFIG") else None)
    file = named or next((f for f in (data_dir / "milepost.toml", PROJECT / "milepost.toml") if f.is_file()), None)
    written = _read(file) if file else {}
    try:
        return Settings.model_validate({**written, "data": data_dir.resolve(), "config": file and file.resolve()})
    except ValidationError as error:
        raise Fault([_problem(file, detail) for detail in error.errors()]) from None


def token(name: str, source: PortalSource, environ: Mapping[str, str] = os.environ) -> str:
    """The bearer token of a portal source, from the environment or a file; never from the settings."""
    if source.token_env:
        if value := environ.get(source.token_env, "").strip():
            return value
        raise fault(f"source {name}", f"the environment variable {source.token_env} is not set.",
                    f"Set it to the portal's token: export {source.token_env}=…")  # fmt: skip
    if source.token_file:
        try:
            return source.token_file.expanduser().read_text("utf-8").strip()
        except OSError as error:
            raise fault(f"source {name}", f"the token file {source.token_file} cannot be read ({error.strerror}).",
                        "Write the portal's token to it, readable by you alone.") from None  # fmt: skip
    raise fault(f"source {name}", "no token is named.", "Add token_env or token_file to its block.")


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise fault(str(file), f"the settings file cannot be read ({error.strerror}).",
                    "Check MILEPOST_CONFIG, or copy milepost.example.toml there.") from None  # fmt: skip
    except tomllib.TOMLDecodeError as error:
        raise fault(str(file), f"is not valid TOML: {error}.", "Mend the line it names.") from None


def _problem(file: Path | None, detail: Mapping[str, object]) -> Problem:
    place = detail["loc"]
    key = ".".join(str(part) for part in place) if isinstance(place, tuple) else str(place)
    return Problem(
        f"{file or 'settings'}, key {key}", f"{detail['msg']}.", "See milepost.example.toml for what it may hold."
    )
