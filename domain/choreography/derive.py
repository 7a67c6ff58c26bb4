"""Derives the saga of a choreographed process from the events with its correlation id.

The derived events are those of an orchestrated saga and fold with the same `evolve`. None of them is stored, because
the events of the process already contain all of it. An event that the declaration does not allow becomes a
`ConformanceViolation` and never an error: a recorded event has happened.

The texts of violations and causes are in views, which are folded from the log again at any time: rewording one makes
views that were folded before drift.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from ..event import Event
from ..recorded_event import RecordedEvent
from ..saga.event_parts import Failure
from ..saga.events import (
    Action,
    CompensationFailed,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    SagaCompleted,
    StepFailed,
)
from ..saga.payload import NULL
from ..saga.state import SagaState
from ..saga.step_state import Progress
from .choreography import Choreography, EventRole, Stage, is_whole
from .dead_letter import DeliveryDeferred, DeliveryFailed, DeliveryReplayed, DeliverySettled
from .derived_saga import DerivedSaga, awaited
from .saga_events import SagaEventWriter
from .service import StepSkipped


def derive(
    choreography: Choreography, derived: DerivedSaga, recorded: RecordedEvent
) -> tuple[DerivedSaga, tuple[Event, ...]]:
    """Returns the process after one more of its events, and the saga events that this event means."""
    writer = SagaEventWriter(choreography, derived, recorded)
    _EventReader(choreography, recorded, writer).read()
    return writer.derived, tuple(writer.events)


class _EventReader:
    """Reads one event of a process against the events before it, and writes what it means for the saga."""

    def __init__(self, choreography: Choreography, recorded: RecordedEvent, writer: SagaEventWriter) -> None:
        self._choreography = choreography
        self._recorded = recorded
        self._event = recorded.event
        self._writer = writer

    @property
    def _state(self) -> SagaState:
        return self._writer.state

    def read(self) -> None:
        """Write the saga events, or the violation, that the event means."""
        writer = self._writer
        meaning = self._choreography.meanings.get(type(self._event))
        if meaning is None and type(self._event) not in _ABOUT_SERVICES:
            writer.violation("is no event of this process")
        elif self._state.version == 0 and (meaning is None or meaning.role is not EventRole.BEGINS):
            writer.begin(NULL)
            writer.violation(f"came before {self._choreography.begins.schema.name}")
        elif meaning is None:
            _ABOUT_SERVICES[type(self._event)](self, self._event)
        elif not self._is_about_this_process():
            key = self._choreography.key(self._event)
            writer.violation(f"is about {key!r}, which is another process's key")
        elif self._state.end is not None:
            writer.violation(f"came after the process had ended as {self._state.end}")
        elif meaning.stage is not None:
            _STAGE_ROLES[meaning.role](self, meaning.stage)
        else:
            _PROCESS_ROLES[meaning.role](self)

    # Events about the whole process

    def _begins(self) -> None:
        if self._state.version:
            self._writer.violation("came again: the process had begun")
            return
        self._writer.begin(Raw(msgspec.json.encode(self._event)))
        self._writer.start_forward(self._choreography.stages[0])

    def _aborts(self) -> None:
        writer = self._writer
        if writer.derived.abort_reason is not None:
            writer.violation("came again: the process had turned back")
            return
        reason = str(getattr(self._event, "reason", "turned back"))
        writer.note_abort(reason)
        if self._state.past_pivot:
            writer.violation("came after the pivot: there is no way back")
        elif self._recorded.meta.actor is not None or not self._state.compensating:
            writer.request_cancel(reason)
        for stage in reversed(self._choreography.stages):
            if self._state.step(stage.name).forward.finished:
                writer.start_compensation(stage)
        writer.end_if_compensated()

    def _completes(self) -> None:
        left = [stage.name for stage in self._choreography.stages if not self._state.step(stage.name).forward.finished]
        if left:
            self._writer.violation(f"came although {left[0]} was not done")
        elif self._writer.derived.abort_reason is not None:
            self._writer.violation("came after the process had turned back")
        else:
            self._writer.record(SagaCompleted(self._writer.at, NULL))

    # Events about one stage

    def _done(self, stage: Stage) -> None:
        if not is_whole(self._event):
            return
        forward = self._state.step(stage.name).forward
        if forward.finished:
            self._writer.violation(f"came again: {stage.name} was done")
            return
        self._start_if_pending(stage)
        self._writer.succeed(stage)

    def _failed(self, stage: Stage) -> None:
        forward = self._state.step(stage.name).forward
        if forward.finished or forward.progress is Progress.FAILED:
            self._writer.violation(f"came after {stage.name} was {'done' if forward.finished else 'refused'}")
            return
        self._start_if_pending(stage)
        reason = str(getattr(self._event, "reason", ""))
        self._writer.fail(stage, Failure(type(self._event).schema.name, reason))

    def _undone(self, stage: Stage) -> None:
        if not is_whole(self._event):
            return
        step = self._state.step(stage.name)
        if step.compensation.finished:
            self._writer.violation(f"came again: {stage.name} was undone")
        elif not step.forward.finished:
            self._writer.violation(f"undoes nothing: {stage.name} was not done")
        else:
            if step.compensation.progress is Progress.PENDING:
                if step.compensation.attempt == 0:
                    self._writer.violation("came while the process went forward")
                self._writer.start_compensation(stage)
            self._writer.compensate(stage)

    def _start_if_pending(self, stage: Stage) -> None:
        """Start a stage whose service acted although the process was not waiting for it."""
        forward = self._state.step(stage.name).forward
        if forward.progress is not Progress.PENDING:
            return
        if forward.attempt == 0:
            waited = awaited(self._choreography, self._state)
            expected = waited[0] if waited is not None else "nothing"
            self._writer.violation(f"came before its turn: the process waited for {expected}")
        self._writer.start_forward(stage)

    # Events about the services themselves

    def _step_skipped(self, skipped: StepSkipped) -> None:
        """Count the stage as done, as refused if the process was aborted before, or as undone."""
        stage = self._choreography.stage_of(skipped.service)
        if stage is None or stage.name != skipped.step or self._state.end is not None:
            return
        step = self._state.step(stage.name)
        aborted = self._writer.derived.abort_reason is not None
        if skipped.direction is Direction.FORWARD and not step.forward.finished:
            if step.forward.progress is Progress.PENDING:
                if aborted and not step.forward.attempt:
                    return
                self._writer.start_forward(stage)
            if not aborted:
                self._writer.succeed(stage)
            else:
                self._writer.fail(stage, Failure(StepSkipped.schema.name, skipped.reason))
        elif skipped.direction is Direction.COMPENSATION and step.compensation.progress is Progress.RUNNING:
            self._writer.compensate(stage)

    def _delivery_failed(self, failed: DeliveryFailed) -> None:
        """Fail the attempt at the step that the service owes; a parked event makes the saga need a person."""
        if self._state.end is not None:
            return
        self._retry(failed.service)
        owed = self._owed_by(failed.service)
        parked = failed.retry_at is None
        at = self._writer.at
        if owed is not None:
            step, direction = owed
            kind = StepFailed if direction is Direction.FORWARD else CompensationFailed
            attempt = self._state.progress_of(step, direction).attempt
            retryable = not parked or failed.attempt > 1
            self._writer.record(kind(at, step, attempt, failed.error, Effect.NONE, retryable, failed.retry_at))
        if parked:
            step, direction = owed or (failed.service, Direction.FORWARD)
            cause = (
                f"{failed.service} could not handle event {failed.position} ({failed.topic}): {failed.error.message}"
            )
            self._writer.record(InterventionRequired(at, step, direction, cause))

    def _delivery_replayed(self, replayed: DeliveryReplayed) -> None:
        stage = self._choreography.stage_of(replayed.service)
        step = stage.name if stage is not None else replayed.service
        for waiting in self._state.interventions:
            if waiting.step == step:
                self._writer.record(
                    InterventionResolved(
                        self._writer.at, step, waiting.direction, Action.RETRY, replayed.actor, replayed.reason
                    )
                )

    def _delivery_deferred(self, _: DeliveryDeferred) -> None:
        """Do nothing: an event that waits for an earlier one does not change the saga."""

    def _delivery_settled(self, settled: DeliverySettled) -> None:
        if self._state.end is None:
            self._retry(settled.service)
            self._writer.end_if_compensated()

    def _retry(self, service: str) -> None:
        """Start the next attempt at the stage of a service whose last attempt failed."""
        stage = self._choreography.stage_of(service)
        if stage is None:
            return
        step = self._state.step(stage.name)
        for progress, start in (
            (step.forward, self._writer.start_forward),
            (step.compensation, self._writer.start_compensation),
        ):
            if progress.attempt and progress.progress in (Progress.RETRYING, Progress.PENDING):
                start(stage)

    def _is_about_this_process(self) -> bool:
        return self._choreography.process_id(self._choreography.key(self._event)) == self._state.saga_id

    def _owed_by(self, service: str) -> tuple[str, Direction] | None:
        """Returns the step, and its direction, that the process waits for the service to make."""
        stage = self._choreography.stage_of(service)
        if stage is None:
            return None
        step = self._state.step(stage.name)
        if step.compensation.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, Direction.COMPENSATION
        if step.forward.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, Direction.FORWARD
        return None


_PROCESS_ROLES: dict[EventRole, Callable[[_EventReader], None]] = {
    EventRole.BEGINS: _EventReader._begins,
    EventRole.ABORTS: _EventReader._aborts,
    EventRole.COMPLETES: _EventReader._completes,
}
_STAGE_ROLES: dict[EventRole, Callable[[_EventReader, Stage], None]] = {
    EventRole.DONE: _EventReader._done,
    EventRole.FAILED: _EventReader._failed,
    EventRole.UNDONE: _EventReader._undone,
}
_ABOUT_SERVICES: dict[type[Event], Callable[[_EventReader, Any], None]] = {
    StepSkipped: _EventReader._step_skipped,
    DeliveryDeferred: _EventReader._delivery_deferred,
    DeliveryFailed: _EventReader._delivery_failed,
    DeliveryReplayed: _EventReader._delivery_replayed,
    DeliverySettled: _EventReader._delivery_settled,
}
