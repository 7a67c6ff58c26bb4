"""What a step of a saga waits for, when it begins to wait, and what ends its waiting."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..event import Event
from .definition import Definition
from .error_text import shortened
from .event_parts import Failure, Wait, WaitKind
from .events import ApprovalCounted, Effect, StepFailed, StepSucceeded, TimerFired
from .payload import NULL
from .signals import approvals_in_words, first_for, is_first_in_line
from .state import SagaState
from .step import AnyStep
from .step_state import StepProgress


def wait_of(definition: Definition, state: SagaState, step: str, now: datetime) -> Wait | None:
    """Returns what a step waits for if it starts now; None if it runs something.

    The one who started the saga is named among those who may not approve, if the step excludes them, so that the
    recorded wait says by itself what ends it.
    """
    wait = definition.step(step).wait(state.saga_id, now)
    if wait is not None and step in definition.excludes_requester and state.started_by not in (None, *wait.excluded):
        return replace(wait, excluded=(*wait.excluded, state.started_by))
    return wait


def expected_waits(definition: Definition, state: SagaState, now: datetime) -> dict[str, Wait]:
    """Returns, for each step of a definition that waits for a signal, what it waits for if it starts now."""
    waits = {step: wait_of(definition, state, step, now) for step in definition.signals}
    return {step: wait for step, wait in waits.items() if wait is not None}


def end_wait(state: SagaState, step: AnyStep, progress: StepProgress, now: datetime) -> tuple[Event, ...]:
    """Returns the events that end a step's waiting: its timer came due, or its signal arrived or is late."""
    wait = progress.wait
    if wait is None or wait.kind is WaitKind.SAGA:
        return ()
    if wait.kind is WaitKind.SIGNAL:
        ended = _end_by_signals(state, step, progress, wait, now)
        if ended is not None:
            return ended
    if wait.due_at is None or now < wait.due_at:
        return ()
    fired = TimerFired(now, step.name, wait.due_at)
    if wait.kind is WaitKind.TIMER:
        return (fired, StepSucceeded(now, step.name, progress.attempt, NULL))
    return (fired, _wait_failed(step, progress, _late(wait, progress), now))


def _end_by_signals(
    state: SagaState, step: AnyStep, progress: StepProgress, wait: Wait, now: datetime
) -> tuple[Event, ...] | None:
    """Returns the events that follow from the signals that came; None if none counts for the step."""
    given, name = progress.approvals, wait.target or ""
    if wait.approvals is not None and len(given) >= wait.approvals:
        return (StepSucceeded(now, step.name, progress.attempt, Raw(msgspec.json.encode(given))),)
    signal = first_for(state.signals.get(name, ()), step.name, wait, given)
    if signal is None:
        return None
    if not is_first_in_line(state, step.name, name, signal):
        return ()  # the first in line takes it, and then this step is decided again
    if signal.refused:
        why = f": {signal.reason}" if signal.reason else ""
        refused = shortened(f"{name} was refused by {signal.actor}{why}")
        return (_wait_failed(step, progress, Failure("Refused", refused), now),)
    if wait.approvals is None:
        return (StepSucceeded(now, step.name, progress.attempt, signal.payload),)
    count = len(given) + 1
    return (ApprovalCounted(now, step.name, progress.attempt, signal.version, signal.actor, count, wait.approvals),)


def _late(wait: Wait, progress: StepProgress) -> Failure:
    if wait.approvals is None:
        return Failure("SignalTimeout", f"no {wait.target} until {wait.due_at}")
    given = approvals_in_words(wait, progress.approvals)
    return Failure("SignalTimeout", shortened(f"{wait.target} was not approved until {wait.due_at}: {given}"))


def _wait_failed(step: AnyStep, progress: StepProgress, error: Failure, now: datetime) -> StepFailed:
    return StepFailed(now, step.name, progress.attempt, error, Effect.NONE, retryable=False)
