"""The saga that emerges: a choreographed process's saga facts, derived from the events of its correlation id.

The facts are those of an orchestrated saga and fold by the same `evolve`; none is stored, because the events already
say it all. An event that the declaration does not allow is a finding (`ConformanceBroken`), never an error: what was
recorded, happened.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from .choreography import Choreography, Role, Stage, is_whole
from .dead_letter import DeliveryDeferred, DeliveryFailed, DeliveryReplayed, DeliverySettled
from .decision import NULL, idempotency_key
from .event import Event, event
from .facts import (
    Action,
    CompensationFailed,
    CompensationStarted,
    Direction,
    Effect,
    Failure,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from .recorded import Recorded
from .service import Abstained
from .state import Progress, SagaState, evolve

CHOREOGRAPHED = "choreographed"


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


def derive(flow: Choreography, derived: Derived, recorded: Recorded) -> tuple[Derived, tuple[Event, ...]]:
    """The process after one more of its events, and the facts that this event means."""
    reading = _Reading(flow, derived, recorded)
    reading.read()
    return reading.derived, tuple(reading.facts)


def awaited(flow: Choreography, state: SagaState) -> tuple[str, str] | None:
    """What an open process waits for: the step, or the event that ends it, and the service that owes it."""
    if state.end is not None:
        return None
    for stage in flow.stages:
        tracks = state.step(stage.name)
        waits = tracks.compensation if state.turned else tracks.forward
        if waits.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, stage.service
    ending = flow.turns if state.turned and flow.turns is not None else flow.completes
    return ending.schema.name, flow.closing


def stalls_at(flow: Choreography, state: SagaState) -> datetime | None:
    """From when on the silence of a process means that it is stalled; None if it waits for nobody."""
    if state.end is not None or state.interventions or state.updated_at is None:
        return None
    return state.updated_at + timedelta(seconds=flow.silence_seconds)


class _Reading:
    """One event, read against what came before it."""

    def __init__(self, flow: Choreography, derived: Derived, recorded: Recorded) -> None:
        self.flow = flow
        self.derived = derived
        self.recorded = recorded
        self.event = recorded.event
        self.facts: list[Event] = []

    @property
    def state(self) -> SagaState:
        return self.derived.state

    def read(self) -> None:
        meaning = self.flow.meanings.get(type(self.event))
        if meaning is None and type(self.event) not in _SERVICE_NOTES:
            self.find("is no event of this process")
        elif self.state.version == 0 and (meaning is None or meaning.role is not Role.BEGINS):
            self.begin(NULL)
            self.find(f"came before {self.flow.begins.schema.name}")
        elif meaning is None:
            _SERVICE_NOTES[type(self.event)](self, self.event)
        elif not self.is_about_this_process():
            self.find(f"is about {self.flow.key(self.event)!r}, which is another process's key")
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
        self.start_forward(self.flow.stages[0])

    def done(self, stage: Stage | None) -> None:
        assert stage is not None  # noqa: S101 -- the role belongs to a stage
        if not is_whole(self.event):
            return
        track = self.state.step(stage.name).forward
        if track.over:
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
        if track.over or track.progress is Progress.FAILED:
            self.find(f"came after {stage.name} was {'done' if track.over else 'refused'}")
            return
        if track.progress is Progress.PENDING:
            if track.attempt == 0:
                self.find(f"came before its turn: the process waited for {self.expected()}")
            self.start_forward(stage)
        self.refuse(stage, Failure(type(self.event).schema.name, str(getattr(self.event, "reason", ""))))

    def turns(self, _: Stage | None) -> None:
        if self.derived.turned_because is not None:
            self.find("came again: the process had turned back")
            return
        self.derived = replace(self.derived, turned_because=str(getattr(self.event, "reason", "turned back")))
        if self.state.past_pivot:
            self.find("came after the pivot: there is no way back")
        for stage in reversed(self.flow.stages):
            if self.state.step(stage.name).forward.over:
                self.start_back(stage)
        self.end_if_undone()

    def undone(self, stage: Stage | None) -> None:
        assert stage is not None  # noqa: S101 -- the role belongs to a stage
        if not is_whole(self.event):
            return
        tracks = self.state.step(stage.name)
        if tracks.compensation.over:
            self.find(f"came again: {stage.name} was undone")
        elif not tracks.forward.over:
            self.find(f"undoes nothing: {stage.name} was not done")
        else:
            if tracks.compensation.progress is Progress.PENDING:
                if tracks.compensation.attempt == 0:
                    self.find("came while the process went forward")
                self.start_back(stage)
            self.compensate(stage)

    def completes(self, _: Stage | None) -> None:
        left = [stage.name for stage in self.flow.stages if not self.state.step(stage.name).forward.over]
        if left:
            self.find(f"came although {left[0]} was not done")
        elif self.derived.turned_because is not None:
            self.find("came after the process had turned back")
        else:
            self.tell(SagaCompleted(self.at, NULL))

    # What services say about themselves

    def abstained(self, said: Abstained) -> None:
        stage = self.flow.stage_of(said.service)
        if stage is None or stage.name != said.step or self.state.end is not None:
            return
        tracks = self.state.step(stage.name)
        if said.direction is Direction.FORWARD and not tracks.forward.over:
            if tracks.forward.progress is Progress.PENDING:
                self.start_forward(stage)
            if self.derived.turned_because is None:
                self.succeed(stage)
            else:
                self.refuse(stage, Failure(Abstained.schema.name, said.reason))
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
            attempt = self.state.track(step, direction).attempt
            self.tell(kind(self.at, step, attempt, failed.error, Effect.NONE, not parked, failed.retry_at))
        if parked:
            step, direction = owed or (failed.service, Direction.FORWARD)
            cause = (
                f"{failed.service} could not handle event {failed.position} ({failed.topic}): {failed.error.message}"
            )
            self.tell(InterventionRequired(self.at, step, direction, cause))

    def delivery_replayed(self, replayed: DeliveryReplayed) -> None:
        for waiting in self.state.interventions:
            stage = self.flow.stage_of(replayed.service)
            if waiting.step == (stage.name if stage is not None else replayed.service):
                self.tell(
                    InterventionResolved(
                        self.at, waiting.step, waiting.direction, Action.RETRY, replayed.actor, replayed.reason
                    )
                )

    def delivery_settled(self, settled: DeliverySettled) -> None:
        if self.state.end is None:
            self.try_again(settled.service)

    def try_again(self, service: str) -> None:
        """The next attempt at the step of a service whose last one failed."""
        stage = self.flow.stage_of(service)
        if stage is None:
            return
        tracks = self.state.step(stage.name)
        for track, start in ((tracks.forward, self.start_forward), (tracks.compensation, self.start_back)):
            if track.attempt and track.progress in (Progress.RETRYING, Progress.PENDING):
                start(stage)

    # The facts

    @property
    def at(self) -> datetime:
        return self.event.at

    def begin(self, value: Raw) -> None:
        flow = self.flow
        silence = flow.silence_seconds
        self.tell(
            SagaStarted(
                self.at, flow.name, flow.version, flow.fingerprint, value, style=CHOREOGRAPHED, silence_seconds=silence
            )
        )

    def start_forward(self, stage: Stage) -> None:
        attempt = self.state.step(stage.name).forward.attempt + 1
        self.tell(StepStarted(self.at, stage.name, attempt, self.key(stage, Direction.FORWARD)))

    def start_back(self, stage: Stage) -> None:
        if stage.undone is None:
            return
        attempt = self.state.step(stage.name).compensation.attempt + 1
        self.tell(CompensationStarted(self.at, stage.name, attempt, self.key(stage, Direction.COMPENSATION)))

    def succeed(self, stage: Stage) -> None:
        """The stage is done: the next one is waited for, or this one is undone if the process has turned back."""
        attempt = self.state.step(stage.name).forward.attempt
        self.tell(StepSucceeded(self.at, stage.name, attempt, NULL, pivot=stage.pivot))
        if self.derived.turned_because is not None:
            self.start_back(stage)
            return
        following = self.flow.stages[self.flow.stages.index(stage) + 1 :]
        if following and self.state.step(following[0].name).forward.progress is Progress.PENDING:
            self.start_forward(following[0])

    def refuse(self, stage: Stage, error: Failure) -> None:
        attempt = self.state.step(stage.name).forward.attempt
        self.tell(StepFailed(self.at, stage.name, attempt, error, Effect.NONE, retryable=False))
        self.end_if_undone()

    def compensate(self, stage: Stage) -> None:
        attempt = self.state.step(stage.name).compensation.attempt
        self.tell(StepCompensated(self.at, stage.name, attempt, NULL))
        self.end_if_undone()

    def end_if_undone(self) -> None:
        cause = self.derived.turned_because
        if cause is None:
            return
        for stage in self.flow.stages:
            tracks = self.state.step(stage.name)
            if tracks.forward.progress is Progress.RUNNING:
                return
            if tracks.forward.over and stage.undone is not None and not tracks.compensation.over:
                return
        self.tell(SagaCompensated(self.at, cause))

    def find(self, problem: str) -> None:
        finding = ConformanceBroken(self.at, self.recorded.position, type(self.event).schema.name, problem)
        self.derived = replace(self.derived, findings=(*self.derived.findings, finding))
        if self.state.version == 0:
            self.begin(NULL)
        self.tell(finding)

    def tell(self, fact: Event) -> None:
        self.facts.append(fact)
        self.derived = replace(self.derived, state=evolve(self.state, fact))

    def key(self, stage: Stage, direction: Direction) -> str:
        return idempotency_key(self.state.saga_id, stage.name, direction)

    def expected(self) -> str:
        waited = awaited(self.flow, self.state)
        return waited[0] if waited is not None else "nothing"

    def is_about_this_process(self) -> bool:
        return self.flow.process_id(self.flow.key(self.event)) == self.state.saga_id

    def owed_by(self, service: str) -> tuple[str, Direction] | None:
        """The step, and the direction of it, that the service is waited for."""
        stage = self.flow.stage_of(service)
        if stage is None:
            return None
        tracks = self.state.step(stage.name)
        if tracks.compensation.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, Direction.COMPENSATION
        if tracks.forward.progress in (Progress.RUNNING, Progress.RETRYING):
            return stage.name, Direction.FORWARD
        return None


_ROLES: dict[Role, Callable[[_Reading, Stage | None], None]] = {
    Role.BEGINS: _Reading.begins,
    Role.DONE: _Reading.done,
    Role.FAILED: _Reading.failed,
    Role.UNDONE: _Reading.undone,
    Role.TURNS: _Reading.turns,
    Role.COMPLETES: _Reading.completes,
}


def _unchanged(_: _Reading, __: Any) -> None:
    """An event that waits its turn changes nothing."""


_SERVICE_NOTES: dict[type[Event], Callable[[_Reading, Any], None]] = {
    Abstained: _Reading.abstained,
    DeliveryDeferred: _unchanged,
    DeliveryFailed: _Reading.delivery_failed,
    DeliveryReplayed: _Reading.delivery_replayed,
    DeliverySettled: _Reading.delivery_settled,
}
