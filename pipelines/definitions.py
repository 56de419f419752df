"""What Dagster loads: assembly only. Assets and checks, the job `refresh`, its schedule and its sensor."""

from __future__ import annotations

import dagster as dg

from pipelines import assets, inbox, scheduled
from pipelines.settings import Settings, load


def assemble(settings: Settings) -> dg.Definitions:
    """Everything Dagster knows of one data folder."""
    refresh = dg.define_asset_job(
        "refresh",
        selection=dg.AssetSelection.all(),
        description="Pull every source, build and check all tables, publish a snapshot.",
        executor_def=dg.in_process_executor,
        tags={"dagster/max_runtime": "3600"},
    )
    daily = dg.ScheduleDefinition(
        name="daily",
        job=refresh,
        cron_schedule="0 5 * * *",
        execution_timezone=settings.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="A refresh every morning at five.",
    )
    has_files = any(source.kind == "files" for source in settings.sources.values())
    return dg.Definitions(
        assets=[
            *(assets.pulled_source(settings, name) for name in settings.sources),
            assets.sql_models(settings),
            assets.snapshot(settings),
        ],
        jobs=[refresh],
        schedules=[daily],
        sensors=[inbox.sensor(settings, refresh)] if has_files else [],
        resources={"clock": assets.Clock(), "watch": scheduled.watch(settings)},
        executor=dg.in_process_executor,
    )


@dg.definitions
def milepost() -> dg.Definitions:
    """The data folder and settings that MILEPOST_DATA and MILEPOST_CONFIG name."""
    return assemble(load())
