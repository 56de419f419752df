"""Dagster assets, by three makers: a pulled source, the SQL models, the snapshot.

Every asset is named as its table: raw/<source>, staging/<entity>, marts/<rows>. All models are one
subsettable multi-asset, because the warehouse has one writer and an op each would cost more than the SQL.
The snapshot asks `ops.builds` what was built and how its checks went, so that it refuses in any run.
What stays out: how to pull (pulling.py), what SQL runs (models), what a check is called (checks.py).
"""

import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field as Described

from models import admission, audit, build, catalog
from models.admission import StagedSource
from models.build import Connection, Finding, Moment
from models.catalog import Entity, Model
from models.faults import Fault, Problem, fault
from pipelines import calendars, checks, holding, lineage, pulling, snapshots, standing, warehouse
from pipelines.settings import Settings
from pipelines.standing import Build

Watched = dg.ResourceParam[object]  # asked for so that it stands while the asset is made (scheduled.py)
Made = Iterator[dg.MaterializeResult | dg.AssetCheckResult]  # type: ignore[type-arg]

progress = logging.getLogger("milepost.progress")  # what is about to be done, for whoever waits at a terminal


class Clock(dg.ConfigurableResource[None]):
    """The run's two instants: when it started, and the one its numbers are to tell of."""

    as_of: str | None = Described(
        default=None, description="Facts after this instant are invisible (ISO 8601); the run's start where empty."
    )
    now: str | None = Described(
        default=None, description="When the run started (ISO 8601), where another clock than the system's is to count."
    )

    def started(self, context: dg.AssetExecutionContext) -> datetime:
        if self.now:
            return _read_instant("clock.now", self.now)
        record = context.instance.get_run_record_by_id(context.run.run_id)
        if record is None:
            raise fault(f"run {context.run.run_id}", "Dagster has no record of its start.", "Start it anew.")
        return datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)

    def instant(self, context: dg.AssetExecutionContext) -> datetime:
        return _read_instant("clock.as_of", self.as_of) if self.as_of else self.started(context)


def _read_instant(where: str, text: str) -> datetime:
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise fault(where, f"{text!r} is no instant.", "Write 2026-06-30T12:00:00Z.") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


@contextmanager
def plainly() -> Iterator[None]:
    """A `Fault` becomes Dagster's own failure with the same words, and is not tried again."""
    try:
        yield
    except Fault as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


# --- a pulled source -------------------------------------------------------------------------------------


def pulled_source(settings: Settings, name: str) -> dg.AssetsDefinition:
    """The asset raw/<source>: what its tool has that is new, in schema raw_<source>."""
    source = settings.sources[name]
    key = dg.AssetKey(["raw", name])

    @dg.asset(
        key=key,
        check_specs=[dg.AssetCheckSpec(checks.PULLED, asset=key, description="The tool gave what is new.")],
        group_name="raw",
        kinds={"duckdb", "file" if source.kind == "files" else "api"},
        description=f"Records of {source.firm} as received from a source of kind {source.kind}, schema raw_{name}.",
    )
    def raw(context: dg.AssetExecutionContext, clock: Clock, watch: Watched) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: ARG001
        progress.info("Pulling %s", name)
        began = time.perf_counter()
        try:
            report = pulling.pull(settings, name, clock.started(context))
        except Fault as error:  # noted by the pull: the source stays where it was, and the others go on
            failed = checks.not_pulled(key, error)
            return dg.MaterializeResult(metadata={"seconds": time.perf_counter() - began}, check_results=[failed])
        newest = report.newest_recorded_at
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(report.rows.values()),
                "rows": {table: count for table, count in report.rows.items() if count},
                "changed": report.changed,
                "newest_recorded_at": newest.isoformat() if newest else "none",
                "seconds": time.perf_counter() - began,
            },
            check_results=[dg.AssetCheckResult(asset_key=key, check_name=checks.PULLED, passed=True)],
        )

    return raw


# --- the SQL models --------------------------------------------------------------------------------------


def sql_models(settings: Settings) -> dg.AssetsDefinition:
    """Every staging table and mart, with its checks, in one op; a selection makes those selected."""
    contract, marts = catalog.contract(), catalog.marts()

    @dg.multi_asset(
        name="models",
        specs=[
            *(_staging_spec(entity, settings) for entity in contract.entities.values()),
            *(_mart_spec(model) for model in marts.values()),
        ],
        check_specs=checks.specs(contract, marts),
        can_subset=True,
    )
    def models(context: dg.AssetExecutionContext, clock: Clock, watch: Watched) -> Made:  # noqa: ARG001
        chosen = {".".join(key.path) for key in context.selected_asset_keys}
        with plainly(), warehouse.open_warehouse(settings.warehouse) as con:
            snapshots.sweep(settings.snapshots)
            at = warehouse.moment(settings, clock.instant(context))
            warehouse.load_reference(con, settings)
            planned = yield from _all_staged(con, settings, at, chosen)
            wanted = [model for model in marts.values() if model.table in chosen]
            if wanted:
                calendars.load(con, at)
            yield from _built(con, wanted, at, planned, is_kept=not context.instance.is_ephemeral)

    return models


def _all_staged(
    con: Connection, settings: Settings, at: Moment, chosen: Set[str]
) -> Generator[dg.MaterializeResult | dg.AssetCheckResult, None, dict[str, Build]]:  # type: ignore[type-arg]
    """Makes the staging tables chosen, and returns how all tables are to be made.

    A source whose records do not fit is held back at its last good ones, and all are made again without its newest.
    Where only some tables are made, or no source would be left, what does not fit stops the run.
    """
    entities = catalog.contract().entities
    staged = [entity for entity in entities.values() if f"staging.{entity.name}" in chosen]
    if staged:
        holding.refuse_if_none_is_fresh(con, settings)
    refused: dict[str, list[Problem]] = {}
    before = audit.records(con)
    while True:
        planned = standing.plan(con, settings, at, chosen, refused)
        standing.forget(con, chosen)
        made: list[dg.MaterializeResult | dg.AssetCheckResult] = []  # type: ignore[type-arg]
        schemas = holding.schemas(con, settings, refused)
        sources = warehouse.staged_sources(settings, schemas)
        for entity in staged:
            try:
                made += _staged(con, entity, sources, at, planned[f"staging.{entity.name}"])
                if entity is staged[-1] and len(staged) == len(entities):
                    audit.refuse_vanished(con, before, settings.sources.keys(), sources)
            except Fault as error:
                blamed = holding.blamed(error, refused, settings) if len(staged) == len(entities) else {}
                if not blamed:
                    yield from made
                    yield checks.refused(entity, error)
                    raise
                progress.info("Holding back %s", ", ".join(blamed))
                refused |= blamed
                break
        else:
            break
    standing.note(con, {f"staging.{entity.name}": [] for entity in staged}, planned, at)
    if len(staged) == len(entities):
        holding.note(con, settings, refused, {name: standing.received(con, name) for name in settings.sources})
    yield from made
    return planned


def _staged(
    con: Connection, entity: Entity, sources: Sequence[StagedSource], at: Moment, planned: Build
) -> list[dg.MaterializeResult | dg.AssetCheckResult]:  # type: ignore[type-arg]
    progress.info("Staging %s", entity.name)
    began = time.perf_counter()
    findings = admission.warnings(con, entity, sources) if planned.stands else admission.stage(con, entity, sources, at)
    return [_made(con, planned, {"seconds": time.perf_counter() - began}), *checks.staged(entity, findings)]


def _built(con: Connection, models: Sequence[Model], at: Moment, planned: Mapping[str, Build], is_kept: bool) -> Made:
    """Builds first and checks after, because the reconciliation looks at several marts.

    Column lineage takes a tenth of the time and is left out of a run that Dagster does not keep.
    """
    seconds: dict[str, float] = {}
    broken: dict[str, list[str]] = {}
    with build.together(con):
        for model in models:
            progress.info("Building %s", model.name)
            began = time.perf_counter()
            if not planned[model.table].stands:
                build.build(con, model, at)
            seconds[model.name] = time.perf_counter() - began
        committed = time.perf_counter()
    if models:  # the wait for the disk is part of building
        seconds[models[-1].name] += time.perf_counter() - committed
    there = audit.made(con)
    for model in models:
        progress.info("Checking %s", model.name)
        began = time.perf_counter()
        findings = build.check(con, model) + _reconciled(con, model) + audit.check(con, model, there)
        known = {"seconds": seconds[model.name], "check_seconds": time.perf_counter() - began}
        yield _made(con, planned[model.table], {**known, **(_lineage(model) if is_kept else {})})
        yield from checks.results(findings)
        broken[model.table] = [one.check for one in findings if one.severity == "fail" and not one.passed]
    standing.note(con, broken, planned, at)


def _lineage(model: Model) -> dict[str, dg.TableColumnLineage]:
    return {"dagster/column_lineage": lineage.columns(model)}


def _reconciled(con: Connection, model: Model) -> list[Finding]:
    entities = [entity for entity in catalog.contract().entities.values() if entity.mart == model.name]
    return [build.reconcile(con, entity) for entity in entities]


def _made(con: Connection, made: Build, known: Mapping[str, Any]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    rows = con.execute(f"select count(*) from {made.table}").fetchall()[0][0]
    metadata = {"dagster/row_count": rows, "stands since": made.made_for.isoformat(), **known}
    return dg.MaterializeResult(asset_key=made.table.split("."), metadata=metadata)


def _staging_spec(entity: Entity, settings: Settings) -> dg.AssetSpec:
    columns = [dg.TableColumn(field.column, field.type, description=field.about) for field in entity.columns.values()]
    return dg.AssetSpec(
        ["staging", entity.name],
        deps=[
            *(dg.AssetKey(["raw", name]) for name in settings.sources),
            *(dg.AssetKey(["staging", name]) for name in entity.needs),
        ],
        description=entity.about,
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
        group_name="staging",
        kinds={"duckdb", "sql"},
    )


def _mart_spec(model: Model) -> dg.AssetSpec:
    return dg.AssetSpec(
        ["marts", model.name],
        deps=[dg.AssetKey(table.split(".")) for table in model.reads if table.startswith(("staging.", "marts."))],
        description=model.about,
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(name, description=about) for name, about in model.columns.items()]
            ),
            "key": ", ".join(model.key),
            "file": model.path.name,
        },
        group_name="marts",
        kinds={"duckdb", "sql"},
    )


# --- the snapshot ----------------------------------------------------------------------------------------


def snapshot(settings: Settings) -> dg.AssetsDefinition:
    """The snapshot file that readers see. Refuses when any table is missing, broken or of another instant."""

    @dg.asset(
        key=["snapshot"],
        group_name="snapshot",
        kinds={"duckdb"},
        deps=[dg.AssetKey(["marts", name]) for name in catalog.marts()],
        description="All marts in a new immutable file, made current by one rename once every check has passed.",
    )
    def snapshot(context: dg.AssetExecutionContext, clock: Clock, watch: Watched) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: ARG001
        progress.info("Publishing")
        began = time.perf_counter()
        with plainly(), warehouse.open_warehouse(settings.warehouse) as con:
            as_of = _fit_to_publish(con)
            published = snapshots.publish(
                con,
                settings.snapshots,
                as_of,
                clock.started(context),
                reporting_currency=settings.reporting_currency,
                keep=settings.keep_snapshots,
                records_of=warehouse.staged_sources(settings, holding.schemas(con, settings, holding.held(con))),
                terms=warehouse.moment(settings, as_of),
            )
        return dg.MaterializeResult(
            metadata={
                "id": published.id,
                "path": dg.MetadataValue.path(published.path),
                "as_of": as_of.isoformat(),
                "bytes": published.path.stat().st_size,
                "seconds": time.perf_counter() - began,
            }
        )

    return snapshot


def _fit_to_publish(con: Connection) -> datetime:
    """The instant all tables were last built for. Raises `Fault` where they are not fit to be seen."""
    built = standing.fit(con)
    wanted = [f"staging.{name}" for name in catalog.contract().entities]
    wanted += [model.table for model in catalog.marts().values()]
    cure = "Run the whole refresh: milepost refresh"
    problems = [
        Problem(table, f"{check} does not hold.", "See its rows in Dagster, mend them or the model, and refresh.")
        for table in wanted
        if table in built
        for check in built[table][1]
    ]
    if missing := [table for table in wanted if table not in built]:
        problems.append(Problem(", ".join(missing[:5]), "not made since the last refresh began.", cure))
    elif len(instants := sorted({built[table][0] for table in wanted})) > 1:
        problems.append(Problem("marts", f"built for {instants[0]} and for {instants[-1]}.", cure))
    if problems:
        raise Fault(problems)
    return built[wanted[0]][0].replace(tzinfo=UTC)
