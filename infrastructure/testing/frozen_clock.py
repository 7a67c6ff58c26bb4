"""A clock that a test moves."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from ...domain.errors import InvalidInput
from ..event_store.instants import microseconds
from ..runtime.clock import SYSTEM_CLOCK, Clock

NEW_YEAR_2030: Final = datetime(2030, 1, 1, tzinfo=UTC)


class FrozenClock:
    """The time of a ledger, its SQLite file and its worker: it moves when the test says so.

    It also goes on by the milliseconds that the test takes, because a worker measures by it how long to wait.
    """

    def __init__(self, starts_at: datetime = NEW_YEAR_2030) -> None:
        self._starts_at = starts_at
        self._began = time.monotonic()
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return its time, in UTC."""
        return self._starts_at + self._ahead + timedelta(seconds=time.monotonic() - self._began)

    def advance(
        self, by: timedelta | float = 0.0, *, days: float = 0, hours: float = 0, minutes: float = 0
    ) -> datetime:
        """Move it on, by a timedelta or a number of seconds; what is due by then happens. Returns its time then.

        Raises `InvalidInput` for a way back.
        """
        way = by if isinstance(by, timedelta) else timedelta(seconds=by)
        way += timedelta(days=days, hours=hours, minutes=minutes)
        if way < timedelta():
            raise InvalidInput(f"the clock cannot go back, and {way} is negative")
        self._ahead += way
        return self.now()

    def move_to(self, instant: datetime) -> datetime:
        """Move it on to an instant."""
        return self.advance(instant - self.now())

    @property
    def clock(self) -> Clock:
        """It, as the clock of a ledger."""
        return Clock(self.now, lambda: SYSTEM_CLOCK.monotonic() + self._ahead.total_seconds(), time.sleep)

    def nanoseconds(self) -> int:
        """Return its time in nanoseconds since 1970, for a SQLite file."""
        return microseconds(self.now()) * 1_000
