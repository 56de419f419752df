"""One refresh: runs the Dagster job in this process, quietly, and says what it did.

The same job the schedule and the sensor start; a run leaves nothing behind but the warehouse and the
snapshot. What stays out: what the steps do (assets.py) and how the outcome is printed (cli.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from models.faults import Fault, fault
from pipelines import holding, snapshots, warehouse
from pipelines.settings import Settings

if TYPE_CHECKING:
    import dagster as dg
    from dagster_shared.error import SerializableErrorInfo

PROGRESS = "milepost.progress"  # the logger on which the assets say what they are about to do


@dataclass(frozen=True, slots=True)
class Step:
    """One table or file made. `rows` is the number of rows in it, or pulled; seconds are wall-clock."""

    name: str
    rows: int | None
    seconds: float
    check_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Refresh:
    """The outcome: `problems` stopped it, `warnings` did not; `serving` is what readers see now.

    `stale` has a line for each source that is not up to date, and of which older records are shown.
    """

    steps: tuple[Step, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    stale: tuple[str, ...]
    serving: snapshots.Snapshot | None
    checks: int
    seconds: float

    @property
    def ok(self) -> bool:
        return not self.problems


def refresh(
    settings: Settings,
    source: str | None = None,
    as_of: datetime | None = None,
    saying: Callable[[str], None] = lambda _: None,
) -> Refresh:
    """Pull all sources (or one), build, check, publish. `as_of` is the run's start where it is left out.

    `saying` is told each step as it begins. Raises `Fault` for a source that is not configured; what
    goes wrong in the run itself stands in `problems`; Ctrl-C raises KeyboardInterrupt.
    """
    if source is not None and source not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise fault("--source", f"there is no source {source!r}.", f"Configured are: {known}.")
    began = time.perf_counter()
    saying("Starting")
    import dagster as dg

    from pipelines.definitions import assemble

    job = assemble(settings).resolve_job_def("refresh")
    chosen = None
    if source is not None:
        others = {dg.AssetKey(["raw", name]) for name in settings.sources if name != source}
        chosen = [key for key in job.asset_layer.executable_asset_keys if key not in others]
    with _overheard(saying), _unwritten() as instance:
        result = job.execute_in_process(
            instance=instance,
            run_config={
                "resources": {"clock": {"config": {"as_of": as_of and as_of.isoformat()}}},
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            },
            asset_selection=chosen,
            raise_on_error=False,
        )
    if any(event.is_step_failure and _is_interrupted(event.step_failure_data.error) for event in result.all_events):
        raise KeyboardInterrupt
    checks = result.get_asset_check_evaluations()
    return Refresh(
        steps=tuple(_step(event) for event in result.get_asset_materialization_events()),
        problems=tuple(_problems(result)),
        warnings=tuple(_told(one) for one in checks if _is_warning(one)),
        stale=_stale(settings),
        serving=snapshots.newest(settings.snapshots),
        checks=len(checks),
        seconds=time.perf_counter() - began,
    )


def _is_warning(check: dg.AssetCheckEvaluation) -> bool:
    """A check that warns; of a source that could not be pulled `stale` tells."""
    return not check.passed and check.severity.value == "WARN" and check.check_name != "pulled"


def _stale(settings: Settings) -> tuple[str, ...]:
    try:
        with warehouse.open_warehouse(settings.warehouse) as con:
            return tuple(holding.stale(con, settings))
    except Fault:  # a warehouse that cannot be opened stopped the run, which has said so
        return ()


def _step(event: dg.DagsterEvent) -> Step:
    made = event.step_materialization_data.materialization
    known: Mapping[str, Any] = {name: value.value for name, value in made.metadata.items()}
    return Step(
        "/".join(made.asset_key.path),
        known.get("dagster/row_count"),
        known.get("seconds", 0.0),
        known.get("check_seconds", 0.0),
    )


def _problems(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """The words of whatever stopped the run: a fault's own, the checks that block, else the error's."""
    import dagster as dg

    failed = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    told = [data.user_failure_data.description for data in failed if data.user_failure_data]
    blocking = [
        _told(one)
        for one in result.get_asset_check_evaluations()
        if not one.passed and one.severity == dg.AssetCheckSeverity.ERROR
    ]
    yield from (text for text in told if text)
    if not any(told):
        yield from blocking
    if not any(told) and not blocking and not result.success:
        yield from (_innermost(data.error) for data in failed)


def _is_interrupted(error: SerializableErrorInfo | None) -> bool:
    """Dagster takes Ctrl-C for a step that failed, and DuckDB for a query that did."""
    while error is not None:
        is_ours = error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
        if is_ours or "Query interrupted" in error.message:
            return True
        error = error.cause or error.context
    return False


def _innermost(error: SerializableErrorInfo | None) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error else "A step failed without a word."


def _told(check: dg.AssetCheckEvaluation) -> str:
    return f"{'/'.join(check.asset_key.path)}: {check.description or check.check_name}"


@contextmanager
def _unwritten() -> Iterator[dg.DagsterInstance]:
    """Dagster without a memory: a run's outcome is at hand, and to store its 600 events takes as long as the marts."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as instance:
        instance.event_log_storage.store_event = _forget  # type: ignore[method-assign]
        yield instance


def _forget(event: dg.EventLogEntry) -> None:
    pass


@contextmanager
def _overheard(saying: Callable[[str], None]) -> Iterator[None]:
    """What the assets say they are about to do goes to `saying`."""
    progress, teller = logging.getLogger(PROGRESS), _Teller(saying)
    progress.addHandler(teller)
    progress.setLevel(logging.INFO)
    try:
        yield
    finally:
        progress.removeHandler(teller)


class _Teller(logging.Handler):
    def __init__(self, saying: Callable[[str], None]) -> None:
        super().__init__()
        self._saying = saying

    def emit(self, record: logging.LogRecord) -> None:
        self._saying(record.getMessage())
