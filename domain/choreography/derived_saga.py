"""A choreographed process as far as its events were read: the saga's state, what was not allowed, whom it waits for."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from ..event import Event, event
from ..saga.events import SAGA_EVENTS
from ..saga.state import Progress, SagaState
from .choreography import Choreography

CHOREOGRAPHED = "choreographed"
"""The style of such a saga."""


@event("ConformanceBroken")
class ConformanceViolation(Event, frozen=True):
    """An event of the process is not one that its declaration allows there."""

    position: int
    topic: str
    problem: str


class DerivedSaga(Struct, frozen=True):
    """A process as far as its events were read."""

    state: SagaState
    findings: tuple[ConformanceViolation, ...] = ()
    abort_reason: str | None = None
    """The reason in the event that turned it back; None until then."""

    @classmethod
    def nothing(cls, process_id: str) -> DerivedSaga:
        """A process of which no event was read yet."""
        return cls(SagaState(process_id))


DERIVED_EVENTS: tuple[type[Event], ...] = (*SAGA_EVENTS, ConformanceViolation)
"""What the events of a process can mean for its saga."""


def awaited(choreography: Choreography, state: SagaState) -> tuple[str, str] | None:
    """What an open process waits for: the step, or the event that ends it, and the service that owes it."""
    if state.end is not None:
        return None
    for stage in choreography.stages:
        tracks = state.step(stage.name)
        waits = tracks.compensation if state.compensating else tracks.forward
        if waits.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, stage.service
    parked = {waiting.step for waiting in state.interventions}
    for stage in choreography.stages:
        if stage.name in parked:
            return stage.name, stage.service
    ending = choreography.turns if state.compensating and choreography.turns is not None else choreography.completes
    return ending.schema.name, choreography.closing


def stalls_at(choreography: Choreography, state: SagaState) -> datetime | None:
    """From when on the silence of a process means that it is stalled; None if it waits for nobody."""
    if state.end is not None or state.interventions or state.updated_at is None:
        return None
    return state.updated_at + timedelta(seconds=choreography.silence_seconds)
