"""Holds what a fake answers against the vendor's own OpenAPI schemas, so that the fake cannot drift from the tool.

`tests/sources/vendor/<tool>.json` holds what of the official file is needed: {"of": where it is from, "answers": {"GET
/path": schema}, "schemas": {name: schema}}; references are written "#/schemas/<name>". OpenAPI 3.0's `nullable` becomes
a type of JSON Schema here. What stays out: what an answer means.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

_FOLDER = Path(__file__).parent / "vendor"


def complaints(tool: str, answer: str, body: Any) -> list[str]:
    """What in a body the vendor's schema of an answer does not allow; empty where all fits."""
    found = sorted(_validator(tool, answer).iter_errors(body), key=lambda one: one.json_path)
    return [f"{one.json_path}: {one.message}" for one in found]


@cache
def _validator(tool: str, answer: str) -> Draft202012Validator:
    told = json.loads((_FOLDER / f"{tool}.json").read_text("utf-8"))
    schemas = {name: _plain(schema) for name, schema in told["schemas"].items()}
    return Draft202012Validator({"schemas": schemas, **_plain(told["answers"][answer])})


def _plain(schema: Any) -> Any:
    """A schema of OpenAPI 3.0 as one of JSON Schema: whatever is nullable may be null.

    So may be what is made of several schemas of which one is: vendors write a nullable reference like that.
    """
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value) for name, value in schema.items() if name != "nullable"}
    parts = [schema, *(one for one in schema.get("allOf", []) if isinstance(one, dict))]
    if not any(one.get("nullable") is True for one in parts):
        return plain
    return {"anyOf": [plain, {"type": "null"}]}
