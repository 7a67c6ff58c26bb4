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
from ...domain.choreography.derived_saga import Derived
from ...domain.event import Event
from ...domain.recorded_event import Meta, Recorded
from ...domain.saga.events import CompensationStarted, StepStarted
from ..event_store.codec import Mapper
from ..event_store.port import EventLog, StoredRow

PROCESSES_CACHED_MAX = 20_000


class _Read(NamedTuple):
    position: int
    derived: Derived


class Translator:
    """Derives facts while a log is read in order. What it remembers between reads is only a cache of the log."""

    def __init__(self, log: EventLog, mapper: Mapper) -> None:
        self._log = log
        self._mapper = mapper
        self._flows = {flow.name: flow for flow in mapper.flows}
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

    def flow_of(self, row: StoredRow) -> Choreography | None:
        """The process that an event is a part of, if it is choreographed."""
        return None if row.correlation_id is None else self._flows.get(row.correlation_id.partition("-")[0])

    def facts(self, flow: Choreography, recorded: Recorded) -> list[Recorded]:
        """The facts that an event means. Raises what reading the process's earlier events raises."""
        process_id = recorded.correlation_id
        known = self._processes.get(process_id)
        if known is None or known.position >= recorded.position:
            derived = self._load(flow, process_id, recorded.position)
        else:
            derived = known.derived
        after, facts = told(flow, derived, recorded)
        self._processes[process_id] = _Read(recorded.position, after)
        self._processes.move_to_end(process_id)
        return facts

    def _load(self, flow: Choreography, process_id: str, before: int) -> Derived:
        derived = Derived.nothing(process_id)
        for row in self._log.correlated(process_id):
            if row.position >= before:
                break
            derived, _ = derive(flow, derived, self._mapper.to_recorded(row))
        return derived


def told(flow: Choreography, derived: Derived, recorded: Recorded) -> tuple[Derived, list[Recorded]]:
    """The process after an event, and the facts that this event means, as they would stand in a saga's own stream."""
    after, facts = derive(flow, derived, recorded)
    first = derived.state.version + 1
    return after, [
        Recorded(
            recorded.position,
            recorded.correlation_id,
            version,
            fact,
            recorded.correlation_id,
            recorded.position,
            _meta(flow, fact, recorded.meta),
            recorded.recorded_at,
        )
        for version, fact in enumerate(facts, first)
    ]


def _meta(flow: Choreography, fact: Event, meta: Meta) -> Meta:
    """Who writes a fact: whoever wrote the event that means it; an attempt is its service's own."""
    if isinstance(fact, StepStarted | CompensationStarted):
        for stage in flow.stages:
            if stage.name == fact.step:
                return Meta(worker=stage.service)
    return meta


def process_history(flow: Choreography, process_id: str, recorded: Sequence[Recorded]) -> list[Recorded]:
    """Every event of a process in order, each followed by the facts that it means for the saga."""
    derived = Derived.nothing(process_id)
    history: list[Recorded] = []
    for each in recorded:
        derived, facts = told(flow, derived, each)
        history += [each, *facts]
    return history
