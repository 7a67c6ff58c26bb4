"""The clock of the code that drives sagas, in one object, so that a test can use another one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, NamedTuple


class Clock(NamedTuple):
    """A clock, and a way to wait."""

    now: Callable[[], datetime]
    """Returns the time of the wall clock, in UTC; it may jump."""
    monotonic: Callable[[], float]
    """Returns seconds since some fixed moment; it never jumps, and counts the time that the machine slept."""
    sleep: Callable[[float], None]
    """Waits for so many seconds."""


def _monotonic() -> Callable[[], float]:
    """Return the clock that goes on while the machine sleeps, which `time.monotonic` does on Windows alone."""
    if sys.platform == "linux":
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    return time.monotonic


SYSTEM_CLOCK: Final = Clock(lambda: datetime.now(UTC), _monotonic(), time.sleep)
