"""Writes the events of a derived saga, as an orchestrated saga would have recorded them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw
from msgspec.structs import replace

from ..event import Event
from ..recorded_event import RecordedEvent
from ..saga.decision import idempotency_key
from ..saga.event_parts import Failure
from ..saga.events import (
    CancelRequested,
    CompensationStarted,
    Direction,
    Effect,
    SagaCompensated,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from ..saga.evolve import evolve
from ..saga.payload import NULL
from ..saga.state import SagaState
from ..saga.step_state import Progress
from .choreography import Choreography, Stage
from .derived_saga import CHOREOGRAPHED, ConformanceViolation, DerivedSaga


class SagaEventWriter:
    """The saga events that one event of a process means; each is folded into the state before the next is written."""

    def __init__(self, choreography: Choreography, derived: DerivedSaga, recorded: RecordedEvent) -> None:
        self.derived = derived
        self.events: list[Event] = []
        self._choreography = choreography
        self._recorded = recorded

    @property
    def state(self) -> SagaState:
        """The state of the saga after what was written so far."""
        return self.derived.state

    @property
    def at(self) -> datetime:
        """When the event of the process happened."""
        return self._recorded.event.at

    def begin(self, value: Raw) -> None:
        """Start the saga with this input."""
        choreography = self._choreography
        self.record(
            SagaStarted(
                self.at,
                choreography.name,
                choreography.version,
                choreography.fingerprint,
                value,
                style=CHOREOGRAPHED,
                silence_seconds=choreography.stall_timeout_seconds,
            )
        )

    def start_forward(self, stage: Stage) -> None:
        """Start the next attempt at a stage."""
        attempt = self.state.step(stage.name).forward.attempt + 1
        self.record(StepStarted(self.at, stage.name, attempt, self._key(stage, Direction.FORWARD)))

    def start_compensation(self, stage: Stage) -> None:
        """Start the next attempt to undo a stage, if the choreography declares an event that undoes it."""
        if stage.undone is None:
            return
        attempt = self.state.step(stage.name).compensation.attempt + 1
        self.record(CompensationStarted(self.at, stage.name, attempt, self._key(stage, Direction.COMPENSATION)))

    def succeed(self, stage: Stage) -> None:
        """End a stage as done; then start the next stage, or the undoing of this one if the process was aborted."""
        attempt = self.state.step(stage.name).forward.attempt
        self.record(StepSucceeded(self.at, stage.name, attempt, NULL, pivot=stage.pivot))
        if self.derived.abort_reason is not None:
            self.start_compensation(stage)
            return
        following = self._choreography.stages[self._choreography.stages.index(stage) + 1 :]
        if following and self.state.step(following[0].name).forward.progress is Progress.PENDING:
            self.start_forward(following[0])

    def fail(self, stage: Stage, error: Failure) -> None:
        """End a stage as refused, without an effect and without another attempt."""
        attempt = self.state.step(stage.name).forward.attempt
        self.record(StepFailed(self.at, stage.name, attempt, error, Effect.NONE, retryable=False))
        self.end_if_compensated()

    def compensate(self, stage: Stage) -> None:
        """End the undoing of a stage as successful."""
        attempt = self.state.step(stage.name).compensation.attempt
        self.record(StepCompensated(self.at, stage.name, attempt, NULL))
        self.end_if_compensated()

    def note_abort(self, reason: str) -> None:
        """Keep the reason of the event that aborted the process."""
        self.derived = replace(self.derived, abort_reason=reason)

    def request_cancel(self, reason: str) -> None:
        """Cancel the saga: no step failed, or a person asked for it."""
        meta = self._recorded.meta
        self.record(CancelRequested(self.at, meta.actor or meta.worker or "an unnamed actor", reason))

    def end_if_compensated(self) -> None:
        """End the saga as compensated, if the process was aborted and every stage that was done is undone."""
        cause = self.derived.abort_reason
        if cause is None or self.state.interventions:
            return
        for stage in self._choreography.stages:
            step = self.state.step(stage.name)
            if step.forward.progress in (Progress.RUNNING, Progress.RETRYING):
                return
            if step.forward.finished and stage.undone is not None and not step.compensation.finished:
                return
        self.record(SagaCompensated(self.at, cause))

    def violation(self, problem: str) -> None:
        """Record that the declaration does not allow the event of the process at this point."""
        topic = type(self._recorded.event).schema.name
        violation = ConformanceViolation(self.at, self._recorded.position, topic, problem)
        self.derived = replace(self.derived, violations=(*self.derived.violations, violation))
        if self.state.version == 0:
            self.begin(NULL)
        self.record(violation)

    def record(self, event: Event) -> None:
        """Write one event of the saga, and fold it into its state."""
        self.events.append(event)
        self.derived = replace(self.derived, state=evolve(self.state, event))

    def _key(self, stage: Stage, direction: Direction) -> str:
        return idempotency_key(self.state.saga_id, stage.name, direction)
