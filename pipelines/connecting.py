"""`milepost connect`: the few questions a source needs, and the block of milepost.toml that follows from the answers.

A secret is never asked for: only where it stands. What stays out: asking at the terminal (cli.py), and what a block may
say (source_blocks.py), which judges the answers before anything is written.
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from models.faults import Fault, fault
from pipelines.settings import Settings, problem, read
from pipelines.source_blocks import Source


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to be answered. `key` is the block's; an empty answer takes `default`, where that is None none."""

    key: str
    text: str
    default: str | None = None
    is_list: bool = False
    is_needed: bool = False


Ask = Callable[[Question], str]

_URL = "Address of the tool, as in the browser"
_GATES = Question("milestones", "What are the gates: issues, or versions", "issues")
_MONEY = Question("currency", "ISO 4217 code of amounts that name none, such as EUR; empty where all do")

QUESTIONS: Mapping[str, tuple[Question, ...]] = {
    "portal": (Question("url", "Address of the portal, without /v1", is_needed=True),),
    "redmine": (
        Question("url", _URL, is_needed=True),
        _GATES,
        Question("tracker", "Tracker whose issues are gates", "Milestone"),
        Question("change_order_tracker", "Tracker whose issues are change orders; empty where there is none"),
        _MONEY,
    ),
    "tryton": (
        Question("url", "Address of the Tryton server", is_needed=True),
        Question("database", "Name of its database", is_needed=True),
    ),
    "jira": (
        Question("url", "Address of the site, such as https://example.atlassian.net", is_needed=True),
        Question("email", "E-mail of the account that the API token belongs to", is_needed=True),
        _GATES,
        Question("jql", "JQL that finds the gates", "issuetype = Milestone"),
        Question("change_orders_jql", "JQL that finds change orders; empty where there are none"),
        _MONEY,
    ),
    "asana": (
        Question("workspace", "gid of the workspace", is_needed=True),
        Question("projects", "gids of the projects, with commas; empty for all", is_list=True),
        _MONEY,
    ),
    "stripe": (),
    "xero": (Question("client_id", "Client id of the custom connection", is_needed=True),),
    "rocketlane": (_MONEY,),
    "sql": (Question("url", "Address without the password, such as postgresql://user@host/database", is_needed=True),),
    "rest": (
        Question("url", "Address that every path stands behind", is_needed=True),
        Question("auth", "How the token is sent: bearer, basic, header, query, none", "bearer"),
        Question("auth_name", "User (basic), header or parameter that the token goes with; empty for bearer and none"),
    ),
    "files": (Question("folder", "Folder of the files, from the data folder", "inbox"),),
}
TABLES: Mapping[str, tuple[Question, ...]] = {
    "sql": (
        Question("table", "Table or view in the database", is_needed=True),
        Question("key", "Columns that tell a row from every other, with commas", "id", is_list=True),
        Question("cursor", "Column that says when a row was last written; empty where there is none"),
    ),
    "rest": (
        Question("path", "Path of the list, such as /invoices", is_needed=True),
        Question("records", "Where the list stands in the answer, such as data.items; empty where it is the answer"),
        Question("key", "Where the key stands in a record", "id"),
        Question("updated", "Where the instant of its last change stands, such as updated_at; empty where nowhere"),
        Question("since_parameter", "Parameter that asks for changes from an instant on; empty where there is none"),
    ),
    "files": (Question("glob", "Files of one layout, such as invoices*.csv", is_needed=True),),
}
_WITHOUT_SECRET = ("files",)
_SECRET = Question("secret", "Environment variable that holds the token or password, or the path of a file that does")
_OWN_TABLES = "Name of a table: an entity of the contract where its columns are the contract's; empty when done"


def kinds() -> Mapping[str, str]:
    """Every kind of source, and what it is in a sentence."""
    blocks = get_args(get_args(Source)[0])
    said = {block.model_fields["kind"].annotation: (block.__doc__ or "").strip().splitlines()[0] for block in blocks}
    return {get_args(kind)[0]: text for kind, text in said.items()}


def answered(kind: str, name: str, ask: Ask) -> dict[str, Any]:
    """The block of a source as its answers make it. Raises `Fault` for a kind that there is not."""
    if kind not in QUESTIONS:
        raise fault(f"kind {kind}", "there is no such kind.", f"There are: {', '.join(QUESTIONS)}.")
    block: dict[str, Any] = {"kind": kind}
    block |= _told((Question("firm", "Whose records they are, as pages show it", "Our firm"), *QUESTIONS[kind]), ask)
    if kind not in _WITHOUT_SECRET and block.get("auth") != "none":
        secret = ask(Question(_SECRET.key, _SECRET.text, f"{name.upper()}_TOKEN")).strip() or f"{name.upper()}_TOKEN"
        block["token_file" if "/" in secret or "\\" in secret else "token_env"] = secret
    if kind in TABLES:
        block |= _told((Question("staging", "Folder of your SELECTs; empty where columns are the contract's"),), ask)
        block["tables"] = {}
        while table := ask(Question("tables", _OWN_TABLES)).strip():
            block["tables"][table] = _told(TABLES[kind], ask)
    return block


def _told(questions: tuple[Question, ...], ask: Ask) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for question in questions:
        answer = ask(question).strip()
        if not answer and question.is_needed:
            raise fault(question.key, "needs an answer.", f"It is: {question.text}.")
        answer = answer or question.default or ""
        if question.is_list:
            if parts := [part.strip() for part in answer.split(",") if part.strip()]:
                told[question.key] = parts
        elif answer:
            told[question.key] = answer
    return told


def add(file: Path, data: Path, name: str, block: Mapping[str, Any]) -> str:
    """Writes a source's block behind what the settings file says already, and returns it as written.

    The file is made where there is none. Raises `Fault`, and writes nothing, where the name is taken or the block
    does not fit.
    """
    is_there = file.is_file()
    if is_there and name in read(file).get("sources", {}):
        raise fault(f"{file}, sources.{name}", "there is a source of that name.", "Choose another with --name.")
    before, text = file.read_text("utf-8") if is_there else "", toml(name, block)
    whole = f"{before.rstrip()}\n\n{text}" if before.strip() else text
    try:
        Settings.model_validate({**tomllib.loads(whole), "data": data})
    except ValidationError as error:
        raise Fault([problem(None, detail) for detail in error.errors()]) from None
    _replace(file, whole)
    return text


def toml(name: str, block: Mapping[str, Any]) -> str:
    """A source's block as TOML: its own keys first, a table of each of its tables after them."""
    plain = {key: value for key, value in block.items() if key != "tables"}
    parts = [(f"sources.{name}", plain)]
    parts += [(f"sources.{name}.tables.{table}", told) for table, told in block.get("tables", {}).items()]
    return "\n".join(
        f"[{header}]\n" + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys.items())
        for header, keys in parts
    )


def _replace(file: Path, text: str) -> None:
    """The whole file or the old one, whatever happens in between."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as fresh:
            fresh.write(text)
        if file.is_file():
            os.chmod(fresh.name, file.stat().st_mode)
        os.replace(fresh.name, file)
    except OSError as error:
        raise fault(str(file), f"cannot be written ({error.strerror}).", "Give yourself the right to.") from None
