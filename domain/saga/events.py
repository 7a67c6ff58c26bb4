"""The facts of a saga: every attempt is an event, and none is ever overwritten.

What a user put in (input, result, payload, error text) is opaque here: raw JSON or text that no decision looks into,
so that it can be encrypted per subject, and erased, without changing the state of any saga.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Raw, Struct

from ..event import Event, event


class Direction(StrEnum):
    """Which way a step runs."""

    FORWARD = "forward"
    COMPENSATION = "compensation"


FORWARD: Final = Direction.FORWARD
COMPENSATION: Final = Direction.COMPENSATION
"""Named here, because up to Python 3.11 `Direction.FORWARD` is a search each time, and every decision asks."""


class Effect(StrEnum):
    """What is known of the effect of an attempt that failed."""

    NONE = "none"
    """Proven: the business refused, or a local step rolled back."""
    UNKNOWN = "unknown"
    """Not proven: it may have been executed."""


class Action(StrEnum):
    """What a person did about a saga that needed one."""

    RETRY = "retry"
    SKIP = "skip"
    RESOLVE = "resolve"
    ABANDON = "abandon"


class WaitKind(StrEnum):
    """What a step waits for."""

    TIMER = "timer"
    SIGNAL = "signal"
    SAGA = "saga"


class Wait(Struct, frozen=True, omit_defaults=True, gc=False):
    """What a step waits for, instead of running something."""

    kind: WaitKind
    target: str | None = None
    """The signal's name, or the id of the saga it waits for."""
    due_at: datetime | None = None
    """When the timer comes due, or the waiting ends; None: never."""


class Parent(Struct, frozen=True, gc=False):
    """The saga that started this one as one of its steps."""

    saga_id: str
    definition: str
    definition_version: int


class Failure(Struct, frozen=True, gc=False):
    """Why an attempt failed: the exception's type name, and its text."""

    type: str
    message: str


@event("SagaStarted")
class SagaStarted(Event, frozen=True):
    """A saga began, with its input, on a version of its definition that it keeps to the end."""

    definition: str
    definition_version: int
    fingerprint: str
    input: Raw
    deadline: datetime | None = None
    begins_at: datetime | None = None
    """When its first step may run; None: at once."""
    parent: Parent | None = None
    style: str = "orchestrated"
    """Or `choreographed`: then this fact is derived from a process's events, and not stored."""
    silence_seconds: float | None = None
    """After so long without news a choreographed saga shows as stalled; None: it has a worker that sees to it."""


@event("StepStarted")
class StepStarted(Event, frozen=True):
    """An attempt of a step's action is about to run, or the step begins to wait."""

    step: str
    attempt: int
    key: str
    wait: Wait | None = None


@event("StepSucceeded")
class StepSucceeded(Event, frozen=True):
    """The action happened; `result` is what it returned. A `pivot` that happened leaves no way back."""

    step: str
    attempt: int
    result: Raw
    pivot: bool = False


@event("StepFailed")
class StepFailed(Event, frozen=True):
    """An attempt failed; `retry_at` says when the next one runs, None that there is none."""

    step: str
    attempt: int
    error: Failure
    effect: Effect
    retryable: bool
    retry_at: datetime | None = None


@event("StepOutcomeUnknown")
class StepOutcomeUnknown(Event, frozen=True):
    """An attempt was started, and then its worker died: it may have been executed."""

    step: str
    attempt: int
    direction: Direction
    worker: str | None = None
    retry_at: datetime | None = None


@event("CompensationStarted")
class CompensationStarted(Event, frozen=True):
    """An attempt of a step's compensation is about to run."""

    step: str
    attempt: int
    key: str


@event("StepCompensated")
class StepCompensated(Event, frozen=True):
    """The step is undone, or there was nothing to undo."""

    step: str
    attempt: int
    result: Raw


@event("CompensationFailed")
class CompensationFailed(Event, frozen=True):
    """An attempt to compensate failed; `retry_at` says when the next one runs, None that there is none."""

    step: str
    attempt: int
    error: Failure
    effect: Effect
    retryable: bool
    retry_at: datetime | None = None


@event("SignalReceived")
class SignalReceived(Event, frozen=True):
    """Someone told the saga something, or refused what it asked for."""

    name: str
    payload: Raw
    actor: str
    reason: str | None = None
    refused: bool = False


@event("TimerFired")
class TimerFired(Event, frozen=True):
    """A durable timer came due."""

    step: str
    due_at: datetime


@event("DeadlineExceeded")
class DeadlineExceeded(Event, frozen=True):
    """The saga did not finish in time: it turns back."""

    deadline: datetime


@event("CancelRequested")
class CancelRequested(Event, frozen=True):
    """Someone asked the saga to turn back."""

    actor: str
    reason: str


@event("InterventionRequired")
class InterventionRequired(Event, frozen=True):
    """A step can go neither on nor back without a person."""

    step: str
    direction: Direction
    cause: str


@event("InterventionResolved")
class InterventionResolved(Event, frozen=True):
    """A person decided how a step that needed one goes on."""

    step: str
    direction: Direction
    action: Action
    actor: str
    reason: str
    result: Raw = Raw(b"null")
    """What a person gave as the step's result, to `resolve` it."""
    pivot: bool = False
    """The step is the pivot and counts as done from here on: there is no way back."""


@event("SagaCompleted")
class SagaCompleted(Event, frozen=True):
    """Every step happened; `result` is that of the last one."""

    result: Raw


@event("SagaCompensated")
class SagaCompensated(Event, frozen=True):
    """The saga turned back, and all that had happened is undone; `cause` says why it turned."""

    cause: str


SAGA_EVENTS: tuple[type[Event], ...] = (
    SagaStarted,
    StepStarted,
    StepSucceeded,
    StepFailed,
    StepOutcomeUnknown,
    CompensationStarted,
    StepCompensated,
    CompensationFailed,
    SignalReceived,
    TimerFired,
    DeadlineExceeded,
    CancelRequested,
    InterventionRequired,
    InterventionResolved,
    SagaCompleted,
    SagaCompensated,
)
