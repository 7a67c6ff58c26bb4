"""From the events that the log acknowledged to counts, durations and spans: the one place where telemetry is made.

A worker at full speed passes here for each event. So the usual events come first, and what only traced sagas need is
in functions of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from time import time_ns
from typing import Any

from ...domain.event import Event
from ...domain.saga.events import (
    FORWARD,
    Action,
    CompensationStarted,
    Direction,
    InterventionResolved,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepStarted,
    StepSucceeded,
)
from ...domain.saga.item_names import split_item_name
from ...domain.saga.state import Status
from ..runtime.observer import NO_FACTS, AppendFacts, SagaAppend
from ..runtime.trace_context import TraceContext
from .catalogue import APPEND_CONFLICTS, APPEND_DURATION, APPEND_SIZE, STEP_SECONDS
from .observed_saga import OUTCOMES, BegunAttempt, ObservedSaga
from .span_ids import new_child
from .spans import Spans, current, nanoseconds
from .tallies import SagaTally, Tallies

Send = Callable[[], None]


class AppendedEvents:
    """Counts what was appended, and sends the spans that ended with it."""

    def __init__(self, tallies: Tallies, spans: Spans | None) -> None:
        self._tallies = tallies
        self._spans = spans

    def note(self, sagas: Sequence[SagaAppend], facts: AppendFacts) -> None:
        """Note one append call."""
        unsent: list[Send] = []
        traced: list[TraceContext] = []
        known = self._tallies.sagas
        with self._tallies.lock:
            for append in sagas:
                definition, trace = append[1], append[2]
                tally = known.get(definition) or self._tallies.saga(definition)
                if isinstance(trace, ObservedSaga):
                    self._note_observed(append, trace, tally, unsent)
                    if trace.traced is not None:
                        traced.append(trace.traced)
                else:
                    for event in append[4]:
                        self._note_other(append, event, tally)
            if facts is not NO_FACTS:
                self._note_call(facts)
        for send in unsent:  # without the lock
            send()
        if self._spans is not None and facts is not NO_FACTS:
            around = None if sagas else current()
            if around is not None and around.sampled:
                traced.append(around)
            if traced:
                send_append(self._spans, facts, traced)

    def _note_observed(self, append: SagaAppend, trace: ObservedSaga, tally: SagaTally, unsent: list[Send]) -> None:
        """Count what was appended of a saga that a worker holds."""
        steps, begun, is_traced = tally.steps, trace.begun, trace.traced is not None
        for event in append[4]:
            kind = type(event)
            if kind is StepStarted:
                name: str = event.step  # type: ignore[attr-defined]
                (steps.get(name) or tally.step(name)).forward += 1
                if is_traced:
                    trace.begin(event)  # type: ignore[arg-type]
                else:
                    begun[name] = event  # type: ignore[assignment]
            elif kind is StepSucceeded and not is_traced:
                name = event.step  # type: ignore[attr-defined]
                attempt = begun.pop(name, None)
                if attempt is not None:
                    seconds = (event.at - attempt.at).total_seconds()
                    buckets = (steps.get(name) or tally.step(name)).succeeded
                    buckets[bisect_left(STEP_SECONDS, seconds)] += 1
                    buckets[-1] += seconds
            elif kind in OUTCOMES:
                self._note_outcome(append[1], trace, event, tally, unsent)
            elif kind is CompensationStarted:
                name = event.step  # type: ignore[attr-defined]
                (steps.get(name) or tally.step(name)).undoing += 1
                trace.begin(event)  # type: ignore[arg-type]
            else:
                self._note_other(append, event, tally)
                if kind is SagaStarted:
                    trace.started_at = event.at
        if trace.starts:
            trace.starts = False
            unsent.append(partial(self._send_start, append[1], trace))
        if trace.cause is not None:
            trace.cause = None

    def _note_outcome(
        self, definition: str, trace: ObservedSaga, event: Any, tally: SagaTally, unsent: list[Send]
    ) -> None:
        direction, begun = trace.end(event)
        if begun is None:  # it began where no telemetry was
            return
        outcome, seconds = OUTCOMES[type(event)][1], (event.at - begun.at).total_seconds()
        step = tally.steps.get(event.step) or tally.step(event.step)
        if outcome == "succeeded" and direction is FORWARD:
            step.succeeded[bisect_left(STEP_SECONDS, seconds)] += 1
            step.succeeded[-1] += seconds
        else:
            step.observe(direction, outcome, seconds)
        if trace.traced is not None:
            links = trace.links.pop((begun.step, direction), ())
            if trace.cause is not None and trace.cause not in links:
                links = (*links, trace.cause)
            unsent.append(partial(self._send_attempt, definition, trace, direction, begun, event, outcome, links))

    def _note_other(self, append: SagaAppend, event: Event, tally: SagaTally) -> None:
        """Count a start or an end; other events are not counted."""
        if type(event) is SagaStarted:
            tally.started += 1
            return
        status = _status_of(event)
        if status is not None:
            begun = append[3]
            tally.end(status, 0.0 if begun is None else max((event.at - begun).total_seconds(), 0.0))

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
        direction: Direction,
        begun: BegunAttempt,
        event: Any,
        outcome: str,
        links: tuple[TraceContext, ...],
    ) -> None:
        start, context = trace.traced, trace.span_of(direction, begun)
        assert self._spans is not None  # noqa: S101 -- the saga is traced
        assert start is not None  # noqa: S101 -- likewise
        is_late = context.trace_id != start.trace_id
        item = split_item_name(event.step)
        name = f"{definition}/{event.step if item is None else item[0]}"
        failure = getattr(event, "error", None)
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
            links=(start, *links) if is_late else links,
            error=None if outcome == "succeeded" else failure.type if failure is not None else outcome,
        )

    def _send_start(self, definition: str, trace: ObservedSaga) -> None:
        if trace.traced is not None and trace.started_at is not None and self._spans is not None:
            attributes = {"saga.id": trace.saga_id, "saga.definition": definition}
            start_ns = nanoseconds(trace.started_at)
            self._spans.emit(f"start {definition}", trace.traced, "producer", start_ns, start_ns, attributes)


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


def _status_of(event: Event) -> str | None:
    if type(event) is SagaCompleted:
        return Status.COMPLETED
    if type(event) is SagaCompensated:
        return Status.COMPENSATED
    if isinstance(event, InterventionResolved) and event.action is Action.ABANDON:
        return Status.ABANDONED
    return None
