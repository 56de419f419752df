"""The kinds of tools that records are pulled from: one module per kind, and this list of them.

A source knows its tool and nothing of where records are stored, when they are pulled or what they mean.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from pipelines.sources import portal

KINDS: Mapping[str, Callable[..., Any]] = MappingProxyType({"portal": portal.source})
