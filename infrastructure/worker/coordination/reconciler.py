"""The sweeper: what should be in the due work, recomputed from the log, and restored where it is missing.

The due work only says which sagas want a worker; the log says why. Should a row be lost (deleted by hand, left out of
a partial restore), the saga would wait for ever, and nobody would notice. A sweep notices.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from threading import Event, Thread
from typing import TypeVar
from uuid import uuid4

from ....domain.errors import SagaledgerError
from ....domain.recorded_event import RecordedEvent
from ....domain.saga.decide import advance, awaited_sagas
from ....domain.saga.evolve import rebuild
from ...event_store.append_call import Append, AppendCall
from ...event_store.work_queue import QueueEntry
from ...ledger.context import LedgerContext
from ..stream_reader import read_streams
from .unfinished_sagas import Quiescent, UnfinishedSagas

log = logging.getLogger(__name__)

SWEEP_SECONDS = 300.0
"""How long a saga whose due row was lost may wait."""
ASK_SAGAS = 1_000
"""How many are asked for news at once; almost none has any."""
READ_SAGAS = 64

T = TypeVar("T")


class Reconciler:
    """Sweeps a ledger now and then, in a thread of its own; any number of workers may do so at once.

    The first sweep reads every start and end there is; each later one costs what is new.
    """

    def __init__(self, context: LedgerContext, *, every_seconds: float = SWEEP_SECONDS) -> None:
        self._context = context
        self._log = context.backend
        self._known = {(definition.name, definition.version) for definition in context.app.definitions}
        self._every_seconds = every_seconds
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="saga-sweeper", daemon=True)
        self.open_sagas = UnfinishedSagas(context.backend, context.codec)

    def start(self) -> None:
        """Begin to sweep: at once, and then ever again."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the read at hand, and end."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> list[str]:
        """Make every saga due that should be and is not; gives their ids. Raises `Unavailable`.

        A saga that nobody can go on with from here (its definition is unknown, its stream cannot be read) is left to
        those who can.
        """
        self.open_sagas.read_on(self._stopping)
        due = {change.saga_id for change in self._log.entries()}
        restored: list[str] = []
        for asked in _chunks(self.open_sagas.others_than(due), ASK_SAGAS):
            for saga_ids in _chunks(self.open_sagas.not_quiescent(asked), READ_SAGAS):
                if self._stopping.is_set():
                    return restored
                restored += self._restore(saga_ids)
        return restored

    def _restore(self, saga_ids: Sequence[str]) -> list[str]:
        """Make those of these sagas due that should be, and remember which need not be."""
        histories = read_streams(self._log, self._context.codec, [(saga_id, 0) for saga_id in saga_ids])
        missing: list[QueueEntry] = []
        for saga_id, history in histories.readable.items():
            verdict = self._judge(history)
            if isinstance(verdict, Quiescent):
                self.open_sagas.mark_quiescent(saga_id, verdict)
            else:
                missing.append(verdict)
        if missing:
            # A nudge leaves a row that came back meanwhile with its holder.
            self._log.append(AppendCall(uuid4(), [Append([], None, missing)]))
        return [change.saga_id for change in missing]

    def _judge(self, history: Sequence[RecordedEvent]) -> QueueEntry | Quiescent:
        """The due row that a saga should have; or why none: it is over, or waits for somebody to write to it.

        A saga of its own that is not under way will not write to it: it never began, or has ended.
        """
        state = rebuild(history[0].stream_id, (recorded.event for recorded in history))
        name, version = state.definition, state.definition_version
        if (name, version) not in self._known or state.end is not None or state.interventions:
            return Quiescent(state.version)
        now = self._context.clock.now()
        following = advance(self._context.app.definition(name, version), state, now)
        awaited = awaited_sagas(state)
        alone = any(saga_id not in self.open_sagas for saga_id in awaited)
        decision = following.decision
        if state.in_flight or following.events or decision.attempts or decision.wake_at is not None or alone:
            return QueueEntry(state.saga_id, name, version, now, None)
        return Quiescent(state.version, tuple(awaited))

    def _run(self) -> None:
        wait_seconds = 0.0
        while not self._stopping.wait(wait_seconds):
            wait_seconds = self._every_seconds
            try:
                restored = self.sweep()
            except SagaledgerError as error:
                log.warning("the due work is swept later: %s", error)
                continue
            if restored:
                log.warning(
                    "%d sagas were missing from the due work, and are due again: %s, …", len(restored), restored[0]
                )


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
