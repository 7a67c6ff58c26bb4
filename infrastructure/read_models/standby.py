"""Several projectors on one ledger: one folds, the others stand by.

Each would read and fold the same batches, and all but the first to commit would have done so in vain. So one that was
beaten several times in a row only watches, until a view stands still in front of events: whoever kept it up is gone, or
stuck, or does not have it. It is advice, not a lock: each event counts once, whoever folds it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

BEATEN_TIMES = 3
STILL_SECONDS = 1.0
LOOK_SECONDS = 0.2
"""How often one that stands by looks where the views stand."""


class Standby:
    """Whether a projector leaves the views to another one."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._beaten = 0
        self._stood = -1
        self._moved_at = 0.0

    @property
    def watching(self) -> bool:
        """Whether it does."""
        return self._beaten >= BEATEN_TIMES

    def folded(self, *, in_vain: bool) -> None:
        """Take note of a batch: whether some view moved by it, or another projector had moved all of them before."""
        self._beaten = self._beaten + 1 if in_vain else 0
        self._moved_at = self._clock()

    def look(self, hindmost: int, head: int) -> None:
        """Where the view stands that is furthest behind; once it has stood still in front of events for a while, this
        projector folds again, until it is beaten once more."""
        if hindmost != self._stood or hindmost >= head:
            self._stood, self._moved_at = hindmost, self._clock()
        elif self._clock() - self._moved_at > STILL_SECONDS:
            self._beaten = BEATEN_TIMES - 1
