"""Firms whose every text is an attack: markup, scripts, Markdown, SQL, formulas, marks of direction, ten kilobytes.

What stays out: what must become of them (test_hostile_*.py).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "dashboard"))
import published

from pipelines.demo.simulation import Portfolio, simulate

AS_OF = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
ELSEWHERE = "evil.example"
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # marks that turn the direction of what follows
ATTACKS = (
    "<script>window.pwned='script'</script>Aster",
    f"<img src=https://{ELSEWHERE}/x.png onerror=\"window.pwned='img';alert(1)\">",
    f"<a href='https://{ELSEWHERE}/'>Click me</a> <b id=injected>bold</b>",
    "\"><svg onload=window.pwned='svg'><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "</div></section></style><style>body{display:none}</style>",
    f"![logo](https://{ELSEWHERE}/logo.png) [click](javascript:alert(1)) **bold** `code`",
    ":material/skull: :red[red] :skull: :violet-background[x] $\\frac{1}{2}$ # Title",
    "Robert'); drop table marts.gates; --",
    "' or 1=1 union select * from ops.pulls --",
    "=HYPERLINK(\"https://evil.example\",\"open\")",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "＝1+1",
    "Acme\u0000\u0001\u0007\u001b[31mred\u001b]0;title\u0007\u0085",
    f"invoice {TURNS}gpj.exe\u202e",
    "zero\u200bwidth\u200c\u200d\ufeff\u2060 joiners",
    "👩‍👩‍👧‍👦🏴‍☠️ emoji 🦊",
    "Z" + "\u0351\u0346\u034c" * 60 + "algo",
    "%{x} %{customdata[0]} {{7*7}} ${7*7} %s %n",
    "../../../../etc/passwd",
    "W" * 10_000,
    "long words " * 900,
    "עברית وعربي",
)  # fmt: skip
LINKS = (
    "javascript:alert(document.domain)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    f"//{ELSEWHERE}/x",
    "\u0000javascript:alert(1)",
    "inbox/=cmd.csv, row 3",
    'https://tool.example/"><img src=x onerror=alert(1)>',
)
_TEXTS = {
    "clients": ("name", "owner"),
    "projects": ("name", "manager"),
    "milestones": ("name", "number", "owner_team", "next_team", "approver", "acceptance_criterion"),
    "milestone_plans": ("reason",),
    "milestone_events": ("actor",),
    "change_orders": ("number", "title", "reason"),
    "invoices": ("number",),
    "invoice_lines": ("description", "reference"),
    "documents": ("type",),
    "handoffs": ("from_team", "to_team"),
    "extra_work": ("description",),
}


def hostile(portfolio: Portfolio) -> Portfolio:
    """The same firms with an attack for every text, and for every address of a record."""
    place = 0

    def attacked(entity: str, row: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal place
        own = {}
        for name in (*_TEXTS.get(entity, ()), "url", "source_url"):
            if row.get(name):
                place += 1
                own[name] = LINKS[place % len(LINKS)] if "url" in name else ATTACKS[place % len(ATTACKS)]
        return {**row, **own}

    records = {entity: [attacked(entity, row) for row in rows] for entity, rows in portfolio.records.items()}
    return replace(portfolio, records=records)


def publish(data: Path, projects: int) -> None:
    """A snapshot of such firms, whose own names are attacks too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "simulate", lambda **told: hostile(simulate(**told)))
        for source, attack in zip(tuple(published.FIRMS), (ATTACKS[1], ATTACKS[6], ATTACKS[9]), strict=True):
            patch.setitem(published.FIRMS, source, attack)
        published.publish(data, projects, AS_OF, failed=("hearth",))
