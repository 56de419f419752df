"""The kinds of tools that records are pulled from: one module per kind, and this list of them.

A source knows its tool and nothing of where records are stored, when they are pulled or what they mean.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pipelines.sources import files, portal

# Kinds that say what changed: their rows are merged by key into what is there.
CHANGES: Mapping[str, Callable[..., Any]] = MappingProxyType({"portal": portal.source})
# Kinds that are read whole: their tables are replaced.
WHOLES: Mapping[str, Callable[..., dict[str, files.Whole]]] = MappingProxyType({"files": files.tables})
