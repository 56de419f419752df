"""Fixtures that several modules of tests share: real servers, started once and only when a test asks for one."""

from collections.abc import Callable

import pytest
from postgres_server import postgres  # noqa: F401
from redmine_server import redmine  # noqa: F401
from tryton_server import tryton  # noqa: F401

REAL = {"redmine": "Redmine", "tryton": "Tryton", "postgres": "PostgreSQL"}


@pytest.fixture(autouse=True)
def _noted(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Which real servers a test ran against, for the end of the run to tell."""
    for name, label in REAL.items():
        if name in request.fixturenames:
            record_property("server", f"{label} {request.getfixturevalue(name).version}")
