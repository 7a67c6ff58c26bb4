"""Telling: the facts of the saga that emerges from a process, as an orchestrated saga would have recorded them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw
from msgspec.structs import replace

from ..event import Event
from ..recorded_event import RecordedEvent
from ..saga.decide import NULL, idempotency_key
from ..saga.events import (
    CancelRequested,
    CompensationStarted,
    Direction,
    Effect,
    Failure,
    SagaCompensated,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from ..saga.evolve import evolve
from ..saga.state import Progress, SagaState
from .choreography import Choreography, Stage
from .derived_saga import CHOREOGRAPHED, ConformanceViolation, DerivedSaga


class SagaEventWriter:
    """The facts that one event means, each told on top of those before it."""

    def __init__(self, choreography: Choreography, derived: DerivedSaga, recorded: RecordedEvent) -> None:
        self.choreography = choreography
        self.derived = derived
        self.recorded = recorded
        self.event = recorded.event
        self.facts: list[Event] = []

    @property
    def state(self) -> SagaState:
        return self.derived.state

    @property
    def at(self) -> datetime:
        return self.event.at

    def begin(self, value: Raw) -> None:
        choreography = self.choreography
        silence = choreography.silence_seconds
        self.tell(
            SagaStarted(
                self.at,
                choreography.name,
                choreography.version,
                choreography.fingerprint,
                value,
                style=CHOREOGRAPHED,
                silence_seconds=silence,
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
        if self.derived.abort_reason is not None:
            self.start_back(stage)
            return
        following = self.choreography.stages[self.choreography.stages.index(stage) + 1 :]
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

    def cancel(self, reason: str) -> None:
        """It turns back although no step failed, or because a person says so."""
        meta = self.recorded.meta
        self.tell(CancelRequested(self.at, meta.actor or meta.worker or "an unnamed actor", reason))

    def end_if_undone(self) -> None:
        cause = self.derived.abort_reason
        if cause is None or self.state.interventions:
            return
        for stage in self.choreography.stages:
            tracks = self.state.step(stage.name)
            if tracks.forward.progress in (Progress.RUNNING, Progress.RETRYING):
                return
            if tracks.forward.finished and stage.undone is not None and not tracks.compensation.finished:
                return
        self.tell(SagaCompensated(self.at, cause))

    def find(self, problem: str) -> None:
        finding = ConformanceViolation(self.at, self.recorded.position, type(self.event).schema.name, problem)
        self.derived = replace(self.derived, findings=(*self.derived.findings, finding))
        if self.state.version == 0:
            self.begin(NULL)
        self.tell(finding)

    def tell(self, fact: Event) -> None:
        self.facts.append(fact)
        self.derived = replace(self.derived, state=evolve(self.state, fact))

    def key(self, stage: Stage, direction: Direction) -> str:
        return idempotency_key(self.state.saga_id, stage.name, direction)
