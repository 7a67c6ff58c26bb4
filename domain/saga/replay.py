"""Replays the history of a saga against a definition: would it decide what was decided?

The state before each recorded event is folded from the events before it. What came from outside is taken as it is: the
outcomes of attempts, signals, cancellations, the decisions of people. What sagaledger decided must be what `decide`
decides now, at the time of the event: which attempts are made, in which order steps are compensated, and when the saga
ends. Recorded inputs and results must be readable as the types that are declared now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from ..event import Event
from ..user_code import is_interruption, shown
from .decide import GAVE_UP, decide
from .decision import Decision
from .definition import Definition
from .event_parts import Wait, WaitKind
from .events import (
    COMPENSATION,
    FORWARD,
    Action,
    ApprovalCounted,
    CompensationStarted,
    ConditionNotMet,
    DeadlineExceeded,
    Direction,
    InterventionRequired,
    InterventionResolved,
    ItemsListed,
    SagaCompensated,
    SagaCompleted,
    SagaStarted,
    StepFailed,
    StepStarted,
    StepSucceeded,
    TimerFired,
)
from .evolve import evolve
from .state import SagaState
from .step_kind import ForEach
from .step_state import FAILED, WAITING
from .waits import wait_of

ORCHESTRATED: Final = "orchestrated"


class Divergence(Struct, frozen=True):
    """The first recorded event that a definition would not have led to."""

    saga_id: str
    version: int
    """The number of the event among the saga's own, from 1."""
    recorded: str
    """What was recorded, such as `StepStarted of 'charge'`."""
    expected: str
    """What the definition does there instead, or what is wrong with it."""

    def __str__(self) -> str:
        return f"saga {self.saga_id!r}, event {self.version}: recorded is {self.recorded}; {self.expected}"


def replay(definition: Definition, events: Iterable[Event], saga_id: str = "replayed") -> Divergence | None:
    """Returns where a saga's own events, in order, diverge from a definition; None if they never do.

    `saga_id`: the id of the saga, on which the ids of its sub-sagas depend.
    """
    state = SagaState(saga_id)
    for event in events:
        wrong = _what_is_wrong(definition, state, event)
        if wrong is not None:
            return Divergence(saga_id, state.version + 1, _shown(event), wrong)
        state = evolve(state, event)
    return None


def _what_is_wrong(definition: Definition, state: SagaState, event: Event) -> str | None:
    """Returns why a definition does not lead from a state to an event; None if it does, or if it has no say."""
    if state.version == 0 and not isinstance(event, SagaStarted):
        return "the history of a saga begins with its SagaStarted"
    check = _CHECKS.get(type(event))
    return None if check is None else check(definition, state, event)


def _check_start(definition: Definition, _state: SagaState, event: SagaStarted) -> str | None:
    if (event.definition, event.definition_version) != (definition.name, definition.version):
        return (
            f"it is a saga {event.definition!r} version {event.definition_version}, and the definition is "
            f"{definition.name!r} version {definition.version}"
        )
    if event.style != ORCHESTRATED:
        return "no definition decides a saga that has no coordinator"
    return _why_unreadable(lambda: definition.read_input(event.input))


def _check_step_start(definition: Definition, state: SagaState, event: StepStarted) -> str | None:
    decision = decide(definition, state, event.at)
    if not (_plans(decision, event, FORWARD) or _may_join(definition, state, event, decision)):
        return _instead(decision)
    step = definition.step(event.step)
    if event.wait is None and step.asks:
        return None  # it was made, or its own code failed before it began to wait
    is_list = isinstance(step.kind, ForEach) and step.name == event.step
    wait = Wait(WaitKind.ITEMS) if is_list else wait_of(definition, state, event.step, event.at)
    if _awaited(wait) != _awaited(event.wait):
        return f"the step {_shown_wait(wait)} now, and {_shown_wait(event.wait)} then"
    return None


def _check_compensation_start(definition: Definition, state: SagaState, event: CompensationStarted) -> str | None:
    decision = decide(definition, state, event.at)
    if _plans(decision, event, COMPENSATION) or _may_join(definition, state, event, decision):
        return None
    return _instead(decision)


def _plans(decision: Decision, event: StepStarted | CompensationStarted, direction: Direction) -> bool:
    made = ((attempt.step, attempt.direction, attempt.attempt) for attempt in decision.attempts)
    return (event.step, direction, event.attempt) in made


def _may_join(
    definition: Definition, state: SagaState, event: StepStarted | CompensationStarted, decision: Decision
) -> bool:
    """Whether an item may be attempted beside others: how many may at once is tuning."""
    item = state.item(event.step)
    if item is None or decision.record or decision.unwanted or decision.call_off or state.interventions:
        return False
    step = next((step for step in definition.steps if step.name == item[0] and isinstance(step.kind, ForEach)), None)
    if step is None:
        return False
    if isinstance(event, CompensationStarted):
        return state.compensating and step.undo is not None
    return state.step(step.name).forward.progress is WAITING and not state.compensating


def _check_condition(definition: Definition, state: SagaState, event: ConditionNotMet) -> str | None:
    decision = decide(definition, state, event.at)
    return None if any(attempt.step == event.step for attempt in decision.ask) else _instead(decision)


def _check_items(definition: Definition, _state: SagaState, event: ItemsListed) -> str | None:
    return _why_unreadable(lambda: [definition.step(event.step).read_item(item) for item in event.items])


def _check_success(definition: Definition, state: SagaState, event: StepSucceeded) -> str | None:
    if _ends_wait(state, event):
        wrong = _check_decided(definition, state, event)
        if wrong is not None:
            return wrong
    if event.pivot != (event.step == definition.pivot):
        return f"the step {'is not' if event.pivot else 'is'} the pivot now"
    if event.step in state.items:
        return None  # the result says how many items there were
    return _why_unreadable(lambda: definition.read_result(event.step, event.result))


def _check_failure(definition: Definition, state: SagaState, event: StepFailed) -> str | None:
    return _check_decided(definition, state, event) if _ends_wait(state, event) else None


def _check_decided(definition: Definition, state: SagaState, event: Event) -> str | None:
    """Check an event that is recorded because it was decided, and not because something happened."""
    decision = decide(definition, state, event.at)
    return None if any(_same_decision(decided, event) for decided in decision.record) else _instead(decision)


def _check_intervention(definition: Definition, state: SagaState, event: InterventionRequired) -> str | None:
    """Check that a person was needed. A worker also asks for one when code failed that no decision knows of."""
    ends = {definition.completed_name: SagaCompleted, definition.compensated_name: SagaCompensated}
    if event.step in ends:
        decision = decide(definition, state, event.at)
        return None if any(isinstance(each, ends[event.step]) for each in decision.record) else _instead(decision)
    if GAVE_UP in event.cause and state.progress_of(event.step, event.direction).progress is FAILED:
        return _check_decided(definition, state, event)
    return None


def _check_resolution(definition: Definition, _state: SagaState, event: InterventionResolved) -> str | None:
    if event.pivot and event.step != definition.pivot:
        return "the step is not the pivot now"
    hooks = (definition.completed_name, definition.compensated_name)
    if event.action is Action.RESOLVE and event.direction is FORWARD and event.step not in hooks:
        return _why_unreadable(lambda: definition.read_result(event.step, event.result))
    return None


_CHECKS: Final[dict[type[Event], Callable[[Definition, SagaState, Any], str | None]]] = {
    SagaStarted: _check_start,
    StepStarted: _check_step_start,
    ConditionNotMet: _check_condition,
    ItemsListed: _check_items,
    CompensationStarted: _check_compensation_start,
    StepSucceeded: _check_success,
    StepFailed: _check_failure,
    ApprovalCounted: _check_decided,
    TimerFired: _check_decided,
    DeadlineExceeded: _check_decided,
    InterventionRequired: _check_intervention,
    InterventionResolved: _check_resolution,
    SagaCompleted: _check_decided,
    SagaCompensated: _check_decided,
}
"""How an event of each type is checked. An event of any other type came from outside."""


def _same_decision(decided: Event, recorded: Event) -> bool:
    """Whether two events are the same decision: of one type, about one step. Causes and times are only words."""
    if type(decided) is not type(recorded):
        return False
    if isinstance(decided, SagaCompleted) and isinstance(recorded, SagaCompleted):
        return bytes(decided.result) == bytes(recorded.result)
    return all(
        getattr(decided, name, None) == getattr(recorded, name, None) for name in ("step", "direction", "signal")
    )


def _ends_wait(state: SagaState, event: StepSucceeded | StepFailed) -> bool:
    """Whether an event ends a wait by a decision. The end of a sub-saga comes from outside."""
    progress = state.step(event.step).forward
    if progress.progress is not WAITING or progress.wait is None:
        return False
    return progress.wait.kind is not WaitKind.SAGA


def _awaited(wait: Wait | None) -> tuple[WaitKind, str | None, int | None, frozenset[str]] | None:
    """Returns what is waited for; until when is tuning."""
    return None if wait is None else (wait.kind, wait.target, wait.approvals, frozenset(wait.excluded))


def _why_unreadable(read: Callable[[], Any]) -> str | None:
    """Returns why a recorded value cannot be read as its declared type, whose code may raise anything."""
    try:
        read()
    except BaseException as error:
        if is_interruption(error):
            raise
        return f"its value cannot be read as the declared type: {shown(error)}"
    return None


def _instead(decision: Decision) -> str:
    """Returns what a decision does, in words."""
    if decision.record:
        what = " and ".join(_shown(event) for event in decision.record)
        return f"the definition would record {what}"
    starts = [
        f"{'start' if attempt.direction is FORWARD else 'compensate'} {attempt.step!r} (attempt {attempt.attempt})"
        for attempt in decision.attempts
    ]
    if starts:
        return f"the definition would {' and '.join(starts)}"
    if decision.unwanted:
        return f"the definition would wait for the end of {', '.join(map(repr, decision.unwanted))}"
    if decision.call_off:
        return f"the definition would cancel {', '.join(map(repr, decision.call_off))}"
    return "the definition would do nothing" + ("" if decision.wake_at is None else f" until {decision.wake_at}")


def _shown(event: Event) -> str:
    step = _step_of(event)
    return type(event).schema.name + ("" if step is None else f" of {step!r}")


def _step_of(event: Event) -> str | None:
    return getattr(event, "step", None)


def _shown_wait(wait: Wait | None) -> str:
    if wait is None:
        return "calls a function"
    target = "" if wait.target is None else f" {wait.target!r}"
    needed = "" if wait.approvals is None else f" by {wait.approvals} actors"
    excluded = f" without {', '.join(wait.excluded)}" if wait.excluded else ""
    return f"waits for {wait.kind}{target}{needed}{excluded}"
