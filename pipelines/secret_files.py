"""Secrets from the environment or from files that others cannot read, and files that are kept from others.

What stays out: which secrets there are (the settings name them), and what they are good for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from models.faults import fault

OWN_FILE, OWN_FOLDER = 0o600, 0o700
OTHERS = 0o077  # the umask under which every command works: what it makes is its user's alone
_ANYBODY = stat.S_IROTH | stat.S_IWOTH


def secret(where: str, what: str, env: str | None, file: Path | None, environ: Mapping[str, str]) -> str:
    """A secret out of the variable `env`, else out of `file`. `what` says what it is, "the tool's token".

    Raises `Fault` where it is not there, is empty, or lies in a file that anybody on this machine can read.
    """
    if env:
        if value := environ.get(env, "").strip():
            return value
        raise fault(where, f"the environment variable {env} is not set.", f"Set it to {what}: export {env}=…")
    if file is None:
        raise fault(where, f"nothing says where {what} is.", "Name an environment variable or a file that holds it.")
    path = file.expanduser()
    try:
        mode = path.stat().st_mode
        value = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise fault(where, f"the file {file} with {what} cannot be read ({why}).",
                    f"Write {what} to it, readable by you alone.") from None  # fmt: skip
    if mode & _ANYBODY:
        raise fault(where, f"everybody on this machine can read the file {file}, which holds {what}.",
                    f"Make it yours alone, and think of {what} as known: chmod 600 {path}")  # fmt: skip
    if not value:
        raise fault(where, f"the file {file} with {what} is empty.", f"Write {what} to it.")
    return value


def keep_private(path: Path) -> None:
    """Takes a file or a folder from everybody but its owner; one that belongs to somebody else stays as it is."""
    with suppress(OSError):
        is_folder = path.is_dir()
        if stat.S_IMODE(path.stat().st_mode) & OTHERS:
            path.chmod(OWN_FOLDER if is_folder else OWN_FILE)


def private_folder(path: Path) -> None:
    """Makes a folder, its owner's alone; one that is there already is made so. Raises OSError where it cannot be."""
    path.mkdir(parents=True, exist_ok=True, mode=OWN_FOLDER)
    keep_private(path)


def write_private(path: Path, text: str) -> None:
    """Writes a new file that nobody else can read at any moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWN_FILE), "w", encoding="utf-8") as stream:
        stream.write(text)


def open_to_others(folder: Path) -> list[Path]:
    """What others may read or write: the folder, where it is not closed; else nothing, for a closed folder hides all
    that is in it.
    """
    try:
        if not stat.S_IMODE(folder.stat().st_mode) & OTHERS:
            return []
    except OSError:
        return []
    inside = (path for where in (folder, folder / "snapshots") if where.is_dir() for path in sorted(where.iterdir()))
    return [path for path in inside if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & OTHERS]
