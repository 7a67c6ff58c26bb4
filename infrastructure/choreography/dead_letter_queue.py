"""The letters of one service: events that wait, because their reaction failed or an earlier one's did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from ...domain.choreography.dead_letter import (
    LETTER_EVENTS,
    DeliveryDeferred,
    DeliveryFailed,
    DeliveryReplayed,
    DeliverySettled,
    Letter,
    LetterStatus,
    evolve,
)
from ...domain.recorded_event import Recorded
from ..event_store.codec import Mapper
from ..event_store.port import EventLog

LETTER_TOPICS: tuple[str, ...] = tuple(type_.schema.name for type_ in LETTER_EVENTS)
PAGE_EVENTS = 5_000


class Waiting(Struct, frozen=True):
    """An event that a service has yet to handle."""

    position: int
    process_id: str
    letter: Letter
    version: int
    """How many facts of the letter are folded."""


class OpenLetters:
    """What waits for one service, as the log tells it. In memory: letters are few."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._waiting: dict[int, Waiting] = {}
        self._settled: dict[int, int] = {}

    def load(self, log: EventLog, mapper: Mapper) -> None:
        """Read every letter from the log anew."""
        self._waiting.clear()
        self._settled.clear()
        head, after = log.head().position, 0
        while rows := log.read(after, limit=PAGE_EVENTS, upto=head, topics=LETTER_TOPICS):
            for row in rows:
                self.fold(mapper.to_recorded(row))
            after = rows[-1].position

    def fold(self, recorded: Recorded) -> None:
        """Take in a fact of a letter; one that is known already, or another service's, changes nothing."""
        fact = recorded.event
        if not isinstance(fact, DeliveryFailed | DeliveryDeferred | DeliveryReplayed | DeliverySettled):
            return
        if fact.service != self._service or recorded.version <= self._settled.get(fact.position, 0):
            return
        known = self._waiting.get(fact.position) or Waiting(fact.position, recorded.correlation_id, Letter(), 0)
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

    def counts(self) -> Counter[LetterStatus]:
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
        times = [first.letter.retry_at for first in self._firsts() if first.letter.status is LetterStatus.RETRYING]
        return min((time for time in times if time is not None), default=None)

    def _firsts(self) -> Iterable[Waiting]:
        firsts: dict[str, Waiting] = {}
        for position in sorted(self._waiting):
            waiting = self._waiting[position]
            firsts.setdefault(waiting.process_id, waiting)
        return firsts.values()


def _is_due(letter: Letter, now: datetime) -> bool:
    if letter.status is LetterStatus.PARKED:
        return False
    return letter.retry_at is None or letter.retry_at <= now
