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
VERSION = 2  # of the file; 1 was a bare list of views


@dataclass(frozen=True, slots=True)
class View:
    name: str
    page: str
    params: Mapping[str, list[str]]


def kept(folder: Path) -> list[View]:
    """Every view, by name. A file that cannot be read, or that a newer version wrote, holds none."""
    return _read(folder) or []


def _read(folder: Path) -> list[View] | None:
    """None where there is a file that this version cannot read, and so must not write over."""
    try:
        written = json.loads((folder / FILE).read_text("utf-8"))
        if isinstance(written, dict):
            written = written["views"] if written["version"] <= VERSION else None
        views = [
            View(str(one["name"]), str(one["page"]), {k: [str(v) for v in vs] for k, vs in one["params"].items()})
            for one in written
        ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return sorted(views, key=lambda view: view.name.lower())


def keep(folder: Path, view: View) -> str:
    """Keeps a view, in place of one of the same name. Returns what is wrong, or nothing."""
    name = " ".join(view.name.split())
    if not name:
        return "Give the view a name."
    if len(name) > LONGEST_NAME:
        return f"Use at most {LONGEST_NAME} letters."
    before = _read(folder)
    if before is None:
        return _unreadable(folder)
    others = [one for one in before if one.name.lower() != name.lower()]
    if len(others) >= MOST:
        return f"There are {MOST} views already; remove one first."
    return _write(folder, [*others, View(name, view.page, view.params)])


def remove(folder: Path, name: str) -> str:
    before = _read(folder)
    return _unreadable(folder) if before is None else _write(folder, [one for one in before if one.name != name])


def _unreadable(folder: Path) -> str:
    return f"{folder / FILE} is damaged or of a newer version, and was left as it is. Move it away to begin anew."


def _write(folder: Path, views: list[View]) -> str:
    """By one rename, so that a reader sees all of it or the file before."""
    unfinished = folder / f"{FILE}.{secrets.token_hex(4)}.tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump({"version": VERSION, "views": list(map(asdict, views))}, file, indent=1, ensure_ascii=False)
        os.replace(unfinished, folder / FILE)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        return f"The view could not be kept: {error.strerror}. Check that {folder} may be written to."
    return ""
