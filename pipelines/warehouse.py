"""The warehouse file: who may open it, what stands in it beside pulled records, and how all tables are made.

The only writer of `warehouse.duckdb` apart from the loader of `pulling.py`, never at the same time.
What the tables mean stays in `models/`; where snapshots go stays in `snapshots.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl

from models import admission, audit, build, catalog, terms_seen
from models.admission import StagedSource
from models.build import Connection, Finding, Moment
from models.faults import Fault, Problem, fault
from pipelines import calendars, holding, room, versions
from pipelines.handwritten import read_client_names, read_links, read_reasons
from pipelines.playbooks import Playbook, load_playbooks
from pipelines.secret_files import OWN_FOLDER, keep_private
from pipelines.settings import Settings

PATIENCE_SECONDS = 120.0  # as long as a backup or a question about a past day may hold the file
LOOKS_EVERY_SECONDS = 0.05
RATE_HOLDS_DAYS = 7  # a rate stands for the days after it until the next, at most this long

_SOURCE_TERMS = ("source", "kind", "firm", "timezone", "country", "subdivision", "currency")
_WHOLE_TABLES = "create table if not exists ops.whole_tables (source varchar, table_name varchar, print varchar)"


@contextmanager
def open_warehouse(path: Path, patience_seconds: float | None = None) -> Iterator[Connection]:
    """The warehouse, open for writing, brought up to this version, with small functions in place; closed at the end.

    Waits for another process that holds the file (a backup, a question about a past day) at most `patience_seconds`,
    PATIENCE_SECONDS where not given. Raises `Fault` where it is held for longer, cannot be written, or was written
    by a newer version; and for whatever the disk refuses until the end of the block.
    """
    con = _connected(path, PATIENCE_SECONDS if patience_seconds is None else patience_seconds)
    try:
        versions.bring_up(con, str(path))
        with build.together(con):  # one wait for the disk
            build.prelude(con)
            con.execute(_WHOLE_TABLES)
        yield con
    except Exception as error:
        if refused := room.refusal(error, path):
            raise refused from error
        raise
    finally:
        con.close()


def _connected(path: Path, patience_seconds: float) -> Connection:
    until = time.monotonic() + patience_seconds
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=OWN_FOLDER)
            con = duckdb.connect(str(path))
            keep_private(path)
            return con
        except (duckdb.Error, OSError) as error:
            if not _is_held(error) or time.monotonic() >= until:
                raise _not_opened(path, error) from None
            time.sleep(LOOKS_EVERY_SECONDS)


def _is_held(error: Exception) -> bool:
    return isinstance(error, duckdb.IOException) and "could not set lock" in str(error).lower()


def _not_opened(path: Path, error: Exception) -> Fault:
    said = str(error).splitlines()[0]
    if _is_held(error):
        return fault(str(path), "another process is writing to the warehouse.",
                     "Wait for the other refresh to end, or end it.")  # fmt: skip
    if "version number" in said:
        return fault(str(path), f"was written by another version of DuckDB ({said}).",
                     "Use the Milepost that wrote it, or restore a backup: milepost restore FILE")  # fmt: skip
    if any(words in said for words in ("not a valid DuckDB", "Corrupt", "enough bytes")):
        return fault(str(path), f"is damaged or no warehouse ({said}).",
                     "Restore a backup (milepost restore FILE), or move it away and refresh.")  # fmt: skip
    return fault(str(path), f"the warehouse cannot be opened ({said}).",
                 "Check that the folder exists, has room and may be written to.")  # fmt: skip


def moment(settings: Settings, as_of: datetime) -> Moment:
    """What tables are built for: an aware instant becomes naive UTC; a naive one is taken as UTC."""
    utc = as_of.astimezone(UTC).replace(tzinfo=None) if as_of.tzinfo else as_of
    return Moment(
        as_of=utc,
        currency=settings.reporting_currency,
        zone=settings.timezone,
        country=settings.country,
        subdivision=settings.subdivision,
    )


def staged_sources(settings: Settings, schemas: Mapping[str, str] | None = None) -> list[StagedSource]:
    """The configured sources as the models see them.

    `schemas` says where the records of each lie, and leaves out those that have none; raw_<name> where it is not given.
    Raises `Fault` for a table of contract files that is named after no entity, and so would be read by nobody.
    """
    entities = catalog.contract().entities
    for name, source in settings.sources.items():
        tables = getattr(source, "tables", ()) if source.staging is None else ()
        for table in tables:
            if table not in entities:
                what = "is named after no entity of the contract, and has no SELECT to map it."
                cure = f"Name it one of: {', '.join(entities)}; or give the source a staging folder."
                raise fault(f"source {name}, table {table}", what, cure)
    if schemas is None:
        schemas = {name: f"raw_{name}" for name in settings.sources}
    return [
        StagedSource(name, settings.staging_of(source), schemas[name], source.takes)
        for name, source in settings.sources.items()
        if name in schemas
    ]


def load_reference(con: Connection, settings: Settings) -> None:
    """Loads what the models read beside records: every table of `reference`.

    Raises `Fault` for files that do not fit, and for a name that two gates of a playbook go by.
    """
    sources = pl.DataFrame(
        [
            (
                position,
                name,
                source.kind,
                source.firm,
                source.timezone,
                source.country,
                source.subdivision,
                getattr(source, "currency", None),
            )
            for position, (name, source) in enumerate(settings.sources.items())
        ],
        schema={"position": pl.Int32} | dict.fromkeys(_SOURCE_TERMS, pl.String),
        orient="row",
    )
    fields = _told(settings, "fields", ("source", "role", "field"))
    statuses = _told(settings, "statuses", ("source", "status", "meaning"))
    playbooks = load_playbooks(settings.playbooks)
    gates = pl.DataFrame(
        [
            (playbook.code, gate.code, gate.label, position, gate.typical_days)
            for playbook in playbooks.values()
            for position, gate in enumerate(playbook.gates, 1)
        ],
        schema={
            "playbook": pl.String,
            "gate": pl.String,
            "label": pl.String,
            "sequence": pl.Int32,
            "typical_days": pl.Float64,
        },
        orient="row",
    )
    rates = read_rates(settings.rates_file)
    tables = (("sources", sources), ("source_fields", fields), ("playbook_gates", gates), ("rates", rates))
    for name, frame in tables:
        con.register("loading", frame)
        con.execute(f"create or replace table reference.{name} as select * from loading")
        con.unregister("loading")
    con.register("loading", statuses)
    con.execute(
        "create or replace table reference.source_statuses as "
        "select distinct source, normal_name(status) as status, meaning from loading"
    )
    con.unregister("loading")
    _load_gate_names(con, playbooks, settings.playbooks)
    _load_reasons(con, settings.reasons_file)
    _load_linking(con, settings)


def _load_linking(con: Connection, settings: Settings) -> None:
    methods = pl.DataFrame(
        [(place, method, settings.linking.number_pattern) for place, method in enumerate(settings.linking.methods)],
        schema={"position": pl.Int32, "method": pl.String, "pattern": pl.String},
        orient="row",
    )
    links, names = read_links(settings.links_file), read_client_names(settings.client_names_file)
    for name, frame in (("link_methods", methods), ("manual_links", links), ("client_names", names)):
        con.register("loading", frame)
        con.execute(f"create or replace table reference.{name} as select * from loading")
        con.unregister("loading")


def _told(settings: Settings, key: str, columns: tuple[str, str, str]) -> pl.DataFrame:
    """What the blocks of all sources say under a key: source, left side, right side."""
    rows = [(name, *pair) for name, source in settings.sources.items() for pair in getattr(source, key, {}).items()]
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _load_gate_names(con: Connection, playbooks: Mapping[str, Playbook], folder: Path) -> None:
    """Makes `reference.gate_names`: each name once, by the plainest of what it is."""
    kinds = {"code": 1, "label": 2, "alias": 3}
    written = pl.DataFrame(
        [
            (playbook.code, gate.code, name, kind)
            for playbook in playbooks.values()
            for gate in playbook.gates
            for kind, names in (("code", (gate.code,)), ("label", (gate.label,)), ("alias", gate.aliases))
            for name in names
        ],
        schema={"playbook": pl.String, "gate": pl.String, "written": pl.String, "kind": pl.String},
        orient="row",
    )
    plainest = " ".join(f"when '{kind}' then {place}" for kind, place in kinds.items())
    con.register("loading", written)
    con.execute(
        "create or replace table reference.gate_names as "
        "select playbook, gate, normal_name(written) as name, kind from loading where normal_name(written) <> '' "
        f"qualify row_number() over (partition by playbook, gate, name order by case kind {plainest} end) = 1"
    )
    con.unregister("loading")
    shared = con.execute(
        "select playbook, name, string_agg(gate, ', ' order by gate) from reference.gate_names "
        "group by all having count(*) > 1 order by all"
    ).fetchall()
    if shared:
        raise Fault([
            Problem(f"{folder}, playbook {playbook}", f"{name!r} stands for more than one gate: {found}.",
                    "Leave it to one of them: a label or an alias must be no other gate's.")
            for playbook, name, found in shared
        ])  # fmt: skip


def _load_reasons(con: Connection, file: Path) -> None:
    """Makes `reference.change_reasons` of the vocabulary file; no rows where there is none."""
    con.register("loading", read_reasons(file))
    wrong = con.execute(
        "select max(row), normal_name(written) as name from loading group by name having name = '' or count(*) > 1 "
        "order by all"
    ).fetchall()
    con.execute(
        "create or replace table reference.change_reasons as "
        "select normal_name(written) as written, reason from loading"
    )
    con.unregister("loading")
    if wrong:
        raise Fault([
            Problem(f"{file}, row {row}",
                    f"{written!r} stands in it more than once." if written else "the words are empty.",
                    "Write each way of putting a reason once; case, accents and punctuation make no difference.")
            for row, written in wrong
        ])  # fmt: skip


def read_rates(file: Path) -> pl.DataFrame:
    """Daily rates, columns day (date), currency (text), rate (decimal(18, 8)): reporting currency for one unit.

    Days without a rate (weekends, holidays) take the last one before, at most a week old; the
    last line of a currency stands for the week after it. No file: no rows. Raises `Fault` naming file and
    row for what does not fit.
    """
    if not file.is_file():
        return pl.DataFrame(schema=pl.Schema({"day": pl.Date(), "currency": pl.String(), "rate": pl.Decimal(18, 8)}))
    try:
        text = pl.read_csv(file, infer_schema=False)
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise fault(
            str(file), f"is no CSV file ({str(error).splitlines()[0]}).", "Write it as day,currency,rate."
        ) from None
    if missing := [name for name in ("day", "currency", "rate") if name not in text.columns]:
        raise fault(
            str(file), f"the column {', '.join(missing)} is missing.", "Its first line must be day,currency,rate."
        )
    read = text.with_row_index("row", offset=2).with_columns(
        pl.col("day").str.to_date("%Y-%m-%d", strict=False).alias("day_read"),
        pl.col("rate").cast(pl.Float64, strict=False).alias("rate_read"),
    )
    wrong = read.filter(
        pl.col("day_read").is_null()
        | pl.col("rate_read").is_null()
        | ~(pl.col("rate_read").is_finite() & (pl.col("rate_read") > 0))
        | ~pl.col("currency").fill_null("").str.contains(r"^[A-Z]{3}$")
    )
    if wrong.height:
        raise Fault([
            Problem(f"{file}, row {row['row']}", f"{row['day']},{row['currency']},{row['rate']} is no rate.",
                    "Write a date such as 2026-03-04, an ISO currency code and a rate above zero.")
            for row in wrong.iter_rows(named=True)
        ])  # fmt: skip
    return (
        read.select("currency", pl.col("day_read").alias("day"), pl.col("rate").cast(pl.Decimal(18, 8)))
        .unique(["currency", "day"], keep="last", maintain_order=True)
        .sort("currency", "day")
        .with_columns(pl.col("day").shift(-1).over("currency").alias("next_day"))
        .with_columns(
            pl.min_horizontal(
                pl.col("next_day") - pl.duration(days=1), pl.col("day") + pl.duration(days=RATE_HOLDS_DAYS)
            ).alias("last_day")
        )
        .with_columns(pl.date_ranges("day", "last_day").alias("day"))
        .explode("day")
        .select("day", "currency", "rate")
    )


def stage_all(con: Connection, sources: Sequence[StagedSource], at: Moment) -> list[Finding]:
    """Every `staging.<entity>`, parents first, and the calendars. Raises `Fault` for what the contract refuses."""
    findings = [
        finding
        for entity in catalog.contract().entities.values()
        for finding in admission.stage(con, entity, sources, at)
    ]
    calendars.load(con, at)
    return findings


def build_all(con: Connection, at: Moment) -> None:
    """Every `marts.<rows>`, in order."""
    with build.together(con):
        for model in catalog.marts().values():
            build.build(con, model, at)


def check_all(con: Connection) -> list[Finding]:
    """Every check of every mart, and that nothing received is lost on the way."""
    marts, there = catalog.marts().values(), audit.made(con)
    findings = [one for model in marts for one in (*build.check(con, model), *audit.check(con, model, there))]
    return findings + [build.reconcile(con, entity) for entity in catalog.contract().entities.values()]


@contextmanager
def rebuilt(settings: Settings, as_of: datetime, currency: str | None = None) -> Iterator[Connection]:
    """The marts as of another instant, in memory, from the warehouse's raw records; the file is only read.

    In another currency than the settings', amounts are converted at cross rates. Raises `Fault` where there is
    no warehouse yet, and where a rate is missing.
    """
    currency = currency or settings.reporting_currency
    if not settings.warehouse.is_file():
        raise fault(str(settings.warehouse), "there is no warehouse yet.", "Run `milepost refresh` first.")
    con = duckdb.connect()
    try:
        con.execute(f"attach '{str(settings.warehouse).replace(chr(39), chr(39) * 2)}' as warehouse (read_only)")
        versions.refuse_unlike(con, "warehouse", str(settings.warehouse))
        build.prelude(con)
        at = replace(moment(settings, as_of), currency=currency)
        load_reference(con, settings)
        if currency != settings.reporting_currency:
            _cross_rates(con, settings, currency)
        for table in ("pulls", *_kept(con)):
            con.execute(f"insert into ops.{table} by name from warehouse.ops.{table}")
        try:
            schemas = holding.schemas(con, settings, holding.held(con, "warehouse"), "warehouse")
            stage_all(con, staged_sources(settings, schemas), at)
        except Fault as error:
            raise _of_crossed_rates(error, settings, currency) from None
        build_all(con, at)
        yield con
    finally:
        con.close()


def _kept(con: Connection) -> list[str]:
    """What the attached warehouse remembers of gates; one that an older version made remembers nothing."""
    rows = con.execute(
        "select table_name from duckdb_tables() where database_name = 'warehouse' and schema_name = 'ops'"
    ).fetchall()
    return [table for table in terms_seen.TABLES if (table,) in rows]


def _cross_rates(con: Connection, settings: Settings, currency: str) -> None:
    """Turns `reference.rates` into rates of another currency: its rate of a day divides every other one's.

    A day on which the file has no rate for the currency has none at all, so that a conversion on it is refused.
    """
    known = [str(row[0]) for row in con.execute("select distinct currency from reference.rates order by 1").fetchall()]
    if currency not in known:
        held = f"{settings.rates_file} has no rates for it."
        there = ", ".join([settings.reporting_currency, *known])
        raise fault(
            f"currency {currency}", held, f"There are: {there}. Rates are {settings.reporting_currency} for one."
        )
    con.execute(
        """
        create or replace table reference.rates as
        with crossed as (
            select day, rate as crossing from reference.rates where currency = $currency
        )
        select rates.day, rates.currency, cast(rates.rate / crossed.crossing as decimal(18, 8)) as rate
        from reference.rates as rates inner join crossed using (day)
        where rates.currency <> $currency
        union all
        select day, $own, cast(1 / crossing as decimal(18, 8)) from crossed""",
        {"currency": currency, "own": settings.reporting_currency},
    )


def _of_crossed_rates(error: Fault, settings: Settings, currency: str) -> Fault:
    """The same finding, with a cure for rates that were crossed: the file knows the settings' currency alone."""
    own = settings.reporting_currency
    if currency == own:
        return error
    cure = f"Rates into {currency} are crossed: give {settings.rates_file} that day's {own} for 1 {currency}"
    return Fault(
        [
            replace(one, cure=f"{cure}, and for the other of the pair.") if "there is no rate" in one.what else one
            for one in error.problems
        ]
    )
