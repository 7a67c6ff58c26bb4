"""What telemetry knows of one saga that a worker holds: its trace, and the attempts that have begun and not ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

from ...domain.event import Event
from ...domain.recorded_event import RecordedEvent
from ...domain.saga.decision import Attempt
from ...domain.saga.events import (
    COMPENSATION,
    FORWARD,
    CompensationFailed,
    CompensationStarted,
    Direction,
    SagaStarted,
    StepCompensated,
    StepFailed,
    StepOutcomeUnknown,
    StepStarted,
    StepSucceeded,
)
from ..runtime.observer import SagaTrace, current_trace_id
from ..runtime.trace_context import TraceContext, parse_traceparent
from .span_ids import attempt_of
from .spans import enter

BegunAttempt: TypeAlias = StepStarted | CompensationStarted
OUTCOMES: Final[dict[type[Event], tuple[Direction | None, str]]] = {
    StepSucceeded: (FORWARD, "succeeded"),
    StepFailed: (FORWARD, "failed"),
    StepCompensated: (COMPENSATION, "succeeded"),
    CompensationFailed: (COMPENSATION, "failed"),
    StepOutcomeUnknown: (None, "unknown"),
}
"""The events with which an attempt ends; the direction of `StepOutcomeUnknown` stands in the event."""


class ObservedSaga(SagaTrace):
    """The trace of one saga, and its open attempts. Belongs to the engine's thread, except for `enter`."""

    # Most sagas are not traced: what only those have is here until then, and costs the others nothing.
    context: TraceContext | None = None
    """The span of its start, whether it is recorded or not."""
    traced: TraceContext | None = None
    """The same, if this process records the saga's spans."""
    started_at: datetime | None = None
    """When the saga started; None until that is written."""
    starts = False
    """Whether the span of its start is to be sent with what is appended next: no program has sent it."""
    undoing: dict[str, BegunAttempt] | None = None
    """The open attempts at compensations, by step."""
    cause: TraceContext | None = None
    """The span of what a person or a program wrote to the saga since the last append."""
    links: dict[tuple[str, Direction], tuple[TraceContext, ...]]
    """Of a saga that is traced: what caused its open attempts besides itself."""
    done: dict[str, TraceContext]
    """Of a saga that is traced: the span of the latest attempt at each step's action."""

    def __init__(self, saga_id: str, context: TraceContext | None, *, recorded: bool) -> None:
        self.saga_id = saga_id
        self.begun: dict[str, BegunAttempt] = {}
        """The open attempts at actions, by step."""
        self.traceparent = None
        if context is not None:
            self.traceparent = str(context)
            self.context = context
            if recorded and context.sampled:
                self.traced = context
                self.links = {}
                self.done = {}

    def replay(self, history: Sequence[RecordedEvent]) -> None:
        """Learn what is on record of a saga that this worker takes up."""
        for recorded in history:
            event = recorded.event
            if isinstance(event, SagaStarted):
                self.started_at = event.at
            elif isinstance(event, StepStarted | CompensationStarted):
                self.begin(event)
            elif type(event) in OUTCOMES:
                self.end(event)
        self.read(history[1:])

    def read(self, recorded: Sequence[RecordedEvent]) -> None:
        """Learn of events that others wrote to the saga."""
        if recorded and recorded[-1].meta.traceparent is not None:
            self.cause = parse_traceparent(recorded[-1].meta.traceparent)

    def begin(self, event: BegunAttempt) -> None:
        """Note that an attempt begins, with its links if the saga is traced."""
        direction = FORWARD
        if isinstance(event, StepStarted):
            self.begun[event.step] = event
        else:
            direction = COMPENSATION
            self.undoing = {**(self.undoing or {}), event.step: event}
        if self.traced is None:
            return
        undone = self.done.get(event.step) if direction is COMPENSATION else None
        self.links[event.step, direction] = tuple(each for each in (undone, self.cause) if each is not None)
        if direction is FORWARD:
            self.done[event.step] = self.span_of(direction, event)

    def end(self, event: Any) -> tuple[Direction, BegunAttempt | None]:
        """Note that an attempt ended; returns it, if its begin is known, with its direction."""
        direction: Direction = OUTCOMES[type(event)][0] or event.direction
        begun = self.begun if direction is FORWARD else self.undoing or {}
        return direction, begun.pop(event.step, None)

    def span_of(self, direction: Direction, begun: BegunAttempt) -> TraceContext:
        """Return the span of an attempt of a saga that is traced."""
        assert self.traced is not None  # noqa: S101 -- otherwise nothing asks
        started_at = self.started_at or begun.at
        return attempt_of(self.traced, started_at, self.saga_id, begun.step, direction, begun.attempt, begun.at)

    def traceparent_of(self, attempt: Attempt) -> str | None:
        """Return the trace context of an attempt; of a saga that is not traced, what its caller passed."""
        context = self._context_of(attempt)
        return None if context is None else str(context)

    def enter(self, attempt: Attempt) -> str | None:
        """Make the attempt's span the current one of the task that calls this, and return its trace context."""
        if self.context is None:
            return None
        context = self._context_of(attempt) or self.context
        if context.sampled:
            enter(context)
        else:
            current_trace_id.set(f"{context.trace_id:032x}")
        return str(context)

    def _context_of(self, attempt: Attempt) -> TraceContext | None:
        begun = (self.begun if attempt.direction is FORWARD else self.undoing or {}).get(attempt.step)
        return self.context if self.traced is None or begun is None else self.span_of(attempt.direction, begun)
