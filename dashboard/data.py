"""The only reader: the snapshot that serves, and everything a page asks of it, limited to what its viewer may see.

Whoever may not see everything is answered from a copy in memory that holds nothing else (access.py says what).
Answers come from `models.measure`, rows straight from the marts; both are kept by (snapshot, instant, sight, question)
within bounds. Asked for an earlier day, the snapshot's records are rewound in memory (models/rewinding.py). What
stays out: filters, drawing, and any reckoning of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import duckdb
import polars as pl
import streamlit as st

from dashboard import access
from dashboard.access import EVERYTHING, Policy, Rule, Sight, Viewer
from dashboard.export import Sheets
from dashboard.filters import Filters, Options
from dashboard.keeping import Kept as Keeping
from models import build, catalog, client_safe, comparing, explaining, measure, rewinding, trends
from models.build import Finding
from models.comparing import Moved
from models.explaining import Told
from models.faults import fault
from models.measure import Bucket, Clock, Comparison, Explanation, Measure, Question
from models.trends import Days, Trend
from pipelines import settings as settings_
from pipelines import snapshots

OPEN_SNAPSHOTS = 3  # the one that serves, and those a session may still be reading
OPEN_REWOUND = 3  # marts in memory: about 13 kB for each gate
OPEN_SIGHTS = 24  # as many different sights, each with its own rows alone,
SIGHT_SECONDS = 6 * 3600  # for so long, so that copies of snapshots that serve no more do not stay
KEPT_ANSWERS, KEPT_BYTES = 4_000, 96 * 2**20
SAMPLED = 5
NUMBERS = ("value", "p85", "p95", "low", "high", "p85_low", "p85_high")  # of an answer
Kept = TypeVar("Kept")
UnlikeSnapshot = snapshots.UnlikeSnapshot  # that another version published
Condition = tuple[str, Literal["=", "<>", ">", "<", "in", "is null", "is not null"], Any]


@dataclass(frozen=True, slots=True)
class Store:
    """One snapshot as one viewer sees it: `sight` says how, `firms` whose records are in it.

    `rewound_to` is the day to whose end it is rewound (None: it stands as published), `latest` the day it was
    published of, `earliest` the first day that it can be rewound to (None: it keeps no records).
    """

    id: str
    path: Path
    as_of: datetime
    published_at: datetime
    currency: str
    firms: tuple[str, ...]
    sight: Sight
    latest: date
    earliest: date | None = None
    rewound_to: date | None = None
    targets: Mapping[str, float] = field(default_factory=dict, compare=False)
    views: Path = field(default=Path(), compare=False)  # where the viewer's saved views are
    folder: Path = field(default=Path(), compare=False)  # the data folder

    def answer(self, question: Question) -> pl.DataFrame:
        """As `measure.answer`; without a value where it is made of amounts that the viewer may not see."""
        return self._kept(("answer", _key(question)), lambda con: self._shown(question, measure.answer(con, question)))

    def counts(self, question: Question) -> pl.DataFrame:
        """As `measure.counts`."""
        return self._kept(("counts", _key(question)), lambda con: measure.counts(con, question))

    def series(self, question: Question, bucket: Bucket) -> pl.DataFrame:
        """As `measure.series`, and as `answer`."""
        return self._kept(
            ("series", bucket, _key(question)),
            lambda con: self._shown(question, measure.series(con, question, bucket)),
        )

    def trend(self, question: Question, before: Days | None) -> Trend:
        """As `trends.trend` by months, and as `answer`."""

        def ask(con: duckdb.DuckDBPyConnection) -> Trend:
            found = trends.trend(con, question, before)
            earlier = None if found.before is None else self._shown(question, found.before)
            return Trend(self._shown(question, found.answer), earlier, self._shown(question, found.series))

        return self._kept(("trend", before, _key(question)), ask)

    def distribution(self, question: Question, limit: int) -> pl.DataFrame:
        """As `measure.distribution`."""
        return self._kept(
            ("distribution", limit, _key(question)), lambda con: measure.distribution(con, question, limit)
        )

    def rows(self, question: Question) -> pl.DataFrame:
        """As `measure.rows`."""
        return self._kept(("rows", _key(question)), lambda con: measure.rows(con, question))

    def explain(self, question: Question) -> Explanation:
        """As `measure.explain`."""
        return self._kept(("explain", _key(question)), lambda con: measure.explain(con, question))

    def told(self, question: Question) -> Told:
        """An answer with all that stands behind it."""

        def ask(con: duckdb.DuckDBPyConnection) -> Told:
            rows = self._shown(question, measure.answer(con, question)).to_dicts()
            sample = measure.sample(con, question, SAMPLED).to_dicts()
            unit = measure.catalogue()[question.measure].unit
            answer = explaining.Answer(
                rows,
                self.currency if unit == "money" else unit,
                self.as_of,
                None if self.rewound_to else self.id,
                self.currency,
            )
            return Told(answer, measure.explain(con, question), sample)

        return self._kept(("told", _key(question)), ask)

    def curve(self, question: Question) -> pl.DataFrame:
        """As `measure.curve`."""
        return self._kept(("curve", _key(question)), lambda con: measure.curve(con, question))

    def log_rank(self, question: Question, dimension: str) -> Comparison:
        """As `measure.log_rank`."""
        return self._kept(
            ("log_rank", dimension, _key(question)), lambda con: measure.log_rank(con, question, dimension)
        )

    def benchmark(self, question: Question, client_id: str) -> pl.DataFrame:
        """As `client_safe.benchmark`. For a client it pools all others: the one thing that is asked of every row, and
        what comes of it tells none apart. Raises `Fault` for a client who is not the viewer's.
        """
        if not self.sight.may_ask_about(client_id):
            raise fault("benchmark", "this client is not yours.", "Ask about one of your own.")
        sight = EVERYTHING if self.sight.role == "client" else self.sight
        return self._kept(
            ("benchmark", client_id, _key(question)),
            lambda con: client_safe.benchmark(con, question, client_id),
            sight,
        )

    def moved(self, earlier: Store, then: Question, now: Question) -> Moved:
        """The rows behind a measure that came, went or changed since an earlier day."""
        before = earlier.standing(then)
        key = ("moved", str(earlier.rewound_to), _key(then), _key(now))
        return self._kept(key, lambda con: comparing.moved(before, comparing.standing(con, now), now))

    def standing(self, question: Question) -> pl.DataFrame:
        """As `comparing.standing`."""
        return self._kept(("standing", _key(question)), lambda con: comparing.standing(con, question))

    def table(
        self,
        mart: str,
        columns: Sequence[str],
        *,
        where: Mapping[str, tuple[str, ...]] | None = None,
        only: Iterable[Condition] = (),
        order: Sequence[str] = (),
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Columns of a mart's rows, as they are. `where`: column → values kept; `order`: columns, "-" for descending.

        Raises `ValueError` for a mart or column that is not in the catalogue: names never come from a viewer.
        """
        conditions = tuple(only) + tuple((name, "in", values) for name, values in (where or {}).items() if values)
        sql, values = _select(mart, columns, conditions, order, limit)
        return self._kept(
            ("table", sql, repr(values)),
            lambda con: cast(pl.DataFrame, pl.from_arrow(con.execute(sql, values).to_arrow_table())),
        )

    def options(self) -> Options:
        """What each filter offers: value → what a reader sees."""
        return self._kept("options", _options)

    def clients(self) -> dict[str, str]:
        """The name of every client who has a project."""
        return self._kept("clients", _clients)

    def checks(self) -> list[Finding]:
        """Every condition of the tables' headers, held against this snapshot."""
        found: list[Finding] = self._kept(
            "checks", lambda con: [finding for model in catalog.marts().values() for finding in build.check(con, model)]
        )
        return found

    def _shown(self, question: Question, found: pl.DataFrame) -> pl.DataFrame:
        """An answer as it was found, or with a note in place of its numbers where the viewer may not see amounts."""
        if self.sight.money or not _reads_amounts(question):
            return found
        hidden = [name for name in NUMBERS if name in found.columns]
        return found.with_columns(
            *(pl.lit(None, dtype=found.schema[name]).alias(name) for name in hidden),
            pl.lit(access.WITHHELD).alias("note"),
        )

    def _kept(
        self, key: Hashable, ask: Callable[[duckdb.DuckDBPyConnection], Kept], sight: Sight | None = None
    ) -> Kept:
        return cast(Kept, _answered(str(self.path), self.rewound_to, sight or self.sight, key, ask))


def policy() -> Policy | None:
    """Who may open the pages; None where nobody signs in. Raises `Fault` for broken settings."""
    block = settings_.load().access
    if block is None:
        return None
    rules = tuple(
        Rule(one.email, one.group, Sight(one.role, one.clients, one.managers, one.projects, one.money))
        for one in block.people
    )
    return Policy(rules, block.groups_claim, block.session_hours)


def current(viewer: Viewer) -> Store | None:
    """The snapshot that serves, as a viewer may see it, or None where none has been published yet. Raises `Fault` for
    broken settings, and `UnlikeSnapshot` for one that another version published.
    """
    settings = settings_.load()
    snapshot = snapshots.newest(settings.snapshots)
    if snapshot is None:
        return None
    card = _card(str(snapshot.path), None, viewer.sight)
    return Store(
        snapshot.id,
        snapshot.path,
        snapshot.as_of,
        snapshot.published_at,
        card.currency,
        card.firms,
        viewer.sight,
        snapshot.as_of.astimezone(UTC).date(),
        card.earliest,
        None,
        settings.targets,
        settings.data / "views" / viewer.key if viewer.key else settings.data,
        settings.data,
    )


def rewound(store: Store, day: date | None) -> Store:
    """The same snapshot as it stood at the end of a day, UTC. Raises `Fault` where that cannot be rebuilt."""
    if day is None:
        return store
    firms = _card(str(store.path), day, store.sight).firms
    return replace(store, as_of=_end_of(day), rewound_to=day, firms=firms)


def catalogue() -> Mapping[str, Measure]:
    return measure.catalogue()


@cache
def mart_columns(mart: str) -> Mapping[str, str]:
    """A mart's columns and what each means, from the header of its SQL."""
    models = catalog.marts()
    if mart not in models:
        raise ValueError(f"there is no mart {mart!r}")
    return models[mart].columns


@st.cache_resource(max_entries=OPEN_SNAPSHOTS, show_spinner=False, on_release=lambda con: con.close())
def _opened(path: str) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(path, read_only=True)
    try:
        _answering(con)
        snapshots.refuse_unlike(con, Path(path))
    except BaseException:
        con.close()
        raise
    return con


@st.cache_resource(
    max_entries=OPEN_REWOUND, show_spinner="Rebuilding that day from its records", on_release=lambda con: con.close()
)
def _rewound(path: str, day: date) -> duckdb.DuckDBPyConnection:
    con = rewinding.rewound(Path(path), _end_of(day))
    _answering(con)
    return con


def _answering(con: duckdb.DuckDBPyConnection) -> None:
    """Answers each statement on one core: two are asked at once (ahead.py), and a split one costs a tenth more."""
    build.steady(con)
    con.execute("set threads = 1")


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time.max, UTC)


def _connection(path: str, day: date | None, sight: Sight) -> duckdb.DuckDBPyConnection:
    if not sight.is_whole:
        return _limited(path, day, sight)
    return _opened(path) if day is None else _rewound(path, day)


@st.cache_resource(
    max_entries=OPEN_SIGHTS,
    ttl=SIGHT_SECONDS,
    show_spinner=False,
    hash_funcs={Sight: repr},
    on_release=lambda con: con.close(),
)
def _limited(path: str, day: date | None, sight: Sight) -> duckdb.DuckDBPyConnection:
    """What a sight lets through, copied to a database of its own that can open no file."""
    whole = _connection(path, day, EVERYTHING).cursor()
    kinds: dict[str, dict[str, str]] = {}
    for mart, column, kind in whole.execute(_COLUMNS).fetchall():
        kinds.setdefault(mart, {})[column] = kind
    values = access.parameters(sight)
    con = duckdb.connect()
    con.execute("create schema marts")
    for mart, relation in access.relations(sight, {mart: list(columns) for mart, columns in kinds.items()}).items():
        declared = ", ".join(f"{name} {kinds[mart][name]}" for name, _ in relation.columns)
        con.execute(f"create table marts.{mart} ({declared})")
        sql = relation.select(mart)
        let_through = whole.sql(sql, params={name: value for name, value in values.items() if f"${name}" in sql}).pl()
        con.register("let_through", let_through)
        con.execute(f"insert into marts.{mart} from let_through")
        con.unregister("let_through")
    _answering(con)
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")
    return con


_COLUMNS = (
    "select table_name, column_name, data_type from duckdb_columns() "
    "where schema_name = 'marts' and database_name = current_database() order by table_name, column_index"
)


@dataclass(frozen=True, slots=True)
class Card:
    """Reporting currency, the firms whose records a snapshot holds, and the first day it can be rewound to."""

    currency: str
    firms: tuple[str, ...]
    earliest: date | None


@st.cache_resource(max_entries=OPEN_SIGHTS + OPEN_REWOUND, show_spinner=False, hash_funcs={Sight: repr})
def _card(path: str, day: date | None, sight: Sight) -> Card:
    con = _connection(path, day, sight).cursor()
    (currency,) = con.execute("select reporting_currency from marts.snapshot").fetchall()[0]
    if sight.role == "client":  # is shown no firm, and rewinds nothing
        return Card(str(currency), (), None)
    firms = con.execute(
        "select firm from marts.clients union select firm from marts.source_pulls order by firm"
    ).fetchall()
    can_rewind = rewinding.can_rewind(_connection(path, day, EVERYTHING).cursor())
    reach = rewinding.reach(con) if can_rewind else None
    return Card(str(currency), tuple(str(firm) for (firm,) in firms if firm is not None), reach)


_answers = Keeping(KEPT_ANSWERS, KEPT_BYTES)


def _answered(path: str, day: date | None, sight: Sight, key: Hashable, ask: Callable[[Any], Any]) -> Any:
    """Answers are shared between sessions of one sight and never written to, so none is copied."""

    def asked() -> Any:
        cursor = _connection(path, day, sight).cursor()
        try:
            return ask(cursor)
        finally:
            cursor.close()

    return _answers.get((path, day, sight, key), asked)


def _options(con: duckdb.DuckDBPyConnection) -> Options:
    firms, playbooks, managers = (
        [str(value) for (value,) in con.execute(f"select distinct {name} from marts.projects order by 1").fetchall()
         if value is not None]
        for name in ("firm", "playbook", "manager")
    )  # fmt: skip
    return {
        "firm": {value: value for value in firms},
        "client": _clients(con),
        "playbook": {value: value.replace("_", " ").capitalize() for value in playbooks},
        "manager": {value: value for value in managers},
    }


def _clients(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    sql = "select distinct client_id, client from marts.projects order by client nulls last, client_id"
    return {str(client_id): client for client_id, client in con.execute(sql).fetchall()}


def _reads_amounts(question: Question) -> bool:
    return measure.catalogue()[question.measure].unit == "money" or "amount" in measure.statement(question).sql


def _key(question: Question) -> Hashable:
    where = tuple(sorted((name, tuple(sorted(values))) for name, values in question.where.items()))
    settings = tuple(sorted(question.settings.items()))
    return question.measure, question.by, where, question.since, question.until, question.clock, settings


def _select(
    mart: str, columns: Sequence[str], only: Iterable[Condition], order: Sequence[str], limit: int | None
) -> tuple[str, list[Any]]:
    known = mart_columns(mart)
    conditions, values = [], []
    named = [*columns, *(name.lstrip("-") for name in order)]
    for column, operator, value in only:
        named.append(column)
        if operator == "in":
            conditions.append(f"list_contains(?, {column})")
            values.append(list(value))
        elif operator in ("is null", "is not null"):
            conditions.append(f"{column} {operator}")
        else:
            conditions.append(f"{column} {operator} ?")
            values.append(value)
    if strange := [name for name in named if name not in known]:
        raise ValueError(f"mart {mart} has no column {strange[0]!r}")
    sorting = [f"{name[1:]} desc nulls last" if name.startswith("-") else f"{name} nulls last" for name in order]
    sql = f"select {', '.join(columns)} from marts.{mart}"
    sql += f" where {' and '.join(conditions)}" if conditions else ""
    sql += f" order by {', '.join(sorting)}" if sorting else ""
    return (f"{sql} limit {int(limit)}" if limit is not None else sql), values


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page asked, whatever the filters: by which method of a reading, and what it gave."""

    how: str
    given: tuple[Any, ...]
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def again(self, reading: Reading) -> None:
        getattr(reading, self.how)(*self.given, **dict(self.where))


@dataclass(frozen=True, slots=True)
class Reading:
    """A store read through the filters a viewer has set: what every page is given.

    `then` is the same snapshot rewound to the day that is compared with, where one is chosen. `asked` is what was
    asked so far that follows from the filters.
    """

    store: Store
    filters: Filters
    then: Store | None = None
    sheets: Sheets = field(default_factory=Sheets, compare=False)
    asked: list[Asked] = field(default_factory=list, compare=False)

    @property
    def as_of(self) -> datetime:
        return self.store.as_of

    @property
    def currency(self) -> str:
        return self.store.currency

    def span(self) -> tuple[date | None, date | None]:
        return self.filters.span(self.as_of.date())

    def question(self, measure_id: str, *by: str, **where: tuple[str, ...]) -> Question:
        """The measure under the filters; the period is left off where the measure has none."""
        since, until = self.span() if catalogue()[measure_id].spans else (None, None)
        return Question(measure_id, by, {**self.filters.where(), **where}, since, until, self._clock(measure_id))

    def question_then(self, measure_id: str) -> Question | None:
        """The same as it was asked on the day that is compared with; None where none is chosen."""
        if self.then is None:
            return None
        since, until = self.filters.span(self.then.as_of.date()) if catalogue()[measure_id].spans else (None, None)
        return Question(measure_id, (), self.filters.where(), since, until, self._clock(measure_id))

    def _clock(self, measure_id: str) -> Clock | None:
        """The clock chosen, where the measure can be told on it; else its own."""
        return self.filters.clock if catalogue()[measure_id].working else None

    def names(self) -> dict[str, str]:
        """What a reader calls the values that filters hold as ids."""
        return self.store.clients()

    def define(self, measure_id: str) -> None:
        """Notes a measure's meaning down for the page as a file."""
        if measure_id not in self.sheets.definitions:
            about = catalogue()[measure_id]
            question = self.question(measure_id)
            self.sheets.definitions[measure_id] = (about.label, about.definition, lambda: self._left_out(question))

    def _left_out(self, question: Question) -> str:
        """What a file says of the rows left out; nobody else asks."""
        left_out = [f"{n:,} {reason}" for reason, n, _ in self.store.explain(question).left_out]
        return f"Left out: {', '.join(left_out)}." if left_out else ""

    def answer(self, measure_id: str, *by: str, **where: tuple[str, ...]) -> pl.DataFrame:
        self._note("answer", measure_id, *by, **where)
        return self.store.answer(self.question(measure_id, *by, **where))

    def counts(self, measure_id: str, *by: str) -> pl.DataFrame:
        self._note("counts", measure_id, *by)
        return self.store.counts(self.question(measure_id, *by))

    def row(self, measure_id: str) -> dict[str, Any]:
        """The one row of an answer that nothing is grouped by."""
        trend = self._trend(measure_id)
        found = self.answer(measure_id) if trend is None else trend.answer
        return found.row(0, named=True)

    def before(self, measure_id: str) -> pl.DataFrame | None:
        """The answer of the period before; None where the measure or the filters have none."""
        span = self._span_before(measure_id)
        if span is None:
            return None
        if (trend := self._trend(measure_id)) is not None:
            return trend.before
        self._note("before", measure_id)
        return self.store.answer(replace(self.question(measure_id), since=span[0], until=span[1]))

    def months(self, measure_id: str) -> pl.DataFrame:
        """The series of months that nothing is grouped by."""
        trend = self._trend(measure_id)
        return self.series(measure_id, "month") if trend is None else trend.series

    def _span_before(self, measure_id: str) -> Days | None:
        return self.filters.span_before(self.as_of.date()) if catalogue()[measure_id].spans else None

    def _trend(self, measure_id: str) -> Trend | None:
        """What a measure is asked at once, under the filters; None where it has to be asked one by one."""
        question = self.question(measure_id)
        if not trends.is_told_at_once(question):
            return None
        self._note("_trend", measure_id)
        return self.store.trend(question, self._span_before(measure_id))

    def series(self, measure_id: str, bucket: Bucket, *by: str, **where: tuple[str, ...]) -> pl.DataFrame:
        self._note("series", measure_id, bucket, *by, **where)
        return self.store.series(self.question(measure_id, *by, **where), bucket)

    def curve(self, measure_id: str, *by: str, **where: tuple[str, ...]) -> pl.DataFrame:
        self._note("curve", measure_id, *by, **where)
        return self.store.curve(self.question(measure_id, *by, **where))

    def distribution(self, measure_id: str, limit: int, *by: str, **where: tuple[str, ...]) -> pl.DataFrame:
        self._note("distribution", measure_id, limit, *by, **where)
        return self.store.distribution(self.question(measure_id, *by, **where), limit)

    def rows(self, measure_id: str, **where: tuple[str, ...]) -> pl.DataFrame:
        self._note("rows", measure_id, **where)
        return self.store.rows(self.question(measure_id, **where))

    def table(
        self, mart: str, columns: Sequence[str], *only: Condition, order: Sequence[str] = (), limit: int | None = None
    ) -> pl.DataFrame:
        """A mart's rows under the filters, whatever the period."""
        if not any(operator == "in" for _, operator, _ in only):  # rows that were picked are others next time
            self.asked.append(Asked("_table", (mart, tuple(columns), only, tuple(order), limit)))
        return self._table(mart, tuple(columns), only, tuple(order), limit)

    def _table(
        self, mart: str, columns: Sequence[str], only: Sequence[Condition], order: Sequence[str], limit: int | None
    ) -> pl.DataFrame:
        return self.store.table(mart, columns, where=self.filters.where(), only=only, order=order, limit=limit)

    def _note(self, how: str, *given: Any, **where: tuple[str, ...]) -> None:
        if not {"client_id", "playbook"} & {*where}:  # what was picked on the page is another one next time
            self.asked.append(Asked(how, given, tuple(where.items())))

    def of_project(self, mart: str, columns: Sequence[str], project_id: str, order: Sequence[str] = ()) -> pl.DataFrame:
        """A mart's rows of one project, whatever the filters."""
        return self.store.table(mart, columns, only=(("project_id", "=", project_id),), order=order)

    def gates_in_order(self, playbook: str) -> list[str]:
        """A playbook's gate labels in the order in which projects pass them."""
        gates = self.store.table(
            "gates", ["gate_label", "sequence"], where={"playbook": (playbook,)}, order=("sequence", "gate_label")
        )
        return gates["gate_label"].unique(maintain_order=True).to_list()
