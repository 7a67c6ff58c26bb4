"""The sagas under way, as the log tells: begun and not ended. What was read once is not read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from threading import Event
from typing import NamedTuple

from ....domain.saga.events import Action, InterventionResolved, SagaCompensated, SagaCompleted, SagaStarted
from ...event_store.codec import Codec, UnreadableEvent
from ...event_store.event_log import EventLog
from ...event_store.event_row import STATE_BYTES_MAX, StoredRow

READ_BYTES_MAX = 16 * 1024 * 1024
READ_EVENTS_MIN = READ_BYTES_MAX // STATE_BYTES_MAX
READ_EVENTS_MAX = 4_000
STARTED = SagaStarted.schema.name
ENDED = (SagaCompleted.schema.name, SagaCompensated.schema.name)
RESOLVED = InterventionResolved.schema.name


class Quiescent(NamedTuple):
    """Why nobody has to look at a saga: so it stays until somebody writes to it, or one that it awaits is gone."""

    version: int
    awaits: Collection[str] = ()


class UnfinishedSagas:
    """Those that began and did not end, in the order in which they began; and which of them were found at rest.

    Positions are sealed in order, so nothing ever appears before the one that was read last. What is kept grows with
    the sagas under way, not with the log.
    """

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._position = 0
        self._rests: dict[str, Quiescent | None] = {}

    def __contains__(self, saga_id: object) -> bool:
        return saga_id in self._rests

    def __len__(self) -> int:
        return len(self._rests)

    def read_on(self, stopping: Event) -> None:
        """Read what was recorded since the last time, or until told to stop. Raises `Unavailable`."""
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
        """The sagas that are not among those."""
        return [saga_id for saga_id in self._rests if saga_id not in due]

    def not_quiescent(self, saga_ids: Iterable[str]) -> list[str]:
        """Those of these sagas that have to be looked at: not known to be at rest, or not any more."""
        known = {saga_id: self._rests.get(saga_id) for saga_id in saga_ids}
        seen = [(saga_id, rest.version) for saga_id, rest in known.items() if rest is not None]
        written = {row.stream_id for row in self._log.streams(seen)} if seen else set()
        return [
            saga_id
            for saga_id, rest in known.items()
            if rest is None or saga_id in written or any(awaited not in self for awaited in rest.awaits)
        ]

    def mark_quiescent(self, saga_id: str, rest: Quiescent) -> None:
        """Remember that it need not be looked at for now."""
        if saga_id in self._rests:
            self._rests[saga_id] = rest

    def _take(self, row: StoredRow) -> None:
        if row.topic == STARTED:
            self._rests[row.stream_id] = None
        elif row.topic in ENDED or self._is_abandonment(row):
            self._rests.pop(row.stream_id, None)

    def _is_abandonment(self, row: StoredRow) -> bool:
        try:
            fact = self._codec.decode(row).event
        except UnreadableEvent:  # whoever looks at the saga says so
            return False
        return isinstance(fact, InterventionResolved) and fact.action is Action.ABANDON
