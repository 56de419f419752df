"""The blocks of settings that the pages of docs/sources show can be copied as they stand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pipelines.settings import PROJECT, Settings

PAGES = sorted((PROJECT / "docs" / "sources").glob("*.md"))
BLOCKS = [
    (page.stem, block) for page in PAGES for block in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.S)
]


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _ in BLOCKS])
def test_a_block_of_a_page_is_what_the_settings_may_say(tmp_path: Path, page: str, block: str) -> None:
    told = tomllib.loads(block)
    assert Settings.model_validate({"data": tmp_path, **told}).sources or "sources" not in told
