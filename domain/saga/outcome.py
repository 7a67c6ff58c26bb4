"""What an attempt came to, as facts: the retry policy decides here, once, and the decision is on the record."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Raw, Struct

from ..errors import DefinitionError, InvalidInput, NotSerialisable, PayloadTooLarge, StepRejected
from ..event import Event
from .decide import Attempt
from .definition import Definition
from .events import (
    FORWARD,
    CompensationFailed,
    Direction,
    Effect,
    Failure,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepSucceeded,
)
from .state import SagaState
from .step import OnUnknown

UNKNOWN_OUTCOMES_MAX = 5
"""After so many attempts whose worker died, a step is given up: it may be what kills them."""
ERROR_CHARACTERS_MAX = 4_000
"""An error's text is cut after this."""

FINAL = (StepRejected, DefinitionError, InvalidInput, NotSerialisable, PayloadTooLarge)
"""Trying again would not help."""


class Success(Struct, frozen=True, gc=False):
    """The attempt returned."""

    result: Raw


class Failed(Struct, frozen=True, gc=False):
    """The attempt raised, or ran out of time."""

    error: Failure
    effect: Effect
    retryable: bool


AttemptOutcome = Success | Failed


def failure_of(error: BaseException, *, local: bool = False) -> Failed:
    """What an exception proves. A refusal had no effect and is final; a local step that raised rolled back."""
    message = str(error).encode("utf-8", "backslashreplace").decode()  # file names may hold what is not Unicode
    if len(message) > ERROR_CHARACTERS_MAX:
        message = f"{message[:ERROR_CHARACTERS_MAX]} … ({len(message):,} characters)"
    rejected = isinstance(error, StepRejected)
    effect = Effect.NONE if rejected or local else Effect.UNKNOWN
    kind = StepRejected if rejected else type(error)
    return Failed(Failure(kind.__name__, message), effect, retryable=not isinstance(error, FINAL))


def outcome_event(
    definition: Definition, state: SagaState, run: Attempt, outcome: AttemptOutcome, now: datetime
) -> Event:
    """The fact that an outcome is, with the time of the next attempt if there is to be one."""
    forward = run.direction is FORWARD
    if isinstance(outcome, Success):
        if forward:
            return StepSucceeded(now, run.step, run.attempt, outcome.result, pivot=run.step == definition.pivot)
        return StepCompensated(now, run.step, run.attempt, outcome.result)
    kind = StepFailed if forward else CompensationFailed
    retry_at = _retry_at(definition, state, run, outcome, now)
    return kind(now, run.step, run.attempt, outcome.error, outcome.effect, outcome.retryable, retry_at)


def orphaned(definition: Definition, state: SagaState, worker: str | None, now: datetime) -> tuple[Event, ...]:
    """The facts that attempts in flight, whose worker is gone, have an unknown outcome."""
    return tuple(
        StepOutcomeUnknown(
            now,
            step,
            state.progress_of(step, direction).attempt,
            direction,
            worker,
            _again(definition, state, step, direction, now),
        )
        for step, direction in state.in_flight
    )


def _retry_at(
    definition: Definition, state: SagaState, run: Attempt, outcome: Failed, now: datetime
) -> datetime | None:
    policy = definition.step(run.step).retry_of(run.direction)
    spent = state.progress_of(run.step, run.direction).failures + 1 >= policy.attempts
    given_up = run.direction is FORWARD and state.compensating and run.step != definition.pivot
    if not outcome.retryable or spent or given_up:
        return None
    return now + timedelta(seconds=policy.delay_seconds(run.key, run.attempt))


def _again(definition: Definition, state: SagaState, step: str, direction: Direction, now: datetime) -> datetime | None:
    """When to try again after an unknown outcome: at once, unless the definition or the limit says otherwise."""
    if state.progress_of(step, direction).unknowns + 1 >= UNKNOWN_OUTCOMES_MAX:
        return None
    if direction is FORWARD:
        settled = state.compensating or definition.step(step).on_unknown is OnUnknown.COMPENSATE
        if settled and step != definition.pivot:
            return None
    return now
