"""A batch: a bounded run of events read from the log once, decoded once, for every projection that stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...domain.choreography.derived_saga import DERIVED_EVENTS
from ...domain.recorded_event import RecordedEvent
from ...projections.projection import PoisonEvent, Projection
from ..errors import Unavailable
from ..event_store.codec import Codec, UnreadableEvent
from ..event_store.event_log import EventLog
from ..event_store.event_row import STATE_BYTES_MAX, StoredRow
from .saga_deriver import SagaDeriver

BATCH_EVENTS_MAX = 10_000
BATCH_BYTES_MAX = 16 * 1024 * 1024
"""The most bytes of event state that a batch keeps; the events beyond are read again with the next."""
GROWTH_MAX = 8
"""How many times as many events the next read may ask for, when those of the last one were small."""

_SAGA_TOPICS = frozenset(type_.schema.name for type_ in DERIVED_EVENTS)


class UnreadableInBatch(NamedTuple):
    """An event that somebody folds, and nobody can read."""

    position: int
    topic: str
    cause: str
    is_of_saga: bool = False
    """It is part of a choreographed process: the facts of its saga are not known either."""


class EventBatch(NamedTuple):
    """Events with `after < position <= upto`."""

    after: int
    upto: int
    events: Sequence[RecordedEvent]
    """Those of the topics asked for that can be read."""
    unreadable: Sequence[UnreadableInBatch] = ()

    def beyond(self, position: int) -> EventBatch:
        """The part of it beyond a position."""
        if position <= self.after:
            return self
        return EventBatch(
            position,
            self.upto,
            [recorded for recorded in self.events if recorded.position > position],
            [event for event in self.unreadable if event.position > position],
        )

    def before(self, position: int) -> EventBatch:
        """The part of it before a position."""
        return EventBatch(
            self.after,
            min(self.upto, position - 1),
            [recorded for recorded in self.events if recorded.position < position],
            [event for event in self.unreadable if event.position < position],
        )

    def poison_for(self, projection: Projection) -> PoisonEvent | None:
        """The first event that the projection would fold if it could be read."""
        topics = projection.topics
        for position, topic, cause, is_of_saga in self.unreadable:
            if topic in topics or (is_of_saga and not topics.isdisjoint(_SAGA_TOPICS)):
                return PoisonEvent(projection.name, position, topic, cause)
        return None


class EventBatchReader:
    """Reads a log in batches, with the events of some topics decoded."""

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        topics: frozenset[str],
        *,
        events_max: int = BATCH_EVENTS_MAX,
        bytes_max: int = BATCH_BYTES_MAX,
    ) -> None:
        self._log = log
        self._codec = codec
        self._topics = topics
        self._translator = (
            SagaDeriver(log, codec) if codec.choreographies and not topics.isdisjoint(_SAGA_TOPICS) else None
        )
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._limit = min(events_max, max(bytes_max // STATE_BYTES_MAX, 1))  # whatever comes first, it fits

    def read(self, after: int, upto: int) -> EventBatch:
        """The next batch beyond a position, which ends at `upto` at the latest."""
        rows = self._bounded(self._log.read(after, limit=min(self._limit, max(upto - after, 1)), upto=upto))
        events: list[RecordedEvent] = []
        unreadable: list[UnreadableInBatch] = []
        translator = self._translator
        if translator is not None:
            translator.continue_from(after)
        for row in rows:
            choreography = None if translator is None else translator.choreography_of(row)
            if row.topic not in self._topics and choreography is None:
                continue
            try:
                recorded = self._codec.decode(row)
                facts = [] if translator is None or choreography is None else translator.facts(choreography, recorded)
            except UnreadableEvent as error:
                unreadable.append(
                    UnreadableInBatch(row.position, row.topic, str(error.__cause__), choreography is not None)
                )
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001  # an upcaster is anybody's code; the views that need it will stop
                cause = f"{type(error).__name__}: {error}"
                unreadable.append(UnreadableInBatch(row.position, row.topic, cause, choreography is not None))
            else:
                events.append(recorded)
                events += facts
        upto = rows[-1].position if rows else after
        if translator is not None:
            translator.read_upto(upto)
        return EventBatch(after, upto, events, unreadable)

    def _bounded(self, rows: list[StoredRow]) -> list[StoredRow]:
        """The rows that fit; large events make the next read a shorter one, small ones a longer one again."""
        size_bytes = 0
        for count, row in enumerate(rows):
            size_bytes += len(row.state)
            if size_bytes > self._bytes_max and count:
                self._limit = max(count, 1)
                return rows[:count]
        fitting = self._bytes_max // (2 * max(size_bytes, 1))
        self._limit = min(self._limit * min(max(fitting, 2), GROWTH_MAX), self._events_max)
        return rows
