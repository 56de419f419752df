"""Views that people gave a name: a page and its filters, kept in a folder of the viewer's own, or of everybody's where
nobody signs in.

A view holds what its link holds, codes and days, so that it never shows more than the link would. What stays out:
reading a link, whose folder it is (access.py), and Streamlit.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "views.json"
MOST = 60
LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class View:
    name: str
    page: str
    params: Mapping[str, list[str]]


def kept(folder: Path) -> list[View]:
    """Every view, by name. A file that cannot be read holds none."""
    try:
        written = json.loads((folder / FILE).read_text("utf-8"))
        views = [
            View(str(one["name"]), str(one["page"]), {k: [str(v) for v in vs] for k, vs in one["params"].items()})
            for one in written
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted(views, key=lambda view: view.name.lower())


def keep(folder: Path, view: View) -> str:
    """Keeps a view, in place of one of the same name. Returns what is wrong, or nothing."""
    name = " ".join(view.name.split())
    if not name:
        return "Give the view a name."
    if len(name) > LONGEST_NAME:
        return f"Use at most {LONGEST_NAME} letters."
    others = [one for one in kept(folder) if one.name.lower() != name.lower()]
    if len(others) >= MOST:
        return f"There are {MOST} views already; remove one first."
    return _write(folder, [*others, View(name, view.page, view.params)])


def remove(folder: Path, name: str) -> str:
    return _write(folder, [one for one in kept(folder) if one.name != name])


def _write(folder: Path, views: list[View]) -> str:
    """By one rename, so that a reader sees all of it or the file before."""
    unfinished = folder / f"{FILE}.{secrets.token_hex(4)}.tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump([asdict(view) for view in views], file, indent=1, ensure_ascii=False)
        os.replace(unfinished, folder / FILE)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return f"The view could not be kept: {error.strerror}. Check that {folder} may be written to."
    return ""
