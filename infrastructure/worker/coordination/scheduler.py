"""The scheduler: starts the sagas of schedules when their ticks come, on a thread of its own.

Any number of workers may do so at once. A worker without schedules has no such thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from ....domain.errors import SagaledgerError
from ....domain.schedule.state import ScheduleState
from ....domain.user_code import contained, is_interruption, shown
from ...errors import OutcomeUnknown, Unavailable
from ...ledger.context import LedgerContext
from ...ledger.schedule import Schedule
from ...ledger.schedule_start import TickStarter
from ...ledger.schedule_streams import ScheduleStreams, coming_ticks
from ...runtime.retrying_thread import RetryingThread

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
"""How soon it notices what others wrote: that a schedule is paused, or triggered, or that a saga has ended."""
STEP_SECONDS_MIN: Final = 0.005
THREAD: Final = "saga-scheduler"


class Scheduler:
    """Starts the ticks of the schedules that the app declares.

    `now`: the time by which they tick.
    """

    def __init__(self, context: LedgerContext, now: Callable[[], datetime]) -> None:
        self._schedules = list(context.app.schedules)
        self._backend = context.backend
        self._now = now
        self._stopping = False
        self._streams = ScheduleStreams(context)
        self._starter = TickStarter(self._streams, lambda: self._stopping)
        self._undeclared = {schedule.name for schedule in self._schedules}
        self._head = -1
        self._next_at: datetime | None = None
        self._differing: set[str] = set()
        self._troubles: dict[str, str] = {}
        """What keeps a schedule from being worked, so that it is logged once."""
        self._outage = context.outages.database
        self._thread = RetryingThread(
            THREAD, self.look, ends_at=(), pauses="schedules start nothing", logger=log, outage=self._outage
        )

    def start(self) -> None:
        """Record the schedules and start what is due, then go on in a thread. Does nothing without schedules."""
        if not self._schedules:
            return
        try:
            self.look()
        except (Unavailable, OutcomeUnknown) as error:
            self._outage.note(THREAD, error)
        except Exception as error:  # noqa: BLE001 -- the thread tries again, and says what it was
            log.warning("schedules start later: %s", shown(error))
        if not self._stopping:  # the worker was cancelled while it began
            self._thread.start()

    def stop(self) -> None:
        """Finish the tick at hand, and end the thread."""
        self._stopping = True
        self._thread.stop()

    def look(self) -> float:
        """Do what is to be done now; return for how many seconds there is nothing to do. Raises `Unavailable`."""
        now = self._now()
        head = self._backend.head().position
        is_due = self._next_at is not None and now >= self._next_at
        if self._undeclared or self._troubles or is_due or head != self._head:
            self._head = -1  # if this fails, all of it is done again
            self._work_all(now)
            self._head = head
        return self._seconds_to_wait()

    def _work_all(self, now: datetime) -> None:
        coming: list[datetime] = []
        self._next_at = None
        for schedule in self._schedules:
            if self._stopping:
                return
            try:
                state = self._work(schedule, now)
                following = None if state.paused is not None else next(coming_ticks(state, now), None)
            except (Unavailable, OutcomeUnknown):
                raise
            except BaseException as error:
                if is_interruption(error):
                    raise
                self._note_trouble(schedule, contained(error))
                continue
            self._troubles.pop(schedule.name, None)
            if following is not None:
                coming.append(following)
        self._next_at = min(coming, default=None)

    def _work(self, schedule: Schedule, now: datetime) -> ScheduleState:
        if schedule.name in self._undeclared:
            self._starter.declare(schedule, now)
            self._undeclared.discard(schedule.name)
        state = self._starter.settle(schedule, now)
        self._compare(schedule, state)
        return state

    def _compare(self, schedule: Schedule, state: ScheduleState) -> None:
        """Log it, once, if a worker that began later declares the schedule otherwise: that declaration counts."""
        if state.declaration == schedule.declaration:
            self._differing.discard(schedule.name)
        elif schedule.name not in self._differing:
            self._differing.add(schedule.name)
            log.warning(
                "schedule %s goes by what another worker declared since this one began: %s",
                schedule.name,
                state.declaration,
                extra={"schedule": schedule.name},
            )

    def _note_trouble(self, schedule: Schedule, error: Exception) -> None:
        """Log what keeps a schedule from being worked, the first time; it is tried again at each look."""
        text = shown(error)
        if self._troubles.get(schedule.name) != text:
            trace = None if isinstance(error, SagaledgerError) else error
            extra = {"schedule": schedule.name, "error_type": type(error).__name__}
            log.error(
                "schedule %s starts nothing until this is mended: %s", schedule.name, text, exc_info=trace, extra=extra
            )
        self._troubles[schedule.name] = text

    def _seconds_to_wait(self) -> float:
        if self._next_at is None:
            return LOOK_SECONDS
        seconds = (self._next_at - self._now()).total_seconds()
        return min(max(seconds, STEP_SECONDS_MIN), LOOK_SECONDS)
