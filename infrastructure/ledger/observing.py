"""What an observer is told of what is written from outside the worker."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from ...domain.event import Event
from ...domain.saga.state import SagaState
from ..event_store.append_call import AppendCall, Appended, Conflict, Receipt
from ..event_store.backend import Backend
from ..runtime.observer import NO_FACTS, AppendFacts, Observer


def observed(observer: Observer, log: Backend) -> Callable[[AppendCall], Receipt]:
    """Return a function that appends, and tells an observer of the call."""

    def append_and_tell(call: AppendCall) -> Receipt:
        began = perf_counter()
        receipt = log.append(call)
        events = 0
        conflicts = []
        for append_, outcome in zip(call.appends, receipt.outcomes, strict=True):
            if isinstance(outcome, Appended):
                events += len(append_.events)
            elif isinstance(outcome, Conflict):
                own = append_.events[0].stream_id if append_.events else None
                conflicts.append("saga" if outcome.stream_id == own else "participant")
        observer.appended((), AppendFacts(events, perf_counter() - began, conflicts, kind_of(log)))
        return receipt

    return append_and_tell


def kind_of(backend: Backend) -> str:
    """Return the kind of a database, such as `postgresql`."""
    return backend.name.partition(":")[0]


def tell_of_event(observer: Observer, state: SagaState, event: Event) -> None:
    """Tell an observer of an event that was written to a saga from outside."""
    begun = state.begins_at or state.started_at
    observer.appended([(state.saga_id, state.definition, None, begun, [event])], NO_FACTS)
