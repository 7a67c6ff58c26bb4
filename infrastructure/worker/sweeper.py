"""The sweeper: what should be in the due work, recomputed from the log, and restored where it is missing.

The due work only says which sagas want a worker; the log says why. Should a row be lost (deleted by hand, left out of
a partial restore), the saga would wait for ever, and nobody would notice. A sweep notices.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from threading import Event, Thread
from typing import TypeVar
from uuid import uuid4

from ...domain.decision import advance, awaited_sagas
from ...domain.errors import SagaledgerError
from ...domain.facts import SagaCompensated, SagaCompleted, SagaStarted
from ...domain.recorded import Recorded
from ...domain.state import rebuild
from ..ledger import Ledger
from ..log.port import STATE_BYTES_MAX, Append, AppendCall, DueChange
from .histories import read_histories

log = logging.getLogger(__name__)

SWEEP_SECONDS = 300.0
"""How long a saga whose due row was lost may wait."""
READ_BYTES_MAX = 16 * 1024 * 1024
READ_EVENTS_MIN = READ_BYTES_MAX // STATE_BYTES_MAX
READ_EVENTS_MAX = 4_000
READ_SAGAS = 64
STARTED = SagaStarted.schema.name
ENDED = (SagaCompleted.schema.name, SagaCompensated.schema.name)

T = TypeVar("T")


class Sweeper:
    """Sweeps a ledger now and then, in a thread of its own; any number of workers may do so at once."""

    def __init__(self, ledger: Ledger, *, every_seconds: float = SWEEP_SECONDS) -> None:
        self._ledger = ledger
        self._log = ledger.backend
        self._known = {(definition.name, definition.version) for definition in ledger.app.definitions}
        self._every_seconds = every_seconds
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="saga-sweeper", daemon=True)

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
        begun = self._open_sagas()
        due = {change.saga_id for change in self._log.due()}
        restored: list[str] = []
        for saga_ids in _chunks((saga_id for saga_id in begun if saga_id not in due), READ_SAGAS):
            histories = read_histories(self._log, self._ledger.mapper, [(saga_id, 0) for saga_id in saga_ids])
            missing = [change for history in histories.readable.values() for change in self._missing(history, begun)]
            if missing:
                # A nudge leaves a row that came back meanwhile with its holder.
                self._log.append(AppendCall(uuid4(), [Append([], None, missing)]))
                restored += [change.saga_id for change in missing]
        return restored

    def _open_sagas(self) -> dict[str, None]:
        """The sagas that began and did not end, in the order in which they began."""
        begun: dict[str, None] = {}
        position, head = 0, self._log.head().position
        limit = READ_EVENTS_MIN
        while not self._stopping.is_set():
            rows = self._log.read(position, limit=limit, upto=head, topics=(STARTED, *ENDED))
            if not rows:
                return begun
            for row in rows:
                if row.topic == STARTED:
                    begun[row.stream_id] = None
                else:
                    begun.pop(row.stream_id, None)
            position = rows[-1].position
            is_light = sum(len(row.state) for row in rows) < READ_BYTES_MAX // 4
            limit = min(2 * limit, READ_EVENTS_MAX) if is_light else READ_EVENTS_MIN
        return {}

    def _missing(self, history: Sequence[Recorded], begun: Container[str]) -> Iterator[DueChange]:
        """The due row of a saga, if it should have one: not when it is over, or waits for somebody to write to it.

        A saga of its own that is not under way will not write to it: it never began, or has ended.
        """
        state = rebuild(history[0].stream_id, (recorded.event for recorded in history))
        name, version = state.definition, state.definition_version
        if (name, version) not in self._known or state.end is not None or state.interventions:
            return
        now = self._ledger.clock.now()
        ahead = advance(self._ledger.app.definition(name, version), state, now)
        alone = any(saga_id not in begun for saga_id in awaited_sagas(state))
        if state.in_flight or ahead.facts or ahead.run or ahead.wake_at is not None or alone:
            yield DueChange(state.saga_id, name, version, now, None)

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


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
