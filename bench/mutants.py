"""Breaks the models, one clause at a time, and shows which breaks the checks and the tests notice.

    make mutants ARGS="--count 200 --seed 7"

Every mutant runs in a process of its own, forked from one that has everything imported. First what it touches is built
anew over the demo's records and checked as a refresh does; then the tests run that build the broken mart or ask the
broken measure, those first that caught others of it, until one fails. Which tests these are is found by running all of
them once. A mutant that does not run as SQL is told apart and counts for nothing; one that cannot change any answer
stands, with the reason, in `equivalent_mutants.yml`. The exit code is 1 where more are missed than `--most` allows.
What stays out: what can be broken (mutations.py).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench"), str(ROOT / "tests" / "models"), str(ROOT / "tests")]

import pytest  # noqa: E402 - of this folder, wherever the package is installed from
from hypothesis import Phase, settings  # noqa: E402
from mutations import Mutant, sites  # noqa: E402

from models import admission, audit, build, catalog, metrics, questions, yaml_text  # noqa: E402
from models.faults import Fault  # noqa: E402

TESTS = ("tests/models", "tests/test_planted_truth.py")
TRUTH = "test_planted_truth.py"
EQUIVALENT = ROOT / "bench" / "equivalent_mutants.yml"
AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)  # what the planted truth is told for
PROJECTS = 150
MOST_CPU_SECONDS = 240  # a mutant that runs on is caught by its endlessness


@dataclass(slots=True)
class Outcome:
    """What noticed a mutant: `by` is check, test, time, sql (it does not run) or nothing."""

    by: str
    what: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Recorded:
    """One test: its CPU seconds, the marts it built and the measures it asked for."""

    seconds: float = 0.0
    marts: list[str] = field(default_factory=list)
    measures: list[str] = field(default_factory=list)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--count", type=int, default=200, help="how many are drawn")
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--tests", nargs="*", default=list(TESTS), help="files and folders of tests; none: checks alone")
    asked.add_argument("--projects", type=int, default=PROJECTS, help="of the demo that is built; the truth needs 150")
    asked.add_argument("--only", nargs="+", default=[], help="words that a mutant's name must hold")
    asked.add_argument("--recorded", type=Path, help="keeps which test builds what, and uses it again")
    asked.add_argument("--most", type=float, default=10.0, help="percent that may be missed")
    wanted = asked.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        run = Run(Path(scratch), wanted.tests, wanted.projects)
        run.prepare(wanted.recorded)
        chosen = drawn(wanted.count, wanted.seed, wanted.only)
        found = [(mutant, run.outcome(mutant)) for mutant in chosen]
    return told(found, wanted.most)


def drawn(count: int, seed: int, only: Sequence[str]) -> Iterator[Mutant]:
    """So many mutants by chance, the same for the same seed."""
    left_out = {str(entry["mutant"]) for entry in yaml_text.parsed(EQUIVALENT.read_text("utf-8")) or ()}
    every = sites()
    Random(seed).shuffle(every)
    made = 0
    for site in every:
        name = f"{site.path.parent.name}/{site.part} {site.place} {site.operator}"
        if made == count:
            return
        if name in left_out or not all(word in name for word in only):
            continue
        if (mutant := site.made()) is not None:
            made += 1
            yield mutant


class Run:
    """The forks: one that records, one that lands the demo's records, one for each mutant."""

    def __init__(self, scratch: Path, tests: Sequence[str], projects: int) -> None:
        self.scratch, self.tests, self.projects = scratch, list(tests), projects
        self.recorded: dict[str, Recorded] = {}
        self.kills: Counter[tuple[str, str]] = Counter()  # (part, test) → how often it caught one
        self.portfolio: Any = None
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch / "hypothesis")
        settings.register_profile("mutants", database=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    def prepare(self, kept: Path | None) -> None:
        from pipelines.demo.simulation import simulate

        self.portfolio = simulate(seed=7, projects=self.projects, as_of=AS_OF)
        forked(self._land)
        if not self.tests:
            return
        if kept is not None and kept.exists():
            written = json.loads(kept.read_text("utf-8"))
        else:
            written = forked(self._record)
            if kept is not None:
                kept.write_text(json.dumps(written), "utf-8")
        self.recorded = {name: Recorded(**one) for name, one in written.items()}
        quiet(["--collect-only", *self.tests], [])  # so that no fork imports them again

    def outcome(self, mutant: Mutant) -> Outcome:
        found = Outcome(**forked(lambda: asdict(self._tried(mutant)), Outcome("time", "ran on", MOST_CPU_SECONDS)))
        if found.by == "test":
            self.kills[mutant.part, found.what] += 1
        print(f"{found.by:8} {found.seconds:6.1f} s  {mutant.told}  {found.what}", flush=True)
        return found

    # --- within a fork ----------------------------------------------------------------------------------

    def _land(self) -> None:
        from landed_portfolio import landed

        with landed(self.portfolio, self.scratch / "whole", AS_OF):
            pass

    def _record(self) -> dict[str, Any]:
        recorder = Recorder()
        with recorder.listening(), self._truth_over(self.scratch / "whole"):
            quiet(self.tests, [recorder])
        if recorder.failed:  # it would seem to catch every mutant
            raise SystemExit(f"These fail with the models as they are: {', '.join(recorder.failed)}")
        return {name: asdict(one) for name, one in recorder.tests.items()}

    def _tried(self, mutant: Mutant) -> Outcome:
        began = time.process_time()
        with broken(mutant):
            what = self._checks(mutant) if mutant.path.suffix == ".sql" else None
            by = "check"
            if what is not None and what.startswith("sql: "):
                by, what = "sql", what.removeprefix("sql: ")
            elif what is None:
                by, what = "test", self._tests(mutant)
        return Outcome(by if what else "nothing", what or "", time.process_time() - began)

    def _checks(self, mutant: Mutant) -> str | None:
        """The first check that a refresh with the broken model trips over, or what keeps it from running."""
        from pipelines import settings as milepost_settings
        from pipelines import warehouse

        shutil.copytree(self.scratch / "whole", self.scratch / "broken", dirs_exist_ok=True)
        try:
            marts = catalog.marts()
        except Fault as error:
            return f"sql: {error}"
        read = milepost_settings.load(self.scratch / "broken")
        with warehouse.open_warehouse(read.warehouse) as con:
            at = warehouse.moment(read, AS_OF)
            if mutant.path.parent.name == "marts":
                touched = downstream(mutant.part)
            else:
                touched = tuple(marts)
                try:
                    warehouse.stage_all(con, warehouse.staged_sources(read), at)
                except Fault as error:
                    return f"contract: {error.problems[0]}"
            try:
                for name in touched:
                    build.build(con, marts[name], at)
            except Fault as error:
                return f"sql: {error.problems[0]}"
            findings = [one for name in touched for one in build.check(con, marts[name])]
            findings += [one for name in touched for one in audit.check(con, marts[name], marts)]
            findings += [build.reconcile(con, entity) for entity in catalog.contract().entities.values()]
        return next(
            (f"{one.table}: {one.check}" for one in findings if one.severity == "fail" and not one.passed), None
        )

    def _tests(self, mutant: Mutant) -> str:
        """The first test that fails with the broken model; empty where none does."""
        chosen = self._order(mutant)
        catcher = Catcher(chosen)
        files = list(dict.fromkeys(name.partition("::")[0] for name in chosen))
        if files:
            with self._truth_over(self.scratch / "broken"):
                quiet(["-x", *files], [catcher])
        return catcher.failed

    def _order(self, mutant: Mutant) -> list[str]:
        is_measure = mutant.path.suffix != ".sql"
        chosen = [
            name
            for name, one in self.recorded.items()
            if (mutant.part in one.measures if is_measure else mutant.part in one.marts or TRUTH in name)
        ]
        chosen += [name for name in self.recorded if is_measure and "metrics_catalogue" in name]
        if mutant.path.parent.name == "portal":
            chosen = [name for name in chosen if TRUTH in name]
        of_truth = [name for name in chosen if TRUTH in name]
        others = sorted(set(chosen) - set(of_truth), key=lambda name: self._rank(mutant.part, name))
        return [*others, *of_truth] if len(others) < 4 else [*others[:4], *of_truth, *others[4:]]

    def _rank(self, part: str, name: str) -> tuple[float, float]:
        one = self.recorded[name]
        return (-self.kills[part, name], one.seconds * (1 + len(one.marts) / 10 + len(one.measures) / 5))

    @contextlib.contextmanager
    def _truth_over(self, data: Path) -> Iterator[None]:
        """The planted truth is asked of tables that are there already."""
        from pipelines import settings as milepost_settings
        from pipelines import warehouse

        @contextlib.contextmanager
        def there(*_: object) -> Iterator[Any]:
            with warehouse.open_warehouse(milepost_settings.load(data).warehouse) as con:
                yield con

        if any(TRUTH in name for name in self.tests):
            truth = importlib.import_module(TRUTH.removesuffix(".py"))
            truth.landed, truth.simulate = there, lambda **_: self.portfolio
        yield


def downstream(name: str) -> tuple[str, ...]:
    """A mart and all that read it, in the order they are built."""
    touched = {name}
    for model in catalog.marts().values():
        if any(table.removeprefix("marts.") in touched for table in model.reads if table.startswith("marts.")):
            touched.add(model.name)
    return tuple(one for one in catalog.marts() if one in touched)


@contextlib.contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """Whoever reads the file in this process reads the broken one."""
    reads = Path.read_text

    def read_text(self: Path, *args: Any, **named: Any) -> str:
        return mutant.text if self == mutant.path else reads(self, *args, **named)

    Path.read_text = read_text  # type: ignore[method-assign]
    for module in (catalog, metrics, admission, build):
        for made in vars(module).values():
            if hasattr(made, "cache_clear"):
                made.cache_clear()
    yield


class Recorder:
    """A plugin that notes what each test builds and asks."""

    def __init__(self) -> None:
        self.tests: dict[str, Recorded] = {}
        self.failed: list[str] = []
        self._now = Recorded()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._now = self.tests.setdefault(item.nodeid, Recorded())
        began = time.process_time()
        result = yield
        self._now.seconds = time.process_time() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        builds, checks = build.build, questions.checked

        def built(con: Any, model: Any, moment: Any) -> None:
            if model.name not in self._now.marts:
                self._now.marts.append(model.name)
            builds(con, model, moment)

        def checked(question: Any) -> Any:
            if question.measure not in self._now.measures:
                self._now.measures.append(question.measure)
            return checks(question)

        build.build, questions.checked = built, checked
        yield


class Catcher:
    """A plugin that runs the chosen tests in their order, and keeps which failed first."""

    def __init__(self, order: Sequence[str]) -> None:
        self.place = {name: place for place, name in enumerate(order)}
        self.failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((one for one in items if one.nodeid in self.place), key=lambda one: self.place[one.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def quiet(args: Sequence[str], plugins: Sequence[object]) -> None:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", *args], [*plugins])


def forked(work: Callable[[], Any], overdue: Outcome | None = None) -> Any:
    """What a function gives that runs in a copy of this process; ended where it takes too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        if overdue is not None:
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_SECONDS, MOST_CPU_SECONDS))
        try:
            said = json.dumps(work())
        except BaseException:
            said = json.dumps({"went wrong": traceback.format_exc()})
        with os.fdopen(writing, "w") as stream:
            stream.write(said)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    if not said and overdue is not None:
        return asdict(overdue)
    answer = json.loads(said)
    if isinstance(answer, dict) and "went wrong" in answer:
        raise SystemExit(answer["went wrong"])
    return answer


def told(found: Sequence[tuple[Mutant, Outcome]], most: float) -> int:
    """Prints what was caught by what, and what was missed; returns the exit code."""
    by = Counter(outcome.by for _, outcome in found)
    counted = len(found) - by["sql"]
    missed = [mutant for mutant, outcome in found if outcome.by == "nothing"]
    rate = 100 * len(missed) / counted if counted else 0.0
    print()
    print(f"{'mutants':32}{len(found):6}")
    print(f"{'that do not run as SQL':32}{by['sql']:6}")
    print(f"{'caught by checks':32}{by['check']:6}")
    print(f"{'caught by tests':32}{by['test'] + by['time']:6}")
    print(f"{'missed':32}{len(missed):6}")
    print(f"{'miss rate':32}{rate:6.1f} % of {counted}")
    for mutant in missed:
        print(f"missed  {mutant.told}")
    return int(rate > most)


if __name__ == "__main__":
    raise SystemExit(main())
