"""Observing from outside: what the code that does the work tells an observer, if there is one.

Nothing here knows a library of telemetry. Without an observer, the worker and the append path pay for a question only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import datetime
from typing import Final, NamedTuple, Protocol, TypeAlias

from ...domain.event import Event
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.decision import Attempt

current_trace_id: Final[ContextVar[str | None]] = ContextVar("sagaledger_trace_id", default=None)
"""The trace that the running code belongs to, for the log."""


class SagaTrace:
    """The trace of one saga that a worker holds; without an observer it only passes on what its caller gave."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str | None) -> None:
        self.traceparent = traceparent
        """The W3C trace context that the saga started with; None if it belongs to no trace."""

    @property
    def trace_id(self) -> str | None:
        """The id of its trace, for the log."""
        return None if self.traceparent is None else self.traceparent[3:35]

    def traceparent_of(self, attempt: Attempt) -> str | None:  # noqa: ARG002 -- an observer's trace asks
        """Return the trace context of an attempt: calls that it makes belong to it."""
        return self.traceparent

    def enter(self, attempt: Attempt) -> str | None:
        """Make an attempt's trace context the current one of the task that calls this, and return it."""
        traceparent = self.traceparent_of(attempt)
        if traceparent is not None:
            current_trace_id.set(traceparent[3:35])
        return traceparent

    def read(self, recorded: Sequence[RecordedEvent]) -> None:
        """Learn of events that others wrote to the saga."""


SagaAppend: TypeAlias = tuple[str, str, SagaTrace | None, datetime | None, Sequence[Event]]
"""What was appended of one saga: its id, its definition, its trace, when it started or was to begin, and the events of
its own stream. A plain tuple, because a worker makes one for each transition."""


class AppendFacts(NamedTuple):
    """What became of one append call."""

    events: int
    seconds: float
    conflicts: Sequence[str] = ()
    """The kind of each conflict."""
    backend: str = ""
    """The kind of database."""


NO_FACTS: Final = AppendFacts(0, 0.0)
"""The call was told of before."""


class Observer(Protocol):
    """What is told of what happens. Every method may be called from any thread, returns at once, and never raises."""

    def starting(self, saga_id: str, traceparent: str | None) -> SagaTrace:
        """Return the trace of a saga that a worker is about to start."""
        ...

    def claimed(self, saga_id: str, history: Sequence[RecordedEvent]) -> SagaTrace:
        """Return the trace of a saga that a worker takes up, by what is on record of it."""
        ...

    def appended(self, sagas: Sequence[SagaAppend], facts: AppendFacts) -> None:
        """Learn that the log acknowledged one append call, with these events of sagas in it."""
        ...

    def starts(self, definition: str, saga_id: str, traceparent: str | None) -> AbstractContextManager[str | None]:
        """Record the span of a start that a program asked for; yields the trace context to store, if there is one.

        Its parent is the context that the caller passed, or else the one that is current.
        """
        ...

    def span(
        self,
        name: str,
        kind: str,
        attributes: Mapping[str, str | int],
        *,
        parent: str | None = None,
        seconds: float | None = None,
    ) -> AbstractContextManager[str | None]:
        """Record the span of what the block does; yields its trace context, None if it is not recorded.

        `kind` is `client`, `consumer`, `internal`, `producer` or `server`. Without a `parent` the current context is
        the parent, or else a trace begins here. `seconds`: how long ago it began.
        """
        ...


def passed_on(traceparent: str | None) -> SagaTrace | None:
    """Return the trace of a saga where there is no observer."""
    return None if traceparent is None else SagaTrace(traceparent)
