"""Operating a saga from outside: cancelling, intervening, signalling. Each is one event, appended by a rule."""

from __future__ import annotations

from typing import Any

from ...domain.event import Event
from ...domain.recorded_event import Meta
from ...domain.saga.events import Action
from ...domain.saga.evolve import evolve
from ...domain.saga.state import SagaState
from ..errors import WrongState
from ..event_store.append_call import Append, AppendCall
from ..event_store.work_queue import QueueEntry
from .context import LedgerContext
from .operation_rules import Rule, approval_rule, cancel_rule, intervention_rule, signal_rule
from .process_cancellation import cancel_process
from .state_reader import check_saga_id, state_now
from .transact import call_of, last_position, transact


def cancel(context: LedgerContext, saga_id: str, *, actor: str, reason: str) -> int:
    """Ask a saga to turn back and undo what it did; returns the position of that event.

    Raises `SagaNotFound`, and `WrongState` when it has ended, already turns back, or is past its pivot.
    """
    check_saga_id(saga_id)
    choreography = context.app.choreography_of(saga_id)
    if choreography is not None:
        return cancel_process(context, choreography, saga_id, actor=actor, reason=reason)
    return _apply(context, saga_id, cancel_rule(actor, reason), actor)


def cancel_sub_saga(context: LedgerContext, saga_id: str, *, parent_id: str) -> int:
    """Ask a sub-saga to turn back because its parent does; returns the position of that event.

    Raises what `cancel` raises, and `WrongState` for a saga that the parent did not start.
    """
    actor, reason = f"saga {parent_id}", "the saga that it is a step of compensates"
    return _apply(context, saga_id, cancel_rule(actor, reason, parent_id=parent_id), actor)


def intervene(
    context: LedgerContext,
    saga_id: str,
    action: Action | str,
    *,
    actor: str,
    reason: str,
    step: str | None = None,
    result: Any = None,
) -> int:
    """Decide how a saga that needs a person goes on; returns the position of that event.

    Raises `SagaNotFound`, and `WrongState` when no step needs a person, or not that one.
    """
    rule = intervention_rule(context.app, Action(action), step, result, actor, reason)
    return _apply(context, saga_id, rule, actor)


def signal(
    context: LedgerContext,
    saga_id: str,
    name: str,
    payload: Any = None,
    *,
    actor: str,
    reason: str | None = None,
    refused: bool = False,
) -> int:
    """Send a signal to a saga; returns the position of that event.

    Raises `SagaNotFound`, `NotSerialisable`, and `WrongState` when the saga has ended.
    """
    return _apply(context, saga_id, signal_rule(name, payload, actor, reason, refused=refused), actor)


def approve(
    context: LedgerContext,
    saga_id: str,
    step: str,
    payload: Any = None,
    *,
    actor: str,
    reason: str,
    refused: bool = False,
) -> int:
    """Send the signal that a step waits for, or will: the approval, or its refusal; returns the event's position.

    Raises `SagaNotFound`, `NotSerialisable`, and `WrongState` when the step waits for no signal, or no longer.
    """
    rule = approval_rule(context.app, step, payload, actor, reason, refused=refused)
    return _apply(context, saga_id, rule, actor)


def _apply(context: LedgerContext, saga_id: str, rule: Rule, actor: str) -> int:
    """Append the event that a rule makes of the saga's state, and notify the worker that holds the saga."""
    check_saga_id(saga_id)
    if context.app.choreography_of(saga_id) is not None:
        raise WrongState(
            f"saga {saga_id!r} is choreographed: no coordinator could act on that. `sagaledger deadletters replay` "
            "lets a service try a parked event again, `sagaledger cancel` turns the saga back"
        )

    def decide(_: int) -> AppendCall:
        state = state_now(context, saga_id)
        event = rule(state, context.clock.now())
        new = context.codec.encode(saga_id, state.version + 1, event, meta=Meta(actor=actor))
        return call_of([Append([new], None, _to_notify(state, event))])

    receipt = transact(context, decide, what=f"the operation on saga {saga_id!r}")
    assert receipt is not None  # noqa: S101 -- a rule makes an event, or raises
    return last_position(receipt)


def _to_notify(state: SagaState, event: Event) -> tuple[QueueEntry, ...]:
    """Which saga a worker has to look at because of an event: this one; its parent, if it ends here."""
    if evolve(state, event).end is None:
        return (QueueEntry(state.saga_id, state.definition, state.definition_version, event.at, None),)
    if state.parent is None:
        return ()
    parent = state.parent
    return (QueueEntry(parent.saga_id, parent.definition, parent.definition_version, event.at, None),)
