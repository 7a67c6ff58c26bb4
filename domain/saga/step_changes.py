"""Folds the events about one step in one direction: they change the saga's steps alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from ..event import Event
from .event_parts import Wait, WaitKind
from .events import (
    FORWARD,
    CompensationFailed,
    CompensationStarted,
    ConditionNotMet,
    Effect,
    StepCompensated,
    StepFailed,
    StepProgressed,
    StepStarted,
    StepSucceeded,
)
from .step_state import DONE, FAILED, RETRYING, RUNNING, SKIPPED, UNTOUCHED, WAITING, StepProgress, StepState

Steps = dict[str, StepState]


def _step_started(steps: Steps, event: StepStarted) -> None:
    step = steps.get(event.step, UNTOUCHED)
    progress, since = (RUNNING, None) if event.wait is None else (WAITING, event.at)
    forward = replace(
        step.forward, progress=progress, attempt=event.attempt, retry_at=None, wait=event.wait, waits_since=since
    )
    if forward.approvals:  # those of an earlier attempt
        forward = replace(forward, approvals=())
    steps[event.step] = StepState(forward, step.compensation)


def _condition_not_met(steps: Steps, event: ConditionNotMet) -> None:
    """Nothing has happened: a condition that is asked again, after a person retried its failure, leaves no attempt."""
    step = steps.get(event.step, UNTOUCHED)
    steps[event.step] = StepState(StepProgress(SKIPPED), step.compensation)


def _step_progressed(steps: Steps, event: StepProgressed) -> None:
    step = steps.get(event.step, UNTOUCHED)
    if event.direction is FORWARD:
        steps[event.step] = StepState(replace(step.forward, reported=event.progress), step.compensation)
    else:
        steps[event.step] = StepState(step.forward, replace(step.compensation, reported=event.progress))


def step_succeeded(steps: Steps, event: StepSucceeded) -> None:
    step = steps.get(event.step, UNTOUCHED)
    steps[event.step] = StepState(_done(step.forward, event), step.compensation)


def _step_failed(steps: Steps, event: StepFailed) -> None:
    step = steps.get(event.step, UNTOUCHED)
    steps[event.step] = StepState(_failed(step.forward, event), step.compensation)


def _compensation_started(steps: Steps, event: CompensationStarted) -> None:
    step = steps.get(event.step, UNTOUCHED)
    compensation = replace(step.compensation, progress=RUNNING, attempt=event.attempt, retry_at=None)
    steps[event.step] = StepState(step.forward, compensation)


def _step_compensated(steps: Steps, event: StepCompensated) -> None:
    step = steps.get(event.step, UNTOUCHED)
    steps[event.step] = StepState(step.forward, _done(step.compensation, event))


def _compensation_failed(steps: Steps, event: CompensationFailed) -> None:
    step = steps.get(event.step, UNTOUCHED)
    steps[event.step] = StepState(step.forward, _failed(step.compensation, event))


def _done(progress: StepProgress, event: StepSucceeded | StepCompensated) -> StepProgress:
    return replace(progress, progress=DONE, result=event.result, error=None)


def _failed(progress: StepProgress, event: StepFailed | CompensationFailed) -> StepProgress:
    return replace(
        progress,
        progress=FAILED if event.retry_at is None else RETRYING,
        failures=progress.failures + 1,
        possibly_executed=progress.possibly_executed or event.effect is Effect.UNKNOWN,
        retry_at=event.retry_at,
        error=event.error,
    )


def ended_wait(steps: Mapping[str, StepState], event: Event) -> Wait | None:
    """Returns what a step waited for if this event ends its waiting for a signal, and may have taken one."""
    if not isinstance(event, (StepSucceeded, StepFailed)):
        return None
    progress = steps.get(event.step, UNTOUCHED).forward
    wait = progress.wait
    if progress.progress is not WAITING or wait is None or wait.kind is not WaitKind.SIGNAL:
        return None
    if wait.approvals is not None and isinstance(event, StepSucceeded):
        return None  # its approvals were counted, each by an event of its own
    return wait


STEP_CHANGES: dict[type[Event], Callable[[Steps, Any], None]] = {
    StepStarted: _step_started,
    ConditionNotMet: _condition_not_met,
    StepProgressed: _step_progressed,
    StepSucceeded: step_succeeded,
    StepFailed: _step_failed,
    CompensationStarted: _compensation_started,
    StepCompensated: _step_compensated,
    CompensationFailed: _compensation_failed,
}
