"""Lets the promises use what other tests are made of: hand-made firms, and the fakes of vendors' tools; and a quick folder."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

for _folder in ("pipelines", "sources"):
    sys.path.append(str(Path(__file__).parents[1] / _folder))

MEMORY = Path("/dev/shm")
ROOM = 2 << 30  # bytes


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is room, else on the disk: whoever refreshes again and again waits for its syncs."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
        with TemporaryDirectory(prefix="milepost-", dir=MEMORY) as folder:
            yield Path(folder)
    else:
        yield tmp_path_factory.mktemp("quick")
