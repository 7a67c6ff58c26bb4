"""Simulated time: it passes only from one scheduled callback to the next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class Scheduler:
    """Runs callbacks in order of their time, and those of one time in the order in which they were scheduled.

    A callback that waits lets others run meanwhile (`let_pass` runs them on top of its caller), so blocking code is
    interrupted wherever it waits, and nowhere else.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._agreed: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Schedule a callback in some seconds."""
        heappush(self._agreed, (self.seconds + seconds, next(self._order), do))

    def let_pass(self, seconds: float) -> None:
        """Let at least so much time pass, and run what is scheduled in it."""
        until = self.seconds + seconds
        while self._agreed and self._agreed[0][0] <= until:
            at, _, do = heappop(self._agreed)
            self.seconds = max(self.seconds, at)
            do()
        self.seconds = max(self.seconds, until)

    def now(self) -> datetime:
        """The time of day."""
        return BEGINNING + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.seconds
