"""The dead letters of one service: events that wait, because their reaction failed or an earlier event's did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ...domain.choreography.dead_letter import (
    DEAD_LETTER_EVENTS,
    DeadLetter,
    DeadLetterStatus,
    DeliveryDeferred,
    DeliveryFailed,
    DeliveryReplayed,
    DeliverySettled,
    evolve,
)
from ...domain.recorded_event import RecordedEvent
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog

DEAD_LETTER_TOPICS: tuple[str, ...] = tuple(type_.schema.name for type_ in DEAD_LETTER_EVENTS)
PAGE_EVENTS_MAX = 5_000


class WaitingEvent(Struct, frozen=True):
    """An event that a service has yet to handle."""

    position: int
    process_id: str
    dead_letter: DeadLetter
    version: int
    """The version of the latest event that is folded into `dead_letter`."""


class DeadLetterQueue:
    """The events that wait for one service, folded from the log into memory: dead letters are few."""

    def __init__(self, service: str, log: EventLog, codec: Codec) -> None:
        self._service = service
        self._log = log
        self._codec = codec
        self._waiting: dict[int, WaitingEvent] = {}
        self._settled: dict[int, int] = {}
        self._read_upto = 0

    def read(self) -> None:
        """Fold what was recorded since the last read; the first read folds the whole log. Raises `Unavailable`."""
        head = self._log.head().position
        while rows := self._log.read(self._read_upto, limit=PAGE_EVENTS_MAX, upto=head, topics=DEAD_LETTER_TOPICS):
            for row in rows:
                self.fold(self._codec.decode(row))
            self._read_upto = rows[-1].position
        self._read_upto = max(head, self._read_upto)

    def fold(self, recorded: RecordedEvent) -> None:
        """Apply an event about a dead letter; an event that was folded before, or of another service, has no effect."""
        event = recorded.event
        if not isinstance(event, DeliveryFailed | DeliveryDeferred | DeliveryReplayed | DeliverySettled):
            return
        if event.service != self._service or recorded.version <= self._settled.get(event.position, 0):
            return
        known = self._waiting.get(event.position) or WaitingEvent(
            event.position, recorded.correlation_id, DeadLetter(), 0
        )
        if recorded.version <= known.version:
            return
        dead_letter = evolve(known.dead_letter, event)
        if dead_letter.is_open:
            self._waiting[event.position] = replace(known, dead_letter=dead_letter, version=recorded.version)
        else:
            self._waiting.pop(event.position, None)
            self._settled[event.position] = recorded.version

    def clear(self) -> None:
        """Forget everything, so that the next read folds the whole log."""
        self._waiting.clear()
        self._settled.clear()
        self._read_upto = 0

    def counts(self) -> Counter[DeadLetterStatus]:
        """Returns how many events wait in each status."""
        return Counter(waiting.dead_letter.status for waiting in self._waiting.values())

    def first_waiting(self, process_id: str) -> int | None:
        """Returns the position of the first event of a process that waits; None if none does."""
        positions = [waiting.position for waiting in self._waiting.values() if waiting.process_id == process_id]
        return min(positions, default=None)

    def due(self, now: datetime) -> list[int]:
        """Returns the positions to try now: the first waiting event of each process, if it is not parked and is due."""
        return sorted(first.position for first in self._first_of_each_process() if _is_due(first.dead_letter, now))

    def next_due(self) -> datetime | None:
        """Returns when the next event is to be tried again without a person's decision; None if none is."""
        retrying = (
            first.dead_letter.retry_at
            for first in self._first_of_each_process()
            if first.dead_letter.status is DeadLetterStatus.RETRYING
        )
        return min((retry_at for retry_at in retrying if retry_at is not None), default=None)

    def _first_of_each_process(self) -> Iterable[WaitingEvent]:
        firsts: dict[str, WaitingEvent] = {}
        for position in sorted(self._waiting):
            waiting = self._waiting[position]
            firsts.setdefault(waiting.process_id, waiting)
        return firsts.values()


def _is_due(dead_letter: DeadLetter, now: datetime) -> bool:
    if dead_letter.status is DeadLetterStatus.PARKED:
        return False
    return dead_letter.retry_at is None or dead_letter.retry_at <= now
