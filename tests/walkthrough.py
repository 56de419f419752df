"""Runs a page of the docs as its reader would: saves its files, runs its commands, and puts real output under them.

Folders are written from `~` on, `~/milepost` being the project's. What differs from run to run stays out of `alike`.
The first use of each of Milepost's commands is a process of its own, as its reader's; later ones start no Python again.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.settings import PROJECT

_PIECE = re.compile(r"^Save as `~/(?P<path>[^`]+)`:\n\n```\w+\n(?P<file>.*?)^```$|^```console\n(?P<console>.*?)^```$",
                    re.DOTALL | re.MULTILINE)  # fmt: skip
_SHELL_ONLY = ("export ",)


def saved(page: str) -> Iterator[tuple[str, str]]:
    """The files a page tells its reader to save: path from the home folder, content."""
    for piece in _PIECE.finditer(page):
        if piece["path"]:
            yield piece["path"], piece["file"]


def walked(page: str, home: Path) -> str:
    """The page with the output that its commands give now. `home` is an empty folder that stands for `~`."""
    exports: list[str] = []
    started: set[str] = set()  # Milepost's commands that ran as a process

    def step(piece: re.Match[str]) -> str:
        if piece["path"]:
            file = home / piece["path"]
            file.write_text(piece["file"], "utf-8")
            return piece[0]
        lines = []
        for command in (line[2:] for line in piece["console"].splitlines() if line.startswith("$ ")):
            lines.append(f"$ {command}")
            if command.startswith(_SHELL_ONLY):
                exports.append(command)
                continue
            words = command.split()
            if words[0] == "milepost" and words[1] in started:
                output = _run_here(command, exports, home)
            else:
                output = _run("; ".join([*exports, command]), home)
                started.add(words[1])
            lines += _told(output, home)
        return "```console\n" + "\n".join(lines) + "\n```"

    return _PIECE.sub(step, page)


def _run(command: str, home: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MILEPOST_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**environ, "HOME": str(home), "PATH": path},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
        umask=0o022,  # a terminal's, whatever a test before has set
    )
    return done.stdout


def _run_here(command: str, exports: list[str], home: Path) -> str:
    """A command of Milepost in this process, with what was exported before."""
    told = (words.removeprefix("export ").split("=", 1) for words in exports)
    environ = {name: value.replace("~", str(home), 1) for name, value in told}
    with chdir(home):
        return CliRunner(env={"HOME": str(home), **environ}).invoke(app, shlex.split(command)[1:]).output


def _told(output: str, home: Path) -> list[str]:
    text = output.replace(str(home.resolve()), "~").replace(str(home), "~").replace(str(PROJECT), "~/milepost")
    return [line.rstrip() for line in text.splitlines()]


def alike(page: str) -> str:
    """The page without what differs from run to run: seconds, instants, snapshot names, how many marts and checks."""
    for pattern in (
        r"\d{8}T\d{6}Z-[0-9a-f]{8}",
        r"(?<=serves, as of )\S+( \S+ UTC)?",
        r"(?<=in )\d+\.\d(?= s;)",
        r"\d+ tables\) +\d+",
        r"\d+ checks",
        r" +\d+\.\d\d$",
    ):
        page = re.sub(pattern, "…", page, flags=re.MULTILINE)
    return page
