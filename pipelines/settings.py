"""Settings: `milepost.toml` and two environment variables become one frozen, typed value.

Every path Milepost reads or writes is a property here. What stays out: opening any of those files.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from models.faults import Fault, Problem, fault
from models.metrics import catalogue
from pipelines.access_block import Access
from pipelines.alert_block import Alerts
from pipelines.source_blocks import FilesSource, Frozen, Place, Source

PROJECT = Path(__file__).resolve().parent.parent
DECLARED = ("files", "sql", "rest")  # kinds whose tables are told in the settings, and may have contract columns
_SOURCE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,40}$")


Method = Literal["manual", "native", "field", "number", "text"]


class Linking(Frozen):
    """How invoices find the gates they bill: the methods tried, in their order, and what gates' numbers look like."""

    methods: tuple[Method, ...] = ("manual", "native", "field", "number", "text")
    number_pattern: str | None = None

    @field_validator("number_pattern")
    @classmethod
    def _is_a_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return pattern


class Settings(Place):
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
    keep_runs: int = Field(default=1000, ge=1)
    keep_dagster_runs: int = Field(default=100, ge=1)
    linking: Linking = Linking()
    access: Access | None = None  # None: nobody signs in, and the dashboard answers on this machine alone
    targets: Mapping[str, float] = Field(default_factory=dict)
    alerts: Alerts = Alerts()
    sources: Mapping[str, Source] = Field(default_factory=dict)

    @field_validator("targets")
    @classmethod
    def _targets_are_of_measures(cls, targets: Mapping[str, float]) -> Mapping[str, float]:
        if strange := [name for name in targets if name not in catalogue()]:
            raise ValueError(f"there is no measure {strange[0]!r}: `milepost measures` lists them")
        return targets

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

    @property
    def links_file(self) -> Path:
        """Links from invoices to gates made by hand: invoice,line,gate,change_order. It need not be there."""
        return self.data / "links.csv"

    @property
    def client_names_file(self) -> Path:
        """Other names that clients go by: client,same_as. It need not be there."""
        return self.data / "client_names.csv"

    def folder_of(self, source: FilesSource) -> Path:
        return self.data / source.folder

    def staging_of(self, source: Source) -> Path | None:
        """The folder of staging SELECTs for a source; None for files in contract columns."""
        if source.staging is not None:
            return (self.config.parent if self.config else self.data) / source.staging
        return None if source.kind in DECLARED else PROJECT / "models" / "staging" / source.kind


def load(data: Path | None = None, config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from arguments, else MILEPOST_DATA and MILEPOST_CONFIG, else the project's own folders.

    Raises `Fault` naming the file and the key for anything that does not fit.
    """
    data_dir = data or Path(environ.get("MILEPOST_DATA") or PROJECT / "data")
    named = config or (Path(environ["MILEPOST_CONFIG"]) if environ.get("MILEPOST_CONFIG") else None)
    file = named or next((f for f in (data_dir / "milepost.toml", PROJECT / "milepost.toml") if f.is_file()), None)
    written = read(file) if file else {}
    try:
        return Settings.model_validate({**written, "data": data_dir.resolve(), "config": file and file.resolve()})
    except ValidationError as error:
        raise Fault([problem(file, detail) for detail in error.errors()]) from None


def read(file: Path) -> dict[str, Any]:
    """A settings file as it is written. Raises `Fault` for one that cannot be read or is no TOML."""
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise fault(str(file), f"the settings file cannot be read ({error.strerror}).",
                    "Check MILEPOST_CONFIG, or copy milepost.example.toml there.") from None  # fmt: skip
    except tomllib.TOMLDecodeError as error:
        raise fault(str(file), f"is not valid TOML: {error}.", "Mend the line it names.") from None


def problem(file: Path | None, detail: Mapping[str, object]) -> Problem:
    place = detail["loc"]
    key = ".".join(str(part) for part in place) if isinstance(place, tuple) else str(place)
    return Problem(
        f"{file or 'settings'}, key {key}", f"{detail['msg']}.", "See milepost.example.toml for what it may hold."
    )
