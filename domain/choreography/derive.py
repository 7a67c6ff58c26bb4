"""The saga that emerges: a choreographed process's saga facts, derived from the events of its correlation id.

The facts are those of an orchestrated saga and fold by the same `evolve`; none is stored, because the events already
say it all. An event that the declaration does not allow is a finding (`ConformanceViolation`), never an error: what was
recorded, happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..event import Event
from ..recorded_event import RecordedEvent
from ..saga.decide import NULL
from ..saga.events import (
    Action,
    CompensationFailed,
    Direction,
    Effect,
    Failure,
    InterventionRequired,
    InterventionResolved,
    SagaCompleted,
    StepFailed,
)
from ..saga.state import Progress
from .choreography import Choreography, EventRole, Stage, is_whole
from .dead_letter import DeliveryDeferred, DeliveryFailed, DeliveryReplayed, DeliverySettled
from .derived_saga import DerivedSaga, awaited
from .saga_events import SagaEventWriter
from .service import StepSkipped


def derive(
    choreography: Choreography, derived: DerivedSaga, recorded: RecordedEvent
) -> tuple[DerivedSaga, tuple[Event, ...]]:
    """The process after one more of its events, and the facts that this event means."""
    reading = _Reading(choreography, derived, recorded)
    reading.read()
    return reading.derived, tuple(reading.facts)


class _Reading(SagaEventWriter):
    """One event, read against what came before it."""

    def read(self) -> None:
        meaning = self.choreography.meanings.get(type(self.event))
        if meaning is None and type(self.event) not in _SERVICE_NOTES:
            self.find("is no event of this process")
        elif self.state.version == 0 and (meaning is None or meaning.role is not EventRole.BEGINS):
            self.begin(NULL)
            self.find(f"came before {self.choreography.begins.schema.name}")
        elif meaning is None:
            _SERVICE_NOTES[type(self.event)](self, self.event)
        elif not self.is_about_this_process():
            self.find(f"is about {self.choreography.key(self.event)!r}, which is another process's key")
        elif self.state.end is not None:
            self.find(f"came after the process had ended as {self.state.end}")
        else:
            _ROLES[meaning.role](self, meaning.stage)

    # What an event may mean

    def begins(self, _: Stage | None) -> None:
        if self.state.version:
            self.find("came again: the process had begun")
            return
        self.begin(Raw(msgspec.json.encode(self.event)))
        self.start_forward(self.choreography.stages[0])

    def done(self, stage: Stage | None) -> None:
        assert stage is not None  # noqa: S101 -- the role belongs to a stage
        if not is_whole(self.event):
            return
        track = self.state.step(stage.name).forward
        if track.finished:
            self.find(f"came again: {stage.name} was done")
            return
        if track.progress is Progress.PENDING:
            if track.attempt == 0:
                self.find(f"came before its turn: the process waited for {self.expected()}")
            self.start_forward(stage)
        self.succeed(stage)

    def failed(self, stage: Stage | None) -> None:
        assert stage is not None  # noqa: S101 -- the role belongs to a stage
        track = self.state.step(stage.name).forward
        if track.finished or track.progress is Progress.FAILED:
            self.find(f"came after {stage.name} was {'done' if track.finished else 'refused'}")
            return
        if track.progress is Progress.PENDING:
            if track.attempt == 0:
                self.find(f"came before its turn: the process waited for {self.expected()}")
            self.start_forward(stage)
        self.refuse(stage, Failure(type(self.event).schema.name, str(getattr(self.event, "reason", ""))))

    def turns(self, _: Stage | None) -> None:
        if self.derived.abort_reason is not None:
            self.find("came again: the process had turned back")
            return
        reason = str(getattr(self.event, "reason", "turned back"))
        self.derived = replace(self.derived, abort_reason=reason)
        if self.state.past_pivot:
            self.find("came after the pivot: there is no way back")
        elif self.recorded.meta.actor is not None or not self.state.compensating:
            self.cancel(reason)
        for stage in reversed(self.choreography.stages):
            if self.state.step(stage.name).forward.finished:
                self.start_back(stage)
        self.end_if_undone()

    def undone(self, stage: Stage | None) -> None:
        assert stage is not None  # noqa: S101 -- the role belongs to a stage
        if not is_whole(self.event):
            return
        tracks = self.state.step(stage.name)
        if tracks.compensation.finished:
            self.find(f"came again: {stage.name} was undone")
        elif not tracks.forward.finished:
            self.find(f"undoes nothing: {stage.name} was not done")
        else:
            if tracks.compensation.progress is Progress.PENDING:
                if tracks.compensation.attempt == 0:
                    self.find("came while the process went forward")
                self.start_back(stage)
            self.compensate(stage)

    def completes(self, _: Stage | None) -> None:
        left = [stage.name for stage in self.choreography.stages if not self.state.step(stage.name).forward.finished]
        if left:
            self.find(f"came although {left[0]} was not done")
        elif self.derived.abort_reason is not None:
            self.find("came after the process had turned back")
        else:
            self.tell(SagaCompleted(self.at, NULL))

    # What services say about themselves

    def abstained(self, said: StepSkipped) -> None:
        stage = self.choreography.stage_of(said.service)
        if stage is None or stage.name != said.step or self.state.end is not None:
            return
        tracks = self.state.step(stage.name)
        compensating = self.derived.abort_reason is not None
        if said.direction is Direction.FORWARD and not tracks.forward.finished:
            if tracks.forward.progress is Progress.PENDING:
                if compensating and not tracks.forward.attempt:
                    return
                self.start_forward(stage)
            if not compensating:
                self.succeed(stage)
            else:
                self.refuse(stage, Failure(StepSkipped.schema.name, said.reason))
        elif said.direction is Direction.COMPENSATION and tracks.compensation.progress is Progress.RUNNING:
            self.compensate(stage)

    def delivery_failed(self, failed: DeliveryFailed) -> None:
        """A reaction failed: an attempt at the step that its service owes, which is to be made again."""
        if self.state.end is not None:
            return
        self.try_again(failed.service)
        owed = self.owed_by(failed.service)
        parked = failed.retry_at is None
        if owed is not None:
            step, direction = owed
            kind = StepFailed if direction is Direction.FORWARD else CompensationFailed
            attempt = self.state.progress_of(step, direction).attempt
            retryable = not parked or failed.attempt > 1
            self.tell(kind(self.at, step, attempt, failed.error, Effect.NONE, retryable, failed.retry_at))
        if parked:
            step, direction = owed or (failed.service, Direction.FORWARD)
            cause = (
                f"{failed.service} could not handle event {failed.position} ({failed.topic}): {failed.error.message}"
            )
            self.tell(InterventionRequired(self.at, step, direction, cause))

    def delivery_replayed(self, replayed: DeliveryReplayed) -> None:
        for waiting in self.state.interventions:
            stage = self.choreography.stage_of(replayed.service)
            if waiting.step == (stage.name if stage is not None else replayed.service):
                self.tell(
                    InterventionResolved(
                        self.at, waiting.step, waiting.direction, Action.RETRY, replayed.actor, replayed.reason
                    )
                )

    def delivery_settled(self, settled: DeliverySettled) -> None:
        if self.state.end is None:
            self.try_again(settled.service)
            self.end_if_undone()

    def try_again(self, service: str) -> None:
        """The next attempt at the step of a service whose last one failed."""
        stage = self.choreography.stage_of(service)
        if stage is None:
            return
        tracks = self.state.step(stage.name)
        for track, start in ((tracks.forward, self.start_forward), (tracks.compensation, self.start_back)):
            if track.attempt and track.progress in (Progress.RETRYING, Progress.PENDING):
                start(stage)

    # What it is read against

    def expected(self) -> str:
        waited = awaited(self.choreography, self.state)
        return waited[0] if waited is not None else "nothing"

    def is_about_this_process(self) -> bool:
        return self.choreography.process_id(self.choreography.key(self.event)) == self.state.saga_id

    def owed_by(self, service: str) -> tuple[str, Direction] | None:
        """The step, and the direction of it, that the service is waited for."""
        stage = self.choreography.stage_of(service)
        if stage is None:
            return None
        tracks = self.state.step(stage.name)
        if tracks.compensation.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, Direction.COMPENSATION
        if tracks.forward.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, Direction.FORWARD
        return None


_ROLES: dict[EventRole, Callable[[_Reading, Stage | None], None]] = {
    EventRole.BEGINS: _Reading.begins,
    EventRole.DONE: _Reading.done,
    EventRole.FAILED: _Reading.failed,
    EventRole.UNDONE: _Reading.undone,
    EventRole.TURNS: _Reading.turns,
    EventRole.COMPLETES: _Reading.completes,
}


def _unchanged(_: _Reading, __: Any) -> None:
    """An event that waits its turn changes nothing."""


_SERVICE_NOTES: dict[type[Event], Callable[[_Reading, Any], None]] = {
    StepSkipped: _Reading.abstained,
    DeliveryDeferred: _unchanged,
    DeliveryFailed: _Reading.delivery_failed,
    DeliveryReplayed: _Reading.delivery_replayed,
    DeliverySettled: _Reading.delivery_settled,
}
