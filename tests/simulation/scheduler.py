"""Simulated time: what happens next is the earliest thing agreed on, and nothing else takes any time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)


class Scheduler:
    """Runs callbacks in order of their time, and those of one time in the order in which they were agreed on.

    Whoever waits inside of a callback lets the others go on meanwhile (`let_pass` runs them on top of its caller), so
    that plain blocking code is interrupted wherever it waits for the world, and nowhere else.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._agreed: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Agree on something that happens in so many seconds."""
        heappush(self._agreed, (self.seconds + seconds, next(self._order), do))

    def let_pass(self, seconds: float) -> None:
        """Let so much time pass, at least, with everything that happens in it."""
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
