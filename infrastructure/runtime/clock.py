"""Time, as what drives sagas knows it: asked for in one place, so that it can be another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple


class Clock(NamedTuple):
    """A clock, and a way to let time pass."""

    now: Callable[[], datetime]
    """The wall clock's time, in UTC; it may jump."""
    monotonic: Callable[[], float]
    """Seconds since some moment, by a clock that nobody can set."""
    sleep: Callable[[float], None]
    """Wait for so many seconds."""


SYSTEM_CLOCK: Final = Clock(lambda: datetime.now(UTC), time.monotonic, time.sleep)
