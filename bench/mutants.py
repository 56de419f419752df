"""Breaks the models, one clause at a time, and shows which breaks the checks and the tests notice.

    make mutants ARGS="--count 200 --seed 7 --recorded FILE --judged FILE"

Every mutant runs in a process of its own, forked from one that has everything imported. First what it touches is built
anew over the demo's records and checked as a refresh does. Then tests run until one fails, those first that caught
others of it, and the nearest and cheapest: of a mart those in whose worlds it comes to something else
(mutant_worlds.py), of the portal's mapping those that read it, of a measure those that ask for it. Which tests these
are is found by running all of them once; `--recorded` keeps that, by the text of each file of tests. A mutant not
noticed after `--seconds` of CPU counts as missed, though a later test might have caught it. One that does not run as
SQL is told apart and counts for nothing; one that cannot change any answer stands, with the reason, in
`equivalent_mutants.yml`.

`--judged` keeps each outcome as a line of JSON, and a run goes on where one was ended: what was caught stands while the
broken file would be the same, what was missed is tried again when any model or test has changed. The exit code is 1
where more are missed than `--most` allows. What stays out: what can be broken (mutations.py).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import pickle
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench"), str(ROOT / "tests" / "models"), str(ROOT / "tests")]

import pytest  # noqa: E402 - of this folder, wherever the package is installed from
from hypothesis import Phase, settings  # noqa: E402
from mutant_worlds import Kept, Recorded, Recorder, Replay, printed  # noqa: E402
from mutations import Mutant, sites  # noqa: E402

from models import admission, audit, build, catalog, metrics, yaml_text  # noqa: E402
from models.faults import Fault  # noqa: E402

TESTS = ("tests/models", "tests/test_planted_truth.py")
TRUTH = "test_planted_truth.py"
EQUIVALENT = ROOT / "bench" / "equivalent_mutants.yml"
AS_OF = datetime(2026, 11, 20, 12, tzinfo=UTC)  # what the planted truth is told for
PROJECTS = 150
AT_ONCE = 6  # tests that are run before more are looked for
MOST_CPU_SECONDS = 150  # a mutant that runs on is caught by its endlessness


@dataclass(slots=True)
class Outcome:
    """What noticed a mutant: `by` is check, test, time, sql (it does not run) or nothing."""

    by: str
    what: str = ""
    seconds: float = 0.0


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--count", type=int, default=200, help="how many are drawn")
    asked.add_argument("--seed", type=int, default=7)
    asked.add_argument("--tests", nargs="*", default=list(TESTS), help="files and folders of tests; none: checks alone")
    asked.add_argument("--projects", type=int, default=PROJECTS, help="of the demo that is built; the truth needs 150")
    asked.add_argument("--only", nargs="+", default=[], help="words that a mutant's name must hold")
    asked.add_argument("--recorded", type=Path, help="keeps which test makes what, and uses it again")
    asked.add_argument("--judged", type=Path, help="keeps every outcome, and goes on from there")
    asked.add_argument("--seconds", type=float, default=45.0, help="of CPU for the tests of one mutant")
    asked.add_argument("--most", type=float, default=10.0, help="percent that may be missed")
    wanted = asked.parse_args()
    os.chdir(ROOT)
    judged = Judged(wanted.judged, wanted.tests, wanted.seconds)
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        run = Run(Path(scratch), wanted.tests, wanted.projects, wanted.seconds)
        found = []
        for mutant in drawn(wanted.count, wanted.seed, wanted.only):
            outcome = judged.known(mutant)
            if outcome is None:
                run.prepare(wanted.recorded)
                outcome = run.outcome(mutant)
                judged.keep(mutant, outcome)
            found.append((mutant, outcome))
            print(f"{len(found):4} {outcome.by:8} {outcome.seconds:6.1f} s  {mutant.told}  {outcome.what}", flush=True)
    return told(found, wanted.most, wanted.seconds)


def drawn(count: int, seed: int, only: Sequence[str]) -> Iterator[Mutant]:
    """So many mutants by chance, the same for the same seed, whatever else there is to break."""
    left_out = {name for group in yaml_text.parsed(EQUIVALENT.read_text("utf-8")) for name in group["mutants"]}
    by_chance = sorted(sites(), key=lambda site: hashlib.sha256(f"{seed} {site.name}".encode()).digest())
    if stale := left_out - {site.name for site in by_chance}:
        raise SystemExit(f"{EQUIVALENT.name} names what can no longer be broken: {', '.join(sorted(stale))}")
    wanted = (one for one in by_chance if one.name not in left_out and all(word in one.name for word in only))
    yield from islice((mutant for site in wanted if (mutant := site.made()) is not None), count)


class Judged:
    """The outcomes of earlier runs, one line of JSON each."""

    def __init__(self, path: Path | None, tests: Sequence[str], seconds: float) -> None:
        self._path = path
        self._tests = f"{' '.join(tests)} {seconds} {_texts((*tests, 'models', 'bench'))}"
        lines = path.read_text("utf-8").splitlines() if path is not None and path.exists() else []
        self._known = {one["key"]: Outcome(one["by"], one["what"], one["seconds"]) for one in map(json.loads, lines)}

    def known(self, mutant: Mutant) -> Outcome | None:
        return next((self._known[key] for key in self._keys(mutant) if key in self._known), None)

    def keep(self, mutant: Mutant, outcome: Outcome) -> None:
        key = self._keys(mutant)[outcome.by == "nothing"]
        self._known[key] = outcome
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"mutant": mutant.name, "key": key, **asdict(outcome)}) + "\n")

    def _keys(self, mutant: Mutant) -> tuple[str, str]:
        """Under which a mutant is kept that was caught, and one that was missed."""
        return _digest(f"{mutant.name} {mutant.text}"), _digest(f"{mutant.name} {mutant.text} {self._tests}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _texts(places: Sequence[str]) -> str:
    """The digest of all files of tests and models that lie there."""
    files = (one for place in places for one in ([ROOT / place] if Path(place).suffix else (ROOT / place).rglob("*.*")))
    texts = (one.read_text("utf-8") for one in sorted(files) if one.suffix in (".py", ".sql", ".yml"))
    return _digest("\0".join(texts))


class Run:
    """The forks: one that lands the demo's records, one that runs all tests once, one for each mutant."""

    def __init__(self, scratch: Path, tests: Sequence[str], projects: int, seconds: float) -> None:
        self.scratch, self.tests, self.projects, self.seconds = scratch, list(tests), projects, seconds
        self.kept = Kept()
        self.kills: Counter[tuple[str, str]] = Counter()  # (part, test) → how often it caught one
        self.portfolio: Any = None
        self._differing: set[str] = set()  # marts that the demo's records show to be broken
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch / "hypothesis")
        settings.register_profile("mutants", database=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    def prepare(self, recorded: Path | None) -> None:
        """The demo's tables, and what each test makes; once."""
        from pipelines.demo.simulation import simulate

        if self.portfolio is not None:
            return
        self.portfolio = simulate(seed=7, projects=self.projects, as_of=AS_OF)
        forked(self._land)
        if self.tests:
            self._look_at_tests(recorded)
            quiet(["--collect-only", *self.tests], [])  # so that no fork imports them again

    def _look_at_tests(self, recorded: Path | None) -> None:
        """Runs each file of tests whose text is not as it was when it was recorded."""
        path = recorded or self.scratch / "recorded"
        by_file: dict[str, tuple[str, Kept]] = pickle.loads(path.read_bytes()) if path.exists() else {}
        for file in _files(self.tests):
            text = _digest((ROOT / file).read_text("utf-8"))
            if by_file.get(file, ("",))[0] != text:
                forked(lambda file=file: self._record(file))
                by_file[file] = (text, pickle.loads((self.scratch / "one").read_bytes()))
                path.write_bytes(pickle.dumps(by_file))
        for file in _files(self.tests):
            self.kept.tests |= by_file[file][1].tests
            self.kept.tables |= by_file[file][1].tables

    def outcome(self, mutant: Mutant) -> Outcome:
        found = Outcome(**forked(lambda: asdict(self._tried(mutant)), Outcome("time", "ran on", MOST_CPU_SECONDS)))
        if found.by == "test":
            self.kills[mutant.part, found.what] += 1
        return found

    # --- within a fork ----------------------------------------------------------------------------------

    def _land(self) -> None:
        from landed_portfolio import landed

        with landed(self.portfolio, self.scratch / "whole", AS_OF):
            pass

    def _record(self, file: str) -> None:
        recorder = Recorder()
        with recorder.listening(), self._truth_over(self.scratch / "whole"):
            quiet([file], [recorder])
        if recorder.kept.failed:  # it would seem to catch every mutant
            raise SystemExit(f"These fail with the models as they are: {', '.join(recorder.kept.failed)}")
        (self.scratch / "one").write_bytes(pickle.dumps(recorder.kept))

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
        read = milepost_settings.load(self.scratch / "broken")
        at = warehouse.moment(read, AS_OF)
        with warehouse.open_warehouse(read.warehouse) as con:
            con.execute(f"attach '{self.scratch / 'whole' / 'warehouse.duckdb'}' as whole (read_only)")
            try:
                if mutant.path.parent.name == "portal":
                    warehouse.stage_all(con, warehouse.staged_sources(read), at)
            except Fault as error:
                return f"contract: {error.problems[0]}"
            try:
                broken = next((one for one in self._findings(con, mutant, at) if _blocks(one)), None)
            except Fault as error:
                return f"sql: {error.problems[0]}"
        return None if broken is None else f"{broken.table}: {broken.check}"

    def _findings(self, con: build.Connection, mutant: Mutant, at: build.Moment) -> Iterator[build.Finding]:
        """Makes anew what is not as before, and checks it as it comes about; then what was untouched, and the sums."""
        marts = catalog.marts()
        for model in marts.values():
            news = {name for name in self._differing if f"marts.{name}" in model.reads}
            if news or model.name == mutant.part or mutant.path.parent.name == "portal":
                build.build(con, model, at)
                if printed(con, model.table) != printed(con, f"whole.{model.table}"):
                    self._differing.add(model.name)
                    yield from build.check(con, model)
                    yield from audit.check(con, model, marts)
        if self._differing:
            for model in marts.values():
                yield from audit.check(con, model, marts)
            for entity in catalog.contract().entities.values():
                yield build.reconcile(con, entity)

    def _tests(self, mutant: Mutant) -> str:
        """The first test that fails with the broken model; empty where none does in the time there is."""
        until = time.process_time() + self.seconds
        telling = self._telling(mutant)
        while (chosen := list(islice(telling, AT_ONCE))) and time.process_time() < until:
            catcher = Catcher(chosen, until)
            with self._truth_over(self.scratch / "broken"):
                quiet(["-x", *dict.fromkeys(name.partition("::")[0] for name in chosen)], [catcher])
            if catcher.failed:
                return catcher.failed
        return ""

    def _telling(self, mutant: Mutant) -> Iterator[str]:
        """The tests that may see it, those first that caught others of it, then the nearest and the cheapest."""
        kind, part = mutant.path.parent.name, mutant.part
        replay = Replay(self.kept.tables)
        for name, test in sorted(self.kept.tests.items(), key=lambda each: self._rank(part, *each)):
            if kind == "portal":
                tells = test.maps_portal or (TRUTH in name and bool(self._differing))
            elif kind == "marts":
                tells = any(map(replay.differs, test.of(part))) or (TRUTH in name and part in self._differing)
            else:
                tells = part in test.measures or f"[{part}]" in name
            if tells:
                yield name

    def _rank(self, part: str, name: str, test: Recorded) -> tuple[float, float, float]:
        """Those first that made nothing of the mart: they asked for it itself."""
        made_after = list(test.worlds)[::-1].index(test.of(part)[-1]) if test.of(part) else 0
        return -self.kills[part, name], made_after, test.seconds

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


def _files(tests: Sequence[str]) -> tuple[str, ...]:
    """The files of tests in files and folders of them."""
    folders = (sorted((ROOT / one).glob("test_*.py")) if (ROOT / one).is_dir() else [ROOT / one] for one in tests)
    return tuple(str(file.relative_to(ROOT)) for folder in folders for file in folder)


def _blocks(finding: build.Finding) -> bool:
    return finding.severity == "fail" and not finding.passed


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


class Catcher:
    """A plugin that runs the chosen tests in their order, and keeps which failed first."""

    def __init__(self, order: Sequence[str], until: float) -> None:
        self.place = {name: place for place, name in enumerate(order)}
        self.until = until  # seconds of CPU of this process
        self.failed = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((one for one in items if one.nodeid in self.place), key=lambda one: self.place[one.nodeid])

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        if time.process_time() > self.until:
            item.session.shouldstop = "no time left"

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


def told(found: Sequence[tuple[Mutant, Outcome]], most: float, seconds: float) -> int:
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
    print(f"{'missed':32}{len(missed):6}, by all tests that may see them, for up to {seconds:.0f} s of CPU each")
    print(f"{'miss rate':32}{rate:6.1f} % of {counted}")
    for mutant in missed:
        print(f"missed  {mutant.told}")
    return int(rate > most)


if __name__ == "__main__":
    raise SystemExit(main())
