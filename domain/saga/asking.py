"""Asking the code of a definition, before the first attempt at a step, whether and for which items it is to be made."""

from __future__ import annotations

from datetime import datetime

from msgspec import structs

from ..errors import InvalidInput
from ..event import Event
from ..user_code import is_interruption
from .decision import Attempt
from .definition import Definition
from .event_parts import Wait, WaitKind
from .events import ConditionNotMet, StepStarted
from .for_each import items_of, listed
from .outcome import failure_of, outcome_event
from .state import SagaState
from .step_context import StepContext
from .step_kind import ForEach


def instead_of(
    definition: Definition, state: SagaState, attempt: Attempt, context: StepContext, now: datetime
) -> list[Event]:
    """Returns the events to record instead of the start of an attempt; none if the attempt is to be made.

    A step whose condition is false is skipped, and a step over a list waits for its items: for those on record, if a
    person decided to retry the step. An error of the code fails the step, and is final: nothing has happened, and the
    same code would say the same again.
    """
    step = definition.step(attempt.step)
    if attempt.step in state.items:
        return [StepStarted(now, attempt.step, attempt.attempt, attempt.key, Wait(WaitKind.ITEMS))]
    try:
        value = definition.read_input(state.input)
        if step.condition is not None and not _answer(step.condition(value, context), step.name):
            return [ConditionNotMet(now, step.name)]
        if isinstance(step.kind, ForEach):
            return list(listed(step, items_of(step, value, context), attempt, now))
    except BaseException as error:
        if is_interruption(error):
            raise
        failed = structs.replace(failure_of(error, local=True), retryable=False)
        start = StepStarted(now, step.name, attempt.attempt, attempt.key)
        return [start, outcome_event(definition, state, attempt, failed, now)]
    return []


def _answer(answer: object, step: str) -> bool:
    if not isinstance(answer, bool):
        raise InvalidInput(f"the condition of step {step!r} returned {answer!r}: return True or False")
    return answer
