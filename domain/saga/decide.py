"""Decides what happens next in a saga: pure, from its definition, its state and the time.

The worker performs decisions and decides nothing itself. After a failure the saga compensates the steps that succeeded,
*and those that may have been executed*, in reverse dependency order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from ..event import Event
from .decision import IDLE, Attempt, AttemptPlan, Decision, idempotency_key
from .definition import Definition
from .event_parts import WaitKind
from .events import (
    COMPENSATION,
    FORWARD,
    CompensationStarted,
    DeadlineExceeded,
    Direction,
    InterventionRequired,
    SagaCompensated,
    SagaCompleted,
    StepStarted,
)
from .evolve import evolve
from .for_each import end_of_items, first_failed, first_not_undone, plan_items, plan_undoing, running_items
from .item_names import item_name
from .payload import NULL
from .state import SagaState
from .step import AnyStep
from .step_kind import WAIT
from .step_state import DONE, FAILED, RUNNING, SKIPPED, UNTOUCHED, WAITING, StepProgress
from .waits import end_wait, wait_of

GAVE_UP: Final = "gave up after attempt"
"""Words in the cause of an intervention that was decided here; a worker asks for a person in other words."""


class NextSteps(Struct, frozen=True, gc=False):
    """A saga after every event that it can record without an attempt, and the decision that is left then."""

    events: tuple[Event, ...]
    """To be recorded; `state` includes them."""
    decision: Decision
    state: SagaState


def decide(definition: Definition, state: SagaState, now: datetime) -> Decision:
    """Returns what comes next.

    For a saga that has ended or needs a person, that is nothing: attempts in flight continue, and their outcomes are
    recorded. An exceeded deadline makes a saga compensate unless it is past its pivot.
    """
    if state.end is not None or state.interventions:
        return IDLE
    compensating = state.compensating
    if state.deadline is not None and now >= state.deadline and not (state.past_pivot or compensating):
        return Decision(record=(DeadlineExceeded(now, state.deadline),))
    if not compensating:
        if state.begins_at is not None and now < state.begins_at:
            return Decision(wake_at=state.begins_at)
        return _go_forward(definition, state, now)
    pivot = _pivot_in_doubt(definition, state)
    return _compensate(definition, state, now) if pivot is None else _settle_pivot(state, pivot, now)


def advance(definition: Definition, state: SagaState, now: datetime) -> NextSteps:
    """Decide again and again until only attempts, or waiting, are left."""
    events: list[Event] = []
    decision = decide(definition, state, now)
    while decision.record:
        for event in decision.record:
            state = evolve(state, event)
        events += decision.record
        if len(events) > 4 * len(definition.steps) + definition.approvals + 8:
            raise AssertionError(f"saga {state.saga_id!r} keeps deciding without end: {events[-3:]}")
        decision = decide(definition, state, now)
    return NextSteps(tuple(events), decision, state)


def started(
    definition: Definition, state: SagaState, attempt: Attempt, now: datetime
) -> StepStarted | CompensationStarted:
    """Returns the event that says that an attempt is about to be made, or that the step begins to wait."""
    if attempt.direction is COMPENSATION:
        return CompensationStarted(now, attempt.step, attempt.attempt, attempt.key)
    waits = definition.step(attempt.step).kind.mode is WAIT
    wait = wait_of(definition, state, attempt.step, now) if waits else None
    return StepStarted(now, attempt.step, attempt.attempt, attempt.key, wait)


def abort_cause(state: SagaState) -> str:
    """Returns why a saga compensates, in words that repeat no value of a user."""
    for name, step in state.steps.items():
        if step.forward.progress is FAILED:
            return f"step {name} failed ({_error_type(step.forward)})"
    return "deadline exceeded" if state.deadline_exceeded else "cancelled"


def awaited_sagas(state: SagaState) -> dict[str, Attempt]:
    """Returns the ids of the sagas that its steps wait for, each with the attempt that waits."""
    awaited: dict[str, Attempt] = {}
    for name, step in state.steps.items():
        progress = step.forward
        if progress.progress is WAITING and progress.wait is not None and progress.wait.kind is WaitKind.SAGA:
            key = idempotency_key(state.saga_id, name, FORWARD)
            awaited[progress.wait.target or ""] = Attempt(name, FORWARD, progress.attempt, key)
    return awaited


def _pivot_in_doubt(definition: Definition, state: SagaState) -> AnyStep | None:
    """Returns the pivot if it may have been executed, which makes compensating unsafe."""
    if definition.pivot is None:
        return None
    progress = state.step(definition.pivot).forward
    return definition.step(definition.pivot) if progress.possibly_executed and not progress.finished else None


def _settle_pivot(state: SagaState, pivot: AnyStep, now: datetime) -> Decision:
    """Find out whether the pivot happened, by trying it again under its key; if that fails a person has to."""
    progress = state.step(pivot.name).forward
    if progress.progress is FAILED:
        return Decision(record=(_needs_person(state, pivot.name, FORWARD, now),))
    plan = AttemptPlan(state.saga_id, now)
    plan.add(pivot, FORWARD, progress)
    return plan.decision(unwanted=(pivot.name, *_running_actions(state)))


def _go_forward(definition: Definition, state: SagaState, now: datetime) -> Decision:
    plan = AttemptPlan(state.saga_id, now)
    if state.deadline is not None and not state.past_pivot:
        plan.wake(state.deadline)
    finished: set[str] = set()
    steps = state.steps
    for step, name, after in definition.order:
        step_state = steps.get(name)
        if step_state is None:
            if finished >= after:
                plan.add(step, FORWARD, UNTOUCHED.forward)
            continue
        forward = step_state.forward
        progress = forward.progress
        if progress is DONE or progress is SKIPPED:
            finished.add(name)
        elif progress is FAILED:
            return Decision(record=(_needs_person(state, name, FORWARD, now),))
        elif progress is WAITING and name in state.items:
            event = _after_items(state, step, forward, now)
            if event is not None:
                return Decision(record=(event,))
            plan_items(step, state.items[name], plan)
        elif progress is WAITING:
            events = end_wait(state, step, forward, now)
            if events:
                return Decision(record=events)
            if forward.wait is not None and forward.wait.due_at is not None:
                plan.wake(forward.wait.due_at)
        elif finished >= after:
            plan.add(step, FORWARD, forward)
    if len(finished) == len(definition.steps):
        last = state.step(definition.steps[-1].name).forward.result
        return Decision(record=(SagaCompleted(now, NULL if last is None else last),))
    return plan.decision()


def _after_items(state: SagaState, step: AnyStep, progress: StepProgress, now: datetime) -> Event | None:
    """Returns what is recorded once a step's items have ended, or one has failed; past the pivot, a person decides."""
    items = state.items[step.name]
    failed = first_failed(items) if state.past_pivot else None
    if failed is not None:
        return _needs_person(state, item_name(step.name, failed), FORWARD, now)
    return end_of_items(step, progress, items, now)


def _compensate(definition: Definition, state: SagaState, now: datetime) -> Decision:
    """Compensate the latest steps first, once every attempt in flight has its outcome."""
    running = _running_actions(state)
    if running:
        return Decision(unwanted=running)
    sub_sagas = awaited_sagas(state)
    if sub_sagas:
        return Decision(call_off=tuple(sub_sagas))
    owed = [step for step in definition.steps if _owes_compensation(state, step)]
    if not owed:
        return Decision(record=(SagaCompensated(now, abort_cause(state)),))
    names = {step.name for step in owed}
    plan = AttemptPlan(state.saga_id, now)
    for step in reversed(owed):
        if definition.dependents[step.name] & names:
            continue
        items = state.items.get(step.name)
        if items is not None:
            stuck = first_not_undone(items)
            if stuck is not None:
                return Decision(record=(_needs_person(state, item_name(step.name, stuck), COMPENSATION, now),))
            plan_undoing(step, items, plan)
            continue
        progress = state.step(step.name).compensation
        if progress.progress is FAILED:
            return Decision(record=(_needs_person(state, step.name, COMPENSATION, now),))
        plan.add(step, COMPENSATION, progress)
    return plan.decision()


def _running_actions(state: SagaState) -> tuple[str, ...]:
    running = tuple(name for name, step in state.steps.items() if step.forward.progress is RUNNING)
    if not state.items:
        return running
    return running + tuple(item for name, items in state.items.items() for item in running_items(name, items))


def _owes_compensation(state: SagaState, step: AnyStep) -> bool:
    if step.undo is None:
        return False
    items = state.items.get(step.name)
    return state.step(step.name).owes_compensation if items is None else items.owes_compensation


def _needs_person(state: SagaState, step: str, direction: Direction, now: datetime) -> InterventionRequired:
    progress = state.progress_of(step, direction)
    what = "step" if direction is FORWARD else "compensation of step"
    cause = f"{what} {step} {GAVE_UP} {progress.attempt} ({_error_type(progress)})"
    return InterventionRequired(now, step, direction, cause)


def _error_type(progress: StepProgress) -> str:
    return "outcome unknown" if progress.error is None else progress.error.type
