"""The reconciler: recomputes from the log what the work queue should hold, and restores the rows that are missing.

The work queue says which sagas want a worker; the log says why. When a row is lost (deleted by hand, left out of a
partial restore), its saga would wait for ever without a sign; the reconciler finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from threading import Event, Thread
from typing import TypeVar
from uuid import uuid4

from ....domain.errors import SagaledgerError
from ....domain.recorded_event import RecordedEvent
from ....domain.saga.evolve import rebuild
from ...errors import OutcomeUnknown, Unavailable
from ...event_store.append_call import Append, AppendCall
from ...event_store.work_queue import QueueEntry
from ...ledger.context import LedgerContext
from ...ledger.queue_rule import want_of
from ...ledger.stream_reader import read_streams
from ...ledger.unfinished_sagas import Quiescent, UnfinishedSagas

log = logging.getLogger(__name__)

SWEEP_SECONDS = 300.0
"""The longest that a saga waits whose row was lost."""
CHECK_SAGAS = 1_000
"""How many sagas are checked for new events in one query; almost none has any."""
READ_SAGAS = 64

T = TypeVar("T")


class Reconciler:
    """Sweeps a ledger now and then, on a thread of its own; any number of workers may do so at once.

    The first sweep reads every start and end in the log; each later one reads what is new.
    """

    def __init__(self, context: LedgerContext, *, every_seconds: float = SWEEP_SECONDS) -> None:
        self._context = context
        self._log = context.backend
        self._every_seconds = every_seconds
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="saga-reconciler", daemon=True)
        self.open_sagas = UnfinishedSagas(context.backend, context.codec)

    def start(self) -> None:
        """Begin to sweep: now, and then at intervals."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the read that is under way, and end the thread."""
        self._stopping.set()
        self._thread.join()

    def sweep(self) -> list[str]:
        """Make every saga due that should be and is not; returns their ids. Raises `Unavailable`.

        A saga that this process cannot go on with (it does not know the definition, or cannot read the stream) is left
        to workers that can.
        """
        self.open_sagas.read_on(self._stopping)
        due = {entry.saga_id for entry in self._log.entries()}
        restored: list[str] = []
        for checked in _chunks(self.open_sagas.others_than(due), CHECK_SAGAS):
            for saga_ids in _chunks(self.open_sagas.not_quiescent(checked), READ_SAGAS):
                if self._stopping.is_set():
                    return restored
                restored += self._restore(saga_ids)
        return restored

    def _restore(self, saga_ids: Sequence[str]) -> list[str]:
        """Make those of these sagas due that should be, and remember which need no worker."""
        reads = read_streams(self._log, self._context.codec, [(saga_id, 0) for saga_id in saga_ids])
        missing: list[QueueEntry] = []
        for saga_id, history in reads.readable.items():
            try:
                verdict = self._judge(history)
            except Exception:  # the worker that holds the saga meets the same error, and deals with it
                log.exception("whether saga %s should be due cannot be decided", saga_id, extra={"saga_id": saga_id})
                continue
            if isinstance(verdict, Quiescent):
                self.open_sagas.mark_quiescent(saga_id, verdict)
            else:
                missing.append(verdict)
        if missing:
            # Notifying leaves a row that came back meanwhile with its holder.
            self._log.append(AppendCall(uuid4(), [Append([], None, missing)]))
        return [entry.saga_id for entry in missing]

    def _judge(self, history: Sequence[RecordedEvent]) -> QueueEntry | Quiescent:
        """Return the queue entry that a saga should have, or that it needs none."""
        state = rebuild(history[0].stream_id, (recorded.event for recorded in history))
        now = self._context.clock.now()
        want = want_of(self._context.app, state, now, self.open_sagas.__contains__)
        if want.due_at is None:
            return Quiescent(state.version, want.awaits)
        return QueueEntry(state.saga_id, state.definition, state.definition_version, now, None)

    def _run(self) -> None:
        wait_seconds = 0.0
        while not self._stopping.wait(wait_seconds):
            wait_seconds = self._every_seconds
            try:
                restored = self.sweep()
            except (Unavailable, OutcomeUnknown) as error:
                self._context.outages.database.note("reconciler", error)
                continue
            except SagaledgerError as error:
                log.warning("the work queue is checked again in %g seconds: %s", wait_seconds, error)
                continue
            except Exception:
                log.exception("the work queue could not be checked; it is again in %g seconds", wait_seconds)
                continue
            self._context.outages.database.end("reconciler")
            if restored:
                log.warning(
                    "%d sagas were missing from the work queue and are due again: %s, …", len(restored), restored[0]
                )


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
