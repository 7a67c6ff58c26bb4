"""The clock of SQLite ledgers: the machine's, unless a test sets another one."""

from __future__ import annotations

import time
from collections.abc import Callable

_nanoseconds_now: Callable[[], int] = time.time_ns


def microseconds_now() -> int:
    """Return the time of the database's clock."""
    return _nanoseconds_now() // 1_000


def set_clock(nanoseconds_now: Callable[[], int] | None) -> None:
    """Let every file of this process go by another clock, as a test does; None undoes that."""
    global _nanoseconds_now
    _nanoseconds_now = nanoseconds_now or time.time_ns
