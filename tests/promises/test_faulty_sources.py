"""One answer in five dropped, late, cut off, doubled, out of order or an error: the marts are those of a quiet line.

The same records are pulled twice, through a proxy that spoils answers by a seed and past it, while they change between
pulls. What a source that stays down does to the others is told by its own tests (tests/pipelines/test_holding.py), and
here once for a portal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import duckdb
import pytest
from changing_firms import ENVIRON, changing_firms
from compared import differences, tables_differ
from faulty_proxy import FaultyProxy, proxied
from jira_fake import EMAIL, TOKEN, JiraFake
from loopback import serving
from pulled import Pulled

from pipelines import pulling, refreshing
from pipelines.settings import Settings, load
from pipelines.sources.door import Patience

pytestmark = pytest.mark.slow

DOGGED = Patience(attempts=7, backoff_seconds=0.005, ceiling_seconds=0.02, timeout_seconds=2)
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PULLS = 4


@pytest.fixture(autouse=True)
def _dogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh that waits less, as there is nobody to be spared here."""
    monkeypatch.setattr(pulling, "pull", partial(pulling.pull, patience=DOGGED))
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def settled(data: Path) -> Settings:
    return load(data, data / "milepost.toml", {})


def spoilt(proxy: FaultyProxy) -> str:
    """That every kind of fault was met, and about one answer in five; in words."""
    faults = proxy.met.total()
    assert set(proxy.met) == set(proxy.kinds)
    assert faults / proxy.asked == pytest.approx(0.2, abs=0.01)
    return f"{faults} of {proxy.asked} answers spoilt: {dict(sorted(proxy.met.items()))}"


def test_with_one_answer_in_five_spoilt_the_marts_are_those_of_a_quiet_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with changing_firms(tmp_path) as firms, proxied(firms.url, seed=3) as proxy:
        firms.settle(tmp_path / "quiet", page_size=8)
        firms.url = proxy.url
        firms.settle(tmp_path / "spoilt", page_size=8)
        houses = [settled(tmp_path / name) for name in ("quiet", "spoilt")]
        for _ in range(PULLS):
            for house in houses:
                pulling.pull(house, "relay", firms.now)
            firms.change(terms=True)
        served = []
        for house in houses:
            outcome = refreshing.refresh(house, as_of=firms.now, now=firms.now)
            assert (outcome.problems, outcome.stale) == ((), ())
            assert outcome.serving is not None
            served.append(outcome.serving.path)
    assert differences(*served) == []
    with capsys.disabled():
        print(f"\n{spoilt(proxy)}")


def test_a_portal_that_stays_down_is_said_to_be_stale_and_the_others_go_on(tmp_path: Path) -> None:
    with changing_firms(tmp_path) as firms, proxied(firms.url, seed=3, share=0.0) as proxy:
        firms.url = proxy.url
        firms.settle(tmp_path / "house")
        house = settled(tmp_path / "house")
        assert refreshing.refresh(house, as_of=firms.now, now=firms.now).stale == ()
        before = firms.facts[firms.now]
        firms.change()
        proxy.is_down = True
        outcome = refreshing.refresh(house, as_of=firms.now, now=firms.now)
    assert outcome.problems == ()
    (line,) = outcome.stale
    assert line.startswith("source relay is not up to date, its last good records are shown: source relay, GET ")
    assert "answers 503" in line
    assert outcome.serving is not None
    with duckdb.connect(str(outcome.serving.path), read_only=True) as con:
        names = {name for (name,) in con.execute("select client from marts.clients").fetchall()}
        told = con.execute("select source, outcome from marts.source_pulls where is_latest order by 1").fetchall()
    assert names == {*before[0] - {"Aster 0"}, "Aster 1"}
    assert told == [("relay", "failed"), ("studio", "ok")]


def jira_site() -> tuple[JiraFake, list[str]]:
    """A site of three projects, and its issues."""
    jira, issues = JiraFake(), []
    for key, name, client in (("REB", "Rebrand", "Aster"), ("SITE", "Website", "Birch"), ("APP", "App", "Cedar")):
        project = jira.project(key, name, client)
        issues += [jira.issue(project, f"Gate {n}", MONDAY + n * DAY, duedate="2026-05-01") for n in range(6)]
    return jira, issues


MEANINGS = {"To Do": "planned", "In Progress": "started", "Client Review": "submitted", "Approved": "approved",
            "Changes Requested": "changes_requested", "Rejected": "rejected", "Skipped": "waived",
            "Dropped": "cancelled"}  # fmt: skip


def test_a_jira_behind_a_bad_line_tells_what_it_tells_over_a_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jira, issues = jira_site()
    kinds = tuple(kind for kind in FaultyProxy.KINDS if kind != "shuffled")  # what a search answers has its order
    with serving(jira.answer) as server, proxied(server.url, seed=1, kinds=kinds) as proxy:
        desks = [
            Pulled(tmp_path / name, {"desk": {
                "kind": "jira", "url": url, "email": EMAIL, "token_env": "JIRA", "page_size": 2, "currency": "USD",
                "statuses": MEANINGS, "sweep_hours": 0}}, {"JIRA": TOKEN}, DOGGED)
            for name, url in (("quiet", server.url), ("spoilt", proxy.url))
        ]  # fmt: skip
        for turn, status in enumerate(("In Progress", "Client Review", "Approved")):
            at = MONDAY + (20 + turn) * DAY
            for issue in issues[turn:]:
                jira.move(issue, status, at)
            if turn == 2:
                jira.delete(issues.pop())
            for desk in desks:
                desk.pull(at + DAY)
        for desk in desks:
            with desk.built(MONDAY + 30 * DAY):
                pass
    assert jira.complaints == []
    assert tables_differ(*(desk.settings.warehouse for desk in desks), schemas=("staging", "marts")) == []
    with capsys.disabled():
        print(f"\n{spoilt(proxy)}")
