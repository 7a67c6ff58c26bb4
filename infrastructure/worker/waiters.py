"""Callers that wait for sagas to end, or to need a person."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial

from ...domain.saga.evolve import fold_all
from ...domain.saga.state import SagaState
from ..errors import SagaNotFound
from ..ledger.stream_reader import StreamReads
from .messages import AwaitOutcome, Replies


class Waiters:
    """The callers by saga, and the states last seen of sagas that this worker does not hold."""

    def __init__(self, replies: Replies) -> None:
        self._replies = replies
        self._waiting: dict[str, list[AwaitOutcome]] = {}
        self._seen: dict[str, SagaState] = {}

    def add(self, waiter: AwaitOutcome) -> None:
        """Let a caller wait for its saga."""
        self._waiting.setdefault(waiter.saga_id, []).append(waiter)

    def any_elsewhere(self, held: Container[str]) -> bool:
        """Returns whether a caller waits for a saga that is not held here."""
        return any(saga_id not in held for saga_id in self._waiting)

    def notify(self, state: SagaState) -> None:
        """Answer those who wait for a saga, if it has ended or needs a person."""
        if state.end is not None or state.interventions:
            self.answer(state.saga_id, state)

    def answer(self, saga_id: str, answer: SagaState | Exception) -> None:
        """Answer those who wait for a saga."""
        self._seen.pop(saga_id, None)
        self._replies.extend(partial(waiter.reply.answer, answer) for waiter in self._waiting.pop(saga_id, ()))

    def read_elsewhere(self, held: Container[str], read: Callable[[Sequence[tuple[str, int]]], StreamReads]) -> None:
        """Read on in the awaited sagas that are not held here, and answer those that can be. Raises `Unavailable`."""
        self._forget_unwanted()
        elsewhere = {id_: self._seen.get(id_) or SagaState(id_) for id_ in self._waiting if id_ not in held}
        reads = read([(saga_id, state.version) for saga_id, state in elsewhere.items()])
        for saga_id, known in elsewhere.items():
            unreadable = reads.unreadable.get(saga_id)
            state = fold_all(known, (recorded.event for recorded in reads.readable.get(saga_id, ())))
            if unreadable is not None:
                self.answer(saga_id, unreadable)
            elif not state.version:
                self.answer(saga_id, SagaNotFound(saga_id))
            else:
                self._seen[saga_id] = state
                self.notify(state)

    def _forget_unwanted(self) -> None:
        for saga_id, waiters in list(self._waiting.items()):
            wanted = [waiter for waiter in waiters if waiter.reply.wanted]
            if wanted:
                self._waiting[saga_id] = wanted
            else:
                del self._waiting[saga_id]
                self._seen.pop(saga_id, None)
