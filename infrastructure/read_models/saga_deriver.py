"""Deriving sagas: the saga events that follow from the events of choreographed processes.

The deriver works between the log and the readers of sagas, so that the views, the audit and the command line handle
one kind of saga. A derived event has the position of the event that it follows from, the process's id as its stream,
and its number among the process's derived events as its version.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from ...domain.choreography.choreography import Choreography
from ...domain.choreography.derive import derive
from ...domain.choreography.derived_saga import DerivedSaga
from ...domain.event import Event
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.events import CompensationStarted, StepStarted
from ..event_store.codec import Codec
from ..event_store.event_log import EventLog
from ..event_store.event_row import StoredRow

PROCESSES_CACHED_MAX = 20_000


class _CachedSaga(NamedTuple):
    """The derived saga of a process, up to a position."""

    position: int
    derived: DerivedSaga


class SagaDeriver:
    """Derives saga events while a log is read in order. What it keeps between reads is only a cache of the log."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._choreographies = {choreography.name: choreography for choreography in codec.choreographies}
        self._processes: OrderedDict[str, _CachedSaga] = OrderedDict()
        self._upto = 0

    def continue_from(self, position: int) -> None:
        """Begin a read after a position; one that does not follow the last read empties the cache."""
        if position != self._upto:
            self._processes.clear()
        self._upto = position

    def read_upto(self, position: int) -> None:
        """End a read at a position."""
        self._upto = position
        while len(self._processes) > PROCESSES_CACHED_MAX:
            self._processes.popitem(last=False)

    def choreography_of(self, row: StoredRow) -> Choreography | None:
        """Return the choreography of the process that an event belongs to; None if it belongs to none."""
        return None if row.correlation_id is None else self._choreographies.get(row.correlation_id.partition("-")[0])

    def events_of(self, choreography: Choreography, recorded: RecordedEvent) -> list[RecordedEvent]:
        """Return the saga events that follow from an event of a process.

        Raises what reading the earlier events of the process raises.
        """
        process_id = recorded.correlation_id
        cached = self._processes.get(process_id)
        if cached is None or cached.position >= recorded.position:
            before = self._load(choreography, process_id, recorded.position)
        else:
            before = cached.derived
        after, events = derive_recorded(choreography, before, recorded)
        self._processes[process_id] = _CachedSaga(recorded.position, after)
        self._processes.move_to_end(process_id)
        return events

    def _load(self, choreography: Choreography, process_id: str, before: int) -> DerivedSaga:
        derived = DerivedSaga.empty(process_id)
        for row in self._log.correlated(process_id):
            if row.position >= before:
                break
            derived, _ = derive(choreography, derived, self._codec.decode(row))
        return derived


def derive_recorded(
    choreography: Choreography, derived: DerivedSaga, recorded: RecordedEvent
) -> tuple[DerivedSaga, list[RecordedEvent]]:
    """Return the derived saga after an event, and the saga events that follow from it, as in a saga's own stream."""
    after, events = derive(choreography, derived, recorded)
    first = derived.state.version + 1
    return after, [
        RecordedEvent(
            recorded.position,
            recorded.correlation_id,
            version,
            event,
            recorded.correlation_id,
            recorded.position,
            _meta(choreography, event, recorded.meta),
            recorded.recorded_at,
        )
        for version, event in enumerate(events, first)
    ]


def _meta(choreography: Choreography, event: Event, meta: Meta) -> Meta:
    """Return the writer of a derived event: the service for an attempt, else the writer of the recorded event."""
    if isinstance(event, StepStarted | CompensationStarted):
        for stage in choreography.stages:
            if stage.name == event.step:
                return Meta(worker=stage.service)
    return meta


def process_history(
    choreography: Choreography, process_id: str, recorded: Sequence[RecordedEvent]
) -> list[RecordedEvent]:
    """Return the events of a process in order, each followed by the saga events that are derived from it."""
    derived = DerivedSaga.empty(process_id)
    history: list[RecordedEvent] = []
    for each in recorded:
        derived, events = derive_recorded(choreography, derived, each)
        history += [each, *events]
    return history
