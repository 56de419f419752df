"""Lets the promises use what other tests are made of: hand-made firms, and the fakes of vendors' tools."""

import sys
from pathlib import Path

for _folder in ("pipelines", "sources"):
    sys.path.append(str(Path(__file__).parents[1] / _folder))
