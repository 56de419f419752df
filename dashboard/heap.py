"""Keeps the garbage collector off what stays.

Streamlit has it look through everything after every drawing, before a reader is told that the page is whole; with all
libraries imported that is a tenth of a second. What stays out: anything that comes and goes with a page.
"""

from __future__ import annotations

import gc
import sys

_settled = 0  # how many modules were imported when it was last put away


def settle() -> None:
    """Puts away what is there, each time that a page has imported more."""
    global _settled  # noqa: PLW0603 - one heap, one count
    if len(sys.modules) > _settled:
        _settled = len(sys.modules)
        gc.collect()
        gc.freeze()
