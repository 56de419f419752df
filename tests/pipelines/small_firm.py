"""A firm of one client, one project and two gates, whose records lie in CSV files in contract columns."""

from __future__ import annotations

import atexit
import shutil
from datetime import datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from pipelines import refreshing
from pipelines.settings import Settings, load

FILES = {
    "clients": "source_key,name,timezone,currency\nc1,Aster,Europe/Berlin,USD\n",
    "projects": (
        "source_key,client,name,playbook,manager,contract_amount,currency,signed_at,kickoff_at,status\n"
        "p1,c1,Rebrand,brand_identity,Ida,1000.00,USD,2026-01-01T12:00:00Z,2026-01-02T12:00:00Z,active\n"
    ),
    "milestones": (
        "source_key,project,name,sequence,approver_side,bills_pct,history_quality\n"
        "g1,p1,Kickoff,1,client,40,log\ng2,p1,Concept,2,client,60,log\n"
    ),
    "milestone_events": (
        "source_key,milestone,type,occurred_at,actor_side,origin\n"
        "e1,g1,started,2026-01-02T12:00:00Z,team,log\n"
        "e2,g1,submitted,2026-01-05T12:00:00Z,team,log\n"
        "e3,g1,approved,2026-01-07T12:00:00Z,client,log\n"
        "e4,g2,started,2026-01-08T12:00:00Z,team,log\n"
    ),
    "invoices": (
        "source_key,client,project,number,status,issued_at,due_on,currency,total\n"
        "i1,c1,p1,1001,open,2026-01-11T12:00:00Z,2026-02-10,USD,400.00\n"
    ),
    "invoice_lines": "source_key,invoice,milestone,amount\nl1,i1,g1,400.00\n",
}


def found(data: Path) -> Settings:
    """Founds the firm in a data folder, with its settings file."""
    (data / "inbox").mkdir(parents=True)
    lines = ["[sources.studio]", 'kind = "files"', 'firm = "Aster Studio"']
    for entity, text in FILES.items():
        (data / "inbox" / f"{entity}.csv").write_text(text, "utf-8")
        lines.append(f'tables.{entity}.glob = "{entity}.csv"')
    (data / "milepost.toml").write_text("\n".join(lines) + "\n", "utf-8")
    return load(data, data / "milepost.toml", {})


def refreshed(data: Path, as_of: datetime) -> Settings:
    """The firm after its first refresh as of an instant; refreshed once, and copied from then on."""
    shutil.copytree(_first_refresh(as_of), data, dirs_exist_ok=True)
    return load(data, data / "milepost.toml", {})


@cache
def _first_refresh(as_of: datetime) -> Path:
    folder = Path(mkdtemp(prefix="small-firm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    outcome = refreshing.refresh(found(folder), as_of=as_of)
    assert outcome.problems == ()
    return folder


def rewrite(settings: Settings, entity: str, old: str, new: str) -> None:
    """Changes every occurrence of a text in one of the files, which must have it."""
    file = settings.inbox / f"{entity}.csv"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")
