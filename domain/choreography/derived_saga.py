"""A choreographed process as far as its events were read: the saga's state, its violations, and what it waits for."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from ..event import Event, event
from ..saga.duration import instant_after
from ..saga.events import SAGA_EVENTS
from ..saga.state import SagaState
from ..saga.step_state import Progress
from .choreography import Choreography

CHOREOGRAPHED = "choreographed"
"""The style of a derived saga, in `SagaStarted` and in the views."""


@event("ConformanceBroken")
class ConformanceViolation(Event, frozen=True):
    """The declaration of the process does not allow one of its events at this point."""

    position: int
    """The log position of that event."""
    topic: str
    problem: str


class DerivedSaga(Struct, frozen=True):
    """A process as far as its events were read."""

    state: SagaState
    violations: tuple[ConformanceViolation, ...] = ()
    abort_reason: str | None = None
    """The reason in the event that aborted the process; None until there is one."""

    @classmethod
    def empty(cls, process_id: str) -> DerivedSaga:
        """Returns a process of which no event was read yet."""
        return cls(SagaState(process_id))


DERIVED_EVENTS: tuple[type[Event], ...] = (*SAGA_EVENTS, ConformanceViolation)
"""The saga events that the events of a process can mean."""


def awaited(choreography: Choreography, state: SagaState) -> tuple[str, str] | None:
    """Returns what an open process waits for: the step, or the event that ends it, and the service that owes it."""
    if state.end is not None:
        return None
    for stage in choreography.stages:
        step = state.step(stage.name)
        progress = step.compensation if state.compensating else step.forward
        if progress.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, stage.service
    parked = {waiting.step for waiting in state.interventions}
    for stage in choreography.stages:
        if stage.name in parked:
            return stage.name, stage.service
    abort_event = choreography.abort_event if state.compensating else None
    ending = abort_event or choreography.completes
    return ending.schema.name, choreography.ending_service


def stalls_at(choreography: Choreography, state: SagaState) -> datetime | None:
    """Returns when a process counts as stalled unless an event comes; None if it has ended or needs a person."""
    if state.end is not None or state.interventions or state.updated_at is None:
        return None
    return instant_after(state.updated_at, choreography.stall_timeout_seconds)
