"""Starts of sagas that wait until there is room, and those whose first transition is being written, with their replies.

The same start again is one saga: its caller gets the reply of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from functools import partial

from ...domain.participant import Refused
from ...domain.recorded_event import Meta
from ...domain.saga.state import SagaState
from ...domain.user_code import contained, is_interruption
from ..errors import Unavailable
from ..event_store.work_queue import FencingToken
from ..ledger.context import LedgerContext
from ..ledger.saga_start import SagaStart, Started
from ..ledger.state_reader import saga_events
from ..runtime.observer import SagaTrace, passed_on
from .group_commit.batch import BATCH_SAGAS_MAX
from .held_sagas import HeldSaga
from .messages import Replies, StartSaga
from .start_requests import StartRequestHandler


class StartQueue:
    """The starts that a worker was asked for and has not answered yet.

    `answered` is called with the saga's id, and the error if it could not be started, before its caller is answered.
    """

    def __init__(
        self, context: LedgerContext, replies: Replies, answered: Callable[[str, Exception | None], None]
    ) -> None:
        self._context = context
        self._replies = replies
        self._answered = answered
        self._requests = StartRequestHandler(context)
        self._waiting: deque[StartSaga] = deque()
        self._starting: dict[str, StartSaga] = {}
        """Starts whose sagas are held and not durable yet, by saga id."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, start: StartSaga) -> None:
        """Let a start wait until there is room for its saga."""
        self._waiting.append(start)

    def add_sub_saga(self, saga_start: SagaStart) -> None:
        """Let the start of a sub-saga wait; its parent learns of the answer through `answered`."""
        parent = saga_start.parent
        actor = f"saga {parent.saga_id}" if parent else None
        self._waiting.append(StartSaga(saga_start, Meta(actor=actor, traceparent=saga_start.traceparent), None))

    def take_requests(self, token: FencingToken, room: int) -> None:
        """Add starts that other programs requested in transactions of their own. Raises `Unavailable`."""
        self._waiting.extend(self._requests.take(token, room))

    def release_requests(self, token: FencingToken) -> None:
        """Let requests that this worker took and never received be taken again. Raises `Unavailable`."""
        self._requests.release(token)

    def settle_requests(self) -> None:
        """Write what became of requests. Raises `Unavailable`, and then the next call writes it."""
        self._requests.settle()

    @property
    def can_admit(self) -> bool:
        """Whether a start waits for room only, and not for an earlier start of the same saga."""
        return any(start.saga_start.saga_id not in self._starting for start in self._waiting)

    def admit(self, room: int, held: Container[str]) -> list[HeldSaga]:
        """Returns sagas to be held and started, as many as there is room for; starts of sagas held are answered."""
        admitted: list[HeldSaga] = []
        for _ in range(min(len(self._waiting), room, BATCH_SAGAS_MAX)):
            start = self._waiting.popleft()
            saga_id = start.saga_start.saga_id
            if saga_id in self._starting:
                self._waiting.append(start)
            elif saga_id in held:
                self.answer_existing(start)
            else:
                saga = HeldSaga(saga_id, start.saga_start.definition, SagaState(saga_id), None)
                saga.saga_start = start.saga_start
                saga.size_bytes = len(start.saga_start.input)
                saga.trace = self._trace_of(start)
                self._starting[saga_id] = start
                admitted.append(saga)
        return admitted

    def starting(self, saga_id: str) -> StartSaga | None:
        """Returns the start that is being written for a saga, if any."""
        return self._starting.get(saga_id)

    def confirm(self, saga_id: str, position: int) -> None:
        """The log acknowledged a transition of a saga: if that was its start, answer it."""
        start = self._starting.get(saga_id)
        if start is not None:
            self._answer(start, Started(saga_id, position, created=True))

    def answer_existing(self, start: StartSaga) -> None:
        """Answer a start whose saga exists: with that saga, or with a conflict if its input is another."""
        try:
            existing = start.saga_start.already(saga_events(self._context, start.saga_start.saga_id))
        except Unavailable:  # says nothing about the saga: the start waits and is tried again
            self._forget(start)
            self._waiting.append(start)
        except BaseException as error:  # comparing inputs reads them, which may run code of the app
            if is_interruption(error):
                raise
            self._answer(start, contained(error))
        else:
            self._answer(start, existing)

    def reject(self, start: StartSaga, error: Exception) -> None:
        """Answer a start whose first transition could not be decided. Raises `Unavailable`."""
        # Participants that began with this saga refuse to begin again: the saga may exist already.
        if isinstance(error, Refused) and self._context.backend.stream(start.saga_start.saga_id, upto=1):
            self.answer_existing(start)
        else:
            self._answer(start, error)

    def start_afresh(self) -> None:
        """Let every start that was not confirmed wait again, after the lease was lost.

        Except those of sub-sagas: the worker that takes over the parent starts them, if they are still wanted.
        """
        unanswered = [*self._starting.values(), *self._waiting]
        self._starting.clear()
        self._waiting.clear()
        self._waiting.extend(start for start in unanswered if start.saga_start.parent is None)

    def _answer(self, start: StartSaga, answer: Started | Exception) -> None:
        error = answer if isinstance(answer, Exception) else None
        self._forget(start)
        self._answered(start.saga_start.saga_id, error)
        if start.request_id is not None:
            self._requests.answer(start.request_id, error)
        if start.reply is not None:
            self._replies.append(partial(start.reply.answer, answer))

    def _trace_of(self, start: StartSaga) -> SagaTrace | None:
        traceparent, observer = start.meta.traceparent, self._context.observer
        if observer is None:
            return passed_on(traceparent)
        return observer.starting(start.saga_start.saga_id, traceparent)

    def _forget(self, start: StartSaga) -> None:
        saga_id = start.saga_start.saga_id
        if self._starting.get(saga_id) is start:
            del self._starting[saga_id]
