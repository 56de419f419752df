"""A run that Dagster starts, by its schedule, its sensor or a person, is watched and tidied up after like any other.

All assets need the resource made here, so that it stands from before the first step until after the last, however that
ends. What stays out: a refresh from the command line, which watches itself (refreshing.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from models.faults import Fault
from pipelines import refreshing, tidying, turns
from pipelines.settings import Settings
from pipelines.supervising import Watch

WAITS_SECONDS = 1800.0  # for a refresh from the command line, or a restore
_STARTERS = {"dagster/schedule_name": "schedule", "dagster/sensor_name": "sensor"}


def watch(settings: Settings) -> dg.ResourceDefinition:
    """The resource `watch` of one data folder."""

    @dg.resource(description="Takes the turn, notes the run in ops.runs, tells of what is wrong, throws old runs away.")
    def watched(context: dg.InitResourceContext) -> Iterator[None]:
        run, instance = context.run, context.instance
        if run is None or instance is None or instance.is_ephemeral:
            yield None
            return
        try:
            with turns.taken(settings.data, f"Dagster's run {run.run_id}", WAITS_SECONDS):
                if _is_refresh(run):
                    yield from _noted(context, settings, run, instance)
                else:
                    yield None
        except Fault as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None

    return watched


def _noted(
    context: dg.InitResourceContext, settings: Settings, run: dg.DagsterRun, instance: dg.DagsterInstance
) -> Iterator[None]:
    began = time.perf_counter()
    watch = Watch(settings, run.run_id, _starter(run), _started(instance, run.run_id))
    told = watch.begin()
    try:
        yield None
    finally:
        entries = instance.all_logs(run.run_id)
        found = refreshing.found([entry.dagster_event for entry in entries if entry.dagster_event is not None])
        _, wrong = watch.end(found, time.perf_counter() - began)
        for line in (*told, *wrong):
            if context.log is not None:
                context.log.warning(line)
        tidying.dagster(instance, settings.keep_dagster_runs)


def _is_refresh(run: dg.DagsterRun) -> bool:
    """Whether a snapshot is to come of it; single tables made anew from the UI are no refresh."""
    return run.job_name == "refresh" and (not run.asset_selection or dg.AssetKey(["snapshot"]) in run.asset_selection)


def _starter(run: dg.DagsterRun) -> str:
    found = [f"{kind} {run.tags[tag]}" for tag, kind in _STARTERS.items() if tag in run.tags]
    return found[0] if found else "Dagster"


def _started(instance: dg.DagsterInstance, run_id: str) -> datetime:
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    return datetime.fromtimestamp(record.start_time or record.create_timestamp.timestamp(), UTC)
