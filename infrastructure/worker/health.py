"""What a worker says of itself: whether it works, and whether it should be restarted."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from ...domain.user_code import shown
from ..read_models.projector import Projector
from .engine import Engine
from .steps.task_runner import TaskRunner

STUCK_SECONDS: Final = 60.0
"""An engine that took no turn for so long hangs, most likely in a call to the database that never returns."""


class WorkerState(StrEnum):
    """What a worker does."""

    STARTING = "starting"
    """It has no lease yet, or took no turn under it."""
    RUNNING = "running"
    DATABASE_AWAY = "database_away"
    """The database could not be used in its last turn; it tries again by itself."""
    DRAINING = "draining"
    """It is being closed: it begins nothing new, and waits for running steps."""
    CLOSED = "closed"
    FAILED = "failed"
    """An error ended its engine or its projector, and a person must mend the cause."""


class WorkerHealth(Struct, frozen=True):
    """A worker's health at one moment."""

    state: WorkerState
    sagas_held: int = 0
    steps_running: int = 0
    oldest_step_seconds: float | None = None
    """How long the step that began first has been running; None if none runs."""
    turn_seconds: float | None = None
    """How long ago the engine ended its last turn, also one in which the database was away; None before the first."""
    success_seconds: float | None = None
    """How long ago it ended its last turn in which the database answered; None before the first."""
    lease_seconds: float | None = None
    """How long ago it renewed its lease; None before it has one."""
    lease_is_safe: bool = False
    """Whether its lease lasts long enough for a step to begin."""
    views_lag_seconds: float | None = None
    """How far the views that it follows are behind the log; None if it keeps none up, or cannot follow them now."""
    error: str | None = None
    """The error that ended it, or else the one that keeps the engine or the views waiting now."""

    @property
    def ready(self) -> bool:
        """Whether it can begin steps: it is running, and its lease is safe."""
        return self.state is WorkerState.RUNNING and self.lease_is_safe

    @property
    def healthy(self) -> bool:
        """Whether to let it run. A worker that failed or was closed, or whose engine hangs, has to be started again.

        A database that is away is no reason: the worker waits for it, and a new one would, too.
        """
        if self.state in (WorkerState.FAILED, WorkerState.CLOSED):
            return False
        return self.turn_seconds is None or self.turn_seconds < STUCK_SECONDS


def health_of(
    state: WorkerState,
    now: float,
    engine: Engine | None,
    steps: TaskRunner | None,
    projector: Projector | None,
    failure: Exception | None,
) -> WorkerHealth:
    """Return the health of a worker in a state that its lifecycle says, at a time of its monotonic clock.

    `failure` is what ended its engine. The projector may have been ended by an error of its own.
    """
    error = failure or _failure_of(projector)
    if error is not None:
        state = WorkerState.FAILED
    if engine is None or steps is None:
        return WorkerHealth(state, error=None if error is None else shown(error))
    pulse, lease = engine.pulse, engine.lease
    if state is WorkerState.RUNNING and pulse.away is not None:
        state = WorkerState.DATABASE_AWAY
    elif state is WorkerState.RUNNING and pulse.succeeded_at is None:
        state = WorkerState.STARTING
    current = error or pulse.away
    ended = state in (WorkerState.FAILED, WorkerState.CLOSED)
    return WorkerHealth(
        state,
        sagas_held=engine.sagas_held,
        steps_running=len(steps),
        oldest_step_seconds=steps.oldest_seconds,
        turn_seconds=_seconds_since(pulse.turned_at, now),
        success_seconds=_seconds_since(pulse.succeeded_at, now),
        lease_seconds=_seconds_since(lease.renewed_at, now),
        lease_is_safe=not ended and lease.is_safe,
        views_lag_seconds=None if projector is None else projector.lag_seconds,
        error=shown(current) if current is not None else None if projector is None else projector.failing,
    )


def _failure_of(projector: Projector | None) -> BaseException | None:
    if projector is None or not projector.ended.done():
        return None
    return projector.ended.exception()


def _seconds_since(at: float | None, now: float) -> float | None:
    """Return how long ago it was; None if it never was."""
    return None if at is None else max(now - at, 0.0)
