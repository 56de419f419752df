"""Bad input, end to end: the refresh says where, what and how to mend it, and the last good snapshot serves on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
import small_firm
from fastapi import FastAPI, Request
from hand_made_portal import row
from starlette.responses import Response

from pipelines import refreshing, snapshots
from pipelines.demo import portal
from pipelines.settings import Settings, load

pytestmark = pytest.mark.slow


def numbers(settings: Settings) -> list[tuple[object, ...]]:
    """What readers of the serving snapshot see."""
    serving = snapshots.newest(settings.snapshots)
    assert serving is not None
    with duckdb.connect(str(serving.path), read_only=True) as con:
        return con.execute("select gate_id, status, unbilled_amount from marts.gates order by all").fetchall()


def refused(settings: Settings) -> str:
    """The words of a refresh that fails, after making sure that nothing of it is seen."""
    before, seen = snapshots.newest(settings.snapshots), numbers(settings)
    outcome = refreshing.refresh(settings)
    assert not outcome.ok
    assert (outcome.serving, numbers(settings)) == (before, seen)
    words = "\n".join(outcome.problems)
    assert "Traceback" not in words
    return words


# --- files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "data"
    assert refreshing.refresh(small_firm.found(folder)).ok
    return folder


def edited(entity: str, old: str, new: str) -> Callable[[Settings], None]:
    return lambda settings: small_firm.rewrite(settings, entity, old, new)


def saved_with_semicolons(settings: Settings) -> None:
    """As a spreadsheet saves it where a comma is the decimal point."""
    file = settings.inbox / "invoices.csv"
    file.write_text("\ufeff" + file.read_text("utf-8").replace(",", ";"), "utf-8")


def grown(settings: Settings) -> None:
    with (settings.inbox / "invoices.csv").open("ab") as file:
        file.truncate(2_048_000_000)  # a hole: nothing of it is written


def overwritten(settings: Settings) -> None:
    (settings.inbox / "invoices.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (edited("projects", "currency", "valuta"),
         ["inbox/projects.csv", "the column currency is missing", "under `rename`"]),
        (edited("invoices", ",open,", ",sent out,"),
         ["source studio, invoices", "invoices.csv, row 2", "record i1, field status", "'sent out' is unknown", "Known are: draft"]),
        (edited("milestone_events", "2026-01-07T12:00:00Z", "7 Jan"),
         ["milestone_events.csv, row 4", "record e3, field occurred_at", "'7 Jan' is not an instant", "such as 2026-03-04T15:12:00Z"]),
        (edited("invoices", "2026-02-10,USD", "2026-02-10,CHF"),
         ["invoices: record studio:i1", "no rate from CHF to USD for 2026-01-11", "Add the line 2026-01-11,CHF"]),
        (overwritten, ["inbox/invoices.csv", "CSV"]),
        (saved_with_semicolons, ["inbox/invoices.csv: its header is one column with ';' in it", "Set delimiter to ';'"]),
        (grown, ["source studio, table invoices: holds 2,048 MB unpacked", "The largest is inbox/invoices.csv", "max_megabytes"]),
    ],
    ids=["a missing column", "an unknown status", "a date that is no date", "a currency without a rate", "a file that is no CSV",
         "a byte order mark and semicolons", "two gigabytes"],
)  # fmt: skip
def test_a_bad_file_is_told_and_changes_nothing(
    good: Path, tmp_path: Path, spoil: Callable[[Settings], None], words: list[str]
) -> None:
    shutil.copytree(good, tmp_path / "data")
    settings = load(tmp_path / "data", tmp_path / "data" / "milepost.toml", {})
    spoil(settings)
    told = refused(settings)
    assert [word for word in words if word not in told] == [], told


# --- a portal --------------------------------------------------------------------------------------------


RECORDS = {
    "clients": [row("clients", "c1", name="Aster", timezone="Europe/Berlin")],
    "projects": [row("projects", "p1", client="c1", name="Rollout", currency="USD", contract_amount="1000.00")],
    "milestones": [
        row("milestones", "m1", project="p1", name="Go-live", sequence=1, bills_pct=100, history_quality="log")
    ],
}


class Spoiler:
    """The demo portal, until told to answer something else for every page."""

    def __init__(self) -> None:
        self.answer: Response | None = None
        self.app: FastAPI = portal.create_app(RECORDS, {"right": "relay"}, clock=lambda: NOW, hurry=None)
        self.app.middleware("http")(self._between)

    async def _between(self, request: Request, following: Callable[..., object]) -> object:
        return self.answer if self.answer is not None else await following(request)  # type: ignore[misc]


NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Spoiler, str, Path]]:
    """The portal, its address, and a data folder after a good refresh of it."""
    spoiler, folder = Spoiler(), tmp_path_factory.mktemp("served")
    with portal.running(spoiler.app) as address, pytest.MonkeyPatch.context() as patch:
        (folder / "milepost.toml").write_text(
            f'[sources.relay]\nkind = "portal"\nurl = "{address}"\ntoken_env = "RELAY_TOKEN"\n'
        )
        patch.setenv("RELAY_TOKEN", "right")
        assert refreshing.refresh(load(folder, folder / "milepost.toml", os.environ)).problems == ()
        yield spoiler, address, folder


@pytest.mark.parametrize(
    ("answer", "token", "words"),
    [
        (Response("<html>Sign in</html>", media_type="text/html"), "right", ["answers an HTML page instead of JSON", "Check"]),
        (None, "wrong", ["refuses the token (401)", "Set the token of source relay"]),
        (Response('{"data": [{"id": "m1", "updated_at": "2026-03', media_type="application/json"), "right",
         ["answers a page that is not whole JSON"]),
    ],
    ids=["a portal that answers HTML", "a wrong token", "a half-written page"],
)  # fmt: skip
def test_a_bad_portal_is_told_and_changes_nothing(
    served: tuple[Spoiler, str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Response | None,
    token: str,
    words: list[str],
) -> None:
    spoiler, address, good = served
    shutil.copytree(good, tmp_path / "data")
    monkeypatch.setenv("RELAY_TOKEN", token)
    monkeypatch.setattr(spoiler, "answer", answer)
    told = refused(load(tmp_path / "data", tmp_path / "data" / "milepost.toml", os.environ))
    wanted = [f"source relay, GET {address}/v1/", *words]
    assert [word for word in wanted if word not in told] == [], told
