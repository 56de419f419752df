"""The inbox sensor: a refresh when the files of a files source have changed and lie still.

A file that is being copied changes between two looks; only what two looks see alike starts a run.
What stays out: reading the files (sources).
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import dagster as dg

from pipelines.settings import Settings

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition


def fingerprint(settings: Settings) -> str:
    """Names, sizes and times of all files that the files sources read, as 16 hex digits; empty without a file."""
    lines: list[str] = []
    for name, source in sorted(settings.sources.items()):
        if source.kind != "files":
            continue
        folder = settings.folder_of(source)
        for pattern in sorted({table.glob for table in source.tables.values()}):
            for file in sorted(folder.glob(pattern)):
                if file.is_file() and file.resolve().is_relative_to(folder.resolve()):
                    seen = file.stat()
                    lines.append(f"{name}|{file}|{seen.st_size}|{seen.st_mtime_ns}")
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()[:16] if lines else ""


def sensor(settings: Settings, job: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """The sensor; its cursor holds the fingerprint last seen and the one last run for."""

    @dg.sensor(
        name="inbox",
        job=job,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A refresh when the files of a files source have changed.",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        before = json.loads(context.cursor) if context.cursor else {"seen": "", "run": ""}
        now = fingerprint(settings)
        is_new = now != "" and now == before["seen"] != before["run"]
        context.update_cursor(json.dumps({"seen": now, "run": now if is_new else before["run"]}))
        if is_new:
            return dg.SensorResult(run_requests=[dg.RunRequest()])
        return dg.SkipReason(
            "Nothing new." if now in ("", before["run"]) else "Something changed; waiting until it lies still."
        )

    return inbox
