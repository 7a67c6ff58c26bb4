"""How a saga's state follows from its facts: `evolve`, and `rebuild` for all of them.

It takes any fact in any state and never raises: what was recorded, happened. What a user put in is carried along
unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from ..event import Event
from .events import (
    FORWARD,
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    Effect,
    InterventionRequired,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
)
from .state import (
    DONE,
    FAILED,
    PENDING,
    RETRYING,
    RUNNING,
    SKIPPED,
    UNTOUCHED,
    WAITING,
    Intervention,
    SagaState,
    Signal,
    Status,
    StepProgress,
    StepState,
)


def rebuild(saga_id: str, events: Iterable[Event]) -> SagaState:
    """The state that a saga's facts add up to."""
    return fold_all(SagaState(saga_id), events)


def evolve(state: SagaState, event: Event) -> SagaState:
    """The state after one more fact. A fact of another kind counts, and changes nothing else."""
    fact: Any = event
    about_step = _OF_STEPS.get(type(fact))
    if about_step is None or (type(fact) is StepSucceeded and fact.pivot):
        return _take_in(state, fact)
    steps = {**state.steps}
    about_step(steps, fact)
    return replace(state, version=state.version + 1, updated_at=fact.at, steps=steps)


def fold_all(state: SagaState, facts: Iterable[Event]) -> SagaState:
    """The state after several more facts. A run of facts about steps, as most are, makes one new state."""
    run = 0
    at = state.updated_at
    steps: dict[str, StepState] = {}
    fact: Any
    for fact in facts:
        about_step = _OF_STEPS.get(type(fact))
        if about_step is None or (type(fact) is StepSucceeded and fact.pivot):
            if run:
                state = replace(state, version=state.version + run, updated_at=at, steps=steps)
                run = 0
            state = _take_in(state, fact)
            continue
        if not run:
            steps = {**state.steps}
        about_step(steps, fact)
        run += 1
        at = fact.at
    return replace(state, version=state.version + run, updated_at=at, steps=steps) if run else state


# Facts about one direction of one step, taken into the steps

Steps = dict[str, StepState]


def _started(steps: Steps, fact: StepStarted) -> None:
    step = steps.get(fact.step, UNTOUCHED)
    progress = RUNNING if fact.wait is None else WAITING
    track = replace(step.forward, progress=progress, attempt=fact.attempt, retry_at=None, wait=fact.wait)
    steps[fact.step] = StepState(track, step.compensation)


def _succeeded(steps: Steps, fact: StepSucceeded) -> None:
    step = steps.get(fact.step, UNTOUCHED)
    steps[fact.step] = StepState(_done(step.forward, fact), step.compensation)


def _gave_up(steps: Steps, fact: StepFailed) -> None:
    step = steps.get(fact.step, UNTOUCHED)
    steps[fact.step] = StepState(_failed(step.forward, fact), step.compensation)


def _undoing(steps: Steps, fact: CompensationStarted) -> None:
    step = steps.get(fact.step, UNTOUCHED)
    track = replace(step.compensation, progress=RUNNING, attempt=fact.attempt, retry_at=None)
    steps[fact.step] = StepState(step.forward, track)


def _undone(steps: Steps, fact: StepCompensated) -> None:
    step = steps.get(fact.step, UNTOUCHED)
    steps[fact.step] = StepState(step.forward, _done(step.compensation, fact))


def _not_undone(steps: Steps, fact: CompensationFailed) -> None:
    step = steps.get(fact.step, UNTOUCHED)
    steps[fact.step] = StepState(step.forward, _failed(step.compensation, fact))


def _done(track: StepProgress, fact: StepSucceeded | StepCompensated) -> StepProgress:
    return replace(track, progress=DONE, result=fact.result, error=None)


def _failed(track: StepProgress, fact: StepFailed | CompensationFailed) -> StepProgress:
    return replace(
        track,
        progress=FAILED if fact.retry_at is None else RETRYING,
        failures=track.failures + 1,
        possibly_executed=track.possibly_executed or fact.effect is Effect.UNKNOWN,
        retry_at=fact.retry_at,
        error=fact.error,
    )


_OF_STEPS: dict[type[Event], Callable[[Steps, Any], None]] = {
    StepStarted: _started,
    StepSucceeded: _succeeded,
    StepFailed: _gave_up,
    CompensationStarted: _undoing,
    StepCompensated: _undone,
    CompensationFailed: _not_undone,
}


# Facts about more than that


def _take_in(state: SagaState, fact: Event) -> SagaState:
    about_saga: Callable[[SagaState, Any], SagaState] = _OF_SAGAS.get(type(fact), _next)
    return about_saga(state, fact)


def _next(state: SagaState, fact: Event, **changes: Any) -> SagaState:
    return replace(state, version=state.version + 1, updated_at=fact.at, **changes)


def _begun(state: SagaState, fact: SagaStarted) -> SagaState:
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


def _with(state: SagaState, name: str, direction: Direction, track: StepProgress) -> Mapping[str, StepState]:
    """The steps with one direction of one of them changed."""
    step = state.step(name)
    step = StepState(track, step.compensation) if direction is FORWARD else StepState(step.forward, track)
    return {**state.steps, name: step}


def _pivot_succeeded(state: SagaState, fact: StepSucceeded) -> SagaState:
    steps = {**state.steps}
    _succeeded(steps, fact)
    return _next(state, fact, steps=steps, past_pivot=True)


def _outcome_unknown(state: SagaState, fact: StepOutcomeUnknown) -> SagaState:
    track = state.progress_of(fact.step, fact.direction)
    track = replace(
        track,
        progress=FAILED if fact.retry_at is None else RETRYING,
        unknowns=track.unknowns + 1,
        possibly_executed=True,
        retry_at=fact.retry_at,
    )
    return _next(state, fact, steps=_with(state, fact.step, fact.direction, track))


def _signalled(state: SagaState, fact: SignalReceived) -> SagaState:
    return _next(state, fact, signals={**state.signals, fact.name: Signal(fact.payload, fact.refused)})


def _intervention_required(state: SagaState, fact: InterventionRequired) -> SagaState:
    required = Intervention(fact.step, fact.direction, fact.cause)
    return _next(state, fact, interventions=(*state.interventions, required))


def _intervention_resolved(state: SagaState, fact: InterventionResolved) -> SagaState:
    track = state.progress_of(fact.step, fact.direction)
    match fact.action:
        case Action.ABANDON:
            return _next(state, fact, interventions=(), end=Status.ABANDONED, ended_at=fact.at, cause=fact.reason)
        case Action.RETRY:
            track = replace(track, progress=PENDING, failures=0, unknowns=0, retry_at=None)
        case Action.RESOLVE:
            track = replace(track, progress=DONE, result=fact.result)
        case Action.SKIP:
            track = replace(track, progress=SKIPPED)
    steps = _with(state, fact.step, fact.direction, track)
    rest = tuple(i for i in state.interventions if (i.step, i.direction) != (fact.step, fact.direction))
    return _next(state, fact, steps=steps, interventions=rest, past_pivot=state.past_pivot or fact.pivot)


_OF_SAGAS: dict[type[Event], Callable[[SagaState, Any], SagaState]] = {
    SagaStarted: _begun,
    StepSucceeded: _pivot_succeeded,
    StepOutcomeUnknown: _outcome_unknown,
    SignalReceived: _signalled,
    DeadlineExceeded: lambda state, fact: _next(state, fact, deadline_exceeded=True),
    CancelRequested: lambda state, fact: _next(state, fact, cancelled=True),
    InterventionRequired: _intervention_required,
    InterventionResolved: _intervention_resolved,
    SagaCompleted: lambda state, fact: _next(state, fact, end=Status.COMPLETED, ended_at=fact.at, result=fact.result),
    SagaCompensated: lambda state, fact: _next(state, fact, end=Status.COMPENSATED, ended_at=fact.at, cause=fact.cause),
}
