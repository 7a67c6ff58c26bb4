"""What an observer is told of a batch: the events of sagas that the log acknowledged, and the conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...event_store.append_call import Appended, Conflict
from ...runtime.observer import AppendFacts, Observer, SagaAppend
from .in_flight import TransitionOutcome
from .transition import Transition

SAGA: Final = "saga"
PARTICIPANT: Final = "participant"
REJECTED: Final = "rejected"


def tell_of_batch(
    observer: Observer, answered: Sequence[tuple[Transition, TransitionOutcome]], seconds: float, kind: str
) -> None:
    """Tell an observer of a batch, before what follows from it is settled."""
    sagas: list[SagaAppend] = []
    conflicts: list[str] = []
    events = 0
    for transition, outcome in answered:
        saga = transition.saga
        if isinstance(outcome, Appended):
            events += outcome.last_position - outcome.first_position + 1
            state = transition.state
            begun = state.begins_at or state.started_at
            sagas.append((saga.saga_id, state.definition, saga.trace, begun, transition.recorded or ()))
        elif isinstance(outcome, Conflict):
            conflicts.append(SAGA if outcome.stream_id == saga.saga_id else PARTICIPANT)
        else:
            conflicts.append(REJECTED)
    observer.appended(sagas, AppendFacts(events, seconds, conflicts, kind))
