"""Several projectors on one ledger: one folds, the others stand by.

Each would read and fold the same batches, and all but the first to commit would have done so in vain. So one that was
beaten several times in a row only watches, until the views stand still in front of events: whoever kept them up is
gone, or stuck. It is advice, not a lock: each event counts once, whoever folds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        self._stood: Sequence[int] = ()
        self._moved_at = 0.0

    @property
    def watching(self) -> bool:
        """Whether it does."""
        return self._beaten >= BEATEN_TIMES

    def folded(self, *, in_vain: bool) -> None:
        """Take note of a batch: whether some view moved by it, or another projector had moved all of them before."""
        self._beaten = self._beaten + 1 if in_vain else 0
        self._moved_at = self._clock()

    def look(self, stands: Sequence[int], head: int) -> None:
        """Where the views stand now; once they have stood still in front of events for a while, it folds again."""
        if stands != self._stood or min(stands, default=head) >= head:
            self._stood, self._moved_at = stands, self._clock()
        elif self._clock() - self._moved_at > STILL_SECONDS:
            self._beaten = 0
