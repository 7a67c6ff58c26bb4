"""The letters of one service: events that wait, because their reaction failed or an earlier one's did."""

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
PAGE_EVENTS = 5_000


class WaitingEvent(Struct, frozen=True):
    """An event that a service has yet to handle."""

    position: int
    process_id: str
    letter: DeadLetter
    version: int
    """How many facts of the letter are folded."""


class DeadLetterQueue:
    """What waits for one service, as the log tells it. In memory: letters are few."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._waiting: dict[int, WaitingEvent] = {}
        self._settled: dict[int, int] = {}

    def load(self, log: EventLog, codec: Codec) -> None:
        """Read every letter from the log anew."""
        self._waiting.clear()
        self._settled.clear()
        head, after = log.head().position, 0
        while rows := log.read(after, limit=PAGE_EVENTS, upto=head, topics=DEAD_LETTER_TOPICS):
            for row in rows:
                self.fold(codec.decode(row))
            after = rows[-1].position

    def fold(self, recorded: RecordedEvent) -> None:
        """Take in a fact of a letter; one that is known already, or another service's, changes nothing."""
        fact = recorded.event
        if not isinstance(fact, DeliveryFailed | DeliveryDeferred | DeliveryReplayed | DeliverySettled):
            return
        if fact.service != self._service or recorded.version <= self._settled.get(fact.position, 0):
            return
        known = self._waiting.get(fact.position) or WaitingEvent(
            fact.position, recorded.correlation_id, DeadLetter(), 0
        )
        if recorded.version <= known.version:
            return
        letter = evolve(known.letter, fact)
        if letter.is_open:
            self._waiting[fact.position] = replace(known, letter=letter, version=recorded.version)
        else:
            self._waiting.pop(fact.position, None)
            self._settled[fact.position] = recorded.version

    def __len__(self) -> int:
        return len(self._waiting)

    def counts(self) -> Counter[DeadLetterStatus]:
        """How many letters stand how."""
        return Counter(waiting.letter.status for waiting in self._waiting.values())

    def blocks(self, process_id: str) -> int | None:
        """The position of the first event of a process that waits; None if none does."""
        positions = [waiting.position for waiting in self._waiting.values() if waiting.process_id == process_id]
        return min(positions, default=None)

    def due(self, now: datetime) -> list[int]:
        """The events to be tried now: of each process the first that waits, unless it is parked or its time is not
        come."""
        return sorted(first.position for first in self._firsts() if _is_due(first.letter, now))

    def next_due(self) -> datetime | None:
        """When the next event is to be tried again by itself; None if none is."""
        times = [first.letter.retry_at for first in self._firsts() if first.letter.status is DeadLetterStatus.RETRYING]
        return min((time for time in times if time is not None), default=None)

    def _firsts(self) -> Iterable[WaitingEvent]:
        firsts: dict[str, WaitingEvent] = {}
        for position in sorted(self._waiting):
            waiting = self._waiting[position]
            firsts.setdefault(waiting.process_id, waiting)
        return firsts.values()


def _is_due(letter: DeadLetter, now: datetime) -> bool:
    if letter.status is DeadLetterStatus.PARKED:
        return False
    return letter.retry_at is None or letter.retry_at <= now
