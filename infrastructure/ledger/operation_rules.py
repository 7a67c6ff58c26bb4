"""The rules of what a person may do to a saga: from its state to the event to record, or to the reason why not.

Each function returns a rule, which is applied to the saga's state as it is when the event is appended.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from ...domain.errors import DefinitionError, InvalidInput
from ...domain.event import Event
from ...domain.saga.definition import Definition
from ...domain.saga.events import (
    Action,
    CancelRequested,
    Direction,
    InterventionResolved,
)
from ...domain.saga.payload import NULL, write_payload
from ...domain.saga.state import Intervention, SagaState
from ...domain.saga.step_kind import ForEach, is_sub_saga
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


def call_off_rule(parent_id: str) -> tuple[str, Rule]:
    """Who cancels a sub-saga whose parent compensates, and the rule by which it is cancelled."""
    actor = f"saga {parent_id}"
    return actor, cancel_rule(actor, "the saga that it is a step of compensates", parent_id=parent_id)


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
    if waiting.direction is Direction.COMPENSATION:
        return
    try:
        step = definition.step(waiting.step)
    except DefinitionError:  # it is one of the saga's hooks, which have no result
        return
    if isinstance(step.kind, ForEach) and step.name == waiting.step and raw != NULL:
        raise InvalidInput(f"step {step.name!r} has only the results of its items: resolve it without a result")
    try:
        step.read_result(raw)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the result for step {waiting.step!r} does not fit: {error}") from error
