"""Following the log: a thread that folds what comes, paces itself under load and backs off after failures."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from datetime import datetime
from threading import Condition
from time import monotonic
from typing import NamedTuple, Protocol

from ..errors import NEEDS_A_PERSON, ProjectionChanged
from ..event_store.event_log import EventLog
from ..runtime.outage_log import OutageLog
from ..runtime.retrying_thread import RetryingThread
from .checkpoints import Checkpoint
from .following import Following
from .standby import LOOK_SECONDS, Standby

IDLE_SECONDS = 0.5
"""How long the thread waits for events before it looks for its end, and for views that were resumed or rebuilt."""
PACE_SECONDS_MIN = 0.05
PACE_SECONDS_MAX = 0.2
PACE_SHARE = 0.2
"""After a batch that reached the head, the thread pauses: a busy log is then folded in fewer and larger batches, in
which the many events of a saga write its row once. A batch and its pause together take so long that folding has this
share of the time, within the bounds above. A lone event after a pause is folded at once."""
BACKLOG_SECONDS = 10.0
"""Views that are further behind than this catch up on old events, and `keep_up` does not wait for them."""
LEAST_SECONDS = 0.001

_logger = logging.getLogger(__name__)


class Pass(NamedTuple):
    """What one pass over the views folded."""

    events: int
    left_seconds: float
    """How many seconds of events are left to be folded; 0 if none are."""


class FoldingSteps(Protocol):
    """What the thread does again and again (see `Projector`)."""

    def resume(self) -> None: ...

    def fold_next(self) -> Pass: ...

    def followed(self) -> list[Checkpoint]: ...


class Follower:
    """Keeps views up with the log in a thread of its own, or watches another projector do so."""

    def __init__(
        self,
        log: EventLog,
        steps: FoldingSteps,
        standby: Standby,
        following: Following,
        outage: OutageLog | None = None,
    ) -> None:
        self._log = log
        self._steps = steps
        self._standby = standby
        self._following = following
        self._resumed = False
        self._thread = RetryingThread(
            "sagaledger-projector",
            self._follow,
            ends_at=(*NEEDS_A_PERSON, ProjectionChanged),
            pauses="views are not followed",
            logger=_logger,
            outage=outage,
        )
        self._caught_up = Condition()
        self._left: tuple[float, float] | None = None
        """How many seconds of events were left to be folded, and when that was seen; None while that is not known."""
        self._current_at: float | None = None
        """Everything that was in the log at this time is in the views, and more has come since. None while nothing has
        come, while old events are caught up on, and while the views are not followed."""

    def start(self) -> None:
        """Start the thread, unless it runs; it first resumes the views that an event stopped."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand, and end the thread."""
        self._thread.stop()
        self._resumed = False
        self._left = None
        self._set_current(None)

    @property
    def ended(self) -> Future[None]:
        """Done when the thread has ended; the error that a person must mend, if that ended it."""
        return self._thread.ended

    @property
    def failing(self) -> str | None:
        """Why the views cannot be followed now, although the thread tries again; None if they can."""
        return self._thread.failing

    @property
    def lag_seconds(self) -> float | None:
        """How far the views are behind the log; None while they are not followed. Any thread may ask."""
        left = self._left
        if left is None:
            return None
        seconds, seen_at = left
        return seconds + (monotonic() - seen_at) if seconds else 0.0

    def keep_up(self, lag_seconds_max: float, *, timeout_seconds: float) -> None:
        """Wait while the views are further behind than this, but no longer than the timeout.

        Does not wait for views that cannot be followed now, or that catch up on events older than some seconds.
        """
        if self._lag_seconds > lag_seconds_max:
            with self._caught_up:
                self._caught_up.wait_for(lambda: self._lag_seconds <= lag_seconds_max, timeout_seconds)

    @property
    def _lag_seconds(self) -> float:
        current_at = self._current_at
        return 0.0 if current_at is None else monotonic() - current_at

    def _set_current(self, current_at: float | None) -> None:
        with self._caught_up:
            self._current_at = current_at
            self._caught_up.notify_all()

    def _follow(self) -> float:
        """Take one step. Returns for how many seconds to pause."""
        try:
            if not self._resumed:
                self._steps.resume()
                self._resumed = True
            self._following.note()
            return self._watch() if self._standby.watching else self._fold()
        except BaseException:
            self._left = None
            self._set_current(None)
            raise

    def _fold(self) -> float:
        """Fold what there is, or wait for more. Returns for how many seconds to pause."""
        began = monotonic()
        head = self._log.head().position
        events, left_seconds = self._steps.fold_next()
        self._left = (left_seconds, monotonic())
        if not events:
            self._set_current(None)
            self._log.wait_beyond(head, IDLE_SECONDS)
            return 0.0
        self._set_current(began - left_seconds if left_seconds < BACKLOG_SECONDS else None)
        return 0.0 if left_seconds else _pace(monotonic() - began)

    def _watch(self) -> float:
        """Look how the other projector gets on. Returns for how many seconds to pause."""
        head = self._log.head()
        hindmost = min((checkpoint.position for checkpoint in self._steps.followed()), default=head.position)
        self._standby.look(hindmost, head.position)
        waiting = self._log.read(hindmost, limit=1, upto=head.position)
        left_seconds = seconds_apart(waiting[0].recorded_at, head.recorded_at) if waiting else BACKLOG_SECONDS
        self._left = (left_seconds if waiting else 0.0, monotonic())
        self._set_current(monotonic() - left_seconds if left_seconds < BACKLOG_SECONDS else None)
        return LOOK_SECONDS if self._standby.watching else 0.0


def seconds_apart(earlier: datetime | None, later: datetime | None) -> float:
    """Return how much later one event was recorded than another; always more than 0."""
    if earlier is None or later is None:
        return LEAST_SECONDS
    return max((later - earlier).total_seconds(), LEAST_SECONDS)


def _pace(folding_seconds: float) -> float:
    """Return how long to let events gather after a batch that took so long."""
    pace_seconds = min(max(folding_seconds / PACE_SHARE, PACE_SECONDS_MIN), PACE_SECONDS_MAX)
    return max(pace_seconds - folding_seconds, 0.0)
