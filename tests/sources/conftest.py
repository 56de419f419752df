"""Fixtures that several modules of tests share: real servers, started once and only when a test asks for one."""

from postgres_server import postgres  # noqa: F401
from redmine_server import redmine  # noqa: F401
from tryton_server import tryton  # noqa: F401
