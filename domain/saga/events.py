"""The events of a saga: every attempt is recorded, and no event is ever overwritten.

The values of users (input, result, payload, error text) are opaque here: raw JSON or text that no decision reads. They
can be encrypted per subject, and erased, without changing the state of any saga. Actors are compared where a step needs
several approvals, or excludes some people from them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Raw

from ..event import Event, event
from .event_parts import Failure, Parent, Wait


class Direction(StrEnum):
    """Whether a step's action or its compensation runs."""

    FORWARD = "forward"
    COMPENSATION = "compensation"


FORWARD: Final = Direction.FORWARD
COMPENSATION: Final = Direction.COMPENSATION
"""Named here, because up to Python 3.11 `Direction.FORWARD` is a search each time, and every decision asks."""


class Effect(StrEnum):
    """What is known about the effect of a failed attempt."""

    NONE = "none"
    """Proven: the business refused, or a local step rolled back."""
    UNKNOWN = "unknown"
    """Not proven: the attempt may have been executed."""


class Action(StrEnum):
    """What a person decided about a saga that needed one."""

    RETRY = "retry"
    SKIP = "skip"
    RESOLVE = "resolve"
    ABANDON = "abandon"


@event("SagaStarted")
class SagaStarted(Event, frozen=True):
    """A saga started, with its input and with the definition version that it keeps to its end."""

    definition: str
    definition_version: int
    fingerprint: str
    input: Raw
    deadline: datetime | None = None
    begins_at: datetime | None = None
    """When its first step may run; None: immediately."""
    parent: Parent | None = None
    style: str = "orchestrated"
    """Or `choreographed`: then this event is derived from the events of a process, and not stored."""
    silence_seconds: float | None = None
    """After this many seconds without an event a choreographed saga counts as stalled; None: a worker drives it."""
    actor: str | None = None
    """Who started it; of a sub-saga, who started the saga that it is a step of."""


@event("StepStarted")
class StepStarted(Event, frozen=True):
    """An attempt of a step's action is about to run, or the step begins to wait."""

    step: str
    attempt: int
    key: str
    wait: Wait | None = None


@event("ConditionNotMet")
class ConditionNotMet(Event, frozen=True):
    """The condition of a step was false when its turn came: the saga goes on without the step."""

    step: str


@event("ItemsListed")
class ItemsListed(Event, frozen=True):
    """A for-each step has these items, or these and those of the events before; each is made on its own."""

    step: str
    first: int
    """The index of the first of these items."""
    total: int
    """How many items the step has in all."""
    items: tuple[Raw, ...]
    collect: bool = False
    """Whether the step succeeds when some of its items have failed."""


@event("StepProgressed")
class StepProgressed(Event, frozen=True):
    """A running attempt told how far it has come; the next attempt finds it, if this one does not succeed."""

    step: str
    attempt: int
    direction: Direction
    progress: Raw


@event("StepSucceeded")
class StepSucceeded(Event, frozen=True):
    """The action succeeded and returned `result`. After the `pivot` has succeeded the saga no longer compensates."""

    step: str
    attempt: int
    result: Raw
    pivot: bool = False


@event("StepFailed")
class StepFailed(Event, frozen=True):
    """An attempt failed; the next one runs at `retry_at` (None: there is none)."""

    step: str
    attempt: int
    error: Failure
    effect: Effect
    retryable: bool
    retry_at: datetime | None = None


@event("StepOutcomeUnknown")
class StepOutcomeUnknown(Event, frozen=True):
    """The worker of an attempt died before it recorded an outcome: the attempt may have been executed."""

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
    """The compensation of a step succeeded: the step is undone, or there was nothing to undo."""

    step: str
    attempt: int
    result: Raw


@event("CompensationFailed")
class CompensationFailed(Event, frozen=True):
    """An attempt to compensate failed; the next one runs at `retry_at` (None: there is none)."""

    step: str
    attempt: int
    error: Failure
    effect: Effect
    retryable: bool
    retry_at: datetime | None = None


@event("SignalReceived")
class SignalReceived(Event, frozen=True):
    """A person or a program sent the saga a signal, or refused the one that it waits for."""

    name: str
    payload: Raw
    actor: str
    reason: str | None = None
    refused: bool = False
    step: str | None = None
    """The one step that it is for; None: the first step that waits for a signal of this name."""
    key: str | None = None
    """The sender's key: a signal with the same key is not recorded again."""


@event("ApprovalCounted")
class ApprovalCounted(Event, frozen=True):
    """A signal counts as one of the approvals that a step needs."""

    step: str
    attempt: int
    signal: int
    """The version of the saga at which the signal was recorded."""
    actor: str
    approvals: int
    """How many the step has, with this one."""
    needed: int


@event("SignalRejected")
class SignalRejected(Event, frozen=True):
    """A signal that no step can take, because its payload does not fit the type that the definition declares."""

    name: str
    signal: int
    """The version of the saga at which the signal was recorded."""
    error: Failure


@event("TimerFired")
class TimerFired(Event, frozen=True):
    """A durable timer came due."""

    step: str
    due_at: datetime


@event("DeadlineExceeded")
class DeadlineExceeded(Event, frozen=True):
    """The saga did not finish in time, and compensates."""

    deadline: datetime


@event("CancelRequested")
class CancelRequested(Event, frozen=True):
    """A person or a program asked the saga to compensate."""

    actor: str
    reason: str


@event("InterventionRequired")
class InterventionRequired(Event, frozen=True):
    """A step cannot continue, in its direction, without a person."""

    step: str
    direction: Direction
    cause: str


@event("InterventionResolved")
class InterventionResolved(Event, frozen=True):
    """A person decided how a step that needed one continues."""

    step: str
    direction: Direction
    action: Action
    actor: str
    reason: str
    result: Raw = Raw(b"null")
    """The step's result as the person gave it, when the action is `resolve`."""
    pivot: bool = False
    """The step is the pivot and counts as done: the saga no longer compensates."""


@event("SagaCompleted")
class SagaCompleted(Event, frozen=True):
    """Every step succeeded; `result` is the result of the last one."""

    result: Raw


@event("SagaCompensated")
class SagaCompensated(Event, frozen=True):
    """Every step that had happened is undone; `cause` says why the saga compensated."""

    cause: str


SAGA_EVENTS: tuple[type[Event], ...] = (
    SagaStarted,
    StepStarted,
    ConditionNotMet,
    ItemsListed,
    StepProgressed,
    StepSucceeded,
    StepFailed,
    StepOutcomeUnknown,
    CompensationStarted,
    StepCompensated,
    CompensationFailed,
    SignalReceived,
    ApprovalCounted,
    SignalRejected,
    TimerFired,
    DeadlineExceeded,
    CancelRequested,
    InterventionRequired,
    InterventionResolved,
    SagaCompleted,
    SagaCompensated,
)
