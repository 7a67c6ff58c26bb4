"""What has failed a saga as it stands: what makes it need a person, or compensate, or try a step again.

An attempt that failed and was retried with success has failed nothing any more, and a completed saga has no failure.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from ...domain.event import Event
from ...domain.saga.event_parts import Failure
from ...domain.saga.events import (
    COMPENSATION,
    FORWARD,
    Action,
    CancelRequested,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    DeadlineExceeded,
    Direction,
    InterventionRequired,
    InterventionResolved,
    SagaCompleted,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepSucceeded,
)
from ...domain.saga.state import SagaState
from ..column_values import storable_text


class FailedStep(NamedTuple):
    """A step that failed, in one direction, and with which words."""

    step: str | None
    """None if no step failed: the saga was cancelled, or its deadline passed."""
    direction: Direction
    error: str | None


class SagaFailures(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What has failed an open saga, under the names in which its view stores it."""

    parked: tuple[FailedStep, ...] = ()
    """The steps that need a person, the latest last."""
    turned_by: FailedStep | None = None
    """What made the saga compensate; None if it does not."""
    retrying: FailedStep | None = None
    """The latest attempt that failed, and is to be made again; None once it succeeded."""

    @property
    def shown(self) -> FailedStep:
        """The failure that stands."""
        if self.parked:
            return self.parked[-1]
        if self.turned_by is not None and self.turned_by.error is not None:
            return self.turned_by
        return self.retrying or NOTHING


NOTHING = FailedStep(None, FORWARD, None)
_NONE = SagaFailures()
FIRST_FAILURES = frozenset(
    {
        StepFailed,
        CompensationFailed,
        StepOutcomeUnknown,
        InterventionRequired,
        InterventionResolved,
        DeadlineExceeded,
        CancelRequested,
        CompensationStarted,
        StepCompensated,
    }
)
"""The events after which a saga may have failed that had not before."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SagaFailures).decode


def encode_failures(failures: SagaFailures) -> str:
    """Returns the text that the view stores."""
    return _encode(failures).decode()


def decode_failures(text: str) -> SagaFailures:
    """Returns what `encode_failures` was given. Raises `msgspec.DecodeError` for any other text."""
    return _decode(text)


def failures_after(failures: SagaFailures | None, event: Event, state: SagaState) -> SagaFailures | None:
    """Returns what has failed a saga after one more event, which led to this state; None if nothing has.

    If nothing has failed it, only `FIRST_FAILURES` change that.
    """
    if isinstance(event, SagaCompleted):
        return None
    if isinstance(event, InterventionResolved) and event.action is Action.ABANDON:
        return failures
    after = _after(failures or _NONE, event, state)
    return None if after == _NONE else after


def _after(failures: SagaFailures, event: Event, state: SagaState) -> SagaFailures:
    failed = _failed_attempt(event)
    ended = _ended_attempt(event) if failed is None else failed[:2]
    if failures.retrying is not None and failures.retrying[:2] == ended:
        failures = replace(failures, retrying=None)
    if failed is not None and event.retry_at is not None:  # type: ignore[attr-defined]
        failures = replace(failures, retrying=failed)
    if isinstance(event, InterventionRequired):
        parked = FailedStep(event.step, event.direction, storable_text(event.cause))
        failures = replace(failures, parked=(*failures.parked, parked))
    elif isinstance(event, InterventionResolved):
        failures = replace(failures, parked=tuple(each for each in failures.parked if each[:2] != ended))
    if not state.compensating:
        return replace(failures, turned_by=None)
    if failures.turned_by is None:
        return replace(failures, turned_by=failed or _without_step(event), retrying=None)
    return failures


def _failed_attempt(event: Event) -> FailedStep | None:
    match event:
        case StepFailed():
            return FailedStep(event.step, FORWARD, _text(event.error))
        case CompensationFailed():
            return FailedStep(event.step, COMPENSATION, _text(event.error))
        case StepOutcomeUnknown():
            error = f"outcome unknown: the worker of attempt {event.attempt} died"
            return FailedStep(event.step, event.direction, error)
    return None


def _text(error: Failure) -> str:
    return storable_text(f"{error.type}: {error.message}")


def _ended_attempt(event: Event) -> tuple[str, Direction] | None:
    """Returns the step, and its direction, of which this event says that a failed attempt is not to be made again."""
    match event:
        case StepSucceeded() | ConditionNotMet():
            return event.step, FORWARD
        case StepCompensated():
            return event.step, COMPENSATION
        case InterventionRequired() | InterventionResolved():
            return event.step, event.direction
    return None


def _without_step(event: Event) -> FailedStep:
    """Returns why a saga compensates although no step failed: its deadline, or no failure at all."""
    return FailedStep(None, FORWARD, "deadline exceeded") if isinstance(event, DeadlineExceeded) else NOTHING
