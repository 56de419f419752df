"""What a run of the tests says at its end: which real servers it ran against, and with how many tests.

A test says so by the property `server`, as `record_property("server", "PostgreSQL 15.14")`.
"""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for found in terminalreporter.stats.values() for one in found if getattr(one, "when", "") == "call"]
    told = Counter(value for one in reports for name, value in one.user_properties if name == "server")
    for server, count in sorted(told.items()):
        terminalreporter.write_line(f"Against a real {server}: {count} tests")
