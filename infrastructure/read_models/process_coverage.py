"""Choreographed processes that an app does not declare.

A program that folds the events of sagas without the choreography of such a process passes over its saga. So a view of
sagas is neither brought up, built anew nor compared before the log has been searched for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...domain.choreography.choreography import process_name
from ...domain.choreography.derived_saga import DERIVED_EVENTS
from ...projections.projection import Projection
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog
from ..event_store.event_row import StoredRow

READ_EVENTS = 5_000
SAGA_TOPICS = frozenset(type_.schema.name for type_ in DERIVED_EVENTS)


class UndeclaredProcess(NamedTuple):
    """A process whose choreography is unknown, and the first of its events that was found."""

    process_id: str
    topic: str
    position: int

    def __str__(self) -> str:
        return f"process {self.process_id!r} (event {self.topic} at position {self.position})"


def folds_sagas(projection: Projection) -> bool:
    """Whether a projection folds the events of sagas, so that it needs the choreographies of the log's processes."""
    return not projection.topics.isdisjoint(SAGA_TOPICS)


def find_uncovered_process(log: EventLog, codec: Codec, *, after: int = 0) -> UndeclaredProcess | None:
    """Return the first process beyond a position that has no coordinator and no declared choreography.

    A process without a coordinator is one whose id names no stream: the events of its saga are derived, never stored.
    """
    declared = {choreography.name for choreography in codec.choreographies}
    coordinated: set[str] = set()
    for row in _rows(log, after):
        process_id = row.correlation_id
        if process_id is None:
            coordinated.add(row.stream_id)
        elif process_id not in coordinated and process_name(process_id) not in declared:
            if not log.stream(process_id, upto=1):
                return UndeclaredProcess(process_id, row.topic, row.position)
            coordinated.add(process_id)
    return None


def _rows(log: EventLog, after: int) -> Iterator[StoredRow]:
    head = log.head().position
    while after < head and (rows := log.read(after, limit=READ_EVENTS, upto=head)):
        yield from rows
        after = rows[-1].position
