"""One refresh: runs the Dagster job in this process, quietly, and says what it did.

The same job the schedule and the sensor start; a run leaves nothing behind but the warehouse and the
snapshot. What stays out: what the steps do (assets.py), what surrounds them (supervising.py) and how the outcome is
printed (cli.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from models.faults import Fault, fault
from pipelines import snapshots, turns
from pipelines.alerting import Checked
from pipelines.runs import Step
from pipelines.settings import Settings
from pipelines.supervising import Found, Watch

if TYPE_CHECKING:
    import dagster as dg
    from dagster_shared.error import SerializableErrorInfo

PROGRESS = "milepost.progress"  # the logger on which the assets say what they are about to do


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
    now: datetime | None = None,
) -> Refresh:
    """Pull all sources (or one), build, check, publish. `as_of` is the run's start where it is left out.

    `saying` is told each step as it begins; `now` is the clock's instant, where another than the system's is to count.
    Raises `Fault` for a source that is not configured, and where another refresh is at work; what goes wrong in the
    run itself stands in `problems`; Ctrl-C raises KeyboardInterrupt.
    """
    if source is not None and source not in settings.sources:
        known = ", ".join(settings.sources) or "none"
        raise fault("--source", f"there is no source {source!r}.", f"Configured are: {known}.")
    began = time.perf_counter()
    saying("Starting")
    with turns.taken(settings.data, "milepost refresh") as since:
        watch = Watch(settings, str(uuid4()), "milepost refresh", now or since)
        try:
            told = watch.begin()
        except Fault as error:
            return _not_begun(settings, error, time.perf_counter() - began)
        found = _run(settings, watch.run_id, source, as_of, now, saying)
        stale, wrong = watch.end(found, time.perf_counter() - began)
        if found.was_interrupted:
            raise KeyboardInterrupt
        return Refresh(
            steps=found.steps,
            problems=found.problems,
            warnings=(*found.warnings, *told, *wrong),
            stale=tuple(stale),
            serving=snapshots.newest(settings.snapshots),
            checks=found.check_count,
            seconds=time.perf_counter() - began,
        )


def _not_begun(settings: Settings, error: Fault, seconds: float) -> Refresh:
    problems = tuple(str(problem) for problem in error.problems)
    return Refresh((), problems, (), (), snapshots.newest(settings.snapshots), 0, seconds)


def _run(  # noqa: PLR0917 - what is run, which part of it, at which two instants, and who is told
    settings: Settings,
    run_id: str,
    source: str | None,
    as_of: datetime | None,
    now: datetime | None,
    saying: Callable[[str], None],
) -> Found:
    import dagster as dg

    from pipelines.definitions import assemble

    job = assemble(settings).resolve_job_def("refresh")
    chosen = None
    if source is not None:
        others = {dg.AssetKey(["raw", name]) for name in settings.sources if name != source}
        chosen = [key for key in job.asset_layer.executable_asset_keys if key not in others]
    clock = {"as_of": as_of and as_of.isoformat(), "now": now and now.isoformat()}
    try:
        with _overheard(saying), _unwritten(settings) as instance:
            result = job.execute_in_process(
                instance=instance,
                run_config={
                    "resources": {"clock": {"config": clock}},
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                asset_selection=chosen,
                raise_on_error=False,
                run_id=run_id,
            )
    except KeyboardInterrupt:
        return Found(was_interrupted=True)
    return found(result.all_events)


def found(events: Sequence[dg.DagsterEvent]) -> Found:
    """What the events of a run of the job say became of it."""
    made = [event.step_materialization_data.materialization for event in events if event.is_step_materialization]
    published = [one.metadata["id"].value for one in made if one.asset_key.path == ["snapshot"]]
    checks = [
        event.asset_check_evaluation_data for event in events if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    return Found(
        steps=tuple(map(_step, made)),
        problems=tuple(_problems(events, checks, is_success=bool(published))),
        warnings=tuple(_told(one) for one in checks if _is_warning(one)),
        checks=tuple(map(_checked, filter(_is_blocking, checks))),
        check_count=len(checks),
        published=str(published[0]) if published else None,
        was_interrupted=any(e.is_step_failure and _is_interrupted(e.step_failure_data.error) for e in events),
    )


def _checked(check: dg.AssetCheckEvaluation) -> Checked:
    counted = check.metadata.get("count")
    count = counted.value if counted is not None else 0
    name = f"{'/'.join(check.asset_key.path)} {check.check_name}"
    return Checked(name, count if isinstance(count, int) else 0, check.passed)


def _is_blocking(check: dg.AssetCheckEvaluation) -> bool:
    """A check that holds has the severity of one that warns, so those are taken too: they say what is well again."""
    return check.passed or check.severity.value == "ERROR"


def _is_warning(check: dg.AssetCheckEvaluation) -> bool:
    """A check that warns; of a source that could not be pulled `stale` tells."""
    return not check.passed and check.severity.value == "WARN" and check.check_name != "pulled"


def _step(made: dg.AssetMaterialization) -> Step:
    known: Mapping[str, Any] = {name: value.value for name, value in made.metadata.items()}
    return Step(
        "/".join(made.asset_key.path),
        known.get("dagster/row_count"),
        known.get("seconds", 0.0),
        known.get("check_seconds", 0.0),
    )


def _problems(
    events: Sequence[dg.DagsterEvent], checks: Sequence[dg.AssetCheckEvaluation], is_success: bool
) -> Iterator[str]:
    """The words of whatever stopped the run: a fault's own, the checks that block, else the error's."""
    failed = [event.step_failure_data for event in events if event.is_step_failure]
    told = [data.user_failure_data.description for data in failed if data.user_failure_data]
    blocking = [_told(one) for one in checks if not one.passed and one.severity.value == "ERROR"]
    yield from (text for text in told if text)
    if not any(told):
        yield from blocking
    if not any(told) and not blocking and not is_success:
        yield from [_innermost(data.error) for data in failed] or ["The run ended without a snapshot."]


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
def _unwritten(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster without a memory: a run's outcome is at hand, and to store its 600 events takes as long as the marts.

    Nor is anything looked up where nothing is stored, as it would be for every asset. It is told of a folder that it
    has no use for; else it makes one that a kill leaves behind.
    """
    import dagster as dg

    with dg.DagsterInstance.ephemeral(str(settings.data / ".run")) as instance:
        log = instance.event_log_storage
        log.store_event = _forget  # type: ignore[method-assign]
        log.get_asset_records = lambda asset_keys=None: []  # type: ignore[method-assign] # noqa: ARG005
        log.fetch_observations = _nothing  # type: ignore[method-assign]
        yield instance


def _forget(event: dg.EventLogEntry) -> None:
    pass


def _nothing(*_: object, **__: object) -> dg.EventRecordsResult:
    import dagster as dg

    return dg.EventRecordsResult(records=[], cursor="", has_more=False)


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
