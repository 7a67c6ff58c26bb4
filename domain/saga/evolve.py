"""Folds events into a saga's state: `evolve` takes one event, `fold_all` several, `rebuild` all of a saga.

Any event is accepted in any state and nothing raises: a recorded event has happened. The values of users are carried
along unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from msgspec.structs import replace

from ..event import Event
from .approval import Approval
from .events import (
    FORWARD,
    Action,
    ApprovalCounted,
    CancelRequested,
    DeadlineExceeded,
    Direction,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    SignalReceived,
    SignalRejected,
    StepFailed,
    StepOutcomeUnknown,
    StepSucceeded,
)
from .items import Items
from .signals import OpenSignals
from .state import Intervention, SagaState, Status
from .step_changes import STEP_CHANGES, Steps, ended_wait, step_succeeded
from .step_state import DONE, FAILED, PENDING, RETRYING, SKIPPED, StepProgress, StepState


def rebuild(saga_id: str, events: Iterable[Event]) -> SagaState:
    """Returns the state of a saga after these events."""
    return fold_all(SagaState(saga_id), events)


def evolve(state: SagaState, event: Event) -> SagaState:
    """Returns the state after one more event. An event of an unknown type only raises the version."""
    change_steps = STEP_CHANGES.get(type(event))
    if change_steps is None or (isinstance(event, StepSucceeded) and event.pivot):
        return _evolve_saga(state, event)
    if state.items and (item := state.item(event.step)) is not None:  # type: ignore[attr-defined]
        return _evolve_item(state, item, change_steps, event)
    wait = ended_wait(state.steps, event) if state.signals else None
    steps = {**state.steps}
    change_steps(steps, event)
    if wait is None:
        return replace(state, version=state.version + 1, updated_at=event.at, steps=steps)
    signals = OpenSignals(state.signals)
    step = cast("StepSucceeded | StepFailed", event).step
    signals.take(step, wait, state.step(step).forward.approvals)
    return replace(state, version=state.version + 1, updated_at=event.at, steps=steps, signals=signals.folded())


def fold_all(state: SagaState, events: Iterable[Event]) -> SagaState:
    """Returns the state after several more events.

    Most events are about steps and signals. Each uninterrupted run of those is folded into one new state, not one for
    each event, so that a saga with very many signals is not copied as many times.
    """
    run: _Run | None = None
    for event in events:
        change_steps = STEP_CHANGES.get(type(event))
        if change_steps is None:
            if isinstance(event, SignalReceived):
                run = run or _Run(state)
                run.receive(event)
                continue
        elif not (isinstance(event, StepSucceeded) and event.pivot):
            item = state.item(event.step) if state.items else None  # type: ignore[attr-defined]
            if item is not None:
                state = _evolve_item(state if run is None else run.folded(), item, change_steps, event)
                run = None
                continue
            run = run or _Run(state)
            run.change_steps(change_steps, event)
            continue
        state = _evolve_saga(state if run is None else run.folded(), event)
        run = None
    return state if run is None else run.folded()


class _Run:
    """Events about steps and signals that follow each other, folded into copies that nothing else has seen yet."""

    __slots__ = ("_at", "_count", "_signals", "_state", "_steps")

    def __init__(self, state: SagaState) -> None:
        self._state = state
        self._at = state.updated_at
        self._count = 0
        self._steps = {**state.steps}
        self._signals = OpenSignals(state.signals) if state.signals else None

    def change_steps(self, change: Callable[[Steps, Any], None], event: Event) -> None:
        if self._signals is not None:
            wait = ended_wait(self._steps, event)
            if wait is not None:
                step = cast("StepSucceeded | StepFailed", event).step
                self._signals.take(step, wait, self._steps[step].forward.approvals)
        change(self._steps, event)
        self._count += 1
        self._at = event.at

    def receive(self, event: SignalReceived) -> None:
        if self._signals is None:
            self._signals = OpenSignals(self._state.signals)
        self._count += 1
        self._signals.add(event, self._state.version + self._count)
        self._at = event.at

    def folded(self) -> SagaState:
        state = self._state
        signals = state.signals if self._signals is None else self._signals.folded()
        version = state.version + self._count
        return replace(state, version=version, updated_at=self._at, steps=self._steps, signals=signals)


def _evolve_saga(state: SagaState, event: Event) -> SagaState:
    change: Callable[[SagaState, Any], SagaState] = _SAGA_CHANGES.get(type(event), _next)
    return change(state, event)


def _next(state: SagaState, event: Event, **changes: Any) -> SagaState:
    return replace(state, version=state.version + 1, updated_at=event.at, **changes)


def _saga_started(state: SagaState, event: SagaStarted) -> SagaState:
    return _next(
        state,
        event,
        definition=event.definition,
        definition_version=event.definition_version,
        fingerprint=event.fingerprint,
        input=event.input,
        started_at=event.at,
        deadline=event.deadline,
        begins_at=event.begins_at,
        parent=event.parent,
        style=event.style,
        started_by=event.actor,
    )


def _evolve_item(
    state: SagaState, item: tuple[str, int], change: Callable[[Steps, Any], None], event: Any
) -> SagaState:
    """Returns the state after an event about one item of a for-each step: it changes as a step does."""
    alone = {event.step: state.step(event.step)}
    change(alone, event)
    return _next(state, event, **_with_item(state, item, alone[event.step]))


def _with_item(state: SagaState, item: tuple[str, int], changed: StepState) -> dict[str, Any]:
    step, index = item
    return {"items": {**state.items, step: state.items[step].with_state(index, changed)}}


def _with_progress(state: SagaState, name: str, direction: Direction, progress: StepProgress) -> dict[str, Any]:
    """Returns what changes in the saga's state when the progress of a step, or an item, in one direction does."""
    step = state.step(name)
    step = StepState(progress, step.compensation) if direction is FORWARD else StepState(step.forward, progress)
    item = state.item(name)
    return {"steps": {**state.steps, name: step}} if item is None else _with_item(state, item, step)


def _items_listed(state: SagaState, event: ItemsListed) -> SagaState:
    items = state.items.get(event.step) or Items(event.total, event.collect)
    items = replace(items, values=(*items.values, *event.items))
    return _next(state, event, items={**state.items, event.step: items})


def _pivot_succeeded(state: SagaState, event: StepSucceeded) -> SagaState:
    steps = {**state.steps}
    step_succeeded(steps, event)
    return _next(state, event, steps=steps, past_pivot=True)


def _outcome_unknown(state: SagaState, event: StepOutcomeUnknown) -> SagaState:
    progress = state.progress_of(event.step, event.direction)
    progress = replace(
        progress,
        progress=FAILED if event.retry_at is None else RETRYING,
        unknowns=progress.unknowns + 1,
        possibly_executed=True,
        retry_at=event.retry_at,
    )
    return _next(state, event, **_with_progress(state, event.step, event.direction, progress))


def _signal_received(state: SagaState, event: SignalReceived) -> SagaState:
    signals = OpenSignals(state.signals)
    signals.add(event, state.version + 1)
    return _next(state, event, signals=signals.folded())


def _approval_counted(state: SagaState, event: ApprovalCounted) -> SagaState:
    forward = state.step(event.step).forward
    signals = OpenSignals(state.signals)
    signal = signals.remove("" if forward.wait is None else forward.wait.target or "", event.signal)
    if signal is None:  # as in a view, which keeps no signals
        return _next(state, event)
    approval = Approval(signal.actor, signal.at, signal.payload, signal.reason)
    forward = replace(forward, approvals=(*forward.approvals, approval))
    changes = _with_progress(state, event.step, FORWARD, forward)
    return _next(state, event, **changes, signals=signals.folded())


def _signal_rejected(state: SagaState, event: SignalRejected) -> SagaState:
    signals = OpenSignals(state.signals)
    signals.remove(event.name, event.signal)
    return _next(state, event, signals=signals.folded())


def _intervention_required(state: SagaState, event: InterventionRequired) -> SagaState:
    required = Intervention(event.step, event.direction, event.cause)
    return _next(state, event, interventions=(*state.interventions, required))


def _intervention_resolved(state: SagaState, event: InterventionResolved) -> SagaState:
    progress = state.progress_of(event.step, event.direction)
    match event.action:
        case Action.ABANDON:
            return _next(state, event, interventions=(), end=Status.ABANDONED, ended_at=event.at, cause=event.reason)
        case Action.RETRY:
            progress = replace(progress, progress=PENDING, failures=0, unknowns=0, retry_at=None)
        case Action.RESOLVE:
            progress = replace(progress, progress=DONE, result=event.result)
        case Action.SKIP:
            progress = replace(progress, progress=SKIPPED)
    changes = _with_progress(state, event.step, event.direction, progress)
    others = tuple(i for i in state.interventions if (i.step, i.direction) != (event.step, event.direction))
    return _next(state, event, **changes, interventions=others, past_pivot=state.past_pivot or event.pivot)


_SAGA_CHANGES: dict[type[Event], Callable[[SagaState, Any], SagaState]] = {
    SagaStarted: _saga_started,
    ItemsListed: _items_listed,
    StepSucceeded: _pivot_succeeded,
    StepOutcomeUnknown: _outcome_unknown,
    SignalReceived: _signal_received,
    ApprovalCounted: _approval_counted,
    SignalRejected: _signal_rejected,
    DeadlineExceeded: lambda state, event: _next(state, event, deadline_exceeded=True),
    CancelRequested: lambda state, event: _next(state, event, cancelled=True),
    InterventionRequired: _intervention_required,
    InterventionResolved: _intervention_resolved,
    SagaCompleted: lambda state, event: _next(
        state, event, end=Status.COMPLETED, ended_at=event.at, result=event.result
    ),
    SagaCompensated: lambda state, event: _next(
        state, event, end=Status.COMPENSATED, ended_at=event.at, cause=event.cause
    ),
}
