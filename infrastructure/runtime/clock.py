"""The clock of the code that drives sagas, in one object, so that a test can use another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple


class Clock(NamedTuple):
    """A clock, and a way to wait."""

    now: Callable[[], datetime]
    """Returns the time of the wall clock, in UTC; it may jump."""
    monotonic: Callable[[], float]
    """Returns seconds since some fixed moment; it never jumps."""
    sleep: Callable[[float], None]
    """Waits for so many seconds."""


SYSTEM_CLOCK: Final = Clock(lambda: datetime.now(UTC), time.monotonic, time.sleep)
