"""What an engine is told, and what it answers."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from ...domain.recorded_event import Meta
from ...domain.saga.decide import Attempt
from ...domain.saga.outcome import AttemptOutcome
from ...domain.saga.state import SagaState
from ...domain.saga.step import Step, StepContext
from ..ledger.saga_start import SagaStart, Started
from .group_commit.transition import HeldSaga

T = TypeVar("T")


class Reply(Generic[T]):
    """An answer that someone on the event loop waits for."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    @property
    def wanted(self) -> bool:
        """Whether anyone still waits for it."""
        return not self._future.done()

    def give(self, answer: T | Exception) -> None:
        """Answer, or raise the exception where it is waited for; on the event loop only."""
        if self._future.done():
            return
        if isinstance(answer, Exception):
            self._future.set_exception(answer)
        else:
            self._future.set_result(answer)


class AttemptEnded(Struct, frozen=True, gc=False):
    """An attempt came to an end."""

    execution: HeldSaga
    run: Attempt
    outcome: AttemptOutcome


class StartSaga(Struct, frozen=True):
    """A saga is to be started and held here; nobody waits for one that is a step of another, or was requested."""

    saga_start: SagaStart
    meta: Meta
    reply: Reply[Started] | None
    request_id: int | None = None
    """The request that it grants, if it does."""


class AwaitOutcome(Struct, frozen=True):
    """Someone waits until a saga has ended or needs a person."""

    saga_id: str
    reply: Reply[SagaState]


class AwaitIdle(Struct, frozen=True):
    """Someone waits until nothing is held and nothing is due."""

    reply: Reply[None]


class Drain(Struct, frozen=True):
    """Begin nothing new from here on; answered when nothing more will be dispatched."""

    reply: Reply[None]


EngineMessage = AttemptEnded | StartSaga | AwaitOutcome | AwaitIdle | Drain


class Dispatch(Struct, frozen=True, gc=False):
    """An attempt to make now: its start is durable."""

    execution: HeldSaga
    step: Step
    run: Attempt
    context: StepContext


class TurnResult(NamedTuple):
    """What a turn asks its host to do: attempts to make, and replies to give."""

    dispatch: list[Dispatch]
    replies: list[Callable[[], None]]
