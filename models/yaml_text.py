"""Reads YAML by the loader in C where it is built in, which is ten times faster. What it says is judged elsewhere."""

from __future__ import annotations

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parsed(text: str) -> Any:
    """What the text says. Raises `yaml.YAMLError`, naming the line."""
    return yaml.load(text, _LOADER)
