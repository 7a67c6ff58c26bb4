"""Turns the outcome of an attempt into events.

The retry policy decides here, once, and the event records the decision.
"""

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
from .retry_policy import OnUnknown
from .state import SagaState

UNKNOWN_OUTCOMES_MAX = 5
"""After this many attempts whose worker died, a step is given up: it may be what kills the workers."""
ERROR_CHARACTERS_MAX = 4_000
"""A longer error text is cut."""

FINAL = (StepRejected, DefinitionError, InvalidInput, NotSerialisable, PayloadTooLarge)
"""Errors after which another attempt would not help."""


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
    """Returns what an exception proves: a refusal had no effect and is final; a local step that raised rolled back."""
    message = _text_of(error).encode("utf-8", "backslashreplace").decode()  # file names may hold what is not Unicode
    message = message.replace("\0", "\\x00")  # PostgreSQL stores no NUL in a text
    if len(message) > ERROR_CHARACTERS_MAX:
        message = f"{message[:ERROR_CHARACTERS_MAX]} … ({len(message):,} characters)"
    rejected = isinstance(error, StepRejected)
    effect = Effect.NONE if rejected or local else Effect.UNKNOWN
    kind = StepRejected if rejected else type(error)
    return Failed(Failure(kind.__name__, message), effect, retryable=not isinstance(error, FINAL))


def _text_of(error: BaseException) -> str:
    """Returns the text of an exception; its `__str__` may raise anything itself."""
    try:
        return str(error)
    except BaseException as failure:  # noqa: BLE001 -- the text of a step's error must not hide that it failed
        return f"its text cannot be shown: __str__ raised {type(failure).__name__}"


def outcome_event(
    definition: Definition, state: SagaState, attempt: Attempt, outcome: AttemptOutcome, now: datetime
) -> Event:
    """Returns the event that records an outcome, with the time of the next attempt if there is one."""
    step, number = attempt.step, attempt.attempt
    forward = attempt.direction is FORWARD
    if isinstance(outcome, Success):
        if forward:
            return StepSucceeded(now, step, number, outcome.result, pivot=step == definition.pivot)
        return StepCompensated(now, step, number, outcome.result)
    kind = StepFailed if forward else CompensationFailed
    retry_at = _retry_at(definition, state, attempt, outcome, now)
    return kind(now, step, number, outcome.error, outcome.effect, outcome.retryable, retry_at)


def orphaned(definition: Definition, state: SagaState, worker: str | None, now: datetime) -> tuple[Event, ...]:
    """Returns the events that record an unknown outcome for every attempt in flight whose worker is gone."""
    return tuple(
        StepOutcomeUnknown(
            now,
            step,
            state.progress_of(step, direction).attempt,
            direction,
            worker,
            _retry_unknown_at(definition, state, step, direction, now),
        )
        for step, direction in state.in_flight
    )


def _retry_at(
    definition: Definition, state: SagaState, attempt: Attempt, outcome: Failed, now: datetime
) -> datetime | None:
    policy = definition.step(attempt.step).retry_of(attempt.direction)
    spent = state.progress_of(attempt.step, attempt.direction).failures + 1 >= policy.attempts
    given_up = attempt.direction is FORWARD and state.compensating and attempt.step != definition.pivot
    if not outcome.retryable or spent or given_up:
        return None
    return now + timedelta(seconds=policy.delay_seconds(attempt.key, attempt.attempt))


def _retry_unknown_at(
    definition: Definition, state: SagaState, step: str, direction: Direction, now: datetime
) -> datetime | None:
    """Returns now, unless the definition or the limit says that the step is given up."""
    if state.progress_of(step, direction).unknowns + 1 >= UNKNOWN_OUTCOMES_MAX:
        return None
    if direction is FORWARD:
        given_up = state.compensating or definition.step(step).on_unknown is OnUnknown.COMPENSATE
        if given_up and step != definition.pivot:
            return None
    return now
