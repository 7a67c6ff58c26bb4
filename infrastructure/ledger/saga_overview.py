"""An overview of one saga: its state, every attempt of its steps, and what can be done about it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from ...domain.recorded_event import RecordedEvent
from ...domain.saga.state import SagaState
from ...projections.projection import Row
from ...projections.saga.saga_steps import saga_steps
from ..errors import SagaNotFound
from .context import LedgerContext
from .freshness import is_unattended
from .possible_actions import PossibleAction, SagaWait, actions_on_process, actions_on_saga, waits_of
from .process_report import ProcessReport
from .put_back_sagas import put_back_until
from .saga_history import HistoryEntry, read_history, saga_row
from .search_attributes import attributes_of


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


class UnderivedProcess(NamedTuple):
    """A choreographed saga whose choreography the app does not declare: its steps cannot be derived."""

    saga_id: str
    entries: list[HistoryEntry]
    """The recorded events of its process."""
    row: Row | None
    """Its row in the view `sagas`, if that has one."""


def saga_overview(context: LedgerContext, saga_id: str) -> SagaOverview | UnderivedProcess:
    """Return the overview of a saga, as far as the app can derive it. Raises `SagaNotFound`."""
    choreography = context.app.choreography_of(saga_id)
    history = read_history(context, saga_id, participants=choreography is not None)
    state, own = history.state, history.own_events
    if state is None:
        if any(entry.stream_id == saga_id for entry in history.entries):  # a participant's stream, not a saga's
            raise SagaNotFound(saga_id)
        return UnderivedProcess(saga_id, history.entries, saga_row(context, saga_id))
    if choreography is None:
        idle = state.end is None and not state.interventions and is_unattended(context)
        actions = list(actions_on_saga(state))
        waits, put_back = list(waits_of(state)), put_back_until(context, state)
        attributes = attributes_of(context, saga_id)
        return SagaOverview(state, own, attempts_of(own), None, waits, actions, idle, put_back, attributes)
    events = [entry.event for entry in history.entries if entry.event is not None]
    report = ProcessReport.of(choreography, state, events, context.clock.now())
    return SagaOverview(state, own, attempts_of(own), report, [], list(actions_on_process(report)), unattended=False)


def attempts_of(events: Sequence[RecordedEvent]) -> list[Row]:
    """Return every attempt in a saga's own events: the rows that the view `saga_steps` makes of them."""
    folded = saga_steps.fold(saga_steps.touches(events), {})
    return sorted(folded.written, key=lambda row: row["started_at"])
