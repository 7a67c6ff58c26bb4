"""Turns the outcome of an attempt into events.

The retry policy decides here, once, and the event records the decision.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Raw, Struct

from ..errors import RetryAfter, StepRejected
from ..event import Event
from .decision import Attempt
from .definition import Definition
from .duration import instant_after
from .error_text import error_text, parts_of, type_name
from .event_parts import Failure
from .events import (
    FORWARD,
    CompensationFailed,
    Direction,
    Effect,
    InterventionRequired,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepSucceeded,
)
from .retry_policy import DELAY_SECONDS_MAX, FINAL, OnUnknown, Retry, RetryPolicies
from .state import SagaState

UNKNOWN_OUTCOMES_MAX = 5
"""After this many attempts whose worker died, a step is given up: it may be what kills the workers."""


class Success(Struct, frozen=True, gc=False):
    """The attempt returned."""

    result: Raw


class Failed(Struct, frozen=True, gc=False):
    """The attempt raised, or ran out of time."""

    error: Failure
    effect: Effect
    retryable: bool
    retry: Retry | None = None
    """The policy for this error; None: the one for any error."""
    delay_seconds: float | None = None
    """How long to wait for the next attempt, if the step says so."""


class Parked(Struct, frozen=True, gc=False):
    """The attempt cannot continue, and whether it had an effect is for a person to find out."""

    cause: str


AttemptOutcome = Success | Failed | Parked


def failure_of(error: BaseException, *, local: bool = False, policies: RetryPolicies | None = None) -> Failed:
    """Returns what an exception proves: a refusal had no effect and is final; a local step that raised rolled back.

    A group of exceptions had no effect if each of them proves that, and is final if one of them is; of the policies for
    them the one with the fewest attempts applies, and of the times that they ask for the longest. Never raises,
    whatever the exception's own code does.
    """
    parts = parts_of(error)
    rejected = all(issubclass(type(part), StepRejected) for part in parts)
    final = any(issubclass(type(part), FINAL) for part in parts)
    effect = Effect.NONE if local or all(map(_proves_no_effect, parts)) else Effect.UNKNOWN
    kind = StepRejected.__name__ if rejected else type_name(error)
    failure = Failure(kind, error_text(error, parts))
    if final:
        return Failed(failure, effect, retryable=False)
    retry = None if policies is None else min(map(policies.of, parts), key=lambda policy: policy.attempts)
    delays = [seconds for part in parts if (seconds := _seconds_asked_by(part)) is not None]
    return Failed(failure, effect, retryable=True, retry=retry, delay_seconds=max(delays, default=None))


def _proves_no_effect(error: BaseException) -> bool:
    if issubclass(type(error), RetryAfter):
        return _attribute(error, "nothing_happened") is True
    return issubclass(type(error), StepRejected)


def _seconds_asked_by(error: BaseException) -> float | None:
    """Returns how long an error says to wait; None if it does not, or says it with what is no such time."""
    seconds = _attribute(error, "seconds") if issubclass(type(error), RetryAfter) else None
    return seconds if type(seconds) is float and 0 <= seconds <= DELAY_SECONDS_MAX else None


def _attribute(error: BaseException, name: str) -> object:
    """Returns what a subclass of `RetryAfter` may compute, or may lack; None if that raises."""
    try:
        return getattr(error, name)
    except BaseException:  # noqa: BLE001 -- the attempt has an outcome whatever the exception's own code does
        return None


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
    if isinstance(outcome, Parked):
        return InterventionRequired(now, step, attempt.direction, outcome.cause)
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
    policy = outcome.retry or definition.step(attempt.step).policies_of(attempt.direction).default
    spent = state.progress_of(attempt.step, attempt.direction).failures + 1 >= policy.attempts
    given_up = attempt.direction is FORWARD and state.compensating and attempt.step != definition.pivot
    if not outcome.retryable or spent or given_up:
        return None
    seconds = outcome.delay_seconds
    return instant_after(now, policy.delay_seconds(attempt.key, attempt.attempt) if seconds is None else seconds)


def _retry_unknown_at(
    definition: Definition, state: SagaState, step: str, direction: Direction, now: datetime
) -> datetime | None:
    """Returns now, unless the definition or the limit says that the step is given up."""
    if state.progress_of(step, direction).unknowns + 1 >= UNKNOWN_OUTCOMES_MAX:
        return None
    if direction is FORWARD:
        compensates = definition.step(step).on_unknown is OnUnknown.COMPENSATE and not state.past_pivot
        if (state.compensating or compensates) and step != definition.pivot:
            return None
    return now
