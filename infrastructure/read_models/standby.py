"""Standing by: of several projectors on one ledger, one folds and the others watch.

All of them would read and fold the same batches, and only the first to commit would not have worked in vain. So a
projector that lost several times in a row only watches, until a view does not move although events wait for it: the
other projector is gone, is stuck, or does not have that view. Standing by saves work and promises nothing: each event
counts once, whichever projector folds it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

LOSSES_MAX = 3
"""After how many batches in a row that another projector folded first a projector stands by."""
STILL_SECONDS = 1.0
"""How long a view may stand still in front of events before a projector that stands by folds again."""
LOOK_SECONDS = 0.2
"""How often a projector that stands by looks at the checkpoints."""


class Standby:
    """Whether a projector leaves the views to another one."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._losses = 0
        self._position = -1
        self._moved_at = 0.0

    @property
    def watching(self) -> bool:
        """Whether the projector stands by."""
        return self._losses >= LOSSES_MAX

    def folded(self, *, in_vain: bool) -> None:
        """Note a batch; `in_vain`: another projector had moved every view of it before."""
        self._losses = self._losses + 1 if in_vain else 0
        self._moved_at = self._clock()

    def look(self, hindmost: int, head: int) -> None:
        """Note the position of the view that is furthest behind, while the projector stands by.

        If it has stood still in front of events for a while, the projector folds again, until it loses once more.
        """
        if hindmost != self._position or hindmost >= head:
            self._position, self._moved_at = hindmost, self._clock()
        elif self._clock() - self._moved_at > STILL_SECONDS:
            self._losses = LOSSES_MAX - 1
