"""Who waits for which sagas to end, or to need a person."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import partial

from ...domain.saga.evolve import fold_all
from ...domain.saga.state import SagaState
from ..errors import SagaNotFound
from .messages import AwaitOutcome
from .stream_reader import StreamReads

Replies = list[Callable[[], None]]


class Waiters:
    """The questions that are open, and what was last seen of the sagas that are worked elsewhere."""

    def __init__(self) -> None:
        self._open: dict[str, list[AwaitOutcome]] = {}
        self._seen: dict[str, SagaState] = {}

    def add(self, watch: AwaitOutcome) -> None:
        """Keep a question until it can be answered."""
        self._open.setdefault(watch.saga_id, []).append(watch)

    def tell(self, state: SagaState) -> Replies:
        """The answers to those who wait for this saga, if it has come so far."""
        return self.answer(state.saga_id, state) if state.end is not None or state.interventions else []

    def answer(self, saga_id: str, answer: SagaState | Exception) -> Replies:
        """The answers to those who wait for this saga, whatever they are."""
        self._seen.pop(saga_id, None)
        return [partial(watch.reply.give, answer) for watch in self._open.pop(saga_id, ())]

    def any_beside(self, held: Container[str]) -> bool:
        """Whether someone waits for a saga that is not held here."""
        return any(saga_id not in held for saga_id in self._open)

    def look(self, held: Container[str], read: Callable[[Sequence[tuple[str, int]]], StreamReads]) -> Replies:
        """Look at the sagas that are not held here, reading only what is new, and answer what can be answered."""
        self._forget_the_gone()
        elsewhere = {id_: self._seen.get(id_) or SagaState(id_) for id_ in self._open if id_ not in held}
        histories = read([(saga_id, state.version) for saga_id, state in elsewhere.items()])
        replies: Replies = []
        for saga_id, known in elsewhere.items():
            broken = histories.unreadable.get(saga_id)
            state = fold_all(known, (recorded.event for recorded in histories.readable.get(saga_id, ())))
            if broken is not None:
                replies += self.answer(saga_id, broken)
            elif not state.version:
                replies += self.answer(saga_id, SagaNotFound(saga_id))
            else:
                self._seen[saga_id] = state
                replies += self.tell(state)
        return replies

    def _forget_the_gone(self) -> None:
        for saga_id, watches in list(self._open.items()):
            wanted = [watch for watch in watches if watch.reply.wanted]
            if wanted:
                self._open[saga_id] = wanted
            else:
                self.answer(saga_id, SagaState(saga_id))
