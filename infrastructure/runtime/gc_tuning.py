"""Python's garbage collector, in a process that is a worker.

With thousands of sagas in memory the collector's default looks through all of them again and again, and finds
nothing: what a worker makes is in no reference cycle, and is freed by its counts.
"""

from __future__ import annotations

import gc

THRESHOLDS = (100_000, 50, 100)


def tune_gc() -> None:
    """Let the garbage collector look less often. For a whole process, so a library must not decide it by itself."""
    gc.set_threshold(*THRESHOLDS)
