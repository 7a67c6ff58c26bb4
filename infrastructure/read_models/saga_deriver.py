"""The translator: puts the facts of choreographed sagas beside the events that mean them.

It stands between the log and whoever reads sagas, so that the views, the audit and the command line see one kind of
saga. A derived fact bears the position of the event that it follows from, the process's id as its stream, and its
number among the process's facts as its version.
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


class _Read(NamedTuple):
    position: int
    derived: DerivedSaga


class SagaDeriver:
    """Derives facts while a log is read in order. What it remembers between reads is only a cache of the log."""

    def __init__(self, log: EventLog, codec: Codec) -> None:
        self._log = log
        self._codec = codec
        self._choreographies = {choreography.name: choreography for choreography in codec.choreographies}
        self._processes: OrderedDict[str, _Read] = OrderedDict()
        self._upto = 0

    def continue_from(self, position: int) -> None:
        """Say where the next read begins; one that does not follow the last makes the cache worthless."""
        if position != self._upto:
            self._processes.clear()
        self._upto = position

    def read_upto(self, position: int) -> None:
        """Say how far the log was read."""
        self._upto = position
        while len(self._processes) > PROCESSES_CACHED_MAX:
            self._processes.popitem(last=False)

    def choreography_of(self, row: StoredRow) -> Choreography | None:
        """The process that an event is a part of, if it is choreographed."""
        return None if row.correlation_id is None else self._choreographies.get(row.correlation_id.partition("-")[0])

    def facts(self, choreography: Choreography, recorded: RecordedEvent) -> list[RecordedEvent]:
        """The facts that an event means. Raises what reading the process's earlier events raises."""
        process_id = recorded.correlation_id
        known = self._processes.get(process_id)
        if known is None or known.position >= recorded.position:
            derived = self._load(choreography, process_id, recorded.position)
        else:
            derived = known.derived
        after, facts = derive_recorded(choreography, derived, recorded)
        self._processes[process_id] = _Read(recorded.position, after)
        self._processes.move_to_end(process_id)
        return facts

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
    """The process after an event, and the facts that this event means, as they would stand in a saga's own stream."""
    after, facts = derive(choreography, derived, recorded)
    first = derived.state.version + 1
    return after, [
        RecordedEvent(
            recorded.position,
            recorded.correlation_id,
            version,
            fact,
            recorded.correlation_id,
            recorded.position,
            _meta(choreography, fact, recorded.meta),
            recorded.recorded_at,
        )
        for version, fact in enumerate(facts, first)
    ]


def _meta(choreography: Choreography, fact: Event, meta: Meta) -> Meta:
    """Who writes a fact: whoever wrote the event that means it; an attempt is its service's own."""
    if isinstance(fact, StepStarted | CompensationStarted):
        for stage in choreography.stages:
            if stage.name == fact.step:
                return Meta(worker=stage.service)
    return meta


def process_history(
    choreography: Choreography, process_id: str, recorded: Sequence[RecordedEvent]
) -> list[RecordedEvent]:
    """Every event of a process in order, each followed by the facts that it means for the saga."""
    derived = DerivedSaga.empty(process_id)
    history: list[RecordedEvent] = []
    for each in recorded:
        derived, facts = derive_recorded(choreography, derived, each)
        history += [each, *facts]
    return history
