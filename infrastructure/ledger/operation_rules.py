"""The rules of what a person may do to a saga: from its state to the event to record, or to the reason why not.

Each function returns a rule, which is applied to the saga's state as it is when the event is appended.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from ...domain.errors import InvalidInput, NotSerialisable
from ...domain.event import Event
from ...domain.saga.decide import NULL
from ...domain.saga.definition import Definition
from ...domain.saga.events import Action, CancelRequested, Direction, InterventionResolved, SignalReceived, WaitKind
from ...domain.saga.state import Intervention, SagaState
from ..errors import WrongState
from .app import App

Rule = Callable[[SagaState, datetime], Event]
"""From a saga's state and the time to the event to record. Raises `WrongState` when the state does not allow it."""


def cancel_rule(actor: str, reason: str) -> Rule:
    """The saga turns back and undoes what it did."""

    def decide(state: SagaState, at: datetime) -> Event:
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
    given = write_json("the result", result) if action is Action.RESOLVE else NULL

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
    raw = write_json(f"the payload of signal {name!r}", payload)

    def decide(state: SagaState, at: datetime) -> Event:
        if state.end is not None:
            raise WrongState(f"saga {state.saga_id!r} takes no signal: it is {state.status}")
        return SignalReceived(at, name, raw, actor, reason, refused)

    return decide


def approval_rule(app: App, step: str, payload: Any, actor: str, reason: str, *, refused: bool) -> Rule:
    """The saga receives the signal that one of its steps waits for, or will wait for: once, and not after its wait."""

    def decide(state: SagaState, at: datetime) -> Event:
        name = _signal_of(app, state, step)
        received = state.signals.get(name)
        if state.step(step).forward.finished or state.compensating or received is not None:
            how = f"signal {name!r} came before" if received is not None else f"the saga is {state.status}"
            raise WrongState(f"step {step!r} of saga {state.saga_id!r} does not wait any more: {how}")
        return signal_rule(name, payload, actor, reason, refused=refused)(state, at)

    return decide


def write_json(what: str, value: Any) -> Raw:
    """A value as JSON. Raises `NotSerialisable`, naming what it is and its type."""
    try:
        return Raw(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise NotSerialisable(f"{what} is a {type(value).__name__} that is not JSON: {error}") from error


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
