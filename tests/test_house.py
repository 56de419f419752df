"""The laws of the house: who may know whom, what things are called, and where no clock may be read."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import pytest

from models import admission, build, catalog
from pipelines.settings import PROJECT

CODE = sorted(file for room in ("pipelines", "models", "dashboard") for file in (PROJECT / room).rglob("*.py"))
TESTS = sorted((PROJECT / "tests").rglob("test_*.py"))


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@cache
def imports(file: Path) -> frozenset[str]:
    """Dotted names a module imports, relative to the project."""
    found: set[str] = set()
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return frozenset(found)


def within(room: str) -> Iterator[tuple[str, frozenset[str]]]:
    for file in CODE:
        name = file.relative_to(PROJECT).as_posix()
        if name.startswith(room):
            yield name, imports(file)


def breaches(room: str, *forbidden: str, but: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [
        (name, module)
        for name, modules in within(room)
        for module in sorted(modules)
        if module.split(".")[0] in forbidden and not module.startswith(but or ("\0",))
    ]


def test_models_know_neither_pipelines_nor_dashboard() -> None:
    assert breaches("models/", "pipelines", "dashboard", "dagster", "streamlit", "dlt") == []


def test_pipelines_do_not_know_the_dashboard() -> None:
    assert breaches("pipelines/", "dashboard", "streamlit") == []


def test_the_dashboard_knows_of_pipelines_only_where_snapshots_lie() -> None:
    allowed = ("pipelines.snapshots", "pipelines.settings", "pipelines import")
    of_the_server = {"pipelines.access_block", "pipelines.secret_files"}  # where it may listen, and its secrets
    found = [
        (name, module)
        for name, modules in within("dashboard/")
        for module in sorted(modules)
        if module.startswith("pipelines")
        and not module.startswith(allowed)
        and not (name == "dashboard/serving.py" and module.rpartition(".")[0] in of_the_server)
    ]
    assert found == []


def test_sources_know_no_duckdb_and_no_dagster() -> None:
    assert breaches("pipelines/sources/", "duckdb", "dagster") == []


def test_only_the_data_module_of_the_dashboard_opens_a_snapshot() -> None:
    assert {name for name, modules in within("dashboard/") if any(m.split(".")[0] == "duckdb" for m in modules)} <= {
        "dashboard/data.py"
    }


def test_only_the_warehouse_module_opens_the_warehouse_for_writing() -> None:
    opening = re.compile(r"duckdb\.connect\((.+)\)")
    found = {
        (file.relative_to(PROJECT).as_posix(), argument)
        for file in CODE
        for argument in opening.findall(file.read_text("utf-8"))
        if argument and "read_only" not in argument and ":memory:" not in argument
    }
    assert {name for name, _ in found} <= {"pipelines/warehouse.py"}, found


def test_nothing_imports_tests() -> None:
    assert [
        (n, m) for room in ("pipelines/", "models/", "dashboard/") for n, m in breaches(room, "tests", "conftest")
    ] == []


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    odd = re.compile(r"(^|_)(utils?|helpers?|common|base|misc|v2)($|_)")
    assert [file.name for file in [*CODE, *TESTS] if odd.search(file.stem)] == []


def test_every_module_opens_with_what_it_is_for() -> None:
    silent = [
        file.relative_to(PROJECT).as_posix()
        for file in CODE
        if file.read_text("utf-8").strip() and not ast.get_docstring(parsed(file))
    ]
    assert silent == []


def test_the_clock_is_read_only_where_a_command_begins() -> None:
    """Everywhere else the instant is an argument; Dagster's own run start counts as one."""
    reads = re.compile(r"\b(datetime\.(now|utcnow|today)|date\.today|time\.time)\(")
    found = {file.relative_to(PROJECT).as_posix() for file in CODE if reads.search(file.read_text("utf-8"))}
    assert found <= {"pipelines/cli.py"}


def test_tests_are_sentences() -> None:
    short = [
        (file.name, name)
        for file in TESTS
        for name in re.findall(r"^ *(?:async )?def (test_\w*)", file.read_text("utf-8"), re.MULTILINE)
        if name.count("_") < 3
    ]
    assert short == []


def test_every_promise_names_tests_that_there_are() -> None:
    page = (PROJECT / "docs" / "promises.md").read_text("utf-8")
    named = re.findall(r"^- `(tests/\S+)::(test_\w+)`$", page, re.MULTILINE)
    missing = [name for file, name in named if f"\ndef {name}(" not in (PROJECT / file).read_text("utf-8")]
    promises = [part for part in page.split("\n\n") if part.startswith("**")]
    assert missing == []
    assert len(named) == page.count("::") > 50
    assert [one for one in promises if "::" not in one] == []


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    quitting = re.compile("|".join(("pytest" + r"\.skip", r"mark\.skip", r"mark\.xfail", "importor" + "skip")))
    assert [file.name for file in TESTS if quitting.search(file.read_text("utf-8"))] == []


def test_no_model_and_no_page_counts_midnights() -> None:
    """Monday 23:00 to Tuesday 01:00 is two hours; counting the midnights between would make it a day."""
    counting = re.compile(r"\b(date_?diff|date_?sub|timestampdiff)\s*\(", re.IGNORECASE)
    files = [*PROJECT.glob("models/**/*.sql"), *PROJECT.glob("models/*.yml"), *PROJECT.glob("models/*.py")]
    files += [*PROJECT.glob("dashboard/**/*.py"), *PROJECT.glob("examples/**/*.sql"), *PROJECT.glob("bench/*.py")]
    found = [
        (file.name, line.strip())
        for file in files
        for line in file.read_text("utf-8").splitlines()
        if counting.search(line) and not line.lstrip().startswith("--")
    ]
    assert len(files) > 30
    assert found == []


@pytest.fixture(scope="module")
def columns() -> list[tuple[str, str, str]]:
    """(table, column, type) of every mart, built empty."""
    con = duckdb.connect()
    build.prelude(con)
    at = build.Moment(as_of=datetime(2026, 6, 30))
    for entity in catalog.contract().entities.values():
        admission.stage(con, entity, [], at)
    for model in catalog.marts().values():
        build.build(con, model, at)
    return con.execute(
        "select table_name, column_name, data_type from duckdb_columns() where schema_name = 'marts' order by all"
    ).fetchall()


@pytest.mark.parametrize(
    ("named", "types"),
    [
        (r"_at$", ("TIMESTAMP",)),
        (r"_on$", ("DATE",)),
        (r"(^|_)amount(_local)?$", ("DECIMAL(18,2)",)),
        (r"_count$", ("INTEGER", "BIGINT")),
        (r"^(is|has|was)_", ("BOOLEAN",)),
        (r"_id$|^(firm|client|project|playbook|manager|currency|source|source_key|source_url|status)$", ("VARCHAR",)),
    ],
)
def test_a_columns_name_says_its_type(columns: list[tuple[str, str, str]], named: str, types: tuple[str, ...]) -> None:
    found = [row for row in columns if re.search(named, row[1])]
    assert found
    assert [row for row in found if row[2] not in types] == []


def test_every_flag_and_instant_says_so_in_its_name(columns: list[tuple[str, str, str]]) -> None:
    # locks_scope is the field's own term
    odd = [row for row in columns if row[2] == "BOOLEAN" and not re.match(r"(is|has|was)_|locks_scope$", row[1])]
    odd += [row for row in columns if row[2] == "TIMESTAMP" and not row[1].endswith("_at")]
    odd += [row for row in columns if row[2] == "DATE" and not row[1].endswith("_on")]
    assert odd == []


def test_a_column_has_one_type_everywhere(columns: list[tuple[str, str, str]]) -> None:
    kinds: dict[str, set[str]] = {}
    for _, column, kind in columns:
        kinds.setdefault(column, set()).add(kind)
    assert {column: found for column, found in kinds.items() if len(found) > 1} == {}


def test_every_reading_of_the_marts_is_named_with_the_dimensions_pages_filter_by(
    columns: list[tuple[str, str, str]],
) -> None:
    wanted = {"firm", "client", "project", "playbook", "manager"}
    bare = {
        "clients",
        "clock",
        "rejects",
        "source_pulls",
        "gate_spans",
        "client_calendars",
        "project_calendars",
        "working_days",
        "unmapped_gates",
        "gate_clocks",
        "handoff_clocks",
        "change_order_clocks",
        "invoice_line_clocks",
        "invoice_clocks",
        "payment_clocks",
    }
    tables = {table for table, _, _ in columns} - bare
    lacking = {table for table in tables if wanted - {c for t, c, _ in columns if t == table}}
    assert lacking == set()


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=True, text=True).stdout
    return [PROJECT / name for name in listed.split("\0") if name and (PROJECT / name).is_file()]


def test_no_file_names_a_package_index_or_a_path_of_one_machine() -> None:
    words = re.compile(
        "|".join(
            [
                "--(extra-)?index" + "-url",
                "files.python" + "hosted",
                "py" + r"pi\.org/simple",
                "/ro" + "ot/",
                "/wo" + "rk/",
            ]
        )
    )
    readable = [file for file in tracked() if file.suffix not in (".png", ".parquet", ".xlsx")]
    assert [file.name for file in readable if words.search(file.read_text("utf-8", errors="ignore"))] == []


def test_the_lock_pins_every_package_by_hash() -> None:
    text = (PROJECT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(entries) > 50
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_holds_every_direct_dependency() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=;]", line)[0].strip().lower() for line in wanted}
    locked = {
        re.split(r"[\[=]", line)[0]
        for line in (PROJECT / "requirements.lock").read_text("utf-8").splitlines()
        if line and line[0].isalnum()
    }
    assert names - locked == set()
