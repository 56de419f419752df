"""The kinds of tools that records are pulled from: one module per kind, imported when it is first asked for.

A kind's module has either `source(name, settings, environ, terms, patience)`, a dlt source of what changed, or
`tables(name, settings, environ)`, tables that are replaced whole; and `probe(name, settings, environ, patience)`, which
asks the tool for as little as shows that it is there, and returns what it says of its limits. A source knows
its tool and nothing of where records are stored, when they are pulled or what they mean.
"""

from importlib import import_module
from typing import Any

WHOLE = ("files",)  # kinds that are read whole: their tables are replaced


def kind(name: str) -> Any:
    """The module of a kind."""
    return import_module(f"pipelines.sources.{name}")
