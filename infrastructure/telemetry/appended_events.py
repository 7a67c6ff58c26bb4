"""From the events that the log acknowledged to counts, durations and spans: the one place where telemetry is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from time import time_ns
from typing import Any, Final

from ...domain.event import Event
from ...domain.saga.events import (
    FORWARD,
    Action,
    Direction,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
)
from ...domain.saga.item_names import split_item_name
from ...domain.saga.state import Status
from ..runtime.observer import NO_FACTS, AppendFacts, SagaAppend
from ..runtime.trace_context import TraceContext
from .catalogue import (
    APPEND_CONFLICTS,
    APPEND_DURATION,
    APPEND_SIZE,
    SAGA_DURATION,
    SAGAS_ENDED,
    SAGAS_STARTED,
    STEP_ATTEMPTS,
    STEP_DURATION,
)
from .observed_saga import BEGINS, OUTCOMES, BegunAttempt, ObservedSaga
from .span_ids import new_child
from .spans import Spans, current, nanoseconds
from .tallies import Tallies

_STARTED: Final = SAGAS_STARTED.name
_ENDED: Final = SAGAS_ENDED.name
_LASTED: Final = SAGA_DURATION.name
_ATTEMPTS: Final = STEP_ATTEMPTS.name
_TOOK: Final = STEP_DURATION.name


class AppendedEvents:
    """Counts what was appended, and sends the spans that ended with it."""

    def __init__(self, tallies: Tallies, spans: Spans | None) -> None:
        self._tallies = tallies
        self._spans = spans

    def note(self, sagas: Sequence[SagaAppend], facts: AppendFacts) -> None:
        """Note one append call."""
        spans: list[Callable[[], None]] = []
        with self._tallies.lock:
            for append in sagas:
                self._note_saga(append, spans)
            if facts is not NO_FACTS:
                self._note_call(facts)
        for send in spans:
            send()
        if self._spans is not None and facts is not NO_FACTS:
            self._send_call(sagas, facts)

    def _note_saga(self, append: SagaAppend, spans: list[Callable[[], None]]) -> None:
        """Count what was appended of a saga; the spans that ended with it are to be sent without the lock."""
        trace = append.trace if isinstance(append.trace, ObservedSaga) else None
        definition = append.definition
        for event in append.events:
            kind = type(event)
            if kind in BEGINS:
                step: str = event.step  # type: ignore[attr-defined]
                self._tallies.count(_ATTEMPTS, definition, _label(step), BEGINS[kind])
                if trace is not None:
                    trace.begin(event)
            elif kind in OUTCOMES:
                self._note_outcome(definition, trace, event, OUTCOMES[kind][1], spans)
            elif kind is SagaStarted:
                self._tallies.count(_STARTED, definition)
                if trace is not None:
                    trace.started_at = event.at
            else:
                self._note_end(append, event)
        if trace is not None:
            if trace.starts:
                spans.append(partial(self._send_start, definition, trace))
                trace.starts = False
            trace.cause = None

    def _note_outcome(
        self, definition: str, trace: ObservedSaga | None, event: Any, outcome: str, spans: list[Callable[[], None]]
    ) -> None:
        if trace is None:
            return
        direction, begun = trace.end(event)
        if begun is None:  # it began where no telemetry was
            return
        step: str = event.step
        seconds = (event.at - begun.at).total_seconds()
        self._tallies.observe(seconds, _TOOK, definition, _label(step), direction, outcome)
        if trace.traced is not None:
            saga = trace.traced, trace.cause
            spans.append(partial(self._send_attempt, definition, trace, saga, direction, begun, event, outcome))

    def _note_end(self, append: SagaAppend, event: Event) -> None:
        status = _status_of(event)
        if status is None:
            return
        self._tallies.count(_ENDED, append.definition, status)
        if append.begun is not None:
            seconds = max((event.at - append.begun).total_seconds(), 0.0)
            self._tallies.observe(seconds, _LASTED, append.definition, status)

    def _note_call(self, facts: AppendFacts) -> None:
        for kind in facts.conflicts:
            self._tallies.count(APPEND_CONFLICTS.name, kind)
        self._tallies.observe(facts.seconds, APPEND_DURATION.name, facts.backend)
        self._tallies.observe(facts.events, APPEND_SIZE.name, facts.backend)

    # Spans

    def _send_attempt(
        self,
        definition: str,
        trace: ObservedSaga,
        saga: tuple[TraceContext, TraceContext | None],
        direction: Direction,
        begun: BegunAttempt,
        event: Any,
        outcome: str,
    ) -> None:
        start, cause = saga
        context = trace.span_of(event.step, direction, begun)
        is_late = context.trace_id != start.trace_id
        links = [*([start] if is_late else ()), *begun.links]
        if cause is not None and cause not in links:
            links.append(cause)
        name = f"{definition}/{_label(event.step)}"
        failure = getattr(event, "error", None)
        assert self._spans is not None  # noqa: S101 -- the saga is traced
        self._spans.emit(
            name if direction is FORWARD else f"{name} compensate",
            context,
            "consumer",
            nanoseconds(begun.at),
            nanoseconds(event.at),
            {
                "saga.id": trace.saga_id,
                "saga.definition": definition,
                "saga.step": event.step,
                "saga.direction": str(direction),
                "saga.attempt": begun.attempt,
                "saga.outcome": outcome,
            },
            parent=None if is_late else start,
            links=links,
            error=None if outcome == "succeeded" else failure.type if failure is not None else outcome,
        )

    def _send_start(self, definition: str, trace: ObservedSaga) -> None:
        at: datetime | None = trace.started_at
        if trace.context is not None and at is not None and self._spans is not None:
            attributes = {"saga.id": trace.saga_id, "saga.definition": definition}
            start_ns = nanoseconds(at)
            self._spans.emit(f"start {definition}", trace.context, "producer", start_ns, start_ns, attributes)

    def _send_call(self, sagas: Sequence[SagaAppend], facts: AppendFacts) -> None:
        traced = [
            context
            for append in sagas
            if isinstance(append.trace, ObservedSaga) and (context := append.trace.traced) is not None
        ]
        around = None if sagas else current()
        if around is not None and around.sampled:
            traced.append(around)
        if traced and self._spans is not None:
            send_append(self._spans, facts, traced)


def send_append(spans: Spans, facts: AppendFacts, of: Sequence[TraceContext]) -> None:
    """Send the span of an append call: in the trace of what it was for, or linked to several of these."""
    parent = of[0] if len(of) == 1 else None
    end_ns = time_ns()
    spans.emit(
        "append",
        new_child(parent),
        "client",
        end_ns - int(facts.seconds * 1e9),
        end_ns,
        {
            "db.system.name": facts.backend,
            "db.operation.name": "append",
            "saga.events": facts.events,
            "saga.conflicts": len(facts.conflicts),
        },
        parent=parent,
        links=() if parent is not None else of,
    )


def _label(step: str) -> str:
    """Return the step of an item: a label must not have a value for each item."""
    item = split_item_name(step)
    return step if item is None else item[0]


def _status_of(event: Event) -> str | None:
    if type(event) is SagaCompleted:
        return Status.COMPLETED
    if type(event) is SagaCompensated:
        return Status.COMPENSATED
    if isinstance(event, InterventionResolved) and event.action is Action.ABANDON:
        return Status.ABANDONED
    return None
