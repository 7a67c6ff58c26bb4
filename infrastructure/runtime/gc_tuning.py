"""Python's garbage collector in a worker's process.

With thousands of sagas in memory, the default thresholds make it search all of them again and again, in vain: what a
worker makes is in no reference cycle, and reference counts free it.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (100_000, 50, 100)


def tune_gc() -> None:
    """Make the garbage collector run less often. That affects the whole process, so a library must not decide it."""
    gc.set_threshold(*THRESHOLDS)
