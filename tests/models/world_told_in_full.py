"""A small world with every awkward thing in it, and every row and answer that the models make of it, as files.

`told_in_full/records/` and `reference/` hold what arrives, in contract columns, `told_in_full/expected/` what comes of
it: a CSV per mart, and one per measure. `python tests/models/world_told_in_full.py` makes the expected ones anew. So a
change of a model shows as a diff of these files, to be read row by row in review: each changed cell is either what was
meant, or a mistake. They say that nothing else has changed, not why a number is right: the rules themselves are shown
by the named tests of the rules (test_*_rules.py).
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

FOLDER = Path(__file__).resolve().parent / "told_in_full"
if __name__ == "__main__":
    sys.path[:0] = [str(FOLDER.parent.parent.parent)]

from small_worlds import receive, stage_all  # noqa: E402 - of the tests, wherever this is run from

from models import build, catalog, metrics  # noqa: E402
from models.admission import StagedSource  # noqa: E402
from models.build import Moment  # noqa: E402
from models.measure import Question, answer, explain, series  # noqa: E402

AT = Moment(as_of=datetime(2026, 4, 15, 10), zone="America/Chicago", subdivision="TX")
SINCE, UNTIL = date(2026, 2, 14), date(2026, 3, 16)  # a period on whose edges much happens
OTHERWISE: Mapping[str, Mapping[str, float]] = {  # settings beside their defaults
    "F14": {"target_days": 20},
    "B6": {"block_days": 7},
    "B11": {"older_than_days": 31},
    "B16": {"annual_pct": 10},
}
# Dimensions that a measure's own SELECT makes, or that take its sum apart.
APART = ("aging_bucket", "unbilled_bucket", "cause", "owed_for", "account")
# Three years of days say the same over and over; these hold weekends, holidays, and days of 23 and of 25 hours.
SHOWN = {"working_days": "day_on between '2026-03-28' and '2026-04-06'"}

Row = dict[str, str]


class World:
    """The records, staged; each mart is made when it is first asked for, from those that it reads."""

    def __init__(self) -> None:
        self.con = duckdb.connect(config={"threads": 1})
        build.prelude(self.con)
        for file in sorted((FOLDER / "reference").glob("*.csv")):
            options = "header = true, all_varchar = true, nullstr = ''"
            self.con.execute(f"insert into {file.stem} by name select * from read_csv('{file}', {options})")
        sources = [source for (source,) in self.con.execute("select source from reference.sources").fetchall()]
        staged = [StagedSource(source, None, f"raw_{source}") for source in sources]
        received = {file.stem: read(file) for file in sorted((FOLDER / "records").glob("*.csv"))}
        for source in sources:
            receive(self.con, source, {entity: _of(source, rows) for entity, rows in received.items()})
        stage_all(self.con, staged, AT)
        self._made: set[str] = set()

    def make(self, name: str) -> None:
        model = catalog.marts()[name]
        for table in model.reads:
            if table.startswith("marts.") and table != model.table and table[6:] not in self._made:
                self.make(table[6:])
        build.build(self.con, model, AT)
        self._made.add(name)

    def rows(self, mart: str) -> list[Row]:
        """Every row of a mart, or those that `SHOWN` picks, in the order of its key."""
        if mart not in self._made:
            self.make(mart)
        model = catalog.marts()[mart]
        found = self.con.execute(f"select * from {model.table} where {SHOWN.get(mart, 'true')}")
        names = [column[0] for column in found.description or ()]
        return sorted((_row(names, values) for values in found.fetchall()), key=lambda row: _place(model.key, row))

    def answers(self, measure: str) -> list[Row]:
        """What a measure says, asked in several ways, and which rows it leaves out for which reason."""
        entry = metrics.catalogue()[measure]
        for mart in catalog.marts():
            is_read = mart in (entry.mart, "clock", "projects", "clients") or f"marts.{mart}" in entry.source
            if is_read and mart not in self._made:
                self.make(mart)
        told: list[Row] = []
        for asked, question in questions(entry):
            told += _answers(self.con, asked, question)
        return told


def questions(entry: metrics.Measure) -> list[tuple[str, Question]]:
    """A measure over all there is, on its other clock, with other settings, by project, and in a period."""
    whole = Question(entry.id)
    asked = [("all", whole)]
    if entry.working:
        asked.append(("other clock", replace(whole, clock="working" if entry.clock == "elapsed" else "elapsed")))
    if entry.id in OTHERWISE:
        asked.append((f"{dict(OTHERWISE[entry.id])}", replace(whole, settings=OTHERWISE[entry.id])))
    if entry.period or entry.window:
        asked.append(("period", replace(whole, since=SINCE, until=UNTIL)))
    elif entry.spans:
        asked.append(("period", replace(whole, until=UNTIL)))
    few = entry.min_n > 1  # a project has too few rows for a percentile
    asked.append(("by playbook" if few else "by project", replace(whole, by=("playbook",) if few else ("project_id",))))
    if entry.period:
        asked.append(("by month", whole))
    return asked + [(f"by {name}", replace(whole, by=(name,))) for name in APART if name in entry.dimensions]


def _answers(con: duckdb.DuckDBPyConnection, asked: str, question: Question) -> list[Row]:
    frame = series(con, question, "month") if asked == "by month" else answer(con, question)
    told = []
    for one in frame.to_dicts():
        of = " ".join(str(one.pop(name)) for name in (*question.by, "period", "step") if name in one)
        told.append({"asked": asked, "of": of} | _row([*one], [*one.values()]))
    if not question.by and asked != "by month":
        said = explain(con, question)
        counts = {"rows matched": said.matched_rows, "rows counted": said.counted_rows}
        counts |= {"rows open": said.open_rows, "rows ended": said.ended_rows}
        counts |= {f"left out: {reason}": rows for reason, rows, _ in said.left_out}
        told += [{"asked": asked, "of": of, "n": str(count)} for of, count in counts.items()]
    return told


def _of(source: str, rows: Sequence[Row]) -> list[dict[str, str | None]]:
    mine = ({name: value or None for name, value in row.items()} for row in rows if row["source"] == source)
    return [{name: value for name, value in row.items() if name != "source"} for row in mine]


def _row(names: Sequence[str], values: Iterable[Any]) -> Row:
    return {name: written(value) for name, value in zip(names, values, strict=True)}


def written(value: Any) -> str:
    """A value as it stands in a file; floats to the twelve digits that do not depend on the order of a sum."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.12g}"
    return value.isoformat(timespec="auto") if isinstance(value, datetime) else str(value)


def _place(key: Sequence[str], row: Row) -> tuple[Any, ...]:
    """Where a row stands: by its key, whose numbers come in their own order, then by all it says."""
    return (*((len(row[name]) if row[name].isdigit() else 0, row[name]) for name in key), *row.values())


def read(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def expected(kind: str, name: str) -> list[Row]:
    return read(FOLDER / "expected" / kind / f"{name}.csv")


def table(rows: Sequence[Row]) -> str:
    """Rows as the text of a CSV, with the columns in which any of them says something."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def differences(key: Sequence[str], wanted: Sequence[Row], found: Sequence[Row]) -> list[str]:
    """Where two tables differ, in words: rows by their key and place among those of one key, column by column."""
    before, after = _keyed(key, wanted), _keyed(key, found)
    told = []
    for name in dict.fromkeys([*before, *after]):
        if name not in after:
            told.append(f"{name}: the row is missing")
        elif name not in before:
            told.append(f"{name}: the row is new: {after[name]}")
        else:
            columns = dict.fromkeys([*before[name], *after[name]])
            pairs = ((column, before[name].get(column, ""), after[name].get(column, "")) for column in columns)
            told += [f"{name}: {column} was {was!r}, is {now!r}" for column, was, now in pairs if was != now]
    return told


def _keyed(key: Sequence[str], rows: Sequence[Row]) -> dict[str, Row]:
    named: dict[str, Row] = {}
    for row in rows:
        name = " · ".join(row.get(column, "") for column in key) or "row"
        place = sum(1 for each in named if each == name or each.startswith(f"{name} #")) if name in named else 0
        named[f"{name} #{place + 1}" if place else name] = row
    return named


def write_expected() -> None:
    world = World()
    for kind, names, told in (
        ("marts", catalog.marts(), world.rows),
        ("measures", metrics.catalogue(), world.answers),
    ):
        folder = FOLDER / "expected" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.csv"):
            if stale.stem not in names:
                stale.unlink()
        for name in names:
            (folder / f"{name}.csv").write_text(table(told(name)), "utf-8")


if __name__ == "__main__":
    write_expected()
