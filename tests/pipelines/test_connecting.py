"""Connecting a tool: the questions asked make a block that loads, and nothing is written that does not fit."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.faults import Fault
from pipelines import connecting
from pipelines.cli import app
from pipelines.connecting import QUESTIONS, TABLES, Question, add, answered
from pipelines.settings import load

NEEDED = {
    "url": "http://127.0.0.1:9",
    "database": "books",
    "email": "ida@studio.example",
    "workspace": "12",
    "client_id": "ABC",
    "table": "gates",
    "path": "/gates",
    "glob": "clients*.csv",
}


def answering(**given: str) -> Callable[[Question], str]:
    """Answers what is given and what is needed, and takes every other default; one table."""
    tables = iter(["clients"])

    def ask(question: Question) -> str:
        if question.key == "tables":
            return next(tables, "")
        return given.get(question.key, NEEDED[question.key] if question.is_needed else question.default or "")

    return ask


def test_every_kind_has_its_questions_and_a_sentence() -> None:
    assert QUESTIONS.keys() == connecting.kinds().keys()
    assert all(said.endswith(".") for said in connecting.kinds().values())


@pytest.mark.parametrize("kind", QUESTIONS)
def test_the_answers_make_a_block_that_loads(tmp_path: Path, kind: str) -> None:
    url = "sqlite:///books.db" if kind == "sql" else NEEDED["url"]
    add(tmp_path / "milepost.toml", tmp_path, "tool", answered(kind, "tool", answering(url=url)))
    source = load(tmp_path, tmp_path / "milepost.toml", {}).sources["tool"]
    assert source.kind == kind
    assert getattr(source, "token_env", "TOOL_TOKEN") == "TOOL_TOKEN"
    assert ("clients" in getattr(source, "tables", ())) == (kind in TABLES)


def test_what_the_file_said_before_stays_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "milepost.toml"
    file.write_text('timezone = "Europe/Berlin" # ours\n\n[sources.one]\nkind = "stripe"\ntoken_env = "T"\n', "utf-8")
    text = add(file, tmp_path, "two", answered("stripe", "two", answering(firm='Ida "&" Sons')))
    whole = file.read_text("utf-8")
    assert whole.startswith('timezone = "Europe/Berlin" # ours\n\n[sources.one]')
    assert whole.endswith(text)
    assert tomllib.loads(whole)["sources"]["two"]["firm"] == 'Ida "&" Sons'


def test_a_secret_in_a_file_is_told_by_its_path(tmp_path: Path) -> None:
    block = answered("stripe", "two", answering(secret="~/.config/milepost/stripe.key"))
    assert block["token_file"] == "~/.config/milepost/stripe.key"
    assert "token_env" not in block


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("one", {}, "there is a source of that name"),
        ("Two", {}, "must be lower-case letters"),
        ("two", {"milestones": "boards"}, "sources.two.redmine.milestones"),
        ("two", {"currency": "euro"}, "sources.two.redmine.currency"),
    ],
)
def test_what_does_not_fit_is_told_and_not_written(
    tmp_path: Path, name: str, given: dict[str, str], words: str
) -> None:
    file = tmp_path / "milepost.toml"
    file.write_text('[sources.one]\nkind = "stripe"\ntoken_env = "T"\n', "utf-8")
    before = file.read_text("utf-8")
    with pytest.raises(Fault, match=words):
        add(file, tmp_path, name, answered("redmine", name, answering(**given)))
    assert file.read_text("utf-8") == before


def test_an_answer_that_is_needed_is_asked_for() -> None:
    with pytest.raises(Fault, match="url: needs an answer"):
        answered("redmine", "tool", lambda question: "")


def test_a_kind_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(Fault, match="There are: portal, redmine"):
        answered("abacus", "tool", answering())


def test_the_command_asks_writes_and_tries_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILEPOST_DATA", str(tmp_path))
    monkeypatch.setenv("MILEPOST_CONFIG", str(tmp_path / "milepost.toml"))
    (tmp_path / "milepost.toml").write_text("", "utf-8")
    told = CliRunner().invoke(
        app, ["connect", "portal", "--name", "studio", "--answer", "firm=Studio North"], input="http://127.0.0.1:9\n\n"
    )
    assert told.exit_code == 0, told.output
    assert 'firm = "Studio North"' in told.output
    assert "✗ source studio" in told.output
    assert "STUDIO_TOKEN is not set" in told.output
