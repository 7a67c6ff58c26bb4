"""A choreographed process as far as its events were read: the saga's state, what was not allowed, whom it waits for."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from ..event import Event, event
from ..saga.events import SAGA_FACTS
from ..saga.state import Progress, SagaState
from .choreography import Choreography

CHOREOGRAPHED = "choreographed"
"""The style of such a saga."""


@event("ConformanceBroken")
class ConformanceBroken(Event, frozen=True):
    """An event of the process is not one that its declaration allows there."""

    position: int
    topic: str
    problem: str


class Derived(Struct, frozen=True):
    """A process as far as its events were read."""

    state: SagaState
    findings: tuple[ConformanceBroken, ...] = ()
    turned_because: str | None = None
    """The reason in the event that turned it back; None until then."""

    @classmethod
    def nothing(cls, process_id: str) -> Derived:
        """A process of which no event was read yet."""
        return cls(SagaState(process_id))


DERIVED_FACTS: tuple[type[Event], ...] = (*SAGA_FACTS, ConformanceBroken)
"""What the events of a process can mean for its saga."""


def awaited(flow: Choreography, state: SagaState) -> tuple[str, str] | None:
    """What an open process waits for: the step, or the event that ends it, and the service that owes it."""
    if state.end is not None:
        return None
    for stage in flow.stages:
        tracks = state.step(stage.name)
        waits = tracks.compensation if state.turned else tracks.forward
        if waits.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, stage.service
    parked = {waiting.step for waiting in state.interventions}
    for stage in flow.stages:
        if stage.name in parked:
            return stage.name, stage.service
    ending = flow.turns if state.turned and flow.turns is not None else flow.completes
    return ending.schema.name, flow.closing


def stalls_at(flow: Choreography, state: SagaState) -> datetime | None:
    """From when on the silence of a process means that it is stalled; None if it waits for nobody."""
    if state.end is not None or state.interventions or state.updated_at is None:
        return None
    return state.updated_at + timedelta(seconds=flow.silence_seconds)
