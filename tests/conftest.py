"""The browser that tests open pages in, and what a run says at its end: against which real servers, in how many tests.

A test says so by the property `server`, as `record_property("server", "PostgreSQL 15.14")`.
"""

from __future__ import annotations

import gc
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "/usr/bin/chromium"  # Debian's
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]


def pytest_configure() -> None:
    """A shell that starts the tests in the background has them ignore Ctrl-C, Dagster makes of SIGTERM what Ctrl-C is,
    and what is ignored here no server that is started here can be ended by.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported stays until the end: looking for garbage in it, then and later, is a tenth of the quick tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _own_umask() -> Iterator[None]:
    """A command that ran in a test's own process leaves its umask to no other test."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield chromium
        chromium.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for found in terminalreporter.stats.values() for one in found if getattr(one, "when", "") == "call"]
    told = Counter(value for one in reports for name, value in one.user_properties if name == "server")
    for server, count in sorted(told.items()):
        terminalreporter.write_line(f"Against a real {server}: {count} tests")
