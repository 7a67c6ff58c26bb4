"""An overview of one saga: its state, every attempt of its steps, and what can be done about it now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.decide import awaited_sagas
from ...domain.saga.state import SagaState
from ...projections.projection import Row
from ...projections.saga.saga_steps import saga_steps
from ...projections.saga.sagas import sagas
from ..errors import SagaNotFound
from .context import LedgerContext
from .freshness import is_unattended
from .moment import Moment, SagaMoment, recorded_at
from .possible_actions import PossibleAction, SagaWait, actions_on_process, actions_on_saga, waits_of
from .process_report import ProcessReport
from .put_back_sagas import put_back_until
from .saga_history import HistoryEntry, read_history, saga_row
from .search_attributes import attributes_of
from .state_reader import state_now

SUB_SAGA_DEPTH_MAX = 8
"""How deep sub-sagas of sub-sagas are looked at."""


class SubSagaInNeed(NamedTuple):
    """A sub-saga that needs a person, and what that person can decide."""

    saga_id: str
    actions: list[PossibleAction]


class SagaOverview(NamedTuple):
    """What an operator needs to know of one saga."""

    state: SagaState
    events: list[RecordedEvent]
    """The saga's own events."""
    attempts: list[Row]
    """Every attempt of every step, in the order of their starts, as rows of the view `saga_steps`."""
    process: ProcessReport | None
    """For a choreographed saga, what its services owe."""
    waits: list[SagaWait]
    actions: list[PossibleAction]
    unattended: bool
    """The saga could go on, and no worker is there to move it."""
    put_back_until: datetime | None = None
    """The saga could go on, and a worker that could not read it left it to others; from then on it may try again."""
    attributes: Mapping[str, Sequence[str]] = MappingProxyType({})
    """The values by which the saga is found, as far as the view of them has come."""
    failed_step: str | None = None
    """The step that failed the saga, as the view `sagas` shows it."""
    error: str | None = None
    """What failed it."""
    then: SagaMoment | None = None
    """The moment of the past that this is of; None if it is the present. Nothing can be done about the past."""
    sub_sagas_in_need: Sequence[SubSagaInNeed] = ()
    """Sagas that are steps of it, or of such a one, and that need a person before it can go on."""


class UnderivedProcess(NamedTuple):
    """A choreographed saga whose choreography the app does not declare: its steps cannot be derived."""

    saga_id: str
    entries: list[HistoryEntry]
    """The recorded events of its process."""
    row: Row | None
    """Its row in the view `sagas`, if that has one."""


def saga_overview(context: LedgerContext, saga_id: str, at: Moment | None = None) -> SagaOverview | UnderivedProcess:
    """Return the overview of a saga, now or at a moment, as far as the app can derive it. Raises as `read_history`."""
    choreography = context.app.choreography_of(saga_id)
    history = read_history(context, saga_id, participants=choreography is not None, at=at)
    state, own, then = history.state, history.own_events, history.then
    if state is None:
        if any(entry.stream_id == saga_id for entry in history.entries):  # a participant's stream, not a saga's
            raise SagaNotFound(saga_id)
        return UnderivedProcess(saga_id, history.entries, saga_row(context, saga_id))
    failed_step, error = failure_of(own)
    report = None
    if choreography is not None:
        events = [entry.event for entry in history.entries if entry.event is not None]
        report = ProcessReport.of(choreography, state, events, _time_of(context, at, then))
    found = SagaOverview(
        state, own, attempts_of(own), report, [], [], unattended=False, failed_step=failed_step, error=error, then=then
    )
    if choreography is None:
        found = found._replace(waits=list(waits_of(state)), attributes=attributes_of(context, saga_id))
    if then is not None:
        return found
    if report is not None:
        return found._replace(actions=list(actions_on_process(report)))
    idle = state.end is None and not state.interventions and is_unattended(context)
    return found._replace(
        actions=list(actions_on_saga(state)),
        unattended=idle,
        put_back_until=put_back_until(context, state),
        sub_sagas_in_need=list(_in_need(context, state)),
    )


def _time_of(context: LedgerContext, at: Moment | None, then: SagaMoment | None) -> datetime:
    """Return the time of a moment: of one that is no time, when the event at its position was recorded."""
    if at is None or then is None:
        return context.clock.now()
    return at.time or recorded_at(context, then.position) or context.clock.now()


def failure_of(events: Sequence[RecordedEvent]) -> tuple[str | None, str | None]:
    """Return the step that failed a saga and the error, by its own events, as the view `sagas` shows them."""
    [row] = sagas.fold(sagas.touches(events), {}).written
    return row["failed_step"], row["error"]


def _in_need(context: LedgerContext, state: SagaState, depth: int = 0) -> Iterator[SubSagaInNeed]:
    """Yield the sub-sagas for which a saga waits, directly or not, and that need a person."""
    for saga_id in awaited_sagas(state) if depth < SUB_SAGA_DEPTH_MAX else ():
        try:
            awaited = state_now(context, saga_id)
        except SagaNotFound:  # it is yet to begin
            continue
        if awaited.interventions:
            yield SubSagaInNeed(saga_id, list(actions_on_saga(awaited)))
        yield from _in_need(context, awaited, depth + 1)


def attempts_of(events: Sequence[RecordedEvent]) -> list[Row]:
    """Return every attempt in a saga's own events: the rows that the view `saga_steps` makes of them."""
    folded = saga_steps.fold(saga_steps.touches(events), {})
    return sorted(folded.written, key=lambda row: row["started_at"])
