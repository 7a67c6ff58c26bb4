"""What telemetry knows of one saga that a worker holds: its trace, and the attempts that have begun and not ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

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

BEGINS: Final[dict[type[Event], Direction]] = {StepStarted: FORWARD, CompensationStarted: COMPENSATION}
"""The events with which an attempt begins."""
OUTCOMES: Final[dict[type[Event], tuple[Direction | None, str]]] = {
    StepSucceeded: (FORWARD, "succeeded"),
    StepFailed: (FORWARD, "failed"),
    StepCompensated: (COMPENSATION, "succeeded"),
    CompensationFailed: (COMPENSATION, "failed"),
    StepOutcomeUnknown: (None, "unknown"),
}
"""The events with which an attempt ends; the direction of `StepOutcomeUnknown` stands in the event."""


class BegunAttempt(NamedTuple):
    """An attempt that has begun."""

    attempt: int
    at: datetime
    links: tuple[TraceContext, ...]
    """What caused it besides its saga: a decision of a person, and for a compensation the attempt that it undoes."""


class ObservedSaga(SagaTrace):
    """The trace of one saga, and its open attempts. Belongs to the engine's thread, except for `enter`."""

    __slots__ = ("begun", "cause", "context", "done", "saga_id", "started_at", "starts", "traced")

    def __init__(
        self, saga_id: str, context: TraceContext | None, started_at: datetime | None = None, *, recorded: bool
    ) -> None:
        super().__init__(None if context is None else str(context))
        self.saga_id = saga_id
        self.context = context
        self.traced = context if recorded and context is not None and context.sampled else None
        """The same, if this process records the saga's spans."""
        self.started_at = started_at
        """When the saga started; None until that is written."""
        self.starts = False
        """Whether the span of its start is to be sent with what is appended next: no program has sent it."""
        self.begun: dict[tuple[str, Direction], BegunAttempt] = {}
        self.done: dict[str, TraceContext] = {}
        """The span of the latest attempt at each step's action, if it is traced: its compensation links to it."""
        self.cause: TraceContext | None = None
        """The span of what a person or a program wrote to the saga since the last append."""

    def replay(self, history: Sequence[RecordedEvent]) -> None:
        """Learn what is on record of a saga that this worker takes up."""
        for recorded in history:
            event = recorded.event
            if type(event) is SagaStarted:
                self.started_at = event.at
            elif type(event) in BEGINS:
                self.begin(event)
            elif type(event) in OUTCOMES:
                self.end(event)
        self.read(history[1:])

    def read(self, recorded: Sequence[RecordedEvent]) -> None:
        """Learn of events that others wrote to the saga."""
        if recorded and recorded[-1].meta.traceparent is not None:
            self.cause = parse_traceparent(recorded[-1].meta.traceparent)

    def begin(self, event: Event) -> BegunAttempt:
        """Note that an attempt begins."""
        direction = BEGINS[type(event)]
        step: str = event.step  # type: ignore[attr-defined]
        links = () if self.cause is None else (self.cause,)
        if direction is COMPENSATION and step in self.done:
            links = (self.done[step], *links)
        begun = self.begun[step, direction] = BegunAttempt(event.attempt, event.at, links)  # type: ignore[attr-defined]
        if direction is FORWARD and self.traced is not None:
            self.done[step] = self.span_of(step, direction, begun)
        return begun

    def end(self, event: Event) -> tuple[Direction, BegunAttempt | None]:
        """Note that an attempt ended; returns it, if its begin is known, with its direction."""
        direction = OUTCOMES[type(event)][0] or event.direction  # type: ignore[attr-defined]
        return direction, self.begun.pop((event.step, direction), None)  # type: ignore[attr-defined]

    def span_of(self, step: str, direction: Direction, begun: BegunAttempt) -> TraceContext:
        """Return the span of an attempt of a saga that is traced."""
        assert self.traced is not None  # noqa: S101 -- otherwise nothing asks
        started_at = self.started_at or begun.at
        return attempt_of(self.traced, started_at, self.saga_id, step, direction, begun.attempt, begun.at)

    def traceparent_of(self, attempt: Attempt) -> str | None:
        """Return the trace context of an attempt; of a saga that is not traced, what its caller passed."""
        context = self._context_of(attempt)
        return None if context is None else str(context)

    def enter(self, attempt: Attempt) -> str | None:
        """Make the attempt's span the current one of the task that calls this, and return its trace context."""
        context = self._context_of(attempt)
        if context is None:
            return None
        if context.sampled:
            enter(context)
        else:
            current_trace_id.set(f"{context.trace_id:032x}")
        return str(context)

    def _context_of(self, attempt: Attempt) -> TraceContext | None:
        begun = self.begun.get((attempt.step, attempt.direction))
        if self.traced is None or begun is None:
            return self.context
        return self.span_of(attempt.step, attempt.direction, begun)
