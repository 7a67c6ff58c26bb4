"""A saga's state: the fold of its facts.

`evolve` takes any fact in any state and never raises: what was recorded, happened. What a user put in is carried
along unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from .event import Event
from .facts import (
    COMPENSATION,
    FORWARD,
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    Effect,
    Failure,
    InterventionRequired,
    InterventionResolved,
    Parent,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
    Wait,
)


class Status(StrEnum):
    """Where a saga stands."""

    RUNNING = "running"
    WAITING = "waiting"
    COMPENSATING = "compensating"
    COMPLETED = "completed"
    COMPENSATED = "compensated"
    NEEDS_INTERVENTION = "needs_intervention"
    ABANDONED = "abandoned"


class Progress(StrEnum):
    """How far one direction of one step has come."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    """It waits for a timer, a signal or another saga."""
    RETRYING = "retrying"
    """An attempt failed, and another is scheduled."""
    FAILED = "failed"
    """An attempt failed, and no other will follow by itself."""
    DONE = "done"
    SKIPPED = "skipped"
    """A person decided to go on without it."""


PENDING: Final = Progress.PENDING
RUNNING: Final = Progress.RUNNING
WAITING: Final = Progress.WAITING
RETRYING: Final = Progress.RETRYING
FAILED: Final = Progress.FAILED
DONE: Final = Progress.DONE
SKIPPED: Final = Progress.SKIPPED


class Track(Struct, frozen=True, gc=False):
    """One direction of one step: its action, or its compensation."""

    progress: Progress = PENDING
    attempt: int = 0
    failures: int = 0
    """Failed attempts since it began, or since a person said to retry."""
    unknowns: int = 0
    """Attempts since then whose worker died."""
    possibly_executed: bool = False
    """Some attempt may have had its effect without being recorded as a success."""
    retry_at: datetime | None = None
    wait: Wait | None = None
    result: Raw | None = None
    error: Failure | None = None

    @property
    def over(self) -> bool:
        """It happened, or a person decided to go on without it."""
        return self.progress is DONE or self.progress is SKIPPED


class Signal(Struct, frozen=True, gc=False):
    """What someone told the saga."""

    payload: Raw
    refused: bool


class StepState(Struct, frozen=True, gc=False):
    """A step's action and its compensation."""

    forward: Track = Track()
    compensation: Track = Track()


class Intervention(Struct, frozen=True, gc=False):
    """A step that waits for a person."""

    step: str
    direction: Direction
    cause: str


UNTOUCHED = StepState()


class SagaState(Struct, frozen=True, gc=False):
    """Everything that is known of a saga, from its facts alone."""

    saga_id: str
    version: int = 0
    """How many facts it is the fold of."""
    definition: str = ""
    definition_version: int = 0
    fingerprint: str = ""
    input: Raw = Raw(b"null")
    started_at: datetime | None = None
    updated_at: datetime | None = None
    ended_at: datetime | None = None
    deadline: datetime | None = None
    begins_at: datetime | None = None
    parent: Parent | None = None
    style: str = "orchestrated"
    deadline_exceeded: bool = False
    cancelled: bool = False
    past_pivot: bool = False
    steps: Mapping[str, StepState] = {}
    interventions: tuple[Intervention, ...] = ()
    signals: Mapping[str, Signal] = {}
    end: Status | None = None
    result: Raw | None = None
    cause: str | None = None

    def step(self, name: str) -> StepState:
        """A step's state; untouched if nothing happened to it yet."""
        return self.steps.get(name, UNTOUCHED)

    def track(self, name: str, direction: Direction) -> Track:
        """One direction of a step."""
        step = self.step(name)
        return step.forward if direction is FORWARD else step.compensation

    @property
    def scheduled(self) -> bool:
        """Whether it was started for later, and has not begun."""
        return self.begins_at is not None and not self.steps

    @property
    def turned(self) -> bool:
        """Whether it goes back: cancelled, out of time, or with a step given up, and not past its pivot."""
        if self.past_pivot:
            return False
        if self.cancelled or self.deadline_exceeded:
            return True
        for step in self.steps.values():
            if step.forward.progress is FAILED or step.compensation.progress is not PENDING:
                return True
        return False

    @property
    def in_flight(self) -> tuple[tuple[str, Direction], ...]:
        """The attempts that were started and have no outcome yet."""
        attempts: list[tuple[str, Direction]] = []
        for name, step in self.steps.items():
            if step.forward.progress is RUNNING:
                attempts.append((name, FORWARD))
            if step.compensation.progress is RUNNING:
                attempts.append((name, COMPENSATION))
        return tuple(attempts)

    @property
    def status(self) -> Status:
        """Where it stands, as the `sagas` view shows it."""
        if self.end is not None:
            return self.end
        if self.interventions:
            return Status.NEEDS_INTERVENTION
        if self.turned:
            return Status.COMPENSATING
        if self.scheduled:
            return Status.WAITING
        progress = {step.forward.progress for step in self.steps.values()}
        if RUNNING not in progress and (RETRYING in progress or WAITING in progress):
            return Status.WAITING
        return Status.RUNNING


def rebuild(saga_id: str, events: Iterable[Event]) -> SagaState:
    """The state that a saga's facts add up to."""
    return fold_all(SagaState(saga_id), events)


def fold_all(state: SagaState, facts: Iterable[Event]) -> SagaState:
    """The state after several more facts."""
    for fact in facts:
        state = evolve(state, fact)
    return state


def evolve(state: SagaState, event: Event) -> SagaState:
    """The state after one more fact. A fact of another kind counts, and changes nothing else."""
    fold = _FOLDS.get(type(event))
    return _next(state, event) if fold is None else fold(state, event)


def _next(state: SagaState, fact: Event, **changes: Any) -> SagaState:
    return replace(state, version=state.version + 1, updated_at=fact.at, **changes)


def _with(state: SagaState, fact: Event, name: str, direction: Direction, track: Track) -> SagaState:
    """The next state, with one direction of one step changed: most facts do no more, so this is spelt out."""
    step = state.steps.get(name, UNTOUCHED)
    step = StepState(track, step.compensation) if direction is FORWARD else StepState(step.forward, track)
    return replace(state, version=state.version + 1, updated_at=fact.at, steps={**state.steps, name: step})


def _started(state: SagaState, fact: SagaStarted) -> SagaState:
    return _next(
        state,
        fact,
        definition=fact.definition,
        definition_version=fact.definition_version,
        fingerprint=fact.fingerprint,
        input=fact.input,
        started_at=fact.at,
        deadline=fact.deadline,
        begins_at=fact.begins_at,
        parent=fact.parent,
        style=fact.style,
    )


def _step_started(state: SagaState, fact: StepStarted) -> SagaState:
    progress = RUNNING if fact.wait is None else WAITING
    track = state.steps.get(fact.step, UNTOUCHED).forward
    track = replace(track, progress=progress, attempt=fact.attempt, retry_at=None, wait=fact.wait)
    return _with(state, fact, fact.step, FORWARD, track)


def _compensation_started(state: SagaState, fact: CompensationStarted) -> SagaState:
    track = state.steps.get(fact.step, UNTOUCHED).compensation
    track = replace(track, progress=RUNNING, attempt=fact.attempt, retry_at=None)
    return _with(state, fact, fact.step, COMPENSATION, track)


def _succeeded(state: SagaState, fact: StepSucceeded) -> SagaState:
    track = state.steps.get(fact.step, UNTOUCHED).forward
    track = replace(track, progress=DONE, result=fact.result, error=None)
    done = _with(state, fact, fact.step, FORWARD, track)
    return replace(done, past_pivot=True) if fact.pivot else done


def _compensated(state: SagaState, fact: StepCompensated) -> SagaState:
    track = state.steps.get(fact.step, UNTOUCHED).compensation
    track = replace(track, progress=DONE, result=fact.result, error=None)
    return _with(state, fact, fact.step, COMPENSATION, track)


def _failed(state: SagaState, fact: StepFailed | CompensationFailed) -> SagaState:
    direction = FORWARD if type(fact) is StepFailed else COMPENSATION
    track = state.track(fact.step, direction)
    track = replace(
        track,
        progress=FAILED if fact.retry_at is None else RETRYING,
        failures=track.failures + 1,
        possibly_executed=track.possibly_executed or fact.effect is Effect.UNKNOWN,
        retry_at=fact.retry_at,
        error=fact.error,
    )
    return _with(state, fact, fact.step, direction, track)


def _outcome_unknown(state: SagaState, fact: StepOutcomeUnknown) -> SagaState:
    track = state.track(fact.step, fact.direction)
    track = replace(
        track,
        progress=FAILED if fact.retry_at is None else RETRYING,
        unknowns=track.unknowns + 1,
        possibly_executed=True,
        retry_at=fact.retry_at,
    )
    return _with(state, fact, fact.step, fact.direction, track)


def _signalled(state: SagaState, fact: SignalReceived) -> SagaState:
    return _next(state, fact, signals={**state.signals, fact.name: Signal(fact.payload, fact.refused)})


def _intervention_required(state: SagaState, fact: InterventionRequired) -> SagaState:
    required = Intervention(fact.step, fact.direction, fact.cause)
    return _next(state, fact, interventions=(*state.interventions, required))


def _intervention_resolved(state: SagaState, fact: InterventionResolved) -> SagaState:
    track = state.track(fact.step, fact.direction)
    match fact.action:
        case Action.ABANDON:
            return _next(state, fact, interventions=(), end=Status.ABANDONED, ended_at=fact.at, cause=fact.reason)
        case Action.RETRY:
            track = replace(track, progress=PENDING, failures=0, unknowns=0, retry_at=None)
        case Action.RESOLVE:
            track = replace(track, progress=DONE, result=fact.result)
        case Action.SKIP:
            track = replace(track, progress=SKIPPED)
    rest = tuple(i for i in state.interventions if (i.step, i.direction) != (fact.step, fact.direction))
    resolved = _with(state, fact, fact.step, fact.direction, track)
    return replace(resolved, interventions=rest, past_pivot=state.past_pivot or fact.pivot)


def _completed(state: SagaState, fact: SagaCompleted) -> SagaState:
    return _next(state, fact, end=Status.COMPLETED, ended_at=fact.at, result=fact.result)


def _turned_back(state: SagaState, fact: SagaCompensated) -> SagaState:
    return _next(state, fact, end=Status.COMPENSATED, ended_at=fact.at, cause=fact.cause)


_FOLDS: dict[type[Event], Callable[[SagaState, Any], SagaState]] = {
    SagaStarted: _started,
    StepStarted: _step_started,
    CompensationStarted: _compensation_started,
    StepSucceeded: _succeeded,
    StepCompensated: _compensated,
    StepFailed: _failed,
    CompensationFailed: _failed,
    StepOutcomeUnknown: _outcome_unknown,
    SignalReceived: _signalled,
    DeadlineExceeded: lambda state, fact: _next(state, fact, deadline_exceeded=True),
    CancelRequested: lambda state, fact: _next(state, fact, cancelled=True),
    InterventionRequired: _intervention_required,
    InterventionResolved: _intervention_resolved,
    SagaCompleted: _completed,
    SagaCompensated: _turned_back,
}
