"""Parking a saga that cannot be decided on or written: a person has to say how it continues.

What is recorded depends on nothing that may be the cause: no result, no error text of a step, no decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from ....domain.event import Event
from ....domain.saga.decision import Attempt
from ....domain.saga.definition import Definition
from ....domain.saga.event_parts import Failure
from ....domain.saga.events import (
    COMPENSATION,
    FORWARD,
    CompensationFailed,
    Direction,
    Effect,
    InterventionRequired,
    StepFailed,
    StepOutcomeUnknown,
)
from ....domain.saga.outcome import AttemptOutcome, Failed
from ....domain.saga.state import SagaState
from ....domain.saga.step_state import RUNNING, WAITING
from ...event_store.codec import UnreadableEvent
from ..held_sagas import HeldSaga


def parking_events(saga: HeldSaga, definition: Definition, error: Exception, now: datetime) -> Iterator[Event]:
    """Yield the events that park a saga because of an error.

    Attempts whose outcome is known here count as failed, because their outcome may be what cannot be written; attempts
    of a worker that is gone have an unknown outcome. A person is asked for each of these steps, or else for the step
    that the saga is at.
    """
    state = saga.state
    concerned: list[tuple[str, Direction]] = []
    if saga.lost:
        for step, direction in state.in_flight:
            attempt = state.progress_of(step, direction).attempt
            yield StepOutcomeUnknown(now, step, attempt, direction, saga.previous_worker)
            concerned.append((step, direction))
    else:
        for made, outcome in saga.outcomes:
            place = (made.step, made.direction)
            if place not in concerned and _is_current(state, made):
                yield _failed(made, outcome, error, now)
                concerned.append(place)
    known = {(intervention.step, intervention.direction) for intervention in state.interventions}
    for step, direction in concerned or [_present_step(definition, state)]:
        if (step, direction) not in known:
            yield InterventionRequired(now, step, direction, cause_of_parking(error))


def cause_of_parking(error: Exception) -> str:
    """Returns why a saga is parked, in words that repeat no value of a user."""
    if isinstance(error, UnreadableEvent):
        where = f"position {error.position}, {error.stream_id} version {error.version}"
        return f"the event at {where} cannot be read ({type(error.__cause__).__name__}): the log of the worker says why"
    return f"what follows cannot be decided or written ({type(error).__name__}): the log of the worker says why"


def _is_current(state: SagaState, attempt: Attempt) -> bool:
    progress = state.progress_of(attempt.step, attempt.direction)
    return progress.progress in (RUNNING, WAITING) and progress.attempt == attempt.attempt


def _failed(attempt: Attempt, outcome: AttemptOutcome, error: Exception, now: datetime) -> Event:
    kind = StepFailed if attempt.direction is FORWARD else CompensationFailed
    failure = Failure(type(error).__name__, "its outcome cannot be recorded: the log of the worker says why")
    effect = outcome.effect if isinstance(outcome, Failed) else Effect.UNKNOWN
    return kind(now, attempt.step, attempt.attempt, failure, effect, retryable=False)


def _present_step(definition: Definition, state: SagaState) -> tuple[str, Direction]:
    """Returns the step that a saga is at: the one that waits, or else the next to be made or undone."""
    for name, step in state.steps.items():
        if step.forward.progress is WAITING:
            return name, FORWARD
    if state.compensating:
        for one in reversed(_with_compensation(definition)):
            if not state.progress_of(one, COMPENSATION).finished:
                return one, COMPENSATION
    names = [step.name for step in definition.steps]
    return next((name for name in names if not state.step(name).forward.finished), names[-1]), FORWARD


def _with_compensation(definition: Definition) -> Sequence[str]:
    return [step.name for step in definition.steps if step.undo is not None]
