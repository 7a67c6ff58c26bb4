"""A batch: a bounded run of events, read from the log once and decoded once for every view at that position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...domain.choreography.derived_saga import DERIVED_EVENTS
from ...domain.errors import SagaledgerError
from ...domain.recorded_event import RecordedEvent
from ...domain.user_code import is_interruption
from ...projections.poison_event import PoisonEvent, describe
from ...projections.projection import Projection
from ..errors import DamagedLedger, Unavailable
from ..event_store.codec import Codec, UnreadableEvent
from ..event_store.event_log import EventLog
from ..event_store.event_row import STATE_BYTES_MAX, StoredRow
from .saga_deriver import SagaDeriver

BATCH_EVENTS_MAX = 10_000
BATCH_BYTES_MAX = 16 * 1024 * 1024
"""The most bytes of event state in a batch; the events beyond are read again with the next one."""
GROWTH_MAX = 8
"""How many times as many events the next read may ask for when the events of the last one were small."""

_SAGA_TOPICS = frozenset(type_.schema.name for type_ in DERIVED_EVENTS)


class UnreadableInBatch(NamedTuple):
    """An event that a view folds and that cannot be decoded."""

    position: int
    topic: str
    cause: str
    is_of_process: bool = False
    """It belongs to a choreographed process, so the saga events derived from it are missing, too."""


class EventBatch(NamedTuple):
    """Events with `after < position <= upto`."""

    after: int
    upto: int
    events: Sequence[RecordedEvent]
    """The events of the wanted topics that can be decoded."""
    unreadable: Sequence[UnreadableInBatch] = ()

    def beyond(self, position: int) -> EventBatch:
        """Return the part of the batch beyond a position."""
        if position <= self.after:
            return self
        return EventBatch(
            position,
            self.upto,
            [recorded for recorded in self.events if recorded.position > position],
            [event for event in self.unreadable if event.position > position],
        )

    def before(self, position: int) -> EventBatch:
        """Return the part of the batch before a position."""
        return EventBatch(
            self.after,
            min(self.upto, position - 1),
            [recorded for recorded in self.events if recorded.position < position],
            [event for event in self.unreadable if event.position < position],
        )

    def poison_for(self, projection: Projection) -> PoisonEvent | None:
        """Return the first unreadable event that the projection folds, if there is one."""
        topics = projection.topics
        for position, topic, cause, is_of_process in self.unreadable:
            if topic in topics or (is_of_process and not topics.isdisjoint(_SAGA_TOPICS)):
                return PoisonEvent(projection.name, position, topic, cause)
        return None


class EventBatchReader:
    """Reads a log in batches, and decodes the events of the given topics.

    Where a view folds saga events, the events of choreographed processes are followed by the saga events that are
    derived from them.
    """

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
        self._deriver = (
            SagaDeriver(log, codec) if codec.choreographies and not topics.isdisjoint(_SAGA_TOPICS) else None
        )
        self._events_max = events_max
        self._bytes_max = bytes_max
        self._limit = min(events_max, max(bytes_max // STATE_BYTES_MAX, 1))  # so many fit, however large they are

    def read(self, after: int, upto: int) -> EventBatch:
        """Read the next batch beyond a position; it ends at `upto`, a position of the log, at the latest.

        Raises `DamagedLedger` if there is no event up to there.
        """
        rows = self._bounded(self._log.read(after, limit=min(self._limit, max(upto - after, 1)), upto=upto))
        if not rows and upto > after:  # or whoever reads on to the head would do so for ever
            raise DamagedLedger(f"the log has no event after position {after}, and its head is at {upto} or beyond")
        events: list[RecordedEvent] = []
        unreadable: list[UnreadableInBatch] = []
        deriver = self._deriver
        if deriver is not None:
            deriver.continue_from(after)
        for row in rows:
            choreography = None if deriver is None else deriver.choreography_of(row)
            if row.topic not in self._topics and choreography is None:
                continue
            try:
                recorded = self._codec.decode(row)
                derived = [] if deriver is None or choreography is None else deriver.events_of(choreography, recorded)
            except UnreadableEvent as error:
                unreadable.append(_unreadable(row, _cause_of(error), is_of_process=choreography is not None))
            except Unavailable:
                raise
            except BaseException as error:  # an upcaster is user code: only the views of its event stop
                if is_interruption(error):
                    raise
                unreadable.append(_unreadable(row, describe(error), is_of_process=choreography is not None))
            else:
                events.append(recorded)
                events += derived
        end = rows[-1].position if rows else after
        if deriver is not None:
            deriver.read_upto(end)
        return EventBatch(after, end, events, unreadable)

    def _bounded(self, rows: list[StoredRow]) -> list[StoredRow]:
        """Return the rows that fit, and adapt the length of the next read to their size."""
        size_bytes = 0
        for count, row in enumerate(rows):
            size_bytes += len(row.state)
            if size_bytes > self._bytes_max and count:
                self._limit = max(count, 1)
                return rows[:count]
        fitting = self._bytes_max // (2 * max(size_bytes, 1))
        self._limit = min(self._limit * min(max(fitting, 2), GROWTH_MAX), self._events_max)
        return rows


def _cause_of(error: UnreadableEvent) -> str:
    """Return why an event cannot be read: our own words, or what an upcaster raised."""
    cause = error.__cause__
    return str(cause) if isinstance(cause, SagaledgerError) else describe(cause or error)


def _unreadable(row: StoredRow, cause: str, *, is_of_process: bool) -> UnreadableInBatch:
    return UnreadableInBatch(row.position, row.topic, cause, is_of_process)
