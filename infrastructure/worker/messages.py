"""The messages that an engine takes, and what it returns from a turn."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from msgspec import Raw, Struct

from ...domain.recorded_event import Meta
from ...domain.saga.decision import Attempt
from ...domain.saga.outcome import AttemptOutcome
from ...domain.saga.state import SagaState
from ...domain.saga.step import AnyStep
from ...domain.saga.step_context import StepContext
from ..ledger.saga_start import SagaStart, Started
from .held_sagas import HeldSaga

T = TypeVar("T")


class Reply(Generic[T]):
    """An answer that a caller on the event loop waits for."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    @property
    def wanted(self) -> bool:
        """Whether the caller still waits for it."""
        return not self._future.done()

    def answer(self, answer: T | Exception) -> None:
        """Return the answer to the caller, or raise it there if it is an exception; on the event loop only."""
        if self._future.done():
            return
        if isinstance(answer, Exception):
            self._future.set_exception(answer)
        else:
            self._future.set_result(answer)


Replies = list[Callable[[], None]]
"""Answers to callers, each to be called on the event loop."""


class AttemptEnded(Struct, frozen=True):
    """An attempt came to an end."""

    saga: HeldSaga
    attempt: Attempt
    outcome: AttemptOutcome


class AttemptProgressed(Struct, frozen=True):
    """A running attempt told how far it has come."""

    saga: HeldSaga
    attempt: Attempt
    progress: Raw


class StartSaga(Struct, frozen=True):
    """Start a saga and hold it here. A sub-saga and a requested saga have no reply."""

    saga_start: SagaStart
    meta: Meta
    reply: Reply[Started] | None
    request_id: int | None = None
    """The start request that it fulfils, if any."""


class AwaitOutcome(Struct, frozen=True):
    """Answer when a saga has ended or needs a person."""

    saga_id: str
    reply: Reply[SagaState]


class AwaitIdle(Struct, frozen=True):
    """Answer when no saga is held and none is due."""

    reply: Reply[None]


class Drain(Struct, frozen=True):
    """Begin nothing new from here on; answered once no attempt will be dispatched any more."""

    reply: Reply[None]


EngineMessage = AttemptEnded | AttemptProgressed | StartSaga | AwaitOutcome | AwaitIdle | Drain


class UnwantedStep(NamedTuple):
    """A step whose action still runs, although its saga compensates."""

    saga_id: str
    step: str
    in_doubt: bool
    """Whether it is the pivot and may have happened: its attempts find out, and so are not told to stop."""


class Dispatch(Struct, frozen=True):
    """An attempt to make now: its start is durable."""

    saga: HeldSaga
    step: AnyStep
    attempt: Attempt
    context: StepContext
    worker: str = ""
    """The id of the worker, for the log."""


class TurnResult(NamedTuple):
    """What a turn leaves to its host: attempts to make, replies to give, and attempts that should end."""

    dispatch: list[Dispatch]
    replies: Replies
    unwanted: list[UnwantedStep]
    """Actions that still run, although their saga compensates."""
