"""The sagas that began and have not ended, read from the log; each event is read once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from threading import Event
from typing import NamedTuple

from ...domain.saga.events import Action, InterventionResolved, SagaCompensated, SagaCompleted, SagaStarted
from ..event_store.codec import Codec, UnreadableEvent
from ..event_store.event_log import EventLog
from ..event_store.event_row import STATE_BYTES_MAX, StoredRow

READ_BYTES_MAX = 16 * 1024 * 1024
READ_EVENTS_MIN = READ_BYTES_MAX // STATE_BYTES_MAX
READ_EVENTS_MAX = 4_000
STARTED = SagaStarted.schema.name
ENDED = (SagaCompleted.schema.name, SagaCompensated.schema.name)
RESOLVED = InterventionResolved.schema.name


class Quiescent(NamedTuple):
    """A saga that needs no worker at a version, until someone writes to it or a saga that it awaits has ended."""

    version: int
    awaits: Collection[str] = ()


class UnfinishedSagas:
    """The unfinished sagas, in the order in which they began, and which of them are quiescent.

    Positions are sealed in order, so no event ever appears before the one that was read last. Memory grows with the
    unfinished sagas, not with the log.
    """

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._position = 0
        self._quiescent: dict[str, Quiescent | None] = {}

    def __contains__(self, saga_id: object) -> bool:
        return saga_id in self._quiescent

    def __len__(self) -> int:
        return len(self._quiescent)

    def read_on(self, stopping: Event) -> None:
        """Read what was recorded since the last call, or until `stopping` is set. Raises `Unavailable`."""
        upto = self._log.sealed_position()
        limit = READ_EVENTS_MIN
        while self._position < upto and not stopping.is_set():
            rows = self._log.read(self._position, limit=limit, upto=upto, topics=(STARTED, *ENDED, RESOLVED))
            for row in rows:
                self._take(row)
            self._position = rows[-1].position if len(rows) == limit else upto
            is_light = sum(len(row.state) for row in rows) < READ_BYTES_MAX // 4
            limit = min(2 * limit, READ_EVENTS_MAX) if is_light else READ_EVENTS_MIN

    def others_than(self, due: Collection[str]) -> list[str]:
        """Returns the sagas that are not in `due`."""
        return [saga_id for saga_id in self._quiescent if saga_id not in due]

    def not_quiescent(self, saga_ids: Iterable[str]) -> list[str]:
        """Returns those of these sagas that are not known to be quiescent, or are so no longer."""
        known = {saga_id: self._quiescent.get(saga_id) for saga_id in saga_ids}
        seen = [(saga_id, quiescent.version) for saga_id, quiescent in known.items() if quiescent is not None]
        written = {row.stream_id for row in self._log.streams(seen)} if seen else set()
        return [
            saga_id
            for saga_id, quiescent in known.items()
            if quiescent is None or saga_id in written or any(awaited not in self for awaited in quiescent.awaits)
        ]

    def mark_quiescent(self, saga_id: str, quiescent: Quiescent) -> None:
        """Remember that a saga needs no worker for now."""
        if saga_id in self._quiescent:
            self._quiescent[saga_id] = quiescent

    def _take(self, row: StoredRow) -> None:
        if row.topic == STARTED:
            self._quiescent[row.stream_id] = None
        elif row.topic in ENDED or self._is_abandonment(row):
            self._quiescent.pop(row.stream_id, None)

    def _is_abandonment(self, row: StoredRow) -> bool:
        try:
            resolved = self._codec.decode(row).event
        except UnreadableEvent:  # reported by the worker or the command that reads the saga
            return False
        return isinstance(resolved, InterventionResolved) and resolved.action is Action.ABANDON
