"""Operating a saga from outside: cancelling, intervening, signalling. Each is one event, appended by a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from ...domain.event import Event
from ...domain.recorded_event import Meta, RecordedEvent
from ...domain.saga.events import Action
from ...domain.saga.evolve import evolve, rebuild
from ...domain.saga.state import SagaState
from ..errors import WrongState
from ..event_store.append_call import Append, AppendCall
from ..event_store.work_queue import QueueEntry
from .context import LedgerContext
from .observing import tell_of_event
from .operation_rules import Rule, call_off_rule, cancel_rule, intervention_rule
from .process_cancellation import cancel_process
from .signal_rules import NewSignal
from .state_reader import check_saga_id, saga_events
from .transact import call_of, last_position, transact

Earlier: TypeAlias = Callable[[Sequence[RecordedEvent], SagaState, datetime], int | None]
"""From a saga's events, its state and the time to the position of the event that was recorded before for the same."""


def cancel(context: LedgerContext, saga_id: str, *, actor: str, reason: str) -> int:
    """Ask a saga to turn back and undo what it did; returns the position of that event.

    Raises `SagaNotFound`, and `WrongState` when it has ended, already turns back, or is past its pivot.
    """
    check_saga_id(saga_id)
    choreography = context.app.choreography_of(saga_id)
    if choreography is not None:
        return cancel_process(context, choreography, saga_id, actor=actor, reason=reason)
    return _apply(context, "cancel", saga_id, cancel_rule(actor, reason), actor)


def cancel_sub_saga(context: LedgerContext, saga_id: str, *, parent_id: str) -> int:
    """Ask a sub-saga to turn back because its parent does; returns the position of that event.

    Raises what `cancel` raises, and `WrongState` for a saga that the parent did not start.
    """
    actor, rule = call_off_rule(parent_id)
    return _apply(context, "cancel", saga_id, rule, actor)


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
    return _apply(context, "intervene", saga_id, rule, actor)


def signal(
    context: LedgerContext,
    saga_id: str,
    name: str,
    payload: Any = None,
    *,
    actor: str,
    reason: str | None = None,
    refused: bool = False,
    key: str | None = None,
) -> int:
    """Send a signal to a saga; returns the position of that event. See `Ledger.signal`."""
    new = NewSignal.of(payload, name=name, actor=actor, reason=reason, refused=refused, key=key)
    return _send(context, saga_id, new)


def approve(
    context: LedgerContext,
    saga_id: str,
    step: str,
    payload: Any = None,
    *,
    actor: str,
    reason: str,
    refused: bool = False,
    key: str | None = None,
) -> int:
    """Send the signal that a step waits for, or will; returns the position of that event. See `Ledger.approve`."""
    new = NewSignal.of(payload, step=step, actor=actor, reason=reason, refused=refused, key=key)
    return _send(context, saga_id, new)


def _send(context: LedgerContext, saga_id: str, new: NewSignal) -> int:
    earlier = None if new.key is None else partial(new.earlier, context.app)
    name = "signal" if new.step is None else "approve"
    return _apply(context, name, saga_id, partial(new.rule, context.app), new.actor, earlier)


def _apply(
    context: LedgerContext, name: str, saga_id: str, rule: Rule, actor: str, earlier: Earlier | None = None
) -> int:
    """Append the event that a rule makes of the saga's state, and notify the worker that holds the saga.

    `name` is that of the operation, for its span. Returns the event's position; or, with nothing to append, that of the
    event which `earlier` finds in the saga's history.
    """
    if context.observer is None:
        return _append(context, saga_id, rule, Meta(actor=actor), earlier)
    with context.observer.span(name, "internal", {"saga.id": saga_id}) as traceparent:
        return _append(context, saga_id, rule, Meta(actor=actor, traceparent=traceparent), earlier)


def _append(context: LedgerContext, saga_id: str, rule: Rule, meta: Meta, earlier: Earlier | None) -> int:
    check_saga_id(saga_id)
    if context.app.choreography_of(saga_id) is not None:
        raise WrongState(
            f"saga {saga_id!r} is choreographed: no coordinator could act on that. `sagaledger deadletters replay` "
            "lets a service try a parked event again, `sagaledger cancel` turns the saga back"
        )

    found: list[int] = []
    written: list[tuple[SagaState, Event]] = []

    def decide(_: int) -> AppendCall | None:
        recorded = saga_events(context, saga_id)
        state, now = rebuild(saga_id, (each.event for each in recorded)), context.clock.now()
        position = None if earlier is None else earlier(recorded, state, now)
        if position is not None:
            found.append(position)
            return None
        if context.request is not None:
            context.request.require_version(saga_id, state.version)
        event = rule(state, now)
        new = context.codec.encode(saga_id, state.version + 1, event, meta=meta)
        written[:] = [(state, event)]
        return call_of([Append([new], None, _to_notify(state, event))])

    receipt = transact(context, decide, what=f"the operation on saga {saga_id!r}")
    if receipt is None:
        return found[0]
    if context.observer is not None and written:  # a repeat of a request has written nothing
        tell_of_event(context.observer, *written[0])
    return last_position(receipt)


def _to_notify(state: SagaState, event: Event) -> tuple[QueueEntry, ...]:
    """Which saga a worker has to look at because of an event: this one; its parent, if it ends here."""
    if evolve(state, event).end is None:
        return (QueueEntry(state.saga_id, state.definition, state.definition_version, event.at, None),)
    if state.parent is None:
        return ()
    parent = state.parent
    return (QueueEntry(parent.saga_id, parent.definition, parent.definition_version, event.at, None),)
