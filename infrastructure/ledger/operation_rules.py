"""The rules of what a person may do to a saga: from its state to the event to record, or to the reason why not.

Each function returns a rule, which is applied to the saga's state as it is when the event is appended.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from ...domain.errors import InvalidInput
from ...domain.event import Event
from ...domain.saga.definition import Definition
from ...domain.saga.events import (
    Action,
    CancelRequested,
    Direction,
    InterventionResolved,
    SignalReceived,
    WaitKind,
)
from ...domain.saga.payload import NULL, write_payload
from ...domain.saga.signals import SIGNAL_BYTES_OPEN_MAX, SIGNALS_OPEN_MAX, has_signal
from ...domain.saga.state import Intervention, SagaState
from ...domain.saga.step_kind import is_sub_saga
from ...domain.saga.step_state import Progress
from ..errors import WrongState
from .app import App
from .saga_start import foreign_saga

Rule = Callable[[SagaState, datetime], Event]
"""From a saga's state and the time to the event to record. Raises `WrongState` when the state does not allow it."""


def cancel_rule(actor: str, reason: str, *, parent_id: str | None = None) -> Rule:
    """The saga turns back and undoes what it did; with `parent_id`, only if it is a sub-saga of that saga."""

    def decide(state: SagaState, at: datetime) -> Event:
        if parent_id is not None and not is_sub_saga(state.parent, parent_id):
            raise WrongState(foreign_saga(state.saga_id, parent_id))
        if state.end is not None:
            raise WrongState(f"saga {state.saga_id!r} cannot be cancelled: it is {state.status}")
        if state.past_pivot:
            raise WrongState(f"saga {state.saga_id!r} cannot be cancelled: it is past its pivot, and only goes forward")
        if state.compensating:
            raise WrongState(f"saga {state.saga_id!r} cannot be cancelled: it is already turning back")
        return CancelRequested(at, actor, reason)

    return decide


def intervention_rule(app: App, action: Action, step: str | None, result: Any, actor: str, reason: str) -> Rule:
    """A step that needs a person goes on as decided. Raises `NotSerialisable` for a result that is not JSON."""
    given = write_payload("the result", result) if action is Action.RESOLVE else NULL

    def decide(state: SagaState, at: datetime) -> Event:
        waiting = _open_intervention(state, step)
        pivot = False
        if action in (Action.RESOLVE, Action.SKIP):
            definition = app.definition(state.definition, state.definition_version)
            pivot = waiting.direction is Direction.FORWARD and waiting.step == definition.pivot
            _check_result(definition, waiting, given)
        return InterventionResolved(at, waiting.step, waiting.direction, action, actor, reason, given, pivot)

    return decide


def signal_rule(name: str, payload: Any, actor: str, reason: str | None, *, refused: bool) -> Rule:
    """The saga receives a signal. Raises `NotSerialisable` for a payload that is not JSON."""
    raw = write_payload(f"the payload of signal {name!r}", payload)

    def decide(state: SagaState, at: datetime) -> Event:
        return _received(state, SignalReceived(at, name, raw, actor, reason, refused))

    return decide


def approval_rule(app: App, step: str, payload: Any, actor: str, reason: str, *, refused: bool) -> Rule:
    """The saga receives the signal that one of its steps waits for, or will wait for: once, and not after its wait.

    The signal is for that step alone, even if another step waits for a signal of the same name.
    """
    raw = write_payload(f"the payload for step {step!r}", payload)

    def decide(state: SagaState, at: datetime) -> Event:
        name = _signal_of(app, state, step)
        why_not = _why_not_awaited(app, state, step, name, at)
        if why_not is not None:
            raise WrongState(f"step {step!r} of saga {state.saga_id!r} does not wait any more: {why_not}")
        return _received(state, SignalReceived(at, name, raw, actor, reason, refused, step))

    return decide


def _received(state: SagaState, event: SignalReceived) -> SignalReceived:
    """Return the event, unless the saga has ended or keeps too many signals that no step has taken."""
    if state.end is not None:
        raise WrongState(f"saga {state.saga_id!r} takes no signal: it is {state.status}")
    open_signals = [signal for queue in state.signals.values() for signal in queue]
    size_bytes = len(event.payload) + sum(len(signal.payload) for signal in open_signals)
    if len(open_signals) >= SIGNALS_OPEN_MAX or size_bytes > SIGNAL_BYTES_OPEN_MAX:
        raise WrongState(
            f"saga {state.saga_id!r} takes no signal: it keeps {len(open_signals):,} that no step has taken, of "
            f"{SIGNALS_OPEN_MAX:,} (and {SIGNAL_BYTES_OPEN_MAX:,} bytes) that it may; send one when a step waits for it"
        )
    return event


def _why_not_awaited(app: App, state: SagaState, step: str, name: str, at: datetime) -> str | None:
    """Return why a step takes no signal of this name any more; None if it waits for one, or will."""
    progress = state.step(step).forward
    wait = progress.wait if progress.progress is Progress.WAITING else None
    if wait is not None and wait.due_at is not None and wait.due_at < at:
        return f"its time ended at {wait.due_at.isoformat()}"
    definition = app.find_definition(state.definition, state.definition_version)
    if has_signal(state, step, name, {} if definition is None else definition.signals):
        return f"signal {name!r} came before"
    if progress.finished or progress.progress is Progress.FAILED or state.compensating or state.end is not None:
        return f"the saga is {state.status}"
    return None


def _signal_of(app: App, state: SagaState, step: str) -> str:
    """Return the signal that a step waits for: the recorded one if it waits now, else the one of its definition."""
    wait = state.step(step).forward.wait
    if wait is not None and wait.kind is WaitKind.SIGNAL and wait.target is not None:
        return wait.target
    definition = app.definition(state.definition, state.definition_version)
    waits = definition.signals
    if step not in waits:
        known = f"those that do are {sorted(waits)}" if waits else "none of its steps does"
        raise WrongState(f"step {step!r} of {definition.name!r} waits for no signal: {known}")
    return waits[step]


def _open_intervention(state: SagaState, step: str | None) -> Intervention:
    waiting = [i for i in state.interventions if step in (None, i.step)]
    if len(waiting) == 1:
        return waiting[0]
    names = sorted(i.step for i in state.interventions)
    if not names:
        raise WrongState(f"saga {state.saga_id!r} does not wait for a person: it is {state.status}")
    if not waiting:
        raise WrongState(f"saga {state.saga_id!r} does not wait for step {step!r}: it waits for {names}")
    raise WrongState(f"saga {state.saga_id!r} waits for several steps: name one of {names}")


def _check_result(definition: Definition, waiting: Intervention, raw: Raw) -> None:
    known = any(step.name == waiting.step for step in definition.steps)
    if waiting.direction is Direction.COMPENSATION or not known:
        return
    try:
        definition.step(waiting.step).read_result(raw)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the result for step {waiting.step!r} does not fit: {error}") from error
